"""Placing: from needs to drafts, within allowance, inventory, cash and our own orders."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Instrument, Kind, Leg, Side
from engine.domain.intents import ResidualReason
from engine.domain.orders import OrderId, OrderType
from engine.executor.levels import Draft, Need, Residual, TargetLevels

_BUY, _SELL = Side.BUY, Side.SELL
_YES, _NO, _BASE = Leg.YES, Leg.NO, Leg.BASE
_BINARY = Kind.BINARY
_BELOW_MIN = ResidualReason.BELOW_MIN
_NO_CASH = ResidualReason.NO_CASH
_OWN_CROSS = ResidualReason.OWN_CROSS
_WAITING_CANCEL = ResidualReason.WAITING_CANCEL


class SidePlan(msgspec.Struct, gc=False):
    """One direction of a plan, bids or asks."""

    wanted: TargetLevels
    instrument: Instrument
    bid: bool
    opens: bool
    """False where nothing can be opened in this direction (asks of a linear instrument)."""
    smallest: int
    """The smallest legal size."""
    needs: list[Need]
    cancels: list[OrderId]
    allowance: int
    """What may be placed: wanted less everything alive."""
    sellable: int
    """Settled tokens no live order has committed."""
    could_reduce: bool
    """True where a resting buy could be replaced by selling settled tokens."""


class Placer:
    """Collects the drafts of one plan. `short` tells that cash did not suffice for something."""

    __slots__ = (
        "_ask_min",
        "_bid_max",
        "_binary",
        "_cash",
        "_divisor",
        "_expires_ns",
        "_instrument",
        "_one",
        "_post_only",
        "_residuals",
        "_type",
        "places",
        "short",
    )

    def __init__(
        self,
        wanted: TargetLevels,
        instrument: Instrument,
        cash_free_micro: int,
        *,
        ask_min: int | None,
        bid_max: int | None,
    ) -> None:
        self.places: list[Draft] = []
        self.short = False
        self._instrument = instrument
        self._binary = instrument.kind is _BINARY
        self._one = instrument.one
        self._divisor = instrument.value_divisor
        self._cash = cash_free_micro
        self._type: OrderType = wanted.type
        self._post_only = wanted.post_only
        self._expires_ns = wanted.expires_ns
        self._residuals = wanted.residuals
        self._ask_min = ask_min
        self._bid_max = bid_max

    def place(self, half: SidePlan, need: Need) -> None:
        """Draft what one level needs, selling before opening."""
        level, selling, opening = need
        crosses = (
            self._ask_min is not None and level >= self._ask_min
            if half.bid
            else self._bid_max is not None and level <= self._bid_max
        )
        if crosses:  # it would meet an order of our own (law F)
            self._leave(_OWN_CROSS, half, level, selling + opening)
            return
        if selling:
            room = min(half.sellable, half.allowance)
            if room < selling:
                selling = self._waited(half, level, selling, room)
            if selling:
                self._sell(half, level, selling)
        if opening:
            if half.allowance < opening:
                opening = self._waited(half, level, opening, half.allowance)
            if opening:
                self._open(half, level, opening)

    def _waited(self, half: SidePlan, level: int, size: int, room: int) -> int:
        """Cut a size to what proven ends leave room for; the rest waits."""
        fits = room - room % self._instrument.lot if room >= half.smallest else 0
        self._leave(_WAITING_CANCEL, half, level, size - fits)
        return fits

    def _sell(self, half: SidePlan, level: int, size: int) -> None:
        """Draft a sale of settled tokens: a bid sells NO, an ask YES."""
        leg, price = _BASE, level
        if self._binary:
            leg, price = (_NO, self._one - level) if half.bid else (_YES, level)
        if self._draft(half, leg, _SELL, level=level, price=price, size=size):
            half.sellable -= size

    def _open(self, half: SidePlan, level: int, size: int) -> None:
        """Draft a buy as far as free cash pays for it: a bid buys YES, an ask NO."""
        leg, price = _BASE, level
        if self._binary:
            leg, price = (_YES, level) if half.bid else (_NO, self._one - level)
        cost = -(-price * size // self._divisor)
        if not self._post_only:
            cost = self._cost(price, size)
        if cost > self._cash:
            self.short = True
            fits = self._affordable(price, size)
            if fits < half.smallest:
                fits = 0
            self._leave(_NO_CASH, half, level, size - fits)
            if not fits:
                return
            size, cost = fits, self._cost(price, fits)
        if self._draft(half, leg, _BUY, level=level, price=price, size=size):
            self._cash -= cost

    def _affordable(self, price: int, size: int) -> int:
        """Return the largest multiple of the lot that cash pays for."""
        lot = self._instrument.lot
        low, high = 0, size // lot
        while low < high:
            middle = (low + high + 1) // 2
            if self._cost(price, middle * lot) <= self._cash:
                low = middle
            else:
                high = middle - 1
        return low * lot

    def _cost(self, price: int, size: int) -> int:
        """Return what the buy may take at worst: cost rounded up, and a taker's fee if it takes."""
        cost = -(-price * size // self._divisor)
        if self._post_only:
            return cost
        return cost + self._instrument.taker_fee_micro(price, size)

    def _draft(
        self, half: SidePlan, leg: Leg, side: Side, *, level: int, price: int, size: int
    ) -> bool:
        """Add a draft; False where a marketable order would be below the venue's value."""
        least = self._instrument.notional_min_micro
        if not self._post_only and least and price * size // self._divisor < least:
            self._leave(_BELOW_MIN, half, level, size)
            return False
        self.places.append(
            Draft(
                leg=leg,
                side=side,
                price=price,
                size=size,
                type=self._type,
                post_only=self._post_only,
                expires_ns=self._expires_ns,
            )
        )
        half.allowance -= size
        if half.bid:
            if self._bid_max is None or level > self._bid_max:
                self._bid_max = level
        elif self._ask_min is None or level < self._ask_min:
            self._ask_min = level
        return True

    def _leave(self, reason: ResidualReason, half: SidePlan, level: int, size: int) -> None:
        self._residuals.append(Residual(reason, _BUY if half.bid else _SELL, level, size))
