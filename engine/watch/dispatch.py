"""The delivery log: what becomes a notice, what of it leaves, and what came back.

Dispatch sends what is due, writes down what came back and calls the dead man's switch.
The planner of notices turns notices into deliveries by the rules; it sends nothing. Stated rules of
repetition: a notice is sent once per channel; again after `again_min` while it goes on happening
unacknowledged; once more at each escalation; once when trouble is over, to who got it; and once
more where the watch ended in the middle of sending it. Nothing else is sent twice.
"""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from engine.domain.alerts import AlertKind, Repeat, Severity, described, numbers_of
from engine.domain.alerts.reports import REPORT
from engine.errors import BadInput, StorageError
from engine.watch.channels import channels
from engine.watch.conditions import unreadable
from engine.watch.desk import EVENT, SECOND_NS, Trouble
from engine.watch.messages import AlertMessage, compose, key_of_link, message_of_test
from engine.watch.rules import HOUR_NS, MINUTE_NS, AlertsRead, Route, quiet_until_ns, routes
from engine.watch.send import Outcome, SendOrder
from engine.watch.sender import GIVE_UP_NS, PING, Sends, wait_ns
from storage import watch as log
from storage.channels import ChannelEntry, read_channels
from storage.seen import AlertRow, KnownAlerts
from storage.watch import NEVER_NS, Delivery, DeliveryState, Notice, NoticeSource, Reason
from storage.watch_rows import CURSOR, happened, note_counted, set_back, unseen_event

PING_NS = 60 * SECOND_NS
FAILING_ATTEMPTS = 3
"""After so many refusals in a row a channel counts as failing."""

KEY, SEND = "key", "send"


class PingSeen(msgspec.Struct, kw_only=True):
    """How the dead man's switch stands; the doctor and the page read it."""

    channel: str = ""
    """Empty = none is set up."""
    said: str = ""
    """`start`, `success` or `fail`: what was called last."""
    sent_ns: int = 0
    """When the address took a call last."""
    error: str = ""
    refused: int = 0
    """Calls refused in a row."""


