"""What a running engine says of itself each second: a struct a row, read as it was written.

Whole numbers are in increments or micro-units, times in ns UTC, durations in the unit of the name.
What an engine of another version left out has a default that says "not reported".
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.intents import ResidualReason


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the public feed of a venue is."""

    sockets: int
    markets: int
    frames: int
    last_word_ms: float | None
    """Age of what was received last; None = nothing yet."""
    trouble: str
    """Empty = none."""
    hash_checked: int
    hash_mismatched: int
    gaps: int
    """Since this start."""
    prices_age_ms: dict[str, float | None]
    """Reference price → its age; None = none received yet."""
    missing: tuple[str, ...] = ()
    """What is asked for and does not come, in words."""
    missing_more: int = 0
    """How many more are missing than are named."""
    waiting: int = 0
    """Messages received and not read yet."""
    lags: tuple[dict[str, float | None], ...] = ()
    """Per socket `p50_ms`, `p99_ms`, `max_ms` from arrival to the book, since the second before."""


class ScopedLatch(msgspec.Struct, frozen=True, kw_only=True):
    """A scoped KILL that nobody has released; neither bot nor instrument = the whole account."""

    account: AccountId
    bot: BotId | None
    instrument: InstrumentId | None
    who: str
    reason: str
    at_ns: int


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine as a whole says of itself beside its heartbeat."""

    turns: int = 0
    """Of the last second, as are `events` and the durations in µs; None = nothing was measured."""
    events: int = 0
    turn_p50_us: float | None = None
    turn_p99_us: float | None = None
    turn_max_us: float | None = None
    lag_p50_us: float | None = None
    lag_p99_us: float | None = None
    lag_max_us: float | None = None
    journal_waiting: int = 0
    journal_seq: int = 0
    projected_seq: int = 0
    requests_under_way: int = 0
    state_waiting: int = 0
    feed_age_ms_max: float | None = None
    """The oldest proof of a watched book; None = no book is watched."""
    feeds: dict[str, FeedStatus] = {}
    not_placing: dict[str, tuple[str, ...]] = {}
    """Account → why nothing is placed there."""
    latches: tuple[ScopedLatch, ...] = ()
    latch_reason: str = ""
    """Who set the KILL latch and why, as risk knows it; empty = it is not set."""
    refusals: tuple[str, ...] = ()
    """Files that refuse what waits for them."""
    receipt: str | None = None
    settings_version: int = 0
    unlock_key: str = ""
    """The public key of this start for which a vault's passphrase is sealed; empty = none."""


class WatchedMarket(msgspec.Struct, frozen=True, kw_only=True):
    """A market a bot evaluates."""

    instrument: InstrumentId
    left: tuple[ResidualReason, ...] = ()
    """Why parts of its last plan became no order, each reason once."""
    denied: str = ""
    """Why risk said no to it; empty = it did not."""


class BotStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One bot as it stands."""

    name: str
    mode: Mode
    account: str
    strategy: str
    state: str
    error: str
    capital_micro: int
    evaluations: int
    watching: tuple[WatchedMarket, ...] = ()


class BookTop(msgspec.Struct, frozen=True, kw_only=True):
    """The best levels of a book as one account has it, in YES-space increments, best first."""

    account: AccountId
    instrument: InstrumentId
    trusted: bool
    bids: tuple[tuple[int, int], ...]
    """(price, size)."""
    asks: tuple[tuple[int, int], ...]
