"""What both lanes share: request numbers, what they have to report, and how fast they may be."""

from __future__ import annotations

from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import VenueEvent
from engine.domain.instruments import AccountId
from engine.domain.money import ceil_div
from engine.errors import BrokenInvariant

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


# -- Token buckets in whole numbers, exact for ever ------------------------------------------------

_TOKEN = 1_000_000_000
"""Parts per token: at `rate` tokens per second each nanosecond brings exactly `rate` parts."""


class TokenBucket:
    """At most `burst` at once and `rate_per_s` per second: ≤ rate · t + burst in any window t.

    Starts full. Kept as one number, the moment at which the bucket was (or will be) empty, times
    the rate: the generic cell rate algorithm of ITU-T I.371. So time that goes backwards, or comes
    back from there, never adds tokens.
    """

    __slots__ = ("_capacity", "_empty", "_rate")

    def __init__(self, *, rate_per_s: int, burst: int) -> None:
        if rate_per_s < 1 or burst < 1:
            raise BrokenInvariant(f"a bucket of {burst} with {rate_per_s}/s would never pass one")
        self._rate = rate_per_s
        self._capacity = burst * _TOKEN
        self._empty = -self._capacity

    def take(self, count: int, now_ns: int) -> bool:
        """Take `count` tokens if they are all there; say whether they were."""
        at = now_ns * self._rate
        empty = max(self._empty, at - self._capacity) + count * _TOKEN
        if empty > at:
            return False
        self._empty = empty
        return True

    def available(self, now_ns: int) -> int:
        """Return how many whole tokens are there."""
        level = min(now_ns * self._rate - self._empty, self._capacity)
        return max(level, 0) // _TOKEN

    def ready_ns(self, count: int = 1) -> int:
        """Return when `count` tokens will be there if none is taken; never too early."""
        need = count * _TOKEN
        if need > self._capacity:
            raise BrokenInvariant(f"{count} tokens can never be in a bucket of this size")
        return ceil_div(self._empty + need, self._rate)
