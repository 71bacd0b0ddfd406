"""Settings of an executor: every patience, interval and maximum by name, with its unit."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.domain.settings import Settings

MS = 1_000_000
"""Nanoseconds per millisecond."""

NEVER = 2**63 - 1
"""A time that does not come."""

PositiveMilliseconds = Annotated[int, Field(ge=1, le=86_400_000)]


class ExecutorSettings(Settings):
    """How one account's executor plans, waits, asks and remembers."""

    # -- planning
    resize_tolerance_percent: Annotated[int, Field(ge=0, le=1_000)] = 25
    """A resting quote this much larger than intended is left in its place in the queue."""
    gtd_ms: Annotated[int, Field(ge=60_000, le=86_400_000)] | None = None
    """Resting orders expire by themselves after this long; None = good till cancelled."""
    fence: Annotated[int, Field(ge=0)] = 0
    """Token of the engine's lease, written on every order."""

    # -- after a refusal
    cooldown_cross_ms: PositiveMilliseconds = 250
    """Pause after a would-cross reject, a killed rest or a place that was never sent."""
    cooldown_reject_ms: PositiveMilliseconds = 1_000
    """First pause after any other reject; doubles with each further one."""
    cooldown_ms_max: PositiveMilliseconds = 60_000

    # -- silence (law J)
    ask_delays_ms: tuple[PositiveMilliseconds, ...] = (500, 1_000, 2_000, 4_000)
    """Pauses before each question about an UNKNOWN order; the last one doubles from there."""
    ask_delay_ms_max: PositiveMilliseconds = 30_000
    grace_ms: PositiveMilliseconds = 5_000
    """`Not found` is not believed before the order has been unknown for this long."""
    not_found_confirmations: Annotated[int, Field(ge=1, le=100)] = 2
    in_flight_ms_max: PositiveMilliseconds = 30_000
    """SENT, DELAYED or CANCELLING without news for this long is UNKNOWN."""

    # -- reconciliation
    listing_interval_ms: PositiveMilliseconds = 15_000
    listing_confirm_ms: PositiveMilliseconds = 1_000
    """Pause before the listing that confirms an empty or incomplete one."""
    fills_interval_ms: PositiveMilliseconds = 30_000
    fills_overlap_ms: PositiveMilliseconds = 120_000
    """How far a listing of fills reaches behind the last one that succeeded."""
    balances_interval_ms: PositiveMilliseconds = 60_000
    answer_ms_max: PositiveMilliseconds = 15_000
    """A question without an answer for this long is asked again."""

    # -- the wallet
    redeem_above_micro: Annotated[int, Field(ge=0)] | None = 0
    """Winners worth at least this are redeemed by the account itself; None = none are."""
    merge_above_micro: Annotated[int, Field(ge=1)] | None = None
    """Free pairs worth at least this are merged by the account itself; None = none are."""
    redemptions_interval_ms: PositiveMilliseconds = 15_000
    """How often payments are asked for while somebody else is to redeem."""
    redemptions_overlap_ms: PositiveMilliseconds = 600_000
    """How far a listing of payments reaches behind the last one: the venue's index lags."""
    wallet_ask_ms: PositiveMilliseconds = 5_000
    """Shortest pause between two questions about an operation; it grows with the silence."""
    wallet_patience_ms: PositiveMilliseconds = 30_000
    """An operation without news for this long is unknown."""
    wallet_grace_ms: PositiveMilliseconds = 10_000
    """An operation the venue does not know is over when it was asked for this long before."""
    wallet_wait_ms: PositiveMilliseconds = 1_800_000
    """How long an unknown operation holds up the next one of the wallet."""
    redeem_pause_ms: PositiveMilliseconds = 60_000
    """Pause before what failed is tried again by the account itself."""

    cash_tolerance_micro: Annotated[int, Field(ge=0)] = 10_000
    """BalanceDifference to the venue's cash that rounding explains."""
    starts_reconciled: bool = False
    """True for an account that cannot have a past (a replay's); else `recover` must come first."""
    marks_wait_ms_max: PositiveMilliseconds = 30_000
    """How long a start waits for the first mark of everything held before equity is judged."""

    budget_interval_ms: PositiveMilliseconds = 60_000
    """How old the journal's equity may be."""
    peak_interval_ms: PositiveMilliseconds = 1_000
    """How old its peak of equity may be."""

    # -- memory
    ended_orders_max: Annotated[int, Field(ge=1)] = 2_000
    """Ended orders kept, so that a late fill finds its order; a snapshot carries them all."""
    instruments_max: Annotated[int, Field(ge=1)] = 20_000
