"""The tools beside napari's own brush, fill bucket and polygon, and their keys."""

from __future__ import annotations

from enum import StrEnum


class Tool(StrEnum):
    """What can be done with the class the brush paints, by button or key."""

    BALL = "3D ball brush"
    INTERPOLATE = "fill between slices"
    SMOOTH = "smooth near the site"
    COPY_BEFORE = "copy slice before"
    COPY_AFTER = "copy slice after"


TOOL_KEYS: dict[Tool, str] = {
    Tool.BALL: "Shift-B",
    Tool.INTERPOLATE: "Shift-I",
    Tool.SMOOTH: "Shift-S",
    Tool.COPY_BEFORE: "Shift-Left",
    Tool.COPY_AFTER: "Shift-Right",
}
"""The arrows alone go to the slices before and after."""
