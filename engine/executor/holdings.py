"""What an account holds in one instrument, and what it is worth.

Sizes in the instrument's increments, money in micro-units of the currency.
"""

from __future__ import annotations

import msgspec

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, InstrumentId, Kind, Leg
from engine.domain.money import floor_div

_NO = Leg.NO


class LegHolding(msgspec.Struct, kw_only=True, gc=False):
    """One leg: tokens that are ours, tokens that are promised, tokens that are committed.

    `pending` cannot be sold and may vanish (law E); `reserved` is committed to working sells.
    `leaving` has been sold without being settled, and returns if that sale becomes void. Costs are
    what was paid without fees, by average.
    """

    settled: int = 0
    pending: int = 0
    reserved: int = 0
    leaving: int = 0
    cost_settled_micro: int = 0
    cost_pending_micro: int = 0
    cost_leaving_micro: int = 0

    @property
    def total(self) -> int:
        """Settled and pending tokens."""
        return self.settled + self.pending

    @property
    def cost_micro(self) -> int:
        """What the settled and pending tokens cost."""
        return self.cost_settled_micro + self.cost_pending_micro


class Holding(msgspec.Struct, kw_only=True, gc=False):
    """Both legs of one instrument; everything but a binary uses `yes` alone.

    `realised_micro` is before fees, `fees_micro` what fees took. `payout_yes_micro` is what one YES
    paid when the instrument resolved; None = it has not.
    """

    instrument: InstrumentId
    yes: LegHolding
    no: LegHolding
    realised_micro: int = 0
    fees_micro: int = 0
    payout_yes_micro: int | None = None

    def leg(self, leg: Leg) -> LegHolding:
        """Return the side a leg is booked on."""
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
        """True where no token of either leg is held or promised."""
        yes, no = self.yes, self.no
        return not (yes.settled or yes.pending or no.settled or no.pending)

    def average_price(self, instrument: Instrument) -> int | None:
        """Return the average price of the position's leg in YES-space; None while flat."""
        position = self.position
        if position == 0:
            return None
        leg = self.yes if position > 0 else self.no
        total = leg.settled + leg.pending
        if total <= 0:
            return None
        cost = leg.cost_settled_micro + leg.cost_pending_micro
        price = cost * instrument.value_divisor // total
        return price if position > 0 else instrument.one - price


def empty_holding(instrument: InstrumentId) -> Holding:
    """Return a holding of nothing."""
    return Holding(instrument=instrument, yes=LegHolding(), no=LegHolding())


def exit_value_micro(
    holding: Holding,
    instrument: Instrument,
    mark: BookMarked | None,
    now_ns: int,
    mark_age_ns_max: int,
) -> int:
    """Return what leaving would bring: the side we would hit, else the last two-sided mid, else 0.

    YES at the best bid, NO at 1 − best ask (architecture §5, Marks). A mark older than
    `mark_age_ns_max` is worth nothing.
    """
    if mark is None:
        return 0
    fresh = mark.trusted and mark.proof_ns is not None and now_ns - mark.proof_ns <= mark_age_ns_max
    bid = mark.best_bid if fresh else None
    ask = mark.best_ask if fresh else None
    two_sided = mark.two_sided_ns is not None and now_ns - mark.two_sided_ns <= mark_age_ns_max
    mid2 = mark.mid2 if two_sided else None
    divisor = instrument.value_divisor
    yes, no = holding.yes, holding.no
    value = 0
    long = yes.settled + yes.pending
    if long:
        value += _worth(long, bid, mid2, divisor)
    short = no.settled + no.pending
    if short:
        one = instrument.one
        value += _worth(
            short,
            None if ask is None else one - ask,
            None if mid2 is None else 2 * one - mid2,
            divisor,
        )
    return value


def mid_value_micro(holding: Holding, instrument: Instrument, mark: BookMarked | None) -> int:
    """Return the value at the last two-sided mid, whatever its age: for showing, never for risk."""
    if mark is None or mark.mid2 is None:
        return 0
    value = floor_div(holding.yes.total * mark.mid2, 2 * instrument.value_divisor)
    if instrument.kind is Kind.BINARY:
        mirrored = 2 * instrument.one - mark.mid2
        value += floor_div(holding.no.total * mirrored, 2 * instrument.value_divisor)
    return value


def _worth(size: int, price: int | None, mid2: int | None, divisor: int) -> int:
    if price is not None:
        return size * price // divisor
    if mid2 is not None:
        return size * mid2 // (2 * divisor)
    return 0
