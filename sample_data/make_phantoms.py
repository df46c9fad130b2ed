"""Make the sample volumes: 16 heart phantoms in the manner of a cardiac MR, from a seed.

    python sample_data/make_phantoms.py [--out DIR] [--seed N] [--only NAME ...] [--with-truth DIR]

Needs numpy, scipy and nibabel only. The anatomy (phantom_anatomy.py) is a function of patient
space, so the grid of a volume, oblique ones included, only decides where it is sampled. The same
seed gives the same bytes with the same versions of the three packages.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from phantom_anatomy import Array, Patient, Tissue, column, paint
from scipy import ndimage
from scipy.spatial.transform import Rotation

CLASS_NAMES = ("background", "left ventricle", "myocardium", "right ventricle")
CLASS_COLORS = ("#000000", "#ee3377", "#44aa99", "#bbcc33")
DEFAULT_SEED = 20
NOISE = 7.5  # of each channel of the receiver, in the units of SIGNAL
GAIN = 0.45  # grey levels per unit of SIGNAL; more would only store more noise

CLASS_OF = np.zeros(len(Tissue), np.uint8)
CLASS_OF[[Tissue.LV_BLOOD, Tissue.PAPILLARY, Tissue.LV_LEAFLET]] = 1
CLASS_OF[Tissue.MYOCARDIUM] = 2
CLASS_OF[[Tissue.RV_BLOOD, Tissue.RV_TRABECULA, Tissue.RV_LEAFLET]] = 3

SIGNAL: dict[Tissue, float] = {  # balanced steady-state free precession, blood and fat bright
    Tissue.AIR: 1,
    Tissue.SKIN: 70,
    Tissue.FAT: 158,
    Tissue.MUSCLE: 60,
    Tissue.CORTEX: 22,
    Tissue.MARROW: 104,
    Tissue.LUNG: 24,
    Tissue.LUNG_VESSEL: 105,
    Tissue.LIVER: 83,
    Tissue.LIVER_VESSEL: 108,
    Tissue.STOMACH: 66,
    Tissue.MEDIASTINUM: 118,
    Tissue.OESOPHAGUS: 66,
    Tissue.PERICARDIUM: 46,
    Tissue.HEART_FAT: 120,
    Tissue.VESSEL_WALL: 64,
    Tissue.VESSEL_BLOOD: 158,
    Tissue.ATRIAL_BLOOD: 156,
    Tissue.RV_WALL: 82,
    Tissue.RV_BLOOD: 147,
    Tissue.RV_TRABECULA: 94,
    Tissue.RV_LEAFLET: 90,
    Tissue.MYOCARDIUM: 86,
    Tissue.LV_BLOOD: 157,
    Tissue.PAPILLARY: 86,
    Tissue.LV_LEAFLET: 90,
}
BLOOD = [
    Tissue.VESSEL_BLOOD,
    Tissue.ATRIAL_BLOOD,
    Tissue.RV_BLOOD,
    Tissue.LV_BLOOD,
    Tissue.LIVER_VESSEL,
]


@dataclass(frozen=True)
class Case:
    """One volume: the grid it is sampled on, and what is special about heart and scan."""

    name: str
    role: str
    shape: tuple[int, int, int] = (72, 72, 32)
    """Voxels towards left, posterior, superior."""
    spacing: tuple[float, float, float] = (2.0, 2.0, 3.0)
    """mm, in the same order."""
    tilt: tuple[float, float, float] = (0, 0, 0)
    """Rotation of the scan about x, y and z in degrees; not zero makes it oblique."""
    stored: str = "LPS"
    """Directions of the file's own axes."""
    wall: float = 1.0
    right: float = 1.0
    size: float = 1.0
    """Factors on wall thickness, right ventricle and overall size."""
    bias: float = 0.16
    contrast: float = 0.9


