"""What the exchange says: public events for everybody, reports for the customers that listen."""

from __future__ import annotations

from engine.domain.events import Event
from engine.domain.instruments import AccountId
from engine.errors import BrokenInvariant
from engine.venues.demo.orders import AnyReport
from engine.venues.demo.timeline import Timeline

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
        """False where nobody wants public events; they are then not built."""
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
