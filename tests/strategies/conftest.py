"""A stage for one strategy: the real caches, one binary, and a way to ask it at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.domain.events import (
    BookReplaced,
    Event,
    InstrumentListed,
    OrderFilled,
    ReferencePriced,
    StrikeProven,
)
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Quotes
from engine.domain.orders import OrderId
from engine.strategies.door import Context, Evaluation
from engine.strategies.market_maker.parameters import EAGER
from engine.strategies.market_maker.strategy import MarketMaker
from engine.strategies.registry import build

S = 1_000_000_000
SHARE = 1_000_000
BINARY = Instrument(
    id=InstrumentId("polymarket:0x1"),
    kind=Kind.BINARY,
    currency="USD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
    starts_ns=0,
    closes_ns=300 * S,
)
DEFAULTS: dict[str, Any] = {
    **EAGER, "sigma_warm_s": 0, "sigma_sample_ms_min": 0, "half_spread_ticks_min": 2,
    "stop_before_close_s": 20, "rest_when_losing": True, "prior": "model", "tails": "normal",
    "reference_sample_ms_min": 0, "reference_half_life_short_s": 300,
    "reference_half_life_long_s": 300,
}  # fmt: skip
"""A maker that goes where its edges are: tests of what holds it back say so."""


class Stage:
    """One market maker, one instrument. Prices in increments (0.0001), sizes in shares."""

    def __init__(self, instrument: Instrument = BINARY, **parameters: Any) -> None:
        self.instrument = instrument
        self.parameters = {**DEFAULTS, **parameters}
        self.strategy = self.make()
        self.cache = MarketCache()
        self.cache.receive(InstrumentListed(instrument=instrument), 0)
        self.position = 0.0
        self.average_price: int | None = None
        self.capital = 10_000.0
        self.healthy = True
        self.reducing = False
        self.asked = 0

    def make(self) -> MarketMaker:
        built = build("market_maker", self.parameters, BotId("bot"))
        assert isinstance(built, MarketMaker)
        return built

    def restart(self) -> None:
        """Put a new strategy in the old one's place, with its saved state."""
        state = self.strategy.state()
        self.strategy = self.make()
        self.strategy.restore(state)
        assert self.strategy.state() == state

    def receive(self, event: Event, now_ns: int) -> bool:
        self.cache.receive(event, now_ns)
        return self.strategy.receive(event, now_ns)

    def book(
        self, bid: int | None, ask: int | None, now_ns: int, sizes: tuple[int, int] = (50, 50)
    ) -> None:
        bids = () if bid is None else ((bid, sizes[0] * SHARE), (bid - 100, 90 * SHARE))
        asks = () if ask is None else ((ask, sizes[1] * SHARE), (ask + 100, 90 * SHARE))
        event = BookReplaced(instrument=self.instrument.id, bids=bids, asks=asks)
        self.cache.receive(event, now_ns)

    def price(self, key: str, price: float, now_ns: int, stamp_ns: int | None = None) -> bool:
        return self.receive(
            ReferencePriced(key=key, price_e8=round(price * 1e8), exchange_ns=stamp_ns), now_ns
        )

    def strike(self, strike: float, now_ns: int) -> None:
        event = StrikeProven(
            instrument=self.instrument.id, strike_e8=round(strike * 1e8), provenance="tick 12:00:00"
        )
        assert self.receive(event, now_ns)

    def fill(self, price: int, shares: float, now_ns: int) -> None:
        event = OrderFilled(
            account=AccountId("paper"),
            order=OrderId(1),
            fill=FillId(f"f{now_ns}"),
            price=price,
            size=int(shares * SHARE),
            fee_micro=0,
            liquidity=Liquidity.MAKER,
        )
        self.strategy.filled(self.instrument.id, event, now_ns)

    def context(self) -> Context:
        self.asked += 1
        return Context(
            bot=BotId("bot"),
            decision=self.asked,
            view=self.cache.views[self.instrument.id],
            inventory=InventoryView(
                position=int(self.position * SHARE), average_price=self.average_price
            ),
            references=self.cache.references,
            capital_micro=int(self.capital * 1e6),
            healthy=self.healthy,
            reducing=self.reducing,
        )

    def ask(self, now_ns: int) -> Evaluation:
        evaluation = self.strategy.evaluate(self.context(), now_ns)
        decision = evaluation.decision
        assert decision.number == self.asked
        assert decision.at_ns == now_ns
        assert evaluation.intents == (() if decision.intent is None else (decision.intent,))
        failing = [gate.name for gate in decision.gates if not gate.passed]
        assert failing == ([] if decision.outcome in {"quote", "hold"} else [decision.outcome])
        # What a record says must survive being stored.
        assert msgspec.json.decode(msgspec.json.encode(decision), type=type(decision)) == decision
        return evaluation

    @staticmethod
    def quotes(evaluation: Evaluation) -> Quotes:
        """Return the one intent of an evaluation that has one."""
        (intent,) = evaluation.intents
        assert isinstance(intent, Quotes)
        return intent

    @classmethod
    def prices(cls, evaluation: Evaluation) -> tuple[list[int], list[int]]:
        """Return the prices of its bids and asks."""
        intent = cls.quotes(evaluation)
        return [price for price, _ in intent.bids], [price for price, _ in intent.asks]

    def warm(self, bid: int = 4900, ask: int = 5100) -> Evaluation:
        """Show a quiet book for two seconds and return the first evaluation that quotes."""
        self.book(bid, ask, 1 * S)
        self.ask(1 * S)
        self.book(bid, ask, 2 * S)
        return self.ask(2 * S)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="session")
def make_stage() -> type[Stage]:
    return Stage
