"""What the pages in docs/ show is what happens."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str]]:
    """Every block of code of a page, and the output shown under it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [(found[1], found[2] or "") for found in BLOCK.finditer(text)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("page", ["plug-and-play.md"])
def test_every_block_prints_what_the_page_shows(page):
    names: dict[str, Any] = {}
    for number, (code, shown) in enumerate(blocks(page)):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{page}, block {number}", "exec"), names)
        assert printed.getvalue() == shown, f"{page}, block {number}"


def test_the_loss_takes_twenty_lines_in_the_loop_of_somebody_else():
    code = next(code for code, _ in blocks("plug-and-play.md") if "MetaSSLLoss(" in code)
    assert "for step" in code and "backward()" in code
    assert len(code.strip().splitlines()) <= 20


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_link_leads_somewhere(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (DOCS / link).exists(), link
