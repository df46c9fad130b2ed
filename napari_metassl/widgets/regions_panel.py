"""Regions: the threshold of confidence, whose confidence it is, and what follows from it."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_metassl.data.quadripartition import Reference
from napari_metassl.method.region import Region
from napari_metassl.widgets.components import Card, PageScroll, button, label, row, set_tone, swatch
from napari_metassl.widgets.confidence_window import (
    ConfidenceWindow,
    reliability_of,
    right_shares,
)
from napari_metassl.widgets.region_table import RegionTable
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import Palette
from napari_metassl.widgets.threshold_slider import ThresholdSlider

REFERENCES = {
    Reference.SUPERVISED: ("Network A", "Confident is where the supervised network is sure."),
    Reference.REFERENCE: ("Network B", "Confident is where the reference network is sure."),
    Reference.BOTH: ("Both", "Confident is only where both networks are sure."),
}

UNKNOWN = "▸ how often right?"
"""On the button, where nothing is known of it."""


class RegionsPanel(Card):
    """Threshold sliders, reference choice and the table of shares."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Regions", parent)
        self.session = session
        self.adaptive = button(
            "Adaptive",
            session.reset_thresholds,
            tone="quiet",
            tip="Go back to the class thresholds that the pair learned in training",
        )
        self.honesty = button("", self._open_confidence, tone="link")
        self.honesty.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.honesty.setToolTip(
            "Of the confident voxels of each class, the share that is right in the validation "
            "volumes; opens histogram and reliability curve"
        )
        self.head.addWidget(self.honesty)
        self.head.addWidget(self.adaptive)
        self.all_classes = ThresholdSlider("of all classes")
        self.all_classes.moved.connect(self._move_all)
        self.body.addLayout(row(label("Threshold"), self.all_classes, spacing=10))
        self.more = button("", self._toggle_classes, tone="link", tip="One threshold per class")
        self.body.addWidget(self.more)
        self.classes: list[ThresholdSlider] = []
        self.class_list = self._class_list()
        self.body.addWidget(self.class_list)
        self.body.addLayout(self._reference_row())
        self.confidence: ConfidenceWindow | None = None
        self._palette: Palette | None = None
        self.table = RegionTable()
        self.table.toggled.connect(self._show_regions)
        self.body.addWidget(self.table)
        session.events.review.connect(self._on_review)
        session.events.visible_regions.connect(self.table.show_visible)
        session.events.queue.connect(self.refresh)
        session.partitioned.connect(self.refresh)
        self._on_review()

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        if self.confidence is not None:
            self.confidence.use_palette(palette)

    def refresh(self) -> None:
        """Write thresholds and shares as they are now."""
        review = self.session.review
        quadripartition = None if review is None else review.quadripartition
        self.setEnabled(quadripartition is not None)
        self.reference_buttons[self.session.reference].setChecked(True)
        if quadripartition is None:
            self.table.show_shares(None, None)
            self.more.setText("▸ Per class")
            self.honesty.setText(UNKNOWN)
            return
        values = self.session.thresholds[self.session.row]
        self.all_classes.show_value(sum(values) / len(values))
        for slider, value in zip(self.classes, values, strict=True):
            slider.show_value(value)
        self._write_summary(values)
        self._write_honesty(values)
        self.table.show_shares(quadripartition.shares_percent(), quadripartition.shares_ml())

    def _write_summary(self, values: tuple[float, ...]) -> None:
        arrow = "▾" if self.class_list.isVisibleTo(self) else "▸"
        same = max(values) - min(values) < 5e-4
        listed = "all the same" if same else "  ".join(f"{value:.3f}" for value in values)
        self.more.setText(f"{arrow} Per class:  {listed}")
        review = self.session.review
        assert review is not None and review.quadripartition is not None
        learned = review.quadripartition.adaptive_thresholds()
        at_home = self.session.thresholds == tuple(tuple(float(v) for v in r) for r in learned)
        self.adaptive.setText("Adaptive ✓" if at_home else "Adaptive")
        self.adaptive.setEnabled(not at_home)

    def _write_honesty(self, values: tuple[float, ...]) -> None:
        shares = right_shares(reliability_of(self.session), self.session.row, values)
        known = [f"{100 * share:.0f}" for share in shares if not math.isnan(share)]
        if len(known) == len(shares):
            who = "B " if self.session.reference is Reference.BOTH else ""
            self.honesty.setText(f"▸ {who}right in {'  '.join(known)} %")
        else:
            self.honesty.setText(UNKNOWN)
        self.honesty.updateGeometry()

    def _open_confidence(self) -> None:
        if self.confidence is None:
            self.confidence = ConfidenceWindow(self.session, self)
            if self._palette is not None:
                self.confidence.use_palette(self._palette)
        self.confidence.show()
        self.confidence.raise_()

    def _on_review(self) -> None:
        review = self.session.review
        names = () if review is None or review.quadripartition is None else review.class_names
        if len(names) != len(self.classes):
            self._fill_class_list(names)
        self.table.show_visible(self.session.visible_regions)
        self.refresh()

    def _class_list(self) -> QScrollArea:
        self._class_rows = QVBoxLayout()
        self._class_rows.setContentsMargins(10, 0, 4, 0)
        self._class_rows.setSpacing(2)
        content = QWidget()
        content.setObjectName("card")
        content.setLayout(self._class_rows)
        area = PageScroll(content)
        area.setVisible(False)
        return area

    def _fill_class_list(self, names: tuple[str, ...]) -> None:
        while (item := self._class_rows.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self.classes = []
        for k, name in enumerate(names):
            self._class_rows.addWidget(self._class_row(k, name))
        rows = min(len(names), 4)
        self.class_list.setFixedHeight(rows * 28 + 4)

    def _class_row(self, k: int, name: str) -> QWidget:
        review = self.session.review
        assert review is not None
        line = QWidget()
        line.setObjectName("plain")
        icon = label()
        icon.setPixmap(swatch(review.class_colors[k], 12).pixmap(12, 12))
        text = label(name)
        text.setFixedWidth(108)
        text.setToolTip(name)
        slider = ThresholdSlider(f"of {name}")
        slider.moved.connect(lambda value, k=k: self.session.set_threshold(value, (k,)))
        self.classes.append(slider)
        line.setLayout(row(icon, text, slider))
        return line

    def _toggle_classes(self) -> None:
        self.class_list.setVisible(not self.class_list.isVisibleTo(self))
        self.refresh()

    def _move_all(self, value: float) -> None:
        self.session.set_threshold(value, tuple(range(len(self.classes))))

    def _show_regions(self, regions: frozenset[Region]) -> None:
        self.session.visible_regions = regions

    def _reference_row(self) -> QHBoxLayout:
        group = QButtonGroup(self)
        layout = row(label("Reference"), spacing=4)
        self.reference_buttons: dict[Reference, QPushButton] = {}
        for reference, (text, tip) in REFERENCES.items():
            choice = QPushButton(text)
            choice.setCheckable(True)
            choice.setToolTip(tip)
            choice.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            choice.clicked.connect(lambda _on, r=reference: self._choose(r))
            set_tone(choice, "choice")
            group.addButton(choice)
            layout.addWidget(choice, 1)
            self.reference_buttons[reference] = choice
        return layout

    def _choose(self, reference: Reference) -> None:
        self.session.reference = reference
