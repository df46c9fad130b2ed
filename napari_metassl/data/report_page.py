"""A volume's report as one printable page: HTML that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from napari_metassl.data.slice_picture import SlicePicture
from napari_metassl.data.volume_report import VolumeReport

LISTED_EDITS = 40
"""So many edits are printed, the last ones; the JSON file has them all."""

_STYLE = """
:root { color-scheme: light; }
body { font: 10.5pt/1.45 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #1c2127;
  background: #fff; max-width: 186mm; margin: 10mm auto; padding: 0 6mm; }
h1 { font-size: 17pt; margin: 0 0 1mm; }
h2 { font-size: 11.5pt; margin: 7mm 0 2mm; border-bottom: 0.3mm solid #c9ced6;
  padding-bottom: 1mm; }
p { margin: 0 0 2mm; }
.quiet { color: #5b6472; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: #5b6472; border-bottom: 0.3mm solid #c9ced6; }
th, td { padding: 0.9mm 3mm 0.9mm 0; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; }
.swatch { display: inline-block; width: 3mm; height: 3mm; border-radius: 0.6mm; margin-right: 2mm;
  border: 0.2mm solid #8888; vertical-align: -0.3mm; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
figure { margin: 0 0 4mm; break-inside: avoid; }
.pair { display: flex; gap: 3mm; }
.pair div { flex: 1; }
.pair img { width: 100%; height: auto; max-height: 95mm; object-fit: contain; display: block; }
figcaption { margin-top: 1mm; }
code { font-size: 9pt; word-break: break-all; }
@page { size: A4; margin: 14mm; }
@media print { body { margin: 0; padding: 0; max-width: none; } }
"""


def report_page(report: VolumeReport, pictures: Sequence[SlicePicture] = ()) -> str:
    """Return the whole page."""
    title = f"{escape(report.volume)} · {escape(report.project)}"
    parts = (
        _head(report),
        _sizes(report),
        _changes(report),
        _provenance(report),
        _pictures(report, pictures),
        _people(report),
        _edits(report),
        _foot(report),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _head(report: VolumeReport) -> str:
    z, y, x = report.shape
    spacing = " x ".join(f"{step:.3g}" for step in report.spacing_mm)
    pair = report.pair
    facts = [
        ("Project", report.project),
        ("Image", ", ".join(report.images)),
        ("Grid (z, y, x)", f"{z} x {y} x {x} voxels of {spacing} mm"),
        ("Role", report.role),
        ("Corrections lie over", report.below),
        (
            "Pair of networks",
            "none" if pair is None else f"{pair.name}, predicted {_moment(pair.predicted)}",
        ),
        ("Edits", f"{report.edit_count:,}"),
    ]
    rows = "".join(
        f'<tr><td class="quiet">{escape(name)}</td><td>{escape(value)}</td></tr>'
        for name, value in facts
    )
    made = f"Segmentation report, {_moment(report.created)}"
    return f'<h1>{escape(report.volume)}</h1><p class="quiet">{made}</p><table>{rows}</table>'


def _sizes(report: VolumeReport) -> str:
    rows = [
        (
            _swatch(size.color) + escape(size.name),
            f"{size.before_ml:,.2f}",
            f"{size.after_ml:,.2f}",
            f"{size.after_ml - size.before_ml:+,.2f}",
            _percent(size.before_ml, size.after_ml),
        )
        for size in report.classes
    ]
    return "<h2>Sizes</h2>" + _table(
        ("Class", "before, mL", "after, mL", "change, mL", "change"), rows
    )


def _changes(report: VolumeReport) -> str:
    if not report.changes:
        return "<h2>What was changed</h2><p>No label differs from what lay below.</p>"
    rows = [
        (
            f"{escape(change.before)} → {escape(change.after)}",
            f"{change.voxels:,}",
            f"{change.ml:,.3f}",
        )
        for change in report.changes
    ]
    return "<h2>What was changed</h2>" + _table(("Label", "voxels", "mL"), rows)


def _provenance(report: VolumeReport) -> str:
    rows = [
        (
            (_swatch(share.color) if share.color else "") + escape(share.name),
            f"{share.voxels:,}",
            f"{share.ml:,.2f}",
        )
        for share in report.provenance
    ]
    return "<h2>Where the labels come from</h2>" + _table(("Provenance", "voxels", "mL"), rows)


def _pictures(report: VolumeReport, pictures: Sequence[SlicePicture]) -> str:
    if not pictures:
        return ""
    return "<h2>Slices</h2>" + "".join(_figure(report, picture) for picture in pictures)


def _figure(report: VolumeReport, picture: SlicePicture) -> str:
    where = f"Slice {picture.z + 1} of {report.shape[0]}, {picture.changed:,} voxels changed"
    sides = "".join(
        f'<div><img width="{picture.width}" height="{picture.height}" alt="{escape(where)}: {side}"'
        f' src="data:image/png;base64,{base64.b64encode(content).decode("ascii")}">'
        f'<span class="quiet">{side}</span></div>'
        for side, content in (("before", picture.before), ("after", picture.after))
    )
    return f'<figure><div class="pair">{sides}</div><figcaption>{where}</figcaption></figure>'


def _people(report: VolumeReport) -> str:
    rows = [
        (
            escape(person.who),
            _moment(person.first),
            _moment(person.last),
            f"{person.edits:,}",
            f"{person.voxels:,}",
        )
        for person in report.people
    ]
    if not rows:
        return "<h2>Who</h2><p>Nobody edited this volume.</p>"
    return "<h2>Who</h2>" + _table(("Name", "first edit", "last edit", "edits", "voxels"), rows, 3)


def _edits(report: VolumeReport) -> str:
    listed = report.edits[-LISTED_EDITS:]
    if not listed:
        return ""
    rows = [
        (_moment(edit.time), escape(edit.who), escape(edit.action), f"{edit.voxels:,}")
        for edit in listed
    ]
    left = report.edit_count - len(listed)
    note = f'<p class="quiet">The last {len(listed)}; {left:,} before them.</p>' if left else ""
    return "<h2>Edits</h2>" + note + _table(("When", "who", "what", "voxels"), rows, 3)


def _foot(report: VolumeReport) -> str:
    files = ", ".join(report.files)
    pair = "" if report.pair is None or not report.pair.sha256 else report.pair.sha256
    weights = f"<br>Weights of the pair: SHA-256 <code>{escape(pair)}</code>" if pair else ""
    said = f"Times are UTC. Files: {escape(files)}." if files else "Times are UTC."
    return f'<p class="quiet" style="margin-top:6mm">{said} {escape(report.program)}.{weights}</p>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Make a table of cells that are HTML already; after the first `texts` columns are figures."""

    def line(cells: Sequence[str], tag: str) -> str:
        made = (
            f"<{tag}>{cell}</{tag}>" if column < texts else f'<{tag} class="n">{cell}</{tag}>'
            for column, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(heads, 'th')}</thead><tbody>{body}</tbody></table>"


def _swatch(color: str) -> str:
    return f'<span class="swatch" style="background:{escape(color)}"></span>'


def _percent(before: float, after: float) -> str:
    return f"{100 * (after - before) / before:+.1f} %" if before else "–"


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
