"""Bars and indicators of an account: shared, woken by, forgotten, and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from engine.bots.bot import Bot
from engine.bots.signals import NEVER, Reader, Signals, learned_of
from engine.domain.bars import Bar
from engine.domain.bots import BotState
from engine.domain.events import (
    BarClosed,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    ReferencePriced,
    TradePrinted,
)
from engine.domain.instruments import BotId, Side
from engine.errors import BadInput
from engine.indicators.door import PriceBar, Variant
from engine.indicators.library import INDICATORS
from engine.indicators.sma import Sma
from engine.strategies.door import Reads
from tests.bots.conftest import ACCOUNT, MS, ONE, SHARE, TWO, S, Script, Stage

VWAP = Variant.of(INDICATORS["VWAP"], from_s=60.0)
SMA = Variant.of(INDICATORS["SMA"], bars="1s", period=3)
GRACE = 250 * MS


class Reading(Script):
    """A script that reads bars and indicators."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(timer_ns=3_600 * S)
        self.reads = reads

    @property
    def closed(self) -> list[BarClosed]:
        return [event for event in self.received if isinstance(event, BarClosed)]


def reading(name: str = "b", **declared: Mapping[str, object]) -> Bot:
    strategy = Reading(Reads(**declared))  # type: ignore[arg-type]
    bot = Bot(name=BotId(name), account=ACCOUNT, strategy=strategy, capital_micro=10_000_000,
              instruments=frozenset({ONE, TWO}))  # fmt: skip
    bot.state = BotState.RUNNING
    return bot


def trade(stage: Stage, price: int, shares: int = 10, after_ms: int = 0) -> None:
    printed = TradePrinted(instrument=ONE, price=price, size=shares * SHARE, aggressor=Side.BUY)
    stage.market(printed, after_ms)


def strategy_of(bot: Bot) -> Reading:
    assert isinstance(bot.strategy, Reading)
    return bot.strategy


def test_a_closed_bar_wakes_the_bot_that_reads_it_at_the_clock() -> None:
    bot, other = reading(bars={"1s": 5}), reading("other", bars={"5s": 5})
    stage = Stage(bot, other)
    stage.list()
    trade(stage, 5_000)
    asked = len(strategy_of(bot).asked)
    stage.at(11 * S + GRACE)
    assert [one.bar.close for one in strategy_of(bot).closed] == [5_000]
    assert len(strategy_of(bot).asked) > asked
    assert strategy_of(bot).times()[-1] == 11 * S + GRACE
    assert strategy_of(other).closed == []
    readings = strategy_of(bot).asked[-1][2].readings
    assert [bar.count for bar in readings.bars("1s", 5)] == [1]


def test_equal_variants_are_computed_once_and_dropped_with_the_last_reader() -> None:
    bots = [reading(str(i), indicators={f"mine{i}": VWAP}) for i in range(2)]
    stage = Stage(*bots)
    stage.list()
    trade(stage, 5_000)
    signals = stage.core.signals
    (watched,) = signals._watched.values()
    assert list(watched.indicators) == [VWAP]
    assert set(watched.readers) == {"0", "1"}
    for name, bot in enumerate(bots):
        assert strategy_of(bot).asked[-1][2].readings.indicator(f"mine{name}") == pytest.approx(0.5)
    stage.core.remove(bots[0], stage.now)
    assert signals.active
    stage.core.remove(bots[1], stage.now)
    assert not signals.active
    assert signals.due_ns == NEVER


def test_an_indicator_of_bars_has_the_bar_before_the_bot_is_asked() -> None:
    bot = reading(bars={"1s": 3}, indicators={"mean": SMA})
    stage = Stage(bot)
    stage.list()
    for price in (5_000, 5_100, 5_200, 5_300):
        trade(stage, price, after_ms=1_000)
    readings = strategy_of(bot).asked[-1][2].readings
    assert readings.indicator("mean") == pytest.approx(0.51)
    assert [bar.close for bar in readings.bars("1s", 2)] == [5_100, 5_200]


