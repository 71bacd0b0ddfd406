"""Markets that Gamma lists and nobody trades: as many as wanted, each row made when it is asked."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from tests.fakes.polymarket.settings import Settings

EVERY = 1_000
"""Of so many rows on a shelf with bad ones, one is bad in each way."""

PLACES = ("London", "Oslo", "Lisbon", "Tokyo", "Quito", "Cairo", "Perth", "Lagos", "Lima", "Riga")
THINGS = ("rain", "snow", "elect a mayor", "host the final", "raise rates", "open the bridge")
MONTHS = ("January", "March", "May", "July", "September", "November")


def shelf_row(settings: Settings, number: int) -> Any:
    """Return a row of the listing; the same number gives the same market."""
    root = sha256(f"shelf/{number}".encode()).hexdigest()
    place, thing = PLACES[number % 10], THINGS[number // 10 % 6]
    month = MONTHS[number // 60 % 6]
    question = f"Will {place} {thing} before {month}, number {number}?"
    volume = 10**9 / (number + 1_000)
    row: dict[str, Any] = {
        "id": str(9_000_000 + number),
        "question": question,
        "conditionId": f"0x{root}",
        "slug": f"shelf-{number}",
        "category": ("Weather", "Politics", "Sports")[number % 3],
        "description": f"{question} " + f"It resolves by what {place} says itself. " * 12,
        "outcomes": '["Yes", "No"]',
        "clobTokenIds": json.dumps([f"1{number:012}", f"2{number:012}"]),
        "version": "v1",
        "active": True,
        "closed": False,
        "enableOrderBook": True,
        "acceptingOrders": True,
        "endDate": f"2030-{number % 12 + 1:02}-01T00:00:00Z",
        "orderPriceMinTickSize": float(settings.shelf_tick),
        "orderMinSize": 5,
        "bestBid": 0.4,
        "bestAsk": 0.42,
        "lastTradePrice": 0.41,
        "volumeNum": 9 * volume,
        "volume24hr": volume,
        "liquidityNum": volume / 7,
        "rewardsMinSize": 50,
        "rewardsMaxSpread": 3.5,
        "events": [{"id": str(number // 5), "title": f"{place} in {month}"}],
    }
    return _spoilt(row, number % EVERY) if settings.shelf_bad else row


def _spoilt(row: dict[str, Any], way: int) -> Any:
    """Return a row as Gamma was seen to write it where something is missing."""
    changes: dict[int, Any] = {
        1: {"clobTokenIds": None},
        2: {"outcomes": '["A", "B", "C"]', "clobTokenIds": '["1", "2", "3"]'},
        3: {"orderPriceMinTickSize": None},
        4: {"conditionId": None},
        5: dict.fromkeys(("bestBid", "bestAsk", "volume24hr", "events", "description")),
    }
    return None if way == 6 else row | changes.get(way, {})
