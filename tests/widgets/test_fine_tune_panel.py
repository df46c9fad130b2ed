"""Fine-tuning from the window: the form, live curves, the end, and coming back to it."""

from __future__ import annotations

from typing import Any

import pytest
from made_up_project import add_pair, set_status
from qtpy.QtTest import QTest
from window_driver import Window, click, wait_until

from napari_metassl.data.project import Project
from napari_metassl.jobs.job import Job, JobStatus
from napari_metassl.jobs.specs import FineTuneSpec, parse_spec
from napari_metassl.method.training_config import RegionWeights

COMPARISON = {
    "sentence": "Better: mean Dice 0.810 before, 0.842 after (+0.032) on 1 case.",
    "overall": {"word": "better", "cases": 1, "old": 0.81, "new": 0.842, "difference": 0.032},
    "classes": {
        "atrium": {"word": "better", "cases": 1, "old": 0.8, "new": 0.86, "difference": 0.06},
        "ventricle": {"word": "worse", "cases": 1, "old": 0.82, "new": 0.81, "difference": -0.01},
    },
    "cases": [],
}


@pytest.fixture
def paired(project: Project) -> Project:
    add_pair(project, "first")
    project.set_current_pair("first")
    return project


LOSSES = ("total", "supervised", "heterogeneous")


def report(step: int, steps: int = 40, dice: float | None = None) -> dict[str, Any]:
    """What the worker writes after a step."""
    validation = None if dice is None else {"1": dice, "2": dice - 0.05, "mean": dice - 0.025}
    losses = {"total": 2.0 / step, "supervised": 1.0 / step, "hetero_unlabeled": 0.1}
    return {
        "message": "Training", "fraction": step / steps, "step": step, "steps": steps,
        "losses": losses, "validation": validation, "seconds": step * 0.5,
        "seconds_left": (steps - step) * 0.5,
    }  # fmt: skip


def show_page(window: Window) -> Any:
    window.session.tab = "fine-tune"
    QTest.qWait(20)
    return window.widget.fine_tune_panel


def start(window: Window) -> Job:
    click(show_page(window).form.start)
    return window.executor.jobs[-1]


def test_without_a_pair_it_says_what_to_do(window: Window, project: Project) -> None:
    window.open(project.folder)
    form = show_page(window).form
    assert not form.start.isEnabled() and "import a pair" in form.data.text()
    assert not show_page(window).run.isVisible()


def test_the_form_makes_the_specification(window: Window, paired: Project) -> None:
    corrections = paired.corrections("p4")
    corrections.labels[1, 2, 3] = 1
    corrections.record("paint")
    paired.close()
    window.open(paired.folder)
    form = show_page(window).form
    assert "2 labeled and 3 unlabeled" in form.data.text()
    assert "1 of them corrected" in form.data.text() and "1 validation" in form.data.text()
    assert form.name.text() == "first-ft1"
    form.strategy.setCurrentIndex(1)
    form.weights.setCurrentIndex(1)
    form.steps.setValue(77)
    form.name.clear()
    QTest.keyClicks(form.name, "a/b")
    click(form.start)
    assert window.session.notice.tone == "error" and not window.executor.jobs
    form.name.clear()
    QTest.keyClicks(form.name, "second")
    click(form.start)
    spec = parse_spec(window.executor.jobs[-1].spec())
    assert isinstance(spec, FineTuneSpec)
    assert spec.name == "second" and spec.parent == paired.pairs_folder / "first"
    assert spec.training.strategy == "mean_teacher" and spec.training.steps == 77
    assert spec.training.weights_unlabeled == RegionWeights.rational()
    assert spec.training.weights_labeled == RegionWeights.rational(labeled=True)
    assert spec.training.patch_size == (16, 32, 32) and spec.minutes is None


