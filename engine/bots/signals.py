"""Bars and indicators of one account: computed once, however many bots ask for the same.

A bot declares what it reads; what is equal is shared and counted, and goes when the last bot that
reads it goes. Market events come in, closed bars go out; a bar that closed reaches the indicators
fed with it before any bot is asked. Everything depends on the events and their times alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from engine.bars.sampler import Sampler
from engine.bots.later_bars import KnownBars, LaterBars
from engine.caches.views import BookView
from engine.domain.bars import Bar, BarBasis, BarSpec, BarUnit, bar_spec
from engine.domain.events import (
    BarClosed,
    BookChanged,
    BookDistrusted,
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    ReferencePriced,
    TradePrinted,
)
from engine.domain.instruments import BotId, Instrument, InstrumentId
from engine.errors import BadInput
from engine.indicators.door import (
    BarIndicator,
    BookIndicator,
    Indicator,
    PairIndicator,
    PriceBar,
    PriceIndicator,
    TradeIndicator,
    Variant,
)
from engine.indicators.library import fresh, kind_of
from engine.strategies.door import Reads, not_declared

NEVER = 1 << 62
"""A time that does not come."""


class Series:
    """The bars of one instrument and spec: the sampler, and the last closed ones."""

    __slots__ = ("_bars", "_later", "depth", "price_unit", "sampler")

    def __init__(self, sampler: Sampler, bars: list[Bar], price_unit: float) -> None:
        self.sampler = sampler
        self._bars = bars
        self._later: LaterBars | None = None
        """Those that closed behind them and were not looked at."""
        self.depth = 1
        self.price_unit = price_unit
        """What one unit of its bars' prices is in the currency."""

    @property
    def bars(self) -> list[Bar]:
        """The last closed ones, `depth` at least where there are so many."""
        later = self._later
        if later is not None:
            self._later = None
            self.keep(later.known.bars(max(later.first, later.last - self.depth), later.last))
        return self._bars

    def keep(self, bars: Sequence[Bar]) -> None:
        """Keep bars that closed after those that are kept."""
        kept = self._bars if self._later is None else self.bars
        kept += bars
        if len(kept) > 2 * self.depth:
            del kept[: -self.depth]

    def keep_later(self, known: KnownBars, first: int, last: int) -> None:
        """Keep bars of a file that closed after those; they are made when somebody looks."""
        later = self._later
        if later is not None:
            if later.known is known and later.last == first:
                first = later.first
            else:
                self.bars  # noqa: B018 what is kept so far is made
        self._later = LaterBars(known, first, last)

    def closed(self, count: int) -> Sequence[Bar]:
        """Return so many of the last closed ones, the oldest first; fewer where there are not."""
        later = self._later
        if later is not None and later.last - later.first >= count > 0:
            return LaterBars(later.known, later.last - count, later.last)
        return self.bars[-count:] if count > 0 else []


FAILS = (Exception, SystemExit)
"""What an indicator of a plug-in may raise without ending more than the bots that read it."""


class LearnedSignals(msgspec.Struct, frozen=True, array_like=True):
    """What survives of the signals of one bot, by instrument and name of bars or variant.

    Each part is taken out once: an instrument that is listed a second time begins anew.
    """

    series: dict[InstrumentId, dict[str, tuple[Sampler, list[Bar]]]]
    indicators: dict[InstrumentId, list[tuple[Variant, bytes]]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LearnedSignals).decode


def state_of(learned: LearnedSignals | None) -> bytes:
    """Return what `learned_of` reads."""
    return b"" if learned is None else _encode(learned)


def learned_of(state: bytes) -> LearnedSignals | None:
    """Read what `Signals.state` gave; None = nothing. Raises BadInput where it cannot be read."""
    try:
        return _decode(state) if state else None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadInput(
            f"what its bars and indicators had learned cannot be read: {error}"
        ) from None


class _Shared(NamedTuple):
    """The indicators of one instrument, by what feeds them."""

    trades: list[TradeIndicator]
    prices: list[PriceIndicator]
    """Fed with the prices of trades."""
    mids: list[PriceIndicator]
    books: list[BookIndicator]
    bars: dict[str, list[BarIndicator]]
    """By the bars that feed them."""


