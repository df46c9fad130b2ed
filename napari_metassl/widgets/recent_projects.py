"""The projects a person opened last, remembered between sessions."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSettings, QStandardPaths

from napari_metassl.data.project_file import PROJECT_FILE

KEPT = 8


def settings() -> QSettings:
    """Return the file of this program's own settings."""
    return QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-metassl", "review"
    )


def recent_projects() -> list[Path]:
    """Folders opened last, the newest first; those that are gone are left out."""
    stored = settings().value("recent", [])
    names = [stored] if isinstance(stored, str) else list(stored or [])
    return [Path(name) for name in names if (Path(name) / PROJECT_FILE).is_file()]


def remember_project(folder: Path) -> None:
    """Put ``folder`` on top of the list."""
    others = [path for path in recent_projects() if path != folder]
    settings().setValue("recent", [str(path) for path in [folder, *others][:KEPT]])


def sample_project_folder() -> Path:
    """Where the sample project is made, or found again."""
    data = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(data)) / "napari-metassl" / "sample project"
