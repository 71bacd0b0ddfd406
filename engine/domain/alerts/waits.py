"""The kind of alert raised where a venue takes no orders for a while."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Severity

VENUE_WAITS = AlertKind(
    "venue_waits",
    "A venue takes no orders for a while",
    "Nothing: cancels go on, and an order is tried again within a minute. Read its reason.",
    Severity.WARNING,
    AlertGroup.VENUES,
    "settings",
)
