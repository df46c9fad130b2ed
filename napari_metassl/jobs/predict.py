"""The job "predict": both networks of a pair on volumes of a project."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.model_pair import ModelPair, load_pair
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.preprocessing import to_network_grid
from napari_metassl.data.project import Project
from napari_metassl.data.volume import Volume
from napari_metassl.data.volume_figures import keep_figures
from napari_metassl.errors import Cancelled, FileProblem, JobProblem, MetaSSLError, PairProblem
from napari_metassl.jobs.job_run import JobRun
from napari_metassl.jobs.specs import PredictSpec
from napari_metassl.method.inference import predict_pair
from napari_metassl.method.placing import Precision, pick_device
from napari_metassl.method.review_views import View, review_views

_LOG = logging.getLogger(__name__)


def predict_volume(
    pair: ModelPair,
    image: Sequence[Volume],
    *,
    views: Sequence[View] | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    overlap: float = 0.5,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> PredictionPair:
    """Predict one volume with both networks, on the volume's own grid.

    The plain answer, the default, is what figures about a pair are taken from; the predictions of
    a project are made for review, with the views of the pair's strategy.

    Parameters
    ----------
    image : sequence of Volume
        One per channel.
    views : sequence of View or None
        What each network sees; None: both the plain image.
    progress : callable
        Called with the finished share, 0 to 1.

    Raises
    ------
    Cancelled
        When `cancelled` says so.
    """
    labels, levels = predict_pair(
        _networks(pair),
        to_network_grid(image, pair.card),
        patch_size=pair.card.patch_size,
        output_shape=image[0].shape,
        views=views,
        overlap=overlap,
        device=device,
        precision=precision,
        progress=progress,
        cancelled=cancelled,
    )
    return PredictionPair.from_labels_and_confidence(
        labels, levels, image[0].geometry, PredictionCard.of_pair(pair.card)
    )


def run_predict(spec: PredictSpec, run: JobRun) -> str:
    """Predict the volumes of `spec` for review and keep the predictions in the project.

    They are the strategy's own two (`napari_metassl.method.review_views`), so their Dice is not
    that of the pair.

    Volumes this very pair has predicted are passed over unless `spec.force`; one that cannot be
    predicted does not hold up the others.

    Raises
    ------
    Cancelled
        After a stop request; the volumes predicted so far are kept.
    JobProblem
        At the end, when volumes could not be predicted.
    """
    pick_device(spec.device)
    project = Project.open(spec.project)
    pair = _fitting_pair(spec.pair, project)
    names = spec.volumes or tuple(record.name for record in project.volumes())
    todo = [name for name in names if spec.force or not is_predicted(project, name, pair.card)]
    work = _Prediction(spec, run, project, pair, todo)
    try:
        work.do()
    finally:
        run.job.write_result(
            {
                "pair": pair.card.name,
                "pair_sha256": pair.card.fingerprint,
                "predicted": work.done,
                "already_predicted": [name for name in names if name not in todo],
                "problems": work.problems,
                "seconds": work.seconds,
            }
        )
    return work.conclusion(len(names) - len(todo))


def is_predicted(project: Project, name: str, card: ModelCard) -> bool:
    """Whether the stored prediction of a volume comes from the very weights of `card`."""
    try:
        stored = project.prediction_card(name)
    except FileProblem:
        return False  # damaged: it is made anew
    return stored is not None and stored.pair_sha256 == card.fingerprint


class _Prediction:
    """The loop over the volumes, and what became of each."""

    def __init__(
        self, spec: PredictSpec, run: JobRun, project: Project, pair: ModelPair, todo: list[str]
    ):
        self.spec, self.run, self.project, self.pair, self.todo = spec, run, project, pair, todo
        self.done: list[str] = []
        self.problems: dict[str, str] = {}
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._begun, 2)

    def do(self) -> None:
        for number, name in enumerate(self.todo):
            self._report(number, name, 0.0, always=True)
            try:
                self._predict(number, name)
            except Cancelled as error:
                raise Cancelled(
                    f"Stopped: {len(self.done)} of {len(self.todo)} volumes are predicted and kept."
                ) from error
            except MetaSSLError as problem:
                self.problems[name] = str(problem)
            else:
                self.done.append(name)
                self._report(number + 1, name, 0.0, always=True, done=[name])

    def _predict(self, number: int, name: str) -> None:
        self.run.stop_here("")
        prediction = predict_volume(
            self.pair,
            self.project.load_image(name),
            views=review_views(self.pair.card.strategy),
            device=self.spec.device,
            precision=self.spec.precision,
            overlap=self.spec.overlap,
            progress=lambda share: self._report(number, name, share),
            cancelled=self.run.stop_requested,
        )
        prediction.save(self.project.prediction_folder(name))
        try:
            keep_figures(self.project, name, prediction)
        except MetaSSLError as problem:  # a label that does not fit spoils no prediction
            _LOG.warning("No figures of '%s': %s", name, problem)

    def _report(
        self, number: int, name: str, share: float, *, always: bool = False, **figures: Any
    ) -> None:
        fraction = (number + share) / max(len(self.todo), 1)
        self.run.report(
            f"Predicting {name}",
            fraction,
            always=always,
            step=number,
            steps=len(self.todo),
            volume=name,
            volume_fraction=share,
            seconds_left=self.seconds * (1 - fraction) / fraction if fraction > 0 else None,
            **figures,
        )

    def conclusion(self, passed_over: int) -> str:
        """Say what came of it, in one sentence; a problem makes it an error."""
        if self.problems:
            name, problem = next(iter(self.problems.items()))
            raise JobProblem(
                f"{len(self.problems)} of {len(self.todo)} volumes could not be predicted, the "
                f"others are done; '{name}': {problem}"
            )
        already = f" {passed_over} had been predicted by this pair before." if passed_over else ""
        count = "1 volume" if len(self.done) == 1 else f"{len(self.done)} volumes"
        return f"Predicted {count} with pair '{self.pair.card.name}'.{already}"


def _networks(pair: ModelPair) -> tuple[nn.Module, nn.Module]:
    """Both networks; the first one twice where they are the same, so that it is asked once."""
    first, second = pair.networks
    same = pair.card.supervised == pair.card.reference and _same_weights(first, second)
    return (first, first) if same else (first, second)


def _same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Compare all weights and buffers, wherever they are."""
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key].cpu(), b[key].cpu()) for key in a)


def _fitting_pair(folder: Path, project: Project) -> ModelPair:
    """Load the pair; a project with labels says how many classes there are."""
    pair = load_pair(folder)
    has_labels = any(record.labels is not None for record in project.volumes())
    if has_labels and pair.card.classes != project.classes:
        raise PairProblem(
            f"Pair '{pair.card.name}' has {pair.card.classes} classes but project "
            f"'{project.name}' has {project.classes}; choose a pair trained on these classes."
        )
    return pair
