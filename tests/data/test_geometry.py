import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_metassl.data.geometry import (
    Geometry,
    affine_from_itk,
    affine_problem,
    itk_from_affine,
    ras_to_lps,
    slice_stack_affine,
)


def turned(angles, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return affine


def test_a_straight_lps_grid_is_read_as_the_transposed_array():
    affine = np.diag([0.5, 0.75, 3.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    geometry = Geometry.from_file(affine, (7, 6, 5))
    assert geometry.shape == (5, 6, 7)
    assert geometry.spacing == (3.0, 0.75, 0.5)
    assert geometry.origin == (30, 20, 10)
    assert geometry.source.flips == (False, False, False)
    assert not geometry.is_oblique
    assert geometry.voxel_volume_ml == pytest.approx(0.5 * 0.75 * 3 / 1000)


def test_a_ras_file_is_flipped_so_that_the_left_of_the_patient_is_at_the_end_of_x():
    # RAS+: i grows to the right, j to anterior, k to superior.
    affine = ras_to_lps(np.diag([2.0, 2.0, 2.0, 1.0]))
    geometry = Geometry.from_file(affine, (4, 5, 6))
    stored = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    shown = geometry.source.to_canonical(stored)
    assert geometry.source.flips == (False, True, True)
    # The most right, most anterior voxel of the file is (3, 4, 0); shown it comes first.
    assert shown[0, 0, 0] == stored[3, 4, 0]
    assert geometry.origin == (0.0, -8.0, -6.0)  # and lies at x = -6 (right), y = -8 (anterior)


def test_canonical_arrays_are_contiguous_and_can_be_painted_on():
    geometry = Geometry.from_file(np.diag([-1.0, -1.0, -1.0, 1.0]), (4, 5, 6))
    shown = geometry.source.to_canonical(np.zeros((4, 5, 6), np.uint8))
    assert shown.flags.c_contiguous
    shown[0, 0, 0] = 1
    assert geometry.source.to_file(shown)[3, 4, 5] == 1


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, -1)])
def test_every_permutation_and_flip_is_undone_and_keeps_voxels_in_place(axes, signs):
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (row, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[row, axis] = sign * (axis + 1)
    affine[:3, 3] = (5, -7, 9)
    stored = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    geometry = Geometry.from_file(affine, stored.shape)
    shown = geometry.source.to_canonical(stored)
    assert (geometry.source.to_file(shown) == stored).all()
    assert (np.diag(geometry.affine)[:3] > 0).all()  # z, y, x grow to superior, posterior, left
    for index in np.ndindex(2, 3, 4):
        x, y, z = (affine @ [*index, 1])[:3]
        place = np.linalg.solve(geometry.affine, [z, y, x, 1])[:3]
        assert shown[tuple(np.rint(place).astype(int))] == stored[index]


def test_an_oblique_grid_keeps_its_direction_and_shows_its_own_spacing():
    geometry = Geometry.from_file(turned((10, -20, 5), (0.5, 0.6, 2.0)), (4, 5, 6))
    assert geometry.is_oblique
    assert geometry.layer_transform()["scale"] == pytest.approx((2.0, 0.6, 0.5))
    assert geometry.direction.T @ geometry.direction == pytest.approx(np.eye(3))


def test_noise_does_not_decide_a_tie_at_45_degrees():
    shapes = set()
    for noise in (-1e-7, 0, 1e-7):
        geometry = Geometry.from_file(turned((0, 0, 45 + noise)), (4, 5, 6))
        shapes.add((geometry.source.axes, geometry.source.flips))
    assert len(shapes) == 1


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.diag([1.0, 0.0, 1.0, 1.0]), "larger than 0"),
        (np.diag([1.0, np.nan, 1.0, 1.0]), "not a number"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "sheared"),
    ],
)
def test_what_is_no_grid_of_boxes_is_named(affine, words):
    assert words in affine_problem(affine)


def test_rounding_in_a_header_is_no_shear():
    rounded = turned((31, 12, -7), (0.4, 0.4, 5.0)).astype(np.float32)
    assert affine_problem(rounded) is None
    assert affine_problem(np.round(turned((31, 12, -7)), 4)) is None


def test_a_tilted_gantry_is_a_shear():
    positions = np.array([(0, 0.1 * n, 1.0 * n) for n in range(5)])
    affine = slice_stack_affine((1, 0, 0), (0, 1, 0), (1, 1), positions)
    assert "sheared" in affine_problem(affine)


def test_grids_are_compared_where_it_matters():
    base = Geometry.from_file(turned((5, 0, 0), (1, 1, 2)), (40, 40, 20))
    rounded = Geometry.from_file(turned((5, 0, 0), (1, 1, 2)).astype(np.float32), (40, 40, 20))
    assert base.same_grid(rounded)
    other_shape = Geometry.from_file(turned((5, 0, 0), (1, 1, 2)), (40, 40, 21))
    assert "shape (20, 40, 40) against (21, 40, 40)" in base.difference(other_shape)
    assert "spacing" in base.difference(Geometry.from_file(turned((5, 0, 0)), (40, 40, 20)))
    moved = Geometry.from_file(turned((5, 0, 0), (1, 1, 2), (0, 3, 0)), (40, 40, 20))
    assert "origin" in base.difference(moved)
    aside = Geometry.from_file(turned((6, 0, 0), (1, 1, 2)), (40, 40, 20))
    assert "direction" in base.difference(aside)


def test_from_spacing_places_an_array_without_a_file():
    geometry = Geometry.from_spacing((3.0, 1.0, 0.5), (4, 5, 6), origin=(1, 2, 3))
    assert geometry.spacing == (3.0, 1.0, 0.5)
    assert geometry.origin == (1.0, 2.0, 3.0)
    assert geometry.shape == (4, 5, 6)
    assert Geometry.from_spacing((1, 1, 1)).shape is None
    array = np.zeros((4, 5, 6))
    assert geometry.source.to_canonical(geometry.source.to_file(array)).shape == (4, 5, 6)


def test_resampled_shape_covers_the_field_of_view():
    geometry = Geometry.from_spacing((3.0, 1.0, 0.5), (10, 64, 64))
    assert geometry.resampled_shape((1.0, 1.0, 1.0)) == (30, 64, 32)
    assert geometry.resampled_shape((100.0, 1.0, 1.0))[0] == 1
    with pytest.raises(ValueError, match="no shape"):
        Geometry.from_spacing((1, 1, 1)).resampled_shape((2, 2, 2))


def test_geometry_cannot_be_changed_by_accident():
    geometry = Geometry.from_spacing((1, 1, 1), (2, 2, 2))
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 0] = 2


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 20)] * 3),
    origin=st.tuples(*[st.floats(-1000, 1000)] * 3),
)
def test_itk_parts_join_to_the_affine_they_came_from(angles, spacing, origin):
    affine = turned(angles, spacing, origin)
    assert np.allclose(affine_from_itk(itk_from_affine(affine)), affine, rtol=0, atol=1e-12)
