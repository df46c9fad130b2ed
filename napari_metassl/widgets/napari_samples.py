"""Sample data for napari's File > Open Sample: the heart phantom and a public data set."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_metassl.data.cache_folder import cache_folder
from napari_metassl.data.decathlon import fetch_heart, heart_cases
from napari_metassl.data.prediction import Network
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.sample import sample_data_path, sample_project
from napari_metassl.data.volume import Volume
from napari_metassl.data.volume_io import list_volumes, read_labels, read_volume
from napari_metassl.errors import Cancelled, FileProblem
from napari_metassl.method.region import Region
from napari_metassl.widgets.napari_io import LayerTuple, image_layer, labels_layer

if TYPE_CHECKING:
    from napari_metassl.data.project import Project
    from napari_metassl.jobs.job import Job, JobSnapshot

Role = Literal["labeled", "validation", "unlabeled"]
SHOWN_REGIONS = frozenset({Region.US, Region.DC, Region.DS})
"""As in the review: UC is most of every volume and would hide the image."""


def labeled_phantoms() -> list[LayerTuple]:
    """Return the labeled volumes of the heart phantom with their labels."""
    return _phantoms("labeled")


def validation_phantoms() -> list[LayerTuple]:
    """Return the validation volumes of the heart phantom with their labels."""
    return _phantoms("validation")


def unlabeled_phantoms() -> list[LayerTuple]:
    """Return the unlabeled volumes of the heart phantom."""
    return _phantoms("unlabeled")


def predicted_phantom() -> list[LayerTuple]:
    """Return an unlabeled phantom as the sample pair sees it.

    Image, confidence of the reference network, the pair's merged answer and the four regions at
    the pair's adaptive thresholds. Predicted once, in a process of its own, and then kept.
    """
    from napari_metassl.data.project import Project

    project = Project.open(_sample_project_folder())
    try:
        name = project.volumes("unlabeled")[0].name
        if project.prediction(name) is None:
            _predict(project, name)
        return _predicted_layers(project, name)
    finally:
        project.close()


def decathlon_heart() -> list[LayerTuple]:
    """Return the first labeled case of the Decathlon's left atrium MRI (CC BY-SA 4.0).

    The first call downloads the whole task, which is then kept.
    """
    from napari.utils import cancelable_progress

    bar = cancelable_progress(total=100, desc="Left atrium MRI (435 MB, CC BY-SA 4.0)", leave=False)

    def show(share: float) -> None:
        bar.update(round(100 * share) - bar.n)

    try:
        folder = fetch_heart(show, lambda: bar.is_canceled)
    except Cancelled as stopped:
        raise FileProblem(str(stopped)) from None
    finally:
        bar.close()
    image, labels = heart_cases(folder)[0]
    return [image_layer(read_volume(image)), _named_labels(labels, opacity=0.6)]


def _phantoms(role: Role) -> list[LayerTuple]:
    from napari_metassl.widgets.label_colors import class_colormap

    folder = sample_data_path()
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    images, labels = list_volumes(folder / "images"), list_volumes(folder / "labels")
    look = {"colormap": class_colormap(tuple(split["class_colors"])), "opacity": 0.6}
    layers: list[LayerTuple] = []
    for place, name in enumerate(split[role]):
        visible = place == 0  # all at once would cover one another
        layers.append(image_layer(read_volume(images[name]), visible=visible))
        if role != "unlabeled":
            layers.append(_named_labels(labels[name], visible=visible, **look))
    return layers


def _named_labels(path: Path, **look: Any) -> LayerTuple:
    volume = read_labels(path)
    return labels_layer(volume, name=f"{volume.name} labels", **look)


def _sample_project_folder() -> Path:
    """Return a sample project in the cache; another pair or program version gets another one."""
    from napari_metassl import __version__

    card = sample_data_path() / "pair" / "card.json"
    if not card.is_file():
        raise FileProblem(
            "The sample data holds no trained pair, which this entry predicts with. Install the "
            "package again, or make the pair as sample_data's README says."
        )
    mark = hashlib.sha256(__version__.encode() + card.read_bytes()).hexdigest()[:8]
    folder = cache_folder() / f"heart-phantom-{mark}"
    if not folder.is_dir():
        aside = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(aside, ignore_errors=True)  # left by a program that was killed
        folder.parent.mkdir(parents=True, exist_ok=True)
        sample_project(aside).close()
        aside.rename(folder)
    return folder


def _predict(project: Project, name: str) -> None:
    """Let the current pair predict one volume, under a progress bar that can be cancelled."""
    from napari.utils import cancelable_progress

    from napari_metassl.jobs.local import predict_and_wait

    bar = cancelable_progress(total=100, desc=f"Predicting {name}", leave=False)

    def look(job: Job, now: JobSnapshot) -> None:
        bar.update(round(100 * now.fraction) - bar.n)  # also keeps the window alive
        if bar.is_canceled:
            job.request_stop()

    try:
        predict_and_wait(project, (name,), look)
    finally:
        bar.close()


def _predicted_layers(project: Project, name: str) -> list[LayerTuple]:
    from napari_metassl.widgets.label_colors import class_colormap, region_colormap
    from napari_metassl.widgets.theme import CONFIDENCE_COLORMAP

    prediction = project.prediction(name)
    if prediction is None:
        raise FileProblem(f"The prediction of '{name}' is missing. Open the entry again.")
    quadripartition = Quadripartition(prediction)
    image = project.load_image(name)[0]
    confidence = Volume(
        f"{name} confidence", prediction.confidence(Network.REFERENCE), image.geometry
    )
    merged = Volume(f"{name} prediction", prediction.merged(), image.geometry)
    regions = Volume(f"{name} regions", np.asarray(quadripartition.regions), image.geometry)
    return [
        image_layer(image),
        image_layer(
            confidence, colormap=CONFIDENCE_COLORMAP, contrast_limits=(0.5, 1.0), visible=False
        ),
        labels_layer(merged, colormap=class_colormap(project.class_colors)),
        labels_layer(regions, colormap=region_colormap(SHOWN_REGIONS), opacity=0.5),
    ]