CASES = (
    Case("p01", "labeled"),
    Case("p02", "labeled", (76, 72, 32), (1.9, 1.95, 2.8), stored="RAS", size=1.03),
    Case("p03", "labeled", (72, 70, 34), (2.0, 2.0, 2.7), size=0.95, wall=0.94),
    Case("p04", "labeled", stored="LAS", right=1.06),  # its label is spoiled, see spoil_label
    Case("p05", "validation", (76, 74, 34), (1.9, 1.9, 2.9), right=1.15, wall=1.1),
    Case("p06", "validation", (80, 78, 20), (1.8, 1.8, 5.0), (8, -6, 10), bias=0.24),
    Case("p07", "unlabeled", wall=1.05),
    Case(
        "p08",
        "unlabeled",
        (74, 72, 32),
        (1.95, 1.95, 2.9),
        stored="RAS",
        wall=1.45,
        size=0.95,
        contrast=0.75,
    ),
    Case("p09", "unlabeled", (76, 76, 32), (1.9, 1.9, 3.2), (-9, 11, 14), contrast=0.7),
    Case("p10", "unlabeled", (80, 80, 21), (1.75, 1.75, 5.0)),
    Case("p11", "unlabeled", (76, 28, 50), (1.9, 5.0, 1.9), stored="LIA"),  # coronal stack
    Case("p12", "unlabeled", stored="RPI", right=1.4, bias=0.25),
    Case("p13", "unlabeled", (74, 74, 32), (1.9, 1.9, 3.0), (14, 5, -12), wall=1.35, bias=0.32),
    Case("p14", "unlabeled", (80, 80, 20), (1.8, 1.8, 4.8), (-6, 9, -8), stored="LAI", right=1.2),
    Case("p15", "unlabeled", wall=0.8, right=1.3, size=1.06, bias=0.34, contrast=0.75),
    Case("p16", "unlabeled", (30, 76, 48), (4.8, 1.9, 2.0), stored="PIL", wall=1.2),  # sagittal
)
NOISY = ("p04",)


