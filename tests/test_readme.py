"""What the README says is so."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from napari_metassl.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in README
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "make test"


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_command_exists_with_its_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    used = re.findall(r"^napari-metassl (\S+)(.*)$", README, re.MULTILINE)
    assert {name for name, _ in used} >= {"new", "train", "predict", "review", "fine-tune"}
    for name, rest in used:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, name


def test_the_layout_tree_names_what_is_there() -> None:
    tree = README.split("## Layout")[1].split("```")[1]
    for line in tree.splitlines():
        if found := re.match(r"( *)([a-z_]+)/", line):
            folder = ROOT / ("napari_metassl" if found[1] else "") / found[2]
            assert folder.is_dir(), line
