"""The jobs "train" and "fine-tune": from a project's labels and corrections to a new pair."""

import copy
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from napari_metassl.data.evaluation import CaseScores, summarise
from napari_metassl.data.model_card import ModelCard, read_card
from napari_metassl.data.model_pair import ModelPair, load_pair, new_pair, save_pair
from napari_metassl.data.project import Project
from napari_metassl.errors import Cancelled, JobProblem, PairProblem
from napari_metassl.jobs.checkpoint import load_checkpoint, save_checkpoint
from napari_metassl.jobs.compare import compare_scores, score_volumes
from napari_metassl.jobs.job_run import JobRun
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.jobs.training_set import TrainingSet, gather_training_set, median_spacing
from napari_metassl.method.network_config import fit_patch_size
from napari_metassl.method.trainer import StepReport, Trainer
from napari_metassl.method.training_config import TrainingConfig

READ, TRAINED = 0.05, 0.9
"""Shares of the job that are done once the volumes are read, and once training is over."""
WARM_UP, MEASURED = 2, 10
"""Steps that do not count, and that count, when the speed is measured."""
MEASURING_SHARE = 0.1
"""Part of the given time that measuring may take."""


def run_fine_tune(spec: FineTuneSpec, run: JobRun) -> str:
    """Train a pair as `spec` asks and put it into the project beside the others.

    The new pair is offered: which pair the project uses is not changed.

    Raises
    ------
    Cancelled
        After a stop request; checkpoint and networks stay in the folder of the job.
    MetaSSLError
        When project, pair, labels and settings do not fit together.
    """
    project = Project.open(spec.project)
    start = _starting_pair(spec, project)
    cache = run.job.folder.path / "cache"
    try:
        data = _read(project, start.card, cache, run)
        training = _Training(spec, run, start, data)
        training.do()
        path = _free_folder(project.pairs_folder, spec.name, run.job.id)
        card = save_pair(training.pair(path.name), path)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    result: dict[str, Any] = {"pair": card.name, "path": str(path), "parent": card.parent}
    result |= {"training": card.metrics["training"], "comparison": None}
    run.job.write_result(result)
    sentence = _judge(spec, run, project, path, result) if spec.judge else ""
    return f"Pair '{card.name}' is made. {sentence}".rstrip()


def _starting_pair(spec: FineTuneSpec, project: Project) -> ModelPair:
    """Load the parent, or make new networks, with the card the new pair will have."""
    if spec.parent is not None:
        parent = load_pair(spec.parent)
        if parent.card.classes != project.classes:
            raise PairProblem(
                f"Pair '{parent.card.name}' has {parent.card.classes} classes but project "
                f"'{project.name}' has {project.classes}; choose a pair trained on these classes."
            )
        return parent
    assert spec.networks is not None
    supervised, reference = spec.networks
    card = ModelCard(
        name=spec.name,
        class_names=project.class_names,
        class_colors=project.class_colors,
        supervised=supervised,
        reference=reference,
        strategy=spec.training.strategy,
        spacing=median_spacing(project) if spec.spacing == "auto" else spec.spacing,
        patch_size=fit_patch_size(spec.training.patch_size, supervised, reference),
        normalisation=spec.normalisation,
    )
    return new_pair(card, spec.training.seed)


def _read(project: Project, card: ModelCard, cache: Path, run: JobRun) -> TrainingSet:
    def look(name: str, share: float) -> None:
        run.stop_here("Stopped while the volumes were read; nothing was trained.")
        run.report(f"Reading {name}", READ * share)

    return gather_training_set(project, card, cache, look)


@dataclass(eq=False)
class _Training:
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
        each = step
        if self.settings.validate_every and self.data.validation:
            each += self._seconds_a_validation(step) / self.settings.validate_every
        left = minutes * 60 - (time.monotonic() - begun)
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
        trial = self.settings.model_copy(update={"steps": 1, "keep": "last"})
        trainer = self._new_trainer(copy.deepcopy(self.start.networks), trial)
        begun = time.monotonic()
        for _ in trainer.steps():
            pass
        return max(0.0, time.monotonic() - begun - step)

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


def _judge(
    spec: FineTuneSpec, run: JobRun, project: Project, path: Path, result: dict[str, Any]
) -> str:
    """Score the new pair, and its parent, on the validation volumes; note it on the card."""
    names = [record.name for record in project.volumes("validation")]
    if not names:
        return "It cannot be told how good it is: the project has no validation volumes."
    try:
        new = _scores(spec, run, project, (path, names, "new"))
        old = (
            [] if spec.parent is None else _scores(spec, run, project, (spec.parent, names, "old"))
        )
    except Cancelled as error:
        raise Cancelled("Stopped while the pairs were compared; the new pair is kept.") from error
    summary = summarise(new).to_json()
    pair = load_pair(path)
    metrics = pair.card.metrics | {"validation": summary, "cases": [c.to_json() for c in new]}
    result["scores"] = {"cases": metrics["cases"], **summary}
    sentence = _mean_sentence(new)
    if old:
        comparison = compare_scores(old, new)
        sentence = comparison.sentence
        result["comparison"] = comparison.model_dump(mode="json")
        metrics["comparison"] = {"parent": pair.card.parent, "sentence": sentence}
    run.job.write_result(result)
    save_pair(ModelPair(pair.card.model_copy(update={"metrics": metrics}), *pair.networks), path)
    return sentence


def _scores(
    spec: FineTuneSpec, run: JobRun, project: Project, what: tuple[Path, list[str], str]
) -> list[CaseScores]:
    folder, names, which = what
    begin = TRAINED + (0.05 if which == "old" else 0.0)
    return score_volumes(
        load_pair(folder),
        project,
        names,
        device=spec.training.device,
        precision=spec.training.precision,
        look=lambda name, share: run.report(
            f"Measuring the {which} pair on {name}", begin + 0.05 * share, always=True
        ),
        cancelled=run.stop_requested,
    )


def _mean_sentence(scores: list[CaseScores]) -> str:
    dice = summarise(scores).overall["dice"]
    return f"Mean Dice {dice.mean:.3f} on {dice.cases} validation volumes."


def _free_folder(pairs: Path, name: str, job_id: str) -> Path:
    """Folder for a pair of this name, with a number when another job took it meanwhile."""
    for number in range(1, 1000):
        path = pairs / (name if number == 1 else f"{name}-{number}")
        if not path.exists() or _is_made_by(path, job_id):
            return path
    raise JobProblem(f"There are 999 pairs called '{name}'; give another name.")


def _is_made_by(path: Path, job_id: str) -> bool:
    """Whether the pair was saved by this very job, which was killed before it ended."""
    try:
        return read_card(path).job_id == job_id
    except PairProblem:
        return False
