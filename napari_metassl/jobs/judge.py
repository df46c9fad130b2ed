"""The end of a training job: how good the new pair is, also against its parent."""

from pathlib import Path
from typing import Any

from napari_metassl.data.evaluation import CaseScores, summarise
from napari_metassl.data.model_pair import ModelPair, load_pair, save_pair
from napari_metassl.data.project import Project
from napari_metassl.errors import Cancelled
from napari_metassl.jobs.compare import compare_scores, score_volumes
from napari_metassl.jobs.job_run import JobRun
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.jobs.training_run import TRAINED


def judge(
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
