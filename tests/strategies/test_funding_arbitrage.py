"""Funding arbitrage: it opens where the formula says it pays, and leaves no leg alone for long."""

from __future__ import annotations

from math import exp
from typing import Any, ClassVar

import pytest

from engine.caches.markets import MarketCache
from engine.caches.views import BookView, InventoryView
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, FeeSchedule, Instrument, InstrumentId, Kind
from engine.domain.intents import Basket
from engine.domain.perpetual_events import MarkPriced
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Readings
from engine.strategies.hedged import S
from engine.strategies.registry import build

SPOT, PERPETUAL = InstrumentId("x:BTC/USD"), InstrumentId("x:BTC/USD:USD")
CAPITAL = 300 * 10**6
MARK = 60_000.0
T0 = 1_000 * S


def instrument(name: InstrumentId, decimals: int = 8) -> Instrument:
    return Instrument(
        id=name, kind=Kind.SPOT if name == SPOT else Kind.PERPETUAL, currency="USD",
        price_decimals=2, size_decimals=decimals, tick=10, lot=10 ** (decimals - 5),
        size_min=10 ** (decimals - 4), notional_min_micro=10**6,
        fees=FeeSchedule(taker_rate_ppm=500),
    )  # fmt: skip


class Desk:
    """One bot of the two legs. A basket is filled when `fill` is told to."""

    name = "funding_arbitrage"
    usual: ClassVar[dict[str, Any]] = {"warm_s": 10.0}

    def __init__(self, decimals: int = 8, **parameters: Any) -> None:
        self.parameters = {**self.usual, **parameters}
        self.strategy = build(self.name, self.parameters, BotId("b"))
        self.cache = MarketCache()
        self.now_ns = T0
        self.held = {SPOT: 0, PERPETUAL: 0}
        for name in self.held:
            given = instrument(name, 8 if name == SPOT else decimals)
            self.cache.receive(InstrumentListed(instrument=given), T0)
        self.books()

    def books(self, premium_bps: float = 0.0) -> None:
        """Both books a tick of 0.1 wide on each side; the perpetual's so far above its mark."""
        for name, mid in ((SPOT, MARK), (PERPETUAL, MARK * (1 + premium_bps / 10_000))):
            unit = 10 * round(mid * 10)
            book = BookReplaced(
                instrument=name, bids=((unit - 10, 10**9),), asks=((unit + 10, 10**9),),
                exchange_ns=None,
            )  # fmt: skip
            self.cache.receive(book, self.now_ns)
        self.cache.receive(MarkPriced(instrument=PERPETUAL, mark_e8=round(MARK * 1e8)), self.now_ns)

    def views(self) -> list[BookView]:
        return list(self.cache.views.values())

    def inventory(self, name: InstrumentId) -> InventoryView:
        return InventoryView(position=self.held[name], cash_free_micro=10 * CAPITAL)

    def readings(self, name: InstrumentId, now_ns: int) -> Readings:
        raise AssertionError(name, now_ns)

    def ask(self, name: InstrumentId = PERPETUAL, *, after_s: float = 5.0) -> Evaluation:
        self.now_ns += round(after_s * S)
        context = Context(
            bot=BotId("b"), decision=1, view=self.cache.views[name], inventory=self.inventory(name),
            references=self.cache.references, capital_micro=CAPITAL, others=self,
        )  # fmt: skip
        return self.strategy.evaluate(context, self.now_ns)

    def wanted(self, after_s: float = 5.0) -> dict[InstrumentId, int]:
        """Return the positions of the basket it states now."""
        (basket,) = self.ask(after_s=after_s).intents or (None,)
        if basket is None:
            return {}
        assert isinstance(basket, Basket)
        return {one.instrument: one.position for one in basket.targets}

    def opened(self) -> dict[InstrumentId, int]:
        self.ask()
        self.ask()
        wanted = self.wanted()
        self.held |= wanted
        return wanted


