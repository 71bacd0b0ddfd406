"""What every indicator keeps, whatever it computes: over all that the scan finds."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from engine.domain.books import Book
from engine.errors import BadInput
from engine.indicators.door import (
    BarIndicator,
    BookIndicator,
    Feed,
    Indicator,
    PairIndicator,
    PriceBar,
    PriceIndicator,
    TradeIndicator,
    Variant,
    settings_of,
)
from engine.indicators.library import INDICATORS, fresh

S = 1_000_000_000
T0 = 1_760_000_000 * S


class Market:
    """A seeded market that feeds any indicator what it takes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.price, self.now_ns = 100.0, T0

    def feed(self, indicator: Indicator) -> None:
        """Let one thing happen."""
        chance = self.chance
        self.now_ns += chance.randrange(1, 3 * S)
        self.price *= 1.0 + chance.gauss(0.0, 0.002)
        match indicator:
            case PairIndicator():
                indicator.on_other(50.0 * (1.0 + chance.gauss(0.0, 0.002)), self.now_ns)
                indicator.on_price(self.price, self.now_ns)
            case PriceIndicator():
                indicator.on_price(self.price, self.now_ns)
            case TradeIndicator():
                indicator.on_trade(self.price, chance.randrange(1, 50) / 8, self.now_ns)
            case BookIndicator():
                book, mid = Book(), round(self.price * 10)
                book.replace(
                    [(mid - 1 - i, chance.randrange(1, 99)) for i in range(5)],
                    [(mid + chance.randrange(1, 4) + i, chance.randrange(1, 99)) for i in range(5)],
                )
                indicator.on_book(book, self.now_ns)
            case BarIndicator():
                close = self.price * (1.0 + chance.gauss(0.0, 0.001))
                high, low = max(self.price, close) * 1.001, min(self.price, close) * 0.999
                indicator.on_bar(
                    PriceBar(self.price, high, low, close, float(chance.randrange(1, 50)))
                )
            case _:
                pytest.fail(f"nothing feeds {indicator}")


def fed(kind: type[Indicator], events: int, seed: int = 5) -> tuple[Indicator, Market]:
    indicator, market = kind(), Market(seed)
    for _ in range(events):
        market.feed(indicator)
    return indicator, market


every = pytest.mark.parametrize("kind", INDICATORS.values(), ids=list(INDICATORS))


@every
def test_it_says_what_it_is(kind: type[Indicator]) -> None:
    for word in (kind.name, kind.title, kind.formula, kind.source, kind.unit):
        assert word.strip() == word
        assert word
    assert kind.feed in Feed
    for setting in settings_of(kind).values():
        assert setting.description
    assert kind.__doc__


@every
def test_it_knows_nothing_before_anything_came(kind: type[Indicator]) -> None:
    assert kind().value(T0) is None


@every
def test_it_gives_a_finite_number_once_it_is_warm(kind: type[Indicator]) -> None:
    indicator, market = fed(kind, 4_000)
    number = indicator.value(market.now_ns)
    assert number is not None
    assert -1e9 < number < 1e9


@every
@pytest.mark.parametrize("cut", [0, 1, 7, 40, 900])
def test_it_goes_on_from_its_state_with_the_same_numbers(kind: type[Indicator], cut: int) -> None:
    whole, market = fed(kind, cut)
    state = msgspec.msgpack.encode(whole)
    again = msgspec.msgpack.decode(state, type=kind)
    assert msgspec.msgpack.encode(again) == state
    other = Market(5)
    other.chance.setstate(market.chance.getstate())
    other.price, other.now_ns = market.price, market.now_ns
    for _ in range(1_500):
        market.feed(whole)
        other.feed(again)
    assert whole.value(market.now_ns) == again.value(other.now_ns)
    assert msgspec.msgpack.encode(whole) == msgspec.msgpack.encode(again)


def size_of(value: Any) -> int:
    """Return how many numbers a state holds."""
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    return sum(map(size_of, value)) if isinstance(value, list | tuple) else 1


@every
def test_its_memory_does_not_grow(kind: type[Indicator]) -> None:
    indicator, market = fed(kind, 10_000)
    before = size_of(msgspec.to_builtins(indicator))
    for _ in range(30_000):
        market.feed(indicator)
    slack = 40  # a monotonic queue of extremes is at most its period long, and breathes
    assert size_of(msgspec.to_builtins(indicator)) <= before + slack


@every
def test_a_setting_out_of_its_bounds_is_refused(kind: type[Indicator]) -> None:
    for name in settings_of(kind):
        with pytest.raises(BadInput, match=kind.name.split()[0]):
            Variant.of(kind, bars="1m" * (kind.feed is Feed.BARS), **{name: -1})
    with pytest.raises(BadInput, match="there is no setting 'colour'; there are:"):
        Variant.of(kind, colour=1)


@every
def test_a_variant_of_defaults_builds_it(kind: type[Indicator]) -> None:
    variant = Variant.of(
        kind,
        bars="1m" if kind.feed is Feed.BARS else "",
        other="demo:BTC" if kind.feed is Feed.PAIRS else "",
    )
    assert msgspec.to_builtins(fresh(variant)) == msgspec.to_builtins(kind())
    assert msgspec.json.decode(msgspec.json.encode(variant), type=Variant) == variant


def test_equal_variants_are_equal_however_they_were_said() -> None:
    rsi = INDICATORS["RSI"]
    assert Variant.of(rsi, bars="60s") == Variant.of(rsi, bars="1m", period=14)
    assert Variant.of(rsi, bars="5m", period=21).text == "RSI(period 21) of 5m"


@pytest.mark.parametrize(
    ("name", "said"),
    [("RSI", {}), ("TWPA", {"bars": "1m"}), ("beta", {}), ("VWAP", {"mids": True})],
)
def test_a_variant_that_does_not_fit_its_feed_is_refused(name: str, said: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="it is fed with"):
        Variant.of(INDICATORS[name], **said)


def test_what_does_not_exist_is_refused_with_what_does() -> None:
    with pytest.raises(BadInput, match="there is no indicator 'RSY'; there are: ADX, ATR"):
        fresh(Variant(indicator="RSY"))
