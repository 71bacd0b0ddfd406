"""One instrument's worst case: what its holding and its live orders can lose.

The arithmetic is that of `engine.risk.exposure`, which owns these objects and keeps their sums.
"""

from __future__ import annotations

from typing import Protocol

from engine.domain.instruments import BotId, Instrument, Kind, Leg, Side
from engine.domain.orders import OrderId

_NO = Leg.NO
_BASE = Leg.BASE
_BUY = Side.BUY


class HeldLeg(Protocol):
    """Tokens of one leg in increments, and what each part was paid, in micro-units.

    `settled` can be sold and is without what is `leaving`: sold, not settled, back if that sale
    becomes void. `pending` has been bought and may vanish.
    """

    settled: int
    pending: int
    leaving: int
    cost_settled_micro: int
    cost_pending_micro: int
    cost_leaving_micro: int


class Sum:
    """A running sum of exposure, shared by the instruments it is made of."""

    __slots__ = ("micro",)

    def __init__(self) -> None:
        self.micro = 0


class InstrumentRisk:
    """The worst case of one instrument. Owned by `ExposureBook`; read-only for everyone else.

    `held_yes` and `held_no` are the losses of the holding if YES or NO wins, each unsettled fill
    settled or void, whichever is worse; `live_yes` and `live_no` what live orders add. `micro` is
    the exposure.
    """

    __slots__ = (
        "bot",
        "bot_sum",
        "divisor",
        "held_no",
        "held_yes",
        "instrument",
        "live_no",
        "live_yes",
        "maker_pays",
        "market_sum",
        "micro",
        "one",
        "orders",
    )

    def __init__(self, instrument: Instrument, market_sum: Sum) -> None:
        self.bot: BotId | None = None
        self.bot_sum = Sum()
        self.market_sum = market_sum
        self.held_yes = self.held_no = 0
        self.live_yes = self.live_no = 0
        self.micro = 0
        self.orders: dict[OrderId, int] = {}
        self.learn(instrument)

    def learn(self, instrument: Instrument) -> None:
        """Take new metadata. Units must not change under live numbers."""
        self.instrument = instrument
        self.one = instrument.one if instrument.kind is Kind.BINARY else 0
        self.divisor = instrument.value_divisor
        self.maker_pays = instrument.fees.maker_rate_ppm > 0

    def hurts_yes(self, leg: Leg, side: Side) -> bool:
        """Say under which outcome an order loses: True = if YES wins. Linear ones use this slot."""
        return leg is _BASE or (leg is _NO) is (side is _BUY)

    def unit(self, leg: Leg, side: Side, price: int) -> int:
        """Return what one size increment of an order can lose, in price increments."""
        if side is _BUY:
            return price
        # A sale of what is held cannot cost more than the holding did.
        return 0 if leg is _BASE else self.one - price

    def loss_micro(self, leg: Leg, side: Side, price: int, size: int, post_only: bool) -> int:
        """Return what an order adds to the outcome it hurts if it fills, rounded up."""
        if side is _BUY:
            loss = -(-price * size // self.divisor)
        elif leg is _BASE:
            return 0
        else:
            loss = -((price - self.one) * size // self.divisor)
        if not post_only:
            loss += max(0, self.instrument.taker_fee_micro(price, size))
        elif self.maker_pays:
            loss += self.instrument.maker_fee_micro(price, size)
        return loss

    def would_be_micro(self, leg: Leg, side: Side, price: int, size: int, post_only: bool) -> int:
        """Return the exposure if this order were live too."""
        if side is _BUY and post_only and not self.maker_pays:
            added = -(-price * size // self.divisor)  # the usual order, without a call
        else:
            added = self.loss_micro(leg, side, price, size, post_only)
        yes = self.held_yes + self.live_yes
        no = self.held_no + self.live_no
        if leg is _BASE or (leg is _NO) is (side is _BUY):
            return max(yes + added, no, 0)
        return max(yes, no + added, 0)

    def room_for_micro(self, leg: Leg, side: Side, ceiling: int) -> int:
        """Return how much loss an order may add so that exposure stays ≤ `ceiling`; −1 = none."""
        yes = self.held_yes + self.live_yes
        no = self.held_no + self.live_no
        mine, other = (yes, no) if self.hurts_yes(leg, side) else (no, yes)
        if other > ceiling or ceiling < 0:
            return -1
        return ceiling - mine