def test_minutes_instead_of_steps(window: Window, paired: Project) -> None:
    window.open(paired.folder)
    form = show_page(window).form
    form.unit.setCurrentText("minutes")
    form.minutes.setValue(1.5)
    assert form.minutes.isVisible() and not form.steps.isVisible()
    click(form.start)
    assert window.executor.jobs[-1].spec()["minutes"] == 1.5
    form.unit.setCurrentText("steps")


def test_live_curves_then_the_comparison_is_offered(window: Window, paired: Project) -> None:
    window.open(paired.folder)
    job = start(window)
    panel = show_page(window)
    assert panel.run.isVisible() and "Starting" in panel.run.state.text()
    assert not panel.form.start.isEnabled()
    set_status(job, JobStatus.RUNNING)
    for step in range(1, 11):
        job.append_progress(report(step, dice=0.6 + step / 50 if step % 5 == 0 else None))
    wait_until(lambda: "step 10 of 40" in panel.run.state.text())
    assert "15 s left" in panel.run.state.text()
    steps, losses = panel.run.plot._curves["total"].getData()
    assert list(steps) == list(range(1, 11)) and losses[1] == pytest.approx(1.0)
    assert list(panel.run.plot._curves["dice 1"].getData()[0]) == [5, 10]
    for plot, names in ((panel.run.plot.loss, LOSSES), (panel.run.plot.dice, ("atrium", "mean"))):
        assert all(name in panel.run.plot.keys[plot].text() for name in names)
        assert plot.getPlotItem().legend is None  # it would lie over the curves
    assert panel.run.bar.value() == 250 and not panel.comparison.isVisible()

    add_pair(paired, "first-ft1")
    job.write_result({"pair": "first-ft1", "parent": "first", "comparison": COMPARISON})
    set_status(job, JobStatus.SUCCEEDED, message="Pair 'first-ft1' is made.")
    wait_until(panel.comparison.isVisible)
    QTest.qWait(20)
    assert panel.comparison.verdict.text() == COMPARISON["sentence"]
    assert Project.open(paired.folder).file.current_pair == "first"  # offered, not forced
    click(panel.comparison.keep)
    assert Project.open(paired.folder).file.current_pair == "first"
    assert "'first' stays in use" in panel.comparison.state.text()
    click(panel.comparison.use)
    assert Project.open(paired.folder).file.current_pair == "first-ft1"
    assert window.session.notice.offer == "Predict all again"
    click(window.widget.message.offer)
    again = window.executor.jobs[-1]
    assert again.kind == "predict" and again.spec()["pair"].endswith("first-ft1")
    assert panel.form.name.text() == "first-ft2"


def test_a_training_is_found_again_after_reopening(window: Window, paired: Project) -> None:
    spec = {"kind": "fine-tune", "name": "night"}
    job = Job.create(paired.jobs_folder, spec, kind="fine-tune")
    set_status(job, JobStatus.RUNNING)
    for step in range(1, 6):
        job.append_progress(report(step))
    window.open(paired.folder)
    panel = show_page(window)
    assert window.session.training_id == job.id
    assert "step 5 of 40" in panel.run.state.text() and "night" in panel.run.choice.currentText()
    assert len(panel.run.plot._curves["total"].getData()[0]) == 5
    click(panel.run.cancel)
    assert job.stop_requested()
    set_status(job, JobStatus.STOPPED, message="Stopped after 5 of 40 steps.")
    wait_until(lambda: "Stopped after 5" in panel.run.state.text())
    assert panel.form.start.isEnabled() and not panel.run.cancel.isVisible()


def test_a_failed_training_says_why(window: Window, paired: Project) -> None:
    window.open(paired.folder)
    job = start(window)
    set_status(job, JobStatus.FAILED, error="Labels do not fit.\nEnd of its log:\nTraceback")
    panel = show_page(window)
    wait_until(lambda: panel.run.state.text() == "Labels do not fit.")
    assert window.session.notice.text == "Labels do not fit."
    assert not panel.comparison.isVisible()
