import io
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from napari_metassl.errors import MetaSSLError
from napari_metassl.method import trainer as trainer_module
from napari_metassl.method.losses import NotFiniteError
from napari_metassl.method.step_report import StepReport
from napari_metassl.method.strategies import STRATEGIES
from napari_metassl.method.trainer import Trainer
from napari_metassl.method.training_config import TrainingConfig
from napari_metassl.method.training_volume import TrainingVolume
from napari_metassl.method.validation import dice_per_class


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def net(seed: int = 0, dims: int = 3, channels=(8, 16), **options) -> nn.Module:
    torch.manual_seed(seed)
    return UNet(dims, 1, 3, channels, (2,) * (len(channels) - 1), **options)


def phantom(seed: int, labeled: bool = True, shape=(16, 18, 20)) -> TrainingVolume:
    """A bright box in a gray box in noise."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.int16)
    a = rng.integers(1, [s - 11 for s in shape])
    label[tuple(slice(i, i + 10) for i in a)] = 1
    label[tuple(slice(i + 3, i + 8) for i in a)] = 2
    image = np.array([-1.0, 0.3, 1.4])[label] + rng.normal(0, 0.25, shape)
    return TrainingVolume(f"p{seed}", image[None].astype(np.float32), label if labeled else None)


def sparse(seed: int) -> TrainingVolume:
    full = phantom(seed)
    corrected = np.random.default_rng(seed).random(full.label.shape) < 0.02
    label = np.where(corrected, full.label, -1).astype(np.int16)
    return TrainingVolume(f"s{seed}", full.image, label, corrected)


VOLUMES = [phantom(0), phantom(1), sparse(2), phantom(3, labeled=False), phantom(4, labeled=False)]
VALIDATION = [phantom(10), phantom(11)]


def settings(**changes) -> TrainingConfig:
    usual = {
        "steps": 12, "patch_size": (16, 16, 16), "batch_labeled": 1, "batch_unlabeled": 1,
        "learning_rate": 3e-2, "validate_every": 0, "device": "cpu",
    }  # fmt: skip
    return TrainingConfig(**(usual | changes))


def make(config: TrainingConfig, volumes=VOLUMES, validation=(), nets=None) -> Trainer:
    second = net(1) if config.strategy == "cps" else None
    dropout = {"dropout": 0.1} if config.strategy == "r_drop" else {}
    return Trainer(
        nets or (net(0, **dropout), second), volumes, config, classes=3, validation=validation
    )


def run(trainer: Trainer) -> list[StepReport]:
    return list(trainer.steps())


def weights(trainer: Trainer) -> list[torch.Tensor]:
    pair = (trainer.supervised, trainer.reference)
    return [value.clone() for one in pair for value in one.state_dict().values()]


def assert_same(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_learns_to_segment_unseen_volumes(strategy):
    trainer = make(settings(strategy=strategy, steps=60), validation=VALIDATION)
    reports = run(trainer)
    assert [report.step for report in reports] == list(range(1, 61))
    assert reports[-1].losses["supervised"] < 0.6 * reports[0].losses["supervised"]
    assert set(reports[-1].validation) == {"1", "2", "mean"}
    assert reports[-1].validation["mean"] > 0.6
    assert all(report.validation is None for report in reports[:-1])


def test_reports_are_plain_numbers_that_add_up():
    for report in run(make(settings(steps=3))):
        json.dumps(asdict(report))
        loss = report.losses
        hetero = loss["hetero_labeled"] + loss["hetero_unlabeled"]
        assert loss["total"] == pytest.approx(
            loss["supervised"] + loss["consistency"] * hetero, rel=1e-4
        )
        assert sum(report.shares.values()) == pytest.approx(1.0)
        assert np.shape(report.thresholds) == (2, 3)


@pytest.mark.parametrize("strategy", ["cps", "mean_teacher", "r_drop"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_weights_twice(strategy, optimizer):
    config = settings(strategy=strategy, optimizer=optimizer, steps=6)
    first, second, other = make(config), make(config), make(config.model_copy(update={"seed": 1}))
    for trainer in (first, second, other):
        torch.rand(3)  # whatever else draws random numbers does not matter
        run(trainer)
    assert_same(weights(first), weights(second))
    assert not torch.equal(weights(first)[0], weights(other)[0])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_resumed_run_ends_with_the_weights_of_one_that_was_not_stopped(strategy):
    config = settings(strategy=strategy)
    whole = make(config)
    run(whole)

    stopped = make(config)
    for report in stopped.steps():
        if report.step == 5:
            break
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)

    second = net(8) if strategy in ("cps", "cct") else None
    resumed = make(config, nets=(net(7, dropout=0.1 * (strategy == "r_drop")), second))
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.step == 5
    assert [report.step for report in resumed.steps()] == list(range(6, 13))
    assert_same(weights(whole), weights(resumed))
    assert np.array_equal(whole.thresholds, resumed.thresholds)


def test_resuming_with_other_settings_or_networks_is_refused():
    state = make(settings()).state_dict()
    with pytest.raises(MetaSSLError, match=r"other settings \(learning_rate\)"):
        make(settings(learning_rate=1e-3)).load_state_dict(state)
    big = net(0, channels=(8, 16, 16)), net(1)
    with pytest.raises(MetaSSLError, match="do not fit the networks"):
        make(settings(), nets=big).load_state_dict(state)


class _BreaksAt(nn.Module):
    """A network whose output is NaN from its n-th training call on."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.inner, self.left = net(0), calls

    def forward(self, image):
        self.left -= 1
        return self.inner(image) * (1.0 if self.left >= 0 else float("nan"))


