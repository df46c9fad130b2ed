"""Colours and style sheet of the review window, made from napari's theme; all colours live here."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme

NEUTRAL_COLOR = "#808080"  # seen on dark and on light
BACKGROUND_MARK_COLOR = "#f0f0f0"  # "a person says: background"; near white on any image
BACKGROUND_MARK_ALPHA = 0.3  # what is confirmed around a site must not hide the image
SITE_COLOR = "#ffffff"
SITE_BODY_COLOR = "#a6ff00"  # in 3D, where the image is white and the regions are orange
PROPOSED_BACKGROUND_COLOR = "#ff8cff"  # bright orchid: neither a region nor a class has it
REACH_COLOR = "#ffffff"  # dashes, where the site has a line
CONFIDENCE_COLORMAP = "viridis"  # even steps in lightness, also for colour-blind people


@dataclass(frozen=True)
class Palette:
    """The colours of a napari theme that the panels need, as ``#rrggbb``."""

    background: str
    card: str
    field: str
    line: str
    hover: str
    text: str
    muted: str
    accent: str
    good: str
    bad: str
    warning: str
    dark: bool


def mix(color: str, other: str, share: float) -> str:
    """Return ``color`` with ``share`` of ``other`` mixed in; all ``#rrggbb``."""
    parts = (
        round((1 - share) * int(color[i : i + 2], 16) + share * int(other[i : i + 2], 16))
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{part:02x}" for part in parts)


def palette_of(theme: str) -> Palette:
    """Return the palette of the napari theme with this id."""
    found = get_theme(theme)
    hexes = {
        name: f"#{r:02x}{g:02x}{b:02x}"
        for name in (
            "background",
            "foreground",
            "primary",
            "secondary",
            "highlight",
            "text",
            "current",
        )
        for r, g, b in [getattr(found, name).as_rgb_tuple(alpha=False)]
    }
    dark = found.type == "dark"
    return Palette(
        background=hexes["background"],
        card=hexes["foreground"],
        field=hexes["primary"],
        line=hexes["secondary"],
        hover=hexes["highlight"],
        text=hexes["text"],
        muted=mix(hexes["text"], hexes["foreground"], 0.35),
        accent=hexes["current"],
        good="#5fd08a" if dark else "#1b7a43",
        bad="#ff8f7a" if dark else "#b3261e",
        warning="#f2c14e" if dark else "#8a5a00",
        dark=dark,
    )


def stylesheet(palette: Palette) -> str:
    """Return the style sheet of the dock widget; what is not named here stays napari's."""
    quiet = mix(palette.card, palette.text, 0.06)
    return "".join(part(palette, quiet) for part in (_cards_and_buttons, _fields, _bars))


def _cards_and_buttons(p: Palette, quiet: str) -> str:
    """Style cards, labels and push buttons."""
    return f"""
#card {{ background: {p.card}; border-radius: 6px; }}
#plain, #page, #card QStackedWidget {{ background: transparent; }}
#page {{ background: {p.background}; }}
QScrollArea {{ background: {p.background}; border: 0px; }}
QLabel[tone="title"] {{ font-weight: 600; color: {p.text}; }}
QLabel[tone="big"] {{ font-weight: 600; font-size: 13pt; }}
QLabel[tone="muted"] {{ color: {p.muted}; }}
QLabel[tone="good"] {{ color: {p.good}; font-weight: 600; }}
QLabel[tone="bad"] {{ color: {p.bad}; font-weight: 600; }}
QLabel[tone="warning"] {{ color: {p.warning}; }}
QPushButton {{ padding: 4px 8px; border-radius: 4px; min-height: 18px; }}
QPushButton[keyed="true"] {{ padding-right: 30px; padding-left: 6px; }}
QPushButton:focus {{ border: 1px solid {p.accent}; }}
QPushButton[tone="primary"] {{ background: {p.accent}; font-weight: 600; }}
QPushButton[tone="primary"]:hover {{ background: {mix(p.accent, p.text, 0.18)}; }}
QPushButton[tone="primary"]:disabled {{ background: {p.field}; font-weight: 400; }}
QPushButton[tone="quiet"] {{ background: transparent; border: 1px solid {p.line}; }}
QPushButton[tone="quiet"]:hover {{ background: {p.field}; }}
QPushButton:disabled {{ color: {mix(p.text, p.card, 0.6)}; border: 0px; background: {quiet}; }}
QPushButton[tone="choice"] {{ background: {p.background}; padding: 4px 6px; }}
QPushButton[tone="choice"]:hover {{ background: {p.field}; }}
QPushButton[tone="choice"]:checked {{ background: {p.accent}; }}
QPushButton[tone="link"] {{ background: transparent; color: {p.muted}; text-align: left;
    padding: 2px 0; }}
QPushButton[tone="link"]:disabled {{ background: transparent; }}
QPushButton[tone="link"]:hover {{ color: {p.text}; }}
"""


def _fields(p: Palette, quiet: str) -> str:
    """Style tool buttons, fields, tables and scroll bars."""
    return f"""
QToolButton {{ background: {p.field}; border: 0px; border-radius: 4px; padding: 4px 8px; }}
QToolButton:hover {{ background: {p.hover}; }}
QToolButton::menu-indicator {{ image: none; }}
QComboBox, QLineEdit, QAbstractSpinBox {{ border-radius: 4px; min-height: 20px; }}
QTableView, QTreeView {{ background: {p.card}; border: 0px; gridline-color: transparent;
    alternate-background-color: {quiet}; }}
QTreeView::item {{ min-height: 21px; padding: 0px 3px; border: 0px; }}
QTableView::item {{ padding: 2px 4px; border: 0px; }}
QTableView::item:selected, QTreeView::item:selected {{ background: {p.accent}; color: {p.text}; }}
QScrollBar:vertical {{ background: transparent; min-width: 9px; max-width: 9px; margin: 0px; }}
QScrollBar::handle:vertical {{ background: {p.line}; border-radius: 4px; min-height: 30px; }}
QScrollBar::add-line:vertical, QScrollBar::sub-line:vertical {{ height: 0px; width: 0px; }}
QHeaderView, QHeaderView::section {{ background: {p.card}; color: {p.muted}; border: 0px;
    padding: 2px 4px; }}
QTableCornerButton::section {{ background: {p.card}; border: 0px; }}
"""


def _bars(p: Palette, _quiet: str) -> str:
    """Style tabs, progress bars and the message."""
    return f"""
QTabWidget::pane {{ border: 0px; }}
QTabBar {{ background: {p.background}; border: 0px; padding: 0px; }}
QTabBar::tab {{ background: transparent; border: 0px; border-bottom: 2px solid transparent;
    border-radius: 0px; padding: 6px 14px; color: {p.muted}; }}
QTabBar::tab:hover {{ color: {p.text}; }}
QTabBar::tab:selected {{ background: transparent; color: {p.text};
    border-bottom: 2px solid {p.accent}; font-weight: 600; }}
QProgressBar {{ background: {p.field}; border: 0px; border-radius: 4px; min-height: 16px;
    max-height: 16px; color: {p.text}; }}
QProgressBar::chunk {{ background: {p.accent}; border-radius: 4px; width: 1px; }}
QProgressBar#thin {{ min-height: 5px; max-height: 5px; border-radius: 2px; }}
QProgressBar#thin::chunk {{ border-radius: 2px; }}
#message {{ background: {mix(p.accent, p.card, 0.6)}; border-radius: 6px; }}
#message[tone="warning"] {{ background: {mix("#d9a400", p.card, 0.68)}; }}
#message[tone="error"] {{ background: {mix("#d03a2b", p.card, 0.62)}; }}
#message[tone="good"] {{ background: {mix("#2f9e5b", p.card, 0.66)}; }}
#message QLabel, #message QPushButton {{ color: {p.text}; }}
#message QPushButton {{ background: {mix(p.card, p.background, 0.4)}; }}
"""
