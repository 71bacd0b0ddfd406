"""Reasons of refused and cancelled orders in words and in money, the venue's own text beside."""

from __future__ import annotations

import re
from html import escape

from engine.domain.instruments import Side
from engine.domain.words import REASONS
from pages.kit.names import size_raw
from pages.kit.words import micro
from storage.views import Row

_FUNDS = re.compile(
    r"(balance|allowance): (\d+)(?:, sum of matched orders: (\d+))?, order amount: (\d+)"
)
"""Polymarket's details, in micro-units of its currency for a BUY, of the token for a SELL."""
_ALERT = re.compile(r"^order (\d+) was refused: (.*)$", re.DOTALL)


def order_of(alert: str) -> int | None:
    """Return the number of the order whose refusal an alert tells; None for another alert."""
    found = _ALERT.match(alert)
    return int(found[1]) if found else None


def in_words(reason: str, order: Row | None) -> str:
    """Return `code: venue text` in words; amounts need the order, whose side names their unit.

    A code that is not known, or a reason that is a sentence already, stays as it is.
    """
    code, _, text = reason.partition(": ")
    if code not in REASONS:
        return reason
    found = _FUNDS.search(text) if order is not None else None
    if found is None or order is None:
        return REASONS[code]
    kind, has, matched, needs = found[1], int(found[2]), int(found[3] or 0), int(found[4])
    held = f", {_amount(matched, order)} of it in other orders" if matched else ""
    return (
        f"{REASONS[code]}: the order needs {_amount(needs, order)}, the {kind} is "
        f"{_amount(has, order)}{held}"
    )


def _amount(raw: int, order: Row) -> str:
    if order["side"] == Side.BUY:
        return micro(raw, order["currency"] or "")
    return f"{size_raw(raw, order)} {str(order['leg']).upper()}"


def venue_text(reason: str) -> str:
    """Return what the venue itself wrote; empty where it wrote nothing."""
    code, _, text = reason.partition(": ")
    return text if code in REASONS else ""


def venue_details(reason: str) -> str:
    """Return the venue's own text as HTML that opens by a click; empty where there is none."""
    text = venue_text(reason)
    if not text:
        return ""
    return (
        "<details class='pb-source'><summary>The venue's own text</summary>"
        f"{escape(reason)}</details>"
    )


def alert_text(text: str, order: Row | None) -> str:
    """Return an alert's text as HTML: a refusal in words, its raw text folded beneath."""
    found = _ALERT.match(text)
    if found is None:
        return f"<p>{escape(text)}</p>"
    what = f"order {found[1]}"
    if order is not None:
        what += f" ({order['side']} {order['leg']})".upper()
    said = f"{what} was refused: {in_words(found[2], order)}"
    return f"<p>{escape(said)}</p>{venue_details(found[2])}"
