"""Both ways round three pairs, by hand; and that it says why it states no order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.caches.markets import MarketCache
from engine.caches.views import BookView, InventoryView
from engine.domain.assets import Asset
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, FeeSchedule, Instrument, InstrumentId, Kind
from engine.strategies.door import NO_READINGS, Context, Evaluation, Readings
from engine.strategies.registry import build
from engine.strategies.triangular import S, rounds_of, triangle_of

FEE = 0.001
PAIRS = {"BTC": ("BTC", "USD"), "ETH": ("ETH", "USD"), "CROSS": ("ETH", "BTC")}


def pair(name: str) -> Instrument:
    base, currency = PAIRS[name]
    return Instrument(
        id=InstrumentId(f"v:{name}"), kind=Kind.SPOT, currency=currency, price_decimals=6,
        size_decimals=8, tick=1, lot=1, base=Asset(base, 8), fees=FeeSchedule(taker_rate_ppm=1_000),
    )  # fmt: skip


class Desk:
    """One bot of the pairs of these names."""

    def __init__(self, *names: str) -> None:
        self.strategy = build("triangular", {}, BotId("b"))
        self.cache, self.now_ns = MarketCache(), 1_000 * S
        for name in names:
            self.cache.receive(InstrumentListed(instrument=pair(name)), self.now_ns)

    def show(self, name: str, bid: float, ask: float, units: float = 1.0) -> None:
        size = round(units * 10**8)
        event = BookReplaced(
            instrument=InstrumentId(f"v:{name}"), bids=((round(bid * 10**6), size),),
            asks=((round(ask * 10**6), size),), exchange_ns=None,
        )  # fmt: skip
        self.cache.receive(event, self.now_ns)

    def views(self) -> list[BookView]:
        return list(self.cache.views.values())

    def inventory(self, name: InstrumentId) -> InventoryView:
        del name
        return InventoryView()

    def readings(self, name: InstrumentId, now_ns: int) -> Readings:
        del name, now_ns
        return NO_READINGS

    def ask(self) -> Evaluation:
        context = Context(
            bot=BotId("b"), decision=1, view=self.views()[0], inventory=InventoryView(),
            references=self.cache.references, capital_micro=10**9, others=self,
        )  # fmt: skip
        return self.strategy.evaluate(context, self.now_ns)


def whole(cross_bid: float = 0.0498, cross_ask: float = 0.0499) -> Desk:
    desk = Desk("CROSS", "ETH", "BTC")
    desk.show("BTC", 60_000.0, 60_001.0)
    desk.show("ETH", 3_000.0, 3_000.5, 4.0)
    desk.show("CROSS", cross_bid, cross_ask, 2.0)
    return desk


def failed(evaluation: Evaluation) -> list[str]:
    return [gate.name for gate in evaluation.decision.gates if not gate.passed]


def test_both_rounds_are_those_of_a_walk_by_hand() -> None:
    found = whole().ask()
    values = dict(found.decision.inputs)
    coins = 1_000 / 60_001 * (1 - FEE)
    ether = coins / 0.0499 * (1 - FEE)
    assert values["first_bps"] == pytest.approx((ether * 3_000 * (1 - FEE) / 1_000 - 1) * 10_000)
    ether = 1_000 / 3_000.5 * (1 - FEE)
    coins = ether * 0.0498 * (1 - FEE)
    assert values["second_bps"] == pytest.approx((coins * 60_000 * (1 - FEE) / 1_000 - 1) * 10_000)
    assert values["worth"] == pytest.approx(2.0 * 3_000), "two of the ether stand between them"
    assert failed(found) == ["edge", "counted"]


def test_even_where_a_round_pays_it_says_what_it_cannot_count_and_wants_nothing() -> None:
    found = whole(0.0480, 0.0490).ask()
    assert failed(found) == ["counted"]
    assert found.intents == ()
    assert found.decision.outcome == "counted"


@given(st.floats(0.01, 0.2), st.floats(0.0001, 0.01))
def test_both_rounds_never_pay_at_once(cross: float, wide: float) -> None:
    first, second = rounds_of(triangle_of(whole(cross, cross * (1 + wide) + 1e-5).views()))  # type: ignore[arg-type]
    assert min(first.edge_bps, second.edge_bps) < 0.0


def test_what_is_no_triangle_or_old_is_said() -> None:
    assert failed(Desk("BTC", "ETH").ask()) == ["triangle"]
    desk = whole()
    desk.now_ns += 2 * S
    assert failed(desk.ask()) == ["fresh", "counted"]
    assert desk.strategy.state() == b""
