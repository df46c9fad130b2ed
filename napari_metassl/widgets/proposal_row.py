"""Whose correction is outlined at the site at hand, its reach, and what it would change."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_metassl.data.proposal import Proposal, Source, reach_of
from napari_metassl.widgets.components import button, key_text, label, row, set_tone
from napari_metassl.widgets.session import KEYS, Action, Session

CHOICES: dict[Source, tuple[Action, str]] = {
    Source.A: (Action.SHOW_A, "Outline what taking network A's label would change"),
    Source.B: (Action.SHOW_B, "Outline what taking network B's label would change"),
    Source.IMAGE: (
        Action.SHOW_IMAGE,
        "Outline what following the image would change: where the pair is not sure, each voxel "
        "goes with the sure voxels that look like it and lie near it",
    ),
}


class ProposalRow(QWidget):
    """Emits the actions of the proposal; says in words what the outline shows."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.choices: dict[Source, QPushButton] = {}
        self._group = QButtonGroup(self)
        lines = QVBoxLayout(self)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.setSpacing(3)
        self.reach = label("", "muted")
        self.reach.setAlignment(Qt.AlignmentFlag.AlignCenter)
        lines.addLayout(self._buttons())
        self.text = label("", "muted")
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        lines.addWidget(self.text)
        session.events.proposal.connect(self._tell)
        session.events.proposed.connect(self._tell)
        session.events.grow_mm.connect(self._tell)
        session.events.site.connect(self._tell)
        self._tell()

    def _buttons(self) -> QHBoxLayout:
        line = row(label("Outline"), spacing=4)
        for source in CHOICES:
            line.addWidget(self._choice(source), 3)
        self.shrink = button(
            "−",
            lambda: self.session.act.emit(Action.SHRINK),
            key=KEYS[Action.SHRINK],
            tip="Let the proposals reach less far from the site",
        )
        self.grow = button(
            "+",
            lambda: self.session.act.emit(Action.GROW),
            key=KEYS[Action.GROW],
            tip="Let the proposals reach farther from the site",
        )
        line.addWidget(self.shrink, 2)
        line.addWidget(self.reach, 3)
        line.addWidget(self.grow, 2)
        return line

    def _choice(self, source: Source) -> QPushButton:
        action, tip = CHOICES[source]
        made = QPushButton("Image" if source is Source.IMAGE else source.value)
        made.setCheckable(True)
        made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        made.setToolTip(f"{tip} (key {key_text(KEYS[action])})")
        set_tone(made, "choice")
        made.clicked.connect(lambda _on: self.session.act.emit(action))
        self._group.addButton(made)
        self.choices[source] = made
        return made

    def _tell(self) -> None:
        session = self.session
        review, proposal = session.review, session.proposal
        self.choices[session.proposed].setChecked(True)
        self.shrink.setEnabled(session.site is not None)
        self.grow.setEnabled(session.site is not None)
        self.reach.setText(reach_text(session.proposed, session.grow_mm))
        if review is None or session.site is None:
            text = "At a site, the proposed correction is outlined"
        elif proposal is None:
            text = "…"
        else:
            voxel_ml = review.images[0].geometry.voxel_volume_ml
            text = sentence_of(proposal, review.class_names, voxel_ml)
        first, *more = text.split(", ")
        self.text.setText(", ".join([first, *more[:1], *("…" for _ in more[1:2])]))
        self.text.setToolTip(text)


def reach_text(source: Source, grow_mm: float) -> str:
    """How far from the site's outline proposals reach; negative where they keep inside it."""
    reach = reach_of(source, grow_mm) or (0.0 if source is Source.IMAGE else grow_mm)
    return f"{reach:.1f} mm".replace("-", "−")


def sentence_of(proposal: Proposal, class_names: tuple[str, ...], voxel_ml: float) -> str:
    """Say what a proposal would change, the most first."""
    changes = sorted(proposal.change_ml(voxel_ml).items(), key=lambda change: -change[1])
    if not changes:
        return "Nothing would change"
    return "To " + ", ".join(f"{class_names[k]} {ml:.2f} mL" for k, ml in changes)
