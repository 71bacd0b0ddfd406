"""Messages in words: one line for each thing that happened, as a person reads it.

Of the journal's page and of an incident's: the two must not call one thing by two names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from engine.domain import effects as fx
from engine.domain import events as ev
from engine.domain import inputs as given
from engine.domain.commands import MANUAL
from engine.domain.instruments import Instrument
from engine.domain.intents import ResidualReason
from engine.domain.money import MICRO, money_text
from engine.domain.observed_events import Observed
from engine.domain.orders import Order
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated

TEXT_MAX = 400
SECOND_NS = 1_000_000_000
TIME_NS_MIN = 10**17
"""Nanoseconds below this, three years, are a length; others are a moment."""

NONE = "\N{EN DASH}"

Terms = Callable[[str], Instrument | None]
"""The terms of an instrument, None where it is not listed."""


def price(value: int | None, terms: Instrument | None) -> str:
    """Return a price as a person reads it; whole increments where the terms are not known."""
    if value is None:
        return NONE
    return f"{value} increments" if terms is None else terms.price_words(value)


def size(value: int | None, terms: Instrument | None) -> str:
    if value is None:
        return "an unknown size"
    return f"{value} increments" if terms is None else terms.size_text(value)


def decided(number: int) -> str:
    """Return a decision's number as the pages write it: start of the engine, then its count."""
    start, count = number >> 32, number & 0xFFFFFFFF
    return f"{start}.{count}" if start else f"{count}"


