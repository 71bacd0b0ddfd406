"""The status bar's cell of the dead man's switch: does it beat, and when does the venue cancel."""

from __future__ import annotations

from engine.domain.instruments import Mode
from pages.kit.cell import StatusCell
from pages.kit.words import age, moment
from storage.live_accounts import VenueHeartbeat

SECOND_NS = 1_000_000_000
NAME = "Dead man's switch"
COVERS = (
    "Without a beat for ten seconds the venue cancels every order of this API key, those placed by "
    "hand with it included; it looks every five seconds."
)


def beat_cell(
    beats: tuple[VenueHeartbeat, ...], mode: Mode | None, now_ns: int, *, alive: bool
) -> StatusCell | None:
    """Return the cell of the account that is worst off; None = no account of the mode has one."""
    here = [beat for beat in beats if beat.mode == mode]
    if not here:
        return None
    # What the venue is about to cancel comes first, then what it has not been told to watch.
    worst = min(here, key=lambda one: (one.beating and alive, one.armed_ns is None, one.account))
    if worst.beat_ns is None or worst.cancels_ns is None:
        hint = f"{worst.account}: {worst.reason or 'no beat yet'}. {COVERS}"
        return StatusCell(name=NAME, value="NOT ARMED", tone="warn", hint=hint)
    if alive and worst.beating and not worst.reason:
        value = f"beats, {age(now_ns - worst.beat_ns)} ago"
        return StatusCell(name=NAME, value=value, tone="ok", hint=f"{worst.account}. {COVERS}")
    why = worst.reason if alive else "the engine is not running"
    left_ns = worst.cancels_ns - now_ns
    if left_ns > 0:
        value = f"VENUE CANCELS IN {-(-left_ns // SECOND_NS)} s"
        return StatusCell(
            name=NAME, value=value, tone="bad", hint=f"{worst.account}: {why}. {COVERS}"
        )
    hint = (
        f"{worst.account}: {why}. By its own rule the venue has cancelled everything of the key "
        f"since {moment(worst.cancels_ns)}; only a listing of open orders proves it."
    )
    return StatusCell(name=NAME, value="LAPSED", tone="bad", hint=hint)
