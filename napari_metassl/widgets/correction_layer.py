"""The layer a person paints on, and the promise that every change of it reaches the disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.events import Event
from qtpy.QtCore import QTimer

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.data.edit_journal import EditRecord
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Edit, Notice, Session
from napari_metassl.widgets.theme import BACKGROUND_MARK_ALPHA, BACKGROUND_MARK_COLOR

Box = tuple[slice, ...]


class CorrectionLayer(Labels):
    """napari's labels layer, which also tells of undo and redo (napari tells of strokes only).

    ``undone`` says "undo", "redo", or "undo earlier" where napari itself has no step to take back.
    """

    def __init__(self, data: Any, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.events.add(undone=Event)

    @property
    def _type_string(self) -> str:
        """For napari it is a labels layer like any other: icons, saving, menus."""
        return "labels"

    def undo(self) -> None:
        """Take the last step back."""
        what = "undo" if self._undo_history else "undo earlier"
        super().undo()
        self.events.undone(what=what)

    def can_redo(self, voxels: Any, now: Any, again: Any) -> None:
        """Let redo give `voxels` the values `again`; napari did not take that step back itself."""
        indices = np.unravel_index(voxels, self.data.shape)
        self._redo_history.append([(indices, now, again)])

    def redo(self) -> None:
        """Do the last step that was taken back again."""
        super().redo()
        self.events.undone(what="redo")


class CorrectionWriter:
    """Keeps a `CorrectionLayer` and the journal of its corrections the same.

    The layer's data is the array of the corrections itself, and a record is the difference to
    what was recorded last; so it does not matter how a change came about.
    """

    def __init__(self, session: Session, review: Review, layer: CorrectionLayer) -> None:
        self.session = session
        self.review = review
        self.layer = layer
        self._action = ""
        self._putting_back = False
        self._listening = True
        self._known = np.zeros(256, bool)
        self._known[: len(review.class_names)] = True
        self._known[BACKGROUND_MARK] = True
        layer.events.paint.connect(self._on_paint)
        layer.events.undone.connect(self._on_undone)
        layer.events.data.connect(self._on_data)
        layer.events.selected_label.connect(self._on_selected_label)

    def disconnect(self) -> None:
        """Stop listening; call `write` first."""
        self._listening = False
        events = self.layer.events
        events.paint.disconnect(self._on_paint)
        events.undone.disconnect(self._on_undone)
        events.data.disconnect(self._on_data)
        events.selected_label.disconnect(self._on_selected_label)

    def apply(self, edit: Edit) -> None:
        """Make an edit as one step of napari's undo."""
        indices = np.unravel_index(edit.voxels, self.review.shape)
        self._action = edit.action
        try:
            with self.layer.block_history():
                self.layer.data_setitem(indices, edit.values)
        finally:
            self._action = ""

    def write(self, action: str = "paint", box: Box | None = None) -> int:
        """Record what changed inside `box`, or anywhere, since the last record."""
        changed = 0
        with self.session.telling():
            predicted = self.review.merged
            changed = self.review.corrections.record(action, box, predicted, who=self._who())
            if changed:
                self.session.edited.emit(changed)
        return changed

    def _who(self) -> str | None:
        """Name of the annotator; None for the login name."""
        return self.session.annotator.strip() or None

    def _on_paint(self, event: Event) -> None:
        box = box_of(event.value, self.review.shape)
        self._drop_unknown(box)
        if not self.write(self._action or "paint", box):
            # Polygons, and whatever napari does as one step, are announced before they are made.
            QTimer.singleShot(0, self._write_late)

    def _write_late(self) -> None:
        if self._listening:
            self._drop_unknown(None)
            self.write()

    def _on_undone(self, event: Event) -> None:
        if event.what == "undo earlier":
            self._undo_earlier()
        else:
            self.write(event.what)

    def _undo_earlier(self) -> None:
        """Take back what napari forgot: edits of before the volume was opened this time."""
        with self.session.telling():
            corrections = self.review.corrections
            changed = corrections.undo_last(who=self._who())
            if not changed:
                self.session.notice = Notice("Nothing is left to take back.")
                return
            undo = corrections.history[-1]
            again, now = np.repeat(undo.runs.values[:2], undo.runs.length, axis=1)
            self.layer.can_redo(undo.runs.voxels, now, again)
            self.layer.refresh(extent=False)
            self.session.edited.emit(changed)
            self.session.notice = Notice(_taken_back(undo, self.review.shape))

    def _on_data(self, _event: Event) -> None:
        """Somebody gave the layer another array: take its values over, keep our array."""
        ours = self.review.corrections.labels
        given = self.layer.data
        if self._putting_back or given is ours:
            return
        fits = getattr(given, "shape", None) == ours.shape
        if fits:
            values = np.asarray(given)
            ours[...] = np.where((values >= 0) & (values <= 255), values, 0)
        self._putting_back = True
        try:
            self.layer.data = ours
        finally:
            self._putting_back = False
        if not fits:
            self.session.notice = Notice(
                f"The corrections have {_times(ours.shape)} voxels and what was put in their place "
                "does not, so they were left as they were.",
                "warning",
            )
        self._drop_unknown(None)
        self.write("replace")

    def _on_selected_label(self, _event: Event) -> None:
        value = int(self.layer.selected_label)
        if value <= 255 and self._known[value]:
            self.session.brush = value
            return
        names = self.review.class_names
        self.session.notice = Notice(
            f"There is no class {value}: this project has 1 to {len(names) - 1}, and "
            f"{BACKGROUND_MARK} for background.",
            "warning",
        )
        self.layer.selected_label = self.session.brush

    def _drop_unknown(self, box: Box | None) -> None:
        part = self.review.corrections.labels[box or ...]
        unknown = ~self._known[part]
        if unknown.any():
            part[unknown] = 0
            self.layer.refresh(extent=False)
            self.session.notice = Notice(
                f"{int(unknown.sum())} voxels were given a class this project does not have; they "
                "were left uncorrected.",
                "warning",
            )


