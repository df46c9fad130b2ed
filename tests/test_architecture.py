"""The direction of imports, and what may be imported when: widgets -> jobs -> data -> method."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "napari_metassl"
ORDER = ("method", "data", "jobs", "widgets")
GUI = ("qtpy", "PyQt6", "PySide6", "napari", "magicgui", "superqt", "pyqtgraph", "vispy")
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))

TORCH_FREE = (
    "napari_metassl",
    "napari_metassl.errors",
    "napari_metassl.data.volume",
    "napari_metassl.data.volume_io",
    "napari_metassl.data.model_card",
    "napari_metassl.data.prediction",
    "napari_metassl.data.quadripartition",
    "napari_metassl.data.sites",
    "napari_metassl.data.proposal",
    "napari_metassl.data.corrections",
    "napari_metassl.data.project",
    "napari_metassl.data.volume_queue",
    "napari_metassl.jobs.job",
    "napari_metassl.jobs.specs",
    "napari_metassl.jobs.local",
    "napari_metassl.cli",
)


def imported_names(module: Path) -> list[str]:
    """Return every module named by an import statement anywhere in the file."""
    names: list[str] = []
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; write the full name"
            names.append(node.module or "")
    return names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_one_way(module: Path) -> None:
    if module.parts[0] not in ORDER:
        return  # the package itself and the command line stand above all parts
    rank = ORDER.index(module.parts[0])
    above = tuple(f"napari_metassl.{part}" for part in (*ORDER[rank + 1 :], "cli"))
    wrong = [name for name in imported_names(module) if name.startswith(above)]
    assert not wrong, f"{module} imports what stands above it: {wrong}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_widgets_see_the_gui(module: Path) -> None:
    if module.parts[0] == "widgets":
        return
    wrong = [name for name in imported_names(module) if name.split(".")[0] in GUI]
    assert not wrong, f"{module} imports {wrong}; only widgets/ may"


@pytest.mark.parametrize("name", TORCH_FREE)
def test_importing_brings_neither_torch_nor_gui(name: str) -> None:
    code = (
        f"import sys, {name}; print(*[m for m in {('torch', 'monai', *GUI)!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_files_stay_within_400_lines(module: Path) -> None:
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_functions_stay_within_60_lines(module: Path) -> None:
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    too_long = [n.name for n in functions if (n.end_lineno or 0) - n.lineno + 1 > 60]
    assert not too_long


def test_nothing_moves_to_cuda_by_name() -> None:
    assert not [m for m in MODULES if ".cuda()" in (ROOT / m).read_text(encoding="utf-8")]


def test_public_names_are_where_the_package_says() -> None:
    import napari_metassl

    assert set(napari_metassl.__all__) == set(napari_metassl._HOMES)
    for name in napari_metassl.__all__:
        assert getattr(napari_metassl, name).__module__.startswith("napari_metassl.")
