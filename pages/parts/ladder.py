"""A book as a ladder: asks above bids, size as a bar, our own orders in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pages.parts.names import price_raw, size_raw
from storage.views import Row


def ladder(book: Mapping[str, Any], ours: Sequence[Row], listed: Row) -> str:
    """Return a book as a table, with our own size at each price.

    Prices are in YES-space; an order for NO at q rests in it at 1 − q, on the other side. `listed`
    says what the instrument counts in.
    """
    at: dict[int, int] = {}
    for row in ours:
        one = 10 ** (row["price_decimals"] or 0)
        price = one - row["price_raw"] if row["leg"] == "no" else row["price_raw"]
        at[price] = at.get(price, 0) + row["size_raw"] - row["filled_raw"]
    levels = [("ASK", *level) for level in reversed(book["asks"])]
    levels += [("BID", *level) for level in book["bids"]]
    largest = max((size for _, _, size in levels), default=1)
    rows = [
        _level(side, (price, size, at.get(price)), largest, listed) for side, price, size in levels
    ]
    head = "<tr><th>Side</th><th>Price</th><th>Size</th><th>Ours</th></tr>"
    torn = "" if book["trusted"] else "<p class='pb-source'>This book is NOT trusted now.</p>"
    return f"<table class='pb-facts pb-tight pb-ladder'>{head}{''.join(rows)}</table>{torn}"


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
