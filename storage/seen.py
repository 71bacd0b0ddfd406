"""Alerts of the engine as the watch reads them, and those that wait to be written down as seen.

The engine alone writes its alerts, and may be gone for days. Whoever reads alerts counts those as
seen that a waiting command names, from the moment it was left.
"""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection
from typing import NamedTuple

import msgspec

from engine.domain.commands import AckAlert
from engine.domain.plain import PlainDict
from storage.database import dicts

WAITING_MAX = 10_000
"""Most waiting commands that are read; a person presses one button at a time."""

_decode = msgspec.json.Decoder(AckAlert).decode


class SeenBy(NamedTuple):
    """Who has seen an alert, and when, ns UTC."""

    who: str
    at_ns: int


def seen_waiting(connection: Connection, engine_id: str) -> dict[int, SeenBy]:
    """Return the alerts, by number, that a person has seen and the engine has not written down.

    A command that cannot be read is none of them: the engine refuses it.
    """
    rows = dicts(
        connection,
        # As bytes: a text that is no UTF-8 must hide no other, nor keep a KILL from its claim.
        "SELECT CAST(body AS BLOB) AS body, CAST(who AS BLOB) AS who, created_ns "
        "FROM commands WHERE engine_id = ? AND state IN "
        "('pending', 'claimed') AND kind = ? ORDER BY created_ns LIMIT ?",
        (engine_id, AckAlert.__name__, WAITING_MAX),
    )
    found: dict[int, SeenBy] = {}
    for row in rows:
        try:
            number, at_ns = _decode(row["body"]).alert, int(row["created_ns"])
        except (ValueError, TypeError):
            continue
        found.setdefault(number, SeenBy(row["who"].decode(errors="replace"), at_ns))
    return found


def is_seen_waiting(connection: Connection, engine_id: str, alert: int) -> bool:
    """Say whether a person has seen one alert and the engine has not written that down.

    Asked with each repeat of an alert: no command is decoded, however many wait.
    """
    row = connection.execute(
        "SELECT 1 FROM commands WHERE engine_id = ? AND state IN ('pending', 'claimed') AND "
        "kind = ? AND body = ? LIMIT 1",
        (engine_id, AckAlert.__name__, msgspec.json.encode(AckAlert(alert=alert)).decode()),
    ).fetchone()
    return row is not None


def count_seen(rows: list[PlainDict], waiting: Mapping[int, SeenBy]) -> list[PlainDict]:
    """Write into rows of alerts by whom and when those were seen that wait for the engine."""
    for row in rows:
        if row["acked_ns"] is None and row["id"] in waiting:
            row["acked_by"], row["acked_ns"] = waiting[row["id"]]
    return rows


# -- what the watch reads --------------------------------------------------------------------------

ALERTS_MAX = 2_000
"""Most alerts read in one turn; the others follow in the next."""


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a row of the engine's alerts must be to be taken over."""

    id: int
    kind: str
    severity: str
    mode: str | None
    account: str | None
    bot: str | None
    instrument: str | None
    text: str
    count: int
    first_ns: int
    last_ns: int
    acked_by: str | None
    acked_ns: int | None
    numbers: str | None = None


_ALERTS = (
    "SELECT id, kind, severity, mode, account, bot, instrument, text, count, first_ns, last_ns, "
    "acked_by, acked_ns, numbers FROM alerts WHERE engine_id = ? AND "
)
_UNNUMBERED = _ALERTS.replace(", numbers", "")  # of a home that no new engine has opened yet


class KnownAlerts(NamedTuple):
    """How far the engine's alerts were read, and which of those taken over are still open."""

    number: int
    since_ns: int
    first: bool
    open: tuple[int, ...]


def read_alerts(state: Connection, engine_id: str, known: KnownAlerts) -> list[PlainDict]:
    """Return alerts that are new, happened again, or were seen by a person since."""
    either = "AND" if known.first else "OR"
    found = state.execute("SELECT 1 FROM pragma_table_info('alerts') WHERE name = 'numbers'")
    alerts = _ALERTS if found.fetchone() else _UNNUMBERED
    new = f"{alerts}(id > ? {either} last_ns >= ?) ORDER BY id LIMIT ?"
    rows = dicts(state, new, (engine_id, known.number, known.since_ns, ALERTS_MAX))
    marks = ", ".join("?" * len(known.open))
    seen = f"{alerts}acked_ns IS NOT NULL AND id IN ({marks})"
    rows += dicts(state, seen, (engine_id, *known.open))
    waiting = seen_waiting(state, engine_id)
    named = ", ".join(map(str, waiting.keys() & {*known.open}))
    rows += dicts(state, f"{alerts}acked_ns IS NULL AND id IN ({named})", (engine_id,))
    return count_seen(rows, waiting)
