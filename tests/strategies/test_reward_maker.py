"""It quotes while a day of rewards is worth more than what its fills are expected to lose."""

from __future__ import annotations

from math import exp
from typing import Any

import msgspec
import pytest

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.domain.events import BookReplaced, InstrumentListed, TradePrinted
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind, Side
from engine.domain.intents import Quotes
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation
from engine.strategies.registry import build

S = 1_000_000_000
T0 = 1_790_000_000 * S
SHARE = 1_000_000
MARKET = Instrument(
    id=InstrumentId("polymarket:0x1"), kind=Kind.BINARY, currency="USD", price_decimals=4,
    size_decimals=6, tick=100, lot=10_000, closes_ns=T0 + 30 * 86_400 * S,
    rewards_size_min=50 * SHARE, rewards_spread_max=450, rewards_daily_micro=40_000_000,
)  # fmt: skip
"""40 a day for orders of 50 shares within 4.5 cents."""


class Stage:
    """One maker and one market of 49 to 51 cents, 1,000 shares at each touch."""

    def __init__(self, market: Instrument = MARKET, **parameters: Any) -> None:
        self.parameters = {"warm_s": 0.0, "horizon_s": 10.0, **parameters}
        self.strategy = build("reward_maker", self.parameters, BotId("b"))
        self.market, self.cache, self.now_ns = market, MarketCache(), T0
        self.position, self.capital = 0, 1_000
        self.average: int | None = None
        self.reducing = False
        self.cache.receive(InstrumentListed(instrument=market), T0)
        self.book(4_900, 5_100)

    def book(self, bid: int | None, ask: int | None, shares: int = 1_000) -> None:
        sides = [((one, shares * SHARE),) if one else () for one in (bid, ask)]
        event = BookReplaced(instrument=self.market.id, bids=sides[0], asks=sides[1])
        self.cache.receive(event, self.now_ns)

    def trades(self, shares: float, price: int, side: Side, then_mid: int) -> None:
        """A trade now, and the middle of ten seconds later."""
        event = TradePrinted(
            instrument=self.market.id, price=price, size=int(shares * SHARE), aggressor=side
        )
        assert not self.strategy.receive(event, self.now_ns)
        self.now_ns += 10 * S
        self.book(then_mid - 100, then_mid + 100)

    def ask(self, after_s: float = 0.0) -> Evaluation:
        self.now_ns += round(after_s * S)
        context = Context(
            bot=BotId("b"), decision=1, view=self.cache.views[self.market.id],
            inventory=InventoryView(position=self.position * SHARE, average_price=self.average),
            references=self.cache.references, capital_micro=self.capital * 10**6,
            reducing=self.reducing,
        )  # fmt: skip
        return self.strategy.evaluate(context, self.now_ns)

    def quotes(self, after_s: float = 0.0) -> Quotes | None:
        (intent,) = self.ask(after_s).intents or (None,)
        assert intent is None or isinstance(intent, Quotes)
        return intent


def failed(evaluation: Evaluation) -> list[str]:
    return [gate.name for gate in evaluation.decision.gates if not gate.passed]


def test_it_rests_the_least_size_that_is_rewarded_a_tick_behind_the_touch() -> None:
    quotes = Stage().quotes()
    assert quotes is not None
    assert quotes.bids == ((4_800, 50 * SHARE),)
    assert quotes.asks == ((5_200, 50 * SHARE),)


def test_rewards_and_losses_are_those_of_a_computation_by_hand() -> None:
    stage = Stage(loss_min=0.0)
    stage.ask()
    stage.trades(300, 5_100, Side.BUY, then_mid=5_250)
    stage.ask()
    stage.trades(100, 4_900, Side.SELL, then_mid=5_000)
    stage.book(4_900, 5_100)
    values = dict(stage.ask().decision.inputs)
    # Ours 2 cents off of 4.5: (2.5 / 4.5)² · 50; theirs a cent off: (3.5 / 4.5)² · 1,000 a side.
    mine, theirs = (2.5 / 4.5) ** 2 * 50, (3.5 / 4.5) ** 2 * 1_000
    assert values["reward_day"] == pytest.approx(40 * mine / (mine + theirs), rel=1e-5)
    # 300 shares lost 1.5 cents each to who sold them, 100 bought at 49 and went to 50: -1.
    kept = exp(-10 / 3_600)
    judged, lost = 300 * kept + 100, 300 * 0.015 * kept - 100 * 0.01
    assert values["loss_share"] == pytest.approx(lost / judged, rel=1e-4)
    traded = judged / (3_600 * (1 - exp(-20 / 3_600))) * 86_400
    assert values["filled_day"] == pytest.approx(traded * 50 / 1_050, rel=1e-4)
    assert values["reward_share"] == pytest.approx(values["reward_day"] / values["filled_day"])