def test_nan_stops_the_run_with_the_last_good_state_kept(monkeypatch):
    monkeypatch.setattr(trainer_module, "GOOD_STATE_EVERY", 2)
    config = settings(steps=10)
    trainer = make(config, nets=(_BreaksAt(5), net(1)))
    with pytest.raises(NotFiniteError, match=r"stopped in step 6, .* those of step 4") as caught:
        run(trainer)
    assert "Lower the learning rate" in str(caught.value)
    assert trainer.step == 4

    good = make(config)
    for report in good.steps():
        if report.step == 4:
            break
    assert_same(weights(good), weights(trainer))
    assert np.array_equal(good.thresholds, trainer.thresholds)


def test_an_infinite_gradient_never_reaches_the_weights():
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net(0)

        def forward(self, image):
            logits = self.inner(image)
            logits.register_hook(lambda gradient: gradient * float("inf"))
            return logits

    trainer = make(settings(), nets=(Explodes(), net(1)))
    before = weights(trainer)
    with pytest.raises(NotFiniteError, match="gradient is not finite"):
        run(trainer)
    assert_same(before, weights(trainer))


def test_stopping_in_the_middle_leaves_a_usable_pair():
    trainer = make(settings())
    for report in trainer.steps():
        if report.step == 3:
            break
    assert trainer.step == 3
    assert all(value.isfinite().all() for value in weights(trainer))
    assert trainer.thresholds.shape == (2, 3)


def test_best_state_is_kept_only_when_asked_for(monkeypatch):
    scores = iter([0.5, 0.9, 0.1] * 2)
    monkeypatch.setattr(
        trainer_module, "validate", lambda *_, **__: {"1": (mean := next(scores)), "mean": mean}
    )
    kept = {}
    for keep in ("best", "last"):
        trainer = make(settings(steps=3, validate_every=1, keep=keep), validation=VALIDATION)
        after_each = [weights(trainer) for _ in trainer.steps()]
        kept[keep] = [torch.equal(weights(trainer)[0], one[0]) for one in after_each]
        middle = after_each[1]
        if keep == "best":
            assert_same(weights(trainer), middle)
        else:
            assert not torch.equal(weights(trainer)[0], middle[0])


def test_corrections_alone_teach_where_nothing_else_is_labeled():
    def dice_after(volumes) -> float:
        trainer = make(settings(steps=60), volumes=volumes, validation=VALIDATION)
        return run(trainer)[-1].validation["mean"]

    assert dice_after([sparse(s) for s in range(3)] + VOLUMES[3:]) > 0.5


def test_two_architectures_teach_each_other():
    trainer = make(settings(steps=2), nets=(net(0), net(1, channels=(4, 8, 8))))
    before = weights(trainer)
    run(trainer)
    changed = [not torch.equal(a, b) for a, b in zip(before, weights(trainer), strict=True)]
    assert any(changed[:4]) and any(changed[-4:])


def test_slice_networks_learn_from_volumes_too():
    config = settings(patch_size=(16, 16), steps=60, batch_labeled=4, batch_unlabeled=4)
    trainer = make(config, nets=(net(0, dims=2), net(1, dims=2)), validation=VALIDATION)
    assert run(trainer)[-1].validation["mean"] > 0.5


def test_volumes_smaller_than_the_patch_train_without_their_padding_counting():
    config = settings(patch_size=(32, 24, 24), steps=2)
    reports = run(make(config))
    assert all(np.isfinite(report.losses["total"]) for report in reports)


def test_dice_counts_labeled_voxels_and_leaves_out_absent_classes():
    label = np.array([[[1, 1, 0, -1]]], np.int16)
    volume = TrainingVolume("v", np.zeros((1, 1, 1, 4), np.float32), label)
    answer = np.array([[[1, 0, 0, 1]]], np.uint8)
    scores = dice_per_class(answer, volume, classes=3)
    assert scores[0] == pytest.approx(2 / 3)
    assert np.isnan(scores[1])
