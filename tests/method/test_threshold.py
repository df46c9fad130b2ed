import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_metassl.method.threshold import AdaptiveThresholds, class_bins
from napari_metassl.method.voxel_kinds import Kind, what_is_known


def observe(thresholds: AdaptiveThresholds, label, confidence, kind) -> None:
    kind = torch.tensor(kind)
    known = what_is_known(
        label=torch.where(kind == Kind.UNLABELED, -1, 0),
        corrected=kind == Kind.CORRECTED,
        valid=kind != Kind.IGNORED,
    )
    bins = class_bins(torch.tensor(label, dtype=torch.uint8), known, thresholds.classes)
    thresholds.update(0, bins, torch.tensor(confidence))


def test_update_follows_the_formula_for_labeled_and_unlabeled_apart():
    thresholds = AdaptiveThresholds(classes=2, start=0.8, momentum=0.25)
    observe(
        thresholds,
        label=[0, 0, 1, 1, 0],
        confidence=[0.9, 0.7, 0.6, 0.95, 0.2],
        kind=[Kind.UNLABELED, Kind.UNLABELED, Kind.UNLABELED, Kind.LABELED, Kind.IGNORED],
    )
    unlabeled, labeled = thresholds.stored[0]
    assert unlabeled[0] == pytest.approx(0.25 * (1.6 / 3) + 0.75 * 0.8)
    assert unlabeled[1] == pytest.approx(0.25 * (0.6 / 2) + 0.75 * 0.8)
    assert labeled[1] == pytest.approx(0.25 * (0.95 / 2) + 0.75 * 0.8)
    assert labeled[0] == pytest.approx(0.8)  # only an ignored voxel: absent
    assert torch.equal(thresholds.stored[1], torch.full((2, 2), 0.8))  # the other network


def test_a_class_absent_for_many_batches_keeps_its_threshold():
    thresholds = AdaptiveThresholds(classes=3)
    for _ in range(50):
        observe(thresholds, [0] * 99, [0.99] * 99, [Kind.UNLABELED] * 99)
    assert thresholds.stored[0, 0, 1:].tolist() == pytest.approx([0.9, 0.9])
    assert thresholds.stored[0, 0, 0].item() == pytest.approx(0.99 * 99 / 100, rel=1e-5)


def test_corrected_voxels_move_the_labeled_thresholds():
    thresholds = AdaptiveThresholds(classes=2)
    observe(thresholds, [1], [0.6], [Kind.CORRECTED])
    assert thresholds.stored[0, 1, 1].item() == pytest.approx(0.5 * 0.3 + 0.5 * 0.9)
    assert thresholds.stored[0, 0, 1].item() == pytest.approx(0.9)


@settings(max_examples=30, deadline=None)
@given(confidence=st.floats(0.5, 1.0), cap=st.floats(0.5, 1.0))
def test_cap_limits_what_is_used_not_what_is_stored(confidence, cap):
    thresholds = AdaptiveThresholds(classes=2, cap=cap)
    for _ in range(30):
        observe(thresholds, [0] * 999, [confidence] * 999, [Kind.UNLABELED] * 999)
    assert thresholds.stored[0, 0, 0].item() == pytest.approx(confidence * 0.999, rel=1e-4)
    assert thresholds.used[0, 0, 0].item() == pytest.approx(min(confidence * 0.999, cap), rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 0.9))
def test_a_quantile_makes_that_part_of_every_class_suspicious(seed, quantile):
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, 4000)
    confidence = 1 - 0.5 * random.random(4000) ** (1 + label)
    thresholds = AdaptiveThresholds(classes=2, cap=1.0, momentum=1.0, quantile=quantile)
    observe(thresholds, label.tolist(), confidence.tolist(), [Kind.UNLABELED] * 4000)
    for k in range(2):
        suspicious = confidence[label == k] <= thresholds.used[0, 0, k].item()
        assert suspicious.mean() == pytest.approx(quantile, abs=0.03)  # levels are steps
    assert thresholds.stored[0, 1].tolist() == pytest.approx([0.9, 0.9])  # nothing is labeled


def test_nan_leaves_its_trace_in_a_quantile_too():
    thresholds = AdaptiveThresholds(classes=2, quantile=0.1)
    observe(thresholds, [0, 0, 1], [0.9, float("nan"), 0.8], [Kind.UNLABELED] * 3)
    assert thresholds.stored[0, 0].isnan().tolist() == [True, False]


def test_state_survives():
    thresholds = AdaptiveThresholds(classes=2)
    observe(thresholds, [0, 1], [0.7, 0.6], [Kind.UNLABELED] * 2)
    other = AdaptiveThresholds(classes=2)
    other.load_state_dict(thresholds.state_dict())
    assert torch.equal(other.stored, thresholds.stored)