@dataclass(frozen=True, eq=False)
class Grid:
    """Sampling points of a volume: index (i, j, k) -> patient space (LPS, mm)."""

    affine: Array
    shape: tuple[int, int, int]

    def refined(self, factors: tuple[int, int, int]) -> Grid:
        """Split every voxel into `factors` parts along each axis."""
        split = np.diag([*(1 / f for f in factors), 1.0])
        split[:3, 3] = [(1 / f - 1) / 2 for f in factors]
        i, j, k = (n * f for n, f in zip(self.shape, factors, strict=True))
        return Grid(self.affine @ split, (i, j, k))

    def points(self) -> Array:
        """Patient coordinates of all voxel centres, (3, I, J, K) float32, mm."""
        index = np.indices(self.shape, dtype=np.float32)
        turned = np.tensordot(self.affine[:3, :3].astype(np.float32), index, 1)
        return np.asarray(turned + column(self.affine[:3, 3], turned))

    def smooth_field(self, rng: np.random.Generator, wavelength: float) -> Array:
        """Sum of random plane waves of about `wavelength` mm, unit variance, (I, J, K) float32."""
        waves = 20
        direction = rng.normal(size=(waves, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        pitch = 2 * np.pi / (wavelength * rng.uniform(0.7, 1.5, (waves, 1)))
        vectors = direction * pitch
        phase = rng.uniform(0, 2 * np.pi, waves) + vectors @ self.affine[:3, 3]
        steps = vectors @ self.affine[:3, :3]  # a plane wave is a product along the axes
        i, j, k = (
            np.exp(1j * steps[:, axis, None] * np.arange(n)).astype(np.complex64)
            for axis, n in enumerate(self.shape)
        )
        i = i * np.exp(1j * phase).astype(np.complex64)[:, None]
        plane = (i[:, :, None] * j[:, None, :]).reshape(waves, -1)
        total = (plane.real.T @ k.real - plane.imag.T @ k.imag).reshape(self.shape)
        return np.asarray(total * np.float32(np.sqrt(2 / waves)))


def scan_grid(case: Case) -> Grid:
    """Place the case's grid around the heart, turned by its tilt."""
    turn = Rotation.from_euler("xyz", case.tilt, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn * np.asarray(case.spacing)
    affine[:3, 3] = [-5, 1, -1] - affine[:3, :3] @ ((np.asarray(case.shape) - 1) / 2)
    return Grid(affine, case.shape)


def draw_patient(case: Case, rng: np.random.Generator) -> Patient:
    """Draw a heart of its own size, tilt and wall; the case says what is unusual about it."""
    u = np.array([0.66, -0.60, -0.45])
    v = np.array([-0.62, -0.78, 0.0])
    u /= np.linalg.norm(u)
    v -= (v @ u) * u
    v /= np.linalg.norm(v)
    tilt = Rotation.from_rotvec(np.radians(rng.normal(0, 8, 3))).as_matrix()
    size = case.size * rng.uniform(0.95, 1.05)
    return Patient(
        base=np.array([-14.0, 18.0, 12.0]) + rng.normal(0, 2.5, 3),
        axes=np.stack([u, v, np.cross(u, v)]) @ tilt.T,
        length=73 * size * rng.uniform(0.95, 1.05),
        radius=22.5 * size * rng.uniform(0.93, 1.07) * (1.06 - 0.06 * case.wall),
        wall=8.8 * case.wall * rng.uniform(0.92, 1.08),
        septal_excess=rng.uniform(0.1, 0.3),
        rv_width=21.0 * case.right * rng.uniform(0.92, 1.08),
        body_fat=rng.uniform(6, 12),
        diaphragm=-37 + rng.normal(0, 2),
        base_tilt=rng.normal(0, 0.08, 2),
    )


def sample_tissue(case: Case, fine: Grid, rng: np.random.Generator) -> Array:
    """Tissue on the fine grid, all of it bent by a smooth random displacement."""
    patient = draw_patient(case, rng)
    points = fine.points()
    for wavelength, reach in ((95.0, 3.4), (42.0, 1.2)):
        for axis in range(3):
            points[axis] += reach * fine.smooth_field(rng, wavelength)
    return paint(points, patient, lambda wavelength: fine.smooth_field(rng, wavelength))


def signal_of(tissue: Array, case: Case, fine: Grid, rng: np.random.Generator) -> Array:
    """Noise-free signal on the fine grid: tissue means of this scan, and texture in them."""
    mean = np.array([SIGNAL[kind] for kind in Tissue], np.float32)
    spread = np.full(mean.size, 0.07)
    spread[BLOOD] = 0.03  # blood of one heart differs little from chamber to chamber
    mean *= rng.normal(1, spread).astype(np.float32)
    mean[BLOOD] *= np.float32(rng.uniform(0.88, 1.08))
    muscle = mean[Tissue.MYOCARDIUM]
    mean[muscle < mean] = (muscle + case.contrast * (mean - muscle))[muscle < mean]
    texture = 0.05 * fine.smooth_field(rng, 14) + 0.07 * fine.smooth_field(rng, 40)
    lung = (tissue == Tissue.LUNG) * np.float32(0.25) * fine.smooth_field(rng, 20)
    return np.asarray(mean[tissue] * (1 + texture + lung))


def block_mean(values: Array, factors: tuple[int, int, int]) -> Array:
    """Average over blocks of `factors`: partial volume, (I*f, J*g, K*h) -> (I, J, K)."""
    f, g, h = factors
    i, j, k = values.shape
    blocks = values.reshape(i // f, f, j // g, g, k // h, h)
    return np.asarray(blocks.mean((1, 3, 5), dtype=np.float32))


def majority_label(tissue: Array, factors: tuple[int, int, int]) -> Array:
    """Class that fills most of every voxel, (I, J, K) uint8."""
    classes = CLASS_OF[tissue]
    shares = [block_mean(classes == k, factors) for k in range(len(CLASS_NAMES))]
    return np.asarray(np.argmax(np.stack(shares), axis=0), np.uint8)


def bias_field(case: Case, grid: Grid, rng: np.random.Generator) -> Array:
    """Receive coil: brighter near the chest wall, slowly uneven elsewhere."""
    _, y, _ = grid.points()
    falloff = -0.9 * case.bias * (y / 60)
    return np.asarray(np.exp(falloff + 0.7 * case.bias * grid.smooth_field(rng, 150)))


def acquire(signal: Array, case: Case, grid: Grid, rng: np.random.Generator) -> Array:
    """Point spread, coil bias and Rician noise of a magnitude image, uint8."""
    blurred = ndimage.gaussian_filter(signal, [0.9 / s for s in case.spacing])
    received = blurred * bias_field(case, grid, rng)
    real, imaginary = NOISE * rng.normal(size=(2, *signal.shape))
    magnitude = GAIN * np.hypot(received + real, imaginary)
    return np.asarray(np.clip(np.rint(magnitude), 0, 255), np.uint8)


def make_case(case: Case, seed: int) -> tuple[Array, Array, Grid]:
    """Image and true label on the case's grid; (I, J, K) towards left, posterior, superior."""
    rng = np.random.default_rng([seed, int(case.name[1:])])
    grid = scan_grid(case)
    i, j, k = (max(2, round(s / 1.2)) for s in case.spacing)  # to 1.5 mm or finer
    factors = (i, j, k)
    fine = grid.refined(factors)
    tissue = sample_tissue(case, fine, rng)
    label = majority_label(tissue, factors)
    signal = block_mean(signal_of(tissue, case, fine, rng), factors)
    return acquire(signal, case, grid, rng), label, grid


def spoil_label(label: Array) -> Array:
    """Annotation noise: myocardium too thick and shifted in some slices, a part of RV missed."""
    spoiled = label.copy()
    slices = np.flatnonzero((label == 2).sum((0, 1)) > 150)
    middle = slices[len(slices) // 2 - 3 : len(slices) // 2 + 3]
    for k in middle:
        thick = ndimage.binary_dilation(label[..., k] == 2, iterations=1)
        moved = np.roll(thick, (2, -1), (0, 1))
        cut = spoiled[..., k]
        cut[(cut == 2) & ~moved] = 0
        cut[moved] = 2
    right = np.argwhere(label == 3)
    missed = right[right[:, 2] > np.quantile(right[:, 2], 0.78)]
    spoiled[tuple(missed.T)] = 0
    return spoiled


def to_nifti(data: Array, grid: Grid, stored: str) -> nib.Nifti1Image:
    """NIfTI of the volume with its axes in the order and directions `stored` (three letters)."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine  # LPS -> RAS
    plain = nib.Nifti1Image(data, affine)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(stored))
    image = plain.as_reoriented(turn)
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"synthetic heart phantom, not a patient"
    return image


def write_nifti(path: Path, image: nib.Nifti1Image) -> None:
    """Write a gzip file without a time or a name in it, so that equal data are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, packed, mtime=0) as stream:
        stream.write(image.to_bytes())
    path.write_bytes(packed.getvalue())


def write_case(case: Case, seed: int, out: Path, truth: Path | None) -> None:
    """Write image, label (not for unlabeled cases) and, on request, the true label."""
    data, label, grid = make_case(case, seed)
    write_nifti(out / "images" / f"{case.name}.nii.gz", to_nifti(data, grid, case.stored))
    if truth is not None:
        write_nifti(truth / f"{case.name}.nii.gz", to_nifti(label, grid, case.stored))
    if case.role != "unlabeled":
        kept = spoil_label(label) if case.name in NOISY else label
        write_nifti(out / "labels" / f"{case.name}.nii.gz", to_nifti(kept, grid, case.stored))


def split() -> dict[str, Any]:
    """Roles of the cases, names and colours of the classes, as written to split.json."""
    roles = {
        role: [case.name for case in CASES if case.role == role]
        for role in ("labeled", "validation", "unlabeled")
    }
    return {
        "class_names": list(CLASS_NAMES),
        "class_colors": list(CLASS_COLORS),
        **roles,
        "noisy": list(NOISY),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here, help="folder of images/ and labels/")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="make these cases only")
    parser.add_argument("--with-truth", type=Path, metavar="DIR", help="also write all true labels")
    options = parser.parse_args()
    names = {case.name for case in CASES}
    if unknown := set(options.only or ()) - names:
        parser.error(f"got unknown cases {sorted(unknown)}; choose among {sorted(names)}")
    for case in CASES:
        if not options.only or case.name in options.only:
            write_case(case, options.seed, options.out, options.with_truth)
            print(case.name, case.role, flush=True)
    (options.out / "split.json").write_text(json.dumps(split(), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
