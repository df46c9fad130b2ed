"""The project page: which project, its volumes, its pair of networks, and prediction."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QMenu,
    QProgressBar,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_metassl.data.model_card import ModelCard
from napari_metassl.jobs.job import JobSnapshot
from napari_metassl.widgets.components import Card, PageScroll, button, label, page, row
from napari_metassl.widgets.duration import time_left
from napari_metassl.widgets.project_actions import ProjectActions
from napari_metassl.widgets.recent_projects import recent_projects
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import Palette
from napari_metassl.widgets.volume_queue_card import VolumeQueueCard


class ProjectPanel(QStackedWidget):
    """The welcome page while there is no project, its page when there is."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.actions_ = ProjectActions(session, self)
        self.welcome = Welcome(self.actions_)
        self.volumes = VolumeQueueCard(session)
        self.pair = PairCard(session, self.actions_)
        self.prediction = PredictionCardView(session)
        self.head = ProjectHead(session, self.actions_)
        self.addWidget(PageScroll(page(self.welcome)))
        self.addWidget(
            PageScroll(page(self.head, self.volumes, self.pair, self.prediction, stretch=1))
        )
        session.events.project.connect(self._on_project)
        self._on_project()

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.volumes.use_palette(palette)

    def _on_project(self) -> None:
        self.setCurrentIndex(0 if self.session.project is None else 1)
        self.welcome.list_recent()


