"""Old pair against new pair on the validation volumes: words, a table, and the choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_metassl.widgets.components import Card, button, label, row, set_tone
from napari_metassl.widgets.session import Notice, Session

TONES = {"better": "good", "worse": "bad"}


class ComparisonView(Card):
    """Shown when a training has ended well; the new pair is offered, not forced."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Is the new pair better?", parent)
        self.session = session
        self.verdict = label("", "title", wrap=True)
        self.body.addWidget(self.verdict)
        self.table = QWidget()
        self.table.setObjectName("plain")
        self._grid = QGridLayout(self.table)
        self._grid.setContentsMargins(0, 2, 0, 2)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(3)
        self.body.addWidget(self.table)
        self.use = button("Use the new pair", self._use)
        self.keep = button("Keep the old pair", self._keep)
        self.body.addLayout(row(self.use, self.keep))
        self.state = label("", "muted", wrap=True)
        self.body.addWidget(self.state)
        self._kept: set[str] = set()
        session.events.training_result.connect(self.refresh)
        session.volumes_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the result of the training on display, if it has one."""
        result, project = self.session.training_result, self.session.project
        shown = result is not None and project is not None and bool(result.get("pair"))
        self.setVisible(shown)
        if result is None or project is None or not shown:
            return
        comparison = result.get("comparison") or {}
        overall = comparison.get("overall") or {}
        self.verdict.setText(comparison.get("sentence") or _without_comparison(result))
        set_tone(self.verdict, TONES.get(overall.get("word", ""), "title"))
        self._fill(comparison)
        better = overall.get("word") == "better"  # the new pair must win before it is proposed
        set_tone(self.use, "primary" if better else "")
        set_tone(self.keep, "" if better else "primary")
        self._offer(str(result["pair"]), project.file.current_pair)

    def _offer(self, pair: str, current: str | None) -> None:
        in_use = pair == current
        self.use.setVisible(not in_use)
        self.keep.setVisible(not in_use and pair not in self._kept)
        self.state.setVisible(in_use or pair in self._kept)
        if in_use:
            self.state.setText(f"'{pair}' is in use.")
        else:
            self.state.setText(f"'{current}' stays in use; '{pair}' is kept in the project.")

    def _fill(self, comparison: Mapping[str, Any]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        verdicts = dict(comparison.get("classes") or {})
        if comparison.get("overall"):
            verdicts = {"All classes": comparison["overall"], **verdicts}
        self.table.setVisible(bool(verdicts))
        for column, text in enumerate(("Dice", "old", "new", "change", "")):
            self._cell(0, column, text, "muted")
        for line, (name, verdict) in enumerate(verdicts.items(), start=1):
            self._cell(line, 0, name, "title" if line == 1 else "")
            self._cell(line, 1, _number(verdict.get("old")))
            self._cell(line, 2, _number(verdict.get("new")))
            word = str(verdict.get("word", ""))
            self._cell(line, 3, _number(verdict.get("difference"), "+.3f"), TONES.get(word, ""))
            self._cell(line, 4, word if word in TONES else "unclear", TONES.get(word, "muted"))

    def _cell(self, line: int, column: int, text: str, tone: str = "") -> None:
        cell = label(text, tone)
        if 0 < column < 4:
            cell.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._grid.addWidget(cell, line, column)

    def _use(self) -> None:
        result, project = self.session.training_result, self.session.project
        if result is None or project is None:
            return
        with self.session.telling():
            project.set_current_pair(str(result["pair"]))
            self.session.notice = Notice(
                f"'{result['pair']}' is in use. What is on display was still predicted by the old "
                "pair.",
                "good",
                offer="Predict all again",
                what="predict all",
            )
        self.session.volumes_changed.emit()

    def _keep(self) -> None:
        if self.session.training_result is not None:
            self._kept.add(str(self.session.training_result["pair"]))
        self.refresh()


def _without_comparison(result: Mapping[str, Any]) -> str:
    return (
        f"The pair '{result['pair']}' is made. There is nothing to compare it on: the project has "
        "no validation volumes, or the comparison was stopped."
    )


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)
