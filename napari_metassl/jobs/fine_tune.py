"""The jobs "train" and "fine-tune": from a project's labels and corrections to a new pair."""

import shutil
from pathlib import Path
from typing import Any

from napari_metassl.data.model_card import ModelCard, read_card
from napari_metassl.data.model_pair import ModelPair, load_pair, new_pair, save_pair
from napari_metassl.data.project import Project
from napari_metassl.errors import JobProblem, PairProblem
from napari_metassl.jobs.checkpoint import remove_checkpoint
from napari_metassl.jobs.job_run import JobRun
from napari_metassl.jobs.judge import judge
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.jobs.training_run import READ, TrainingRun
from napari_metassl.jobs.training_set import TrainingSet, gather_training_set, median_spacing
from napari_metassl.method.network_config import fit_patch_size


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
        training = TrainingRun(spec, run, start, data)
        training.do()
        path = _free_folder(project.pairs_folder, spec.name, run.job.id)
        card = save_pair(training.pair(path.name), path)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    result: dict[str, Any] = {"pair": card.name, "path": str(path), "parent": card.parent}
    result |= {"training": card.metrics["training"], "comparison": None}
    run.job.write_result(result)
    sentence = judge(spec, run, project, path, result) if spec.judge else ""
    remove_checkpoint(run.job.folder)
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
