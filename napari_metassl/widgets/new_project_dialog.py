"""A dialog for a new project: folders of images and labels, and what each volume is for."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_metassl.data.project import Project
from napari_metassl.data.project_creation import group_channels, read_names
from napari_metassl.data.volume_io import list_volumes
from napari_metassl.errors import MetaSSLError
from napari_metassl.widgets.components import label, row, set_tone

LABELED, VALIDATION = 1, 2
TYPING_RESTS_MS = 300  # half a path can name a folder too, and "/" is a slow one to list
UNKNOWN = "The volumes of the images folder are listed here."


class NewProjectDialog(QDialog):
    """Asks for folders and roles; ``made`` is the new project once it is accepted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New project")
        self.resize(640, 620)
        self.made: Project | None = None
        self.images, self.labels, self.folder = QLineEdit(), QLineEdit(), QLineEdit()
        self.classes = QLineEdit()
        self.classes.setPlaceholderText("background, atrium, ventricle   (empty: by number)")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Images folder", self._with_browse(self.images))
        form.addRow("Labels folder", self._with_browse(self.labels, "optional"))
        form.addRow("Project folder", self._with_browse(self.folder, "empty or new"))
        form.addRow("Class names", self.classes)
        self.table = self._table()
        self.problem = label("", "bad", wrap=True)
        self.summary = label(UNKNOWN, "muted", wrap=True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.create = QPushButton("Create project")
        self.create.setDefault(True)
        buttons.addButton(self.create, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 14, 14, 14)
        layout.setSpacing(8)
        layout.addLayout(form)
        layout.addLayout(self._list_row())
        layout.addWidget(self.table, 1)
        layout.addWidget(self.summary)
        layout.addWidget(self.problem)
        layout.addWidget(buttons)
        self._typing = QTimer(self, singleShot=True, interval=TYPING_RESTS_MS)
        self._typing.timeout.connect(self._list_volumes)
        self.images.textChanged.connect(self._list_soon)
        self.labels.textChanged.connect(self._list_soon)
        self.table.itemChanged.connect(self._on_ticked)

    def accept(self) -> None:
        """Make the project; a problem is shown and the dialog stays."""
        QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
        try:
            self.made = self._make()
        except MetaSSLError as problem:
            self.problem.setText(str(problem))
            return
        except OSError as problem:
            self.problem.setText(f"The project cannot be written ({problem}). Choose a folder.")
            return
        finally:
            QApplication.restoreOverrideCursor()
        super().accept()

    def tick_from_list(self, column: int, path: Path) -> None:
        """Tick the volumes that a list file names."""
        try:
            names = set(read_names(path))
        except MetaSSLError as problem:
            self.problem.setText(str(problem))
            return
        missing = names.difference(self._names())
        for line, name in enumerate(self._names()):
            if name in names:
                self.table.item(line, column).setCheckState(Qt.CheckState.Checked)
        self.problem.setText(
            f"The list names '{min(missing)}', which is not among the images." if missing else ""
        )

    def _make(self) -> Project:
        if self._typing.isActive():
            self._list_volumes()
        names = [part.strip() for part in self.classes.text().split(",") if part.strip()]
        if not self.images.text().strip() or not self.folder.text().strip():
            raise MetaSSLError("Choose the folder of the images and a folder for the project.")
        labels = self.labels.text().strip()
        return Project.create(
            Path(self.folder.text().strip()),
            Path(self.images.text().strip()),
            labels=Path(labels) if labels else None,
            labeled=self._ticked(LABELED),
            validation=self._ticked(VALIDATION),
            class_names=names or None,
        )

    def _list_soon(self, _path: str) -> None:
        self._typing.start()

    def _list_volumes(self) -> None:
        """List what the images folder holds; tick what has a label as labeled."""
        self._typing.stop()
        self.table.setRowCount(0)
        try:
            labels = self._files(self.labels)
            images = group_channels(self._files(self.images), labels)
        except MetaSSLError as problem:
            self.problem.setText(str(problem))
            return
        self.problem.setText("")
        self.table.blockSignals(True)
        self.table.setRowCount(len(images))
        for line, name in enumerate(images):
            self.table.setItem(line, 0, QTableWidgetItem(name))
            for column in (LABELED, VALIDATION):
                self.table.setItem(line, column, self._tick(name in labels, column == LABELED))
        self.table.blockSignals(False)
        self._summarise()

    @staticmethod
    def _files(line: QLineEdit) -> dict[str, Path]:
        folder = Path(line.text().strip())
        return list_volumes(folder) if line.text().strip() and folder.is_dir() else {}

    @staticmethod
    def _tick(has_label: bool, ticked: bool) -> QTableWidgetItem:
        item = QTableWidgetItem()
        flags = Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled
        item.setFlags(flags if has_label else Qt.ItemFlag.NoItemFlags)
        if has_label:
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        else:
            item.setText("no label")
        return item

    def _on_ticked(self, item: QTableWidgetItem) -> None:
        """Keep a volume from being trained on and measured on at the same time."""
        if item.column() in (LABELED, VALIDATION) and item.checkState() == Qt.CheckState.Checked:
            other = self.table.item(item.row(), LABELED + VALIDATION - item.column())
            if other is not None and other.checkState() == Qt.CheckState.Checked:
                other.setCheckState(Qt.CheckState.Unchecked)
        self._summarise()

    def _summarise(self) -> None:
        total = self.table.rowCount()
        labeled, validation = len(self._ticked(LABELED)), len(self._ticked(VALIDATION))
        self.summary.setText(
            f"{total} volumes: {labeled} labeled to train on, {validation} to measure on, "
            f"{total - labeled - validation} unlabeled."
            if total
            else UNKNOWN
        )

    def _names(self) -> list[str]:
        return [self.table.item(line, 0).text() for line in range(self.table.rowCount())]

    def _ticked(self, column: int) -> list[str]:
        checked = Qt.CheckState.Checked
        lines = range(self.table.rowCount())
        names = self._names()
        return [names[n] for n in lines if self.table.item(n, column).checkState() == checked]

    def _table(self) -> QTableWidget:
        table = QTableWidget(0, 3)
        table.setHorizontalHeaderLabels(["Volume", "Labeled", "Validation"])
        table.verticalHeader().hide()
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (LABELED, VALIDATION):
            table.setColumnWidth(column, 110)
        return table

    def _list_row(self) -> QVBoxLayout:
        made = QVBoxLayout()
        line = row(label("What each volume is for:"))
        line.addStretch(1)
        for text, column in (
            ("Labeled from a list …", LABELED),
            ("Validation from a list …", VALIDATION),
        ):
            choose = QPushButton(text)
            choose.setAutoDefault(False)
            choose.setToolTip("A text file with one volume name per line")
            choose.clicked.connect(lambda _on, c=column: self._ask_list(c))
            line.addWidget(choose)
        made.addLayout(line)
        return made

    def _ask_list(self, column: int) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "List of volume names", "", "Text (*.txt *);;")
        if path:
            self.tick_from_list(column, Path(path))

    def _with_browse(self, line: QLineEdit, hint: str = "") -> QWidget:
        line.setPlaceholderText(hint)
        browse = QPushButton("Browse …")
        browse.setAutoDefault(False)
        browse.clicked.connect(lambda: self._browse(line))
        box = QWidget()
        box.setLayout(row(line, browse))
        set_tone(browse, "quiet")
        return box

    def _browse(self, line: QLineEdit) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Choose a folder", line.text())
        if chosen:
            line.setText(chosen)
