"""Correction: the sites worst first, what can be done at each, and what the brush paints."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QSizePolicy,
    QWidget,
)

from napari_metassl.widgets.brush_picker import BrushPicker
from napari_metassl.widgets.components import Card, KeyButton, button, label, row
from napari_metassl.widgets.edit_tools import EditTools
from napari_metassl.widgets.proposal_row import ProposalRow
from napari_metassl.widgets.provenance_row import ProvenanceRow
from napari_metassl.widgets.session import KEYS, Action, Session
from napari_metassl.widgets.site_list import SiteList
from napari_metassl.widgets.theme import Palette

BUTTONS: dict[Action, tuple[str, str]] = {
    Action.PREVIOUS: ("◀ Previous", "Go to the site before"),
    Action.NEXT: ("Next ▶", "Go to the next site; Ctrl+click in the image chooses the one there"),
    Action.TAKE_A: ("Take A", "Give the site network A's label; around it, confirm what you saw"),
    Action.TAKE_B: ("Take B", "Give the site network B's label; around it, confirm what you saw"),
    Action.TAKE_IMAGE: (
        "Image",
        "Give the site, and unsure voxels around it, the label that follows the image",
    ),
    Action.CONFIRM: ("Confirm", "Leave the site as predicted, and say that you saw it"),
    Action.SKIP: ("Skip", "Put the site aside for now"),
    Action.UNDO: ("Undo", "Take the last correction back, as Ctrl+Z on the corrections layer does"),
}


class CorrectionPanel(Card):
    """Site list, actions, brush."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Correction", parent)
        self.session = session
        self.buttons: dict[Action, KeyButton] = {}
        self.progress_text = label("", "muted")
        self.head.addWidget(self.progress_text)
        undo = self._button(Action.UNDO)
        undo.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.head.addWidget(undo)
        self.progress = QProgressBar()
        self.progress.setObjectName("thin")
        self.progress.setTextVisible(False)
        self.body.addWidget(self.progress)
        self.sites = SiteList(session)
        self.table = self.sites.table
        self.body.addWidget(self.sites, 1)
        self.empty = label("", "muted", wrap=True)
        self.body.addWidget(self.empty)
        self.predict = button("Predict this volume", self._predict, tone="primary")
        self.body.addWidget(self.predict)
        self.body.addLayout(self._actions())
        self.proposal = ProposalRow(session)
        self.body.addWidget(self.proposal)
        self.body.addLayout(self._reach_row())
        self.brush = BrushPicker(session)
        self.body.addWidget(self.brush)
        self.tools = EditTools(session)
        self.body.addWidget(self.tools)
        self.provenance = ProvenanceRow(session)
        self.body.addWidget(self.provenance)
        self.body.addStretch(0)  # takes the room while the list is hidden
        session.events.project.connect(self._show_empty)
        session.events.review.connect(self.refresh)
        session.events.listing.connect(self.refresh)
        session.events.site.connect(self._enable)
        session.events.reach_mm.connect(self._on_reach)
        session.events.go_on.connect(self._on_go_on)
        session.events.prediction_job.connect(self._show_empty)
        session.edited.connect(self.refresh)
        self.refresh()

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.table.sites.palette = palette
        self.table.viewport().update()

    def refresh(self) -> None:
        """Say how far one is, and what can be done."""
        review = self.session.review
        done, count = (0, 0) if review is None else review.progress()
        self.progress.setRange(0, max(count, 1))
        self.progress.setValue(done)
        self.progress_text.setText(f"{done} of {count} reviewed" if count else "")
        self._enable()
        self._show_empty()

    def _enable(self) -> None:
        review = self.session.review
        listed = self._has_sites()
        chosen = self.session.site is not None
        for action, widget in self.buttons.items():
            if action is Action.UNDO:
                widget.setEnabled(review is not None)
            elif action in (Action.NEXT, Action.PREVIOUS):
                widget.setEnabled(listed)
            else:
                widget.setEnabled(listed and chosen)
        self.brush.setEnabled(review is not None)
        self.tools.setEnabled(review is not None)

    def _show_empty(self) -> None:
        review, job = self.session.review, self.session.prediction_job
        listed = self._has_sites()
        running = job is not None and not job.status.is_over
        self.sites.setVisible(listed)
        self.progress.setVisible(listed)
        self.empty.setVisible(not listed)
        unpredicted = review is not None and review.prediction is None
        pair = self.session.project is not None and self.session.project.file.current_pair
        self.proposal.setVisible(listed)
        self.predict.setVisible(unpredicted and bool(pair) and not running)
        if review is None:
            missing = "Open a project" if self.session.project is None else "Choose a volume"
            self.empty.setText(f"{missing} on the Project page; its sites are listed here.")
        elif unpredicted and running:
            self.empty.setText("The prediction is being made; the sites appear when it is done.")
        elif unpredicted and pair:
            self.empty.setText(
                "This volume has no prediction yet. You can paint already; sites to walk "
                "through are listed here once both networks have been asked."
            )
        elif unpredicted:
            self.empty.setText(
                "This volume has no prediction, and the project has no pair of networks to make "
                "one. Import a pair on the Project page, or train one. You can paint already."
            )
        else:
            self.empty.setText("The two networks agree everywhere here: no site to look at.")

    def _has_sites(self) -> bool:
        """Whether there is anything to list: sites, or at least specks."""
        review = self.session.review
        return review is not None and review.sites is not None and review.sites.total > 0

    def _predict(self) -> None:
        if self.session.volume is not None:
            self.session.predict.emit((self.session.volume,))

    def _actions(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(5)
        places = (
            (Action.PREVIOUS, 0, 0, 4), (Action.NEXT, 0, 4, 4), (Action.SKIP, 0, 8, 4),
            (Action.TAKE_A, 1, 0, 3), (Action.TAKE_B, 1, 3, 3), (Action.TAKE_IMAGE, 1, 6, 3),
            (Action.CONFIRM, 1, 9, 3),
        )  # fmt: skip
        for action, line, column, width in places:
            grid.addWidget(self._button(action), line, column, 1, width)
        for column in range(12):
            grid.setColumnStretch(column, 1)
        return grid

    def _button(self, action: Action) -> KeyButton:
        text, tip = BUTTONS[action]
        primary = action in (Action.TAKE_A, Action.TAKE_B, Action.TAKE_IMAGE, Action.CONFIRM)
        made = button(
            text,
            lambda: self.session.act.emit(action),
            key=KEYS[action],
            tone="primary" if primary else "",
            tip=tip,
        )
        self.buttons[action] = made
        return made

    def _reach_row(self) -> QHBoxLayout:
        self.reach = QDoubleSpinBox()
        self.reach.setRange(0.0, 50.0)
        self.reach.setDecimals(1)
        self.reach.setSingleStep(0.5)
        self.reach.setSuffix(" mm")
        self.reach.setValue(self.session.reach_mm)
        self.reach.setStyleSheet("min-width: 96px; max-width: 96px;")
        self.reach.setToolTip(
            "What lies so close around a finished site counts as seen: voxels nobody touched "
            "are confirmed as predicted."
        )
        self.reach.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.reach.valueChanged.connect(self._set_reach)
        self.go_on = QCheckBox("then go on")
        self.go_on.setChecked(self.session.go_on)
        self.go_on.setToolTip("Finishing a site goes to the next open one by itself")
        self.go_on.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.go_on.toggled.connect(self._set_go_on)
        line = row(label("Seen within"), self.reach, self.go_on)
        line.addStretch(1)
        return line

    def _set_reach(self, reach: float) -> None:
        self.session.reach_mm = reach

    def _on_reach(self, reach: float) -> None:
        self.reach.setValue(reach)

    def _on_go_on(self, on: bool) -> None:
        self.go_on.setChecked(on)

    def _set_go_on(self, on: bool) -> None:
        self.session.go_on = on