def test_it_quotes_no_more_where_trades_cost_more_than_the_rewards() -> None:
    stage = Stage()
    assert stage.quotes() is not None
    stage.trades(400, 5_100, Side.BUY, then_mid=5_400)
    stage.book(4_900, 5_100)
    found = stage.ask()
    assert failed(found) == ["pays"]
    (left,) = found.intents
    assert isinstance(left, Quotes)
    assert (left.bids, left.asks) == ((), ()), "what rested is cancelled"
    assert stage.ask().intents == (), "once"


def test_half_of_what_an_entry_needs_is_enough_to_stay() -> None:
    ratio = Stage().ask().decision.gates[-1].value
    stage = Stage(pays_min=ratio * 1.01)
    assert failed(stage.ask()) == ["pays"]
    stage = Stage(pays_min=ratio)
    assert stage.quotes() is not None
    stage.book(4_900, 5_100, shares=1_900)
    assert stage.ask().decision.regime == "quotes"
    stage.book(4_900, 5_100, shares=2_500)
    assert failed(stage.ask()) == ["pays"]


def test_no_quiet_hour_makes_a_fill_cheaper_than_the_least_loss() -> None:
    stage = Stage()
    stage.ask()
    stage.trades(10, 5_100, Side.BUY, then_mid=5_000)
    assert dict(stage.ask().decision.inputs)["loss_share"] == 0.013


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"rewards_daily_micro": 0}, "rewards"),
        ({"rewards_spread_max": 0}, "rewards"),
        ({"kind": Kind.SPOT}, "rewards"),
        ({"rewards_spread_max": 200}, "band"),
        ({"closes_ns": T0 + 3_599 * S}, "time"),
    ],
)
def test_what_lacks_is_said(changes: dict[str, Any], gate: str) -> None:
    found = Stage(msgspec.structs.replace(MARKET, **changes)).ask()
    assert failed(found)[0] == gate
    assert found.intents == ()


def test_a_book_of_one_side_too_little_capital_and_a_market_just_seen_are_said() -> None:
    stage = Stage()
    stage.book(None, 5_100)
    assert failed(stage.ask()) == ["two_sided"]
    poor = Stage()
    poor.capital = 47
    assert failed(poor.ask()) == ["capital"]
    fresh = Stage(warm_s=60.0)
    assert failed(fresh.ask()) == ["warm"]
    assert failed(fresh.ask(61)) == []


def test_it_leans_against_what_it_holds_and_leaves_it_at_the_touch() -> None:
    stage = Stage(pays_min=0.0)
    stage.position, stage.average = 150, 4_800
    quotes = stage.quotes()
    assert quotes is not None
    assert (quotes.bids, quotes.asks) == ((), ((5_200, 50 * SHARE),))
    stage.position, stage.average = -150, 5_200
    quotes = stage.quotes()
    assert quotes is not None
    assert (quotes.bids, quotes.asks) == (((4_800, 50 * SHARE),), ())
    stage.reducing = True
    quotes = stage.quotes()
    assert quotes is not None
    assert (quotes.bids, quotes.asks) == (((4_900, 150 * SHARE),), ())


def test_it_never_asks_for_more_than_its_capital() -> None:
    stage = Stage(pays_min=0.0, inventory_times=100.0)
    stage.capital, stage.position, stage.average = 100, 150, 4_800
    quotes = stage.quotes()
    assert quotes is not None
    assert quotes.bids == ()


def test_what_it_measured_survives_a_restart() -> None:
    stage = Stage()
    stage.ask()
    stage.trades(300, 5_100, Side.BUY, then_mid=5_100)
    before, state = stage.ask(), stage.strategy.state()
    stage.strategy = build("reward_maker", stage.parameters, BotId("b"))
    stage.strategy.restore(state)
    assert stage.strategy.state() == state
    assert stage.ask().decision.inputs == before.decision.inputs
    stage.strategy.forget(stage.market.id)
    assert stage.strategy.state() == b"{}"
    with pytest.raises(BadInput, match="cannot be read"):
        stage.strategy.restore(b"{")
