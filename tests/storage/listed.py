"""A market as some venue lists it, for tests."""

from __future__ import annotations

from typing import Any

from engine.domain.instruments import InstrumentId
from engine.domain.listings import ListingState, MarketListing

VENUE = "polymarket"


def made(number: int, **changes: Any) -> MarketListing:
    """Return a market; `changes` are fields of it."""
    fields: dict[str, Any] = {
        "id": InstrumentId(f"{VENUE}:0x{number:064x}"),
        "venue": VENUE,
        "slug": f"market-{number}",
        "question": f"Question of market {number}?",
        "event": "An event",
        "series": "",
        "category": "",
        "state": ListingState.ACTIVE,
        "bid": 0.4,
        "ask": 0.5,
        "last": 0.45,
        "volume_24h": 100.0,
        "volume": 1_000.0,
        "liquidity": 10.0,
        "tick": 0.01,
        "size_min": 5.0,
        "taker_fee_ppm": 0,
        "rewards_daily": 0.0,
        "rewards_size_min": 0.0,
        "rewards_spread_max": 0.0,
        "neg_risk": False,
        "ends_ns": 1_800_000_000_000_000_000,
        "description": "The rules.",
        "source": "",
    }
    return MarketListing(**(fields | changes))
