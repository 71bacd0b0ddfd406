"""What a running engine says of itself each second: a struct a row, read as it was written.

Whole numbers are in increments or micro-units, times in ns UTC, durations in the unit of the name.
What an engine of another version left out has a default that says "not reported".
"""

from __future__ import annotations

import msgspec

from engine.domain.decisions import Rest
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.intents import ResidualReason
from engine.domain.orders import OrderId
from engine.domain.rates import Rate
from engine.domain.rewards import Earning


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
    """A scoped KILL that is not released; neither bot nor instrument = the whole account."""

    account: AccountId
    bot: BotId | None
    instrument: InstrumentId | None
    who: str
    reason: str
    at_ns: int


class StreamLost(msgspec.Struct, frozen=True, kw_only=True):
    """The private stream of an account that brings nothing."""

    mode: Mode
    why: str


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine as a whole says of itself beside its heartbeat."""

    turns: int = 0
    """Of the last second, as are `events` and how long a turn took; None = there was none."""
    events: int = 0
    turn_p99_us: float | None = None
    turns_measured: int = 0
    """Since this start, as are the next two: at most 20,000 of a second are measured."""
    turn_p99_us_all: float | None = None
    """99 of 100 of all turns took at most so long, right within 6 %."""
    turn_us_max: float | None = None
    """The longest turn."""
    answers: int = 0
    """New orders of the last minute that their venues answered, as are the next two."""
    answer_ms_median: float | None = None
    """From the request's leaving to its answer; None = there was none."""
    answer_ms_max: float | None = None
    journal_waiting: int = 0
    journal_seq: int = 0
    projected_seq: int = 0
    feed_age_ms_max: float | None = None
    """The oldest proof of a watched book; None = no book is watched."""
    feeds: dict[str, FeedStatus] = {}
    private_lost: dict[str, StreamLost] = {}
    """Account → its private stream (orders, fills), where that is lost."""
    not_placing: dict[str, tuple[str, ...]] = {}
    """Account → why nothing is placed there."""
    to_release: dict[str, tuple[str, ...]] = {}
    """Account → what stops it until a person releases it: falls, contradictions, refused orders."""
    latches: tuple[ScopedLatch, ...] = ()
    latch_reason: str = ""
    """Who set the KILL latch of the whole desk and why, as risk knows it; empty = it is not set."""
    killed_bots: tuple[str, ...] = ()
    """Bots that a KILL has paused, of which no person asked anything since."""
    refusals: tuple[str, ...] = ()
    """Files that refuse what waits for them."""
    receipt: str | None = None
    settings_version: int = 0
    unlock_key: str = ""
    """The public key of this start for which a vault's passphrase is sealed; empty = none."""

    def turns_in_words(self) -> str:
        """Return how long all turns since this start took; empty = none was measured."""
        if self.turn_p99_us_all is None or self.turn_us_max is None:
            return ""
        return (
            f"99 of 100 within {self.turn_p99_us_all / 1_000:,.2f} ms, the longest "
            f"{self.turn_us_max / 1_000:,.1f} ms, of {self.turns_measured:,}"
        )


class WatchedMarket(msgspec.Struct, frozen=True, kw_only=True):
    """A market a bot evaluates."""

    instrument: InstrumentId
    left: tuple[ResidualReason, ...] = ()
    """Why parts of its last plan became no order, each reason once."""
    denied: str = ""
    """Why risk said no to it; empty = it did not."""
    reduce_only: bool = False
    """It left the filter the bot follows: what is held there is worked out, nothing is added."""
    rest: Rest | None = None
    """The bot's own pause there; None = it may open."""
    reached: bool = False
    """It takes positions, has one there, and nothing is left to do: it waits to leave it."""


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
    unlisted: str = ""
    """Which markets it names and its venue has not listed since the start, in words."""


class BookTop(msgspec.Struct, frozen=True, kw_only=True):
    """The best levels of a book as one account has it, in YES-space increments, best first."""

    account: AccountId
    instrument: InstrumentId
    trusted: bool
    bids: tuple[tuple[int, int], ...]
    """(price, size)."""
    asks: tuple[tuple[int, int], ...]
    proof_ns: int | None = None
    """When the venue last proved this book; None = never."""
    last: int | None = None
    """Price of the last trade; None = none was received since the account receives the market."""
    ahead: dict[OrderId, int] = {}
    """Own resting order → the most that can stand before it at its price. An estimate: the level
    as it was when the order was first seen to rest, and never more than the level since."""
    followed: bool = False
    """A person asked that the account receives it."""


class MarginSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One perpetual of an account as margin sees it. Prices in 1e-8, money in micro-units.

    An estimate by the venue's tiers, with all cash of the account behind each position (cross
    margin): it warns, and only a venue liquidates.
    """

    instrument: InstrumentId
    size: int
    """What the venue holds, the owners netted: below 0 short."""
    used_micro: int
    """What its owners' positions take of free cash here."""
    mark_e8: int | None = None
    """The venue's mark; None = it has said none yet."""
    marked_ns: int | None = None
    due_micro: int | None = None
    """Maintenance margin at the mark; None = unknown, the mark is missing or old."""
    liquidation_e8: int | None = None
    """The mark at which the venue takes over; None = there is none, or see `unknown`."""
    buffer_ppm: int | None = None
    """How far the mark may move before that, in parts per million; None = there is no such price,
    or it is unknown."""
    unknown: str = ""
    """What of this cannot be said, and why; empty = all of it is said."""


