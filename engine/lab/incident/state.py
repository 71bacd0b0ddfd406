"""What stands at a moment, as the page shows it: plain values, prices as venues write them."""

from __future__ import annotations

from typing import Any

from engine.bots.core import AccountCore
from engine.caches.views import BookView
from engine.domain.decisions import Decision, Planned, Unit
from engine.domain.events import OrderFilled
from engine.domain.fills import FillId
from engine.domain.instruments import Instrument, InstrumentId, Mode, Side
from engine.domain.intents import Basket, Intent, Quotes
from engine.domain.money import MICRO
from engine.domain.orders import Order
from engine.executor.executor import Executor
from engine.executor.fills import Holding
from engine.executor.orders import LiveOrder
from engine.lab.incident import words

LEVELS = 8
"""Levels of a book shown on each side."""

MS = 1_000_000


def money(micro: int) -> str:
    """Return an amount in units of its currency."""
    return f"{micro / MICRO:,.2f}"


def book(view: BookView) -> dict[str, Any]:
    """Return a ladder: the best levels first, as [price increments, price, size]."""
    terms, ladder = view.instrument, view.book
    return {
        "bids": [_level(*level, terms) for level in ladder.depth(Side.BUY, LEVELS)],
        "asks": [_level(*level, terms) for level in ladder.depth(Side.SELL, LEVELS)],
        "deeper": [max(0, len(side) - LEVELS) for side in (ladder.bids, ladder.asks)],
        "trusted": view.trusted,
        "why": "" if view.trusted else view.distrust,
        "closed": view.closed,
        "last": words.price(view.last_trade, terms),
        "mid": words.NONE if view.mid2 is None else f"{view.mid2 / 2 / terms.one:.4f}",
    }


def _level(price: int, size: int, terms: Instrument) -> list[Any]:
    return [price, words.price(price, terms), words.size(size, terms)]


def order(known: LiveOrder, terms: Instrument | None) -> dict[str, Any]:
    """Return one order as it stands; `level` is its price in YES-space, in increments."""
    one = known.order
    return {
        "id": one.id,
        "bot": one.bot,
        "instrument": one.instrument,
        "leg": one.leg,
        "side": one.side,
        "price": words.price(one.price, terms),
        "size": words.size(one.size, terms),
        "filled": words.size(known.filled, terms),
        "left": words.size(known.remaining, terms),
        "state": known.state,
        "cancelling": known.cancel_asked,
        "level": known.level,
        "bid": known.bid,
        "decision": words.decided(one.decision),
        "live": not known.state.ended,
    }


def account(executor: Executor, mode: Mode, now_ns: int) -> dict[str, Any]:
    """Return what an account is worth and what keeps it from placing."""
    live, unknown = executor.open_and_unknown
    ledger = executor.ledger.state
    return {
        "mode": mode,
        "currency": executor.currency,
        "healthy": executor.healthy,
        "reasons": list(executor.reasons),
        "latched": executor.latched,
        "stopped": executor.stopped,
        "recovering": executor.recovering,
        "open": live,
        "unknown": unknown,
        "equity": money(executor.equity_mid_micro(now_ns)),
        "cash_settled": money(ledger.cash_settled_micro),
        "cash_pending": money(ledger.cash_pending_micro),
        "cash_reserved": money(ledger.cash_reserved_micro),
        "unsettled": len(ledger.fills.unsettled),
    }


def holding(held: Holding, terms: Instrument | None) -> dict[str, Any]:
    """Return what is held of an instrument: what is settled, and what may still become void."""
    return {
        "yes_settled": words.size(held.yes.settled, terms),
        "yes_pending": words.size(held.yes.pending, terms),
        "yes_reserved": words.size(held.yes.reserved, terms),
        "no_settled": words.size(held.no.settled, terms),
        "no_pending": words.size(held.no.pending, terms),
        "no_reserved": words.size(held.no.reserved, terms),
        "realised": money(held.realised_micro),
        "paid_out": None if held.payout_yes_micro is None else money(held.payout_yes_micro),
    }


