"""A storm: one fault after the other, each for a while, with calm in between. An actor.

What a long run of an engine is put through: every script, both sockets cut, restarts, closed modes
and settlements that fail. The order is the seed's, so a storm can be had again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from engine.domain.events import VenueMode
from engine.domain.fills import FillState
from engine.venues.demo.timeline import TimelineEntry
from tests.fakes.polymarket.faults import SCRIPTS
from tests.fakes.polymarket.settings import S
from tests.fakes.polymarket.venue import Venue

GENTLE: dict[str, dict[str, Any]] = {
    "rate_limited": {"chance": 0.3},
    "garbled": {"chance": 0.3},
    "hang": {"args": {"s": 12}},
}
"""What would otherwise be too much of one thing."""


class Storm:
    """Strikes every `every_s` seconds for `for_s`; `cut` closes every socket."""

    name = "storm"

    def __init__(
        self, venue: Venue, *, every_s: float, for_s: float, cut: Callable[[], object]
    ) -> None:
        self._venue = venue
        self._every_ns, self._for_s = int(every_s * S), for_s
        self._rng = Random(venue.settings.seed ^ 0x5709)
        self._cut = cut
        self._left: list[str] = []
        self.struck: list[tuple[int, str]] = []
        """(when, what) of everything so far."""
        self.running = False
        venue.exchange.join(self)

    def start(self) -> None:
        """Begin after one pause."""
        self.running = True
        self._plan()

    def _plan(self) -> None:
        timeline = self._venue.exchange.timeline
        timeline.set(timeline.now_ns + self._every_ns, TimelineEntry.ACTOR, self.name)

    def wake(self, topic: int, now_ns: int) -> None:  # noqa: ARG002 - an actor's door
        """Strike once; every thing once before any comes again."""
        if not self.running:
            return
        self._plan()
        worker = self._venue.exchange.worker
        if not worker.forced_customers:  # at every strike some of the customers' own go wrong
            worker.forced_customers += [FillState.FAILED, FillState.RETRYING]
        if not self._left:
            self._left = sorted([*SCRIPTS, *self._others()])
            self._rng.shuffle(self._left)
        what = self._left.pop()
        self.struck.append((now_ns, what))
        other = self._others().get(what)
        if other is not None:
            other()
            return
        changes: dict[str, Any] = {"for_s": self._for_s, **GENTLE.get(what, {})}
        self._venue.faults.script(what, now_ns, changes)

    def _others(self) -> dict[str, Callable[[], object]]:
        guard, now_ns = self._venue.exchange.guard, self._venue.exchange.now_ns
        for_ns = int(self._for_s * S)
        forced = self._venue.exchange.worker.forced

        def closed(mode: VenueMode) -> None:
            guard.switch(mode)
            guard.plan(VenueMode.OPEN, now_ns + for_ns)

        def restart() -> None:
            self._venue.post_only_until_ns = now_ns + 2 * for_ns
            guard.plan_restart(now_ns, down_ns=for_ns, post_only_ns=for_ns)

        return {
            "cut": self._cut,
            "restart": restart,
            "cancel_only": lambda: closed(VenueMode.CANCEL_ONLY),
            "disabled": lambda: closed(VenueMode.DISABLED),
            "failed_settlements": lambda: forced.extend([FillState.FAILED] * 3),
            "retried_settlements": lambda: forced.extend([FillState.RETRYING] * 3),
        }

    def state(self) -> bytes:
        """Nothing survives: this venue lives in memory."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take back."""
