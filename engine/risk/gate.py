"""The gate: allows an order, shrinks it, or names the reason and the numbers; and its breakers.

Takes an order that may be placed and reads limits, breakers and exposure; changes nothing. The
first failing reason wins; a limit that leaves room for a smaller legal size shrinks instead.
Exactly at a limit is allowed, one micro-unit over is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from engine.domain.instruments import UNASSIGNED, BotId, Instrument, InstrumentId, Leg, Mode
from engine.domain.money import money_text
from engine.domain.orders import Order
from engine.domain.settings import Limit, RiskLimits
from engine.errors import BadInput, BrokenInvariant
from engine.risk.exposure import NO_BOUND, ExposureBook, InstrumentRisk, Worst
from engine.risk.reasons import MEANINGS, DenyReason, Numbers

__all__ = ["MEANINGS", "Allowed", "Breakers", "Denied", "DenyReason", "RiskGate"]

# -- Breakers: the day's anchor, the peak, the stops and the KILL latch of one account -------------

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
    """It sets the KILL latch, too, where the money is real."""


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


class _Day(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is counted for one UTC day alone."""

    day: int
    start_equity_micro: int
    daily_loss: bool


class UnmarkedTokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that came by no trade, and that no book has marked yet."""

    instrument: InstrumentId
    leg: Leg
    tokens: int


class _BreakerState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything that must survive. `day` None = no equity was ever given."""

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
    other: _Day | msgspec.UnsetType = msgspec.UNSET
    """The day that was left last, in case the clock is set over midnight again."""
    unmarked: tuple[UnmarkedTokens, ...] | msgspec.UnsetType = msgspec.UNSET
    """What shifts anchor and peak by its first mark; UNSET = nothing does."""