def test_more_bars_than_a_bot_declares_are_refused_where_another_keeps_them() -> None:
    bot, other = reading(bars={"1s": 2}), reading("other", bars={"1s": 9, "5s": 1})
    stage = Stage(bot, other)
    stage.list()
    for price in (5_000, 5_100, 5_200, 5_300):
        trade(stage, price, after_ms=1_000)
    readings = strategy_of(bot).asked[-1][2].readings
    assert len(readings.bars("1s", 2)) == 2
    with pytest.raises(BadInput, match="3 bars 1s are read, 2 are declared: declare as many in"):
        readings.bars("1s", 3)
    with pytest.raises(BadInput, match="bars 5s are not declared"):
        readings.bars("5s", 1)
    assert len(strategy_of(other).asked[-1][2].readings.bars("1s", 9)) > 2


def test_what_is_not_declared_is_refused_by_name() -> None:
    bot = reading(bars={"1s": 3})
    stage = Stage(bot)
    stage.list()
    readings = strategy_of(bot).asked[-1][2].readings
    with pytest.raises(BadInput, match="bars 5s are not declared"):
        readings.bars("5s", 1)
    with pytest.raises(BadInput, match="indicator mean is not declared"):
        readings.indicator("mean")
    for declared in ({"bars": {"7s": 1}}, {"bars": {"60s": 1}}, {"bars": {"1s": 0}}):
        with pytest.raises(BadInput, match="bars"):
            Reads(**declared)  # type: ignore[arg-type]


def test_a_lost_feed_makes_no_bars_and_a_restored_one_goes_on() -> None:
    bot = reading(bars={"1s": 9})
    stage = Stage(bot)
    stage.list()
    trade(stage, 5_000)
    stage.market(FeedLost(feed="market", instrument=None, reason="cut"), 300)
    stage.at(20 * S)
    assert strategy_of(bot).closed == []
    stage.market(FeedRestored(feed="market", instrument=None))
    trade(stage, 5_500, after_ms=100)
    stage.at(22 * S)
    bars = [one.bar for one in strategy_of(bot).closed]
    assert [(bar.start_ns, bar.gap_ns, bar.close) for bar in bars] == [
        (10 * S, 700 * MS, 5_000),
        (20 * S, 0, 5_500),
    ]


def test_mids_and_trades_make_bars_of_their_own() -> None:
    bot = reading(bars={"1s": 9, "1s/mids": 9})
    stage = Stage(bot)
    stage.list()
    stage.book(ONE, 4_900, 5_200, after_ms=100)
    trade(stage, 5_200, after_ms=100)
    stage.at(12 * S)
    made = {one.bars: one.bar for one in reversed(strategy_of(bot).closed)}
    assert (made["1s/mids"].open, made["1s/mids"].close) == (10_000, 10_100)
    assert (made["1s"].open, made["1s"].volume) == (5_200, 10 * SHARE)


def test_a_bar_of_a_file_reaches_bot_and_indicators_as_one_made_here() -> None:
    bot = reading(bars={"1s": 9}, indicators={"mean": SMA})
    stage = Stage(bot)
    stage.list()
    for i in range(3):
        bar = Bar(i * S, (i + 1) * S, 5_000, 5_000, 5_000, 5_000 + 100 * i, volume=SHARE, count=1)
        stage.market(BarClosed(instrument=ONE, bars="1s", bar=bar), 1_000)
    assert len(strategy_of(bot).closed) == 3
    assert strategy_of(bot).asked[-1][2].readings.indicator("mean") == pytest.approx(0.51)


def test_bars_of_a_file_make_the_longer_ones_and_trades_make_none_beside_them() -> None:
    bot = reading(bars={"1s": 9, "5s": 9})
    stage = Stage(bot)
    stage.list()
    for i in range(5):
        trade(stage, 9_000)
        bar = Bar((10 + i) * S, (11 + i) * S, 5_000, 5_100 + i, 4_900 - i, 5_000 + i, SHARE, 1)
        stage.market(BarClosed(instrument=ONE, bars="1s", bar=bar), 1_000)
    found = stage.core.signals.bars(ONE, "5s", 9)
    assert found == [Bar(10 * S, 15 * S, 5_000, 5_104, 4_896, 5_004, 5 * SHARE, 5)]
    assert len(stage.core.signals.bars(ONE, "1s", 9)) == 5
    assert found[0].vwap is None


