"""Corrections: any way of editing the array reaches the disk, and comes back."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_metassl.data.corrections import (
    BACKGROUND_MARK,
    Corrections,
    Provenance,
    combine_labels,
)
from napari_metassl.data.table_view import TableView
from napari_metassl.errors import ProjectProblem

SHAPE = (4, 10, 12)


def test_a_stroke_is_kept_with_its_provenance(tmp_path) -> None:
    predicted = np.zeros(SHAPE, np.uint8)
    predicted[:, 5:] = 2
    with Corrections.open(tmp_path, "p07", SHAPE) as corrections:
        corrections.labels[1, 4:7, 3] = 2
        corrections.labels[1, 4:7, 4] = BACKGROUND_MARK
        region = (slice(1, 2), slice(4, 7), slice(3, 5))
        assert corrections.record("paint", region, predicted) == 6
        assert corrections.record("paint", region, predicted) == 0
    reopened = Corrections.open(tmp_path, "p07", SHAPE)
    expected = np.zeros(SHAPE, np.uint8)
    expected[1, 4:7, 3] = 2
    expected[1, 4:7, 4] = 255
    np.testing.assert_array_equal(reopened.labels, expected)
    provenance = reopened.provenance[1, 4:7]
    np.testing.assert_array_equal(
        provenance[:, 3], [Provenance.CORRECTED, Provenance.CONFIRMED, Provenance.CONFIRMED]
    )
    np.testing.assert_array_equal(
        provenance[:, 4], [Provenance.CONFIRMED, Provenance.CORRECTED, Provenance.CORRECTED]
    )
    assert (reopened.provenance[reopened.labels == 0] == Provenance.PREDICTED).all()
    assert [edit.action for edit in reopened.history] == ["paint"]
    reopened.close()


def test_the_prediction_may_be_a_view_and_erasing_takes_the_correction_back(tmp_path) -> None:
    codes = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
    view = TableView([codes], [(np.arange(1 << 16) % 3).astype(np.uint8)])
    with Corrections.open(tmp_path, "p", SHAPE) as corrections:
        corrections.labels[...] = 1
        corrections.record("confirm", None, view)
        confirmed = corrections.provenance == Provenance.CONFIRMED
        np.testing.assert_array_equal(confirmed, np.asarray(view) == 1)
        corrections.labels[2:] = 0
        assert corrections.record("erase") == 2 * 10 * 12
        assert not corrections.provenance[2:].any()
        assert corrections.provenance[:2].all()


edits = st.lists(
    st.tuples(
        st.sampled_from(["box", "whole", "undo", "undo all", "reopen"]),
        st.integers(0, 2**32 - 1),
    ),
    max_size=12,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=edits)
def test_any_sequence_of_edits_comes_back_and_can_be_undone(edits, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("corrections")
    corrections = Corrections.open(folder, "p", SHAPE)
    states = [corrections.labels.copy()]  # what undo should lead back through
    for kind, seed in edits:
        rng = np.random.default_rng(seed)
        if kind == "reopen":
            before = corrections.labels.copy(), corrections.provenance.copy()
            corrections.close()
            corrections = Corrections.open(folder, "p", SHAPE)
            np.testing.assert_array_equal(corrections.labels, before[0])
            np.testing.assert_array_equal(corrections.provenance, before[1])
        elif kind.startswith("undo"):
            while len(states) > 1:
                states.pop()
                assert corrections.undo_last() > 0
                np.testing.assert_array_equal(corrections.labels, states[-1])
                if kind == "undo":
                    break
            if len(states) == 1:
                assert corrections.undo_last() == 0
                assert not corrections.provenance.any()
        else:
            low = rng.integers(0, SHAPE)
            high = low + 1 + rng.integers(0, 5, 3)
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            corrections.labels[box] = rng.choice([0, 1, 2, 255], corrections.labels[box].shape)
            if corrections.record("paint", box if kind == "box" else None):
                states.append(corrections.labels.copy())
    np.testing.assert_array_equal(corrections.labels, states[-1])
    for kind in (Provenance.PREDICTED, Provenance.CONFIRMED, Provenance.CORRECTED):
        assert corrections.voxels_of(kind) == (corrections.provenance == kind).sum()
    corrections.close()


def test_undo_passes_over_what_the_viewer_took_back_itself(tmp_path) -> None:
    with Corrections.open(tmp_path, "p", SHAPE) as corrections:
        for action, value in (("paint", 1), ("paint", 2), ("undo", 1), ("redo", 2), ("undo", 1)):
            corrections.labels[0, 0, 0] = value
            corrections.record(action)
        assert corrections.undo_last() == 1  # the first stroke: the second one is undone already
        assert corrections.labels[0, 0, 0] == 0
        assert corrections.undo_last() == 0


def test_what_was_not_recorded_is_recorded_on_closing(tmp_path) -> None:
    corrections = Corrections.open(tmp_path, "p", SHAPE)
    corrections.labels[0, 0, 0] = 3
    assert corrections.record("paint", (slice(1, 2), slice(None), slice(None))) == 0
    corrections.close()
    corrections.close()
    with Corrections.open(tmp_path, "p", SHAPE) as reopened:
        assert reopened.labels[0, 0, 0] == 3


def test_edits_count_as_recovered_only_after_a_session_that_did_not_end_well(tmp_path) -> None:
    for session in range(3):
        with Corrections.open(tmp_path, "p", SHAPE) as corrections:
            assert not corrections.recovered
            assert len(corrections.history) == session
            corrections.labels[0, 0, session] = 1
            corrections.record("paint")


def test_regions_may_reach_over_the_edge_and_hold_indices(tmp_path) -> None:
    with Corrections.open(tmp_path, "p", SHAPE) as corrections:
        corrections.labels[3, 9, 11] = 1
        assert corrections.record("paint", (3, slice(8, 40), slice(None))) == 1
        assert corrections.record("paint", (slice(5, 3), slice(0, 1), slice(0, 1))) == 0
        with pytest.raises(ProjectProblem, match="2 axes, expected 3"):
            corrections.record("paint", (slice(None), slice(None)))


def test_a_stroke_that_could_not_be_written_goes_with_the_next_one(tmp_path, monkeypatch) -> None:
    with Corrections.open(tmp_path, "p", SHAPE) as corrections:
        corrections.labels[0, 0, :5] = 1
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "I/O error")))
            with pytest.raises(ProjectProblem, match="next edit will write it too"):
                corrections.record("paint", (slice(0, 1), slice(0, 1), slice(0, 5)))
        corrections.labels[3, 3, 3] = 2
        assert corrections.record("paint", (slice(3, 4), slice(3, 4), slice(3, 4))) == 6
    with Corrections.open(tmp_path, "p", SHAPE, writable=False) as reopened:
        assert reopened.labels[0, 0, :5].tolist() == [1] * 5


def test_reading_disturbs_no_writer_and_leaves_no_file(tmp_path) -> None:
    nothing = Corrections.open(tmp_path / "none", "p", SHAPE, writable=False)
    assert not nothing.labels.any()
    assert not (tmp_path / "none").exists()
    assert nothing.closed
    with pytest.raises(ProjectProblem, match="reading only"):
        nothing.record("paint")
    with Corrections.open(tmp_path, "p", SHAPE) as writer:
        writer.labels[0] = 1
        writer.record("fill")
        reader = Corrections.open(tmp_path, "p", SHAPE, writable=False)
        np.testing.assert_array_equal(reader.labels, writer.labels)
        with pytest.raises(ProjectProblem, match="already open here"):
            Corrections.open(tmp_path, "p", SHAPE)


@pytest.mark.parametrize(
    "name", ["../p", "a/b", "", ".", "..", "a\\b", "nul", "x\n", " x", "x" * 200]
)
def test_names_never_become_paths_unchecked(tmp_path, name) -> None:
    with pytest.raises(ProjectProblem, match="Rename it"):
        Corrections.open(tmp_path / "in", name, SHAPE)
    assert list(tmp_path.iterdir()) == []


def test_training_labels_are_sparse_and_win_over_manual_ones(tmp_path) -> None:
    manual = np.full(SHAPE, 1, np.uint8)
    with Corrections.open(tmp_path, "p", SHAPE) as corrections:
        assert combine_labels(None, corrections) is None
        label, corrected = combine_labels(manual, corrections)
        assert corrected is None
        np.testing.assert_array_equal(label, manual)
        corrections.labels[0, 0, :3] = [2, BACKGROUND_MARK, 0]
        label, corrected = combine_labels(None, corrections)
        assert label.dtype == np.int16
        assert label[0, 0, :3].tolist() == [2, 0, -1]
        assert (label == -1).sum() == label.size - 2
        np.testing.assert_array_equal(corrected, label != -1)
        label, corrected = combine_labels(manual, corrections)
        assert label[0, 0, :3].tolist() == [2, 0, 1]
        assert corrected.sum() == 2
        with pytest.raises(ProjectProblem, match="Resample"):
            combine_labels(manual[:2], corrections)


PAINTER = """
import sys
from pathlib import Path
import numpy as np
from napari_metassl.data.corrections import Corrections

