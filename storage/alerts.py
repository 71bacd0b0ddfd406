"""Alerts: raised once per kind and subject, counted until a person has seen them.

The subject of an alert is the place it names, account, bot, instrument, and what its text says but
for numbers and identities: order 7 and order 9 refused alike are one alert counted twice, two
sentences are two alerts. An alert that names no place is about exactly what its text says.
"""

from __future__ import annotations

import re
from sqlite3 import Connection

import msgspec

from engine.domain.alerts import Repeat, described
from engine.domain.effects import RaiseAlert
from engine.domain.instruments import Mode
from storage.database import insert
from storage.seen import is_seen_waiting

UNSEEN_MAX = 25
"""Most unseen alerts of one kind and place; more of them are counted on the latest."""

_WORD = re.compile(r"\S+")
_DIGIT = re.compile(r"\d")


def wording(text: str) -> str:
    """Return a text without the words that hold a digit: what two repeats have in common."""
    return _WORD.sub(lambda word: "#" if _DIGIT.search(word[0]) else word[0], text)


def raise_alert(
    connection: Connection, engine_id: str, alert: RaiseAlert, mode: Mode | None, at_ns: int
) -> None:
    """Add an alert, or count it on the one of its kind and subject that is not seen yet."""
    place = (alert.account, alert.bot, alert.instrument)
    unseen = connection.execute(
        "SELECT id, text FROM alerts WHERE engine_id = ? AND kind = ? AND acked_ns IS NULL "
        "AND account IS ? AND bot IS ? AND instrument IS ? ORDER BY last_ns DESC, id DESC LIMIT ?",
        (engine_id, alert.kind, *place, UNSEEN_MAX),
    ).fetchall()
    same = _same(alert, unseen)
    # What a person has seen is raised anew, also before the engine wrote that down.
    if same is not None and is_seen_waiting(connection, engine_id, same):
        same = None
    if same is not None:
        connection.execute(
            "UPDATE alerts SET count = count + 1, last_ns = ?, text = ?, severity = ?, numbers = ? "
            "WHERE id = ?",
            (at_ns, alert.text, alert.severity, _encoded(alert), same),
        )
        return
    insert(
        connection,
        "alerts",
        engine_id=engine_id,
        mode=mode,
        **{**msgspec.structs.asdict(alert), "numbers": _encoded(alert)},
        count=1,
        first_ns=at_ns,
        last_ns=at_ns,
    )


def _encoded(alert: RaiseAlert) -> str | None:
    """Return an alert's figures as JSON; None = it has none, as one of an older version."""
    return msgspec.json.encode(alert.numbers).decode() if alert.numbers else None


def _same(alert: RaiseAlert, unseen: list[tuple[int, str]]) -> int | None:
    """Return which of the unseen alerts of its kind and place an alert repeats."""
    if unseen and described(alert.kind).repeat is Repeat.PLACE:
        return unseen[0][0]
    placed = any((alert.account, alert.bot, alert.instrument))
    words = wording(alert.text)
    for number, text in unseen:
        if text == alert.text or (placed and wording(str(text)) == words):
            return number
    return unseen[0][0] if len(unseen) == UNSEEN_MAX else None


def see_alert(connection: Connection, engine_id: str, alert: int, who: str, now_ns: int) -> bool:
    """Mark an alert as seen; False = there is none of this number."""
    seen = connection.execute(
        "UPDATE alerts SET acked_by = coalesce(acked_by, ?), acked_ns = coalesce(acked_ns, ?) "
        "WHERE engine_id = ? AND id = ?",
        (who, now_ns, engine_id, alert),
    )
    return seen.rowcount > 0
