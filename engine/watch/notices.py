"""Notices: what the engine's alerts and the watch's own findings become in the delivery log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.domain.alerts import described
from engine.watch.desk import EVENT, SECOND_NS, Trouble
from storage import watch as log
from storage.database import dicts
from storage.watch import Notice, NoticeSource

ALERTS_MAX = 2_000
"""Most alerts read in one turn; the others follow in the next."""

LOOK_BACK_NS = 600 * SECOND_NS
"""What the first watch of a home still tells: alerts younger than this."""

OVERLAP_NS = 60 * SECOND_NS
"""What is read again each turn: the engine writes an alert a moment after it was raised."""

REWRITE_NS = 10 * SECOND_NS
"""How often the text of lasting trouble is written again."""

CURSOR = "alerts cursor"
_ALERTS = (
    "SELECT id, kind, severity, mode, account, bot, instrument, text, count, first_ns, last_ns, "
    "acked_by, acked_ns FROM alerts WHERE engine_id = ? AND "
)


class KnownAlerts(NamedTuple):
    """How far the engine's alerts were read, and which of those taken over are still open."""

    number: int
    since_ns: int
    first: bool
    open: tuple[int, ...]


def known_alerts(connection: sqlite3.Connection, now_ns: int) -> KnownAlerts:
    """Return what the delivery log knows of the engine's alerts."""
    kept = log.meta(connection, CURSOR)
    number, since_ns = map(int, kept.split()) if kept else (-1, now_ns - LOOK_BACK_NS)
    # A clock that went back must not hide what is raised from then on.
    since_ns = min(since_ns, now_ns - OVERLAP_NS)
    return KnownAlerts(number, since_ns, kept is None, log.open_alerts(connection))


def read_alerts(
    state: sqlite3.Connection, engine_id: str, known: KnownAlerts
) -> list[dict[str, Any]]:
    """Return alerts that are new, happened again, or were seen by a person since."""
    either = "AND" if known.first else "OR"
    new = f"{_ALERTS}(id > ? {either} last_ns >= ?) ORDER BY id LIMIT ?"
    rows = dicts(state, new, (engine_id, known.number, known.since_ns, ALERTS_MAX))
    marks = ", ".join("?" * len(known.open))
    seen = f"{_ALERTS}acked_ns IS NOT NULL AND id IN ({marks})"
    return rows + dicts(state, seen, (engine_id, *known.open))


def take_alerts(
    connection: sqlite3.Connection,
    known: KnownAlerts,
    rows: Sequence[dict[str, Any]],
    now_ns: int,
) -> int:
    """Take over what was read, inside a transaction; gives how many alerts are new or moved."""
    moved = sum(_take(connection, row) for row in rows)
    number = max((known.number, *(row["id"] for row in rows)))
    told_ns = (row["last_ns"] for row in rows if row["last_ns"] <= now_ns)
    log.put_meta(connection, CURSOR, f"{number} {max((known.since_ns, *told_ns))}")
    return moved


def _take(connection: sqlite3.Connection, row: dict[str, Any]) -> bool:
    key = f"e{row['id']}-{row['first_ns']}"
    before = log.notice(connection, key)
    if before is not None and before.count == row["count"] and before.acked_ns == row["acked_ns"]:
        return False
    cells = {name: value for name, value in row.items() if name != "id"}
    cells |= {"key": key, "source": NoticeSource.ENGINE, "alert": row["id"]}
    cells |= {"severity": described(str(row["kind"])).severity}
    if before is not None:
        cells["step"] = before.step
        if before.acked_ns is not None:
            cells |= {"acked_ns": before.acked_ns, "acked_by": before.acked_by}
    log.put_notice(connection, msgspec.convert(cells, Notice, strict=False))
    return True


def take_trouble(connection: sqlite3.Connection, found: Iterable[Trouble], now_ns: int) -> None:
    """Write what is wrong now: new trouble begins, trouble that is not found any more has ended."""
    lasting = {
        (one.kind, one.subject): one for one in log.lasting(connection) if not _is_event(one)
    }
    for one in found:
        known = lasting.pop((one.kind, one.subject), None)
        if known is not None:
            if now_ns - known.last_ns >= REWRITE_NS and known.text != one.text:
                log.put_notice(
                    connection,
                    msgspec.structs.replace(
                        known, text=one.text, numbers=one.numbers, last_ns=now_ns
                    ),
                )
        elif not (
            one.subject.startswith(EVENT) and log.happened(connection, one.kind, one.subject)
        ):
            log.put_notice(connection, _begun(one, now_ns))
    for gone in lasting.values():
        ended = msgspec.structs.replace(gone, ended_ns=now_ns, last_ns=now_ns, look_ns=0)
        log.put_notice(connection, ended)


def _is_event(one: Notice | Trouble) -> bool:
    return one.subject.startswith(EVENT)


def _begun(one: Trouble, now_ns: int) -> Notice:
    return Notice(
        key=f"w-{one.kind}-{one.subject}-{now_ns}",
        source=NoticeSource.WATCH,
        kind=one.kind,
        subject=one.subject,
        severity=described(one.kind).severity,
        mode=one.mode,
        account=one.account,
        bot=one.bot,
        instrument=one.instrument,
        text=one.text,
        numbers=one.numbers,
        first_ns=now_ns,
        last_ns=now_ns,
    )