corrections = Corrections.open(Path(sys.argv[1]), "p", (8, 64, 64))
print("ready", len(corrections.history), len(corrections.recovered), flush=True)
for number in range(len(corrections.history), 100_000):
    rng = np.random.default_rng(number)
    z, y, x = rng.integers(0, (8, 40, 40))
    box = (slice(z, z + 1), slice(y, y + 20), slice(x, x + 20))
    corrections.labels[box] = np.where(rng.random((1, 20, 20)) < 0.6, number % 254 + 1, 0)
    corrections.record("paint", box)
    print(number, flush=True)
"""


def repaint(count: int) -> np.ndarray:
    """What the painter has painted after `count` strokes."""
    labels = np.zeros((8, 64, 64), np.uint8)
    for number in range(count):
        rng = np.random.default_rng(number)
        z, y, x = rng.integers(0, (8, 40, 40))
        stroke = np.where(rng.random((1, 20, 20)) < 0.6, number % 254 + 1, 0)
        labels[z : z + 1, y : y + 20, x : x + 20] = stroke
    return labels


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is Unix")
def test_kill_at_any_moment_loses_no_finished_stroke(tmp_path) -> None:
    rng = np.random.default_rng(int(time.time()))
    finished = session = 0
    for _ in range(6):
        painter = subprocess.Popen(
            [sys.executable, "-c", PAINTER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert painter.stdout is not None
        ready, found, recovered = painter.stdout.readline().split()
        assert ready == "ready"
        assert finished <= int(found) <= finished + 1  # the stroke in flight may be there or not
        assert int(recovered) == int(found) - session
        session = finished = int(found)
        for _ in range(int(rng.integers(1, 15))):
            finished = int(painter.stdout.readline()) + 1
        time.sleep(rng.random() * 0.02)
        painter.send_signal(signal.SIGKILL)
        rest = painter.stdout.read().split("\n")[:-1]  # whole lines only
        finished = int(rest[-1]) + 1 if rest else finished
        painter.wait()
    with Corrections.open(tmp_path, "p", (8, 64, 64)) as corrections:
        strokes = len(corrections.history)
        assert finished <= strokes <= finished + 1
        assert len(corrections.recovered) == strokes - session
        np.testing.assert_array_equal(corrections.labels, repaint(strokes))
    with Corrections.open(tmp_path, "p", (8, 64, 64)) as corrections:
        assert not corrections.recovered  # closed well
