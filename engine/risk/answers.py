"""What is proposed to the gate, and what it answers."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import BotId, Instrument, Leg, Side
from engine.risk.reasons import DenyReason

Numbers = tuple[tuple[str, int], ...]


class Allowed(msgspec.Struct, frozen=True):
    """The order may be placed with this size, a multiple of the lot, never more than asked."""

    size: int


class Denied(msgspec.Struct, frozen=True):
    """The order must not be placed: why, and every number that was looked at."""

    reason: DenyReason
    numbers: Numbers


class Proposal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order the planner would like to place. Price and size in the leg's increments."""

    bot: BotId
    instrument: Instrument
    leg: Leg
    side: Side
    price: int
    size: int
    reducing: bool
    """True for a SELL of settled inventory, and for a BUY of the leg that closes what is held:
    passes exposure limits where it adds no risk."""
    post_only: bool = True
    """False where the order may take: its taker fee is then part of the worst case."""
