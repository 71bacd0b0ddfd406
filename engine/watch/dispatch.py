"""Dispatch: what is due leaves, what came back is written down, the dead man's switch is called."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.domain.alerts import Severity
from engine.domain.alerts.reports import REPORT
from engine.errors import BadInput, StorageError
from engine.watch.channels import channels
from engine.watch.desk import SECOND_NS, Trouble
from engine.watch.messages import AlertMessage, compose, message_of_test
from engine.watch.rules import AlertsRead
from engine.watch.send import Outcome, SendOrder
from engine.watch.sender import GIVE_UP_NS, Sends, wait_ns
from storage import watch as log
from storage.channels import ChannelEntry, read_channels
from storage.watch import Delivery, DeliveryState, Notice, Reason

PING_NS = 60 * SECOND_NS
FAILING_ATTEMPTS = 3
"""After so many refusals in a row a channel counts as failing."""

KEY, PING, SEND = "key", "ping", "send"


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

    def __init__(self, home: Path, state: str, sends: Sends, ping: str | None) -> None:
        self._home = home
        self._state = state
        self._sends = sends
        self._desk = socket.gethostname()
        self._entries: dict[str, ChannelEntry] = {}
        self.error = ""
        """Why the channels cannot be read; empty = they can."""
        self._ack_key: bytes | None = None
        self._there = False
        self._refused: dict[str, tuple[int, str]] = {}
        self._outcomes: list[tuple[str, Outcome]] = []
        self._channel_of: dict[str, str] = {}
        """Delivery on its way → its channel."""
        self._due_ns, self._key_ns = 0, 0
        self._saying = "start"
        self.ping = msgspec.json.decode(ping, type=PingSeen) if ping else PingSeen()

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

    def trouble(self) -> Iterator[Trouble]:
        """Give channels that refuse again and again."""
        if self.error:
            yield Trouble(kind="channel_failing", subject="*", text=self.error)
        for name, (attempts, why) in sorted(self._refused.items()):
            if attempts >= FAILING_ATTEMPTS and name in self._entries:
                text = f"channel {name} refused {attempts} times in a row, last: {why}"
                yield Trouble(kind="channel_failing", subject=name, text=text)
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
        if wanted and now_ns - self._key_ns >= PING_NS and self._sends.room():
            self._key_ns = now_ns
            self._sends.start(KEY, SendOrder(home=str(self._home)))

    def call(self, why_not: str, now_ns: int, *, now: bool = False) -> None:
        """Call the dead man's switch once a minute: all is well, or why it is not."""
        kinds = channels()
        name = next(
            (
                name
                for name, one in sorted(self._entries.items())
                if one.on and one.kind in kinds and kinds[one.kind].pings
            ),
            "",
        )
        if name != self.ping.channel:
            self.ping, self._saying = PingSeen(channel=name), "start"
        if not name or (now_ns < self._due_ns and not now):
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
