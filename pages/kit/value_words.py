"""Inputs and parts of a fair value in words, each with its unit; unknown names stay raw."""

from __future__ import annotations

from pages.kit import names
from pages.kit.words import age
from pages.shared.gate_words import amount
from storage.views import Row

PRICES = {"best_bid": "best bid", "best_ask": "best ask", "fair": "fair value"}
NAMES = {
    "position_shares": ("position", " shares"),
    "sigma_bps_per_sqrt_s": ("volatility", " bps per \N{SQUARE ROOT}s"),
    "to_close_s": ("time to close", ""),
}
PARTS = {
    "skew": "skew for the position",
    "width_vol": "width for volatility",
    "width_fee": "width for the fee",
    "width_markout": "width for markouts lost",
    "width_basis": "width for the basis",
    "half_width_bid": "half width of the bid",
    "half_width_ask": "half width of the ask",
    "bid_edge": "bid before the tick",
    "ask_edge": "ask before the tick",
    "sigma_per_sqrt_s": "fair value's move per \N{SQUARE ROOT}s",
}
"""Amounts of price; a part of a cent counts in them, so they keep their digits."""


def told(name: str, value: float, row: Row) -> tuple[str, str]:
    """Return a value's label and its text: prices as the venue quotes them, times as ages."""
    if name in PRICES:
        return PRICES[name], names.price(value, in_cents=names.cents(row))
    if name in PARTS:
        return PARTS[name], _price_part(value, row)
    if name == "capital":
        return name, f"{amount(value, '')} {row.get('currency') or ''}".rstrip()
    label, unit = NAMES.get(name, (name.replace("_", " "), ""))
    if name == "to_close_s" and value >= 0:
        return label, age(round(value * 1e9))
    return label, amount(value, "") + unit


def _price_part(value: float, row: Row) -> str:
    if names.cents(row):
        return f"{amount(value * 100, '')}¢"
    return f"{amount(value, '')} {row.get('currency') or ''}".rstrip()
