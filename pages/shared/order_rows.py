"""Rows of orders and fills: their columns, and the filter by text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.domain.telemetry import BookTop
from pages.bots import ladder
from pages.kit.words import count, money
from pages.shared import markouts, refusals
from storage.views.drill_down import FillSums

ORDERS = {
    "id": ("Order", "count"),
    "state": ("State", "text"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "filled": ("Filled", "size"),
    "instrument": ("Market", "market"),
    "bot": ("Bot", "text"),
    "created_ns": ("Placed", "time"),
    "updated_ns": ("Changed", "time"),
    "fee": ("Fees", "fee"),
    "why": ("Reason", "text"),
    "account": ("Account", "text"),
}
_ENDED = frozenset({"fee", "why"})
_FIRST = ("id", "state", "way", "price")
WORKING = {
    **{name: ORDERS[name] for name in _FIRST},
    "away": ("Behind touch", "price"),
    **{name: ORDERS[name] for name in ORDERS if name not in _ENDED.union(_FIRST)},
}
"""Of what works: its fees stand at its fills, and it has no reason to have ended yet."""
BEHIND = (
    "Behind touch: how far the price is behind the best of its side of the book; 0 is at the "
    "touch, below 0 in front of it, a dash where no trusted book is shown."
)
FILLS = {
    "at_ns": ("Filled", "time"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "state": ("State", "text"),
    "instrument": ("Market", "market"),
    "bot": ("Bot", "text"),
    "liquidity": ("Liquidity", "text"),
    "fee": ("Fee", "fee"),
    **markouts.COLUMNS,
    "order_id": ("Order", "count"),
}


def fitting(rows: Sequence[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Return the rows in which a text stands, each with its side as a word."""
    return [
        {
            **row,
            "way": f"{row['side'].upper()} {row['leg'].upper()}",
            "why": refusals.in_words(row.get("reason") or "", row),
        }
        for row in rows
        if wanted in " ".join(str(value) for value in row.values()).lower()
    ]


def with_touch(
    rows: Sequence[dict[str, Any]], books: Mapping[tuple[str, str], BookTop]
) -> list[dict[str, Any]]:
    """Return working orders, each with how far it is behind the touch of its book, if known."""
    return [
        {**row, "away": ladder.away(books.get((row["account"], row["instrument"])), row)}
        for row in rows
    ]


def sentence(sums: FillSums) -> str:
    """Return what fills sum to, in a sentence."""
    flow = sums.sold - sums.bought - sums.fees
    said = [
        count(sums.count, "fill"),
        f"bought {money(sums.bought, sums.currency)}",
        f"sold {money(sums.sold, sums.currency)}",
        f"fees {money(sums.fees, sums.currency)}",
        f"so cash {money(flow, sums.currency, signed=True)}, resolutions apart",
    ]
    if sums.failed:
        said.append(f"{sums.failed:,} failed and void")
    if sums.unvalued:
        said.append(f"{sums.unvalued:,} of no known value, in no sum")
    return " · ".join(said)