class Welcome(Card):
    """What to do first: the sample, a project there is, or a new one."""

    def __init__(self, actions: ProjectActions, parent: QWidget | None = None) -> None:
        super().__init__("Begin with a project", parent)
        self._actions = actions
        self.body.setSpacing(9)
        text = (
            "A project is a folder that knows your images, the few labels you have, a pair of "
            "networks and everything you correct."
        )
        self.body.addWidget(label(text, "muted", wrap=True))
        self.sample = button("Open the sample project", actions.open_sample, tone="primary")
        self.open = button("Open a project …", actions.ask_and_open)
        self.new = button("New project from folders …", actions.ask_and_make)
        hint = "Small made-up volumes and a trained pair: the whole loop in five minutes."
        self.body.addWidget(self.sample)
        self.body.addWidget(label(hint, "muted", wrap=True))
        self.body.addWidget(self.open)
        self.body.addWidget(self.new)
        self._recent = QVBoxLayout()
        self._recent.setSpacing(2)
        self.body.addLayout(self._recent)

    def list_recent(self) -> None:
        """List the projects opened last."""
        while (item := self._recent.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        folders = recent_projects()
        if folders:
            self._recent.addWidget(label("Recent", "title"))
        for folder in folders:
            opener = button(
                f"{folder.name}   ·   {folder.parent}",
                partial(self._actions.open_folder, folder),
                tone="link",
                tip=str(folder),
            )
            opener.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._recent.addWidget(opener)


class ProjectHead(Card):
    """Name and folder of the project, and the way to others."""

    def __init__(
        self, session: Session, actions: ProjectActions, parent: QWidget | None = None
    ) -> None:
        super().__init__("Project", parent)
        self.session = session
        self._actions = actions
        self.name = label("", "big")
        self.summary = label("", "muted", wrap=True)
        self.menu_button = QToolButton()
        self.menu_button.setText("Other project  ▾")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        menu = QMenu(self.menu_button)
        menu.aboutToShow.connect(lambda: self._fill(menu))
        self.menu_button.setMenu(menu)
        self.export = QToolButton()
        self.export.setText("Export …")
        self.export.setToolTip("Write segmentations, provenance and reports for other programs")
        self.export.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.export.clicked.connect(actions.ask_and_export)
        self.head.addWidget(self.export)
        self.head.addWidget(self.menu_button)
        self.body.addWidget(self.name)
        self.body.addWidget(self.summary)
        session.events.project.connect(self._on_project)
        self._on_project()

    def _on_project(self) -> None:
        project = self.session.project
        if project is None:
            return
        self.name.setText(project.name)
        self.name.setToolTip(str(project.folder))
        counts = {
            role: len(project.volumes(role)) for role in ("labeled", "validation", "unlabeled")
        }
        listed = ", ".join(f"{count} {role}" for role, count in counts.items())
        classes = ", ".join(project.class_names[1:])
        self.summary.setText(f"{listed} volumes.  Classes: {classes}.")

    def _fill(self, menu: QMenu) -> None:
        menu.clear()
        menu.addAction("Open …", self._actions.ask_and_open)
        menu.addAction("New from folders …", self._actions.ask_and_make)
        menu.addAction("Sample project", self._actions.open_sample)
        here = None if self.session.project is None else self.session.project.folder
        others = [folder for folder in recent_projects() if folder != here]
        if others:
            menu.addSeparator()
        for folder in others:
            menu.addAction(folder.name, partial(self._actions.open_folder, folder))


class PairCard(Card):
    """Which pair of networks predicts, and what its card says."""

    def __init__(
        self, session: Session, actions: ProjectActions, parent: QWidget | None = None
    ) -> None:
        super().__init__("Pair of networks", parent)
        self.session = session
        self.choice = QComboBox()
        self.choice.setToolTip("The pair that predicts from now on")
        self.choice.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choice.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.choice.activated.connect(self._choose)
        self.import_ = button(
            "Import …", actions.ask_and_import_pair, tip="Copy a pair's folder into the project"
        )
        self.import_.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.body.addLayout(row(self.choice, self.import_))
        self.about = label("", "muted", wrap=True)
        self.body.addWidget(self.about)
        session.events.project.connect(self.refresh)
        session.volumes_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """List the pairs there are."""
        project = self.session.project
        if project is None:
            return
        with self.session.telling():
            pairs = project.pairs()
            names = [folder.name for folder, _ in pairs]
            current = project.file.current_pair
            with QSignalBlocker(self.choice):
                self.choice.clear()
                self.choice.addItems(names)
                self.choice.setCurrentIndex(names.index(current) if current in names else -1)
            self.choice.setPlaceholderText("Choose a pair" if names else "No pair yet")
            cards = {folder.name: card for folder, card in pairs}
            self._describe(cards.get(current or ""), bool(names))

    def _describe(self, card: ModelCard | None, any_pair: bool) -> None:
        if card is None:
            self.about.setText(
                "Choose the pair that predicts."
                if any_pair
                else "Import a pair, or train one: napari-metassl train."
            )
            return
        a, b = (network.architecture for network in card.networks)
        kind = a if a == b else f"{a} and {b}"
        parent = f", fine-tuned from {card.parent}" if card.parent else ""
        made = f"{card.created:%Y-%m-%d %H:%M}"
        self.about.setText(f"{kind}, trained by {strategy_name(card.strategy)}{parent}; {made}.")

    def _choose(self, index: int) -> None:
        project = self.session.project
        if project is None:
            return
        with self.session.telling():
            project.set_current_pair(self.choice.itemText(index))
        self.session.volumes_changed.emit()


class PredictionCardView(Card):
    """Ask the pair about volumes; progress of the job that does so."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Prediction", parent)
        self.session = session
        self.one = button("Predict this volume", self._predict_one, tone="primary")
        self.all = button("Predict all", self._predict_all, tip="Those that are not up to date")
        self.body.addLayout(row(self.one, self.all))
        self.state = label("", "muted", wrap=True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.cancel = button("Cancel", self._cancel)
        self.cancel.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.body.addLayout(row(self.bar, self.cancel))
        self.body.addWidget(self.state)
        session.events.prediction_job.connect(self.refresh)
        session.events.project.connect(self.refresh)
        session.events.volume.connect(self.refresh)
        session.volumes_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show how far the job is, or what can be started."""
        job, project = self.session.prediction_job, self.session.project
        running = job is not None and not job.status.is_over
        ready = project is not None and project.file.current_pair is not None and not running
        self.one.setEnabled(ready and self.session.volume is not None)
        self.all.setEnabled(ready)
        self.bar.setVisible(running)
        self.cancel.setVisible(running)
        self.state.setVisible(job is not None)
        if job is not None:
            self._show(job)

    def _show(self, job: JobSnapshot) -> None:
        self.bar.setValue(round(1000 * job.fraction))
        if job.status.is_over:
            self.state.setText((job.error or job.message or str(job.status)).splitlines()[0])
            return
        place = f"{job.step + 1} of {job.steps}, " if job.steps > 1 else ""
        text = job.message or "Starting: loading the networks"
        self.state.setText(f"{text} … {place}{time_left(job.seconds_left)}".rstrip(", "))

    def _predict_one(self) -> None:
        if self.session.volume is not None:
            self.session.predict.emit((self.session.volume,))

    def _predict_all(self) -> None:
        if self.session.project is not None:
            names = tuple(record.name for record in self.session.project.volumes())
            self.session.predict.emit(names)

    def _cancel(self) -> None:
        if self.session.prediction_job is not None:
            self.session.cancel.emit(self.session.prediction_job.id)


def strategy_name(strategy: str) -> str:
    """Return a strategy as a person calls it."""
    names = {
        "cps": "CPS",
        "mean_teacher": "Mean Teacher",
        "fixmatch": "FixMatch",
        "cct": "CCT",
        "r_drop": "R-Drop",
    }
    return names.get(strategy, strategy)
