"""The dock widget "MetaSSL review", and the program that opens napari with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import napari
from napari.utils.events import Event
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QMainWindow, QProgressBar, QTabWidget, QVBoxLayout, QWidget

from napari_metassl.widgets.ball_brush import BallBrush
from napari_metassl.widgets.camera import SiteCamera
from napari_metassl.widgets.components import PageScroll, page
from napari_metassl.widgets.correction_panel import CorrectionPanel
from napari_metassl.widgets.fine_tune_panel import FineTunePanel
from napari_metassl.widgets.help_card import HelpCard
from napari_metassl.widgets.job_watcher import JobWatcher
from napari_metassl.widgets.label_error_view import LabelErrorView
from napari_metassl.widgets.layers import ReviewLayers
from napari_metassl.widgets.message_bar import MessageBar
from napari_metassl.widgets.preferences import Preferences
from napari_metassl.widgets.project_panel import ProjectPanel
from napari_metassl.widgets.proposal_outline import ProposalOutline
from napari_metassl.widgets.proposing import Proposing
from napari_metassl.widgets.queue_loader import QueueLoader
from napari_metassl.widgets.reach_outline import ReachOutline
from napari_metassl.widgets.recovered_edits import RecoveredEdits
from napari_metassl.widgets.regions_panel import RegionsPanel
from napari_metassl.widgets.review_loader import ReviewLoader
from napari_metassl.widgets.session import KEYS, Action, Session
from napari_metassl.widgets.site_outline import SiteOutline
from napari_metassl.widgets.site_pick import SitePick
from napari_metassl.widgets.site_walk import SiteWalk
from napari_metassl.widgets.theme import palette_of, stylesheet
from napari_metassl.widgets.tool import TOOL_KEYS
from napari_metassl.widgets.tool_bench import ToolBench
from napari_metassl.widgets.volume_bar import VolumeBar
from napari_metassl.widgets.volume_walk import VolumeWalk

TITLE = "MetaSSL review"
WIDTH = 420
TABS: tuple[Literal["project", "review", "fine-tune"], ...] = ("project", "review", "fine-tune")


class MetaSSLWidget(QWidget):
    """Project, regions, correction and fine-tuning beside one viewer.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers show the volume under review.
    executor
        Starts jobs; this computer's own background processes where not given.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, executor: Any = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = Session()
        self.preferences = Preferences(self.session)
        self._window: QMainWindow | None = None
        self._closed = self._closing = False
        self.setObjectName("MetaSSL")
        self.walk = SiteWalk(self.session)
        self.volume_walk = VolumeWalk(self.session)
        self.layers = ReviewLayers(napari_viewer, self.session)
        self.outline = SiteOutline(napari_viewer, self.session)
        self.camera = SiteCamera(napari_viewer, self.session)
        self.pick = SitePick(napari_viewer, self.session, self.camera)
        self.proposing = Proposing(self.session, self)
        self.proposal_outline = ProposalOutline(napari_viewer, self.session)
        self.ball = BallBrush(self.session, self.layers)
        self.bench = ToolBench(napari_viewer, self.session)
        self.reach_outline = ReachOutline(napari_viewer, self.session)
        self.recovered = RecoveredEdits(napari_viewer, self.session)
        self.loader = ReviewLoader(self.session, self)
        self.queue_loader = QueueLoader(self.session, self)
        self.watcher = JobWatcher(self.session, executor, self)
        self.label_error_view = LabelErrorView(napari_viewer, self.session)
        self.project_panel = ProjectPanel(self.session)
        self.regions_panel = RegionsPanel(self.session)
        self.correction_panel = CorrectionPanel(self.session)
        self.fine_tune_panel = FineTunePanel(self.session)
        self.help = HelpCard()
        self._build()
        self._connect()
        self._use_theme()
        self._bind_keys()

    def open_project(self, folder: Path) -> None:
        """Open a project, as its button does."""
        self.project_panel.actions_.open_folder(Path(folder))

    def close_review(self) -> None:
        """Write everything, stop timers and threads, give layers and journals back."""
        if self._closed:
            return
        self._closed = True
        self.watcher.close()
        self.loader.close()
        self.queue_loader.close()
        self.label_error_view.close()
        self._unbind_keys()
        self.viewer.events.theme.disconnect(self._use_theme)
        self.pick.close()
        self.camera.close()
        self.proposing.close()
        for part in (self.bench, self.ball, self.proposal_outline, self.outline):
            part.close()
        self.reach_outline.close()
        self.layers.close()
        self.session.set_project(None)
        self.preferences.close()
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    # -- making

    def _build(self) -> None:
        self.message = MessageBar(self.session)
        self.busy = QProgressBar()
        self.busy.setObjectName("thin")
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.hide()
        review = page(self.regions_panel, self.help, self.correction_panel, stretch=2)
        self.correction_panel.setMinimumWidth(WIDTH)  # class names are read, not guessed
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setExpanding(True)
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.tabBar().setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.tabs.addTab(self.project_panel, "Project")
        self.tabs.addTab(PageScroll(review), "Review")
        self.tabs.addTab(self.fine_tune_panel, "Fine-tuning")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.setSpacing(6)
        self.volume_bar = VolumeBar(self.session)
        layout.addWidget(self.volume_bar)
        layout.addWidget(self.busy)
        layout.addWidget(self.message)
        layout.addWidget(self.tabs, 1)

    def _connect(self) -> None:
        session = self.session
        self.tabs.currentChanged.connect(self._on_tab)
        session.events.tab.connect(lambda tab: self.tabs.setCurrentIndex(TABS.index(tab)))
        session.events.busy.connect(lambda busy: self.busy.setVisible(bool(busy)))
        session.events.project.connect(self._on_project)
        session.predicted.connect(self._on_predicted)
        session.act.connect(self._on_act)
        session.offer_taken.connect(self._on_offer)
        self.viewer.events.theme.connect(self._use_theme)

    def _bind_keys(self) -> None:
        for action, key in KEYS.items():
            self.viewer.bind_key(
                key, lambda _viewer, action=action: self.session.act.emit(action), overwrite=True
            )
        for tool, key in TOOL_KEYS.items():
            self.viewer.bind_key(
                key, lambda _viewer, tool=tool: self.session.use.emit(tool), overwrite=True
            )

    def _unbind_keys(self) -> None:
        for key in (*KEYS.values(), *TOOL_KEYS.values()):
            self.viewer.bind_key(key, None, overwrite=True)

    def _use_theme(self, _event: Event | None = None) -> None:
        palette = palette_of(self.viewer.theme)
        self.setStyleSheet(stylesheet(palette))
        self.project_panel.use_palette(palette)
        self.regions_panel.use_palette(palette)
        self.correction_panel.use_palette(palette)
        self.fine_tune_panel.use_palette(palette)

    # -- following

    def _on_tab(self, index: int) -> None:
        self.session.tab = TABS[index]

    def _on_project(self) -> None:
        project = self.session.project
        has_predictions = project is not None and any(
            project.prediction_folder(record.name).exists() for record in project.volumes()
        )
        self.session.tab = "review" if has_predictions else "project"

    def _on_predicted(self, names: tuple[str, ...]) -> None:
        if self.session.volume in names:
            self.loader.reload()

    def _on_act(self, action: Action) -> None:
        if action is Action.HELP:
            self.session.tab = "review"
            self.help.setVisible(not self.help.isVisible())

    def _on_offer(self, what: str) -> None:
        if what == "fine-tune":
            self.session.tab = "fine-tune"

    # -- closing

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Write everything when the main window is about to close, and end once it has closed."""
        if watched is self._window and not self._closed:
            if event.type() == QEvent.Type.Close:
                self.layers.write()
                self._closing = True  # a person may still say no
            elif event.type() == QEvent.Type.WindowActivate:
                self._closing = False
            elif event.type() == QEvent.Type.Hide and self._closing and not event.spontaneous():
                self.close_review()
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Notice when the panel is put into a window, and when it is taken out of it for good."""
        if event.type() == QEvent.Type.Show:
            self._watch_window()
        elif event.type() == QEvent.Type.ParentChange and self.parent() is None and self._window:
            self.close_review()
        return bool(super().event(event))

    def _watch_window(self) -> None:
        """Find the main window, also from a panel that floats beside it."""
        above = self.parentWidget()
        while above is not None and not isinstance(above, QMainWindow):
            above = above.parentWidget()
        if above is not None and above is not self._window:
            self._window = above
            above.installEventFilter(self)


def open_window(project: Path | None = None, *, block: bool = True) -> MetaSSLWidget:
    """Open napari with the review beside it.

    Parameters
    ----------
    project
        Folder of a project to open; without it the panel says what to do first.
    block
        Wait here until the window is closed.
    """
    viewer = napari.Viewer(title=f"napari · {TITLE}")
    widget = MetaSSLWidget(viewer)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    if project is not None:
        widget.open_project(project)
    if block:
        napari.run()
    return widget