def many(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def order_words(order: Order, terms: Instrument | None) -> str:
    return (
        f"{order.side} {size(order.size, terms)} {order.leg} at {price(order.price, terms)} "
        f"in {order.instrument}"
    )


def of_record(message: object, terms: Terms, about: str | None = None) -> str:
    """Return what a record of the journal says; `about` is the instrument of the order it names."""
    match message:
        case fx.PlaceOrder(order=order):
            words = order_words(order, terms(order.instrument))
            who = "a person" if order.bot == MANUAL else f"bot {order.bot}"
            said = f"{who} places order {order.id}: {words}"
        case fx.CancelOrders(orders=orders):
            said = f"the engine cancels {_orders(orders)}"
        case fx.CancelAll(scope=scope):
            where = scope.bot or scope.instrument
            said = f"the engine cancels everything{f' of {where}' if where else ''}"
        case fx.RaiseAlert(text=text, severity=severity):
            said = f"alert, {severity}: {text}"
        case fx.OrderChanged(order=number, state=state, reason=reason):
            said = f"order {number} is now {state}{f': {reason_words(reason)}' if reason else ''}"
        case ev.OrderFilled(order=number, fill=fill, liquidity=liquidity, state=state):
            of = None if about is None else terms(about)
            amount = f"{size(message.size, of)} at {price(message.price, of)}"
            amount += f" in {about}" if about else ""
            said = f"order {number} is filled: {amount}, {liquidity}, {state}, fill {fill}"
        case ev.OrderNamed(order=number, identity=identity):
            said = f"order {number} is named {str(identity)[:18]}…"
        case ev.HealthChanged(source=source, healthy=healthy, reason=reason):
            said = f"{source} is {'healthy again' if healthy else f'unhealthy: {reason}'}"
        case ev.OpenOrdersListed(orders=listed):
            said = f"the venue lists {many(len(listed), 'open order')}"
        case ev.FillsListed(fills=fills):
            said = f"the venue lists {many(len(fills), 'fill')}"
        case ev.BalancesListed() | ev.PositionsListed():
            said = f"the venue lists {'cash' if type(message) is ev.BalancesListed else 'holdings'}"
        case ev.FillSettled(fill=fill) | ev.FillVoided(fill=fill):
            settled = isinstance(message, ev.FillSettled)
            said = f"fill {fill} is {'settled' if settled else 'VOID: it did not settle'}"
        case ev.FillAdvanced(fill=fill, state=state):
            said = f"fill {fill} is {state}"
        case ev.CashMoved(currency=currency, amount_micro=amount, kind=kind):
            said = f"{amount / MICRO:+,.2f} {currency}: {kind}"
        case FundingPaid(instrument=key, amount_micro=amount, rate_type=rate_type):
            said = f"{key}: {money_text(amount)} {message.currency} of {rate_type} funding"
        case PositionLiquidated():
            said = _liquidated(message)
        case _:
            parts = (_of_engine, _of_order, _of_listing, _of_wallet, _plain)
            said = next(filter(None, (part(message) for part in parts)))
    return said[:TEXT_MAX]


def _liquidated(event: PositionLiquidated) -> str:
    if not event.size:
        return f"{event.instrument}: the venue's insurance paid {money_text(-event.fee_micro)}"
    side = "short" if event.size < 0 else "long"
    value = f"{money_text(abs(event.value_micro))} {event.currency}"
    return f"{event.instrument}: the venue liquidated the {side} position for {value}"


REASONS = {
    "would_cross": "it would have taken instead of resting",
    "below_min": "below the venue's minimum",
    "off_tick": "its price is not on the venue's tick",
    "no_funds": "not enough funds",
    "duplicate": "the venue knows this order already",
    "not_filled": "nothing to fill it with",
    "market_closed": "the market is closed",
    "expiry": "its expiry time is not accepted",
    "auth": "the venue refused our credential",
    "reduce_only": "the account's position would not have fallen by it",
    "other": "refused for the venue's own reason",
    "asked": "as requested",
    "killed_rest": "its unfilled remainder, no more was offered",
    "market_resolved": "the market is resolved",
    "heartbeat": "the venue missed our heartbeat",
    "tick_changed": "the venue changed its tick",
    "session_lost": "lost when the venue's session ended",
    "venue": "by the venue itself",
}
"""Every `RejectReason` and `CancelReason`, by its code."""


def reason_words(reason: str) -> str:
    """Return a reason in words: `code`, `code: what the venue wrote`, or a sentence as it is."""
    code, _, text = reason.partition(": ")
    if code not in REASONS:
        return reason if " " in reason else reason.replace("_", " ")
    return f"{REASONS[code]}{f', {text}' if text else ''}"


ORDER_EVENTS: dict[type, tuple[str, str]] = {
    ev.OrderSent: ("is", "sent to the venue"),
    ev.OrderNotSent: ("was", "NOT sent, nothing happened at the venue"),
    ev.OrderUnanswered: ("got", "no answer: UNKNOWN, the venue is asked, it is never sent again"),
    ev.OrderAccepted: ("is", "accepted by the venue"),
    ev.OrderDelayed: ("is", "held by the venue, it cannot be cancelled yet"),
    ev.OrderRejected: ("is", "refused by the venue"),
    ev.OrderCancelled: ("is", "cancelled"),
    ev.CancelRefused: ("was", "not cancelled by the venue, it may have matched"),
    ev.CancelUnanswered: ("got", "no answer to its cancel"),
    ev.OrderExpired: ("has", "expired"),
    ev.OrderNotFound: ("is", "not known to the venue: one such answer proves nothing"),
}
"""What becomes of an order: the verb, and what stands alone where the order is the heading."""


def _of_engine(message: object) -> str:
    """Return what the engine keeps or asks for its own sake; empty = it is something else."""
    match message:
        case fx.SetTimer(name=name):
            return f"the engine sets its timer {name}"
        case fx.KeepBudget():
            return "the engine saves the day's loss budget"
        case fx.KeepDifferences(standing=standing):
            texts = "; ".join(one.text for one in standing)
            return f"the engine keeps what differs from the venue: {texts or 'nothing any more'}"
        case fx.KeepStart(fence=fence):
            return f"the account starts over (start {fence}): the venue is asked for everything"
        case fx.QueryOrder(order=number):
            return f"the venue is asked about order {number}"
        case fx.QueryOpenOrders() | fx.QueryFills() | fx.QueryBalances() | fx.QueryRedemptions():
            return f"the venue is asked for {_name(message).partition(' ')[2]}"
        case _:
            return ""


def _of_order(message: Any) -> str:
    """Return what became of an order, with the reason; empty = it tells of none."""
    if isinstance(message, ev.OrderReported):
        report = message.report
        whose = (
            "an order that is not known here" if report.order is None else f"order {report.order}"
        )
        return f"the venue reports {whose}: {report.state}, {report.filled:,} increments filled"
    if type(message) not in ORDER_EVENTS:
        return ""
    reasons = [reason_words(getattr(message, "reason", "")), getattr(message, "venue_text", "")]
    why = ", ".join(filter(None, reasons))
    said = " ".join(ORDER_EVENTS[type(message)])
    return f"order {message.order} {said}{f': {why}' if why else ''}"


def _of_listing(message: object) -> str:
    """Return what became of an instrument; empty = it tells of none."""
    match message:
        case ev.InstrumentListed(instrument=instrument):
            return f"{instrument.id} is listed"
        case ev.InstrumentClosed(instrument=key):
            return f"{key} is closed: it trades no more"
        case ev.InstrumentResolved(instrument=key, payout_yes_micro=paid, source=source):
            return f"{key} is resolved: YES pays {paid / MICRO:.2f}, says {source}"
        case _:
            return ""


def _of_wallet(message: object) -> str:
    """Return what a record of the wallet says; empty = it is none."""
    match message:
        case fx.RedeemTokens(operation=number, instrument=instrument):
            return f"redeem {number}: the wallet is asked to turn {instrument} into cash"
        case ev.OperationMoved(operation=number, state=state, reason=reason):
            return f"operation {number} of the wallet is {state}{reason and f': {reason}'}"
        case fx.MergePairs(operation=number, instrument=instrument, amount_micro=amount):
            return f"merge {number}: pairs of {instrument} are to become {amount / MICRO:,.2f}"
        case fx.SplitCash(operation=number, instrument=instrument, amount_micro=amount):
            return f"split {number}: {amount / MICRO:,.2f} are to become pairs of {instrument}"
        case ev.OperationNamed(operation=number, name=name):
            return f"operation {number} of the wallet is named {name.identity[:18]}…"
        case ev.PairsConverted(instrument=instrument, size=size_, amount_micro=amount):
            became = "became pairs" if size_ > 0 else "came in for pairs"
            return f"{amount / MICRO:,.2f} {became} of {instrument}"
        case ev.TokensRedeemed(instrument=instrument, amount_micro=amount):
            return f"{instrument} is redeemed: {amount / MICRO:,.2f} came in"
        case ev.RedemptionsListed(redemptions=paid):
            return f"the venue lists {many(len(paid), 'redemption')}"
        case _:
            return ""


def _orders(orders: tuple[int, ...]) -> str:
    shown = ", ".join(str(number) for number in orders[:8])
    more = f" and {len(orders) - 8} more" if len(orders) > 8 else ""
    return f"order{'s' if len(orders) > 1 else ''} {shown}{more}"


def spaced(kind: str) -> str:
    """Return the name of a kind of message as words: order accepted."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind).strip()


def _name(message: object) -> str:
    return spaced(type(message).__name__)


def _plain(message: Any) -> str:
    name = _name(message)
    fields = ", ".join(
        _field(key, value)
        for key, value in msgspec.structs.asdict(message).items()
        if key != "account" and value not in (None, "", ())
    )
    return f"{name}: {fields}" if fields else name


def _field(key: str, value: object) -> str:
    name, _, unit = key.rpartition("_")
    if isinstance(value, int) and unit == "micro":
        key, value = name, f"{value / MICRO:,.2f}"
    elif isinstance(value, int) and unit == "e8":
        key, value = name, f"{Decimal(value).scaleb(-8).normalize():,f}"
    elif isinstance(value, int) and unit == "ns":
        at = datetime.fromtimestamp(value // SECOND_NS, UTC)
        length = f"{value / SECOND_NS:g} s"
        key, value = name, f"{at:%Y-%m-%d %H:%M:%S} UTC" if value >= TIME_NS_MIN else length
    return f"{key.replace('_', ' ')} {value}"


def said_value(event: Observed) -> str:
    """Return what was observed, in one line."""
    if not isinstance(event.value, dict):
        return f"{event.value:g}" if isinstance(event.value, float) else event.value
    return ", ".join(
        f"{name} {one:g}" if isinstance(one, float) else f"{name} {one}"
        for name, one in event.value.items()
    )


def of_market(events: tuple[object, ...], terms: Terms) -> str:
    """Return what the market said, the telling events first."""
    parts = []
    for event in events:
        match event:
            case ev.TradePrinted(instrument=key):
                of = terms(key)
                amount = f"{size(event.size, of)} at {price(event.price, of)}"
                parts.append(f"a trade of {amount} in {key}")
            case ev.FeedLost(feed=feed, reason=reason):
                parts.append(f"feed {feed} is lost: {reason}")
            case ev.FeedRestored(feed=feed):
                parts.append(f"feed {feed} is back")
            case ev.BookDistrusted(instrument=key, reason=reason):
                parts.append(f"the book of {key} is torn: {reason}")
            case ev.InstrumentClosed(instrument=key) | ev.InstrumentResolved(instrument=key):
                parts.append(_plain(event))
            case _:
                pass
    books = {
        event.instrument for event in events if isinstance(event, ev.BookChanged | ev.BookReplaced)
    }
    if books:
        parts.append(f"{len(books)} book{'s' if len(books) > 1 else ''} changed")
    seen = [event for event in events if isinstance(event, Observed)]
    parts += [f"{one.source} says {one.key} is {said_value(one)}" for one in seen]
    prices = sum(isinstance(event, ev.ReferencePriced) for event in events)
    if prices:
        parts.append(f"{prices} reference price{'s' if prices > 1 else ''}")
    return ("; ".join(parts) or "books proven")[:TEXT_MAX]


def of_input(one: given.AnyInput) -> str:
    match one:
        case given.EngineStarted(fence=fence, accounts=accounts):
            return f"the engine starts (start {fence}) with {len(accounts)} accounts"
        case given.Turned():
            return "a turn of the desk"
        case given.Transient(event=ev.TimerFired(name=name)):
            return f"the timer {name} fires"
        case given.Transient(event=event):
            return _plain(event)[:TEXT_MAX]
        case given.BotFailed(bot=bot, error=error):
            return f"bot {bot} is stopped: {error}"
        case given.BotMoved(bot=bot, state=state):
            return f"bot {bot} is {state}"
        case given.Withdrawn(bot=bot):
            return f"the intents of bot {bot} are withdrawn"
        case given.BotReevaluated(bot=bot):
            return f"bot {bot} states its intents again"
        case given.StartedOver():
            return "the venue is asked for everything"
        case given.PlacedByHand(asked=asked):
            return f"a person places a manual order in {asked.instrument}"
        case given.WalletOperated(asked=asked):
            return f"a person asks the wallet: {_of_wallet(asked) or _plain(asked)}"
        case given.CancelledByHand(order=order):
            return f"a person cancels order {order}"
        case given.OrdersStated():
            return "a desk that has ended says where its orders stand"
        case given.Halted(reason=reason):
            return f"everything is cancelled: {reason}"
        case _:
            subject = getattr(one, "bot", None) or getattr(one, "instrument", None)
            return f"{_name(one)}{f': {subject}' if subject else ''}"


def kind_of(name: str, message: object) -> str:
    if isinstance(message, fx.RaiseAlert):
        return "alert"
    if name == "OrderFilled" or name.startswith("Fill"):
        return "fill"
    if isinstance(message, ev.HealthChanged | ev.LatchSet | ev.LatchReleased | ev.ModeChanged):
        return "health"
    if name.startswith(("Place", "Cancel", "Query", "SetTimer", "Keep")) and not isinstance(
        message, ev.CancelRefused | ev.CancelUnanswered
    ):
        return "effect"
    return "venue" if getattr(message, "account", None) else "house"


R = ResidualReason
LEFT: Mapping[str, str] = {
    R.BELOW_MIN: "below the venue's minimum",
    R.NETTED: "below the venue's minimum, and reduce-only is no way out: other owners of the "
    "account hold the other way, or have orders on this side",
    R.DUST: "less than the smallest step of a size, or all that cash or limits leave room for, and "
    "under 2 % of what is held or works already",
    R.NO_CASH: "not enough free cash",
    R.NO_INVENTORY: "not enough settled tokens",
    R.OUT_OF_RANGE: "no legal price there",
    R.OWN_CROSS: "it would trade with our own order",
    R.WOULD_CROSS: "it would take instead of rest",
    R.NOT_MARKETABLE: "no one offers that price now",
    R.WAITING_CANCEL: "waiting until the order it replaces is proven gone",
    R.EXPIRED_INTENT: "its quotes had expired",
    R.RISK: "risk left no room for it",
    R.BLIND: "account or book state is not known",
    R.COOLDOWN: "pausing after refusals",
    R.MARKET_CLOSED: "the market is closed",
    R.OTHER_CURRENCY: "it is quoted in another currency than its account counts in",
}
"""What a part of an intent is left over for, by its `ResidualReason`."""
