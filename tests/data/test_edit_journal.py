"""The journal under every kind of damage: what is whole is kept, what is not is said."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_metassl.data.edit_journal import EditJournal, read_journal
from napari_metassl.data.edit_runs import EditRuns
from napari_metassl.errors import ProjectProblem

SHAPE = (3, 8, 9)
SIZE = 3 * 8 * 9


def random_runs(rng: np.random.Generator) -> EditRuns:
    count = int(rng.integers(1, 60))
    voxels = np.sort(rng.choice(SIZE, count, replace=False))
    return EditRuns.from_voxels(voxels, rng.integers(0, 3, (4, count)).astype(np.uint8))


def write_edits(path: Path, count: int, seed: int = 0) -> list[EditRuns]:
    rng = np.random.default_rng(seed)
    edits = [random_runs(rng) for _ in range(count)]
    journal = EditJournal(path, "p07", SHAPE)
    for number, runs in enumerate(edits):
        journal.append(f"paint {number}", runs, who="Zoë")
    journal.close()
    return edits


def state_after(edits: list[EditRuns]) -> tuple[np.ndarray, np.ndarray]:
    labels, provenance = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for runs in edits:
        runs.apply(labels, provenance)
    return labels, provenance


def assert_same(edits: list[EditRuns], expected: list[EditRuns]) -> None:
    assert len(edits) == len(expected)
    for one, other in zip(edits, expected, strict=True):
        np.testing.assert_array_equal(one.start, other.start)
        np.testing.assert_array_equal(one.length, other.length)
        np.testing.assert_array_equal(one.values, other.values)


@settings(deadline=None)
@given(
    changed=arrays.arrays(bool, SHAPE),
    values=arrays.arrays(np.uint8, (4, SIZE), elements=st.integers(0, 3)),
)
def test_runs_hold_exactly_the_voxels_they_were_made_of(changed, values) -> None:
    voxels = np.flatnonzero(changed)
    runs = EditRuns.decode(EditRuns.from_voxels(voxels, values[:, voxels]).encode(), SIZE)
    np.testing.assert_array_equal(runs.voxels, voxels)
    np.testing.assert_array_equal(np.repeat(runs.values, runs.length, axis=1), values[:, voxels])
    labels, provenance = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    runs.apply(labels, provenance)
    np.testing.assert_array_equal(labels, np.where(changed, values[1].reshape(SHAPE), 0))
    np.testing.assert_array_equal(provenance, np.where(changed, values[3].reshape(SHAPE), 0))
    back = runs.reversed()
    np.testing.assert_array_equal(back.values[1], runs.values[0])
    np.testing.assert_array_equal(back.values[3], runs.values[2])


@pytest.mark.parametrize("start", [[-1], [SIZE], [0, 0], [5, 3], [SIZE - 1]])
def test_runs_outside_the_volume_or_over_each_other_are_refused(start) -> None:
    length = np.full(len(start), 2)
    runs = EditRuns(np.array(start), length, np.zeros((4, len(start)), np.uint8))
    with pytest.raises(ValueError, match="outside"):
        EditRuns.decode(runs.encode(), SIZE)
    with pytest.raises(ValueError, match="unpacked"):
        EditRuns.decode("no base64!", SIZE)


def test_what_was_appended_comes_back_with_who_what_and_when(tmp_path) -> None:
    before = datetime.now(UTC)
    edits = write_edits(tmp_path / "p07.jsonl", 5)
    journal = EditJournal(tmp_path / "p07.jsonl", "p07", SHAPE)
    assert_same([edit.runs for edit in journal.edits], edits)
    assert [edit.seq for edit in journal.edits] == [1, 2, 3, 4, 5]
    assert journal.edits[2].action == "paint 2"
    assert journal.edits[2].who == "Zoë"
    assert abs((journal.edits[2].time - before).total_seconds()) < 60
    assert journal.notices == []
    header = json.loads((tmp_path / "p07.jsonl").read_text().splitlines()[0])
    assert header["shape"] == list(SHAPE)
    assert header["volume"] == "p07"


def test_a_journal_is_only_ever_appended_to(tmp_path) -> None:
    path = tmp_path / "p07.jsonl"
    write_edits(path, 3)
    before = path.read_bytes()
    inode = path.stat().st_ino
    journal = EditJournal(path, "p07", SHAPE)
    journal.append("paint", random_runs(np.random.default_rng(5)))
    journal.close()
    assert path.read_bytes().startswith(before)
    assert path.stat().st_ino == inode


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100), count=st.integers(0, 6), data=st.data())
def test_cut_off_anywhere_replays_to_the_state_after_its_whole_records(seed, count, data) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "p07.jsonl"
        edits = write_edits(path, count, seed)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        # A record is whole when nothing but its line end may be missing.
        whole = max((content[: cut + 1].count(b"\n")) - 1, 0)
        kept = edits[:whole]
        assert_same([edit.runs for edit in read_journal(path, SHAPE).edits], kept)
        assert path.read_bytes() == content[:cut]  # reading leaves it alone
        journal = EditJournal(path, "p07", SHAPE)
        for one, other in zip(
            state_after([edit.runs for edit in journal.edits]), state_after(kept), strict=True
        ):
            np.testing.assert_array_equal(one, other)
        torn = content[:cut].rpartition(b"\n")[2]
        is_torn = bool(torn) and not content[cut:].startswith(b"\n")
        assert len(journal.notices) == is_torn
        aside = Path(folder) / "p07.jsonl.torn"
        assert (aside.read_bytes() == torn + b"\n") if is_torn else not aside.exists()
        more = random_runs(np.random.default_rng(seed + 1))
        journal.append("paint", more)
        journal.close()
        reread = read_journal(path, SHAPE)
        assert_same([edit.runs for edit in reread.edits], [*kept, more])
        assert (reread.damaged, reread.torn) == (0, b"")


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 100), flip=st.integers(1, 255), data=st.data())
def test_one_wrong_byte_costs_at_most_one_record(seed, flip, data) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "p07.jsonl"
        edits = write_edits(path, 5, seed)
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 2))
        content[at] ^= flip
        path.write_bytes(content)
        hit = bytes(content[:at]).count(b"\n") - 1
        journal = EditJournal(path, "p07", SHAPE)
        found = [edit.seq for edit in journal.edits]
        lost = set(range(1, 6)) - set(found)
        line_end = content[at] ^ flip == 0x0A
        assert lost <= {hit + 1}
        assert not lost if line_end else (lost == {hit + 1} or hit == -1)
        assert_same([edit.runs for edit in journal.edits], [edits[seq - 1] for seq in found])
        assert len(journal.notices) == (not line_end)
        journal.append("paint", random_runs(np.random.default_rng(1)))
        journal.close()
        assert path.read_bytes().startswith(content)
        assert len(read_journal(path, SHAPE).edits) == len(found) + 1


def test_a_lost_line_end_costs_nothing(tmp_path) -> None:
    path = tmp_path / "p07.jsonl"
    edits = write_edits(path, 4)
    content = path.read_bytes()
    for at in [k for k, byte in enumerate(content) if byte == 0x0A]:
        path.write_bytes(content[:at] + b"#" + content[at + 1 :])
        assert_same([edit.runs for edit in read_journal(path, SHAPE).edits], edits)
    path.write_bytes(content[:-1])
    journal = EditJournal(path, "p07", SHAPE)
    journal.append("paint", edits[0])
    journal.close()
    assert path.read_bytes().startswith(content)
    assert path.read_bytes().count(b"\n") == 6


def test_a_deleted_line_and_a_tail_of_zeros_are_noticed(tmp_path) -> None:
    path = tmp_path / "p07.jsonl"
    edits = write_edits(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]) + b"\0" * 300)
    journal = EditJournal(path, "p07", SHAPE)
    assert_same([edit.runs for edit in journal.edits], [edits[0], *edits[2:]])
    assert len(journal.notices) == 2
    assert "300 bytes are set aside" in journal.notices[0]
    assert "1 record(s) of 'p07.jsonl' are damaged" in journal.notices[1]
    journal.close()
    assert read_journal(path, SHAPE).torn == b""


def test_a_record_that_is_whole_but_makes_no_sense_is_skipped_and_said(tmp_path) -> None:
    path = tmp_path / "p07.jsonl"
    write_edits(path, 1)
    journal = EditJournal(path, "p07", SHAPE)
    outside = EditRuns(np.array([SIZE]), np.array([1]), np.zeros((4, 1), np.uint8))
    journal.append("paint", outside)
    journal.close()
    content = read_journal(path, SHAPE)
    assert (len(content.edits), content.damaged) == (1, 1)


def test_a_journal_of_another_shape_or_format_is_refused(tmp_path) -> None:
    path = tmp_path / "p07.jsonl"
    write_edits(path, 2)
    content = path.read_bytes()
    with pytest.raises(ProjectProblem, match=r"shape \(3, 8, 9\), but the volume has \(3, 9, 8\)"):
        EditJournal(path, "p07", (3, 9, 8))
    headless = b"".join(content.splitlines(keepends=True)[1:])
    path.write_bytes(headless)  # every record knows the shape
    with pytest.raises(ProjectProblem, match="shape"):
        EditJournal(path, "p07", (3, 9, 8))
    assert path.read_bytes() == headless
    EditJournal(path, "p07", SHAPE).close()  # and a refusal holds no lock


def test_two_windows_cannot_write_one_journal(tmp_path) -> None:
    path = tmp_path / "p07.jsonl"
    journal = EditJournal(path, "p07", SHAPE)
    with pytest.raises(ProjectProblem, match="'p07' is already open here"):
        EditJournal(path, "p07", SHAPE)
    code = (
        "import sys; from pathlib import Path\n"
        "from napari_metassl.data.edit_journal import EditJournal\n"
        "from napari_metassl.errors import ProjectProblem\n"
        "try: EditJournal(Path(sys.argv[1]), 'p07', (3, 8, 9))\n"
        "except ProjectProblem as problem: print(problem)\n"
    )
    run = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert f"open in another window (process {os.getpid()})" in done.stdout
    journal.append("paint", random_runs(np.random.default_rng(0)))
    journal.close()
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert len(read_journal(path, SHAPE).edits) == 1


def test_an_append_that_fails_leaves_the_journal_as_it_was(tmp_path, monkeypatch) -> None:
    path = tmp_path / "p07.jsonl"
    rng = np.random.default_rng(0)
    journal = EditJournal(path, "p07", SHAPE)
    journal.append("paint", random_runs(rng))
    before = path.read_bytes()
    real_write = os.write

    def disk_full(descriptor: int, content: bytes) -> int:
        real_write(descriptor, bytes(content)[:20])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", disk_full)
        with pytest.raises(ProjectProblem, match="No space left"):
            journal.append("paint", random_runs(rng))
        assert path.read_bytes() == before
        # The disk does not even let the half record be taken off again.
        patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(ProjectProblem, match="No space left"):
            journal.append("paint", random_runs(rng))
    assert path.read_bytes() != before
    journal.append("paint", random_runs(rng))
    journal.close()
    content = read_journal(path, SHAPE)
    assert ([edit.seq for edit in content.edits], content.damaged) == ([1, 2], 0)


def test_a_journal_deleted_under_an_open_window_is_noticed(tmp_path) -> None:
    path = tmp_path / "p07.jsonl"
    journal = EditJournal(path, "p07", SHAPE)
    runs = random_runs(np.random.default_rng(0))
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(ProjectProblem, match="put the file back"):
        journal.append("paint", runs)
    (tmp_path / "elsewhere").rename(path)
    journal.append("paint", runs)
    journal.close()
    with pytest.raises(ProjectProblem, match="closed"):
        journal.append("paint", runs)
    assert len(read_journal(path, SHAPE).edits) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ProjectProblem, match="cannot be written"):
            EditJournal(tmp_path / "p07.jsonl", "p07", SHAPE)
    finally:
        tmp_path.chmod(0o700)
