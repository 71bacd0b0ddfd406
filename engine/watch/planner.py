"""The planner: turns notices into deliveries by the rules. It sends nothing.

Stated rules of repetition: a notice is told once per channel; again after `again_min` while it goes
on happening unacknowledged; once more at each escalation; once when trouble is over, to who was
told; and once more where the watch ended in the middle of sending it. Nothing else is sent twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from engine.domain.alerts import AlertKind, described
from engine.watch.rules import (
    HOUR_NS,
    MINUTE_NS,
    AlertsRead,
    Route,
    quiet_until_ns,
    routes,
)
from storage import watch as log
from storage.watch import NEVER_NS, Notice, Reason


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
