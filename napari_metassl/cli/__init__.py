"""The command line: every job without a screen. Starts without torch, Qt or napari."""

import logging
import signal
import warnings
from typing import Any


def main() -> None:
    """Run ``napari-metassl``; exits with 0, 1 (a mistake), 2 (usage) or 130 (Ctrl-C)."""
    from napari_metassl.cli.app import app

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.showwarning = _show_own_warning
    app()


def _show_own_warning(
    message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any
) -> None:
    """Only this program's own warnings reach the person; a job's log holds the others."""
    from napari_metassl.cli.console import complain

    if issubclass(category, UserWarning) and "napari_metassl" in filename:
        complain(str(message))
