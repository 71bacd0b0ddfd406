"""The indicator's door: what a streaming indicator takes and gives, and how a variant names one.

An indicator is a mutable `msgspec.Struct`: its annotated fields with bounds are its settings, all
others its state, so the whole encodes and goes on after a restart with the same numbers. Prices are
in the instrument's currency, sizes in the thing itself (shares, BTC), both as floats: an indicator
is a model, not a ledger. A number that is not known yet is None. None of them reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, ClassVar, Self, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from engine.domain.bars import bar_spec
from engine.domain.books import Book
from engine.errors import BadInput

WINDOW_S_MAX = 86_400.0
PERIOD_MAX = 5_000

BarCount = Annotated[int, Meta(ge=1, le=PERIOD_MAX, description="bars")]
Count = Annotated[int, Meta(ge=2, le=PERIOD_MAX, description="samples")]
Factor = Annotated[float, Meta(gt=0.0, le=100.0, description="factor")]
WHICH = Meta(description="which line of it")
FromS = Annotated[
    float, Meta(gt=0.0, le=WINDOW_S_MAX, description="where the window begins, seconds ago")
]
ToS = Annotated[
    float, Meta(ge=0.0, lt=WINDOW_S_MAX, description="where the window ends, seconds ago")
]


class Feed(StrEnum):
    """What an indicator is fed with."""

    PRICES = "prices"
    """Each trade's price, or each new mid where the variant says `mids`."""
    TRADES = "trades"
    BOOKS = "books"
    BARS = "bars"
    PAIRS = "pairs"
    """The prices of its instrument, and those of another one or of a reference."""


class PriceBar(msgspec.Struct, frozen=True, gc=False):
    """One closed bar as an indicator sees it: prices in the currency, volume in the thing."""

    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0


class Indicator(msgspec.Struct, gc=False):
    """Base of every indicator. A subclass is fed by one of the bases below."""

    name: ClassVar[str]
    title: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    """Who described it, and where."""
    unit: ClassVar[str]
    feed: ClassVar[Feed]

    def value(self, now_ns: int) -> float | None:
        """Return the number as of this time; None = it is not known yet."""
        raise NotImplementedError


class PriceIndicator(Indicator, gc=False):
    """Fed with prices."""

    feed: ClassVar[Feed] = Feed.PRICES

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price > 0."""
        raise NotImplementedError


class TradeIndicator(Indicator, gc=False):
    """Fed with trades."""

    feed: ClassVar[Feed] = Feed.TRADES

    def on_trade(self, price: float, size: float, now_ns: int) -> None:
        """Take a trade; size 0 = the venue did not say how much."""
        raise NotImplementedError


class BookIndicator(Indicator, gc=False):
    """Fed with two-sided, trusted books. Book prices and sizes are in increments."""

    feed: ClassVar[Feed] = Feed.BOOKS
    price_unit: float = 1.0
    """The currency in one price increment."""
    size_unit: float = 1.0
    """The thing in one size increment."""

    def on_book(self, book: Book, now_ns: int) -> None:
        """Take the book after a change."""
        raise NotImplementedError


class BarIndicator(Indicator, gc=False):
    """Fed with closed bars."""

    feed: ClassVar[Feed] = Feed.BARS

    def on_bar(self, bar: PriceBar) -> None:
        """Take the next closed bar."""
        raise NotImplementedError


class PairIndicator(PriceIndicator, gc=False):
    """Fed with the prices of two series."""

    feed: ClassVar[Feed] = Feed.PAIRS

    def on_other(self, price: float, now_ns: int) -> None:
        """Take a price > 0 of the other series."""
        raise NotImplementedError


Value = int | float | str


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One indicator with its settings: what is computed once, however many bots ask for it."""

    indicator: str
    settings: tuple[tuple[str, Value], ...] = ()
    """Name and value of each setting that is not its default, by name."""
    bars: str = ""
    """Which bars it is fed with, where it is fed with bars."""
    mids: bool = False
    """True = it is fed with mids in place of the prices of trades."""
    other: str = ""
    """The instrument or the reference it is compared with, where it is fed with pairs."""

    @classmethod
    def of(
        cls,
        kind: type[Indicator],
        *,
        bars: str = "",
        mids: bool = False,
        other: str = "",
        **settings: Value,
    ) -> Self:
        """Return the variant of an indicator. Raises BadInput where it does not fit together."""
        built = build(kind, settings)
        if (kind.feed is Feed.BARS) is not bool(bars):
            raise BadInput(f"{kind.name}: it is fed with {kind.feed}: say which bars, or none")
        if (kind.feed is Feed.PAIRS) is not bool(other):
            raise BadInput(f"{kind.name}: it is fed with {kind.feed}: say what with, or nothing")
        if mids and kind.feed not in {Feed.PRICES, Feed.PAIRS}:
            raise BadInput(f"{kind.name}: it is fed with {kind.feed}, never with mids")
        plain = kind()
        chosen = ((name, getattr(built, name)) for name in sorted(settings_of(kind)))
        return cls(
            indicator=kind.name,
            settings=tuple((k, v) for k, v in chosen if getattr(plain, k) != v),
            bars=bar_spec(bars).text if bars else "",
            mids=mids,
            other=other,
        )

    @property
    def text(self) -> str:
        """The name people read: `RSI(period 21) of 5m`."""
        settings = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.settings
        )
        fed = self.bars or ("mids" if self.mids else "")
        beside = f" beside {self.other}" if self.other else ""
        return (
            f"{self.indicator}{f'({settings})' * bool(settings)}{f' of {fed}' * bool(fed)}{beside}"
        )


@cache
def settings_of(kind: type[Indicator]) -> Mapping[str, Meta]:
    """Return an indicator's settings: the fields that are annotated with bounds.

    Kept by class: reading the annotations takes a millisecond, and each engine that starts and
    each indicator that is made asks for them.
    """
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: next(one for one in get_args(hint)[1:] if isinstance(one, Meta))
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
    }


def build(kind: type[Indicator], settings: Mapping[str, object]) -> Indicator:
    """Return a fresh indicator. Raises BadInput for a setting that is unknown or out of bounds."""
    known = settings_of(kind)
    for name in settings:
        if name not in known:
            names = ", ".join(known) or "none"
            raise BadInput(f"{kind.name}: there is no setting {name!r}; there are: {names}")
    try:
        indicator = msgspec.convert(dict(settings), kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{kind.name}: {error}") from None
    check = getattr(indicator, "check", None)
    if check is not None:
        check()
    return indicator
