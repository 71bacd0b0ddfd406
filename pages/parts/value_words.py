"""Inputs and parts of a fair value in words, each with its unit; unknown names stay raw."""

from __future__ import annotations

from pages.parts import names
from pages.parts.gate_words import amount
from pages.parts.words import age
from storage.views import Row

PRICES = {"best_bid": "best bid", "best_ask": "best ask", "fair": "fair value"}
NAMES = {
    "position_shares": ("position", " shares"),
    "sigma_bps_per_sqrt_s": ("volatility", " bps per \N{SQUARE ROOT}s"),
    "to_close_s": ("time to close", ""),
}


def told(name: str, value: float, row: Row) -> tuple[str, str]:
    """Return a value's label and its text: prices as the venue quotes them, times as ages."""
    if name in PRICES:
        return PRICES[name], names.price(value, in_cents=names.cents(row))
    label, unit = NAMES.get(name, (name.replace("_", " "), ""))
    if name == "to_close_s" and value >= 0:
        return label, age(round(value * 1e9))
    return label, amount(value, "") + unit
