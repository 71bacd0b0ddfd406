"""The life of a bot: its states and the one table of moves, for the engine and for the pages."""

from __future__ import annotations

from enum import StrEnum


class BotState(StrEnum):
    """Where a bot stands (architecture §5)."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    RISK_STOPPED = "risk_stopped"
    ERROR = "error"


class BotHappened(StrEnum):
    """What can happen to a bot."""

    START_ASKED = "start_asked"
    READY = "ready"
    """Its account has been reconciled: it may trade."""
    PAUSE_ASKED = "pause_asked"
    RESUME_ASKED = "resume_asked"
    STOP_ASKED = "stop_asked"
    CLEARED = "cleared"
    """It is proven that none of its orders is open, and its inventory was treated."""
    RISK_STOP = "risk_stop"
    """A stop of its account began."""
    RISK_LIFTED = "risk_lifted"
    FAILED = "failed"
    """It raised."""


S = BotState
H = BotHappened

TRANSITIONS: dict[tuple[BotState, BotHappened], BotState] = {
    (S.IDLE, H.START_ASKED): S.STARTING,
    (S.IDLE, H.STOP_ASKED): S.STOPPING,
    (S.STARTING, H.READY): S.RUNNING,
    (S.STARTING, H.PAUSE_ASKED): S.PAUSING,
    (S.STARTING, H.STOP_ASKED): S.STOPPING,
    (S.STARTING, H.RISK_STOP): S.RISK_STOPPED,
    (S.STARTING, H.FAILED): S.ERROR,
    (S.RUNNING, H.PAUSE_ASKED): S.PAUSING,
    (S.RUNNING, H.STOP_ASKED): S.STOPPING,
    (S.RUNNING, H.RISK_STOP): S.RISK_STOPPED,
    (S.RUNNING, H.FAILED): S.ERROR,
    (S.PAUSING, H.CLEARED): S.PAUSED,
    (S.PAUSING, H.RESUME_ASKED): S.STARTING,
    (S.PAUSING, H.PAUSE_ASKED): S.PAUSING,  # KILL meets a bot that is being paused
    (S.PAUSING, H.STOP_ASKED): S.STOPPING,
    (S.PAUSING, H.FAILED): S.ERROR,
    (S.PAUSED, H.RESUME_ASKED): S.STARTING,
    (S.PAUSED, H.STOP_ASKED): S.STOPPING,
    (S.PAUSED, H.FAILED): S.ERROR,
    (S.STOPPING, H.CLEARED): S.STOPPED,
    (S.STOPPING, H.STOP_ASKED): S.STOPPING,  # another policy for the inventory, or KILL
    (S.STOPPING, H.FAILED): S.ERROR,
    (S.STOPPED, H.START_ASKED): S.STARTING,
    (S.RISK_STOPPED, H.RISK_LIFTED): S.STARTING,
    (S.RISK_STOPPED, H.PAUSE_ASKED): S.PAUSING,
    (S.RISK_STOPPED, H.STOP_ASKED): S.STOPPING,
    (S.RISK_STOPPED, H.FAILED): S.ERROR,
    (S.ERROR, H.START_ASKED): S.STARTING,
    (S.ERROR, H.STOP_ASKED): S.STOPPING,
    (S.ERROR, H.FAILED): S.ERROR,  # its traceback is shown once more
}
"""RISK_STOPPED is left towards STARTING, so that an account found unready is waited for."""


AT_REST = frozenset({S.IDLE, S.PAUSED, S.STOPPED, S.ERROR})
"""Beside a bot that stands so, an order by hand on its instruments may be placed."""
