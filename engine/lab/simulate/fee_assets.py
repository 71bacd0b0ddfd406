"""What the fees of a simulated pair are paid in: the exchange itself takes them in the quote alone.

In a world of another kind the exchange asks for none, and its answer to an account says what was
taken beside it: an amount of a third asset, which no wallet here has, or a part of what a purchase
brought, which leaves the wallet in whole increments, as soon as parts of them make one.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec.structs import replace

from engine.domain.assets import Asset, Money
from engine.domain.events import OrderFilled
from engine.domain.fills import FillId
from engine.domain.instruments import Instrument, Side

PPM = 1_000_000
FEE_PPM = 750
THIRD = Asset("BNB", 8)
THIRD_PER_MICRO = 7
"""How many of its units a micro-unit of the quote buys: about 700 a piece."""


class FeesIn(StrEnum):
    """What an exchange takes its fees of pairs in."""

    QUOTE = "quote"
    NAMED = "named"
    """The quote, as an amount that names it."""
    THIRD = "third"
    BASE = "base"
    """Of a purchase what it brought; a sale is free."""


def fees_in(seed: int) -> FeesIn:
    """Return what a seed's world pays fees of its pair in."""
    return tuple(FeesIn)[(seed + 1) % len(FeesIn)]


class TakenFees:
    """Fees that were taken, each fill's once; naive sums, for the venue's side and for judges."""

    def __init__(self) -> None:
        self.third = 0
        self._fills: dict[FillId, int] = {}
        self._base: dict[str, int] = {}
        """Instrument → what was taken of its base, in the base's units."""

    def take(self, fill: OrderFilled, terms: Instrument) -> int:
        """Take a fill; return how many increments of what it trades left with its fee."""
        if fill.fill in self._fills:
            return self._fills[fill.fill]
        gone, fee = 0, fill.fee
        if not isinstance(fee, Money) or fee.asset.id == terms.currency:
            pass
        elif fee.asset == terms.base:
            step = 10 ** (fee.asset.decimals - terms.size_decimals)
            before = self._base.get(terms.id, 0)
            self._base[terms.id] = before + fee.amount
            gone = -(-self._base[terms.id] // step) - -(-before // step)
        else:
            self.third += fee.amount
        self._fills[fill.fill] = gone
        return gone


def with_fee(fill: OrderFilled, terms: Instrument, side: Side, kind: FeesIn) -> OrderFilled:
    """Return a fill of a pair as an exchange of this kind reports it: always the same."""
    value = fill.price * fill.size // terms.value_divisor
    match kind:
        case FeesIn.NAMED:
            fee = Money(Asset(terms.currency, 6), fill.fee_micro)
            return replace(fill, fee=fee, fee_micro=0)
        case FeesIn.THIRD:
            fee = Money(THIRD, value * FEE_PPM * THIRD_PER_MICRO // (50 * PPM) + 1)
            return replace(fill, fee=fee)
        case FeesIn.BASE if side is Side.BUY and isinstance(terms.base, Asset):
            units = fill.size * 10 ** (terms.base.decimals - terms.size_decimals)
            return replace(fill, fee=Money(terms.base, units * FEE_PPM // PPM + 1))
        case _:
            return fill
