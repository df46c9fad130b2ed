"""The training loop: one trainer for all strategies, a generator of steps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.batch import Batch
from napari_metassl.method.losses import LossTerms, MetaSSLLoss, NotFiniteError
from napari_metassl.method.optimization import make_fabric, make_optimizer, polynomial_rate
from napari_metassl.method.patches import PatchSampler
from napari_metassl.method.step_report import StepReport
from napari_metassl.method.strategies import make_strategy
from napari_metassl.method.training_config import TrainingConfig
from napari_metassl.method.training_volume import TrainingVolume
from napari_metassl.method.validation import validate

__all__ = ["StepReport", "Trainer", "TrainingVolume"]

GOOD_STATE_EVERY = 50
"""Steps between the states that a run falls back to when its loss is no longer finite."""


class Trainer:
    """Trains a pair of networks on labeled, corrected and unlabeled volumes.

    Everything random in a step follows from the seed and the number of the step. So the same
    seed gives the same weights twice, and a run that was stopped and resumed from its
    ``state_dict`` gives the weights of a run that was not (on a CPU; a GPU's sums may differ in
    the last digit).

    Started by ``torchrun`` in several processes, each draws batches of its own, learns on its own
    device, and ends with the same networks: gradients are averaged, thresholds see all batches.

    Parameters
    ----------
    networks
        (supervised, reference); the reference may be None where the strategy makes it (Mean
        Teacher) or needs none (FixMatch, R-Drop). They are trained in place.
    volumes
        What each is used for follows from its labels.
    config
        All settings.
    classes
        C, the background included.
    validation
        Labeled volumes that are never trained on.

    Attributes
    ----------
    step
        Steps done.

    Raises
    ------
    MetaSSLError
        If a volume does not fit the classes, nothing is labeled, or the networks do not suit the
        strategy.

    Examples
    --------
    ::

        trainer = Trainer((net, None), volumes, TrainingConfig(strategy="mean_teacher"), classes=2)
        for report in trainer.steps():
            print(report.step, report.losses["total"])
        student, teacher = trainer.supervised, trainer.reference
    """

    def __init__(
        self,
        networks: tuple[nn.Module, nn.Module | None],
        volumes: Sequence[TrainingVolume],
        config: TrainingConfig,
        *,
        classes: int,
        validation: Sequence[TrainingVolume] = (),
    ) -> None:
        _check_volumes(volumes, validation, classes)
        self.config = config
        self.classes = classes
        self.step = 0
        self._validation = validation
        self._fabric = make_fabric(config)
        self._device = self._fabric.device
        self._sampler = PatchSampler(volumes, config, rank=self._fabric.global_rank)
        self._strategy = make_strategy(networks, config)
        self._loss = MetaSSLLoss(classes, config)
        self._module, self._optimizer = self._fabric.setup(
            self._strategy, make_optimizer(self._strategy, config)
        )
        self._good = self._weights()
        self._best: tuple[float, dict[str, Any]] | None = None

    @property
    def supervised(self) -> nn.Module:
        """The network whose answer is corrected: student, network 1, strong view."""
        return self._strategy.supervised

    @property
    def reference(self) -> nn.Module:
        """The network it is compared with: teacher, network 2, weak view."""
        return self._strategy.reference

    @property
    def thresholds(self) -> npt.NDArray[np.float64]:
        """Unlabeled thresholds in use, (supervised, reference) x classes."""
        stored: npt.NDArray[np.float64] = self._loss.thresholds.stored[:, 0].cpu().double().numpy()
        return np.minimum(stored.round(6), self.config.cap)  # 0.9, not float32's 0.8999999761

    def steps(self) -> Iterator[StepReport]:
        """Train step by step up to the configured number; stop iterating to cancel.

        Raises
        ------
        NotFiniteError
            If the loss or its gradient is NaN or infinite; the networks then hold the last good
            state.
        """
        began = time.perf_counter()
        for batch in self._batches():
            self._set_learning_rate()
            try:
                terms = self._learn(batch)
            except NotFiniteError as problem:
                raise self._back_to_good_state(problem) from problem
            self._strategy.after_step(self.step)
            self.step += 1
            if self.step % GOOD_STATE_EVERY == 0:
                self._good = self._weights()
            validation = self._validate() if self._is_validation_step() else None
            if self.step == self.config.steps:
                self._choose_kept_state()
            yield self._report(terms, validation, time.perf_counter() - began)

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resumption needs: tensors and plain data only.

        The random states and the sampler's are in it as the number of the step.
        """
        return {
            "step": self.step,
            "settings": self.config.model_dump(mode="json"),
            "strategy": self._strategy.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
            "thresholds": self._loss.thresholds.state_dict(),
            "good": self._good,
            "best": self._best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state returned by ``state_dict`` of a run with the same settings.

        Raises
        ------
        MetaSSLError
            If the run had other settings, or its weights do not fit the networks.
        """
        settings = self.config.model_dump(mode="json")
        free = {"device", "validate_every"}
        changed = [
            k for k, v in settings.items() if k not in free and state["settings"].get(k) != v
        ]
        if changed:
            raise MetaSSLError(
                f"The run to resume had other settings ({', '.join(changed)}), expected the same. "
                "Resume with its own settings or start a new run."
            )
        try:
            self._strategy.load_state_dict(state["strategy"])
        except RuntimeError as problem:
            raise MetaSSLError(
                f"The weights to resume do not fit the networks ({str(problem).splitlines()[-1]}). "
                "Build the networks of that run."
            ) from problem
        self._optimizer.load_state_dict(state["optimizer"])
        self._fabric.strategy.precision.load_state_dict(state["precision"])
        self._loss.thresholds.load_state_dict(state["thresholds"])
        self.step, self._good, self._best = state["step"], state["good"], state["best"]

    def _batches(self) -> Iterator[Batch]:
        """Draw the batches of the remaining steps; on a GPU, the next one meanwhile."""
        remaining = range(self.step, self.config.steps)
        if self._device.type == "cpu":
            yield from (self._sampler.batch(step) for step in remaining)
            return
        with ThreadPoolExecutor(max_workers=1) as pool:
            coming = pool.submit(self._sampler.batch, self.step)
            for step in remaining:
                batch = coming.result()
                coming = pool.submit(self._sampler.batch, step + 1)
                yield batch.map(Tensor.pin_memory).to(self._device)

    def _learn(self, batch: Batch) -> LossTerms:
        """One step: predict, weigh, and move the weights."""
        torch.manual_seed(self._step_seed())
        self._strategy.train()
        batch = self._strategy.prepare(batch.to(self._device))
        logits = self._module(batch.image)
        terms = self._loss(
            logits,
            batch.label,
            corrected=batch.corrected,
            valid=batch.valid,
            consistency=self.config.consistency_weight(self.step),
            links=self._strategy.links,
        )
        self._optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(terms.total)
        norm = self._fabric.clip_gradients(
            self._module,
            self._optimizer,
            max_norm=self.config.gradient_clip or math.inf,
            error_if_nonfinite=False,
        )
        # with 16-bit gradients an overflow is normal: the scaler leaves the step out
        if self._fabric.strategy.precision.precision != "16-mixed" and not bool(norm.isfinite()):
            raise NotFiniteError(
                "The gradient is not finite. Lower the learning rate or clip the gradient."
            )
        self._optimizer.step()
        return terms

    def _step_seed(self) -> int:
        sequence = np.random.SeedSequence([self.config.seed, self._fabric.global_rank, self.step])
        return int(sequence.generate_state(1)[0])

    def _set_learning_rate(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = polynomial_rate(self.step, self.config)

    def _is_validation_step(self) -> bool:
        every = self.config.validate_every
        due = self.step == self.config.steps or (every > 0 and self.step % every == 0)
        return due and bool(self._validation)

    def _validate(self) -> dict[str, float]:
        networks = list(dict.fromkeys((self.supervised, self.reference)))
        scores = validate(
            networks,
            self._validation,
            self.classes,
            patch_size=self.config.patch_size,
            device=str(self._device),
        )
        if self.config.keep == "best" and (self._best is None or scores["mean"] > self._best[0]):
            self._best = (scores["mean"], self._weights())
        return scores

    def _weights(self) -> dict[str, Any]:
        """Copy what makes the pair: weights, thresholds and the step they are of."""
        weights = self._strategy.state_dict()
        return {
            "step": self.step,
            "strategy": {name: value.detach().cpu().clone() for name, value in weights.items()},
            "thresholds": self._loss.thresholds.state_dict(),
        }

    def _restore(self, weights: dict[str, Any]) -> None:
        self._strategy.load_state_dict(weights["strategy"])
        self._loss.thresholds.load_state_dict(weights["thresholds"])

    def _choose_kept_state(self) -> None:
        if self.config.keep == "best" and self._best is not None:
            self._restore(self._best[1])

    def _back_to_good_state(self, problem: NotFiniteError) -> NotFiniteError:
        failed = self.step + 1
        self._restore(self._good)
        self.step = self._good["step"]
        return NotFiniteError(
            f"Training stopped in step {failed}, the networks are those of step {self.step}. "
            f"{problem}"
        )

    def _report(
        self, terms: LossTerms, validation: dict[str, float] | None, seconds: float
    ) -> StepReport:
        losses = {
            "total": float(terms.total.detach()),
            "supervised": sum(terms.supervised),
            "hetero_labeled": sum(terms.hetero_labeled),
            "hetero_unlabeled": sum(terms.hetero_unlabeled),
            "consistency": self.config.consistency_weight(self.step - 1),
        }
        return StepReport(
            step=self.step,
            steps=self.config.steps,
            losses=losses,
            shares=dict(zip(("UC", "US", "DC", "DS"), terms.shares, strict=True)),
            thresholds=tuple(tuple(row) for row in self.thresholds.tolist()),
            validation=validation,
            seconds=seconds,
        )


def _check_volumes(
    volumes: Sequence[TrainingVolume], validation: Sequence[TrainingVolume], classes: int
) -> None:
    if not volumes:
        raise MetaSSLError("There are no training volumes, expected at least one labeled one.")
    for volume in (*volumes, *validation):
        volume.check(classes, channels=len(volumes[0].image))
    for volume in validation:
        if not volume.has_labels:
            raise MetaSSLError(
                f"Validation volume '{volume.name}' has no labels, expected a labeled one. "
                "Label it or use it as an unlabeled training volume."
            )
