"""The project's volumes as a queue: table, filter, and possible label errors behind a button."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLineEdit, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_metassl.data.volume_queue import VolumeStatus, current_card
from napari_metassl.widgets.components import Card, button, label, row
from napari_metassl.widgets.label_error_list import LabelErrorList
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import Palette
from napari_metassl.widgets.volume_model import FILTERS
from napari_metassl.widgets.volume_table import VolumeTable


class VolumeQueueCard(Card):
    """All volumes worst first; a click shows one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Volumes", parent)
        self.session = session
        self.summary = label("", "muted")
        self.head.addWidget(self.summary)
        self.errors_button = button("", self._turn, tone="choice")
        self.errors_button.setCheckable(True)
        self.errors_button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.head.addWidget(self.errors_button)
        self.label_errors = LabelErrorList(session)
        self.pages = QStackedWidget()
        self.pages.addWidget(self._table_page())
        self.pages.addWidget(self.label_errors)
        self.body.addWidget(self.pages, 1)
        session.events.queue.connect(self.refresh)
        session.events.volume.connect(self._on_volume)
        session.volumes_changed.connect(self._write_about)
        self.refresh()

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.table.volumes.palette = palette
        self.table.viewport().update()
        self.label_errors.use_palette(palette)

    def refresh(self) -> None:
        """List the volumes as they stand now."""
        queue = self.session.queue
        self.table.show_queue(queue)
        statuses = [entry.status for entry in queue.entries.values()]
        reviewed = statuses.count(VolumeStatus.REVIEWED)
        self.summary.setText(f"{reviewed} of {len(statuses)} reviewed" if statuses else "")
        count = self.label_errors.open_count()
        self.errors_button.setText(f"Label errors? ({count})" if count else "Label errors?")
        self.errors_button.setToolTip(
            "Places where both networks are confident of another class than the manual label"
        )
        self._write_about()

    def _table_page(self) -> QWidget:
        self.table = VolumeTable()
        self.table.chosen.connect(self._choose)
        self.table.ordered.connect(self._order)
        self.text = QLineEdit()
        self.text.setPlaceholderText("Filter by name")
        self.text.setClearButtonEnabled(True)
        self.text.textChanged.connect(self._filter)
        self.choice = QComboBox()
        self.choice.addItems(list(FILTERS))
        self.choice.setToolTip("Volumes of one status or role")
        self.choice.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choice.currentTextChanged.connect(self._filter)
        self.about = label("", "muted", wrap=True)
        made = QWidget()
        made.setObjectName("plain")
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        filters = row(self.text, self.choice)
        filters.setStretch(0, 1)
        layout.addLayout(filters)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.about)
        return made

    def _turn(self) -> None:
        self.pages.setCurrentIndex(1 if self.errors_button.isChecked() else 0)

    def _filter(self) -> None:
        self.table.choose(self.text.text(), self.choice.currentText())

    def _choose(self, name: str) -> None:
        self.session.volume = name

    def _order(self, names: tuple[str, ...]) -> None:
        self.session.order = names

    def _on_volume(self, name: str | None) -> None:
        self.table.mark(name)

    def _write_about(self) -> None:
        """Say how much the quality column can be trusted."""
        project = self.session.project
        card = None if project is None else current_card(project)
        learned = None if card is None else self.session.queue.calibration(card.fingerprint)
        any_figures = any(e.figures is not None for e in self.session.queue.entries.values())
        self.about.setVisible(any_figures)
        if learned is not None:
            self.about.setText(
                f"≈ is a Dice predicted from disagreement and confidence, learned from "
                f"{learned.volumes} validation volumes; off by {learned.error:.2f} when tested."
            )
        else:
            self.about.setText(
                "Quality is a rank only, 1 being the worst: a Dice can be predicted once two "
                "validation volumes are predicted by the pair in use."
            )
