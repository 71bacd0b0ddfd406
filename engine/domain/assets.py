"""Assets and amounts of them. An amount is a whole number of its asset's smallest unit.

Nothing adds amounts of two assets. An account's own currency is counted in micro-units
(`engine.domain.money`); what is paid or held in another asset is `Money`.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation

import msgspec

from engine.domain.money import ceil_div, written
from engine.errors import BadInput, BrokenInvariant

AMOUNT_MAX = 2**63 - 1
"""The largest amount of any asset, in its smallest units: what journal and tables hold exactly."""

DECIMALS_MAX = 18

COIN_DECIMALS = 8
"""The decimals of an asset that is not named in `DECIMALS`: venues pay fees in these."""

DECIMALS = {"USD": 6, "USDC": 6, "USDT": 8, "USDC.e": 6}
"""Assets counted in other decimals than a coin's, or named by venues in several."""

DIGITS_MAX = 100
"""An amount with more digits than this is no amount."""

_EXACT = Context(prec=200)


class Asset(msgspec.Struct, frozen=True, gc=False):
    """What an amount is of: its name at the venue, and how many decimals one unit of it has.

    The bound is int64: of 8 decimals 92,233,720,368.54775807, of 18 decimals 9.22 units.
    """

    id: str
    decimals: int

    def __post_init__(self) -> None:
        if not self.id or not self.id.isprintable() or len(self.id) > 40:
            raise BadInput(f"an asset cannot be called {self.id[:50]!r}")
        if not 0 <= self.decimals <= DECIMALS_MAX:
            raise BadInput(f"{self.id}: decimals are 0 to {DECIMALS_MAX}, not {self.decimals}")

    @property
    def largest(self) -> str:
        """The largest amount, for people."""
        return self.text(AMOUNT_MAX)

    def text(self, amount: int) -> str:
        """Write an amount without its asset's name: all its decimals, no zeros at its end."""
        return written(_EXACT.scaleb(Decimal(amount), -self.decimals))


def asset(name: str) -> Asset:
    """Return an asset by its name at a venue, with the decimals it is counted in here."""
    return Asset(name, DECIMALS.get(name, COIN_DECIMALS))


class Money(msgspec.Struct, frozen=True, gc=False):
    """An amount of one asset, in its smallest units. BadInput beyond what int64 holds."""

    asset: Asset
    amount: int

    def __post_init__(self) -> None:
        if abs(self.amount) > AMOUNT_MAX:
            raise BadInput(
                f"{self.asset.text(self.amount)} {self.asset.id} is beyond {self.asset.largest}"
            )

    @classmethod
    def paid(cls, of: Asset, text: str | Decimal) -> Money:
        """Read what a venue took; what is finer than the decimals is rounded up, against us.

        Rebates are below zero, and rounded the same way. BadInput where it is no number.
        """
        return cls(of, _scaled(of, text, ROUND_CEILING))

    @classmethod
    def received(cls, of: Asset, text: str | Decimal) -> Money:
        """Read what came (+) or left (−); what is finer than the decimals is rounded down."""
        return cls(of, _scaled(of, text, ROUND_FLOOR))

    @property
    def text(self) -> str:
        """The amount with its asset, for people: `0.00000012 BTC`."""
        return f"{self.asset.text(self.amount)} {self.asset.id}"

    def __neg__(self) -> Money:
        return Money(self.asset, -self.amount)

    def __add__(self, other: Money) -> Money:
        if other.asset != self.asset:
            raise BrokenInvariant(f"{self.text} and {other.text} have no sum")
        return Money(self.asset, self.amount + other.amount)

    def paid_in(self, decimals: int) -> int:
        """Return the amount in units of so many decimals, rounded up: against who pays it."""
        more = decimals - self.asset.decimals
        return self.amount * 10**more if more >= 0 else ceil_div(self.amount, 10**-more)


def leaves(paid: int, dust: int, step: int) -> int:
    """Return how many increments of `step` units a fee of `paid` units takes beside the dust.

    What is left of the last one is dust again: dust + increments · step − paid, below one step.
    """
    return -((dust - paid) // step)


def _scaled(of: Asset, text: str | Decimal, rounding: str) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadInput(f"{text!r} {of.id} is not a number") from None
    if not value.is_finite() or value.adjusted() > 30 or len(str(value)) > DIGITS_MAX:
        raise BadInput(f"{text!r} {of.id} is no amount")
    return int(_EXACT.scaleb(value, of.decimals).to_integral_value(rounding, context=_EXACT))
