"""The kind of alert raised while an account's first cash is not counted."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Severity

FIRST_CASH_WAITS = AlertKind(
    "first_cash_waits",
    "An account waits for its first cash",
    "Read its reason. The account places nothing until its cash is counted; it is asked again.",
    Severity.WARNING,
    AlertGroup.MONEY,
    "risk",
)