class Breakers:
    """Stops of one account. Call `cash_moved` before the first `equity` that contains the cash.

    A daily stop lifts with the first equity of a later UTC day; a clock that ran ahead and is set
    back sets it again. A drawdown stop lasts until a
    person releases it (`release_latch`), because the peak never resets by time. Without real money
    (`mode`) the deepest fall stops its account as the other one does, and no other.
    """

    def __init__(self, limits: RiskLimits, mode: Mode = Mode.LIVE) -> None:
        self._limits = limits
        self._real = mode is Mode.LIVE
        self._scaled_for: int | None = None
        """The anchor the amounts below were worked out for; None = they were not."""
        self._falls_max: tuple[tuple[Breaker, int], ...] = ()
        """Every breaker, and how far equity may fall before it."""
        self._state = _BreakerState()
        self.stopped: DenyReason | None = None
        """The most serious stop in force; None = none."""
        self.latched = False
        self.day_start_equity_micro = 0
        """Equity at 00:00 UTC, moved by cash; 0 until equity was first given."""
        self.durable: tuple[object, ...] = (None,)
        """What a restart must not move, for comparison: anchor, stops and latch, but no equity."""
        self._settle()

    # -- what happened -----------------------------------------------------------------------------

    def equity(self, equity_micro: int, now_ns: int) -> tuple[Trip, ...]:
        """Take the account's equity at risk marks; return the stops that begin with it."""
        state = self._state
        day = now_ns // DAY_NS
        if state.day is None:
            state.day = day
            state.day_start_equity_micro = state.peak_equity_micro = equity_micro
        elif day != state.day:
            self._turn(state.day, day, equity_micro)
        state.equity_micro = equity_micro
        if equity_micro > state.peak_equity_micro:
            state.peak_equity_micro = equity_micro
        trips = self._trips(equity_micro)
        if trips or state.day != self.durable[0]:
            self._settle()
        return trips

    def room(self) -> tuple[int, int]:
        """Return the least equity that begins no stop besides those that stand, and the peak."""
        state = self._state
        anchor, peak = state.day_start_equity_micro, state.peak_equity_micro
        if anchor != self._scaled_for:
            self._scale(anchor)
        floor = -(1 << 62)
        for one, fall in self._falls_max:
            least = (anchor if one.of_the_day else peak) - fall
            if least > floor and not getattr(state, one.reason):
                floor = least
        return floor, peak

    def keep_equity(self, equity_micro: int) -> None:
        """Take equity that begins no stop, on the same day."""
        state = self._state
        state.equity_micro = equity_micro
        state.peak_equity_micro = max(state.peak_equity_micro, equity_micro)

    def cash_moved(self, amount_micro: int) -> None:
        """Shift anchor and peak by a deposit (+) or withdrawal (−): it is never PnL."""
        state = self._state
        if state.day is None:
            return  # the first equity will contain it
        state.day_start_equity_micro += amount_micro
        if state.other is not msgspec.UNSET:
            state.other.start_equity_micro += amount_micro
        state.peak_equity_micro += amount_micro
        state.equity_micro += amount_micro
        self._settle()

    @property
    def unmarked(self) -> tuple[UnmarkedTokens, ...]:
        """Tokens whose first mark is to shift anchor and peak."""
        return self._state.unmarked or ()

    def tokens_came(self, instrument: InstrumentId, leg: Leg, tokens: int) -> None:
        """Note tokens that came before any book: they shift anchor and peak when one is there."""
        came = UnmarkedTokens(instrument=instrument, leg=leg, tokens=tokens)
        self._state.unmarked = (*self.unmarked, came)
        self._settle()

    def tokens_marked(self, came: UnmarkedTokens, worth_micro: int) -> None:
        """Shift by what they are worth at their first mark."""
        left = tuple(one for one in self.unmarked if one is not came)
        self._state.unmarked = left or msgspec.UNSET
        self.cash_moved(worth_micro)
        self._settle()

    def set_latch(self, who: str, reason: str) -> None:
        """Set the KILL latch. It is never refused; the first reason is kept."""
        state = self._state
        if not state.latched:
            state.latched = True
            state.latch_who = who
            state.latch_reason = reason
        self._settle()

    def release_latch(self, reason: str, *, kill_only: bool = False) -> None:
        """Release the latch and a drawdown stop; the peak begins anew if a drawdown stood.

        `kill_only` leaves that stop. Raises BadInput on an empty reason. A daily stop stays until
        the next day.
        """
        if not reason.strip():
            raise BadInput("type a reason to release the latch; nothing was changed")
        state = self._state
        if not kill_only and self._lift(of_the_day=False):
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
    def awaits_release(self) -> bool:
        """True while a stop stands that no day lifts: a person must release it."""
        return any(not one.of_the_day and getattr(self._state, one.reason) for one in BREAKERS)

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

    # -- inside ------------------------------------------------------------------------------------

    def _turn(self, before: int, day: int, equity_micro: int) -> None:
        """Begin another UTC day, or go on with the one a clock was set back to or left too early.

        A clock set back brings back that day's anchor and stop, and one set forward again finds
        its own: a day counts from its anchor or, if that is higher, from its last midnight.
        """
        state, begun = self._state, self._state.other
        state.other = _Day(
            day=before, start_equity_micro=state.day_start_equity_micro, daily_loss=state.daily_loss
        )
        state.day = day
        if begun is not msgspec.UNSET and begun.day == day:
            back = day < before
            state.day_start_equity_micro = (
                begun.start_equity_micro
                if back
                else max(begun.start_equity_micro, state.equity_micro)
            )
            state.daily_loss = begun.daily_loss or (back and state.daily_loss)
        elif day > before:
            # Equity at 00:00 is the last one known before it, so that a restart around midnight
            # cannot hide a loss; a value older than the day before says nothing about today.
            fresh = day == before + 1
            state.day_start_equity_micro = state.equity_micro if fresh else equity_micro
            self._lift(of_the_day=True)

    def _trips(self, equity_micro: int) -> tuple[Trip, ...]:
        state = self._state
        anchor = state.day_start_equity_micro
        if anchor != self._scaled_for:
            self._scale(anchor)
        falls = (state.peak_equity_micro - equity_micro, anchor - equity_micro)
        trips: list[Trip] = []
        for one, fall_max in self._falls_max:
            fall = falls[one.of_the_day]
            if fall > fall_max and not getattr(state, one.reason):
                setattr(state, one.reason, True)
                if one.latches and self._real:
                    self.set_latch("risk", f"equity fell {money_text(fall)} from its peak")
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
        self._falls_max = tuple((one, one.limit(self._limits).micro(anchor)) for one in BREAKERS)
        self._scaled_for = anchor

    def _settle(self) -> None:
        """Copy what the gate reads on every order into plain attributes."""
        state = self._state
        self.latched = state.latched
        self.day_start_equity_micro = state.day_start_equity_micro
        stands = [getattr(state, one.reason) for one in BREAKERS]
        standing = [one.reason for one, so in zip(BREAKERS, stands, strict=True) if so]
        self.stopped = standing[-1] if standing else None
        self.durable = (
            state.day,
            state.day_start_equity_micro,
            *stands,
            state.latched,
            self.unmarked,
        )