class Dispatch:
    """Knows the channels, what is on its way, and how each channel fares."""

    def __init__(
        self,
        home: Path,
        state: str,
        sends: Sends,
        ping: str | None,
        failing: Iterable[str] = (),
    ) -> None:
        """Know as failing the channels a former watch found so, until one takes a message."""
        self._home = home
        self._state = state
        self._sends = sends
        self._desk = socket.gethostname()
        self._entries: dict[str, ChannelEntry] = {}
        self.error = ""
        """Why the channels cannot be read; empty = they can."""
        self._ack_key: bytes | None = None
        self._there = False
        self._refused = dict.fromkeys(failing, (FAILING_ATTEMPTS, "before this watch began"))
        self._outcomes: list[tuple[str, Outcome]] = []
        self._channel_of: dict[str, str] = {}
        """Delivery on its way → its channel."""
        self._due_ns, self._key_ns = 0, 0
        self._saying = "start"
        self.ping = PingSeen()
        if ping:
            with suppress(msgspec.MsgspecError):  # of another version: it begins anew
                self.ping = msgspec.json.decode(ping, type=PingSeen)

    def read(self) -> None:
        """Read which channels there are."""
        try:
            found = read_channels(self._home)
            self._entries, self.error = (found.entries if found else {}), ""
            self._there = found is not None
        except (StorageError, BadInput) as error:
            self.error = str(error)

    def names(self) -> list[str]:
        """Return the channels messages leave by, by name."""
        kinds = channels()
        return sorted(
            name
            for name, one in self._entries.items()
            if one.on and not (one.kind in kinds and kinds[one.kind].pings)
        )

    def _switches(self) -> list[str]:
        """Return the dead man's switches that are on, by name: the first is called."""
        kinds = channels()
        return sorted(
            name
            for name, one in self._entries.items()
            if one.on and one.kind in kinds and kinds[one.kind].pings
        )

    def trouble(self) -> Iterator[Trouble]:
        """Give channels that refuse again and again."""
        if self.error:
            yield Trouble(kind="channel_failing", subject="*", text=self.error)
        for name, (attempts, why) in sorted(self._refused.items()):
            if attempts >= FAILING_ATTEMPTS and name in self._entries:
                text = f"channel {name} refused {attempts} times in a row, last: {why}"
                yield Trouble(kind="channel_failing", subject=name, text=text)
        called, *others = [*self._switches(), "", ""]
        if others[0]:
            text = f"only {called} is called, {others[0]} never: a desk has one dead man's switch"
            yield Trouble(kind="ping_failing", subject=others[0], text=text)
        if self.ping.refused >= FAILING_ATTEMPTS:
            text = f"{self.ping.refused} calls in a row were refused, last: {self.ping.error}"
            yield Trouble(kind="ping_failing", text=text)

    # -- Deliveries --------------------------------------------------------------------------------

    def collect(self) -> None:
        """Take what came back since the last turn; `settle` writes it down."""
        self._outcomes += self._sends.finished()

    def settle(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Write down what became of deliveries; repeatable until `settled` is called."""
        for name, outcome in self._outcomes:
            what, _, number = name.partition(" ")
            if what == SEND:
                self._settle(connection, int(number), outcome, now_ns)

    def settled(self, now_ns: int) -> None:
        """Forget what came back: it is written down."""
        for name, outcome in self._outcomes:
            what, _, number = name.partition(" ")
            if what == KEY and not outcome.error:
                self._ack_key = outcome.ack_secret
            elif what == KEY:
                self.error = outcome.error
            elif what == PING:
                self._pinged(outcome, now_ns)
            elif outcome.error:
                channel = self._channel_of.pop(number, "")
                attempts, _ = self._refused.get(channel, (0, ""))
                self._refused[channel] = attempts + 1, outcome.error
            else:
                self._refused.pop(self._channel_of.pop(number, ""), None)
        self._outcomes.clear()

    def _settle(
        self, connection: sqlite3.Connection, number: int, outcome: Outcome, now_ns: int
    ) -> None:
        sent = log.delivery(connection, number)
        if sent is None or sent.state is not DeliveryState.SENDING:
            return
        if not outcome.error:
            log.settle(connection, number, state=DeliveryState.SENT, sent_ns=now_ns, error="")
        elif sent.reason is Reason.TEST or now_ns - sent.created_ns > GIVE_UP_NS:
            log.settle(connection, number, state=DeliveryState.FAILED, error=outcome.error)
        else:
            log.settle(
                connection,
                number,
                state=DeliveryState.WAITING,
                error=outcome.error,
                due_ns=now_ns + wait_ns(sent.attempts, outcome),
            )

    def begin(
        self, connection: sqlite3.Connection, alerts: AlertsRead, now_ns: int
    ) -> list[tuple[str, SendOrder]]:
        """Mark what is due as leaving; return it for `start`, which is called once that is kept."""
        orders: list[tuple[str, SendOrder]] = []
        for one in log.due(connection, now_ns):
            if len(orders) >= self._sends.room():
                break
            message = self._message(connection, one, alerts, now_ns)
            if message is not None:
                order = SendOrder(
                    home=str(self._home),
                    channel=one.channel,
                    message=message,
                    state=self._state,
                    reports=self._reports(connection, one),
                )
                orders.append((f"{SEND} {one.id}", order))
        return orders

    def _reports(self, connection: sqlite3.Connection, delivery: Delivery) -> tuple[int, ...]:
        """Return when each flight report a delivery tells was made, if its channel takes them."""
        kind = channels().get(self._entries[delivery.channel].kind)
        if kind is None or not kind.takes_html or delivery.reason is Reason.TEST:
            return ()
        covered = log.notices_covered(connection, delivery.id)
        return tuple(notice.last_ns for notice, _ in covered if notice.kind == REPORT.name)

    def _message(
        self, connection: sqlite3.Connection, one: Delivery, alerts: AlertsRead, now_ns: int
    ) -> AlertMessage | None:
        """Return what a delivery says, having marked it as leaving; None = it does not leave."""
        entry = self._entries.get(one.channel)
        if entry is None or (not entry.on and one.reason is not Reason.TEST):
            gone = "the channel was removed" if entry is None else "the channel is off"
            log.settle(connection, one.id, state=DeliveryState.FAILED, error=gone)
            return None
        if one.reason is Reason.TEST:
            message = message_of_test(f"{self._desk}-{one.id}", alerts.address)
            log.begin_sending(connection, one.id, {}, message.title)
            return message
        covered = [
            (notice, before)
            for notice, before in log.notices_covered(connection, one.id)
            if _still_tells(one, notice)
        ]
        if not covered:
            why = "nothing was left to tell: acknowledged, or over, before it was due"
            log.settle(connection, one.id, state=DeliveryState.DROPPED, error=why)
            return None
        key = self._ack_key if alerts.ack_links else None
        message = compose(one, covered, alerts, desk=self._desk, ack_key=key, now_ns=now_ns)
        counts = {notice.key: notice.count for notice, _ in covered}
        log.begin_sending(connection, one.id, counts, message.title)
        return message

    def start(self, orders: list[tuple[str, SendOrder]]) -> None:
        """Let go what `begin` has marked."""
        for name, order in orders:
            self._channel_of[name.partition(" ")[2]] = order.channel
            self._sends.start(name, order)

    # -- The key, and the dead man's switch --------------------------------------------------------

    def keep_key(self, alerts: AlertsRead, now_ns: int) -> None:
        """Have the machine's key made where there is none yet, or its links are wanted."""
        wanted = not self._there or (alerts.ack_links and self._ack_key is None)
        soon = self._key_ns <= now_ns < self._key_ns + PING_NS
        if wanted and not soon and self._sends.room():
            self._key_ns = now_ns
            self._sends.start(KEY, SendOrder(home=str(self._home)))

    def key_of_link(self, query: str, alerts: AlertsRead, now_ns: int) -> str:
        """Return the notice a signed link acknowledges; empty = none, or links are not wanted."""
        if self._ack_key is None or not alerts.ack_links:
            return ""
        return key_of_link(query, self._ack_key, now_ns)

    def call(self, why_not: str, now_ns: int, *, now: bool = False) -> None:
        """Call the dead man's switch once a minute: all is well, or why it is not."""
        name = next(iter(self._switches()), "")
        if name != self.ping.channel:
            self.ping, self._saying = PingSeen(channel=name), "start"
        # A clock that went back must not silence it.
        early = now_ns < self._due_ns <= now_ns + PING_NS
        if not name or (early and not now):
            return
        said = "fail" if why_not else self._saying
        message = AlertMessage(
            id=said, reason=Reason.TEST, severity=Severity.INFO, title="", lines=(), note=why_not
        )
        order = SendOrder(home=str(self._home), channel=name, message=message)
        if self._sends.start(PING, order):
            self._due_ns = now_ns + PING_NS
            self.ping.said = said

    def _pinged(self, outcome: Outcome, now_ns: int) -> None:
        if outcome.error:
            self.ping.error, self.ping.refused = outcome.error, self.ping.refused + 1
            self._due_ns = min(self._due_ns, now_ns + PING_NS // 4)
            return
        self.ping.error, self.ping.refused, self.ping.sent_ns = "", 0, now_ns
        if self._saying == "start":
            self._saying = "success"
            self._due_ns = now_ns


def _still_tells(delivery: Delivery, one: Notice) -> bool:
    """Say whether a notice is still worth telling by a delivery that is due."""
    if one.acked_ns is not None:
        return False
    if delivery.reason in (Reason.ESCALATION, Reason.AGAIN):
        return one.ended_ns is None
    return True


# -- notices: what alerts and findings become in the delivery log ----------------------------------

UNREAD_MAX = 20
"""Most rows of one turn of which it is said that they cannot be read."""

LOOK_BACK_NS = 600 * SECOND_NS
"""What the first watch of a home still tells: alerts younger than this."""

OVERLAP_NS = 60 * SECOND_NS
"""What is read again each turn: the engine writes an alert a moment after it was raised."""

REWRITE_NS = 10 * SECOND_NS
"""How often the text of lasting trouble is written again."""


def known_alerts(connection: sqlite3.Connection, now_ns: int) -> KnownAlerts:
    """Return what the delivery log knows of the engine's alerts."""
    kept = log.meta(connection, CURSOR)
    number, since_ns = map(int, kept.split()) if kept else (-1, now_ns - LOOK_BACK_NS)
    # A clock that went back must not hide what is raised from then on.
    since_ns = min(since_ns, now_ns - OVERLAP_NS)
    return KnownAlerts(number, since_ns, kept is None, log.open_alerts(connection))


def take_alerts(
    connection: sqlite3.Connection,
    known: KnownAlerts,
    rows: Sequence[dict[str, Any]],
    now_ns: int,
) -> list[Trouble]:
    """Take over what was read, inside a transaction; gives the rows that cannot be."""
    since_ns, unread = known.since_ns, []
    for row in rows:
        try:
            msgspec.convert(row, AlertRow)
            figures = numbers_of(row.get("numbers"))
        except ValueError as error:
            unread.append(unreadable(f"alert {row['id']}", error))
            continue
        _take(connection, {**row, "numbers": figures}, now_ns)
        if row["last_ns"] <= now_ns:
            since_ns = max(since_ns, row["last_ns"])
    number = max((known.number, *(row["id"] for row in rows)))
    log.put_meta(connection, CURSOR, f"{number} {since_ns}")
    return unread[:UNREAD_MAX]


def _take(connection: sqlite3.Connection, row: dict[str, Any], now_ns: int) -> None:
    key = f"e{row['id']}-{row['first_ns']}"
    before = log.notice(connection, key)
    if before is not None and before.count == row["count"] and before.acked_ns == row["acked_ns"]:
        return
    cells = {name: value for name, value in row.items() if name != "id"}
    cells |= {"key": key, "source": NoticeSource.ENGINE, "alert": row["id"]}
    cells |= {"severity": described(str(row["kind"])).severity}
    # One that was raised before the clock went back is no news of later.
    cells["first_ns"] = min(row["first_ns"], now_ns)
    if before is not None:
        cells |= {"step": before.step, "first_ns": before.first_ns}
        if before.acked_ns is not None:
            cells |= {"acked_ns": before.acked_ns, "acked_by": before.acked_by}
    log.put_notice(connection, msgspec.convert(cells, Notice, strict=False))


def take_trouble(connection: sqlite3.Connection, found: Iterable[Trouble], now_ns: int) -> None:
    """Write what is wrong now: new trouble begins, trouble that is not found any more has ended."""
    lasting = {(one.kind, one.subject): one for one in log.lasting(connection) if not is_event(one)}
    events: dict[tuple[str | None, ...], Notice] = {}
    for one in found:
        if is_event(one):
            _count(connection, events, one, now_ns)
            continue
        known = lasting.pop((one.kind, one.subject), None)
        if known is not None:
            if now_ns - known.last_ns >= REWRITE_NS and known.text != one.text:
                log.put_notice(
                    connection,
                    msgspec.structs.replace(
                        known, text=one.text, numbers=one.numbers, last_ns=now_ns
                    ),
                )
        else:
            log.put_notice(connection, _begun(one, now_ns))
    for event in events.values():
        log.put_notice(connection, event)
    for gone in lasting.values():
        ended = msgspec.structs.replace(gone, ended_ns=now_ns, last_ns=now_ns, look_ns=0)
        log.put_notice(connection, ended)


def _count(
    connection: sqlite3.Connection,
    events: dict[tuple[str | None, ...], Notice],
    one: Trouble,
    now_ns: int,
) -> None:
    """Make a notice of what happened, or count it on the unseen one of its kind and place.

    What a notice was made of before is nothing new. `events` holds what this turn writes.
    """
    counts = described(one.kind).repeat is Repeat.PLACE
    place = (one.kind, one.account, one.bot, one.instrument)
    which = place if counts else (*place, one.subject)
    if (which in events and not counts) or happened(connection, one.kind, one.subject):
        return
    before = events.get(which) or (unseen_event(connection, *place) if counts else None)
    if before is None:
        events[which] = _begun(one, now_ns)
        return
    note_counted(connection, one.kind, one.subject, now_ns)
    events[which] = msgspec.structs.replace(
        before,
        count=before.count + 1,
        text=one.text,
        numbers=one.numbers,
        last_ns=now_ns,
        look_ns=0,
    )


def is_event(one: Notice | Trouble) -> bool:
    """Say whether it happened once and has no end."""
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

        Its last step is taken again and again, until a person acknowledges or the trouble is over.
        Return when the next is due, and how many were planned.
        """
        route = min(found, key=lambda each: each.rule.escalate_min)
        every_ns, ladder = route.rule.escalate_min * MINUTE_NS, route.rule.escalate_to
        due_ns = one.first_ns + (one.step + 1) * every_ns
        if self._now_ns < due_ns:
            return due_ns, one.step
        if one.step == 0 or not ladder:
            again = [each for each in found if each.rule.escalate_min == route.rule.escalate_min]
        else:
            again = [route._replace(channel=ladder[min(one.step, len(ladder)) - 1])]
        for each in again:
            self._plan(each, Reason.ESCALATION, one)
        # After a watch that was away, the steps it missed are not taken all at once.
        return max(due_ns + every_ns, self._now_ns + every_ns // 2), one.step + 1

    def set_back(self, by_ns: int) -> None:
        """Let what waits keep its waits over a clock that went back, but wait out quiet hours."""
        for one in set_back(self._connection, by_ns, self._now_ns):
            rule = self._alerts.rules.get(one.rule)
            covered = log.notices_covered(self._connection, one.id)
            if rule is None or not covered:
                continue
            kind = described(covered[0][0].kind)
            until_ns = quiet_until_ns(rule, kind, self._alerts.zone, one.due_ns)
            if until_ns:
                log.settle(self._connection, one.id, due_ns=until_ns)

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
