"""The one place where the dashboard asks what time it is."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Return ns UTC."""
    return time.time_ns()