# -- What the gate answers -------------------------------------------------------------------------

Reduces = Callable[[Order], int]


class Allowed(msgspec.Struct, frozen=True):
    """The order may be placed with this size, a multiple of the lot, never more than asked."""

    size: int


class Denied(msgspec.Struct, frozen=True):
    """The order must not be placed: why, and every number that was looked at."""

    reason: DenyReason
    numbers: Numbers


# -- The gate: allows an order, shrinks it, or names the reason and the numbers --------------------


class RiskGate:
    """The rules of one account. `check` is a pure reading; the executor acts on the answer."""

    def __init__(self, *, limits: RiskLimits, breakers: Breakers, exposure: ExposureBook) -> None:
        self._breakers = breakers
        self._exposure = exposure
        self.limits = limits
        self._scale()

    @property
    def breakers(self) -> Breakers:
        """The account's stops and latch; the executor tells them, the gate reads them."""
        return self._breakers

    @property
    def exposure(self) -> ExposureBook:
        """The account's worst case; the executor is its one writer, the gate reads it."""
        return self._exposure

    def apply(self, limits: RiskLimits) -> None:
        """Take new limits, for the gate and its breakers."""
        self.limits = limits
        self._breakers.apply(limits)
        self._scale()

    def exceeded(self, instrument: InstrumentId, open_orders: int) -> bool:
        """Say whether what is held and what may still fill is over a limit, without a new order."""
        risk = self._exposure.of(instrument)
        market = risk.market_sum.worst_micro
        return open_orders > self._orders_max or not all(
            self._within(owner, risk, risk.micro, market, 0)
            for owner in risk.owners or (UNASSIGNED,)
        )

    def too_large(self, value: int, instrument: Instrument) -> bool:
        """Say whether an order is worth more than one may be; `value` is price times size."""
        return -(-value // instrument.value_divisor) > self._value_max

    def bot_max_micro(self, bot: BotId) -> int:
        """Return what a bot may risk: its capital, and never more than the account's limit."""
        return min(self._bot_max, self._exposure.capital_micro.get(bot, self._bot_max))

    def _scale(self) -> None:
        """Turn limits into micro-units; percentages follow the day's starting equity."""
        limits = self.limits
        anchor = self._breakers.day_start_equity_micro
        self._anchor = anchor
        self.age_ns_max = limits.data_age_ms_max * 1_000_000
        self.mark_age_ns_max = limits.mark_age_ms_max * 1_000_000
        """The oldest proof of a book that is believed, and the oldest mark of a holding."""
        self._exposure.buffers.limit(limits.liquidation_buffer_min, self.mark_age_ns_max)
        self._orders_max = limits.open_orders_max
        self._value_min = limits.order_value_min.micro(anchor)
        self._value_max = limits.order_value_max.micro(anchor)
        self._instrument_max = limits.exposure_instrument_max.micro(anchor)
        self._market_max = limits.exposure_market_max.micro(anchor)
        self._bot_max = limits.exposure_bot_max.micro(anchor)
        self._account_max = limits.exposure_account_max.micro(anchor)
        self._total_max = limits.exposure_total_max.micro(anchor)

    def check(
        self, order: Order, *, reduces: Reduces, mark_age_ns: int | None, open_orders: int
    ) -> Allowed | Denied:
        """Judge one order. `mark_age_ns` is the age of the book's proof, None = never proven.

        What of it `reduces`, which leads towards a position of zero, in increments of size, passes
        exposure limits where it adds no risk. `open_orders` counts those that may still fill,
        without this one. Raises BrokenInvariant where leg or price cannot be the instrument's.
        """
        breakers = self._breakers
        if breakers.latched:
            return Denied(DenyReason.LATCHED, ())
        if breakers.stopped is not None:
            return Denied(breakers.stopped, breakers.numbers)
        if mark_age_ns is None or mark_age_ns > self.age_ns_max:
            return self._stale(mark_age_ns)
        if open_orders >= self._orders_max:
            numbers = (("open_orders", open_orders), ("open_orders_max", self._orders_max))
            return Denied(DenyReason.OPEN_ORDERS, numbers)
        if breakers.day_start_equity_micro != self._anchor:
            self._scale()
        leg, price = order.leg, order.price
        risk = self._exposure.risks[order.instrument]
        instrument = risk.instrument
        if leg not in risk.product.legs or not 0 < price < risk.product.end:
            raise BrokenInvariant(f"{instrument.id}: no order for {leg} at price {price}")
        size = order.size - order.size % instrument.lot
        value = -(-price * size // risk.divisor)
        if (size < instrument.size_min or size <= 0 or value < self._value_min) and not (
            order.reduce_only and size > 0  # a close has no minimum, the person's neither
        ):
            return Denied(DenyReason.ORDER_TOO_SMALL, self._value_numbers(order, risk, size, value))
        if value > self._value_max:
            fits = self._value_max * risk.divisor // price
            size = fits - fits % instrument.lot
            if not self._legal(order, risk, size):
                looked_at = (*self._value_numbers(order, risk, size, value), ("fitting_size", size))
                return Denied(DenyReason.ORDER_TOO_LARGE, looked_at)
        would_be = risk.would_be_micro(leg, order.side, price, size, order.post_only)
        grown = would_be - risk.micro
        shared = risk.market_sum.one_wins
        market = would_be + _beside(order, risk) if shared else risk.market_sum.micro + grown
        owned = grown
        owners = risk.owners
        if len(owners) != 1 or order.bot not in owners:
            part = owners.get(order.bot) or Worst(risk.instrument)
            owned = part.would_be_micro(leg, order.side, price, size, order.post_only) - part.micro
        if self._within(order.bot, risk, would_be, market, owned):
            return Allowed(size)
        return self._shrunk(order, risk, size, min(size, reduces(order)))

    def _within(
        self, owner: BotId, risk: InstrumentRisk, would_be: int, market: int, owned: int
    ) -> bool:
        """Say whether exposure of an instrument and its market may be this much by every limit.

        `owned` is by how much the owner's own exposure grows.
        """
        grown = would_be - risk.micro
        exposure = self._exposure
        account = exposure.account.micro + grown
        bot_micro = exposure.bot_micro(owner) + owned
        capital = exposure.capital_micro.get(owner)
        return (
            would_be <= self._instrument_max
            and market <= self._market_max
            and bot_micro <= self._bot_max
            and (capital is None or bot_micro <= capital)
            and account <= self._account_max
            and account + exposure.others_micro <= self._total_max
        )

    def _stale(self, mark_age_ns: int | None) -> Denied:
        known = () if mark_age_ns is None else (("data_age_ns", mark_age_ns),)
        return Denied(DenyReason.STALE_DATA, (*known, ("data_age_ns_max", self.age_ns_max)))

    def _shrunk(
        self, order: Order, risk: InstrumentRisk, size: int, reducing: int
    ) -> Allowed | Denied:
        """Find the largest legal size under all exposure limits, or the first that leaves none.

        What closes a signed position adds no risk at any price: it is allowed by itself.
        """
        if risk.product.signed:
            closes = reducing - reducing % risk.instrument.lot
            if self._legal(order, risk, closes):
                return Allowed(closes)
        levels = self._levels(order, risk)
        part = risk.owners.get(order.bot) or Worst(risk.instrument)
        most = [
            (part if reason is DenyReason.EXPOSURE_BOT else risk).largest(
                order, size, limit - rest, reducing
            )
            for reason, rest, limit in levels
        ]
        fits = min(most)
        if self._legal(order, risk, fits):
            near = risk.near(order, fits)
            return Denied(DenyReason.LIQUIDATION_BUFFER, near) if near else Allowed(fits)
        for (reason, _, _), fits in zip(levels, most, strict=True):
            if not self._legal(order, risk, fits):
                return Denied(reason, self._exposure_numbers(order, risk, levels, fits))
        raise BrokenInvariant("a size that is too large under no limit is too large under all")

    def _levels(
        self, order: Order, risk: InstrumentRisk
    ) -> tuple[tuple[DenyReason, int, int], ...]:
        """Return (reason, exposure beside this instrument, limit) in the order they are judged."""
        exposure, now = self._exposure, risk.micro
        part = risk.owners.get(order.bot)
        others = exposure.bot_micro(order.bot) - (0 if part is None else part.micro)
        account = exposure.account.micro - now
        market, beside = _beside(order, risk), exposure.others_at(order.created_ns)
        of_all = DenyReason.RATE_UNKNOWN if beside is None else DenyReason.EXPOSURE_TOTAL
        return (
            (DenyReason.EXPOSURE_INSTRUMENT, 0, self._instrument_max),
            (DenyReason.EXPOSURE_MARKET, market, self._market_max),
            (DenyReason.EXPOSURE_BOT, others, self.bot_max_micro(order.bot)),
            (DenyReason.EXPOSURE_ACCOUNT, account, self._account_max),
            (of_all, NO_BOUND if beside is None else account + beside, self._total_max),
        )

    def _legal(self, order: Order, risk: InstrumentRisk, size: int) -> bool:
        value = -(-order.price * size // risk.divisor)
        enough = size >= risk.instrument.size_min and value >= self._value_min
        return size > 0 and (enough or order.reduce_only is True)

    def _value_numbers(self, order: Order, risk: InstrumentRisk, size: int, value: int) -> Numbers:
        return (
            ("price", order.price),
            ("asked_size", order.size),
            ("judged_size", size),
            ("min_size", risk.instrument.size_min),
            ("order_value_micro", value),
            ("order_value_min_micro", self._value_min),
            ("order_value_max_micro", self._value_max),
        )

    def _exposure_numbers(
        self,
        order: Order,
        risk: InstrumentRisk,
        levels: tuple[tuple[DenyReason, int, int], ...],
        fitting: int,
    ) -> Numbers:
        leg, side, price, size = order.leg, order.side, order.price, order.size
        would_be = risk.would_be_micro(leg, side, price, size, order.post_only)
        value = -(-price * size // risk.divisor)
        numbers = [
            *self._value_numbers(order, risk, size, value),
            ("fitting_size", fitting),
            ("instrument_now_micro", risk.micro),
            ("instrument_would_be_micro", would_be),
        ]
        for reason, rest, limit in levels:
            of_others = [(f"{reason}_others_micro", rest)] if rest != NO_BOUND else []
            numbers += [*of_others, (f"{reason}_max_micro", limit)]
        return tuple(numbers)


def _beside(order: Order, risk: InstrumentRisk) -> int:
    """Return what its market can lose on top of an instrument that an order is about."""
    hurts_yes = risk.hurts_yes(order.leg, order.side)
    return risk.market_sum.beside_micro(risk, hurts_yes=hurts_yes)
