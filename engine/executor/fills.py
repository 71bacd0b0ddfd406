"""Fills and holdings: which fills are known and where each stands, and what an account holds.

A fill's id is remembered as long as its order is: a duplicate of any known order's fill is
recognised without exception, and memory ends with the order. News about a fill that has not been
reported yet waits in a small bounded room for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from engine.domain.assets import Money
from engine.domain.events import BookMarked, TokensRedeemed
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import UNASSIGNED, BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.money import floor_div
from engine.domain.orders import OrderId
from engine.domain.products.binary import pays_micro
from engine.domain.products.position import SignedPosition
from engine.errors import BrokenInvariant, InvalidTransition

# -- The life of a fill: a promise (MATCHED) that becomes money (CONFIRMED) or nothing (FAILED) ----
# The stream and the listing of fills tell the same statuses in any order and more than once, so
# older news about a fill that is further on changes nothing. The one contradiction, CONFIRMED
# against FAILED, is not in the table: only a person can say which is true.

F = FillState


class FillContradiction(InvalidTransition):
    """The venue said CONFIRMED and FAILED of the same fill. Nothing was changed."""


TRANSITIONS: dict[tuple[FillState, FillState], FillState] = {
    (F.MATCHED, F.MATCHED): F.MATCHED,  # reported twice
    (F.MATCHED, F.MINED): F.MINED,
    (F.MATCHED, F.RETRYING): F.RETRYING,
    (F.MATCHED, F.CONFIRMED): F.CONFIRMED,
    (F.MATCHED, F.FAILED): F.FAILED,
    (F.MINED, F.MATCHED): F.MINED,  # older news
    (F.MINED, F.MINED): F.MINED,
    (F.MINED, F.RETRYING): F.RETRYING,  # the block was reorganised away
    (F.MINED, F.CONFIRMED): F.CONFIRMED,
    (F.MINED, F.FAILED): F.FAILED,
    (F.RETRYING, F.MATCHED): F.RETRYING,  # older news
    (F.RETRYING, F.RETRYING): F.RETRYING,
    (F.RETRYING, F.MINED): F.MINED,
    (F.RETRYING, F.CONFIRMED): F.CONFIRMED,
    (F.RETRYING, F.FAILED): F.FAILED,
    (F.CONFIRMED, F.MATCHED): F.CONFIRMED,  # older news
    (F.CONFIRMED, F.MINED): F.CONFIRMED,  # older news
    (F.CONFIRMED, F.RETRYING): F.CONFIRMED,  # older news
    (F.CONFIRMED, F.CONFIRMED): F.CONFIRMED,  # reported twice: money is moved once
    (F.FAILED, F.MATCHED): F.FAILED,  # older news
    (F.FAILED, F.MINED): F.FAILED,  # older news
    (F.FAILED, F.RETRYING): F.FAILED,  # older news
    (F.FAILED, F.FAILED): F.FAILED,  # reported twice: reversed once
}

FILL_ENDS = frozenset({F.CONFIRMED, F.FAILED})


def advance(state: FillState, reported: FillState) -> FillState:
    """Return the state after one is `reported`. Raises FillContradiction where it cannot be."""
    after = TRANSITIONS.get((state, reported))
    if after is None:
        raise FillContradiction(f"a fill that is {state} was reported as {reported}")
    return after


# -- Which fills are known and where each stands, so that every fill is booked and reversed once ---

FILLS_KNOWN_MAX = 50_000
"""More remembered fills than this and the executor lets go of its oldest ended orders."""

FILLS_EARLY_MAX = 1_000
"""News that overtook their fill; the oldest is forgotten, the next listing of fills repeats it."""


class Unsettled(msgspec.Struct, kw_only=True, gc=False):
    """A fill that may still become void, with everything needed to reverse it to the unit.

    `cash_micro` is what it moved without fee (cost of a buy, proceeds of a sell) and `size` its
    tokens; a fee in what it trades is in both (`engine.executor.settlement`). `cost_settled` and
    `cost_pending` are the costs a sell took out of the holding; `payout_micro` is what its tokens
    will pay where the instrument resolved first (None = it has not).
    """

    fill: FillId
    order: OrderId
    owner: BotId = UNASSIGNED
    instrument: InstrumentId
    leg: Leg
    side: Side
    size: int
    cash_micro: int
    fee_micro: int
    cost_settled_micro: int = 0
    cost_pending_micro: int = 0
    payout_micro: int | None = None
    at_ns: int = 0
    """When it was booked."""
    fee: Money | None = None
    """What it took in an asset that is neither the currency nor what it trades."""
    dust: int = 0
    """What its fee in the traded asset changed of the owner's dust."""
    matched_ns: int = 0
    """Of a signed position: when, by the venue; 0 = it does not say."""
    ordered_ns: int = 0
    """Of a signed position: when its order was made."""

    @property
    def signed_size(self) -> int:
        """What it moved of a signed position: above 0 bought."""
        return self.size if self.side is Side.BUY else -self.size

    @property
    def signed_micro(self) -> int:
        """What it moved, with the sign of its size: above 0 bought."""
        return self.cash_micro if self.side is Side.BUY else -self.cash_micro


