"""Makes napari's brush a ball with a radius in mm, and a disc again."""

from __future__ import annotations

from napari_metassl.widgets.correction_layer import CorrectionLayer
from napari_metassl.widgets.layers import ReviewLayers
from napari_metassl.widgets.session import Session

PAINTING = ("paint", "erase")
"""Modes in which the ball is wanted; fill bucket and polygon stay in the slice."""


class BallBrush:
    """Follows ``session.ball`` and ``session.ball_mm``; the painting is napari's own.

    napari's brush has a whole size s in units of the finest voxel side and is round in mm, with
    the radius (floor(s / 2) + 1/2) times that side.
    """

    def __init__(self, session: Session, layers: ReviewLayers) -> None:
        self.session = session
        self.layers = layers
        self._layer: CorrectionLayer | None = None
        self._disc_size = 0.0
        self._setting = False
        self._listening = (
            session.events.ball,
            session.events.ball_mm,
            session.events.review,
            session.paint,
        )
        for signal in self._listening:
            signal.connect(self._apply)

    def close(self) -> None:
        """Give the layer its disc back and listen no more."""
        self._let_go()
        for signal in self._listening:
            signal.disconnect(self._apply)

    def _apply(self) -> None:
        layer = self.layers.corrections
        if not self.session.ball or layer is None or self.session.review is None:
            self._let_go()
            return
        if layer is not self._layer:
            self._let_go()
            self._take(layer)
        self._setting = True
        try:
            layer.brush_size = size_of(self.session.ball_mm, min(self.session.review.spacing))
        finally:
            self._setting = False
        self._on_mode()

    def _take(self, layer: CorrectionLayer) -> None:
        self._layer = layer
        self._disc_size = layer.brush_size
        layer.events.mode.connect(self._on_mode)
        layer.events.brush_size.connect(self._on_brush_size)

    def _let_go(self) -> None:
        layer, self._layer = self._layer, None
        if layer is None:
            return
        layer.events.mode.disconnect(self._on_mode)
        layer.events.brush_size.disconnect(self._on_brush_size)
        layer.n_edit_dimensions = 2
        layer.brush_size = self._disc_size

    def _on_mode(self) -> None:
        if self._layer is not None:
            self._layer.n_edit_dimensions = 3 if str(self._layer.mode) in PAINTING else 2

    def _on_brush_size(self) -> None:
        """Somebody changed the size with napari's own keys: say its radius."""
        review = self.session.review
        if self._layer is not None and review is not None and not self._setting:
            self.session.ball_mm = radius_of(self._layer.brush_size, min(review.spacing))


def size_of(radius_mm: float, side_mm: float) -> int:
    """Brush size of napari whose ball has the nearest radius."""
    return 2 * max(0, round(radius_mm / side_mm - 0.5)) + 1


def radius_of(size: float, side_mm: float) -> float:
    """Radius in mm of napari's brush of some size."""
    return (int(size // 2) + 0.5) * side_mm
