"""A book as a ladder: asks above bids, size as a bar, our own orders in it, and their touch."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

from engine.domain.instruments import Leg, Side
from engine.domain.telemetry import BookTop
from pages.kit.names import price_raw, size_raw
from storage.views import Row, shown


def ladder(book: BookTop, ours: Sequence[Row], listed: Row) -> str:
    """Return a book as a table, with our own size at each price.

    Prices are in YES-space; an order for NO at q rests in it at 1 − q, on the other side. `listed`
    says what the instrument counts in.
    """
    at: dict[int, int] = {}
    for row in ours:
        price = in_yes(row)
        at[price] = at.get(price, 0) + row["size_raw"] - row["filled_raw"]
    levels = [("ASK", *level) for level in reversed(book.asks)]
    levels += [("BID", *level) for level in book.bids]
    largest = max((size for _, _, size in levels), default=1)
    rows = [
        _level(side, (price, size, at.get(price)), largest, listed) for side, price, size in levels
    ]
    head = "<tr><th>Side</th><th>Price</th><th>Size</th><th>Ours</th></tr>"
    torn = "" if book.trusted else "<p class='pb-source'>This book is NOT trusted now.</p>"
    return f"<table class='pb-facts pb-tight pb-ladder'>{head}{''.join(rows)}</table>{torn}"


def in_yes(order: Row) -> int:
    """Return an order's price in YES-space, in increments."""
    one = 10 ** (order["price_decimals"] or 0)
    raw: int = order["price_raw"]
    return one - raw if order["leg"] == Leg.NO else raw


def away(book: BookTop | None, order: Row) -> Decimal | None:
    """Return how far an order stands behind the best price of its side of the book.

    In the price's own unit: 0 = at the touch, below 0 = in front of it. None = the book is not
    shown or not trusted, its side is empty, or nobody listed the instrument.
    """
    if book is None or not book.trusted:
        return None
    price = in_yes(order)
    if (order["side"] == Side.BUY) != (order["leg"] == Leg.NO):
        return shown(book.bids[0][0] - price, order["price_decimals"]) if book.bids else None
    return shown(price - book.asks[0][0], order["price_decimals"]) if book.asks else None


def _level(side: str, level: tuple[int, int, int | None], largest: int, listed: Row) -> str:
    price, size, own = level
    tone = "bad" if side == "ASK" else "ok"
    share = 100 * size // largest
    colour = f"var(--pb-{tone}-soft)"
    bar = f"style='background:linear-gradient(to left,{colour} {share}%,transparent 0)'"
    mine = escape(size_raw(own, listed)) if own else ""
    return (
        f"<tr class='pb-{tone}{' pb-own' if own else ''}'><th><b>{side}</b></th>"
        f"<td class='pb-num'>{escape(price_raw(price, listed))}</td>"
        f"<td class='pb-num' {bar}>{escape(size_raw(size, listed))}</td>"
        f"<td class='pb-num'><b>{mine}</b></td></tr>"
    )
