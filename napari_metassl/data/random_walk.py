"""Random walker: each free voxel gets the class whose seeds a walker reaches first (Grady 2006).

Grady, Random walks for image segmentation, IEEE TPAMI 28 (2006) 1768-1783.

Two things are other than in scikit-image: steps are weighted by voxel size in mm, as diffusion
on slices that are thicker than their pixels asks for, and only free voxels are looked at, which
makes it quick where most of the box is seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import cg

WALL = -1
"""Seed value of voxels no walker enters."""
BETA = 3.0
"""A step across a difference of one standard deviation is exp(-BETA) times as likely."""
_TOLERANCE = 1e-3
_FAINT = 1e-6  # a step across any edge stays possible

Seeds = npt.NDArray[np.signedinteger[Any]]
Floats = npt.NDArray[np.float64]


def random_walk(
    image: npt.NDArray[np.floating[Any]],
    seeds: Seeds,
    spacing: tuple[float, float, float],
    beta: float = BETA,
) -> Seeds:
    """Give every free voxel the seed class with the highest probability of being reached first.

    Solves the Dirichlet problem ``L_free,free x_k = -L_free,seed s_k`` for each class k with edge
    weights ``(h / d)^2 exp(-beta |g_i - g_j|^2)``, where d is the distance of the two voxels in
    mm, h the smallest one, and g the image in standard deviations.

    Parameters
    ----------
    image : (C, Z, Y, X)
        One or several channels.
    seeds : (Z, Y, X) integer
        0 free, 1, 2, ... seeds of a class, `WALL` neither.
    spacing
        Voxel size (dz, dy, dx) in mm.

    Returns
    -------
    (Z, Y, X) integer
        `seeds` with classes in the place of 0; free voxels that no seed can reach stay 0.
    """
    answer = seeds.copy()
    classes = np.unique(seeds[seeds > 0])
    if not len(classes) or seeds.all():
        return answer
    laplacian, pull = _equations(image, seeds, classes, _step_weights(spacing), beta)
    diagonal = laplacian.diagonal()
    inverse = sparse.diags(1 / np.where(diagonal > 0, diagonal, 1.0))
    reached = np.stack([cg(laplacian, one, rtol=_TOLERANCE, M=inverse)[0] for one in pull])
    best = classes[reached.argmax(axis=0)]
    answer[seeds == 0] = np.where(reached.max(axis=0) > 0, best, 0)
    return answer


def _step_weights(spacing: tuple[float, float, float]) -> Floats:
    found: Floats = (min(spacing) / np.asarray(spacing, np.float64)) ** 2
    return found


def _equations(
    image: npt.NDArray[np.floating[Any]],
    seeds: Seeds,
    classes: Seeds,
    step_weights: Floats,
    beta: float,
) -> tuple[sparse.csr_matrix, list[Floats]]:
    """Laplacian of the free voxels, and for each class how much its seeds pull at them."""
    walled = np.pad(seeds, 1, constant_values=WALL)  # so that every free voxel has six neighbours
    spread = image.std(axis=(1, 2, 3), dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0)[:, None]
    gray = np.pad(image, [(0, 0), (1, 1), (1, 1), (1, 1)]).reshape(len(image), -1)
    flat = walled.reshape(-1)
    free = np.flatnonzero(flat == 0)
    number = np.full(flat.size, -1, np.int32)
    number[free] = np.arange(len(free))
    diagonal = np.zeros(len(free))
    pull = [np.zeros(len(free)) for _ in classes]
    rows, columns, weights = [], [], []
    strides = (walled.shape[1] * walled.shape[2], walled.shape[2], 1)
    for stride, step in zip(strides, step_weights, strict=True):
        for there in (free + stride, free - stride):
            change = np.square((gray[:, there] - gray[:, free]) / scale).mean(axis=0)
            weight = (np.exp(-beta * change) + _FAINT) * step
            weight[flat[there] == WALL] = 0
            diagonal += weight
            for n, k in enumerate(classes):
                pull[n] += np.where(flat[there] == k, weight, 0)
            inner = np.flatnonzero(number[there] >= 0)
            rows.append(inner)
            columns.append(number[there[inner]])
            weights.append(-weight[inner])
    between = sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(free), len(free)),
    )
    return (between + sparse.diags(diagonal)).tocsr(), pull
