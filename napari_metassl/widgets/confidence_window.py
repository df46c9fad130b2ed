"""How sure the networks are and how often they are then right: a window beside the viewer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QStackedWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_metassl.data.prediction import Network
from napari_metassl.data.quadripartition import Reference
from napari_metassl.data.reliability import Reliability, first_level
from napari_metassl.widgets.components import button, label, swatch
from napari_metassl.widgets.confidence_plot import HistogramPlot, ReliabilityPlot
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import NEUTRAL_COLOR, Palette

HEADERS = ("Class", "Threshold", "Confident", "of these right", "Calibration error")
TIPS = (
    "Choose a class to move its threshold alone; all structures to move them together",
    "Confident is a voxel above it",
    "Share of the class's voxels in this volume that are confident at this threshold",
    "Share of the confident voxels of the validation volumes that the manual label agrees with",
    "Mean distance between confidence and the share that is right (ECE, 15 bins)",
)
MOST_ROWS = 8
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
NAMES = {Network.SUPERVISED: "A", Network.REFERENCE: "B"}


class ConfidenceWindow(QDialog):
    """Histogram with the thresholds on it, reliability curve, and a table of both in figures."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Tool)
        self.session = session
        self.setObjectName("page")
        self.setWindowTitle("Confidence")
        self.resize(720, 460)
        self._counts: npt.NDArray[np.int64] | None = None
        self._neutral = NEUTRAL_COLOR
        self._listed_colors: tuple[str, ...] = ()
        self.about = label("", "muted", wrap=True)
        self.histogram = HistogramPlot()
        self.reliability = ReliabilityPlot()
        self.histogram.dragged.connect(self._move)
        self.table = self._make_table()
        plots = QHBoxLayout()
        plots.setSpacing(8)
        plots.addWidget(self.histogram, 1)
        plots.addWidget(self._right_side(), 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 10)
        layout.setSpacing(8)
        layout.addWidget(self.about)
        layout.addLayout(plots, 1)
        layout.addWidget(self.table)
        session.events.review.connect(self.refresh)
        session.events.queue.connect(self.refresh)
        session.events.reference.connect(self.refresh)
        session.partitioned.connect(self.follow)

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._neutral = palette.muted
        self.histogram.use_palette(palette)
        self.reliability.use_palette(palette)
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Draw what was not drawn while nobody looked."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """Draw again: another volume, network or validation result."""
        review = self.session.review
        quadripartition = None if review is None else review.quadripartition
        if not self.isVisible():
            return
        if review is None or quadripartition is None:
            self.about.setText("Open a volume that is predicted to see how sure the networks are.")
            self._counts = None
            self.histogram.clear()
            self._fill_table((), ())
            return
        network = Network(self.session.row)
        self._counts = quadripartition.confidence_histogram(network)
        colors = self._colors(review.class_colors)
        self.histogram.show_counts(self._counts, colors)
        self._show_reliability(network, colors)
        self.about.setText(self._sentence(network, review.name))
        self._fill_table(review.class_names, colors)
        self.follow()

    def follow(self) -> None:
        """Move lines and figures to the thresholds of now; touches no voxel."""
        if self._counts is None or not self.isVisible() or not self.session.thresholds:
            return
        thresholds = self.session.thresholds[self.session.row]
        if len(thresholds) != len(self._counts):
            return
        self.histogram.show_thresholds(thresholds)
        found = reliability_of(self.session)
        firsts = [first_level(threshold) for threshold in thresholds]
        confident = [int(c[f:].sum()) for c, f in zip(self._counts, firsts, strict=True)]
        totals = [int(count.sum()) for count in self._counts]
        shares = right_shares(found, self.session.row, thresholds)
        share = _percent(sum(confident[1:]), sum(totals[1:]))
        self._write(
            0, (_same(thresholds), share, _overall(found, self.session.row, thresholds), "")
        )
        for k, threshold in enumerate(thresholds):
            ece = math.nan if found is None else found.ece(self.session.row, k)
            texts = (
                f"{threshold:.3f}",
                _percent(confident[k], totals[k]),
                "" if math.isnan(shares[k]) else f"{100 * shares[k]:.1f} %",
                "" if math.isnan(ece) else f"{ece:.3f}",
            )
            self._write(k + 1, texts)

    # -- making

    def _make_table(self) -> QTreeWidget:
        made = QTreeWidget()
        made.setColumnCount(len(HEADERS))
        made.setHeaderLabels(list(HEADERS))
        made.setRootIsDecorated(False)
        made.setUniformRowHeights(True)
        made.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = made.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, tip in enumerate(TIPS):
            made.headerItem().setToolTip(column, tip)
            if column:
                made.headerItem().setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
                made.setColumnWidth(column, 118)
        made.currentItemChanged.connect(self._on_item)
        return made

    def _right_side(self) -> QStackedWidget:
        self.empty = label("", "muted", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.predict = button("Predict the validation volumes", self._predict, tone="primary")
        empty = QWidget()
        empty.setObjectName("card")
        layout = QVBoxLayout(empty)
        layout.addStretch(1)
        layout.addWidget(self.empty)
        layout.addWidget(self.predict)
        layout.addStretch(1)
        self.right = QStackedWidget()
        self.right.addWidget(self.reliability)
        self.right.addWidget(empty)
        return self.right

    # -- writing

    def _fill_table(self, names: Sequence[str], colors: Sequence[str]) -> None:
        listed = [self.table.topLevelItem(n).text(0) for n in range(self.table.topLevelItemCount())]
        wanted = ["all structures", *names] if names else []
        if listed == wanted and tuple(colors) == self._listed_colors:
            return
        self._listed_colors = tuple(colors)
        self.table.clear()
        self.table.setFixedHeight(32 + 21 * min(len(wanted), MOST_ROWS))
        for n, name in enumerate(wanted):
            item = QTreeWidgetItem([name])
            if n:
                item.setIcon(0, swatch(colors[n - 1], 12))
            for column in range(1, len(HEADERS)):
                item.setTextAlignment(column, RIGHT)
            self.table.addTopLevelItem(item)
        if wanted:
            self.table.setCurrentItem(self.table.topLevelItem(0))

    def _write(self, line: int, texts: Sequence[str]) -> None:
        item = self.table.topLevelItem(line)
        for column, text in enumerate(texts, start=1):
            if item.text(column) != text:
                item.setText(column, text)

    def _show_reliability(self, network: Network, colors: list[str]) -> None:
        found = reliability_of(self.session)
        self.right.setCurrentIndex(0 if found is not None else 1)
        if found is not None:
            curves = [found.curve(network, k) for k in range(len(found.voxels[network]))]
            self.reliability.show_curves(curves, colors[: len(curves)])
            self.reliability.bring_to_front(self.histogram.front)
            return
        project = self.session.project
        validation = [] if project is None else project.volumes("validation")
        self.predict.setVisible(bool(validation))
        self.empty.setText(
            f"How often confident voxels are right is told from the validation volumes. "
            f"{len(validation)} of them are to be predicted by this pair first."
            if validation
            else "How often confident voxels are right cannot be told: this project has no "
            "validation volumes. Choose some labeled volumes for it when you make a project."
        )

    def _sentence(self, network: Network, name: str) -> str:
        found = reliability_of(self.session)
        both = self.session.reference is Reference.BOTH
        text = f"Left: how sure network {NAMES[network]} is in '{name}'; drag the line."
        if found is not None:
            volumes = f"{found.volumes} validation volume{'s' if found.volumes != 1 else ''}"
            text += (
                f" Right: how often it is right then, in {volumes}; below the dashed line it is "
                "too sure."
            )
        if both:
            text += " Network A must be sure as well; choose Network A to see how sure it is."
        return text

    def _colors(self, class_colors: Sequence[str]) -> list[str]:
        """Class colours; the background's own would not be seen."""
        return [self._neutral, *class_colors[1:]]

    # -- following a person

    def _on_item(self, item: QTreeWidgetItem | None) -> None:
        line = 0 if item is None else self.table.indexOfTopLevelItem(item)
        front = None if line <= 0 else line - 1
        self.histogram.bring_to_front(front)
        self.reliability.bring_to_front(front)
        self.follow()

    def _move(self, threshold: float) -> None:
        front = self.histogram.front
        everything = tuple(range(len(self.session.thresholds[self.session.row])))
        self.session.set_threshold(threshold, everything if front is None else (front,))

    def _predict(self) -> None:
        project = self.session.project
        if project is not None:
            self.session.predict.emit(tuple(v.name for v in project.volumes("validation")))


