"""The kind of alert raised where a market with orders of ours pays otherwise than before."""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Severity

REWARDS_MOVED = AlertKind(
    "rewards_moved",
    "A market's rewards changed",
    "See under Orders which of them still earn.",
    Severity.WARNING,
    AlertGroup.MARKETS,
    "orders",
)