class FillBook(msgspec.Struct, kw_only=True):
    """All remembered fills: state of each, detail of the unsettled, ids by order."""

    states: dict[FillId, FillState] = {}
    unsettled: dict[FillId, Unsettled] = {}
    by_order: dict[OrderId, list[FillId]] = {}
    early: dict[FillId, FillState] = {}

    def add(self, fill: FillId, order: OrderId, reported: FillState) -> FillState:
        """Remember a new fill and return where it stands, news that overtook it included."""
        if fill in self.states:
            raise BrokenInvariant(f"fill {fill} is already known")
        ahead = self.early.get(fill)
        state = reported if ahead is None else advance(reported, ahead)
        self.early.pop(fill, None)
        self.states[fill] = state
        fills = self.by_order.get(order)
        if fills is None:
            self.by_order[order] = [fill]
        else:
            fills.append(fill)
        return state

    def moved_micro(self, order: OrderId) -> int:
        """Return the cash that an order's unsettled fills moved, without fees."""
        return sum(one.cash_micro for one in self.unsettled.values() if one.order == order)

    def move(self, fill: FillId, reported: FillState) -> tuple[FillState, FillState] | None:
        """Move a known fill; return (before, after), or None where it is not known yet."""
        before = self.states.get(fill)
        if before is None:
            self._early(fill, reported)
            return None
        after = advance(before, reported)
        self.states[fill] = after
        return before, after

    def _early(self, fill: FillId, reported: FillState) -> None:
        ahead = self.early.get(fill)
        if ahead is None and len(self.early) >= FILLS_EARLY_MAX:
            del self.early[next(iter(self.early))]
        self.early[fill] = reported if ahead is None else advance(ahead, reported)

    def decided(self, order: OrderId) -> bool:
        """Say whether every known fill of an order is settled or void."""
        states = self.states
        return all(states[fill] in FILL_ENDS for fill in self.by_order.get(order, ()))

    def forget(self, order: OrderId) -> None:
        """Let go of a decided order's fills. Raises where one is still undecided."""
        if not self.decided(order):
            raise BrokenInvariant(f"order {order} still has unsettled fills")
        for fill in self.by_order.pop(order, ()):
            del self.states[fill]


# -- What an account holds in one instrument, and what it is worth ---------------------------------
# Sizes in the instrument's increments, money in micro-units of the currency.

_NO = Leg.NO


class LegHolding(msgspec.Struct, kw_only=True, gc=False):
    """One leg: tokens that are ours, tokens that are promised, tokens that are committed.

    `pending` cannot be sold and may vanish (law E); `reserved` is committed to working sells and,
    `aside` of it, to an operation of the wallet.
    `leaving` has been sold without being settled, and returns if that sale becomes void.
    `redeemable` are winners of a resolved market that have not been paid: nothing can happen to
    them but their redemption. Below zero = more were redeemed than their fills have shown so far.
    `lost` are its losers: worth nothing, and kept for the day its result is corrected.
    `owed` of `manual` are tokens that merges took although no owner held them, for `owed_micro`:
    their fills, of whichever owner, are still to come.
    Costs are what was paid without fees, by average.
    """

    settled: int = 0
    pending: int = 0
    reserved: int = 0
    aside: int = 0
    leaving: int = 0
    redeemable: int = 0
    lost: int = 0
    owed: int = 0
    owed_micro: int = 0
    cost_settled_micro: int = 0
    cost_pending_micro: int = 0
    cost_leaving_micro: int = 0

    def burn(self, winners: int, said: int | None) -> None:
        """Take out what was redeemed: losers go with winners, all where only money was reported."""
        self.redeemable -= winners
        self.lost -= self.lost if said is None else min(self.lost, said)

    def reopen(self) -> None:
        """Hold again what was resolved and not paid: its result was corrected."""
        self.settled += self.redeemable + self.lost
        self.redeemable = self.lost = 0

    @property
    def total(self) -> int:
        """Settled and pending tokens."""
        return self.settled + self.pending

    @property
    def cost_micro(self) -> int:
        """What the settled and pending tokens cost."""
        return self.cost_settled_micro + self.cost_pending_micro