class Watched:
    """What is computed of one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.series: dict[str, Series] = {}
        self.indicators: dict[Variant, Indicator] = {}
        self.readers: dict[BotId, Reads] = {}
        self.given = ""
        """The bars a file tells: longer ones are made of them, and none of trades. Empty = none."""
        self.given_ns = 0
        """How long one of them is."""
        self.fed = _Shared([], [], [], [], {})
        self.named: dict[int, dict[str, Indicator]] = {}
        """Identity of what a bot declares → the indicators by its names for them."""
        self.price_unit = 10.0**-instrument.price_decimals
        self.size_unit = 10.0**-instrument.size_decimals

    def break_off(self, broken: Indicator, error: BaseException) -> None:
        """Feed an indicator that raised no more; a bot that reads it gets the reason instead."""
        for variant, indicator in list(self.indicators.items()):
            if indicator is broken:
                why = f"indicator {variant.text} raised {type(error).__name__}: {error}"
                self.indicators[variant] = _Broken(why=why)
                self.sort()

    def sort(self) -> None:
        """Sort the indicators by what feeds them, and by the names their readers gave them."""
        for reads in self.readers.values():
            named = self.named.setdefault(id(reads), {})
            for name, variant in reads.indicators.items():
                named[name] = self.indicators[variant]
        self.fed = fed = _Shared([], [], [], [], {})
        for variant, indicator in self.indicators.items():
            match indicator:
                case TradeIndicator():
                    fed.trades.append(indicator)
                case BookIndicator():
                    indicator.price_unit, indicator.size_unit = self.price_unit, self.size_unit
                    fed.books.append(indicator)
                case BarIndicator():
                    fed.bars.setdefault(variant.bars, []).append(indicator)
                case PriceIndicator():
                    (fed.mids if variant.mids else fed.prices).append(indicator)


class _Broken(Indicator):
    """In place of an indicator that raised: each bot that reads it stops, and no other."""

    why: str = ""

    def value(self, now_ns: int) -> float | None:
        """Raise BadInput."""
        del now_ns
        raise BadInput(self.why)


class Signals:
    """The bars and indicators of an account's bots.

    `watch` and `leave` say who reads what; `on_event` takes market events after the cache has;
    `on_clock` closes bars by the clock. Both return the bars that closed, in order.
    """

    def __init__(self) -> None:
        self._watched: dict[InstrumentId, Watched] = {}
        self._others: dict[str, list[PairIndicator]] = {}
        """Instrument or reference → the pair indicators that compare with it."""
        self.active = False
        """False while nothing is read at all: then no event needs to come here."""
        self.due_ns = NEVER
        """When a bar closes by the clock; `NEVER` = none does."""
        self._ahead: tuple[BarClosed | None, list[BarClosed]] = None, []
        """The bar that was taken before it is played, and what it closed."""

    # -- who reads what ----------------------------------------------------------------------------

    def watch(
        self,
        bot: BotId,
        instrument: Instrument,
        reads: Reads,
        learned: LearnedSignals | None = None,
    ) -> None:
        """Have a bot read of an instrument what it declares; what is there already is shared.

        `learned` = what was kept of its signals, for those that are not there yet.
        """
        if not reads.bars and not reads.indicators:
            return
        watched = self._watched.setdefault(instrument.id, Watched(instrument))
        if watched.readers.get(bot) is reads:
            return
        watched.readers[bot] = reads
        for name, depth in reads.series.items():
            series = watched.series.get(name) or self._series(watched, name, learned)
            series.depth = max(series.depth, depth)
        for variant in reads.indicators.values():
            if variant not in watched.indicators:
                watched.indicators[variant] = _indicator(instrument.id, variant, learned)
        watched.sort()
        self._changed()

    def _series(self, watched: Watched, name: str, learned: LearnedSignals | None) -> Series:
        spec = bar_spec(name)
        known = learned.series.get(watched.instrument.id, {}) if learned else {}
        sampler, bars = known.pop(name, (_sampler(spec, watched.instrument), []))
        if bars or sampler.start_ns is not None:
            sampler.on_gap(max(sampler.seen_ns, sampler.closed_ns))  # nothing was seen since
        unit = watched.price_unit / spec.per_increment
        series = watched.series[name] = Series(sampler, bars, unit)
        return series

    def leave(self, bot: BotId, instrument: InstrumentId | None = None) -> None:
        """Stop reading an instrument, or (None) all of them; what no bot reads is dropped."""
        for key in [instrument] if instrument else list(self._watched):
            watched = self._watched.get(key)
            if watched is None or watched.readers.pop(bot, None) is None:
                continue
            read = {name for reads in watched.readers.values() for name in reads.series}
            variants = {v for reads in watched.readers.values() for v in reads.indicators.values()}
            watched.indicators = {v: i for v, i in watched.indicators.items() if v in variants}
            watched.series = {name: one for name, one in watched.series.items() if name in read}
            watched.sort()
            if not watched.readers:
                del self._watched[key]
        self._changed()

    def _changed(self) -> None:
        self.active = bool(self._watched)
        self.schedule()
        others: dict[str, list[PairIndicator]] = {}
        for watched in self._watched.values():
            for variant, indicator in watched.indicators.items():
                if isinstance(indicator, PairIndicator):
                    others.setdefault(variant.other, []).append(indicator)
        self._others = others

    def bars_alone(self, instrument: InstrumentId) -> bool:
        """Say whether bars that a file tells are all that is read of it, and no pair compares."""
        watched = self._watched.get(instrument)
        if watched is None or self._others:
            return not self._others
        fed = watched.fed
        if not watched.given or fed.trades or fed.prices or fed.mids or fed.books:
            return False
        return all(one.sampler.spec.basis is BarBasis.TRADES for one in watched.series.values())

    # -- what happens ------------------------------------------------------------------------------

    def on_event(self, event: Event, view: BookView | None, now_ns: int) -> list[BarClosed]:
        """Take a market event; `view` = what the cache knows of its instrument."""
        kind = type(event)
        if kind is ReferencePriced:
            self._beside(event.key, event.price_e8 * 1e-8, now_ns)  # type: ignore[attr-defined]
            return []
        if kind is TradePrinted:
            return self._on_trade(event, now_ns)  # type: ignore[arg-type]
        if kind is BookChanged or kind is BookReplaced:
            return [] if view is None else self._on_book(view, now_ns)
        if kind is BarClosed:
            ahead, closed = self._ahead
            return closed if event is ahead else self._on_bar(event)  # type: ignore[arg-type]
        if kind is FeedLost or kind is BookDistrusted or kind is FeedRestored:
            return self._on_gap(event, now_ns)
        return []

    def _beside(self, key: str, price: float, now_ns: int) -> None:
        """Feed the indicators that compare with another instrument, or with a reference."""
        for indicator in self._others.get(key, ()):
            try:
                indicator.on_other(price, now_ns)
            except FAILS as error:
                for watched in self._watched.values():
                    watched.break_off(indicator, error)

    def _on_trade(self, event: TradePrinted, now_ns: int) -> list[BarClosed]:
        watched = self._watched.get(event.instrument)
        price_unit = watched.price_unit if watched else 0.0
        if watched is not None:
            price, size = event.price * price_unit, (event.size or 0) * watched.size_unit
            for trading in watched.fed.trades:
                try:
                    trading.on_trade(price, size, now_ns)
                except FAILS as error:
                    watched.break_off(trading, error)
            for pricing in watched.fed.prices:
                try:
                    pricing.on_price(price, now_ns)
                except FAILS as error:
                    watched.break_off(pricing, error)
            if self._others:
                self._beside(event.instrument, price, now_ns)
        if watched is None:
            return []
        stamp_ns = event.exchange_ns or now_ns
        closed = []
        for name, series in watched.series.items() if not watched.given else ():
            if series.sampler.spec.basis is BarBasis.TRADES:
                made = series.sampler.on_trade(event.price, event.size or 0, stamp_ns)
                closed += self._close(watched, name, series, made)
        return closed

    def _on_book(self, view: BookView, now_ns: int) -> list[BarClosed]:
        watched = self._watched.get(view.instrument.id)
        if watched is None or not view.trusted:
            return []
        book = view.book
        if not book.bid_prices or not book.ask_prices:
            return []
        mid2 = book.bid_prices[-1] + book.ask_prices[0]
        for reading in watched.fed.books:
            try:
                reading.on_book(book, now_ns)
            except FAILS as error:
                watched.break_off(reading, error)
        for pricing in watched.fed.mids:
            try:
                pricing.on_price(mid2 * watched.price_unit / 2.0, now_ns)
            except FAILS as error:
                watched.break_off(pricing, error)
        closed = []
        for name, series in watched.series.items():
            if series.sampler.spec.basis is BarBasis.MIDS:
                made = series.sampler.on_mid(mid2, now_ns)
                closed += self._close(watched, name, series, made)
        return closed

    def bar_ahead(self, event: BarClosed) -> list[BarClosed]:
        """Take a bar a file tells before it is played; `on_event` then gives the same once more."""
        closed = self._on_bar(event)
        self._ahead = event, closed
        return closed

    def went_ahead(self, event: BarClosed) -> None:
        """Learn that bars and indicators have a bar already which is still to be played."""
        self._ahead = event, [event]

    def _on_bar(self, event: BarClosed) -> list[BarClosed]:
        """Take a bar a file tells; longer ones are made of it, shorter ones do not exist."""
        watched = self._watched.get(event.instrument)
        if watched is None:
            return []
        if watched.given != event.bars:
            watched.given, watched.given_ns = event.bars, bar_spec(event.bars).step
            for series in watched.series.values():
                if series.sampler.spec.basis is BarBasis.TRADES:
                    series.sampler = _sampler(series.sampler.spec, watched.instrument)
        closed, step_ns = [], watched.given_ns
        for name, series in watched.series.items():
            spec = series.sampler.spec
            if name == event.bars:
                self._feed(watched, name, series, event.bar)
                closed.append(event)
            elif _longer(spec, step_ns):
                made = series.sampler.on_bar(event.bar)
                closed += self._close(watched, name, series, made)
        return closed

    def _on_gap(self, event: Event, now_ns: int) -> list[BarClosed]:
        named = getattr(event, "instrument", None)
        closed = []
        for key in [named] if named else list(self._watched):
            watched = self._watched.get(key)
            for name, series in watched.series.items() if watched else ():
                sampler = series.sampler
                if type(event) is FeedRestored:
                    made = sampler.on_restored(now_ns)
                elif type(event) is FeedLost or sampler.spec.basis is BarBasis.MIDS:
                    made = sampler.on_gap(now_ns)
                else:
                    made = []
                closed += self._close(watched, name, series, made)  # type: ignore[arg-type]
        return closed

    def schedule(self) -> None:
        """Learn when the next bar closes by the clock."""
        due_ns = NEVER
        for watched in self._watched.values():
            for series in watched.series.values():
                closes_ns = series.sampler.due_ns
                if closes_ns is not None and closes_ns < due_ns:
                    due_ns = closes_ns
        self.due_ns = due_ns

    def on_clock(self, now_ns: int) -> list[BarClosed]:
        """Close the bars whose time is over."""
        closed = []
        for watched in self._watched.values():
            for name, series in watched.series.items():
                closed += self._close(watched, name, series, series.sampler.on_clock(now_ns))
        self.schedule()
        return closed

    def _close(
        self, watched: Watched, name: str, series: Series, made: list[Bar]
    ) -> list[BarClosed]:
        """Keep the bars that closed and feed them on; learn when the next one is due."""
        due_ns = series.sampler.due_ns
        if due_ns is not None and due_ns < self.due_ns:
            self.due_ns = due_ns
        for bar in made:
            self._feed(watched, name, series, bar)
        key = watched.instrument.id
        return [BarClosed(instrument=key, bars=name, bar=bar) for bar in made]

    def _feed(self, watched: Watched, name: str, series: Series, bar: Bar) -> None:
        """Keep a bar that closed and feed its indicators with it."""
        series.keep((bar,))
        fed = watched.fed.bars.get(name)
        if fed is None:
            return
        unit = series.price_unit
        seen = PriceBar(
            bar.open * unit,
            bar.high * unit,
            bar.low * unit,
            bar.close * unit,
            bar.volume * watched.size_unit,
        )
        for indicator in fed:
            try:
                indicator.on_bar(seen)
            except FAILS as error:
                watched.break_off(indicator, error)

    def watched_bars(self, instrument: InstrumentId) -> Watched | None:
        """Return what is computed of an instrument, where that is of one series of bars alone."""
        watched = self._watched.get(instrument)
        return watched if watched is not None and len(watched.series) == 1 else None

    # -- what is read ------------------------------------------------------------------------------

    def bars(self, instrument: InstrumentId, name: str, count: int) -> Sequence[Bar]:
        """Return the last closed bars, the oldest first; fewer where there are not so many.

        Raises BadInput where nothing that is watched declares them.
        """
        watched = self._watched.get(instrument)
        series = None if watched is None else watched.series.get(name)
        if series is None:
            raise BadInput(f"{instrument}: bars {name} are not declared: name them in `reads`")
        return series.closed(count)

    def value(self, instrument: InstrumentId, variant: Variant, now_ns: int) -> float | None:
        """Return a variant's number; None = not known yet. Raises BadInput as `bars` does."""
        watched = self._watched.get(instrument)
        indicator = None if watched is None else watched.indicators.get(variant)
        if indicator is None:
            raise BadInput(f"{instrument}: {variant.text} is not declared: name it in `reads`")
        return indicator.value(now_ns)

    def declared(
        self, instrument: InstrumentId, reads: Reads
    ) -> tuple[Mapping[str, Indicator], Mapping[str, Series]]:
        """Return the indicators by the names they are declared under, and every series of bars."""
        watched = self._watched.get(instrument)
        return ({}, {}) if watched is None else (watched.named.get(id(reads), {}), watched.series)

    def state(self, bot: BotId) -> bytes:
        """Return what survives of everything a bot reads; empty = it reads nothing."""
        series, indicators = {}, {}
        for key, watched in self._watched.items():
            reads = watched.readers.get(bot)
            if reads is None:
                continue
            series[key] = {
                name: (watched.series[name].sampler, watched.series[name].bars[-depth:])
                for name, depth in reads.series.items()
            }
            indicators[key] = [
                (variant, _encode(watched.indicators[variant]))
                for variant in reads.indicators.values()
            ]
        return _encode(LearnedSignals(series, indicators)) if series or indicators else b""


