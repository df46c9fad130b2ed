"""The state without a window: what sets what, in which order."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_metassl.data.project import Project
from napari_metassl.data.quadripartition import Reference
from napari_metassl.errors import ProjectProblem
from napari_metassl.widgets.review import SiteStatus, load_review
from napari_metassl.widgets.session import KEYS, Action, Session
from napari_metassl.widgets.site_walk import SiteWalk


def test_session_and_walk_need_no_qt() -> None:
    code = (
        "import sys, napari_metassl.widgets.session, napari_metassl.widgets.site_walk;"
        "print(*[m for m in ('qtpy', 'PyQt6', 'napari', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_action_has_a_key_of_its_own() -> None:
    assert set(KEYS) == set(Action)
    assert len(set(KEYS.values())) == len(KEYS)


def test_thresholds_are_applied_before_anybody_hears(project: Project) -> None:
    session = Session()
    session.show_review(load_review(project, "p3"))
    assert session.thresholds == ((0.9, 0.8, 0.7), (0.9, 0.85, 0.75))
    heard = []
    quadripartition = session.review.quadripartition
    session.partitioned.connect(lambda: heard.append(quadripartition.thresholds[1, 1]))
    session.set_threshold(0.5, (1,))
    assert heard == [0.5]
    assert session.thresholds == (
        (0.9, 0.8, 0.7),
        (0.9, 0.5, 0.75),
    )  # of the network that decides
    session.reference = Reference.BOTH
    session.set_threshold(0.6, (0, 1, 2))
    assert session.thresholds == ((0.6,) * 3,) * 2
    session.reset_thresholds()
    assert session.thresholds == ((0.9, 0.8, 0.7), (0.9, 0.85, 0.75))
    project.close()


def test_problems_become_notices_and_defects_do_not() -> None:
    session = Session()
    with session.telling():
        raise ProjectProblem("Got this, expected that. Do so.")
    assert session.notice.text == "Got this, expected that. Do so."
    with session.telling():
        raise PermissionError(13, "Permission denied", "/somewhere")
    assert "Permission denied '/somewhere'" in session.notice.text

    def listener(_brush: int) -> None:
        raise ProjectProblem("From a listener.")

    session.events.brush.connect(listener)
    with session.telling():
        session.brush = 2
    assert session.notice.text == "From a listener."
    with pytest.raises(ZeroDivisionError), session.telling():
        _ = 1 / 0


def test_walk_edits_are_what_the_panel_promises(project: Project) -> None:
    session, edits = Session(), []
    walk = SiteWalk(session)  # listens for as long as somebody holds it
    session.edit.connect(edits.append)
    session.show_review(load_review(project, "p3"))
    session.act.emit(Action.NEXT)
    session.act.emit(Action.SKIP)
    ranked = session.review.ranked()
    assert ranked[0].status is SiteStatus.SKIPPED and session.site == ranked[1].site.id
    session.act.emit(Action.TAKE_A)
    assert edits[0].action == "take A's label"
    assert set(ranked[1].site.voxels) <= set(edits[0].voxels)
    assert len(edits[0].voxels) == len(set(edits[0].voxels)) == len(edits[0].values)
    assert walk.session is session
    project.close()
