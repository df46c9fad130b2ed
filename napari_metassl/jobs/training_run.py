"""The training steps of a job: settings fixed, progress reported, checkpoints kept."""

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.model_pair import ModelPair, save_pair
from napari_metassl.errors import Cancelled
from napari_metassl.jobs.checkpoint import load_checkpoint, save_checkpoint
from napari_metassl.jobs.job_run import JobRun
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.jobs.training_set import TrainingSet
from napari_metassl.method.network_config import fit_patch_size
from napari_metassl.method.trainer import StepReport, Trainer
from napari_metassl.method.training_config import TrainingConfig

READ, TRAINED = 0.05, 0.9
"""Shares of the job that are done once the volumes are read, and once training is over."""
WARM_UP, MEASURED = 2, 10
"""Steps that do not count, and that count, when the speed is measured."""
MEASURING_SHARE = 0.1
"""Part of the given time that measuring may take."""


@dataclass(eq=False)
class TrainingRun:
    """The training of one job: settings fixed, steps done, checkpoints kept.

    Attributes
    ----------
    settings : TrainingConfig
        With the patch that fits the networks and, when there is a time, the number of steps.
    """

    spec: FineTuneSpec
    run: JobRun
    start: ModelPair
    data: TrainingSet
    settings: TrainingConfig = field(init=False)
    trainer: Trainer = field(init=False)
    validation: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        patch = fit_patch_size(self.spec.training.patch_size, *self.start.card.networks)
        self.settings = self.spec.training.model_copy(update={"patch_size": patch})

    def do(self) -> None:
        """Train to the end, from the checkpoint when there is one."""
        stored = load_checkpoint(self.run.job.folder)
        if stored is not None:
            self.settings = TrainingConfig.model_validate(stored["trainer"]["settings"])
            self.seconds, self.validation = stored["seconds"], stored["validation"]
        elif self.spec.minutes is not None:
            self.run.report("Measuring the speed", READ, always=True)
            self.settings = self._within(self.spec.minutes)
        self.trainer = self._new_trainer(self.start.networks, self.settings)
        if stored is not None:
            self.trainer.load_state_dict(stored["trainer"])
        self._steps()

    def _steps(self) -> None:
        begun, saved, before = time.monotonic(), time.monotonic(), self.seconds
        first = self.trainer.step
        for report in self.trainer.steps():
            self.seconds = before + time.monotonic() - begun
            if report.validation is not None:
                self.validation.append({"step": report.step, **report.validation})
            self._report(report, (time.monotonic() - begun) / (report.step - first))
            stop = self.run.stop_requested() and report.step < report.steps
            if stop or time.monotonic() - saved > self.spec.checkpoint_seconds:
                self._checkpoint()
                saved = time.monotonic()
            if stop:
                self._keep_unfinished(report)

    def _report(self, report: StepReport, seconds_a_step: float) -> None:
        share = report.step / report.steps
        left = (report.steps - report.step) * seconds_a_step
        self.run.report(
            "Training",
            READ + (TRAINED - READ) * share,
            always=report.validation is not None or report.step in {1, report.steps},
            **(asdict(report) | {"seconds": self.seconds, "seconds_left": left}),
        )

    def _checkpoint(self) -> None:
        save_checkpoint(
            self.run.job.folder,
            {
                "trainer": self.trainer.state_dict(),
                "seconds": self.seconds,
                "validation": self.validation,
            },
        )

    def _keep_unfinished(self, report: StepReport) -> None:
        """Leave the networks as they are with the job, where no one takes them for finished."""
        folder = self.run.job.folder.checkpoints / "pair"
        save_pair(self.pair(f"{self.spec.name} (unfinished)"), folder)
        raise Cancelled(
            f"Stopped after {report.step} of {report.steps} steps; the networks as they were are "
            f"in '{folder}'."
        )

    def pair(self, name: str) -> ModelPair:
        """Make the pair as it is now, with a card that says where it comes from."""
        old = self.start.card
        thresholds = self.trainer.thresholds.tolist()
        card = old.model_copy(
            update={
                "name": name,
                "strategy": self.settings.strategy,
                "thresholds": (tuple(thresholds[0]), tuple(thresholds[1])),
                "parent": None if self.spec.parent is None else self.spec.parent.name,
                "job_id": self.run.job.id,
                "metrics": {"training": self._summary()},
                "sha256": {},
                "created": ModelCard.model_fields["created"].get_default(call_default_factory=True),
            }
        )
        return ModelPair(card, self.trainer.supervised, self.trainer.reference)

    def _summary(self) -> dict[str, Any]:
        return {
            "steps": self.trainer.step,
            "seconds": round(self.seconds, 1),
            "settings": self.settings.model_dump(mode="json"),
            "data": self.data.summary(),
            "validation": self.validation,
        }

    def _within(self, minutes: float) -> TrainingConfig:
        """Fix as many steps as fit into `minutes`, by the speed of a few of them."""
        begun = time.monotonic()
        step = self._seconds_a_step(minutes * 60 * MEASURING_SHARE)
        validation = self._seconds_a_validation(step) if self.data.validation else 0.0
        left = minutes * 60 - (time.monotonic() - begun) - validation  # the one at the end
        every = self.settings.validate_every
        each = step + (validation / every if every else 0.0)
        return self.settings.model_copy(update={"steps": max(1, int(left / each))})

    def _seconds_a_step(self, at_most: float) -> float:
        """Mean time of a step, on copies of the networks that are thrown away."""
        begun = time.monotonic()
        trial = self.settings.model_copy(
            update={"steps": WARM_UP + MEASURED, "validate_every": 0, "keep": "last"}
        )
        ends = [begun]
        trainer = self._new_trainer(copy.deepcopy(self.start.networks), trial, validation=())
        for _ in trainer.steps():
            self.run.stop_here("Stopped while the speed was measured; nothing was trained.")
            ends.append(time.monotonic())
            if len(ends) > WARM_UP + 1 and ends[-1] - begun > at_most:
                break
        counted = ends[WARM_UP:]
        return (counted[-1] - counted[0]) / (len(counted) - 1)

    def _seconds_a_validation(self, step: float) -> float:
        """Time of a validation, by the first volume of it."""
        trial = self.settings.model_copy(update={"steps": 1, "keep": "last"})
        one = self.data.validation[:1]
        trainer = self._new_trainer(copy.deepcopy(self.start.networks), trial, validation=one)
        begun = time.monotonic()
        for _ in trainer.steps():
            pass
        return max(0.0, time.monotonic() - begun - step) * len(self.data.validation)

    def _new_trainer(
        self,
        networks: tuple[nn.Module, nn.Module],
        settings: TrainingConfig,
        validation: Sequence[Any] | None = None,
    ) -> Trainer:
        return Trainer(
            networks,
            self.data.volumes,
            settings,
            classes=self.start.card.classes,
            validation=self.data.validation if validation is None else validation,
        )
