"""The exchange's present moment: everything that is due later, and what it says meanwhile.

Ties are broken by the order in which the timers were set, so that a run depends on nothing but
its inputs. Timers are plain tuples: they are part of the exchange's state.
"""

from __future__ import annotations

from enum import IntEnum
from heapq import heappop, heappush

from engine.domain.events import Event
from engine.domain.instruments import AccountId
from engine.errors import BrokenInvariant
from engine.venues.demo.orders import AnyReport

TIMERS_MAX = 2_000_000


class TimelineEntry(IntEnum):
    """What a timer is for."""

    SETTLE = 0
    EXPIRE = 1
    RELEASE = 2
    HEARTBEAT = 3
    MODE = 4
    ACTOR = 5
    FORGET = 6
    REDEEM = 7


Timer = tuple[int, int, int, str, int]
"""(at_ns, sequence, Due, name, number)."""


class Timeline:
    """The present moment and a heap of timers."""

    __slots__ = ("now_ns", "sequence", "timers")

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.sequence = 0
        self.timers: list[Timer] = []

    def set(self, at_ns: int, due: TimelineEntry, name: str = "", number: int = 0) -> None:
        """Set a timer; one in the past is due at once. O(log n)."""
        if len(self.timers) >= TIMERS_MAX:
            raise BrokenInvariant(f"more than {TIMERS_MAX} timers on the demo exchange")
        self.sequence += 1
        heappush(self.timers, (max(at_ns, self.now_ns), self.sequence, int(due), name, number))

    @property
    def due_ns(self) -> int | None:
        """Return when the next timer is due, None where there is none."""
        return self.timers[0][0] if self.timers else None

    def pop(self, until_ns: int) -> Timer | None:
        """Take the next timer due at or before `until_ns` and move the moment to it."""
        timers = self.timers
        if not timers or timers[0][0] > until_ns:
            return None
        timer = heappop(timers)
        self.now_ns = timer[0]
        return timer

    def reach(self, now_ns: int) -> None:
        """Move the moment forward. Raises BrokenInvariant where time would run backwards."""
        if now_ns < self.now_ns:
            raise BrokenInvariant(f"time ran backwards: {now_ns} after {self.now_ns}")
        self.now_ns = now_ns


# -- What is said: public events for everybody, reports for the customers that listen --------------

PUBLIC_MAX = 2_000_000
REPORTS_MAX = 500_000

Stamped = tuple[int, Event]
"""(when it happened, the event)."""
StampedReport = tuple[int, AnyReport]


class ExchangeOutbox:
    """Collects until a host takes. Not taking for too long is loud, never lossy."""

    __slots__ = ("public", "published", "publishing", "reports", "timeline")

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.public: list[Stamped] = []
        self.reports: dict[AccountId, list[StampedReport]] = {}
        self.publishing = True
        """False where no reader wants public events; they are then not built."""
        self.published = 0

    def listen(self, customer: AccountId) -> None:
        self.reports[customer] = []

    def publish(self, event: Event) -> None:
        """Say something to everybody."""
        if not self.publishing:
            return
        if len(self.public) >= PUBLIC_MAX:
            raise BrokenInvariant("the host does not take the demo exchange's public events")
        self.published += 1
        self.public.append((self.timeline.now_ns, event))

    def send(self, customer: AccountId, report: AnyReport) -> None:
        """Say something to one customer, if it listens."""
        reports = self.reports.get(customer)
        if reports is None:
            return
        if len(reports) >= REPORTS_MAX:
            raise BrokenInvariant(f"nobody takes the demo exchange's reports of {customer}")
        reports.append((self.timeline.now_ns, report))

    def send_all(self, report: AnyReport) -> None:
        for customer in self.reports:
            self.send(customer, report)

    def take_public(self) -> list[Stamped]:
        """Return the public events since the last call, in order."""
        taken, self.public = self.public, []
        return taken

    def take(self, customer: AccountId) -> list[StampedReport]:
        """Return a customer's reports since the last call, in order."""
        taken = self.reports[customer]
        if taken:
            self.reports[customer] = []
        return taken
