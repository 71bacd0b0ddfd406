"""Weights: what drifted out of its band is traded back, what did not is left, by hand's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.caches.markets import MarketCache
from engine.caches.views import BookView, InventoryView
from engine.domain.bars import Bar
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Readings
from engine.strategies.registry import build

S = 1_000_000_000
UNIT = 100_000_000
NAMES = ("x:A", "x:B")
CAPITAL = 1_000 * 10**6
BAR = Bar(start_ns=0, end_ns=S, open=1, high=1, low=1, close=1)


class Bars:
    """A bar has closed."""

    def bars(self, name: str, count: int) -> Sequence[Bar]:
        del name
        return [BAR][:count]

    def indicator(self, name: str) -> float | None:
        raise AssertionError(name)


class Mix:
    """Two spot pairs, what is held of each in whole units, and what was paid."""

    def __init__(self, prices: tuple[int, int], held: tuple[float, float], paid: int) -> None:
        self.cache = MarketCache()
        self.held = dict(zip(NAMES, held, strict=True))
        self.paid = paid
        for name, price in zip(NAMES, prices, strict=True):
            instrument = Instrument(
                id=InstrumentId(name), kind=Kind.SPOT, currency="USD", price_decimals=2,
                size_decimals=8, tick=1, lot=1_000,
            )  # fmt: skip
            self.cache.receive(InstrumentListed(instrument=instrument), S)
            sides = (((100 * price - 1, UNIT),), ((100 * price + 1, UNIT),)) if price else ((), ())
            book = BookReplaced(instrument=instrument.id, bids=sides[0], asks=sides[1])
            self.cache.receive(book, S)

    def views(self) -> list[BookView]:
        return [self.cache.views[InstrumentId(name)] for name in NAMES]

    def inventory(self, instrument: InstrumentId) -> InventoryView:
        held = round(self.held[instrument] * UNIT)
        return InventoryView(
            position=held, average_price=100 * self.paid if held else None, cash_free_micro=CAPITAL
        )

    def readings(self, instrument: InstrumentId, now_ns: int) -> Readings:
        del instrument, now_ns
        return Bars()

    def ask(self, number: int, **parameters: Any) -> Evaluation:
        view = self.views()[number]
        context = Context(
            bot=BotId("b"), decision=1, view=view, inventory=self.inventory(view.instrument.id),
            references=self.cache.references, capital_micro=CAPITAL, readings=Bars(), others=self,
        )  # fmt: skip
        return build("rebalance", {"share": 1.0, **parameters}, BotId("b")).evaluate(context, S)


def units(evaluation: Evaluation) -> float | None:
    """Return the position that is wanted; None = nothing new."""
    for intent in evaluation.intents:
        assert isinstance(intent, Target)
        return intent.position / UNIT
    return None


def test_equal_parts_are_bought_from_nothing() -> None:
    mix = Mix((100, 50), (0.0, 0.0), 100)
    assert units(mix.ask(0)) == pytest.approx(5.0)
    assert units(mix.ask(1)) == pytest.approx(10.0)


def test_stated_weights_leave_the_rest_in_cash() -> None:
    mix = Mix((100, 50), (0.0, 0.0), 100)
    weights = {"weights": "x:A=0.6 x:B=0.1"}
    assert units(mix.ask(0, **weights)) == pytest.approx(6.0)
    assert units(mix.ask(1, **weights)) == pytest.approx(2.0)


def test_what_rose_is_sold_and_what_stayed_in_its_band_is_left() -> None:
    mix = Mix((120, 100), (5.0, 5.0), 100)  # worth 600 and 500, of a capital of 1,000
    assert units(mix.ask(0)) == pytest.approx(500 / 120, abs=1e-4)
    assert units(mix.ask(1)) is None
    assert mix.ask(1).decision.outcome == "drift"


def test_what_was_lost_is_not_spent_again() -> None:
    mix = Mix((60, 100), (5.0, 5.0), 100)  # 200 lost: the whole is 800, half of it 400
    assert units(mix.ask(0)) == pytest.approx(400 / 60, abs=1e-4)
    assert units(mix.ask(1)) == pytest.approx(4.0, abs=1e-4)


def test_an_instrument_without_a_book_stops_all() -> None:
    mix = Mix((100, 0), (0.0, 0.0), 100)
    assert mix.ask(0).decision.outcome == "priced"


@given(st.integers(10, 500), st.integers(10, 500), st.floats(0, 9), st.floats(0, 9))
def test_the_wanted_parts_never_cost_more_than_the_capital(
    one: int, two: int, first: float, second: float
) -> None:
    mix = Mix((one, two), (first, second), 100)
    found = [mix.ask(number, drift_max=1e-6) for number in (0, 1)]
    positions = [
        mix.held[name] if wanted is None else wanted
        for name, wanted in zip(NAMES, map(units, found), strict=True)
    ]
    assert positions[0] * one + positions[1] * two <= 1_000 * (1 + 1e-5) + 0.02


@pytest.mark.parametrize(
    ("weights", "said"),
    [("x:A", "is no instrument=weight"), ("x:A=2", "is no instrument=weight"),
     ("x:A=.6 x:B=.6", "sum to 1.2"), ("x:A=.1 x:A=.2", "twice")],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(weights: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        build("rebalance", {"weights": weights}, BotId("b"))
