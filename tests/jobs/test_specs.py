import os
from pathlib import Path

import pytest
from conftest import train_spec

from napari_metassl.errors import JobProblem, MetaSSLError
from napari_metassl.jobs.json_file import to_json
from napari_metassl.jobs.specs import FineTuneSpec, PredictSpec, parse_spec


def test_specs_survive_json(project, tmp_path: Path):
    import json

    for spec in (
        train_spec(project, spacing=(1.0, 2.0, 3.0), minutes=2),
        FineTuneSpec(project=project.folder, parent=tmp_path, name="next"),
        PredictSpec(project=project.folder, pair=tmp_path, volumes=("v0",)),
    ):
        again = parse_spec(json.loads(to_json(spec.model_dump(mode="json"))))
        assert again == spec


def test_kind_follows_from_the_parent(project, tmp_path: Path):
    assert train_spec(project).kind == "train"
    assert FineTuneSpec(project=project.folder, parent=tmp_path, name="n").kind == "fine-tune"


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = PredictSpec(project=Path("p"), pair=Path("pairs/a"))
    os.chdir("/")
    assert spec.project == tmp_path / "p"
    assert spec.pair == tmp_path / "pairs" / "a"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": None}, "parent pair"),
        ({"kind": "fine-tune"}, "needs a parent"),
        ({"name": "../outside"}, "name of a pair"),
        ({"typo": 1}, "typo"),
        ({"minutes": -1}, "minutes"),
    ],
)
def test_what_does_not_fit_is_told(project, changes, words):
    with pytest.raises(MetaSSLError, match=words):
        train_spec(project, **changes)


def test_unknown_job_is_told():
    with pytest.raises(JobProblem, match="no job this version can do"):
        parse_spec({"kind": "clean the house"})