class Holding(msgspec.Struct, kw_only=True, gc=False):
    """One owner's legs of one instrument; everything but a binary uses `yes` alone.

    `owner` UNASSIGNED = no record says whose it is, or it is a sum over owners. `realised_micro` is
    before fees, `fees_micro` what fees took. `payout_yes_micro` is what one YES paid when the
    instrument resolved; None = it has not.
    """

    instrument: InstrumentId
    owner: BotId = UNASSIGNED
    yes: LegHolding = msgspec.field(default_factory=LegHolding)
    no: LegHolding = msgspec.field(default_factory=LegHolding)
    realised_micro: int = 0
    fees_micro: int = 0
    payout_yes_micro: int | None = None
    redeemable_micro: int = 0
    """What the redeemable tokens of both legs are still to bring."""
    dust: int = 0
    """What fees in the traded asset left of an increment: ours, too fine to be sold, in units of
    `Instrument.base`. The venue has one balance: an owner's fee is paid of the dust of all first,
    and its own dust may be below zero. All below zero = a void fill took it back."""

    @property
    def redeems(self) -> bool:
        """True where tokens wait for their redemption, or a redemption for its tokens."""
        return bool(self.yes.redeemable or self.no.redeemable or self.redeemable_micro)

    def pays(self, leg: Leg) -> bool:
        """Say whether a leg's tokens may be worth anything: False for losers alone."""
        payout = self.payout_yes_micro
        return payout is None or pays_micro(leg, payout) > 0

    def leg(self, leg: Leg) -> LegHolding:
        """Return the slot a leg is booked in."""
        return self.no if leg is _NO else self.yes

    @property
    def position(self) -> int:
        """Signed position in YES-space, settled plus pending."""
        yes, no = self.yes, self.no
        return yes.settled + yes.pending - no.settled - no.pending

    @property
    def yes_settled(self) -> int:
        """Settled tokens of YES, or of the thing itself."""
        return self.yes.settled

    @property
    def yes_pending(self) -> int:
        """Pending tokens of YES, or of the thing itself."""
        return self.yes.pending

    @property
    def no_settled(self) -> int:
        """Settled tokens of NO."""
        return self.no.settled

    @property
    def no_pending(self) -> int:
        """Pending tokens of NO."""
        return self.no.pending

    @property
    def flat(self) -> bool:
        """True where no token of either leg is held or promised: nothing is at risk."""
        yes, no = self.yes, self.no
        return not (yes.settled or yes.pending or no.settled or no.pending)

    def average_price(self, instrument: Instrument) -> int | None:
        """Return the average price of the position's leg in YES-space; None while flat."""
        position = self.position
        if position == 0:
            return None
        if instrument.product.signed:
            return self.yes.cost_settled_micro * instrument.value_divisor // position
        leg = self.yes if position > 0 else self.no
        total = leg.settled + leg.pending
        if total <= 0:
            return None
        cost = leg.cost_settled_micro + leg.cost_pending_micro
        price = cost * instrument.value_divisor // total
        return price if position > 0 else instrument.product.level(_NO, price)


class SignedWork(msgspec.Struct, frozen=True, gc=False):
    """What may still fill of an order of a signed product: what it takes follows the position."""

    side: Side
    price: int
    size: int
    post_only: bool


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """What one working order may still take: cash of a buy or tokens of a sell.

    An operation of the wallet takes of both legs (None), and stands under its number below zero.
    """

    instrument: InstrumentId
    leg: Leg | None
    cash_micro: int
    tokens: int
    owner: BotId = UNASSIGNED
    work: SignedWork | None = None


def payouts(holding: Holding, payout_yes_micro: int) -> tuple[tuple[LegHolding, int], ...]:
    """Return each leg with what one of its tokens pays."""
    return (holding.yes, payout_yes_micro), (holding.no, pays_micro(_NO, payout_yes_micro))


def cost_out(leg: LegHolding, size: int) -> tuple[int, int]:
    """Return the average cost of `size` tokens leaving: (of the settled, of the pending).

    Tokens beyond the settled ones can only be promised ones the venue let us sell.
    """
    settled = leg.settled
    if size < settled:
        return leg.cost_settled_micro * size // settled, 0
    short = min(size - max(settled, 0), leg.pending)
    if short <= 0:
        return leg.cost_settled_micro, 0
    return leg.cost_settled_micro, leg.cost_pending_micro * short // leg.pending


