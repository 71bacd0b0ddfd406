"""Views: what strategies and risk may look at. Read-only for everyone but the cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from engine.domain.books import Book
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.observed_events import Observed


@dataclass(slots=True, eq=False)
class BookView:
    """The latest known book of one instrument and how far it can be trusted.

    Prices in YES-space increments. `trusted` is False before the first snapshot and after a
    torn batch; `proof_ns` is the last proof of the book (law M), `two_sided_ns` the last time both
    sides were there and `mid2` twice the mid of that moment (half increments matter). Of a
    perpetual whose book lacks a side, or has not come, both are those of the venue's mark: it
    liquidates and funds by that.
    """

    instrument: Instrument
    book: Book = field(default_factory=Book)
    trusted: bool = False
    distrust: str = "no snapshot yet"
    proof_ns: int | None = None
    mid2: int | None = None
    two_sided_ns: int | None = None
    last_trade: int | None = None
    closed: bool = False
    mark_e8: int | None = None
    """The venue's own mark of a perpetual, in 1e-8; `marked_ns` is when it came."""
    marked_ns: int | None = None

    @property
    def best_bid(self) -> int | None:
        """Highest bid, None where there is none."""
        return self.book.best_bid

    @property
    def best_ask(self) -> int | None:
        """Lowest ask, None where there is none."""
        return self.book.best_ask

    def age_ns(self, now_ns: int) -> int | None:
        """Nanoseconds since the last proof; None = never proven."""
        return None if self.proof_ns is None else now_ns - self.proof_ns


class ReferenceView(msgspec.Struct, kw_only=True):
    """The latest price of one reference, in 1e-8 of its unit."""

    key: str
    price_e8: int
    at_ns: int
    exchange_ns: int | None = None


class InventoryView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an account holds in one instrument, as its ledger says. Sizes in increments.

    `position` is signed YES-space: YES − NO for binaries, base for the others, settled plus
    pending. `average_price` is None while flat. Money in micro-units of the currency.
    """

    position: int = 0
    yes_settled: int = 0
    yes_pending: int = 0
    no_settled: int = 0
    no_pending: int = 0
    average_price: int | None = None
    realised_micro: int = 0
    fees_micro: int = 0
    cash_free_micro: int = 0
    working_bid: int = 0
    """Size that may still be bought in YES-space by working orders."""
    working_ask: int = 0


class References:
    """Latest reference prices by key, for example `chainlink:btc/usd`."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[str, ReferenceView] = {}

    def get(self, key: str) -> ReferenceView | None:
        """Return the latest value, or None where none was ever received."""
        return self._by_key.get(key)

    def put(self, view: ReferenceView) -> None:
        """Remember the latest value (the cache calls this)."""
        self._by_key[view.key] = view


KEYS_OBSERVED_MAX = 1_000
"""Keys of which observations are kept; beyond them the key longest unheard of is forgotten."""

OBSERVED_KEPT = 32
"""Observations kept of each key."""


class ObservedView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One observation, and when it was received."""

    event: Observed
    received_ns: int


class Observations:
    """The latest observations by key, of each `OBSERVED_KEPT` in the order they were received."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[str, deque[ObservedView]] = {}

    def last(self, key: str) -> ObservedView | None:
        """Return the one received last, or None where none ever was."""
        kept = self._by_key.get(key)
        return kept[-1] if kept else None

    def kept(self, key: str) -> Sequence[ObservedView]:
        """Return those that are kept, the oldest first."""
        return tuple(self._by_key.get(key, ()))

    def put(self, view: ObservedView) -> None:
        """Remember one (the cache calls this)."""
        key = view.event.key
        kept = self._by_key.pop(key, None) or deque(maxlen=OBSERVED_KEPT)
        kept.append(view)
        self._by_key[key] = kept  # last in the order: the first one is the longest unheard of
        if len(self._by_key) > KEYS_OBSERVED_MAX:
            del self._by_key[next(iter(self._by_key))]


InstrumentViews = dict[InstrumentId, BookView]