def test_a_pair_hears_the_reference_it_is_compared_with() -> None:
    pair = Variant.of(INDICATORS["correlation"], other="binance:btcusdt", from_s=10.0, count=5)
    bot = reading(indicators={"with": pair})
    stage = Stage(bot)
    stage.list()
    for i in range(30):
        price = 5_000 + 37 * (i * i % 11)
        trade(stage, price, after_ms=700)
        stage.market(ReferencePriced(key="binance:btcusdt", price_e8=price * 10**8))
    readings = Reader(stage.core.signals, ONE, strategy_of(bot).reads, stage.now)
    assert readings.indicator("with") == pytest.approx(1.0)


def test_a_closed_instrument_is_read_no_more() -> None:
    bot = reading(bars={"1s": 9})
    stage = Stage(bot)
    stage.list()
    trade(stage, 5_000)
    stage.market(InstrumentClosed(instrument=ONE))
    assert not stage.core.signals.active
    assert stage.at(20 * S) is not None
    assert strategy_of(bot).closed == []


def test_signals_survive_a_restart_and_what_was_not_seen_is_a_gap() -> None:
    reads = {"bars": {"1s": 9}, "indicators": {"mean": SMA, "vwap": VWAP}}
    bot = reading(**reads)
    stage = Stage(bot)
    stage.list()
    for i in range(5):
        trade(stage, 5_000 + 10 * i, after_ms=1_000)
    state = stage.core.signals.state(bot.name)
    again = reading(**reads)
    again.learned = learned_of(state)
    later = Stage()
    later.now = 100 * S
    later.core.add(again, later.now)
    later.list()
    assert later.core.signals.state(again.name)
    before = [bar.close for bar in stage.core.signals.bars(ONE, "1s", 9)]
    assert [bar.close for bar in later.core.signals.bars(ONE, "1s", 9)] == before
    trade(later, 6_000)
    bars = later.core.signals.bars(ONE, "1s", 9)
    assert len(bars) == len(before) + 1  # the running bar of then; none of 85 s of silence
    assert bars[-1].gap_ns == S
    assert later.core.signals.value(ONE, SMA, later.now) is not None


def test_a_state_that_cannot_be_read_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadInput, match="bars and indicators had learned cannot be read"):
        learned_of(b"\x93nonsense")
    assert learned_of(b"") is None
    assert Signals().state(BotId("nobody")) == b""


def test_a_desk_without_readers_never_asks_the_signals() -> None:
    stage = Stage(Bot(name=BotId("plain"), account=ACCOUNT, strategy=Script(), capital_micro=1,
                      instruments=frozenset({ONE})))  # fmt: skip
    stage.list()
    trade(stage, 5_000)
    assert not stage.core.signals.active
    assert stage.core.signals.due_ns == NEVER


class BadMean(Sma):
    """An indicator of a plug-in that raises at its third bar."""

    name: ClassVar[str] = "bad mean"
    seen: int = 0

    def on_bar(self, bar: PriceBar) -> None:
        self.seen += 1
        if self.seen == 3:
            raise SystemExit("no")
        super().on_bar(bar)


def test_an_indicator_that_raises_stops_the_bots_that_read_it_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(INDICATORS, BadMean.name, BadMean)  # type: ignore[arg-type]
    bad_mean = Variant.of(BadMean, bars="1s", period=2)
    bad = reading("bad", bars={"1s": 3}, indicators={"mean": bad_mean})
    good = reading("good", bars={"1s": 3}, indicators={"mean": SMA})
    for bot in (bad, good):
        strategy = strategy_of(bot)
        strategy.say = lambda context, _: (context.readings.indicator("mean"), ())[1]
    stage = Stage(bad, good)
    stage.list()
    for price in (5_000, 5_100, 5_200, 5_300, 5_400):
        trade(stage, price, after_ms=1_000)
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert "indicator bad mean(period 2) of 1s raised SystemExit: no" in bad.error
    assert len(strategy_of(good).closed) == 4