def failed(evaluation: Evaluation) -> list[str]:
    return [gate.name for gate in evaluation.decision.gates if not gate.passed]


@pytest.mark.parametrize("decimals", [8, 5])
def test_it_buys_spot_and_shorts_as_much_where_the_hours_pay_for_both_legs(decimals: int) -> None:
    desk = Desk(decimals)
    assert failed(desk.ask()) == ["warm"]
    assert desk.ask(SPOT).intents == ()
    found = desk.ask()
    (basket,) = found.intents
    values = dict(found.decision.inputs)
    # 240 h of 0.125 less 20 of fees and a spread of 0.2 in 60,000.
    assert values["hour_bps"] == pytest.approx(0.125)
    assert values["edge_bps"] == pytest.approx(30 - 20 - 0.0333, abs=0.001)
    units = {one.instrument: one.position for one in basket.targets}  # type: ignore[union-attr]
    # 95 % of 300, half a leg, at 60,000.1 and 5 bps: 0.0023738…, in steps of 0.00001.
    assert units == {SPOT: 237_000, PERPETUAL: -237 * 10 ** (decimals - 5)}
    limits = {one.instrument: one.limit_price for one in basket.targets}  # type: ignore[union-attr]
    assert limits == {SPOT: 6_003_010, PERPETUAL: 5_996_990}


@pytest.mark.parametrize(
    ("premium", "hour"), [(0.0, 0.125), (3.0, 0.125), (20.0, 15.0), (-20.0, -15.0), (-4.0, 0.125)]
)
def test_the_expected_hour_is_the_venues_formula(premium: float, hour: float) -> None:
    desk = Desk()
    desk.books(premium)
    assert dict(desk.ask().decision.inputs)["hour_bps"] == pytest.approx(hour, abs=0.02)


def test_the_mean_forgets_all_but_1_of_e_in_its_memory() -> None:
    desk = Desk(memory_s=100.0)
    desk.ask()
    desk.books(10.0)
    desk.ask(after_s=100.0)
    mean = dict(desk.ask(after_s=0.0).decision.inputs)["premium_bps"]
    assert mean == pytest.approx(10 * (1 - exp(-1)), abs=0.02)


def test_it_stays_out_where_fees_are_dearer_and_closes_both_where_the_hour_pays_no_more() -> None:
    dear = Desk(hours=100.0)
    assert dear.opened() == {}
    assert failed(dear.ask()) == ["edge"]
    desk = Desk(memory_s=1.0)
    assert desk.opened()
    assert desk.wanted() == {}, "what is held is not asked for again"
    desk.books(-20.0)
    assert desk.wanted() == {SPOT: 0, PERPETUAL: 0}


def test_a_leg_alone_is_completed_for_a_minute_and_then_closed() -> None:
    desk = Desk()
    wanted = desk.opened()
    desk.held[PERPETUAL] = 0
    assert desk.wanted() == {PERPETUAL: wanted[PERPETUAL]}
    assert desk.wanted(30) == {PERPETUAL: wanted[PERPETUAL]}
    assert desk.wanted(31) == {SPOT: 0}
    desk = Desk()
    desk.opened()
    desk.held[PERPETUAL] = -120_000
    desk.wanted()
    assert desk.wanted(61) == {SPOT: 120_000}


def test_without_a_mark_or_with_other_legs_it_says_what_lacks() -> None:
    desk = Desk()
    desk.cache.views[PERPETUAL].mark_e8 = None
    assert failed(desk.ask()) == ["marked"]
    desk.cache.forget(SPOT)
    assert failed(desk.ask()) == ["legs"]


def test_what_it_wants_survives_a_restart() -> None:
    desk = Desk()
    desk.opened()
    state = desk.strategy.state()
    desk.strategy = build("funding_arbitrage", desk.parameters, BotId("b"))
    desk.strategy.restore(state)
    assert desk.strategy.state() == state
    assert desk.wanted() == {}
    with pytest.raises(BadInput, match="cannot be read"):
        desk.strategy.restore(b"{")
