"""Positions that are held long or short, in words: their side, margin, and where they end.

What cannot be known yet is said to be unknown, with its reason; where no price liquidates a
position, that is said too.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pages.kit import names, panels
from pages.kit.tables import Col, ColKind, columns_of
from pages.kit.words import NOTHING, SECOND_NS, age, in_column
from storage.views import Row

COLUMNS = columns_of(
    Col("instrument"),
    Col("side_words", "Side"),
    Col("held", "Size", ColKind.SIZE),
    Col("entry", kind=ColKind.PRICE),
    Col("mark_price", "Mark", ColKind.PRICE),
    Col("liquidation_words", "Liquidation"),
    Col("distance_words", "Distance"),
    Col("pnl"),
    Col("unrealised", kind=ColKind.GAIN),
    Col("margin_used", "Margin", ColKind.MONEY),
    Col("funding", kind=ColKind.GAIN),
    Col("realised"),
    Col("fees", kind=ColKind.FEE),
    Col("held_for"),
    Col("bot"),
    Col("account"),
)
MEANING = (
    "Liquidation: the mark at which all cash of the account, or an isolated position's own margin, "
    "no longer covers the venue's maintenance margin, by its tiers and with everything else as it "
    "stands. An estimate: only the venue liquidates. Unrealised at mid; PnL = realised less fees, "
    "with funding and unrealised."
)
NONE = "none"
UNKNOWN = "unknown"
MARK_AGE_NS_MAX = 10 * SECOND_NS
"""A mark older than this is shown with its age."""

PERCENT_READ_MAX = 200
"""A liquidation that is farther away is given as a multiple of the mark."""


def in_words(row: Row) -> Row:
    """Return a position with its side, liquidation price and distance in words."""
    return {
        **row,
        "side_words": side(row),
        "liquidation_words": liquidation(row),
        "distance_words": distance(row),
    }


def side(row: Row) -> str:
    """Return LONG or SHORT; FLAT where its owners' positions close each other at the venue."""
    if row["side"] or not row["signed"]:
        return str(row["side"])
    return "FLAT, owners against each other"


def held(row: Row) -> str:
    """Return what is held in words: SHORT 0.015 BTC."""
    return f"{side(row)} {names.size(row['held'])} {names.base(row['instrument'])}"


def liquidation(row: Row) -> str:
    """Return the price of the liquidation, `none` where none liquidates it, or `unknown`."""
    if row["liquidation"] is not None:
        return names.price(row["liquidation"], in_cents=False)
    return UNKNOWN if row["unknown"] else NONE


def distance(row: Row, *, in_price: bool = True) -> str:
    """Return how far the mark may move until the liquidation, of the mark and in the price."""
    if row["liquidation"] is None:
        return UNKNOWN if row["unknown"] else NOTHING
    if row["distance"] is None:
        return UNKNOWN
    away: Decimal = row["distance"]
    percent: Decimal = row["distance_percent"]
    if percent > PERCENT_READ_MAX:  # above a short alone: nothing falls by more than all of it
        return f"{1 + percent / 100:,.1f} times the mark"
    words = f"{abs(percent):,.2f} %"
    if in_price:
        words += f" ({names.price(abs(away), in_cents=False)})"
    return f"BEYOND by {words}" if away < 0 else words


def mark(row: Row, now: int) -> str:
    """Return the venue's mark, with its age where it is not of now."""
    if row["mark_price"] is None:
        return UNKNOWN
    text = names.price(row["mark_price"], in_cents=False)
    old = now - row["mark_ns"]
    return text if old <= MARK_AGE_NS_MAX else f"{text}, {age(old)} old"


def tells(row: Row) -> str:
    """Return margin and liquidation in a line, for where there is no column for each."""
    if not row["signed"]:
        return ""
    used = UNKNOWN if row["margin_used"] is None else in_column(row["margin_used"])
    text = f"margin {used}, funding {in_column(row['funding'], signed=True)}"
    end = liquidation(row)
    where = "no price liquidates it" if end == NONE else f"liquidation {end}"
    if row["distance"] is None:
        return f"{text}, {where}"
    far = row["distance_percent"] > PERCENT_READ_MAX
    return f"{text}, {where}, {distance(row)}{'' if far else ' away'}"


def say_unknown(rows: Sequence[Row]) -> None:
    """Say what of positions cannot be known, and why."""
    for row in rows:
        if row["signed"] and row["unknown"]:
            name = names.market(row["instrument"])
            panels.note(f"{name} at {row['account']}, liquidation: unknown, {row['unknown']}.")
