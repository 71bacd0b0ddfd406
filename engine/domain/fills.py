"""Fills: provisional until settled."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

FillId = NewType("FillId", str)
"""Unique per (trade, own order) at a venue."""


class FillState(StrEnum):
    """Where a fill stands. MATCHED is a promise, CONFIRMED is money, FAILED is void."""

    __hash__ = str.__hash__
    """The enum's own hash runs in Python; this one is looked up with every fill."""

    MATCHED = "matched"
    MINED = "mined"
    RETRYING = "retrying"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class Liquidity(StrEnum):
    """Which side of the match we were."""

    MAKER = "maker"
    TAKER = "taker"


class SizeSource(StrEnum):
    """How the size of a paper fill is known."""

    TAPED = "taped"
    """A trade's printed size, or the venue itself."""
    INFERRED = "inferred"
    """The fall of the traded level between two book snapshots."""
    UNKNOWN = "unknown"
    """A trade without a recorded size; counted only by the optimistic model."""