def reliability_of(session: Session) -> Reliability | None:
    """Return what is known about the pair that predicted the open volume."""
    review = session.review
    if review is None or review.prediction is None:
        return None
    return session.queue.reliability(review.prediction.card.pair_sha256)


def right_shares(
    found: Reliability | None, network: int, thresholds: Sequence[float]
) -> list[float]:
    """Share of the confident voxels of every class that are right; nan where it is unknown."""
    if found is None or len(found.voxels[network]) != len(thresholds):
        return [math.nan] * len(thresholds)
    return [found.right_share(network, k, t) for k, t in enumerate(thresholds)]


def _overall(found: Reliability | None, network: int, thresholds: Sequence[float]) -> str:
    """Share of the confident voxels of all structures together that are right."""
    if found is None or len(found.voxels[network]) != len(thresholds):
        return ""
    counts = [found.confident(network, k, t) for k, t in enumerate(thresholds)][1:]
    shares = right_shares(found, network, thresholds)[1:]
    right = sum(n * share for n, share in zip(counts, shares, strict=True) if n)
    return _percent(right, sum(counts))


def _same(thresholds: Sequence[float]) -> str:
    low, high = min(thresholds), max(thresholds)
    return f"{low:.3f}" if high - low < 5e-4 else f"{low:.3f} – {high:.3f}"


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
