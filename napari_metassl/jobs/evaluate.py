"""A pair against folders of images and labels, without a project."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_metassl.data.evaluation import CaseScores, evaluate_case, summarise
from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.model_pair import ModelPair, load_pair
from napari_metassl.data.project_creation import group_channels
from napari_metassl.data.volume_io import list_volumes, read_labels, read_volume
from napari_metassl.errors import FileProblem
from napari_metassl.jobs.predict import predict_volume
from napari_metassl.method.placing import Precision, pick_device


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a pair.

    Attributes
    ----------
    without_label : sequence of str
        Images that had no label and were left out.
    """

    card: ModelCard
    cases: Sequence[CaseScores]
    without_label: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; undefined figures are None."""
        return {
            "pair": self.card.name,
            "pair_sha256": self.card.fingerprint,
            "units": {"dice": "1", "hd95": "mm", "asd": "mm"},
            "cases": [case.to_json() for case in self.cases],
            "summary": summarise(self.cases).to_json(),
            "without_label": list(self.without_label),
        }


def evaluate_folder(
    pair: Path,
    images: Path,
    labels: Path,
    *,
    overlap: float = 0.5,
    device: str = "auto",
    precision: Precision = "auto",
    look: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """Score a pair's merged answer on all images that have a label of the same stem.

    It is the plain answer, without the views that some strategies show for review.

    Parameters
    ----------
    look : callable
        Called with the name and the finished share, 0 to 1.

    Raises
    ------
    FileProblem
        When folders are missing, nothing matches, or image and label lie on different grids.
    """
    pick_device(device)
    loaded = load_pair(pair)
    truths = _files(labels)
    cases = group_channels(_files(images), truths)
    names = [name for name in cases if name in truths]
    if not names:
        raise FileProblem(
            f"No image in '{images}' has a label of the same name in '{labels}'; "
            "labels must be called as their image, p07.nii.gz and p07.nrrd for example."
        )
    scores = []
    for number, name in enumerate(names):
        if look is not None:
            look(name, number / len(names))
        scores.append(
            _score(
                loaded,
                name,
                cases[name],
                truths[name],
                overlap=overlap,
                device=device,
                precision=precision,
            )
        )
    return Evaluation(loaded.card, scores, [name for name in cases if name not in truths])


def _score(
    pair: ModelPair, name: str, channels: Sequence[Path], label: Path, **how: Any
) -> CaseScores:
    image = [read_volume(path, name=name) for path in channels]
    truth = read_labels(label, name=name)
    gap = image[0].geometry.difference(truth.geometry)
    if gap is not None:
        raise FileProblem(
            f"The label of '{name}' lies on another grid than its image ({gap}); "
            "resample the label to the image's grid first."
        )
    answer = predict_volume(pair, image, **how).merged()
    return evaluate_case(answer, truth.data, truth.geometry.spacing, pair.card.class_names, name)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileProblem(f"There is no folder '{folder}'; correct its path.")
    return list_volumes(folder)
