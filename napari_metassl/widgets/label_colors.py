"""Colours of what the layers of labels hold."""

from __future__ import annotations

from napari.utils.colormaps import DirectLabelColormap

from napari_metassl.data.quadripartition import REGION_COLORS
from napari_metassl.method.region import Region


def class_colormap(class_colors: tuple[str, ...]) -> DirectLabelColormap:
    """Colours of the classes; the background is not shown."""
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colors |= {k: color for k, color in enumerate(class_colors) if k > 0}
    return DirectLabelColormap(color_dict=colors)


def region_colormap(visible: frozenset[Region]) -> DirectLabelColormap:
    """Colours of the regions; those not visible are transparent."""
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colors |= {int(r): REGION_COLORS[r] if r in visible else "transparent" for r in Region}
    return DirectLabelColormap(color_dict=colors)
