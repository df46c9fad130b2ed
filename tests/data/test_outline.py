"""Outlines along voxel sides."""

import numpy as np
import pytest

from napari_metassl.data.outline import outline


@pytest.mark.parametrize("axis", range(3))
def test_one_voxel_has_four_sides_within_its_slice(axis):
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 7
    lines, values = outline(labels, axis)
    assert values.tolist() == [7] * 4
    middle = lines[:, 0] + lines[:, 1] / 2 - (1, 2, 3)
    assert (middle[:, axis] == 0).all()  # in the slice itself, or it would not be seen
    np.testing.assert_array_equal(np.abs(middle).sum(axis=1), [0.5] * 4)
    assert len(np.unique(middle, axis=0)) == 4


def test_it_is_closed_at_the_border_and_between_labels():
    labels = np.ones((1, 3, 4), np.int16)
    assert len(outline(labels, 0)[0]) == 14
    labels[:, :, 2:] = 2
    lines, values = outline(labels, 0)
    assert len(lines) == 20 and (values == 1).sum() == 10


def test_nothing_has_no_outline():
    lines, values = outline(np.zeros((2, 3, 4), np.uint8), 0)
    assert lines.shape == (0, 2, 3) and values.shape == (0,)
