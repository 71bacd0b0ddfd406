"""The kind of alert that says a report was made; a rule that names it sends the report away."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Severity

REPORT = AlertKind("report", "Flight report", "", Severity.INFO, AlertGroup.MONEY, "reports")
