"""Smoothing the outline of a class near a site."""

import numpy as np
from test_proposal import BORDER, SHAPE, surroundings

from napari_metassl.data.label_smoothing import smooth_class


def smoothed(corrected, value=1, reach=5.0):
    around, _, prediction = surroundings(2 * reach, corrected=corrected)
    voxels, labels = smooth_class(around, corrected[around.box], value, reach)
    said = np.where(corrected == 255, 0, corrected)
    before = np.where(corrected == 0, prediction.merged(), said)
    after = before.copy()
    after.reshape(-1)[voxels] = labels
    assert (after.reshape(-1)[voxels] != before.reshape(-1)[voxels]).all()
    return before, after


def test_a_straight_border_stays_and_a_speck_and_a_hole_go():
    corrected = np.zeros(SHAPE, np.uint8)
    corrected[3, 12, BORDER - 1] = 1  # a speck in the background
    before, after = smoothed(corrected)
    expected = before.copy()
    expected[3, 12, BORDER - 1] = 0
    np.testing.assert_array_equal(after, expected)
    corrected[...] = 0
    corrected[..., BORDER + 4 :] = 1
    corrected[3, 12, BORDER + 6] = 0
    np.testing.assert_array_equal(smoothed(corrected)[1], smoothed(corrected)[0])


def test_a_jagged_outline_becomes_straighter():
    corrected = np.zeros(SHAPE, np.uint8)
    corrected[:, ::2, BORDER + 3] = 1
    corrected[:, 0::4, BORDER + 2] = 1
    before, after = smoothed(corrected)

    def length(labels):
        return (labels[:, 1:] != labels[:, :-1]).sum()

    assert length(after) < length(before) / 2


def test_what_was_painted_as_something_else_stays():
    corrected = np.zeros(SHAPE, np.uint8)
    corrected[3, 12, BORDER + 6] = 255  # a hole a person made in the structure
    before, after = smoothed(corrected)
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(
        smoothed(corrected, value=255)[1][3, 12, BORDER + 6], 1
    )  # but the background itself can be smoothed


def test_far_from_the_site_nothing_changes():
    corrected = np.zeros(SHAPE, np.uint8)
    corrected[3, 12, 1] = 1
    before, after = smoothed(corrected)
    np.testing.assert_array_equal(after, before)