def fill_state(executor: Executor, fill: FillId) -> str:
    """Return where a fill stands: matched, mined, confirmed, retrying or failed."""
    state = executor.ledger.state.fills.states.get(fill)
    return "forgotten" if state is None else str(state)


def fill(
    told: OrderFilled, one: Order | None, terms: Instrument | None, stands: str
) -> dict[str, Any]:
    """Return a fill as the venue told it, and where it stands."""
    return {
        "order": told.order,
        "instrument": "" if one is None else one.instrument,
        "side": "" if one is None else f"{one.side} {one.leg}",
        "price": words.price(told.price, terms),
        "size": words.size(told.size, terms),
        "fee": money(told.fee_micro),
        "liquidity": told.liquidity,
        "state": stands,
    }


def decision(made: Decision, terms: Instrument | None) -> dict[str, Any]:
    """Return an evaluation: inputs, build-up, gates in order, the wish."""
    return {
        "number": words.decided(made.number),
        "regime": made.regime,
        "outcome": made.outcome,
        "inputs": [[name, _number(value)] for name, value in made.inputs],
        "build_up": [[name, _number(value)] for name, value in made.build_up],
        "gates": [
            [gate.name, gate.passed, _number(gate.value), _number(gate.limit)]
            for gate in made.gates
        ],
        "notes": [list(note) for note in made.notes],
        "wish": wish(made.intent, terms),
    }


def _number(value: float) -> str:
    return f"{value:.6g}"


def wish(intent: Intent | None, terms: Instrument | None) -> str:
    """Return a wish in words."""
    if intent is None:
        return "the wish before it stands"
    if isinstance(intent, Quotes):
        sides = [
            f"{name} " + ", ".join(_quoted(*quote, terms) for quote in quotes)
            for name, quotes in (("bid", intent.bids), ("ask", intent.asks))
            if quotes
        ]
        return "; ".join(sides) or "no orders"
    if isinstance(intent, Basket):
        return f"a basket of {len(intent.targets)} targets"
    return (
        f"a position of {words.size(intent.position, terms)}, "
        f"not worse than {words.price(intent.limit_price, terms)}"
    )


def _quoted(price: int, size: int, terms: Instrument | None) -> str:
    return f"{words.size(size, terms)} at {words.price(price, terms)}"


def plan(made: Planned, terms: Instrument | None) -> dict[str, Any]:
    """Return what the executor made of a wish, and what risk said."""

    def resting(one: Any) -> str:
        amount = f"{words.size(one.size, terms)} {one.leg} at {words.price(one.price, terms)}"
        return f"order {one.order}: {one.side} {amount}"

    return {
        "decision": words.decided(made.decision),
        "places": [resting(one) for one in made.places],
        "cancels": [f"order {number}" for number in made.cancels],
        "rests": [resting(one) for one in made.rests],
        "left": [
            f"{one.reason}: {one.side} {words.size(one.size, terms)}" if one.size else one.reason
            for one in made.left
        ],
        "rules": [
            [
                rule.name,
                str(rule.verdict),
                _counted(rule.value, rule.unit, terms),
                _counted(rule.limit, rule.unit, terms),
            ]
            for rule in made.rules
        ],
    }


def _counted(value: int, unit: Unit, terms: Instrument | None) -> str:
    """Return what a rule of risk counts, with its unit."""
    match unit:
        case Unit.MICRO:
            return money(value)
        case Unit.NS:
            return f"{value / MS:,.0f} ms"
        case Unit.SIZE:
            return words.size(value, terms)
        case Unit.COUNT:
            return f"{value:,}"
        case _:
            return ""


def watched(desk: AccountCore) -> list[InstrumentId]:
    """Return the instruments a desk's bots watch, or where it holds, works or wishes something."""
    found = dict.fromkeys(key for bot in desk.bots for key in bot.cells)
    return list(found | dict.fromkeys(desk.executor.concerned()))
