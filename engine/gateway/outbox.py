"""What both lanes share: request numbers, and what they have to report."""

from __future__ import annotations

from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import VenueEvent
from engine.domain.instruments import AccountId

ALERTS_MAX = 100
"""Most alerts between two drains; one of a kind at a time, so reaching it is a bug's noise."""


class RequestOutbox:
    """Reports and alerts of one gateway, each handed out once; and the count of its requests."""

    __slots__ = ("_account", "_alerts", "_reports", "news", "number")

    def __init__(self, account: AccountId) -> None:
        self.number = 0
        """The last request's number."""
        self.news = False
        """True where something waits to be handed out."""
        self._account = account
        self._reports: list[VenueEvent] = []
        self._alerts: dict[str, RaiseAlert] = {}

    def report(self, event: VenueEvent) -> None:
        """Tell the executor something certain (or certainly unknown)."""
        self._reports.append(event)
        self.news = True

    def alert(self, severity: Severity, kind: str, text: str) -> None:
        """Tell the operator. Until drained, the latest of a kind stands for all."""
        if kind in self._alerts or len(self._alerts) < ALERTS_MAX:
            self._alerts[kind] = RaiseAlert(
                severity=severity, kind=kind, text=text, account=self._account
            )
            self.news = True

    def take_reports(self) -> list[VenueEvent]:
        """Hand out what was reported since the last call, in order."""
        if not self._reports:
            return []
        reports, self._reports = self._reports, []
        self.news = bool(self._alerts)
        return reports

    def take_alerts(self) -> list[RaiseAlert]:
        """Hand out what was alerted since the last call, in order of kind's first appearance."""
        if not self._alerts:
            return []
        alerts = list(self._alerts.values())
        self._alerts.clear()
        self.news = bool(self._reports)
        return alerts
