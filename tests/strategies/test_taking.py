"""Targets that cross a book are made at one place, and say whose and why they are."""

from __future__ import annotations

import ast
from pathlib import Path

import engine.strategies
from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.domain.decisions import Gate
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Basket, Target, Urgency
from engine.strategies.door import Context
from engine.strategies.taking import basket_of, crossing_target, stated, units_min, units_of

NAME = InstrumentId("a:BTC-USD")
OF_BARS = "bar_rule.py"
"""A rule of bars states its target at the close, in the loop whose steps are counted."""


def context() -> Context:
    one = Instrument(
        id=NAME, kind=Kind.SPOT, currency="USD", price_decimals=2, size_decimals=6, tick=1, lot=100,
        notional_min_micro=5_000_000,
    )  # fmt: skip
    cache = MarketCache()
    cache.receive(InstrumentListed(instrument=one), 1)
    book = BookReplaced(
        instrument=NAME, bids=((10_000, 10**6),), asks=((10_001, 10**6),), exchange_ns=None
    )
    cache.receive(book, 2)
    return Context(
        bot=BotId("mine"), decision=7, view=cache.views[NAME], inventory=InventoryView(),
        references=cache.references, capital_micro=10**9,
    )  # fmt: skip


def test_a_target_a_basket_and_what_is_said_of_them_carry_the_bot_and_its_decision() -> None:
    seen = context()
    target = crossing_target(seen, seen.view, 500, 10_020, 99, confidence=0.5)
    assert target == Target(
        bot=BotId("mine"), instrument=NAME, position=500, limit_price=10_020,
        urgency=Urgency.CROSS, valid_until_ns=99, confidence=0.5, decision=7,
    )  # fmt: skip
    basket = basket_of(seen, [target], 99)
    assert basket == Basket(bot=BotId("mine"), targets=(target,), valid_until_ns=99, decision=7)
    found = stated(seen, 3, regime="flat", gates=(), intents=(basket,))
    assert (found.intents, found.decision.intent) == ((basket,), basket)
    shut = Gate("edge", False, 1.0, 2.0)
    assert stated(seen, 3, regime="flat", gates=(shut,)).decision.outcome == "edge"


def test_the_least_order_is_the_larger_of_a_lot_and_the_least_value_at_the_bid() -> None:
    view = context().view
    assert units_of(view.instrument, 1_500_000) == 1.5
    assert units_min(view) == 0.05  # 5 USD at a bid of 100 USD


def test_strategies_that_cross_state_it_by_the_shared_target() -> None:
    folder = Path(engine.strategies.__file__).parent
    own = {
        file.name
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Target"
        and any(
            key.arg == "urgency" and ast.unparse(key.value) == "Urgency.CROSS"
            for key in node.keywords
        )
    }
    assert own == {"taking.py", OF_BARS}