def redeemed_tokens(
    holding: Holding, payout_yes_micro: int, event: TokensRedeemed, unit: int
) -> tuple[int, int]:
    """Return the winners a redemption took, by leg; of losers nothing is kept.

    Where the venue tells the money alone, the one leg that pays gave all of it; at fifty-fifty what
    is held of YES comes first.
    """
    pays_yes, pays_no = payout_yes_micro, pays_micro(_NO, payout_yes_micro)
    if event.yes is not None and event.no is not None:
        return event.yes if pays_yes else 0, event.no if pays_no else 0
    if not pays_no:
        return event.amount_micro * unit // pays_yes, 0
    if not pays_yes:
        return 0, event.amount_micro * unit // pays_no
    held = holding.yes.redeemable, holding.no.redeemable
    if event.amount_micro == held[0] * pays_yes // unit + held[1] * pays_no // unit:
        return held
    yes = max(0, min(holding.yes.redeemable, event.amount_micro * unit // pays_yes))
    return yes, (event.amount_micro - yes * pays_yes // unit) * unit // pays_no


def exit_value_micro(
    holding: Holding,
    instrument: Instrument,
    mark: BookMarked | None,
    now_ns: int,
    mark_age_ns_max: int,
) -> int:
    """Return what leaving would bring: the side we would hit, else the last two-sided mid, else 0.

    Of a short, below 0, that is what buying it back would take. What a signed position was opened
    for is no part of it.

    YES at the best bid, NO at 1 − best ask (architecture §5, Marks). A mark older than
    `mark_age_ns_max` is worth nothing.
    """
    if mark is None:
        return _unmarked(holding)
    fresh = mark.trusted and mark.proof_ns is not None and now_ns - mark.proof_ns <= mark_age_ns_max
    bid = mark.best_bid if fresh else None
    ask = mark.best_ask if fresh else None
    two_sided = mark.two_sided_ns is not None and now_ns - mark.two_sided_ns <= mark_age_ns_max
    mid2 = mark.mid2 if two_sided else None
    divisor = instrument.value_divisor
    yes, no = holding.yes, holding.no
    value = 0
    long = yes.settled + yes.pending
    if long > 0:
        value += _worth(long, bid, mid2, divisor)
    elif long:
        marked = ask is not None or mid2 is not None
        value += _worth(long, ask, mid2, divisor) if marked else _unmarked(holding)
    short = no.settled + no.pending
    if short:
        product = instrument.product
        value += _worth(
            short,
            None if ask is None else product.level(_NO, ask),
            None if mid2 is None else product.mid2(_NO, mid2),
            divisor,
        )
    return value


def touch_value_micro(holding: Holding, instrument: Instrument, bid: int, ask: int) -> int:
    """Return what `exit_value_micro` is at a fresh mark whose book has this touch."""
    divisor, yes, no = instrument.value_divisor, holding.yes, holding.no
    long = yes.settled + yes.pending
    value = long * (bid if long > 0 else ask) // divisor
    short = no.settled + no.pending
    if short:
        value += short * instrument.product.level(_NO, ask) // divisor
    return value


def mid_value_micro(holding: Holding, instrument: Instrument, mark: BookMarked | None) -> int:
    """Return the value at the last two-sided mid, whatever its age: for showing, never for risk."""
    if mark is None or mark.mid2 is None:
        return 0
    value = floor_div(holding.yes.total * mark.mid2, 2 * instrument.value_divisor)
    second = instrument.product.second
    if second is not None:
        mirrored = instrument.product.mid2(second, mark.mid2)
        value += floor_div(holding.no.total * mirrored, 2 * instrument.value_divisor)
    return value


def opened_micro(netted: Mapping[InstrumentId, SignedPosition]) -> int:
    """Return what signed positions were opened for, and nothing was paid for: no part of equity."""
    return sum(position.cost for position in netted.values())


def unmarked(
    netted: Mapping[InstrumentId, SignedPosition], marks: Mapping[InstrumentId, BookMarked]
) -> list[InstrumentId]:
    """Return the signed positions of which no mid is known: what they made is unknown."""
    return [
        key
        for key, position in netted.items()
        if position.size and ((mark := marks.get(key)) is None or mark.mid2 is None)
    ]


def mid_values_micro(holding: Holding, instrument: Instrument, mids2: Sequence[int]) -> list[int]:
    """Return what `mid_value_micro` is at each of many mids, given as twice the price."""
    size, divisor, second = (
        holding.yes.total,
        2 * instrument.value_divisor,
        instrument.product.second,
    )
    values = [size * mid2 // divisor for mid2 in mids2]
    if second is not None:
        size, mirror = holding.no.total, instrument.product.mid2
        other = (floor_div(size * mirror(second, mid2), divisor) for mid2 in mids2)
        values = [one + two for one, two in zip(values, other, strict=True)]
    return values


def _unmarked(holding: Holding) -> int:
    """Return what is counted without a mark: nothing, and of a short that its price has doubled."""
    return 2 * min(0, holding.yes.cost_settled_micro)


def _worth(size: int, price: int | None, mid2: int | None, divisor: int) -> int:
    if price is not None:
        return size * price // divisor
    if mid2 is not None:
        return size * mid2 // (2 * divisor)
    return 0
