"""Copying what was painted from the slice beside."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_metassl.data.plane import Plane
from napari_metassl.data.slice_copy import copy_slice


@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 3), st.sampled_from([-1, 1]))
def test_the_slice_has_what_the_one_beside_has_and_keeps_its_own(seed, axis, position, step):
    labels = np.random.default_rng(seed).choice([0, 0, 1, 2, 255], (4, 5, 6)).astype(np.uint8)
    voxels = copy_slice(labels, 2, Plane(axis, position), step)
    after = labels.copy()
    after.reshape(-1)[voxels] = 2
    here = np.moveaxis(after, axis, 0)
    before = np.moveaxis(labels, axis, 0)
    if 0 <= position + step < len(before):
        free = before[position] == 0
        beside = before[position + step] == 2
        np.testing.assert_array_equal(here[position][free], np.where(beside, 2, 0)[free])
        np.testing.assert_array_equal(here[position][~free], before[position][~free])
    others = np.arange(len(before)) != position
    np.testing.assert_array_equal(here[others], before[others])


def test_there_is_no_slice_before_the_first():
    labels = np.ones((3, 4, 5), np.uint8)
    labels[1] = 0
    assert not len(copy_slice(labels, 1, Plane(0, 0), -1))
    assert not len(copy_slice(labels, 1, Plane(2, 4), 1))
    assert len(copy_slice(labels, 1, Plane(0, 1), -1)) == 20
