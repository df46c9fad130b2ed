"""Sample data for napari's File > Open Sample: the heart phantom and a public data set."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_metassl.data.cache_folder import cache_folder
from napari_metassl.data.decathlon import fetch_heart, heart_cases
from napari_metassl.data.prediction import Network
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.sample import sample_data_path, sample_project
from napari_metassl.data.volume import Volume
from napari_metassl.data.volume_io import list_volumes, read_labels, read_volume
from napari_metassl.errors import Cancelled, FileProblem, JobProblem
from napari_metassl.method.region import Region
from napari_metassl.widgets.napari_io import LayerTuple, image_layer, labels_layer

if TYPE_CHECKING:
    from napari_metassl.data.project import Project
    from napari_metassl.jobs.job import Job

Role = Literal["labeled", "validation", "unlabeled"]


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
    from napari_metassl.widgets.layers import class_colormap

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
    """Run the current pair over one volume as a job, and wait for it under a progress bar."""
    from napari.utils import cancelable_progress

    from napari_metassl.jobs.local import LocalExecutor
    from napari_metassl.jobs.specs import PredictSpec

    pair = project.pair_path()
    if pair is None:
        raise FileProblem(f"The sample project '{project.folder}' has no pair. Delete that folder.")
    spec = PredictSpec(project=project.folder, pair=pair, volumes=(name,))
    job = LocalExecutor().submit(spec)
    bar = cancelable_progress(total=100, desc=f"Predicting {name}", leave=False)
    try:
        _wait(job, bar)
    finally:
        bar.close()


def _wait(job: Job, bar: Any) -> None:
    while not (snapshot := job.snapshot()).status.is_over:
        bar.update(round(100 * snapshot.fraction) - bar.n)  # also keeps the window alive
        if bar.is_canceled:
            job.request_stop()
        sleep(0.1)
    if snapshot.status != "succeeded":
        raise JobProblem(
            f"The sample prediction {snapshot.status.lower()}: {snapshot.error or 'see its log'} "
            f"({job.folder.log})"
        )


def _predicted_layers(project: Project, name: str) -> list[LayerTuple]:
    from napari_metassl.widgets.layers import class_colormap, region_colormap

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
        image_layer(confidence, colormap="viridis", contrast_limits=(0.5, 1.0), visible=False),
        labels_layer(merged, colormap=class_colormap(project.class_colors)),
        labels_layer(regions, colormap=region_colormap(frozenset(Region)), opacity=0.5),
    ]
