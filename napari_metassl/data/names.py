"""Names that become parts of paths: checked here, and nowhere joined to a folder unchecked."""

import re

from napari_metassl.errors import ProjectProblem

MAXIMUM_LENGTH = 120
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)


def check_name(name: str, what: str = "volume") -> str:
    """Return `name` if it is safe as one part of a path on every system.

    Raises
    ------
    ProjectProblem
        If it is empty, too long, a device name of Windows, begins or ends with a dot or a blank,
        or holds a path separator, a control character or one of ``: * ? " < > |``.
    """
    stripped = name.strip()
    safe = (
        bool(stripped)
        and stripped == name
        and len(name) <= MAXIMUM_LENGTH
        and not name.startswith(".")
        and not name.endswith(".")
        and not _FORBIDDEN.search(name)
        and not _DEVICE.fullmatch(name)
    )
    if not safe:
        raise ProjectProblem(
            f"Got {name[:60]!r} as the name of a {what}, expected at most {MAXIMUM_LENGTH} "
            'characters, none of / \\ : * ? " < > |, and no dot or blank at either end. Rename it.'
        )
    return name
