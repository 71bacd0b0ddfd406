"""The dead man's switch: an armed API key that falls silent loses all its orders.

polymarket.md §5.6: the first beat carries "" and arms; each answer's id must be in the next beat;
silence is looked for every 5 s and counts after 10 s; there is no disarming.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from engine.domain.orders import CancelReason
from engine.venues.demo.timeline import TimelineEntry
from tests.fakes.polymarket.exchange import VenueExchange
from tests.fakes.polymarket.refusal import Refused
from tests.fakes.polymarket.settings import S, Settings


class Heartbeats:
    """Beats by API key. An actor: it wakes to look who fell silent."""

    name = "heartbeats"

    def __init__(self, exchange: VenueExchange, settings: Settings) -> None:
        self._exchange = exchange
        self._settings = settings
        self.latest: dict[str, tuple[str, int]] = {}
        """API key → (the id the next beat must carry, time of the last beat)."""
        self.count = 0
        self.lapsed: list[tuple[str, int, int]] = []
        """(API key, when, orders cancelled) of every lapse."""
        exchange.join(self)

    def receive(self, key: str, token: str) -> str:
        """Take a beat; return the next id. Raises Refused with the id that was expected."""
        known = self.latest.get(key)
        expected = "" if known is None else known[0]
        if token != expected:
            raise InvalidHeartbeat(expected)
        if not self.latest:
            self._plan()
        self.count += 1
        root = sha256(f"{self._settings.seed}/beat/{self.count}".encode()).digest()
        renewed = str(UUID(bytes=root[:16], version=4))
        self.latest[key] = (renewed, self._exchange.timeline.now_ns)
        return renewed

    def wake(self, topic: int, now_ns: int) -> None:  # noqa: ARG002 - an actor's door
        """Cancel everything of every key that fell silent; look again later."""
        self._plan()
        latest = now_ns - int(self._settings.beat_timeout_s * S)
        desk = self._exchange.order_entry
        for key, (_, at_ns) in self.latest.items():
            if at_ns >= latest:
                continue
            orders = [order for order in desk.orders.values() if order.key == key]
            if orders:
                self.lapsed.append((key, now_ns, len(orders)))
                desk.withdraw(orders, CancelReason.HEARTBEAT)

    def _plan(self) -> None:
        timeline = self._exchange.timeline
        at_ns = timeline.now_ns + int(self._settings.beat_check_s * S)
        timeline.set(at_ns, TimelineEntry.ACTOR, self.name)

    def state(self) -> bytes:
        """Nothing survives: this venue lives in memory."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take back."""


class InvalidHeartbeat(Refused):
    """A beat with a wrong id; the body carries the expected one."""

    def __init__(self, expected: str) -> None:
        super().__init__("Invalid Heartbeat ID")
        self.expected = expected

    def body(self) -> dict[str, object]:
        """Return the body as the venue writes it."""
        return {"error_msg": self.text, "heartbeat_id": self.expected}
