"""Is the new pair better than the old one? Both on the validation volumes, case by case.

The rule is simple and meant to be honest about few cases:

- a difference below `RELEVANT` Dice on average is no difference;
- with at least `ENOUGH` cases, the 95 % t-interval of the paired differences must exclude 0;
- with fewer, every single case must point the same way, and the words say how few they are.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from napari_metassl.data.evaluation import CaseScores, evaluate_case
from napari_metassl.data.model_pair import ModelPair
from napari_metassl.data.project import Project
from napari_metassl.errors import JobProblem
from napari_metassl.jobs.predict import is_predicted, predict_volume
from napari_metassl.method.placing import Precision
from napari_metassl.method.review_views import PLAIN_PAIR, review_views

RELEVANT = 0.005
ENOUGH = 4

Word = Literal["better", "no clear difference", "worse", "unknown"]


class Verdict(BaseModel):
    """Old against new in Dice, for one class or for the mean over classes.

    Attributes
    ----------
    word : str
        What the rule of this module makes of the figures.
    cases : int
        How many cases both have a Dice in.
    old, new, difference : float or None
        Means over these cases.
    interval : (low, high) or None
        95 % t-interval of the mean difference; None for fewer than `ENOUGH` cases.
    """

    model_config = ConfigDict(frozen=True)

    word: Word
    cases: int
    old: float | None = None
    new: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None

    @classmethod
    def of(cls, old: Sequence[float], new: Sequence[float]) -> "Verdict":
        """Judge paired Dice values; a case where either is undefined (nan) is left out."""
        both = [(a, b) for a, b in zip(old, new, strict=True) if not math.isnan(a + b)]
        if not both:
            return cls(word="unknown", cases=0)
        differences = [b - a for a, b in both]
        interval = _t_interval(differences) if len(both) >= ENOUGH else None
        return cls(
            word=_word(differences, interval),
            cases=len(both),
            old=statistics.fmean(a for a, _ in both),
            new=statistics.fmean(b for _, b in both),
            difference=statistics.fmean(differences),
            interval=interval,
        )


class Comparison(BaseModel):
    """What is written to result.json.

    Attributes
    ----------
    sentence : str
        The verdict in words, for a person.
    overall : Verdict
        Of each case's mean Dice over its classes.
    classes : dict
        Verdict of every class but the background.
    cases : list
        Per case: name, and for the old and the new pair Dice, HD95 and ASD (mm) per class.
    """

    model_config = ConfigDict(frozen=True)

    sentence: str
    overall: Verdict
    classes: dict[str, Verdict]
    cases: list[dict[str, Any]]


def compare_scores(old: Sequence[CaseScores], new: Sequence[CaseScores]) -> Comparison:
    """Compare the scores of two pairs on the same cases, in the same order.

    Raises
    ------
    JobProblem
        When the cases are not the same.
    """
    if [case.name for case in old] != [case.name for case in new]:
        raise JobProblem("The two pairs were not scored on the same cases; score them again.")
    names = list(dict.fromkeys(name for case in new for name in case.classes))
    overall = Verdict.of([case.mean() for case in old], [case.mean() for case in new])
    classes = {
        name: Verdict.of(
            [case.classes[name].dice for case in old], [case.classes[name].dice for case in new]
        )
        for name in names
    }
    return Comparison(
        sentence=_sentence(overall, classes),
        overall=overall,
        classes=classes,
        cases=[
            {"name": b.name, "old": a.to_json(), "new": b.to_json()}
            for a, b in zip(old, new, strict=True)
        ],
    )


def score_volumes(
    pair: ModelPair,
    project: Project,
    names: Sequence[str],
    *,
    device: str = "auto",
    precision: Precision = "auto",
    look: Callable[[str, float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[CaseScores]:
    """Score a pair's merged answer against the manual labels of volumes of a project.

    It is the plain answer, both networks on the image as it is. A prediction of this very pair
    that the project holds is used only where the pair's strategy is reviewed plainly as well.

    Parameters
    ----------
    look : callable
        Called with the name and the finished share, 0 to 1.
    """
    reviewed_plainly = review_views(pair.card.strategy) == PLAIN_PAIR
    scores = []
    for number, name in enumerate(names):
        truth = project.load_labels(name)
        if truth is None:
            raise JobProblem(f"Volume '{name}' has no manual labels; it cannot measure a pair.")
        if look is not None:
            look(name, number / len(names))
        is_there = reviewed_plainly and is_predicted(project, name, pair.card)
        stored = project.prediction(name) if is_there else None
        prediction = stored or predict_volume(
            pair, project.load_image(name), device=device, precision=precision, cancelled=cancelled
        )
        spacing = truth.geometry.spacing
        scores.append(
            evaluate_case(prediction.merged(), truth.data, spacing, pair.card.class_names, name)
        )
    return scores


def _word(differences: Sequence[float], interval: tuple[float, float] | None) -> Word:
    mean = statistics.fmean(differences)
    if abs(mean) < RELEVANT:
        return "no clear difference"
    low, high = interval or (min(differences), max(differences))
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no clear difference"


def _t_interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences, by Student's t."""
    from scipy.stats import t

    n, mean = len(differences), statistics.fmean(differences)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return mean - half, mean + half


def _sentence(overall: Verdict, classes: dict[str, Verdict]) -> str:
    if overall.difference is None or overall.old is None or overall.new is None:
        return "Unknown: there are no validation labels to compare the pairs on."
    count = "1 case" if overall.cases == 1 else f"{overall.cases} cases"
    worse = [name for name, verdict in classes.items() if verdict.word == "worse"]
    parts = [
        f"{overall.word.capitalize()}: mean Dice {overall.old:.3f} before, {overall.new:.3f} "
        f"after ({overall.difference:+.3f}) on {count}"
    ]
    if overall.interval is not None:
        parts.append(", 95 % interval {:+.3f} to {:+.3f}".format(*overall.interval))
    if worse and overall.word != "worse":
        parts.append(f"; worse in {', '.join(worse)}")
    if overall.cases < ENOUGH:
        parts.append("; so few cases say little, look at them yourself")
    return "".join(parts) + "."
