"""What happened in the market. All prices are in YES-space for binaries."""

from __future__ import annotations

from engine.domain.books import Level
from engine.domain.event_base import Event
from engine.domain.fills import SizeSource
from engine.domain.instruments import Instrument, InstrumentId, Side


class InstrumentListed(Event, frozen=True, kw_only=True):
    """An instrument became known, or its metadata (tick, fees, strike) changed."""

    instrument: Instrument


class InstrumentClosed(Event, frozen=True, kw_only=True):
    """Trading in the instrument ended; its outcome may still be open."""

    instrument: InstrumentId


class InstrumentResolved(Event, frozen=True, kw_only=True):
    """The venue or its oracle said what the instrument pays. Never inferred from a price."""

    instrument: InstrumentId
    payout_yes_micro: int
    """What one YES pays in micro-units: 1_000_000, 0, or 500_000 for fifty-fifty."""
    source: str


class BookReplaced(Event, frozen=True, kw_only=True, gc=False):
    """A full snapshot of a book."""

    instrument: InstrumentId
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    exchange_ns: int | None = None


class BookChanged(Event, frozen=True, kw_only=True, gc=False):
    """One venue batch of level changes; sizes are the new aggregate, 0 = gone."""

    instrument: InstrumentId
    changes: tuple[tuple[Side, int, int], ...]
    exchange_ns: int | None = None


class BookDistrusted(Event, frozen=True, kw_only=True):
    """The book of the instrument is torn (hash, crossing, gap) until the next BookReplaced."""

    instrument: InstrumentId
    reason: str


class TradePrinted(Event, frozen=True, kw_only=True, gc=False):
    """The venue printed a trade. It precedes the book change it caused."""

    instrument: InstrumentId
    price: int
    size: int | None
    """None = the recording does not know."""
    aggressor: Side | None
    """Side of the taker in YES-space; None = ambiguous."""
    source: SizeSource = SizeSource.TAPED
    exchange_ns: int | None = None


class ReferencePriced(Event, frozen=True, kw_only=True, gc=False):
    """A reference price, for example `chainlink:btc/usd` or `binance:btcusdt`, in 1e-8 units."""

    key: str
    price_e8: int
    exchange_ns: int | None = None


class StrikeProven(Event, frozen=True, kw_only=True):
    """The strike of an up/down market is known, and from where."""

    instrument: InstrumentId
    strike_e8: int
    provenance: str


class FeedLost(Event, frozen=True, kw_only=True):
    """A feed stopped proving its view. `instrument` None = all of the feed's."""

    feed: str
    instrument: InstrumentId | None
    reason: str


class FeedRestored(Event, frozen=True, kw_only=True):
    """The feed proves its view again."""

    feed: str
    instrument: InstrumentId | None


class BookProven(Event, frozen=True, kw_only=True):
    """Proof without a change: PONG plus a hash-equal REST book. A quiet market is not blind."""

    instrument: InstrumentId


class BookMarked(Event, frozen=True, kw_only=True, gc=False):
    """What executor and risk need to know of a book; the bots' room sends it with every wish.

    Sent before each intent and on the second's tick, for instruments with orders or holdings.
    """

    instrument: InstrumentId
    best_bid: int | None
    best_ask: int | None
    mid2: int | None
    """Twice the last two-sided mid; None = never two-sided."""
    two_sided_ns: int | None
    proof_ns: int | None
    """When the book was last proven (law M); None = never."""
    trusted: bool
    closed: bool = False
