"""The four regions by name and number; torch-free, for the window and the loss alike."""

from enum import IntEnum


class Region(IntEnum):
    """The regions as they stand in arrays; 0 is "not computed" (MetaSSL, IEEE TMI 2025)."""

    UC = 1
    """Unanimous and confident."""
    US = 2
    """Unanimous and suspicious."""
    DC = 3
    """Discrepant and confident."""
    DS = 4
    """Discrepant and suspicious."""

    @property
    def long_name(self) -> str:
        """For example ``unanimous, confident``."""
        return _LONG_NAMES[self]


_LONG_NAMES = {
    Region.UC: "unanimous, confident",
    Region.US: "unanimous, suspicious",
    Region.DC: "discrepant, confident",
    Region.DS: "discrepant, suspicious",
}
