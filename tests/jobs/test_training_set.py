"""What people confirmed and corrected is what the loss is given, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SIZE

from napari_metassl.data.corrections import BACKGROUND_MARK, Provenance
from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.project import Project
from napari_metassl.jobs.training_set import gather_training_set
from napari_metassl.method.losses import MetaSSLLoss
from napari_metassl.method.network_config import NetworkConfig


@pytest.fixture
def card() -> ModelCard:
    network = NetworkConfig(architecture="UNet", classes=2, options={"channels": [4, 8]})
    return ModelCard(
        name="pair",
        class_names=("background", "ball"),
        supervised=network,
        reference=network,
        patch_size=(SIZE,) * 3,
    )


def review(project: Project) -> None:
    """Confirm a block of background, correct a block to ball, take back part of either."""
    predicted = np.zeros((SIZE,) * 3, np.uint8)
    with project.corrections("v4") as corrections:
        corrections.labels[2:4, 2:6, 2:6] = BACKGROUND_MARK
        corrections.record("confirm", None, predicted)
        corrections.labels[8:10, 8:10, 8:12] = 1
        corrections.record("take B's label", None, predicted)
        corrections.labels[2:4, 2, 2:6] = 0
        corrections.labels[8, 8, 8] = 0
        corrections.record("erase", None, predicted)


def test_provenance_decides_what_is_labeled(project: Project, card: ModelCard, tmp_path: Path):
    review(project)
    found = gather_training_set(project, card, tmp_path / "cache", lambda _name, _share: None)
    volumes = {volume.name: volume for volume in found.volumes}
    provenance = project.corrections("v4", writable=False).provenance
    v4 = volumes["v4"]
    assert v4.corrected is not None and v4.label is not None
    np.testing.assert_array_equal(v4.corrected, provenance != Provenance.PREDICTED)
    assert (v4.label[provenance == Provenance.CONFIRMED] == 0).all()
    assert (v4.label[provenance == Provenance.CORRECTED] == 1).all()
    assert (v4.label[provenance == Provenance.PREDICTED] == -1).all()
    counts = [(provenance == kind).sum() for kind in (Provenance.CONFIRMED, Provenance.CORRECTED)]
    assert counts == [24, 15] and found.corrected_voxels == 39
    assert volumes["v5"].label is None and volumes["v5"].corrected is None
    assert volumes["v0"].corrected is None and volumes["v0"].is_fully_labeled


def test_both_kinds_pull_the_networks_to_what_was_said(
    project: Project, card: ModelCard, tmp_path: Path
):
    review(project)
    found = gather_training_set(project, card, tmp_path / "cache", lambda _name, _share: None)
    v4 = next(volume for volume in found.volumes if volume.name == "v4")
    assert v4.corrected is not None and v4.label is not None
    label = torch.from_numpy(np.asarray(v4.label, np.int64))[None]
    corrected = torch.from_numpy(np.asarray(v4.corrected))[None]
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn((1, 2, *label.shape[1:]), generator=generator) for _ in range(2)]
    for one in logits:
        one.requires_grad_()
    loss = MetaSSLLoss(classes=2)
    loss(logits, label, corrected=corrected).total.backward()
    toward = -logits[0].grad[0]  # where a step of descent pushes the logits
    for said in (0, 1):
        pushed = toward[said][label[0] == said]
        assert len(pushed) and (pushed > 0).all()