def box_of(atoms: Any, shape: tuple[int, ...]) -> Box | None:
    """Return the box around a step of napari's history; None if it cannot be told."""
    low = np.array(shape)
    high = np.zeros(len(shape), int)
    for atom in atoms:
        if (key := getattr(atom, "slice_key", None)) is not None:
            spans = [part.indices(size)[:2] for part, size in zip(key, shape, strict=True)]
        elif isinstance(atom, tuple) and len(atom) == 3 and len(atom[0]) == len(shape):
            spans = [(int(axis.min()), int(axis.max()) + 1) for axis in map(np.asarray, atom[0])]
        else:
            return None
        low = np.minimum(low, [start for start, _ in spans])
        high = np.maximum(high, [stop for _, stop in spans])
    if (high <= low).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def correction_colormap(class_colors: tuple[str, ...]) -> DirectLabelColormap:
    """Class colours, a colour of its own for the background mark, nothing for untouched."""
    colors: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    colors |= {k: color for k, color in enumerate(class_colors) if k > 0}
    red, green, blue = (int(BACKGROUND_MARK_COLOR[i : i + 2], 16) / 255 for i in (1, 3, 5))
    colors[BACKGROUND_MARK] = (red, green, blue, BACKGROUND_MARK_ALPHA)
    return DirectLabelColormap(color_dict=colors)


def _taken_back(undo: EditRecord, shape: tuple[int, ...]) -> str:
    """Say what was taken back, and where: it need not be in view."""
    slices = undo.runs.voxels // (shape[1] * shape[2])
    low, high = int(slices.min()), int(slices.max())
    where = f"slice {low}" if low == high else f"slices {low} to {high}"
    what = undo.action.removeprefix("undo ")
    return (
        f"Taken back from before: {what}, {undo.runs.count:,} voxels, {where}. Ctrl+Shift+Z does "
        "it again."
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
