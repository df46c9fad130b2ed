"""The napari layers of the opened volume: made, refreshed and given back here only."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.events import Event
from napari.viewer import Viewer

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.method.region import Region
from napari_metassl.widgets.camera import camera_of
from napari_metassl.widgets.correction_layer import (
    CorrectionLayer,
    CorrectionWriter,
    correction_colormap,
)
from napari_metassl.widgets.label_colors import class_colormap, region_colormap
from napari_metassl.widgets.napari_io import contrast_limits
from napari_metassl.widgets.provenance_layer import ProvenanceLayer
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Action, Edit, Notice, Session
from napari_metassl.widgets.theme import CONFIDENCE_COLORMAP

# Outlines are for slices; that 3D shows the whole structure instead is just what is wanted.
warnings.filterwarnings("ignore", message="Contours are not displayed during 3D rendering")

IMAGE, CONFIDENCE, PREDICTION, REGIONS, MANUAL, CORRECTIONS, PROVENANCE = (
    "image",
    "confidence",
    "prediction",
    "regions",
    "manual labels",
    "corrections",
    "provenance",
)


@dataclass
class Look:
    """What a person may change about a layer and expects to find again at the next volume."""

    visible: bool
    opacity: float
    contour: int = 0


START_LOOKS = {
    IMAGE: Look(True, 1.0),
    CONFIDENCE: Look(False, 0.6),
    PREDICTION: Look(True, 0.9, contour=1),
    REGIONS: Look(True, 0.5),
    MANUAL: Look(True, 0.9, contour=1),
    CORRECTIONS: Look(True, 0.7),
    PROVENANCE: Look(False, 0.85),  # over the corrections, or one could not tell it from them
}


class ReviewLayers:
    """Shows ``session.review`` in a viewer and takes edits to its corrections layer.

    Attributes
    ----------
    layers
        By kind; a multi-channel image has ``image``, ``image 2``, ...
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layers: dict[str, Layer] = {}
        self.writer: CorrectionWriter | None = None
        self._looks = {kind: Look(**vars(look)) for kind, look in START_LOOKS.items()}
        self._shown: str | None = None
        self._emptied: set[str] = set()
        self._changing = False
        self._listening = (
            (session.events.review, self._on_review),
            (session.events.busy, self._on_busy),
            (session.events.visible_regions, self._on_visible_regions),
            (session.events.brush, self._on_brush),
            (session.events.show_provenance, self._on_show_provenance),
            (session.partitioned, self._on_partitioned),
            (session.paint, self._on_paint),
            (session.edit, self._on_edit),
            (session.act, self._on_act),
            (session.offer_taken, self._on_offer),
        )
        for signal, slot in self._listening:
            signal.connect(slot)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    @property
    def corrections(self) -> CorrectionLayer | None:
        """The layer to paint on, if it is in the viewer."""
        return self.layers.get(CORRECTIONS)

    def close(self) -> None:
        """Write what is not written yet, take the layers out, let the viewer go."""
        self._clear()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        for signal, slot in self._listening:
            signal.disconnect(slot)

    def write(self) -> None:
        """Put anything on disk that no event told of."""
        if self.writer is not None:
            self.writer.write("other")

    # -- showing a volume

    def _on_review(self, review: Review | None) -> None:
        if review is None:
            self._park()
            return
        again = review.name == self._shown
        view = self._view() if again else None
        self._shown = review.name
        self._fill(review)
        if view is None:
            middle = [(low + high) / 2 for low, high, _ in self.viewer.dims.range]
            self.viewer.dims.point = middle
            self.viewer.reset_view()
        else:
            self._restore(view)

    def _on_busy(self, busy: str) -> None:
        """Take the layers out when the volume that was to come did not."""
        if not busy and self.session.review is None:
            self._clear()

    def _park(self) -> None:
        """Write everything and let nobody paint until the next volume is there.

        The layers stay for it, because exchanging their data is quicker than exchanging them.
        """
        self._let_go_of_writer()
        if (layer := self.corrections) is not None:
            layer.mode = "pan_zoom"
            layer.editable = False  # forgets napari's undo steps: they belong to this volume
        if not self.session.busy:
            self._clear()

    def _let_go_of_writer(self) -> None:
        self.write()
        if self.writer is not None:
            self.writer.disconnect()
        self.writer = None

    def _fill(self, review: Review) -> None:
        """Show everything the review has: in the layers there are, or in new ones."""
        self._let_go_of_writer()
        wanted = self._wanted(review)
        self._changing = True
        try:
            for kind, (data, settings) in wanted.items():
                self._show(kind, data, settings)
            for kind in [kind for kind in self.layers if kind not in wanted]:
                self._empty(kind, review)
            self._in_order()
        finally:
            self._changing = False
        layer = self.layers[CORRECTIONS]
        layer.editable = True
        self.writer = CorrectionWriter(self.session, review, layer)
        self._on_brush(self.session.brush)
        self.viewer.layers.selection.active = layer

    def _wanted(self, review: Review) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Return data and settings of every layer of a review, by kind, the lowest first."""
        classes = class_colormap(review.class_colors)
        wanted: dict[str, tuple[Any, dict[str, Any]]] = {}
        for n, image in enumerate(review.images):
            kind, name = (
                (IMAGE, review.name) if n == 0 else (f"{IMAGE} {n + 1}", f"channel {n + 1}")
            )
            limits = contrast_limits(image.data)
            wanted[kind] = image.data, {"name": name, "contrast_limits": limits}
        if review.quadripartition is not None:
            regions = region_colormap(self._regions_to_show())
            wanted[CONFIDENCE] = review.confidence, {}
            wanted[PREDICTION] = review.merged, {"colormap": classes}
            wanted[REGIONS] = review.quadripartition.regions, {"colormap": regions}
        if review.labels is not None:
            wanted[MANUAL] = review.labels.data, {"colormap": classes}
        painted = correction_colormap(review.class_colors)
        wanted[CORRECTIONS] = review.corrections.labels, {"colormap": painted}
        wanted[PROVENANCE] = review.corrections.provenance, {}
        place = review.images[0].layer_kwargs()
        return {
            kind: (data, {**place, "name": kind, **settings})
            for kind, (data, settings) in wanted.items()
        }

    def _show(self, kind: str, data: Any, settings: dict[str, Any]) -> None:
        layer = self.layers.get(kind)
        if layer is None:
            layer = self.layers[kind] = self._new_layer(kind, data, settings)
            self.viewer.add_layer(layer)
        else:
            layer.data = data
            for name, value in settings.items():
                if name in ("units", "axis_labels"):  # these are always the same
                    continue
                if name in ("scale", "translate") and np.allclose(getattr(layer, name), value):
                    continue  # each costs a redraw
                setattr(layer, name, value)
        layer.editable = kind == CORRECTIONS
        if kind in self._emptied:
            self._emptied.discard(kind)
            layer.visible = self._looks[kind].visible if kind in self._looks else False

    def _empty(self, kind: str, review: Review) -> None:
        """Hide a layer this volume has nothing for; the next volume may have.

        It is not taken out: some software renderers crash when the shaders of a layer are
        deleted and others are made at once.
        """
        layer = self.layers[kind]
        if kind not in self._emptied:
            self._remember(kind, layer)
        self._emptied.add(kind)
        layer.visible = False
        layer.data = np.broadcast_to(layer.data.dtype.type(0), review.shape)
        layer.name = f"{kind} (none)"
        layer.editable = False

    def _new_layer(self, kind: str, data: Any, settings: dict[str, Any]) -> Layer:
        look = self._looks.get(kind) or Look(False, 1.0)
        settings = {**settings, "visible": look.visible, "opacity": look.opacity}
        if kind.startswith(IMAGE):
            return Image(data, colormap="gray", **settings)
        if kind == CONFIDENCE:
            layer = Image(data, colormap=CONFIDENCE_COLORMAP, contrast_limits=(0.5, 1), **settings)
            layer.contrast_limits_range = (0.0, 1.0)
            layer.colorbar.visible = True
            return layer
        if kind == CORRECTIONS:
            layer = CorrectionLayer(data, **settings)
            layer.brush_size = 8
            return layer
        if kind == PROVENANCE:
            return ProvenanceLayer(data, self.session, **settings)
        layer = Labels(data, **settings)
        layer.contour = look.contour
        return layer

    def _in_order(self) -> None:
        """Keep corrections and provenance on top and the image below, whatever was added when."""
        order = [kind for kind in self.layers if kind.startswith(IMAGE)]
        above = (CONFIDENCE, PREDICTION, REGIONS, MANUAL, CORRECTIONS, PROVENANCE)
        order += [kind for kind in above if kind in self.layers]
        wanted = [self.layers[kind] for kind in order]
        if [layer for layer in self.viewer.layers if layer in wanted] == wanted:
            return
        for layer in wanted:
            self.viewer.layers.move(self.viewer.layers.index(layer), len(self.viewer.layers))

    def _clear(self) -> None:
        """Take all layers out."""
        self._let_go_of_writer()
        self._shown = None
        self._changing = True
        try:
            for kind, layer in list(self.layers.items()):
                if kind not in self._emptied:
                    self._remember(kind, layer)
                if layer in self.viewer.layers:
                    self.viewer.layers.remove(layer)
        finally:
            self._changing = False
        self.layers.clear()
        self._emptied.clear()

    def _remember(self, kind: str, layer: Layer) -> None:
        if kind in self._looks:
            self._looks[kind] = Look(layer.visible, layer.opacity, getattr(layer, "contour", 0))

    def _view(self) -> tuple[Any, ...]:
        camera = camera_of(self.viewer)
        return camera.center, camera.zoom, camera.angles, self.viewer.dims.point

    def _restore(self, view: tuple[Any, ...]) -> None:
        camera = camera_of(self.viewer)
        camera.center, camera.zoom, camera.angles, point = view
        if len(point) == self.viewer.dims.ndim:
            self.viewer.dims.point = point

    # -- following the session

    def _on_partitioned(self) -> None:
        review = self.session.review
        if review is None:
            return
        review.show_confidence_of(self.session.row)
        for kind in (REGIONS, CONFIDENCE):
            layer = self.layers.get(kind)
            if layer is not None:  # the visible slice only; the thumbnail would cost more than it
                layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _on_visible_regions(self) -> None:
        if (layer := self.layers.get(REGIONS)) is not None:
            layer.colormap = region_colormap(self._regions_to_show())

    def _regions_to_show(self) -> frozenset[Region]:
        """Return the regions a person chose; in 3D unanimous ones would bury the sites."""
        chosen = self.session.visible_regions
        if self.viewer.dims.ndisplay == 3:
            return chosen & {Region.DC, Region.DS} or chosen
        return chosen

    def _on_ndisplay(self, _event: Event) -> None:
        self._on_visible_regions()

    def _on_brush(self, brush: int) -> None:
        layer, review = self.corrections, self.session.review
        if layer is None or review is None:
            return
        known = brush < len(review.class_names) or brush == BACKGROUND_MARK
        layer.selected_label = brush if known else 1

    def _on_show_provenance(self, show: bool) -> None:
        if show:
            self._bring_back()

    def _on_paint(self) -> None:
        self._bring_back()
        if (layer := self.corrections) is not None:
            layer.visible = True
            self.viewer.layers.selection.active = layer
            layer.mode = "paint"

    def _on_edit(self, edit: Edit) -> None:
        self._bring_back()
        if self.writer is not None:
            self.writer.apply(edit)

    def _on_act(self, action: Action) -> None:
        if action is Action.UNDO and (layer := self.corrections) is not None:
            layer.undo()

    # -- layers a person takes out by hand

    def _on_removed(self, event: Event) -> None:
        gone = [kind for kind, layer in self.layers.items() if layer is event.value]
        if self._changing or not gone:
            return
        kind = gone[0]
        if kind == CORRECTIONS:
            self._let_go_of_writer()
        self._remember(kind, self.layers.pop(kind))
        safe = "Nothing painted is lost: it is on disk. " if kind == CORRECTIONS else ""
        self.session.notice = Notice(
            f"The layer '{event.value.name}' was taken out of the viewer. {safe}",
            "warning",
            offer="Bring it back",
            what="layers",
        )

    def _on_offer(self, what: str) -> None:
        if what == "layers":
            self._bring_back()
        elif what == "recovered":
            self._bring_back()
            if (layer := self.corrections) is not None:
                layer.visible = True
                self.viewer.layers.selection.active = layer

    def _bring_back(self) -> None:
        review = self.session.review
        if review is not None and set(self._wanted(review)) - set(self.layers):
            self._fill(review)
