"""Engines that end by a mistake of their own, and the judge of what they say of their venues.

The sweep is that of the engine which trades (`engine.live.lifecycle`); nothing of it is played.
"""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from engine.lab.simulate.venue_side import VenueSide
from engine.lab.simulate.venue_truth import Speak

UNPROVEN = "stop_unproven"
APART_NS = 1_000_000_000
"""How far apart two listings that show nothing are at least. What lands later than that behind the
end was on its way, and no listing can tell of it: the next start asks."""


class SimulatedMistake(Exception):
    """What a mistake of our own raises in an engine; its account is judged, then starts again."""


def alerted(state: Connection, since_ns: int) -> str:
    """Return what an engine said since a time of its clock could not be shown; empty = nothing."""
    rows = state.execute(
        "SELECT text FROM alerts WHERE kind = ? AND last_ns >= ?", (UNPROVEN, since_ns)
    )
    return "; ".join(text for (text,) in rows)


def judge_crash(sides: Iterable[VenueSide], said: str, began_ns: int, speak: Speak) -> None:
    """See that an engine which ended by a mistake leaves no order open that it does not tell of.

    `began_ns` is the world's time of the mistake.
    """
    for side in sides:
        rest = [one for one in side.live() if one.placed_ns <= began_ns + APART_NS]
        if rest and f"{side.account}: " not in said:
            names = [str(one.identity) for one in rest]
            speak("crash", f"{names} rest, and the engine that ended by a fault said: {said!r}")
