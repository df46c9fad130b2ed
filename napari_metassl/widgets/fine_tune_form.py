"""The form that makes a `FineTuneSpec`: strategy, weights, length and a name."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.project import Project
from napari_metassl.data.review_progress import last_edited
from napari_metassl.data.volume_queue import current_card
from napari_metassl.errors import JobProblem
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.method.checked_model import validation_sentence
from napari_metassl.method.training_config import (
    STRATEGY_TITLES,
    RegionWeights,
    StrategyName,
    TrainingConfig,
)
from napari_metassl.widgets.components import Card, button, label, row
from napari_metassl.widgets.session import Session

TITLES: dict[StrategyName, str] = {
    "cps": "Cross pseudo supervision (CPS)",
    "mean_teacher": "Mean Teacher",
    "fixmatch": "FixMatch",
    "r_drop": "R-Drop",
}
OFFERED: tuple[StrategyName, ...] = tuple(TITLES)
WEIGHTS: dict[str, tuple[str, Callable[[bool], RegionWeights]]] = {
    "paper": ("Paper: UC > US > DC > DS", RegionWeights.paper),
    "rational": ("Rational: UC > US > DS > DC", RegionWeights.rational),
    "equal": ("Equal: every region the same", lambda _labeled: RegionWeights.equal()),
}
STEPS, MINUTES = 0, 1


class FineTuneForm(Card):
    """Asks what to train; its button emits ``session.train``."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("New fine-tuning", parent)
        self.session = session
        self.strategy, self.weights, self.unit = QComboBox(), QComboBox(), QComboBox()
        for n, strategy in enumerate(OFFERED):
            self.strategy.addItem(TITLES[strategy], strategy)
            self.strategy.setItemData(n, STRATEGY_TITLES[strategy], Qt.ItemDataRole.ToolTipRole)
        for name, (title, _) in WEIGHTS.items():
            self.weights.addItem(title, name)
        self.unit.addItems(["steps", "minutes"])
        self.steps, self.minutes = QSpinBox(), QDoubleSpinBox()
        self.name = QLineEdit()
        self._set_up_fields()
        form = QFormLayout()
        form.setSpacing(6)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        form.addRow(label("Strategy"), self.strategy)
        form.addRow(label("Region weights"), self.weights)
        form.addRow(label("Length"), row(self.steps, self.minutes, self.unit))
        form.addRow(label("Name"), self.name)
        self.body.addLayout(form)
        self.data = label("", "muted", wrap=True)
        self.body.addWidget(self.data)
        self.start = button("Start fine-tuning", self._start, tone="primary")
        self.body.addWidget(self.start)
        session.events.project.connect(self.refresh)
        session.events.training_job.connect(self._enable)
        session.events.tab.connect(self.refresh)
        session.volumes_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what there is to train on, and propose a name."""
        project = self.session.project
        card = None if project is None else current_card(project)
        if project is not None and card is not None:
            if card.strategy in OFFERED and not self.name.isModified():
                self.strategy.setCurrentIndex(OFFERED.index(card.strategy))
            if not self.name.isModified():
                self.name.setText(free_name(project))
            self.data.setText(data_sentence(project))
        else:
            missing = "Open a project" if project is None else "Choose or import a pair"
            self.data.setText(f"{missing} on the Project page first.")
        self._enable()

    def spec(self) -> FineTuneSpec:
        """Make the job's specification.

        Raises
        ------
        JobProblem
            If something does not fit, in one sentence.
        """
        project = self.session.project
        parent = None if project is None else project.pair_path()
        card = None if project is None else current_card(project)
        if project is None or parent is None or card is None:
            raise JobProblem("There is no pair to fine-tune; choose one on the Project page.")
        try:
            return FineTuneSpec(
                project=project.folder,
                parent=parent,
                training=self._training(card),
                name=self.name.text().strip(),
                minutes=self.minutes.value() if self.unit.currentIndex() == MINUTES else None,
            )
        except ValidationError as error:
            raise JobProblem(validation_sentence(error)) from error

    def _training(self, card: ModelCard) -> TrainingConfig:
        weights = WEIGHTS[self.weights.currentData()][1]
        return TrainingConfig.fine_tune(
            strategy=self.strategy.currentData(),
            weights_unlabeled=weights(False),
            weights_labeled=weights(True),
            steps=self.steps.value(),
            patch_size=card.patch_size,
        )

    def _start(self) -> None:
        with self.session.telling():
            self.session.train.emit(self.spec())
            self.name.setModified(False)

    def _enable(self) -> None:
        project, job = self.session.project, self.session.training_job
        running = job is not None and not job.status.is_over
        ready = project is not None and project.file.current_pair is not None
        self.start.setEnabled(ready and not running)
        self.start.setText("A training is running" if running else "Start fine-tuning")

    def _set_up_fields(self) -> None:
        self.weights.setToolTip(
            "How much each region counts in the loss. The paper's figures and most of the "
            "authors' trainers differ in the order of DC and DS."
        )
        self.steps.setRange(1, 1_000_000)
        self.steps.setSingleStep(50)
        self.steps.setValue(TrainingConfig.fine_tune().steps)
        self.minutes.setRange(0.1, 10_000)
        self.minutes.setDecimals(1)
        self.minutes.setValue(5.0)
        self.minutes.setVisible(False)
        self.minutes.setToolTip("The speed is measured first; then the number of steps is fixed")
        self.unit.currentIndexChanged.connect(self._on_unit)
        self.strategy.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.strategy.setMinimumContentsLength(18)

    def _on_unit(self, unit: int) -> None:
        self.steps.setVisible(unit == STEPS)
        self.minutes.setVisible(unit == MINUTES)


def free_name(project: Project) -> str:
    """Propose a name for the next pair: that of the current one, with a number."""
    current = project.file.current_pair or "pair"
    stem = current.rsplit("-ft", 1)[0]
    taken = {folder.name for folder, _ in project.pairs()}
    return next(name for n in range(1, 10_000) if (name := f"{stem}-ft{n}") not in taken)


def data_sentence(project: Project) -> str:
    """Say what a training would learn from and be measured on."""
    counts = {role: project.volumes(role) for role in ("labeled", "validation", "unlabeled")}
    trained = [*counts["labeled"], *counts["unlabeled"]]
    corrected = sum(last_edited(project, record.name) is not None for record in trained)
    measured = len(counts["validation"])
    judged = (
        f"The new pair is compared with '{project.file.current_pair}' on {measured} validation "
        f"volume{'s' if measured != 1 else ''}."
        if measured
        else "There are no validation volumes, so it cannot be told whether it is better."
    )
    return (
        f"Learns from {len(counts['labeled'])} labeled and {len(counts['unlabeled'])} unlabeled "
        f"volumes, {corrected} of them corrected. {judged}"
    )
