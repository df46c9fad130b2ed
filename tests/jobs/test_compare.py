import math

import pytest

from napari_metassl.data.evaluation import CaseScores, ClassScores
from napari_metassl.errors import JobProblem
from napari_metassl.jobs.compare import ENOUGH, RELEVANT, Verdict, compare_scores


def cases(**dice: list[float]) -> list[CaseScores]:
    count = len(next(iter(dice.values())))
    return [
        CaseScores(
            name=f"v{n}",
            classes={name: ClassScores(dice=values[n]) for name, values in dice.items()},
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ([0.80, 0.81, 0.79, 0.80], [0.85, 0.85, 0.85, 0.85], "better"),
        ([0.85, 0.85, 0.85, 0.85], [0.80, 0.81, 0.79, 0.80], "worse"),
        ([0.80, 0.80, 0.80, 0.80], [0.95, 0.70, 0.90, 0.75], "no clear difference"),
        ([0.80, 0.80, 0.80, 0.80], [0.801, 0.802, 0.801, 0.802], "no clear difference"),
        ([0.80, 0.80], [0.85, 0.82], "better"),
        ([0.80, 0.80], [0.95, 0.79], "no clear difference"),
        ([0.80], [0.70], "worse"),
        ([], [], "unknown"),
        ([math.nan], [0.5], "unknown"),
    ],
)
def test_verdict_words(old, new, word):
    assert Verdict.of(old, new).word == word


def test_interval_is_students():
    verdict = Verdict.of([0.0] * 4, [0.1, 0.2, 0.3, 0.4])
    # mean 0.25, s = 0.12910, t(0.975, 3) = 3.18245: half = 3.18245 * 0.12910 / 2
    assert verdict.difference == pytest.approx(0.25)
    assert verdict.interval == pytest.approx((0.25 - 0.20543, 0.25 + 0.20543), abs=1e-4)
    assert Verdict.of([0.0] * (ENOUGH - 1), [0.1] * (ENOUGH - 1)).interval is None


def test_undefined_cases_are_left_out_pairwise():
    verdict = Verdict.of([0.5, math.nan, 0.7], [0.6, 0.9, math.nan])
    assert verdict.cases == 1
    assert verdict.old == 0.5
    assert verdict.new == 0.6


def test_equal_differences_of_many_cases_are_clear():
    assert Verdict.of([0.5] * 5, [0.5 + 2 * RELEVANT] * 5).word == "better"


def test_sentence_names_n_and_the_class_that_lost():
    old = cases(wall=[0.5, 0.5, 0.5, 0.5], lumen=[0.9, 0.9, 0.9, 0.9])
    new = cases(wall=[0.7, 0.71, 0.7, 0.7], lumen=[0.85, 0.85, 0.85, 0.84])
    comparison = compare_scores(old, new)
    assert comparison.overall.word == "better"
    assert comparison.classes["lumen"].word == "worse"
    assert comparison.sentence.startswith("Better: mean Dice 0.700 before, 0.77")
    assert "4 cases" in comparison.sentence
    assert "worse in lumen" in comparison.sentence


def test_few_cases_are_called_few():
    assert "so few" in compare_scores(cases(a=[0.5]), cases(a=[0.7])).sentence
    assert "1 case;" in compare_scores(cases(a=[0.5]), cases(a=[0.7])).sentence


def test_nothing_to_compare_on_is_said():
    assert compare_scores([], []).sentence.startswith("Unknown")


def test_different_cases_are_refused():
    with pytest.raises(JobProblem, match="same cases"):
        compare_scores(cases(a=[0.5]), cases(a=[0.5, 0.6]))
