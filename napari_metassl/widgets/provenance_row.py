"""Which voxels are confirmed and which corrected: the switch of that layer, and its legend."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QWidget

from napari_metassl.data.corrections import PROVENANCE_COLORS, Provenance
from napari_metassl.widgets.components import label, row, swatch
from napari_metassl.widgets.session import Session

MEANINGS = {
    Provenance.CONFIRMED: "A person saw what was predicted here and left it.",
    Provenance.CORRECTED: "A person changed what was predicted here.",
}


class ProvenanceRow(QWidget):
    """A tick that shows the layer; colour, name and volume of what a person said."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.show_it = QCheckBox("Provenance")
        self.show_it.setToolTip(
            "Show which voxels a person confirmed or corrected; training weighs them as labels"
        )
        self.show_it.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.show_it.setChecked(session.show_provenance)
        self.show_it.toggled.connect(self._show)
        line = row(self.show_it)
        line.addStretch(1)
        self.volumes: dict[Provenance, QLabel] = {}
        for provenance, meaning in MEANINGS.items():
            square, text = label(), label("", "muted")
            square.setPixmap(swatch(PROVENANCE_COLORS[provenance], 12).pixmap(12, 12))
            for part in (square, text):
                part.setToolTip(meaning)
                line.addWidget(part)
            self.volumes[provenance] = text
        self.unit = label("mL", "muted")
        line.addWidget(self.unit)
        self.setLayout(line)
        session.events.show_provenance.connect(self._on_show)
        session.events.review.connect(self.refresh)
        session.edited.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Write how much is of either kind."""
        review = self.session.review
        self.setEnabled(review is not None)
        for provenance, text in self.volumes.items():
            name = provenance.name.lower()
            if review is None:
                text.setText(name)
                continue
            voxel_ml = review.images[0].geometry.voxel_volume_ml
            ml = review.corrections.voxels_of(provenance) * voxel_ml
            text.setText(f"{name} {_short(ml)}")

    def _on_show(self, on: bool) -> None:
        self.show_it.setChecked(on)

    def _show(self, on: bool) -> None:
        self.session.show_provenance = on


def _short(ml: float) -> str:
    """Write three figures: the row is narrow."""
    return f"{ml:.2f}" if ml < 10 else f"{ml:.1f}" if ml < 100 else f"{ml:,.0f}"
