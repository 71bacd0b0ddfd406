"""Kinds of alert raised where a venue is not what this program was proven with."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Severity

BROKEN = AlertKind(
    "venue_drift",
    "A venue changed",
    "Run `engine canary`; do not trade live where it fails.",
    Severity.CRITICAL,
    AlertGroup.VENUES,
    "jobs",
)
CHANGED = AlertKind(
    "venue_news",
    "A venue answers a little differently",
    "Run `engine canary` and read what changed.",
    Severity.WARNING,
    AlertGroup.VENUES,
    "jobs",
)
UNASKED = AlertKind(
    "venue_unasked",
    "A venue could not be asked",
    "Look at the network of this machine; the comparison is repeated tomorrow, or start the job.",
    Severity.WARNING,
    AlertGroup.VENUES,
    "jobs",
)
