import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_metassl.method.losses import ONE_SIDED, MetaSSLLoss
from napari_metassl.method.training_config import LossConfig, RegionWeights, TrainingConfig

ROOT = Path(__file__).parents[2]
VECTORS = Path(os.environ.get("METASSL_VECTORS", ROOT.parent / "shared" / "vectors"))
PAPER = LossConfig()
seeds = st.integers(0, 10_000)
few = settings(max_examples=25, deadline=None)


def random_batch(seed, classes=3, spatial=(4, 5, 6), batch=4):
    """Logits of two predictions that mostly agree, and labels: full, sparse, sparse, none."""
    random = torch.Generator().manual_seed(seed)
    shared = 3.0 * torch.randn((batch, classes, *spatial), generator=random)
    logits = [
        (shared + torch.randn(shared.shape, generator=random)).requires_grad_() for _ in range(2)
    ]
    label = torch.randint(0, classes, (batch, *spatial), generator=random)
    some = torch.rand(label.shape, generator=random)
    label[1][some[1] > 0.5] = -1
    label[2][some[2] > 0.1] = -1
    label[3:] = -1
    corrected = (label >= 0) & (torch.arange(batch) == 2).view(-1, *[1] * len(spatial))
    return logits, label, corrected


def straightforward(logits, label, corrected, config, consistency=0.1):
    """The loss as METHOD writes it: masks, and one cross-entropy per region and direction."""
    classes = logits[0].shape[1]
    labeled = label >= 0
    confidence, predicted = zip(*(x.softmax(1).max(1) for x in logits), strict=True)
    regions = []
    for own in range(2):
        used = torch.zeros_like(confidence[own])
        for mask in (labeled, ~labeled):
            for k in range(classes):
                voxels = mask & (predicted[own] == k)
                tau = config.threshold_start
                if voxels.any():
                    mean = confidence[own][voxels].sum() / (voxels.sum() + 1)
                    tau = 0.5 * mean.item() + 0.5 * tau
                used[voxels] = min(tau, config.cap)
        confident, same = confidence[own] > used, predicted[0] == predicted[1]
        foreground = predicted[own] > 0
        regions.append(
            [same & confident & foreground, same & confident & ~foreground,
             same & ~confident, ~same & confident, ~same & ~confident]
        )  # fmt: skip
    total = 0.0
    for own in range(2):
        own_ce = F.cross_entropy(logits[own], label.clamp(min=0), reduction="none")
        pseudo_ce = F.cross_entropy(logits[own], predicted[1 - own], reduction="none")
        total = total + 0.5 * own_ce[labeled].mean()
        dice = 0.0
        for k in range(classes):
            p, y = logits[own].softmax(1)[:, k][labeled], (label[labeled] == k).float()
            dice = dice + (2 * (p * y).sum() + 1e-5) / ((p * p).sum() + y.sum() + 1e-5)
        total = total + 0.5 * (1 - dice / classes)
        hetero = 0.0
        w = config.weights_labeled
        for weight, region in zip((w.uc, *w.values), regions[own], strict=True):
            mask = region & labeled
            each = torch.full_like(own_ce, weight)
            each[corrected] = max(weight, w.uc) * config.correction_gain
            n = mask.sum() if config.normalisation == "region" else labeled.sum()
            hetero = hetero + (each * own_ce)[mask].sum() / (n + 1)
        w = config.weights_unlabeled
        for weight, region in zip((w.uc, *w.values), regions[1 - own], strict=True):
            mask = region & ~labeled
            n = mask.sum() if config.normalisation == "region" else (~labeled).sum()
            hetero = hetero + weight * pseudo_ce[mask].sum() / (n + 1)
        total = total + consistency * hetero
    return total


def gradients(total, logits):
    return torch.autograd.grad(total, logits, retain_graph=True)


