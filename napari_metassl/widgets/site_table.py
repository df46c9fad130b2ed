"""The list of sites, worst first: what each is, how much of it is suspicious, how far one is."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QHeaderView, QWidget

from napari_metassl.widgets.list_table import ListTable
from napari_metassl.widgets.review import ListedSite, SiteOrder, SiteStatus
from napari_metassl.widgets.theme import Palette

COLUMNS: dict[SiteOrder, tuple[str, int, str]] = {
    SiteOrder.CLASSES: ("A says → B says", 0, "What network A and what network B say there"),
    SiteOrder.SIZE: ("mL", 42, "Volume of the site in mL"),
    SiteOrder.DS: ("DS", 46, "Discrepant and suspicious volume at the thresholds of now, in mL"),
    SiteOrder.UNCERTAINTY: (
        "Unsure",
        60,
        "Volume in and close around the site that is wrong if both networks are as sure as they "
        "say, in mL",
    ),
    SiteOrder.STATUS: ("Status", 84, "open, skipped, confirmed as predicted, or corrected"),
}
"""Title, width in pixels (0: what is left) and meaning of each column, and what it orders by."""
ORDERS = tuple(COLUMNS)
SHARE_WORTH_SAYING = 0.1
"""A kind of disagreement with less of the site is not counted in the list."""


class SiteModel(QAbstractTableModel):
    """Ranked sites as Qt wants them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: list[ListedSite] = []
        self.class_names: tuple[str, ...] = ()
        self.palette: Palette | None = None
        self.by, self.turned = SiteOrder.DS, False

    def show(self, entries: list[ListedSite], class_names: tuple[str, ...]) -> None:
        """Exchange what is listed."""
        self.beginResetModel()
        self.entries, self.class_names = entries, class_names
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Count the sites."""
        return 0 if parent.isValid() else len(self.entries)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Count the columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: N802
        """Title and meaning of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        title, _, tip = COLUMNS[ORDERS[section]]
        if role == Qt.ItemDataRole.DisplayRole:
            arrow = "▴" if self.turned else "▾"
            return f"{title} {arrow}" if ORDERS[section] is self.by else title
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{tip}. Click to list by it, again to turn the order round."
        return _alignment(section) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, alignment and colour of a cell."""
        entry = self.entries[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(ORDERS[index.column()], entry)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role == Qt.ItemDataRole.ForegroundRole and self.palette is not None:
            return QBrush(QColor(self._ink(ORDERS[index.column()], entry)))
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{describe(entry, self.class_names)}\n{list_kinds(entry, self.class_names)}"
        return None

    def _text(self, column: SiteOrder, entry: ListedSite) -> str:
        site = entry.site
        if column is SiteOrder.CLASSES:
            names = " → ".join(_short(self.class_names[k]) for k in site.classes)
            others = sum(k.voxels >= SHARE_WORTH_SAYING * len(site.voxels) for k in site.kinds[1:])
            return f"{names} +{others}" if others else names
        if column is SiteOrder.STATUS:
            return str(entry.status)
        volume = {SiteOrder.SIZE: site.ml, SiteOrder.DS: entry.ds_ml}
        return f"{volume.get(column, site.expected_error_ml):.2f}"

    def _ink(self, column: SiteOrder, entry: ListedSite) -> str:
        assert self.palette is not None
        if entry.status.is_done:
            return self.palette.good if column is SiteOrder.STATUS else self.palette.muted
        if entry.status is SiteStatus.SKIPPED and column is SiteOrder.STATUS:
            return self.palette.warning
        return self.palette.text


class SiteTable(ListTable):
    """The list.

    ``chosen`` carries the id of the site a person clicks or moves to, ``order_asked`` the
    `SiteOrder` of the column whose title was clicked.
    """

    chosen = Signal(int)
    order_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sites = SiteModel(self)
        self.setModel(self.sites)
        self.setMinimumHeight(104)
        self._style_header(self.horizontalHeader())
        self.selectionModel().currentRowChanged.connect(self._on_row)

    def _style_header(self, header: QHeaderView) -> None:
        header.setSectionsClickable(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        for column, (_, width, _) in enumerate(COLUMNS.values()):
            if width:
                self.setColumnWidth(column, width)
            else:
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        header.sectionClicked.connect(lambda column: self.order_asked.emit(ORDERS[column]))

    def show_order(self, by: SiteOrder, turned: bool) -> None:
        """Show by which column the sites are listed."""
        self.sites.by, self.sites.turned = by, turned
        self.sites.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(COLUMNS) - 1)

    def show_sites(
        self, entries: list[ListedSite], class_names: tuple[str, ...], current: int | None
    ) -> None:
        """List sites and mark the one at hand, without telling anybody."""
        with QSignalBlocker(self.selectionModel()):
            self.sites.show(entries, class_names)
        self.mark(current)

    def mark(self, current: int | None) -> None:
        """Mark the site at hand, without telling anybody."""
        ids = [entry.site.id for entry in self.sites.entries]
        with QSignalBlocker(self.selectionModel()):
            if current in ids:
                self.selectRow(ids.index(current))
                self.scrollTo(self.sites.index(ids.index(current), 0))
            else:
                self.clearSelection()
                self.setCurrentIndex(QModelIndex())
        self.viewport().update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Ask for little: the table takes whatever room the page has left."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def _on_row(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(self.sites.entries[current.row()].site.id)


def describe(entry: ListedSite, class_names: tuple[str, ...]) -> str:
    """Say what a site is in a few words."""
    site = entry.site
    first, *others = site.kinds
    also = ""
    if others:
        kinds = "another kind" if len(others) == 1 else f"{len(others)} other kinds"
        also = f" ({first.voxels / len(site.voxels):.0%}) and {kinds}"
    return (
        f"{entry.ds_ml / site.ml:.0%} DS, confidence {site.mean_confidence:.2f}; {site.ml:.2f} mL, "
        f"A: {class_names[first.a]}, B: {class_names[first.b]}{also}"
    )


def list_kinds(entry: ListedSite, class_names: tuple[str, ...]) -> str:
    """Say everything the networks say at a site, one kind a line."""
    return "\n".join(
        f"A: {class_names[kind.a]}, B: {class_names[kind.b]}: "
        f"{kind.voxels / len(entry.site.voxels):.0%}"
        for kind in entry.site.kinds
    )


def _short(class_name: str) -> str:
    """Return the name of a class as the list has room for; the commonest one is long."""
    return "bg" if class_name == "background" else class_name


def _alignment(column: int) -> Qt.AlignmentFlag:
    words = ORDERS[column] in (SiteOrder.CLASSES, SiteOrder.STATUS)
    side = Qt.AlignmentFlag.AlignLeft if words else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter
