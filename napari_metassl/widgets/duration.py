"""Times as a person says them."""

from __future__ import annotations


def time_left(seconds: float | None) -> str:
    """For example ``about 3 min left``; empty while unknown."""
    return "" if seconds is None else f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """For example ``40 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
