"""What an indicator owes: words, numbers that are known when they are, state that goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from engine.contracts.imports import impurities
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

S = 1_000_000_000
T0 = 1_760_000_000 * S
WARM, LONG = 4_000, 20_000
CUTS = (0, 1, 7, 40, 900)
SLACK = 40
"""Numbers by which a state may breathe: a queue of extremes is at most its window long."""


class Market:
    """A seeded market that feeds any indicator what it takes."""

    def __init__(self, seed: int = 5) -> None:
        self.chance = random.Random(seed)  # noqa: S311 a market, not a secret
        self.price, self.now_ns = 100.0, T0

    def feed(self, indicator: Indicator) -> None:
        """Let one thing happen. Raises BadInput for an indicator that nothing feeds."""
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
                indicator.on_book(self._book(), self.now_ns)
            case BarIndicator():
                close = self.price * (1.0 + chance.gauss(0.0, 0.001))
                high, low = max(self.price, close) * 1.001, min(self.price, close) * 0.999
                volume = float(chance.randrange(1, 50))
                indicator.on_bar(PriceBar(self.price, high, low, close, volume))
            case _:
                raise BadInput("it is fed by none of PriceIndicator, TradeIndicator, BookIndicator")

    def _book(self) -> Book:
        chance, book, mid = self.chance, Book(), round(self.price * 10)
        bids = [(mid - 1 - depth, chance.randrange(1, 99)) for depth in range(5)]
        ask = mid + chance.randrange(1, 4)
        book.replace(bids, [(ask + depth, chance.randrange(1, 99)) for depth in range(5)])
        return book


def check_indicator(kind: type[Indicator], file: Path | None = None) -> Iterator[str]:
    """Give a sentence for everything an indicator owes and does not keep."""
    yield from _words(kind)
    if file is not None:
        yield from impurities(file)
    try:
        yield from _numbers(kind)
        yield from _goes_on(kind)
        yield from _settings(kind)
    except Exception as error:  # noqa: BLE001 whatever it raises is what is wrong with it
        yield f"it raises {type(error).__name__}: {error}"


def _words(kind: type[Indicator]) -> Iterator[str]:
    for name in ("name", "title", "formula", "source", "unit"):
        said = getattr(kind, name, "")
        if not isinstance(said, str) or not said or said.strip() != said:
            yield f"its {name} is {said!r}: a text without spaces around it"
    if not kind.__doc__:
        yield "it has no docstring"
    for name, setting in settings_of(kind).items():
        if not setting.description:
            yield f"its setting {name} has no description"


def _numbers(kind: type[Indicator]) -> Iterator[str]:
    if kind().value(T0) is not None:
        yield "it knows a number before anything came: give None"
    indicator, market = kind(), Market()
    for _ in range(WARM):
        market.feed(indicator)
    number = indicator.value(market.now_ns)
    if number is None or not -1e9 < number < 1e9:
        yield f"after {WARM:,} events its number is {number}: a finite one is expected"
    before = _size(msgspec.to_builtins(indicator))
    for _ in range(LONG):
        market.feed(indicator)
    after = _size(msgspec.to_builtins(indicator))
    if after > before + SLACK:
        yield f"its memory grows: {before} numbers after {WARM:,} events, {after} {LONG:,} later"


def _goes_on(kind: type[Indicator]) -> Iterator[str]:
    for cut in CUTS:
        whole, market = kind(), Market()
        for _ in range(cut):
            market.feed(whole)
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=kind)
        other = Market()
        other.chance.setstate(market.chance.getstate())
        other.price, other.now_ns = market.price, market.now_ns
        for _ in range(1_500):
            market.feed(whole)
            other.feed(again)
        if msgspec.msgpack.encode(whole) != msgspec.msgpack.encode(again):
            yield f"kept and read back after {cut} events, it goes on with other numbers"


def _settings(kind: type[Indicator]) -> Iterator[str]:
    fed: dict[str, str] = {}
    if kind.feed is Feed.BARS:
        fed = {"bars": "1m"}
    elif kind.feed is Feed.PAIRS:
        fed = {"other": "demo:BTC"}
    variant = Variant.of(kind, **fed)  # type: ignore[arg-type]
    if msgspec.json.decode(msgspec.json.encode(variant), type=Variant) != variant:
        yield "the variant of its defaults is another one when it is read back"
    for name in settings_of(kind):
        try:
            Variant.of(kind, **fed, **{name: -1})  # type: ignore[arg-type]
        except BadInput:
            continue
        yield f"its setting {name} takes -1: give it bounds"


def _size(value: Any) -> int:
    """Return how many numbers a state holds."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 1
