"""What margin says beside a position of a perpetual, in the units a person reads.

The engine works it out (`engine.live.figures`) and writes it with the position. What it could not
say has no value here, and the reason stands in `unknown`.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import msgspec

from engine.domain.money import MICRO_DECIMALS
from engine.domain.products.margin import PRICE_DECIMALS
from engine.domain.telemetry import MarginSeen
from storage.views import Row, shown

LONG, SHORT = "LONG", "SHORT"
NEVER = "the engine has not said what margin it takes yet"
_READ = msgspec.json.Decoder(MarginSeen | None)
_PERCENT = 4
"""Parts per million are so many decimals of a percent."""


def put_beside(row: Row) -> None:
    """Replace a position's `margin`, as it was written, by what people read; in place.

    `side` is empty of what cannot be held short, `held` the size without its sign. `entry` is the
    average price of what is held, to a tenth of the price grid. See `figures` for the others.
    """
    seen, decimals = read(row.pop("margin")), row["price_decimals"]
    size = row["yes_settled"]
    row["side"] = "" if not row["signed"] or not size else LONG if size > 0 else SHORT
    row["held"] = None if size is None else abs(size)
    row["entry"] = None
    if row["side"]:
        row["entry"] = _to_grid(row["yes_cost"] / size, decimals + 1, ROUND_HALF_EVEN)
    row |= figures(seen, decimals)
    if row["side"] and seen is None:
        row["unknown"] = NEVER


def read(text: str | None) -> MarginSeen | None:
    """Read what the engine wrote; None = it is of no perpetual, or of another version."""
    try:
        return None if text is None else _READ.decode(text)
    except msgspec.DecodeError:
        return None


def figures(seen: MarginSeen | None, decimals: int | None) -> Row:
    """Return a position's margin in the currency; what is unknown, or does not apply, is None.

    `mark_price` and `liquidation` are prices on the instrument's grid, the latter rounded towards
    the mark; `distance` is what lies between them and `distance_percent` the same of the mark:
    below 0 the mark is beyond it. `netted` is the signed size the venue holds, in increments.
    """
    if seen is None:
        names = ("margin_used", "maintenance", "mark_price", "mark_ns", "liquidation", "distance")
        return dict.fromkeys((*names, "distance_percent")) | {"unknown": "", "netted": 0}
    mark, end = shown(seen.mark_e8, PRICE_DECIMALS), shown(seen.liquidation_e8, PRICE_DECIMALS)
    away = None
    if mark is not None:
        mark = _to_grid(mark, decimals, ROUND_HALF_EVEN)
    if end is not None:
        end = _to_grid(end, decimals, ROUND_CEILING if seen.size > 0 else ROUND_FLOOR)
    if seen.buffer_ppm is not None and mark is not None and end is not None:
        away = mark - end if seen.size > 0 else end - mark
    return {
        "margin_used": shown(seen.used_micro, MICRO_DECIMALS),
        "maintenance": shown(seen.due_micro, MICRO_DECIMALS),
        "mark_price": mark,
        "mark_ns": seen.marked_ns,
        "liquidation": end,
        "distance": away,
        "distance_percent": shown(seen.buffer_ppm, _PERCENT),
        "unknown": seen.unknown,
        "netted": seen.size,
    }


def _to_grid(price: Decimal, decimals: int | None, rounding: str) -> Decimal:
    """Round a price to its instrument's decimals; one that was never listed keeps all it has."""
    return price if decimals is None else price.quantize(Decimal(1).scaleb(-decimals), rounding)
