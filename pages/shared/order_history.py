"""The life of one order as a person reads it: each record with its time and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from engine.domain import effects, order_events
from engine.domain.decisions import Planned
from engine.domain.orders import OrderState
from pages.kit.names import price_raw as _price
from pages.kit.names import size_raw as _size
from pages.kit.words import micro, utc
from pages.kit.zone import clock
from pages.shared import refusals
from pages.shared.why import left_words, number_of, plain, way
from storage.views import Row
from storage.views.order_history import OrderEvent

Words = tuple[str, str]
"""(what happened, tone)."""


def table(
    moments: Sequence[OrderEvent], row: Row, plans: Callable[[int], Sequence[Planned]]
) -> str:
    """Return a life as a table; `plans` gives the plans of the order's market at a time."""
    where = clock()
    lines = []
    before = None
    for moment in moments:
        text, tone = told(moment, row, plans)
        at = _clock_of(moment.at_ns, where)
        after = "" if before is None else _after(moment.at_ns - before)
        before = moment.at_ns
        lines.append(
            f'<tr title="{utc(moment.at_ns)} · record {moment.seq}">'
            f'<th class="pb-at">{escape(at)}</th><td class="pb-num pb-quiet">{after}</td>'
            f'<td class="pb-{tone}"><b>●</b></td><td>{escape(text)}</td></tr>'
        )
    return f'<table class="pb-facts pb-tight">{"".join(lines)}</table>'


def _after(ns: int) -> str:
    return f"+{ns / 1e6:,.1f} ms" if ns < 1_000_000_000 else f"+{ns / 1e9:,.1f} s"


def _clock_of(at_ns: int, where: ZoneInfo) -> str:
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).astimezone(where)
    return f"{at:%b %d %H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}"


def told(moment: OrderEvent, row: Row, plans: Callable[[int], Sequence[Planned]]) -> Words:
    """Return what one record says of the order."""
    message = moment.told
    match message:
        case effects.PlaceOrder(order=order):
            return (
                f"decided: {way(order.side, order.leg)} {_size(order.size, row)} at "
                f"{_price(order.price, row)}, {order.type.upper()}"
                f"{', post-only' if order.post_only else ''}; written down before anything is sent",
                "dim",
            )
        case order_events.OrderNamed():
            return f"named {message.identity}: it can be asked about from now on", "dim"
        case order_events.OrderFilled():
            return _filled(message, row), "ok"
        case effects.CancelOrders():
            return _asked(moment, row, plans), "warn"
        case effects.CancelAll():
            return "cancel of everything in scope asked", "warn"
        case effects.OrderChanged():
            return _stands(message, row)
        case _:
            return _plain(message, row)


def _stands(message: effects.OrderChanged, row: Row) -> Words:
    why = refusals.in_words(message.reason, row)
    filled = f", {_size(message.filled, row)} filled" if message.filled else ""
    words = f"the engine holds it {message.state.upper()}{filled}{f': {why}' if why else ''}"
    return words, "bad" if message.state is OrderState.UNKNOWN else "dim"


def _plain(message: Any, row: Row) -> Words:
    words, tone = PLAIN.get(type(message).__name__, (plain(type(message).__name__), "dim"))
    reason, text = (str(getattr(message, name, "")) for name in ("reason", "venue_text"))
    more = [refusals.in_words(f"{reason}: {text}", row)] if reason else []
    more += [f'in the venue\'s words "{text}"'] if text else []
    more += [str(message.fill)] if getattr(message, "fill", "") else []
    if isinstance(message, order_events.OrderReported):
        more.append(f"{message.report.state}, {message.report.filled:,} increments filled")
    if isinstance(message, order_events.FillAdvanced):
        more.append(str(message.state))
    return f"{words}{': ' if more else ''}{', '.join(more)}", tone


PLAIN: dict[str, Words] = {
    "OrderSent": ("sent: the first byte has left", "dim"),
    "OrderNotSent": ("NOT sent, it had no effect", "bad"),
    "OrderUnanswered": ("no answer: UNKNOWN, asked about, never sent again", "bad"),
    "OrderAccepted": ("accepted by the venue", "ok"),
    "OrderDelayed": ("held by the venue, cannot be cancelled yet", "warn"),
    "OrderRejected": ("refused by the venue", "bad"),
    "OrderCancelled": ("cancelled, confirmed by the venue", "dim"),
    "CancelRefused": ("the venue did not cancel it: it may have matched", "warn"),
    "CancelUnanswered": ("the cancel got no answer", "bad"),
    "OrderExpired": ("expired", "dim"),
    "OrderReported": ("the venue reports it", "dim"),
    "OrderNotFound": ("the venue does not know it: one answer is a doubt", "warn"),
    "FillAdvanced": ("settlement of a fill moved on", "dim"),
    "FillSettled": ("fill settled: what it brought may be used", "ok"),
    "FillVoided": ("fill VOID: reversed", "bad"),
    "QueryOrder": ("asked the venue about it", "dim"),
}


def _filled(message: order_events.OrderFilled, row: Row) -> str:
    return (
        f"filled {_size(message.size, row)} at {_price(message.price, row)}, {message.liquidity}, "
        f"fee {micro(message.fee_micro)}, {message.state}: {message.fill}"
    )


def _asked(moment: OrderEvent, row: Row, plans: Callable[[int], Sequence[Planned]]) -> str:
    """Return that a cancel was asked, by the plan of which decision."""
    plan = next((one for one in plans(moment.at_ns) if row["id"] in one.cancels), None)
    if plan is None:
        return "cancel asked, not by a plan: by hand or by the engine"
    instead = ", ".join(
        f"#{one.order} {way(one.side, one.leg)} {_size(one.size, row)} at {_price(one.price, row)}"
        for one in plan.places
    )
    because = f"decision {number_of(plan.decision)}" if plan.decision else "no wish stood any more"
    if instead:
        return f"cancel asked by the plan of {because}, which placed {instead}"
    reasons = "; ".join(sorted({left_words(one.reason) for one in plan.left}))
    return f"cancel asked by the plan of {because}" + (f" ({reasons})" if reasons else "")
