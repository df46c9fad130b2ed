"""A chest with a heart in it, as signed distances in patient space.

Patient space is LPS in mm: x = left, y = posterior, z = superior. A distance is negative inside.
Nothing here knows about voxels or intensities.

The heart has its own axes: u from the base of the left ventricle to its apex, v towards the right
ventricle, w towards the diaphragm. Everything is painted from the outside inwards, so the order of
`paint` is the anatomy: what comes later lies in front of, or inside, what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Field = Callable[[float], Array]
"""wavelength in mm -> a new smooth random field of unit variance at the points being painted."""


class Tissue(IntEnum):
    """What a point of the phantom is made of."""

    AIR = 0
    SKIN = auto()
    FAT = auto()
    MUSCLE = auto()
    CORTEX = auto()
    MARROW = auto()
    LUNG = auto()
    LUNG_VESSEL = auto()
    LIVER = auto()
    LIVER_VESSEL = auto()
    STOMACH = auto()
    MEDIASTINUM = auto()
    OESOPHAGUS = auto()
    PERICARDIUM = auto()
    HEART_FAT = auto()
    VESSEL_WALL = auto()
    VESSEL_BLOOD = auto()
    ATRIAL_BLOOD = auto()
    RV_WALL = auto()
    RV_BLOOD = auto()
    RV_TRABECULA = auto()
    RV_LEAFLET = auto()
    MYOCARDIUM = auto()
    LV_BLOOD = auto()
    PAPILLARY = auto()
    LV_LEAFLET = auto()


@dataclass(frozen=True, eq=False)
class Patient:
    """The measures that differ from heart to heart; lengths in mm."""

    base: Array
    """(3,) centre of the mitral plane."""
    axes: Array
    """(3, 3) rows u, v, w: right-handed, orthonormal."""
    length: float
    """Mitral plane to the endocardial apex."""
    radius: float
    """Endocardial radius of the left ventricle."""
    wall: float
    septal_excess: float
    """How much thicker the septum is than the lateral wall, as a fraction of `wall`."""
    rv_width: float
    """Septum to free wall of the right ventricle."""
    body_fat: float
    diaphragm: float
    """Height of the diaphragm under the heart."""
    base_tilt: Array
    """(2,) slope of the mitral plane along v and w."""


def column(vector: Sequence[float] | Array, points: Array) -> Array:
    """One (3,) vector, shaped so that it broadcasts against (3, ...) points."""
    return np.asarray(vector, np.float32).reshape(3, *[1] * (points.ndim - 1))


def ellipsoid(points: Array, centre: Sequence[float], semi_axes: Sequence[float]) -> Array:
    """Distance to an ellipsoid, exact on its surface, (3, ...) -> (...)."""
    size = column(semi_axes, points)
    scaled = (points - column(centre, points)) / size
    level = np.sqrt((scaled**2).sum(0))
    slope = np.sqrt(((scaled / size) ** 2).sum(0))
    distance: Array = level * (level - 1) / np.maximum(slope, np.float32(1e-6))
    return distance


def tube(points: Array, course: list[tuple[float, float, float]], radii: list[float]) -> Array:
    """Distance to a tube through `course` whose radius changes linearly between its points."""
    distance: Array = np.full(points.shape[1:], np.inf, np.float32)
    for start, stop, first, last in zip(course, course[1:], radii, radii[1:], strict=False):
        origin = np.asarray(start, np.float32)
        step = np.asarray(stop, np.float32) - origin
        offset = points - column(start, points)
        along = np.clip(np.tensordot(step, offset, 1) / float(step @ step), 0, 1)
        gap = np.sqrt(sum((offset[i] - along * step[i]) ** 2 for i in range(3)))
        distance = np.minimum(distance, gap - first - along * np.float32(last - first))
    return distance


def smooth_union(first: Array, second: Array, reach: float) -> Array:
    """Union of two signed distances with a fillet of about `reach` mm."""
    blend = np.clip(reach - np.abs(first - second), 0, None)
    union: Array = np.minimum(first, second) - blend**2 / (4 * reach)
    return union


def paint(points: Array, patient: Patient, field: Field) -> Array:
    """Tissue of every point, (3, ...) LPS mm -> (...) uint8 of `Tissue`."""
    tissue = np.full(points.shape[1:], Tissue.LUNG, np.uint8)
    vessels = field(24) ** 2 + field(24) ** 2  # two random surfaces meet in branching curves
    tissue[vessels < 0.09] = Tissue.LUNG_VESSEL
    _paint_abdomen(tissue, points, patient, field, vessels)
    _paint_mediastinum(tissue, points, field)
    _paint_chest_wall(tissue, points, patient, field)
    _paint_heart(tissue, points, patient, field)
    return tissue


def _paint_abdomen(
    tissue: Array, points: Array, patient: Patient, field: Field, vessels: Array
) -> None:
    x, y, z = points
    right_dome = 26 * np.exp(-((x + 78) ** 2 + (y - 8) ** 2) / (2 * 42**2))
    left_dome = 13 * np.exp(-((x - 62) ** 2 + (y - 25) ** 2) / (2 * 34**2))
    dome = patient.diaphragm + right_dome + left_dome + 1.5 * field(50) - z
    edge = x + 0.35 * y - 22 + 5 * field(60)
    tissue[dome > 0] = Tissue.FAT
    tissue[(dome > 0) & (edge < 0)] = Tissue.LIVER
    tissue[(dome > 4) & (edge < -3) & (vessels < 0.035)] = Tissue.LIVER_VESSEL
    tissue[(dome > 2.5) & (edge > 6)] = Tissue.STOMACH
    tissue[(dome > 0) & (dome < 2.2)] = Tissue.MUSCLE


def _paint_mediastinum(tissue: Array, points: Array, field: Field) -> None:
    """Fat between the lungs, spine, oesophagus, descending aorta and the great veins."""
    x, y, z = points
    midline = -32.0
    ragged = 3 * field(30)
    column = np.hypot((x - midline - 4) / 1.15, y - 62) - 27 + ragged
    front = np.hypot(x - midline - 2, (y + 6) / 1.9) - 17 + ragged
    tissue[np.minimum(column, front) < 0] = Tissue.MEDIASTINUM
    spine = np.hypot((x - midline) / 1.2, y - 82) - 19
    disc = np.cos(2 * np.pi * (z + 7) / 27) > 0.86
    tissue[spine < 0] = Tissue.CORTEX
    tissue[spine < -1.6] = Tissue.MARROW
    tissue[(spine < -1.6) & disc] = Tissue.MUSCLE
    tissue[np.hypot((x - midline - 12) / 1.4, y - 58) < 5] = Tissue.OESOPHAGUS
    aorta = tube(points, [(-9, 61, -70), (-6, 60, 0), (-4, 57, 70)], [9.5, 10.5, 11.5])
    cava = tube(points, [(-58, 34, -70), (-56, 28, -10)], [10, 11])
    upper_cava = tube(points, [(-60, 8, 15), (-57, 2, 80)], [9, 8.5])
    vessel = np.minimum(aorta, np.minimum(cava, upper_cava))
    tissue[vessel < 1.6] = Tissue.VESSEL_WALL
    tissue[vessel < 0] = Tissue.VESSEL_BLOOD


def _paint_chest_wall(tissue: Array, points: Array, patient: Patient, field: Field) -> None:
    """Pleura inwards to air outwards: muscle with ribs and sternum, fat, skin."""
    x, y, z = points
    across, front = (x + 32) / 162, (y - 42) / (106 - 0.05 * z)
    level = (np.abs(across) ** 2.3 + np.abs(front) ** 2.3) ** (1 / 2.3)
    depth = (1 - level) * 108 + 0.8 * field(60)  # mm below the skin, near enough in front
    fat = patient.body_fat * (1 + 0.15 * field(45))
    muscle = depth < fat + 11
    tissue[muscle] = Tissue.MUSCLE
    ribs = np.cos(2 * np.pi * (z + 0.32 * np.abs(x + 32)) / 27 + 0.8)
    bone = np.where(np.abs(x + 32) < 15, 1.0, np.where(np.abs(x + 32) < 26, -1.0, ribs))
    within = np.minimum(depth - fat - 2.0, fat + 10.0 - depth)
    tissue[(bone > 0.45) & (within > 0)] = Tissue.CORTEX
    tissue[(bone > 0.62) & (within > 1.4)] = Tissue.MARROW
    tissue[depth < fat] = Tissue.FAT
    tissue[(depth < fat - 3) & (np.abs(field(22)) < 0.1)] = Tissue.MUSCLE  # strands in the fat
    tissue[depth < 1.8] = Tissue.SKIN
    tissue[depth < 0] = Tissue.AIR


def _paint_heart(tissue: Array, points: Array, patient: Patient, field: Field) -> None:
    q = np.tensordot(patient.axes.astype(np.float32), points, 1)
    q -= column(patient.axes @ patient.base, points)
    endo, wall = _left_ventricle(q, patient, field)
    epi = endo - wall
    right = _right_ventricle(q, patient, field)
    base = q[0] - patient.base_tilt[0] * q[1] - patient.base_tilt[1] * q[2] + 0.7 * field(35)
    tricuspid = base - 4
    atria = _atria(q, patient, field)
    _paint_covers(tissue, points, (epi, right, atria), base, field)
    _paint_outflow(tissue, q, patient)
    tissue[(atria < 2.2) & (base < 1)] = Tissue.VESSEL_WALL
    tissue[(atria < 0) & (base < 0)] = Tissue.ATRIAL_BLOOD
    tissue[(right < 2.8) & (tricuspid > -1.5)] = Tissue.RV_WALL
    _paint_right_cavity(tissue, q, patient, (right, tricuspid), field)
    tissue[(epi < 0) & (base > 0)] = Tissue.MYOCARDIUM
    tissue[(endo < 0) & (base > 0)] = Tissue.LV_BLOOD
    _paint_papillaries(tissue, q, patient, (endo, base), field)


def _left_ventricle(q: Array, patient: Patient, field: Field) -> tuple[Array, Array]:
    """Endocardium as a signed distance, and the wall thickness outside it."""
    belly = 0.24 * patient.length  # the widest place lies a quarter of the way to the apex
    semi = (patient.length - belly, 0.96 * patient.radius, 1.05 * patient.radius)
    endo = ellipsoid(q, (belly, 0, 0), semi) + 0.8 * field(30)
    toward_septum = q[1] / np.maximum(np.hypot(q[1], q[2]), 4)
    depth = np.clip(q[0] / patient.length, 0, 1.1)
    profile = (1 + 0.5 * patient.septal_excess * toward_septum) * (1 - 0.42 * depth**2)
    profile *= 0.45 + 0.55 * np.sqrt(np.clip(q[0] / 14, 0.02, 1))  # it tapers to the valve ring
    return endo, patient.wall * profile * (1 + 0.1 * field(40))


def _right_ventricle(q: Array, patient: Patient, field: Field) -> Array:
    """Outer border of the right cavity; the septum, painted later, makes it a crescent."""
    septum = patient.radius + patient.wall
    centre = (0.12 * patient.length, 0.50 * septum, 2.0)
    reach = septum + patient.rv_width - centre[1]
    body = ellipsoid(q, centre, (0.74 * patient.length, reach, 1.22 * septum))
    start = (0.30 * patient.length, septum + 0.35 * patient.rv_width, -0.6 * septum)
    valve = (0.02 * patient.length, 0.72 * septum, -1.42 * septum)
    outflow = tube(q, [start, valve], [15.0, 11.5])
    return smooth_union(body, outflow, 10) + 0.9 * field(32)


def _atria(q: Array, patient: Patient, field: Field) -> Array:
    septum = patient.radius + patient.wall
    left = ellipsoid(q, (-17, -2, -5), (23, 22, 25))
    veins = tube(q, [(-24, -12, -8), (-36, -34, -14), (-30, -60, -10)], [6.5, 5.5, 5])
    lower_veins = tube(q, [(-28, -8, 6), (-48, -26, 10)], [6, 5])
    right_vein = tube(q, [(-24, 6, -8), (-62, 30, -16)], [6.5, 5.5])
    left = smooth_union(left, np.minimum(np.minimum(veins, lower_veins), right_vein), 8)
    right = ellipsoid(q, (-15, septum + 9, 7), (24, 20, 25))
    both = np.minimum(left, right) + 0.8 * field(28)
    septal_gap = 1.2 - np.abs(q[1] - 0.72 * septum)  # the atrial septum keeps them apart
    return np.maximum(both, np.where(septal_gap > 0, septal_gap, both))


def _paint_covers(
    tissue: Array, points: Array, parts: tuple[Array, Array, Array], base: Array, field: Field
) -> None:
    """Fat on the heart and the pericardium around it; both thin out over the diaphragm."""
    epi, right, atria = parts
    heart = np.minimum(np.where(base > -3, np.minimum(epi, right - 2.8), 50), atria - 2.2)
    groove = 4.5 * np.exp(-((base / 9) ** 2)) + 3.5 * np.exp(-((epi - right) ** 2) / 30)
    low = np.clip(-(points[2] + 12) / 18, 0, 1)
    fat = np.clip(1.6 + 1.6 * field(35) + groove - 3.4 * low, 0, 8)
    inside_body = tissue != Tissue.AIR
    tissue[inside_body & (heart < fat + 1.3)] = Tissue.PERICARDIUM
    tissue[inside_body & (heart < fat)] = Tissue.HEART_FAT


def _paint_outflow(tissue: Array, q: Array, patient: Patient) -> None:
    """Aortic root and pulmonary trunk, both bright and both unlabelled."""
    septum = patient.radius + patient.wall
    root = (4.0, 0.45 * patient.radius, -0.35 * patient.radius)
    arch = [root, (-22.0, 0.8 * septum, -34.0), (-46.0, 0.9 * septum, -74.0)]
    valve = (0.02 * patient.length, 0.72 * septum, -1.42 * septum)
    trunk = [valve, (-8.0, 0.35 * septum, -1.9 * septum), (-36.0, -0.4 * septum, -2.2 * septum)]
    aorta, pulmonary = tube(q, arch, [11, 12.5, 13]), tube(q, trunk, [11.5, 12, 10])
    vessel = np.minimum(aorta, pulmonary)
    tissue[vessel < 1.8] = Tissue.VESSEL_WALL
    tissue[vessel < 0] = Tissue.VESSEL_BLOOD


def _paint_right_cavity(
    tissue: Array, q: Array, patient: Patient, borders: tuple[Array, Array], field: Field
) -> None:
    right, tricuspid = borders
    inside = (right < 0) & (tricuspid > 0)
    tissue[inside] = Tissue.RV_BLOOD
    leaflet = np.abs(tricuspid - 2.5 - 0.004 * right**2) < 0.7
    tissue[inside & leaflet & (right > -9)] = Tissue.RV_LEAFLET
    apical = np.clip(q[0] / patient.length - 0.25, 0, 0.5)
    rough = (right > -2 - 9 * apical) & (field(9) > 0.55)
    septum, band = patient.radius + patient.wall, 0.52 * patient.length
    reach = septum + patient.rv_width
    moderator = tube(q, [(band, 0.7 * septum, 6), (band + 6, reach, 10)], [2.2, 2.0])
    tissue[inside & (rough | (moderator < 0))] = Tissue.RV_TRABECULA


def _paint_papillaries(
    tissue: Array, q: Array, patient: Patient, borders: tuple[Array, Array], field: Field
) -> None:
    """Two papillary muscles and trabeculae, which a reader counts as cavity, and the valve."""
    endo, base = borders
    inside = (endo < 0) & (base > 0)
    leaflet = np.abs(base - 5 - 0.010 * (endo + 4) ** 2) < 0.7
    tissue[inside & leaflet & (endo > -11)] = Tissue.LV_LEAFLET
    muscles: Array = np.full(endo.shape, np.inf, np.float32)
    for angle in (0.72 * np.pi, 1.30 * np.pi):
        side = np.array([np.cos(angle), np.sin(angle)]) * patient.radius
        foot = (0.74 * patient.length, *(0.62 * side))
        tip = (0.36 * patient.length, *(0.56 * side))
        muscles = np.minimum(muscles, tube(q, [foot, tip], [4.6, 3.2]))
    depth = np.clip(q[0] / patient.length - 0.2, 0, 0.8)
    rough = (endo > -1.2 - 4.5 * depth) & (field(8) > 0.65)
    tissue[inside & ((muscles + 0.6 * field(14) < 0) | rough)] = Tissue.PAPILLARY
