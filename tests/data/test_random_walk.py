"""The random walker: against scikit-image's, and what its answer must be where that is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import random_walker

from napari_metassl.data.random_walk import WALL, random_walk

CUBE = (1.0, 1.0, 1.0)


def noisy_steps(seed: int, shape: tuple[int, int, int] = (9, 12, 11)):
    """An image with an edge between two seeded ends, and the seeds."""
    image = np.random.default_rng(seed).normal(size=(1, *shape))
    image[..., shape[2] // 2 :] += 3
    seeds = np.zeros(shape, np.int16)
    seeds[:, :, :2], seeds[:, :, -2:] = 1, 2
    return image, seeds


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_random_walker_of_scikit_image_on_cubes(seed):
    image, seeds = noisy_steps(seed)
    ours = random_walk(image, seeds, CUBE, beta=2.0)
    # There the exponent is -beta / (10 std) times the square of the difference.
    theirs = random_walker((image[0] / image.std()), seeds.copy(), beta=20.0, mode="cg_j", tol=1e-6)
    assert (ours == theirs).mean() > 0.995


def test_the_border_is_found_at_the_edge_of_the_image():
    image, seeds = noisy_steps(0)
    answer = random_walk(image, seeds, CUBE)
    middle = answer.shape[2] // 2
    assert (answer[:, :, :middle] == 1).mean() > 0.97
    assert (answer[:, :, middle:] == 2).mean() > 0.97


def test_without_any_edge_the_border_is_half_way_in_mm():
    # From row 1, class 1 is one slice of 5 mm away, class 2 four voxels of 1 mm.
    seeds = np.zeros((9, 1, 9), np.int16)
    seeds[0], seeds[-1] = 1, 1
    seeds[:, :, 0], seeds[:, :, -1] = 2, 2
    flat = np.zeros((1, *seeds.shape))
    assert random_walk(flat, seeds, (5.0, 1.0, 1.0))[1:-1, 0, 4].tolist() == [2] * 7
    cubes = random_walk(flat, seeds, CUBE)
    assert (cubes[1, 0, 3:6] == 1).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.9), st.integers(1, 4))
def test_seeds_stay_and_only_seen_classes_are_given(seed, share, classes):
    generator = np.random.default_rng(seed)
    shape = (4, 5, 6)
    seeds = generator.integers(1, classes + 1, shape)
    seeds[generator.random(shape) < share] = 0
    seeds[generator.random(shape) < 0.2] = WALL
    answer = random_walk(generator.normal(size=(2, *shape)), seeds, (3.0, 1.0, 1.5))
    np.testing.assert_array_equal(answer[seeds != 0], seeds[seeds != 0])
    assert set(np.unique(answer)) <= {0, *np.unique(seeds)}


def test_what_no_seed_reaches_stays_free():
    seeds = np.zeros((1, 1, 7), np.int16)
    seeds[0, 0, 0], seeds[0, 0, 3] = 1, WALL
    answer = random_walk(np.zeros((1, *seeds.shape)), seeds, CUBE)
    assert answer[0, 0].tolist() == [1, 1, 1, WALL, 0, 0, 0]
    assert not random_walk(np.zeros((1, 2, 2, 2)), np.zeros((2, 2, 2), np.int16), CUBE).any()
