"""Breakers: the day's anchor, the peak, the stops and the KILL latch of one account.

Takes equity and cash movements with their times; gives trips once, when they happen. Everything
survives a restart through `state` and `restore`: a restart never moves the budget, the peak, the
stop or the latch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from engine.domain.settings import Limit, RiskLimits
from engine.errors import BadInput
from engine.risk.reasons import DenyReason

DAY_NS = 86_400 * 1_000_000_000


class Breaker(NamedTuple):
    """One stop: how far equity may fall, from where, and what ends it."""

    reason: DenyReason
    """Its name, too: the field of the state that says whether it stands."""
    limit: Callable[[RiskLimits], Limit]
    of_the_day: bool
    """Counted from the day's anchor and lifted by the next day; else counted from the peak, and a
    person must release it."""
    latches: bool = False
    """It sets the KILL latch, too."""


BREAKERS = (
    Breaker(DenyReason.DAILY_LOSS, lambda limits: limits.daily_loss_max, of_the_day=True),
    Breaker(DenyReason.DRAWDOWN, lambda limits: limits.drawdown_max, of_the_day=False),
    Breaker(
        DenyReason.KILL_DRAWDOWN,
        lambda limits: limits.kill_drawdown_max,
        of_the_day=False,
        latches=True,
    ),
)
"""Every stop, the most serious one last. Another one is a row here and a field of its name in the
state."""


class Trip(msgspec.Struct, frozen=True):
    """A stop that has just begun, with the numbers that caused it."""

    kind: DenyReason
    numbers: tuple[tuple[str, int], ...]


class _BreakerState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything that must survive. `day` None = no equity was ever told."""

    day: int | None = None
    day_start_equity_micro: int = 0
    peak_equity_micro: int = 0
    equity_micro: int = 0
    daily_loss: bool = False
    drawdown: bool = False
    kill_drawdown: bool = False
    latched: bool = False
    latch_who: str = ""
    latch_reason: str = ""