class LockedMoney(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one market that is not free cash, and what would free it. In micro-units."""

    instrument: InstrumentId | None
    """None = all the others together: `markets` of them."""
    markets: int = 1
    closes_ns: int | None = None
    """The announced end; None = there is none."""
    resolved: bool = False
    orders_micro: int = 0
    """Reserved by its orders."""
    pending_micro: int = 0
    """Sold or won by fills that have not settled."""
    held_micro: int = 0
    """What its tokens cost."""
    redeemable_micro: int = 0
    redemption: str = ""
    """How far its redemption is; empty = none was asked for."""
    margin_micro: int = 0
    """What positions of a perpetual take."""
    between_micro: int = 0
    """What its owners made of each other, as `Capital.between_micro`."""

    @property
    def micro(self) -> int:
        bound = self.orders_micro + self.margin_micro + self.pending_micro
        return bound + self.held_micro + self.redeemable_micro + self.between_micro


class AssetSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has of an asset that is not its currency. Amounts as exact text."""

    asset: str
    held: str
    """In positions that are paid for: counted in equity. What is held against margin is none."""
    beside: str
    """Dust, less what fees took of it where it is not what they traded: no equity counts it."""
    rate: Rate | None
    """To the account's currency; None = no feed gives one."""
    worth_micro: int | None
    """Worth of both; None = unknown, its rate is missing or stale."""


class Capital(msgspec.Struct, frozen=True, kw_only=True):
    """Where all money of one account is, by its ledger, in micro-units. Tokens at their cost."""

    account: AccountId
    mode: Mode
    currency: str
    at_ns: int
    settled_micro: int
    open_micro: int
    """Of the settled, reserved by orders the venue has confirmed; so many orders."""
    open_orders: int
    doubtful_micro: int
    """Of the settled, reserved by orders on their way, held back, or UNKNOWN."""
    doubtful_orders: int
    pending_micro: int
    redeemable_micro: int
    redeeming_micro: int
    """Of the redeemable, asked for and not paid yet."""
    pairs_micro: int
    """Cost of free pairs of YES and NO, and what merging them would bring."""
    pairs_worth_micro: int
    dust_micro: int
    """Cost of what is too little of a leg for the smallest order."""
    held_micro: int
    """Cost of all other tokens."""
    deposits_micro: int
    realised_micro: int
    fees_micro: int
    income_micro: int = 0
    """Rewards and rebates."""
    venue_micro: int | None = None
    """Cash as the venue said it last, from its own cache; None = it has not yet."""
    venue_ns: int | None = None
    locks: tuple[LockedMoney, ...] = ()
    """Everything but free cash, by its market."""
    assets: tuple[AssetSeen, ...] = ()
    margin_micro: int = 0
    """Of the settled, what positions of perpetuals take."""
    between_micro: int = 0
    """What owners of perpetuals made of each other at a venue that nets them: realised of the one
    and not of the account. It is 0 again when all are flat."""
    margins: tuple[MarginSeen, ...] = ()
    rate: Rate | None = None
    """What its currency is worth in USDC by rule or the books; None = no rate, or a stale one."""

    @property
    def free_micro(self) -> int:
        """What an order may commit now: planner, gate and ledger allow no more."""
        return self.settled_micro - self.reserved_micro - self.margin_micro

    @property
    def reserved_micro(self) -> int:
        """Of the settled, what orders may still take."""
        return self.open_micro + self.doubtful_micro

    @property
    def tokens_micro(self) -> int:
        return self.pairs_micro + self.dust_micro + self.held_micro

    @property
    def whole_micro(self) -> int:
        """All of it; equal to deposits + realised - fees + income, to the micro-unit."""
        cash = self.settled_micro + self.pending_micro + self.redeemable_micro
        return cash + self.tokens_micro + self.between_micro


class Earnings(msgspec.Struct, frozen=True, kw_only=True):
    """What each working order of an account earns of its market's rewards, as estimated here."""

    account: AccountId
    currency: str
    at_ns: int
    orders: tuple[Earning, ...]
    scoring: dict[int, bool] = {}
    """Order → whether the venue itself said that it scores, when it was sampled last."""
    scoring_ns: int | None = None
    """When that was; None = the venue was not asked, or has not answered yet."""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a contract of the venue may take one asset of a wallet."""

    asset: str
    """In words, as is `contract`."""
    contract: str
    address: str
    approved: bool


class Approvals(msgspec.Struct, frozen=True, kw_only=True):
    """What an account's wallet has approved, as its venue reported it last."""

    account: AccountId
    approvals: tuple[Approval, ...]
    told_ns: int | None
    """None = it was never answered."""
    failed: str = ""
    """Why the last question got no answer; empty = it did."""