class Reader:
    """The readings of one bot in one instrument at one time. Implements `Readings`."""

    __slots__ = ("_instrument", "_named", "_reads", "_series", "_signals", "now_ns")

    def __init__(
        self, signals: Signals, instrument: InstrumentId, reads: Reads, now_ns: int
    ) -> None:
        self._signals = signals
        self._instrument = instrument
        self._reads = reads
        self._named, self._series = signals.declared(instrument, reads)
        self.now_ns = now_ns

    def bars(self, name: str, count: int) -> Sequence[Bar]:
        """Return the last closed bars, as `Readings` says."""
        series = self._series.get(name)
        if series is None or count > self._reads.bars.get(name, 0):
            raise BadInput(not_declared(name, count, self._reads))
        return series.closed(count)

    def indicator(self, name: str) -> float | None:
        """Return a variant's number, as `Readings` says."""
        found = self._named.get(name)
        if found is not None:
            return found.value(self.now_ns)
        variant = self._reads.indicators.get(name)
        if variant is None:
            raise BadInput(f"indicator {name} is not declared: name it in `reads`")
        return self._signals.value(self._instrument, variant, self.now_ns)


def _sampler(spec: BarSpec, instrument: Instrument) -> Sampler:
    volume = instrument.size_of(spec.volume) if spec.unit is BarUnit.VOLUME else 0
    return Sampler(spec, volume_step=volume)


def _indicator(
    instrument: InstrumentId, variant: Variant, learned: LearnedSignals | None
) -> Indicator:
    known = learned.indicators.get(instrument, []) if learned else []
    for kept in known:
        if kept[0] == variant:
            known.remove(kept)
            return msgspec.msgpack.decode(kept[1], type=kind_of(variant.indicator))
    return fresh(variant)


def _longer(spec: BarSpec, step_ns: int) -> bool:
    """Say whether time bars of trades can be made of shorter ones of this step."""
    of_trades = spec.unit is BarUnit.TIME and spec.basis is BarBasis.TRADES
    return of_trades and spec.step > step_ns and spec.step % step_ns == 0
