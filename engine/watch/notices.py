"""Notices: what alerts and findings become in the delivery log, and which deliveries they lead to.

The planner turns notices into deliveries by the rules; it sends nothing. Stated rules of
repetition: a notice is sent once per channel; again after `again_min` while it goes on happening
unacknowledged; once more at each escalation; once when trouble is over, to who got it; and once
more where the watch ended in the middle of sending it. Nothing else is sent twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.domain.alerts import AlertKind, described
from engine.watch.desk import EVENT, SECOND_NS, Trouble
from engine.watch.rules import HOUR_NS, MINUTE_NS, AlertsRead, Route, quiet_until_ns, routes
from storage import watch as log
from storage.database import dicts
from storage.watch import NEVER_NS, Notice, NoticeSource, Reason

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


class Planner:
    """One turn of planning, inside a transaction of the delivery log."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        channels: Sequence[str],
        alerts: AlertsRead,
        now_ns: int,
    ) -> None:
        self._connection = connection
        self._channels = channels
        self._alerts = alerts
        self._now_ns = now_ns

    def plan(self) -> int:
        """Ask the rules about notices whose time has come; gives how many were looked at."""
        found = log.to_look_at(self._connection, self._now_ns)
        for one in found:
            look_ns, step = self._planned(one)
            looked = msgspec.structs.replace(one, look_ns=look_ns, step=step)
            log.put_notice(self._connection, looked)
        return len(found)

    def _planned(self, one: Notice) -> tuple[int, int]:
        """Plan what a notice is due; return when to look again, and how often it escalated."""
        told = log.told(self._connection, one.key)
        found = routes(described(one.kind), self._channels, self._alerts.rules)
        if one.acked_ns is not None:
            return NEVER_NS, one.step
        if one.ended_ns is not None:
            # Who had not heard of it yet hears of it and of its end at once.
            for route in found:
                self._plan(route, Reason.OVER if route.channel in told else Reason.ALERT, one)
            return NEVER_NS, one.step
        look_ns, step = NEVER_NS, one.step
        for route in found:
            before = told.get(route.channel)
            if before is None:
                self._plan(route, Reason.ALERT, one)
            elif one.count > before[0]:
                again_ns = before[1] + route.rule.again_min * MINUTE_NS
                if self._now_ns >= again_ns:
                    self._plan(route, Reason.AGAIN, one)
                else:
                    look_ns = min(look_ns, again_ns)
        escalating = [route for route in found if route.rule.escalate_min]
        if escalating:
            next_ns, step = self._escalate(one, escalating)
            look_ns = min(look_ns, next_ns)
        return look_ns, step

    def _escalate(self, one: Notice, found: Sequence[Route]) -> tuple[int, int]:
        """Plan the escalation that is due: the same channels again, then one further one a step.

        Return when the next is due, and how many were planned.
        """
        route = min(found, key=lambda each: each.rule.escalate_min)
        every_ns, ladder = route.rule.escalate_min * MINUTE_NS, route.rule.escalate_to
        due_ns = one.first_ns + (one.step + 1) * every_ns
        if one.step > len(ladder):
            return NEVER_NS, one.step
        if self._now_ns < due_ns:
            return due_ns, one.step
        if one.step == 0:
            again = [each for each in found if each.rule.escalate_min == route.rule.escalate_min]
        else:
            again = [route._replace(channel=ladder[one.step - 1])]
        for each in again:
            self._plan(each, Reason.ESCALATION, one)
        step = one.step + 1
        if step > len(ladder):
            return NEVER_NS, step
        # After a watch that was away, the steps it missed are not taken all at once.
        return max(due_ns + every_ns, self._now_ns + every_ns // 2), step

    def _plan(self, route: Route, reason: Reason, one: Notice) -> None:
        due_ns = self._due_ns(route, reason, described(one.kind))
        log.plan(
            self._connection,
            channel=route.channel,
            rule=route.name,
            reason=reason if due_ns <= self._now_ns else Reason.DIGEST,
            due_ns=due_ns,
            now_ns=self._now_ns,
            covers=[one],
        )

    def _due_ns(self, route: Route, reason: Reason, kind: AlertKind) -> int:
        """Return when a message leaves: now, at the end of a digest, of quiet hours, of an hour.

        An escalation waits for no digest.
        """
        rule, due_ns = route.rule, self._now_ns
        if reason is not Reason.ESCALATION:
            due_ns += rule.digest_min * MINUTE_NS
        if due_ns <= self._now_ns:
            since_ns = self._now_ns - HOUR_NS
            made = log.made_since(self._connection, route.channel, route.name, since_ns)
            if len(made) >= rule.per_hour_max:
                due_ns = made[-rule.per_hour_max] + HOUR_NS
        return max(due_ns, quiet_until_ns(rule, kind, self._alerts.zone, self._now_ns))
