"""Whether an engine runs, judged by its heartbeat and its process: what every page asks first."""

from __future__ import annotations

import os
from enum import StrEnum

from storage.views.frame import HEARTBEAT_AGE_NS_MAX, SECOND_NS, EngineSeen

LATE_NS = 3 * SECOND_NS
FUTURE_NS = 2 * SECOND_NS
"""A heartbeat further ahead than this says that a clock jumped: it proves nothing."""


class EngineHealth(StrEnum):
    """What is known of the engine. Only RUNNING and LATE may show its figures as present ones."""

    RUNNING = "running"
    LATE = "late"
    GONE = "gone"
    """No fresh heartbeat, or its process does not exist."""
    NEVER = "never"
    """No engine has ever written here."""

    @property
    def alive(self) -> bool:
        """True where the engine's figures are of now."""
        return self in {EngineHealth.RUNNING, EngineHealth.LATE}


def health_of(engine: EngineSeen | None, now_ns: int) -> EngineHealth:
    """Judge an engine by what it last wrote."""
    if engine is None:
        return EngineHealth.NEVER
    age = now_ns - engine.heartbeat_ns
    if not -FUTURE_NS <= age <= HEARTBEAT_AGE_NS_MAX or not _exists(engine.pid):
        return EngineHealth.GONE
    return EngineHealth.LATE if age > LATE_NS else EngineHealth.RUNNING


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and belongs to somebody else
    return True
