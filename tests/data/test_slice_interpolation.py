"""Filling between painted slices: shapes whose answer is known, and what must never happen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_metassl.data.plane import Plane
from napari_metassl.data.slice_interpolation import interpolate_slices

SPACING = (4.0, 1.0, 1.0)
MIDDLE = Plane(0, 4)


def disc(shape, center, radius):
    grid = np.indices(shape)
    return sum((g - c) ** 2 for g, c in zip(grid, center, strict=True)) <= radius**2


def fill(labels, value=1, plane=MIDDLE, spacing=SPACING, by_hand=None):
    """The labels with what lies between filled in; all is painted by hand if not said otherwise."""
    by_hand = np.flatnonzero(labels if by_hand is None else by_hand)
    voxels = interpolate_slices(labels, by_hand, value, plane, spacing)
    assert (np.diff(voxels) > 0).all()
    filled = labels.copy()
    filled.reshape(-1)[voxels] = value
    return filled


def two_discs(radii=(8, 8), centers=((20, 20), (20, 20)), slices=(2, 8)):
    labels = np.zeros((11, 40, 40), np.uint8)
    for z, center, radius in zip(slices, centers, radii, strict=True):
        labels[z][disc((40, 40), center, radius)] = 1
    return labels


def test_between_equal_shapes_lies_the_same_shape():
    filled = fill(two_discs())
    for z in range(2, 9):
        np.testing.assert_array_equal(filled[z], filled[2])
    assert not filled[:2].any() and not filled[9:].any()


def test_a_cone_gets_its_radii_and_a_slanted_tube_stays_in_one_piece():
    cone = fill(two_discs(radii=(12, 6)))
    for z, radius in zip(range(3, 8), (11, 10, 9, 8, 7), strict=True):
        assert np.sqrt(cone[z].sum() / np.pi) == pytest.approx(radius, abs=0.6)
    tube = fill(two_discs(radii=(4, 4), centers=((20, 8), (20, 26))))
    for z in range(3, 8):
        assert np.argwhere(tube[z])[:, 1].mean() == pytest.approx(8 + 18 * (z - 2) / 6, abs=0.6)
        assert int(tube[z].sum()) == pytest.approx(int(tube[2].sum()), rel=0.1)


def test_what_lies_too_far_beside_belongs_to_something_else():
    apart = two_discs(radii=(3, 3), centers=((5, 5), (34, 34)))  # 24 mm along, 35 beside
    np.testing.assert_array_equal(fill(apart), apart)
    near = two_discs(radii=(3, 3), centers=((5, 5), (16, 16)))  # 10 mm beside
    assert fill(near)[5].any()


@pytest.mark.parametrize("position, filled", [(1, 0), (2, 5), (5, 5), (8, 5), (9, 0)])
def test_only_the_gap_at_the_slice_on_display_is_filled(position, filled):
    found = fill(two_discs(), plane=Plane(0, position))
    assert found.any(axis=(1, 2)).sum() == 2 + filled


def test_the_nearest_painted_slices_face_each_other_on_any_axis():
    labels = two_discs(slices=(0, 10))
    labels[5][disc((40, 40), (20, 20), 3)] = 1
    for axis in range(3):
        turned = np.moveaxis(labels, 0, axis)
        spacing = tuple(np.insert([1.0, 1.0], axis, 4.0))
        filled = fill(turned, plane=Plane(axis, 3), spacing=spacing)
        again = np.moveaxis(filled, axis, 0)
        assert again[1:5].any(axis=(1, 2)).all() and not again[6:10].any()
        assert 3 < np.sqrt(again[4].sum() / np.pi) < 5


def test_what_was_taken_or_confirmed_is_no_painted_slice_and_no_bridge():
    labels = two_discs()
    by_hand = labels == 1
    labels[3:8, 20, 20] = 1  # confirmed when a site was finished
    assert fill(labels, by_hand=by_hand)[5].sum() == labels[2].sum()
    by_hand[2, 10:20] = False  # a part of the painted shape was confirmed before
    assert fill(labels, by_hand=by_hand)[5].sum() == labels[2].sum()
    np.testing.assert_array_equal(fill(labels, by_hand=np.zeros_like(by_hand)), labels)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 9))
def test_nothing_a_person_painted_is_changed(seed, axis, position):
    generator = np.random.default_rng(seed)
    labels = np.where(
        generator.random((10, 11, 12)) < 0.2, generator.choice([1, 2, 255], (10, 11, 12)), 0
    ).astype(np.uint8)
    labels[generator.random(10) < 0.5] = 0
    filled = fill(labels, plane=Plane(axis, position))
    np.testing.assert_array_equal(filled[labels != 0], labels[labels != 0])
    assert set(np.unique(filled[labels == 0])) <= {0, 1}


def test_without_paint_there_is_nothing_to_do():
    labels = np.zeros((5, 6, 7), np.uint8)
    np.testing.assert_array_equal(fill(labels, plane=Plane(0, 2)), labels)
    one = two_discs()
    one[8] = 0
    np.testing.assert_array_equal(fill(one), one)
