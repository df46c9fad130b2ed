"""What is handed on: a segmentation, where each of its voxels comes from, and a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_metassl.data.corrections import PROVENANCE_COLORS
from napari_metassl.data.export_request import Exported, ExportFormat, ExportRequest, Look
from napari_metassl.data.final_segmentation import FinalSegmentation, Labels, final_segmentation
from napari_metassl.data.nnunet_export import export_dataset
from napari_metassl.data.project import Project
from napari_metassl.data.report_page import report_page
from napari_metassl.data.slice_picture import slice_pictures
from napari_metassl.data.slicer_segmentation import Segment, segment_fields
from napari_metassl.data.volume_io import encode_labels, written_together
from napari_metassl.data.volume_report import make_report
from napari_metassl.errors import ProjectProblem


def export(
    project: Project, request: ExportRequest, look: Look = lambda _name, _share: None
) -> Exported:
    """Write the best segmentation there is of some volumes, or of all.

    Every file is written aside and renamed; those of a volume once all of them are whole.

    Raises
    ------
    ProjectProblem
        If there is nothing to export, or a file is there that may not be replaced.
    FileProblem
        If the disk refuses.
    """
    if request.format is ExportFormat.NNUNET:
        return export_dataset(project, request, look)
    names = request.volumes or tuple(record.name for record in project.volumes())
    if not request.replace:
        _require_free(request, names)
    written: list[Path] = []
    left_out: list[str] = []
    for number, name in enumerate(names):
        look(name, number / len(names))
        try:
            written += export_volume(project, name, request)
        except ProjectProblem as problem:
            if request.volumes:
                raise
            left_out.append(str(problem))
    if not written:
        raise ProjectProblem(
            f"No volume of project '{project.name}' has a label, a prediction or a correction to "
            f"export; run `napari-metassl predict {project.folder}` first."
        )
    return Exported(request.folder, tuple(written), tuple(left_out))


def export_volume(project: Project, name: str, request: ExportRequest) -> list[Path]:
    """Write the files of one volume, whatever is there; see `paths_of` for their names."""
    final = final_segmentation(project, name)
    paths = paths_of(name, request)
    with written_together(paths) as asides:
        left = iter(asides)
        _write(next(left), final, final.labels, _classes(project), request)
        if request.provenance:
            _write(next(left), final, final.provenance, _PROVENANCES, request)
        if request.report:
            _write_report(project, name, final, paths, (next(left), next(left)))
    return paths


def paths_of(name: str, request: ExportRequest) -> list[Path]:
    """Files an export of a volume consists of: labels, provenance, report (JSON, page)."""
    names = [f"{name}.{request.format}"]
    if request.provenance:
        names.append(f"{name}_provenance.{request.format}")
    if request.report:
        names += [f"{name}_report.json", f"{name}_report.html"]
    return [request.folder / file for file in names]


def _require_free(request: ExportRequest, names: tuple[str, ...]) -> None:
    there = [path for name in names for path in paths_of(name, request) if path.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ProjectProblem(
            f"'{there[0].name}'{more} would be replaced in '{request.folder}'. Choose another "
            "folder, or allow that files are replaced."
        )


def _write(
    aside: Path,
    final: FinalSegmentation,
    labels: Labels,
    segments: list[Segment],
    request: ExportRequest,
) -> None:
    if request.format is ExportFormat.SEG_NRRD:
        encode_labels(
            aside, labels, final.geometry, lambda voxels: segment_fields(voxels, segments)
        )
    else:
        encode_labels(aside, labels, final.geometry)


def _classes(project: Project) -> list[Segment]:
    named = zip(project.class_names, project.class_colors, strict=True)
    return [Segment(k, name, color) for k, (name, color) in enumerate(named) if k > 0]


_PROVENANCES = [
    Segment(int(provenance), provenance.name.lower(), color)
    for provenance, color in PROVENANCE_COLORS.items()
]


def _write_report(
    project: Project,
    name: str,
    final: FinalSegmentation,
    paths: list[Path],
    asides: tuple[Path, Path],
) -> None:
    report = make_report(project, name, final, [path.name for path in paths])
    image = np.asarray(project.load_image(name)[0].data)
    pictures = slice_pictures(image, final, project.class_colors)
    asides[0].write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    asides[1].write_text(report_page(report, pictures), encoding="utf-8")