class Breakers:
    """Stops of one account. Call `cash_moved` before the first `equity` that contains the cash.

    A daily stop lifts with the first equity of a later UTC day. A drawdown stop lasts until a
    person releases it (`release_latch`), because the peak never resets by time.
    """

    def __init__(self, limits: RiskLimits) -> None:
        self._limits = limits
        self._scaled_for: int | None = None
        """The anchor the amounts below were worked out for; None = they were not."""
        self._falls_max: tuple[int, ...] = ()
        """How far equity may fall, by breaker."""
        self._state = _BreakerState()
        self.stopped: DenyReason | None = None
        """The most serious stop in force; None = none."""
        self.latched = False
        self.day_start_equity_micro = 0
        """Equity at 00:00 UTC, moved by cash; 0 until equity was first told."""

    # -- what happened -----------------------------------------------------------------------------

    def equity(self, equity_micro: int, now_ns: int) -> tuple[Trip, ...]:
        """Take the account's equity at risk marks; return the stops that begin with it."""
        state = self._state
        day = now_ns // DAY_NS
        if state.day is None:
            state.day = day
            state.day_start_equity_micro = state.peak_equity_micro = equity_micro
        elif day > state.day:
            # Equity at 00:00 is the last one known before it, so that a restart around midnight
            # cannot hide a loss; a value older than the day before says nothing about today.
            fresh = day == state.day + 1
            state.day_start_equity_micro = state.equity_micro if fresh else equity_micro
            state.day = day
            self._lift(of_the_day=True)
        state.equity_micro = equity_micro
        state.peak_equity_micro = max(state.peak_equity_micro, equity_micro)
        trips = self._trips(equity_micro)
        self._settle()
        return trips

    def cash_moved(self, amount_micro: int) -> None:
        """Shift anchor and peak by a deposit (+) or withdrawal (−): it is never PnL."""
        state = self._state
        if state.day is None:
            return  # the first equity will contain it
        state.day_start_equity_micro += amount_micro
        state.peak_equity_micro += amount_micro
        state.equity_micro += amount_micro
        self._settle()

    def set_latch(self, who: str, reason: str) -> None:
        """Set the KILL latch. It is never refused; the first reason is kept."""
        state = self._state
        if not state.latched:
            state.latched = True
            state.latch_who = who
            state.latch_reason = reason
        self._settle()

    def release_latch(self, reason: str) -> None:
        """Release the latch and a drawdown stop; the peak begins anew if a drawdown stood.

        Raises BadInput on an empty reason. A daily stop stays until the next day.
        """
        if not reason.strip():
            raise BadInput("type a reason to release the latch; nothing was changed")
        state = self._state
        if self._lift(of_the_day=False):
            # The fall was accepted by a person; from the old peak it would trip again at once.
            state.peak_equity_micro = state.equity_micro
        state.latched = False
        state.latch_who = state.latch_reason = ""
        self._settle()

    def apply(self, limits: RiskLimits) -> None:
        """Take new limits; they judge from the next equity on and lift no stop in force."""
        self._limits = limits
        self._scaled_for = None

    # -- what everyone may ask ---------------------------------------------------------------------

    @property
    def day(self) -> int | None:
        """The UTC day the anchor belongs to, in days since 1970; None before the first equity."""
        return self._state.day

    @property
    def peak_equity_micro(self) -> int:
        """Highest equity since the start or the last accepted drawdown, moved by cash."""
        return self._state.peak_equity_micro

    @property
    def latch_reason(self) -> str:
        """Who set the latch and why; empty while it is not set."""
        state = self._state
        return f"{state.latch_who}: {state.latch_reason}" if state.latched else ""

    @property
    def numbers(self) -> tuple[tuple[str, int], ...]:
        """The numbers the stops look at."""
        state = self._state
        anchor = state.day_start_equity_micro
        return (
            ("equity_micro", state.equity_micro),
            ("day_start_equity_micro", anchor),
            ("daily_loss_max_micro", self._limits.daily_loss_max.micro(anchor)),
            ("peak_equity_micro", state.peak_equity_micro),
            ("drawdown_max_micro", self._limits.drawdown_max.micro(anchor)),
            ("kill_drawdown_max_micro", self._limits.kill_drawdown_max.micro(anchor)),
        )

    def state(self) -> bytes:
        """Return everything that must survive a restart."""
        return msgspec.json.encode(self._state)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. A latch already set stays set. Raises BadInput."""
        try:
            restored = msgspec.json.decode(state, type=_BreakerState)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"the breakers' state cannot be read: {error}") from None
        mine = self._state
        if mine.latched and not restored.latched:
            restored.latched = True
            restored.latch_who, restored.latch_reason = mine.latch_who, mine.latch_reason
        self._state = restored
        self._settle()

    @property
    def kept(self) -> tuple[object, ...]:
        """What a restart must not move, for comparison: anchor, stops and latch, but no equity."""
        state = self._state
        stands = (getattr(state, one.reason) for one in BREAKERS)
        return (state.day, state.day_start_equity_micro, *stands, state.latched)

    # -- inside ------------------------------------------------------------------------------------

    def _trips(self, equity_micro: int) -> tuple[Trip, ...]:
        state = self._state
        anchor = state.day_start_equity_micro
        if anchor != self._scaled_for:
            self._scale(anchor)
        falls = (state.peak_equity_micro - equity_micro, anchor - equity_micro)
        trips: list[Trip] = []
        for one, fall_max in zip(BREAKERS, self._falls_max, strict=True):
            fall = falls[one.of_the_day]
            if fall > fall_max and not getattr(state, one.reason):
                setattr(state, one.reason, True)
                if one.latches:
                    self.set_latch("risk", f"equity fell {fall} micro-units from its peak")
                trips.append(Trip(one.reason, self.numbers))
        return tuple(trips)

    def _lift(self, *, of_the_day: bool) -> bool:
        """Lift what stands of one sort; say whether anything did."""
        standing = [
            one.reason
            for one in BREAKERS
            if one.of_the_day is of_the_day and getattr(self._state, one.reason)
        ]
        for reason in standing:
            setattr(self._state, reason, False)
        return bool(standing)

    def _scale(self, anchor: int) -> None:
        """Turn the limits into money; percentages follow the day's starting equity."""
        self._falls_max = tuple(one.limit(self._limits).micro(anchor) for one in BREAKERS)
        self._scaled_for = anchor

    def _settle(self) -> None:
        """Copy what the gate reads on every order into plain attributes."""
        state = self._state
        self.latched = state.latched
        self.day_start_equity_micro = state.day_start_equity_micro
        standing = [one.reason for one in BREAKERS if getattr(state, one.reason)]
        self.stopped = standing[-1] if standing else None