@few
@given(
    seed=seeds,
    classes=st.integers(2, 5),
    spatial=st.sampled_from([(7, 6), (4, 5, 6)]),
    preset=st.sampled_from(["paper", "rational"]),
    normalisation=st.sampled_from(["region", "voxel"]),
    gain=st.sampled_from([1.0, 3.0]),
)
def test_equals_the_straightforward_loss(seed, classes, spatial, preset, normalisation, gain):
    weights = getattr(RegionWeights, preset)
    config = LossConfig(
        weights_unlabeled=weights(),
        weights_labeled=weights(labeled=True),
        normalisation=normalisation,
        correction_gain=gain,
    )
    logits, label, corrected = random_batch(seed, classes, spatial)
    expected = straightforward(logits, label, corrected, config)
    terms = MetaSSLLoss(classes, config)(logits, label, corrected=corrected)
    torch.testing.assert_close(terms.total, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(
        gradients(terms.total, logits), gradients(expected, logits), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_total_is_the_sum_of_its_terms():
    logits, label, corrected = random_batch(1)
    terms = MetaSSLLoss(3)(logits, label, corrected=corrected, consistency=0.07)
    hetero = sum(terms.hetero_labeled) + sum(terms.hetero_unlabeled)
    assert terms.total.item() == pytest.approx(sum(terms.supervised) + 0.07 * hetero, rel=1e-5)
    assert sum(terms.shares) == pytest.approx(1.0)


@few
@given(seed=seeds)
def test_permuting_foreground_classes_changes_nothing_but_their_order(seed):
    logits, label, corrected = random_batch(seed, classes=4)
    order = [0, 3, 1, 2]
    place = torch.tensor([order.index(k) for k in range(4)])
    permuted = [x[:, order] for x in logits]
    moved = torch.where(label >= 0, place[label.clamp(min=0)], -1)
    first, second = MetaSSLLoss(4), MetaSSLLoss(4)
    one = first(logits, label, corrected=corrected)
    two = second(permuted, moved, corrected=corrected)
    torch.testing.assert_close(one.total, two.total, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(first.thresholds.stored[..., order], second.thresholds.stored)
    torch.testing.assert_close(
        gradients(one.total, logits)[0], gradients(two.total, logits)[0], rtol=1e-4, atol=1e-6
    )


def test_weight_of_an_empty_region_changes_nothing():
    logits, label, _ = random_batch(3)
    same = [logits[0], logits[0].detach().clone()]  # nothing is discrepant
    heavy = RegionWeights(uc=50, us=40, dc=1e6, ds=1e6)
    light = RegionWeights(uc=50, us=40, dc=0, ds=0)
    totals = [
        MetaSSLLoss(3, LossConfig(weights_unlabeled=w, weights_labeled=w))(same, label).total
        for w in (heavy, light)
    ]
    assert torch.equal(*totals)


@few
@given(seed=seeds)
def test_equal_weights_leave_the_mean_over_regions(seed):
    logits, label, _ = random_batch(seed)
    label[1:] = -1
    equal = RegionWeights.equal(1.0)
    terms = MetaSSLLoss(3, LossConfig(weights_unlabeled=equal, weights_labeled=equal))(
        logits, label, links=ONE_SIDED
    )
    ce = F.cross_entropy(logits[0], logits[1].argmax(1), reduction="none")[1:]
    region, foreground = terms.regions[0][1:], logits[1].argmax(1)[1:] > 0
    means = [
        ce[mask].sum() / (mask.sum() + 1)
        for r in range(1, 5)
        for mask in (
            [(region == r) & foreground, (region == r) & ~foreground] if r == 1 else [region == r]
        )
    ]
    assert terms.hetero_unlabeled[0] == pytest.approx(sum(means).item(), rel=1e-4)


def test_gradient_never_reaches_the_reference():
    logits, label, corrected = random_batch(5)
    MetaSSLLoss(3)(logits, label, corrected=corrected, links=ONE_SIDED).total.backward()
    assert logits[0].grad is not None and logits[0].grad.abs().sum() > 0
    assert logits[1].grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_close(dtype):
    logits, label, corrected = random_batch(6)
    half = [x.detach().mul(3).to(dtype).requires_grad_() for x in logits]
    full = [x.detach().float().requires_grad_() for x in half]
    ours = MetaSSLLoss(3)(half, label, corrected=corrected).total
    exact = MetaSSLLoss(3)(full, label, corrected=corrected).total
    torch.testing.assert_close(ours, exact, rtol=1e-4, atol=0.0)
    for coarse, fine in zip(gradients(ours, half), gradients(exact, full), strict=True):
        assert coarse.dtype == dtype and coarse.isfinite().all()
        torch.testing.assert_close(coarse.float(), fine, rtol=0.02, atol=1e-4)


@few
@given(seed=seeds)
def test_sparse_corrections_of_no_voxel_are_unlabeled(seed):
    logits, label, _ = random_batch(seed)
    label[1:] = -1
    nothing = torch.zeros(label.shape, dtype=torch.bool)
    everything = torch.ones(label.shape, dtype=torch.bool)
    everything[0] = False
    without = MetaSSLLoss(3)(logits, label).total
    assert torch.equal(MetaSSLLoss(3)(logits, label, corrected=nothing).total, without)
    assert torch.equal(MetaSSLLoss(3)(logits, label, corrected=everything).total, without)


@few
@given(seed=seeds)
def test_sparse_corrections_of_every_voxel_are_labeled_and_never_down_weighted(seed):
    logits, label, _ = random_batch(seed)
    label.clamp_(min=0)
    all_of_it = torch.ones(label.shape, dtype=torch.bool)
    uc = PAPER.weights_labeled.uc
    undiminished = LossConfig(weights_labeled=RegionWeights.equal(uc))
    corrected = MetaSSLLoss(3)(logits, label, corrected=all_of_it)
    labeled = MetaSSLLoss(3, undiminished)(logits, label)
    torch.testing.assert_close(corrected.total, labeled.total)
    assert corrected.total > MetaSSLLoss(3)(logits, label).total  # plain labels: less weight


def test_padding_enters_nothing():
    logits, label, corrected = random_batch(7)
    padded = [F.pad(x.detach(), (0, 3), value=9.0).requires_grad_() for x in logits]
    wide_label = F.pad(label, (0, 3), value=-1)
    valid = F.pad(torch.ones_like(label, dtype=torch.bool), (0, 3), value=False)
    plain, wide = MetaSSLLoss(3), MetaSSLLoss(3)
    expected = plain(logits, label, corrected=corrected)
    got = wide(padded, wide_label, corrected=F.pad(corrected, (0, 3)), valid=valid)
    torch.testing.assert_close(got.total, expected.total)
    assert torch.equal(plain.thresholds.stored, wide.thresholds.stored)
    assert gradients(got.total, padded)[0][..., -3:].abs().max() == 0
    assert (got.regions[0][..., -3:] == 0).all()


@pytest.mark.parametrize(("kind", "weight"), [("uniform", 2.0), ("none", 2.0)])
def test_plain_forms_of_a_strategy(kind, weight):
    logits, label, _ = random_batch(8)
    terms = MetaSSLLoss(3, LossConfig(unlabeled_loss=kind, uniform_weight=weight))(
        logits, label, links=ONE_SIDED
    )
    ce = F.cross_entropy(logits[0].detach(), logits[1].argmax(1), reduction="none")[label < 0]
    expected = weight * ce.sum() / (len(ce) + 1) if kind == "uniform" else 0.0
    assert terms.hetero_unlabeled[0] == pytest.approx(float(expected), rel=1e-4)
    assert terms.hetero_labeled == (0.0,)


def test_presets_are_those_of_the_paper():
    assert RegionWeights.paper().values == pytest.approx((50, 40.3, 8.88, 0.147), rel=5e-3)
    assert RegionWeights.paper(labeled=True).values == pytest.approx(
        (85, 82.7, 68.5, 41.0), rel=2e-3
    )
    assert RegionWeights.rational().values == pytest.approx((50, 40, 0.2048, 6.4))
    assert RegionWeights.rational(labeled=True).values == pytest.approx(
        (50, 33.333, 14.815, 22.222), rel=1e-4
    )


def test_lambda_ramps_up_over_a_fraction_of_the_run():
    config = TrainingConfig(steps=100, ramp_fraction=0.5, consistency=0.1)
    assert config.consistency_weight(0) == pytest.approx(0.1 * np.exp(-5))
    assert config.consistency_weight(25) == pytest.approx(0.1 * np.exp(-1.25))
    assert config.consistency_weight(50) == config.consistency_weight(99) == 0.1
    assert TrainingConfig(ramp_fraction=0.0).consistency_weight(0) == 0.1


def check_vectors():
    path = ROOT / "benchmarks" / "check_vectors.py"
    spec = importlib.util.spec_from_file_location("check_vectors", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(
    not VECTORS.is_dir(), reason=f"recorded steps not found in {VECTORS}; set METASSL_VECTORS"
)
def test_recorded_steps_are_reproduced(capsys):
    assert check_vectors().main([str(VECTORS)]) == 0
    assert "TOO LARGE" not in capsys.readouterr().out


@pytest.fixture
def recorded(tmp_path):
    """Write a step of another shape, 2D and 3 classes, as the straightforward loss gives it."""
    logits, label, _ = random_batch(11, classes=3, spatial=(9, 8), batch=3)
    label[0], label[1:] = label[0].clamp(min=0), 0
    config = LossConfig(threshold_start=0.7)
    masked = label.clone()
    masked[1:] = -1
    none = torch.zeros_like(label, dtype=torch.bool)
    total = straightforward(logits, masked, none, config, consistency=0.2)
    inputs = {
        "logits_a": logits[0].detach().numpy(), "logits_b": logits[1].detach().numpy(),
        "label": label.numpy(), "n_labeled": 1, "threshold_init": 0.7, "momentum": 0.5,
        "threshold_cap": 0.9, "weights_unlabeled": config.weights_unlabeled.values,
        "weights_labeled": config.weights_labeled.values, "consistency_weight": 0.2,
    }  # fmt: skip
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    expected = check_vectors().compute(arrays)
    grads = [g.numpy() for g in gradients(total, logits)]
    expected |= {"total": total.detach().numpy(), "grad_a": grads[0], "grad_b": grads[1]}
    file = tmp_path / "step.npz"
    np.savez(file, **arrays, **expected)
    return file


def test_check_of_recorded_steps_fails_on_each_kind_of_difference(recorded, capsys):
    check = check_vectors()
    assert check.main([str(recorded.parent)]) == 0
    with np.load(recorded) as archive:
        good = dict(archive)
    for name, change in {
        "total": lambda x: x * 1.0003,
        "grad_b": lambda x: x + 2e-4 * np.abs(x).max(),
        "region_a_unlabeled": lambda x: 5 - x,
        "threshold_a_labeled": lambda x: x * np.nan,
    }.items():
        np.savez(recorded, **(good | {name: change(good[name])}))
        capsys.readouterr()
        assert check.main([str(recorded.parent)]) == 1, name
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines if "TOO LARGE" in line] == [name]


def test_check_of_an_empty_folder_says_so(tmp_path, capsys):
    assert check_vectors().main([str(tmp_path)]) == 1
    assert "expected recorded steps" in capsys.readouterr().err
