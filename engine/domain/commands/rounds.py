"""A round of the engine, asked for now."""

from __future__ import annotations

from engine.domain.commands import Command


class RunRound(Command, frozen=True, kw_only=True):
    """Look now at what a round of the engine looks at every so often."""

    round: str
    """health, reconciliation, stale-orders or rebalance."""
