"""Instruments: one tradable thing at one venue, and the only place where units are converted."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cached_property
from typing import NewType

import msgspec
from msgspec import UNSET, UnsetType

from engine.domain.assets import Asset, Money
from engine.domain.legs import Kind, Leg, Side, is_bid
from engine.domain.money import MICRO_DECIMALS, ceil_div, cents_text, round_half_even_div, written
from engine.domain.products import PRODUCTS, Product
from engine.domain.products.margin import ContractValue
from engine.domain.products.perpetual import MarginTerms
from engine.errors import BadInput

__all__ = [
    "MANUAL",
    "ONE_OF",
    "UNASSIGNED",
    "AccountId",
    "BotId",
    "FeeSchedule",
    "Instrument",
    "InstrumentId",
    "Kind",
    "Leg",
    "Mode",
    "Side",
    "is_bid",
]

InstrumentId = NewType("InstrumentId", str)
"""`venue:symbol`, for example `polymarket:0xdd22…` or `okx:BTC/USDT:USDT`."""

AccountId = NewType("AccountId", str)
"""A credential at a venue, or a paper / demo account."""

BotId = NewType("BotId", str)
"""Who owns an order: a bot, or `manual`."""

MANUAL = BotId("manual")
"""Owner of what a person does by hand. No bot may have this name."""

UNASSIGNED = BotId("unassigned")
"""Owner of what no record says whose it is. No bot may have this name."""


ONE_OF = "one-of"
"""In a market's name: its instruments are the outcomes of one question."""


class Mode(StrEnum):
    """What kind of money an account holds. The three never mix in a sum."""

    DEMO = "demo"
    PAPER = "paper"
    LIVE = "live"


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """Fees of one instrument.

    Binary: `fee = size · rate · (p·(1−p))^exponent`, taker only, rounded to 5 decimals of the
    currency, below 0.00001 → 0 (Polymarket, Fees). Linear: `fee = notional · rate`.
    `exponent` None = linear. Rates in parts per million of size or notional.
    """

    taker_rate_ppm: int = 0
    maker_rate_ppm: int = 0
    exponent: int | None = None
    rebate_rate_ppm: int = 0
    of_received: bool | UnsetType = UNSET
    """True = the fee is taken of what a fill brings: of the base on a buy, of the currency on a
    sale (Binance and OKX spot). Unset = always of the currency."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One tradable thing at one venue.

    A price is an int in units of 10^−price_decimals of the currency, a size an int in units of
    10^−size_decimals of the thing; `tick`, `lot` and the minima are in those units. `tick` is the
    venue's present grid, always a multiple of one increment. A binary is *one* instrument with two
    legs; its prices are in YES-space, where 10^price_decimals stands for certainty. (`dict=True`
    gives what follows from its fields a place: every order asks for it many times.)
    """

    id: InstrumentId
    kind: Kind
    currency: str
    price_decimals: int
    size_decimals: int
    tick: int
    lot: int
    size_min: int = 0
    """Smallest order size in size increments."""
    notional_min_micro: int = 0
    """Smallest value of an order in micro-units of the currency. Of a binary's it holds for those
    that take (Polymarket); of a linear thing's for every one (Binance `NOTIONAL`, OKX 51020)."""
    fees: FeeSchedule = FeeSchedule()
    market: str = ""
    """What exposure is counted over: the event or condition; the id itself where empty.

    `venue:one-of:name` says that at most one of its instruments pays YES: see `one_wins`.
    """
    series: str = ""
    """The rolling series this instrument belongs to, or empty."""
    tokens: tuple[str, str] | None = None
    """Venue ids of the YES and the NO token of a binary."""
    starts_ns: int | None = None
    """Start of the measured window of a rolling instrument; None = does not apply."""
    closes_ns: int | None = None
    """End of trading as announced; None = open end."""
    strike_e8: int | None = None
    """Proven strike in 1e-8 of the oracle's unit; None = not proven."""
    protocol: str = ""
    """Protocol version of the venue (`v1`, `v2`), or empty."""
    rewards_size_min: int = 0
    """Smallest resting order the venue pays rewards for, in size increments; 0 = it pays none."""
    rewards_spread_max: int = 0
    """The band: how far from the mid such an order may be, in price increments."""
    rewards_daily_micro: int = 0
    """What the market pays a day to all such orders together; 0 = none."""
    rewards_age_s: int = 0
    """How long such an order must have rested before it counts."""
    taker_delay_ns: int = 0
    """How long the venue holds a marketable order before it matches it."""
    base: Asset | UnsetType = UNSET
    """What a spot pair trades, with the decimals its fees are counted in; unset = the thing traded
    is no asset, or the venue does not name it."""
    margin: MarginTerms | UnsetType = UNSET
    """What a position of a perpetual takes and must keep; unset = its full value, and it is never
    liquidated."""

    def __post_init__(self) -> None:
        if self.price_decimals + self.size_decimals < 6:
            raise BadInput(f"{self.id}: price and size decimals must sum to 6 or more")
        if self.tick < 1 or self.lot < 1:
            raise BadInput(f"{self.id}: tick and lot must be at least one increment")
        if self.base is not UNSET and self.base.decimals < self.size_decimals:
            raise BadInput(
                f"{self.id}: {self.base.id} has {self.base.decimals} decimals, sizes have "
                f"{self.size_decimals}"
            )

    @cached_property
    def price_unit(self) -> int:
        """1.0 of the currency in price increments."""
        return int(10**self.price_decimals)

    @property
    def one(self) -> int:
        """The price of certainty in YES-space, for who knows that it is a binary."""
        return self.price_unit

    @cached_property
    def product(self) -> Product:
        """What an instrument of this kind is, for these terms."""
        return PRODUCTS[self.kind](self)

    @property
    def leverage(self) -> int:
        """Value of a position by the margin it takes."""
        return 1 if self.margin is UNSET else self.margin.leverage

    @cached_property
    def value_divisor(self) -> int:
        """Return d such that price · size // d is micro-units of the currency."""
        return int(10 ** (self.price_decimals + self.size_decimals - 6))

    @cached_property
    def contract(self) -> ContractValue:
        """What a size of it is worth at a mark, in micro-units: margin and funding count by it."""
        return ContractValue.of(self.size_decimals, MICRO_DECIMALS)

    @cached_property
    def smallest(self) -> int:
        return max(self.lot, self.size_min)

    @cached_property
    def resting_min_micro(self) -> int:
        """Smallest value of an order that rests, in micro-units; 0 = the venue has none."""
        return self.notional_min_micro if self.product.minimum_rests else 0

    def worth_too_little(self, price: int, size: int, *, rests: bool) -> bool:
        """Say whether an order at its own price is below the venue's smallest value."""
        least = self.resting_min_micro if rests else self.notional_min_micro
        return self.proceeds_micro(price, size) < least

    def too_small(self, price: int, size: int, *, rests: bool) -> bool:
        """Say whether an order is below the venue's least size or value."""
        return size < self.size_min or self.worth_too_little(price, size, rests=rests)

    @property
    def exposure_key(self) -> str:
        return self.market or self.id

    def not_counted_in(self, currency: str) -> str:
        """Return why an account that counts in `currency` cannot trade it; empty = it can.

        A price, a fee and a gain of it are amounts of its own currency, which no ledger adds to
        another one; a rate would make them a guess.
        """
        if self.currency == currency:
            return ""
        return (
            f"{self.id} is quoted in {self.currency} and the account counts in {currency}: trade "
            f"it at an account that counts in {self.currency}"
        )

    @property
    def one_wins(self) -> bool:
        """True where at most one instrument of the market pays YES, and every other one NO."""
        return self.market.split(":", 2)[1:2] == [ONE_OF]

    def price_of(self, text: str | Decimal) -> int:
        """Convert a venue's or a person's price. Raises BadInput where it does not fit."""
        return _scaled(text, self.price_decimals, f"{self.id}: price")

    def size_of(self, text: str | Decimal) -> int:
        """Convert a venue's or a person's size. Raises BadInput where it does not fit."""
        return _scaled(text, self.size_decimals, f"{self.id}: size")

    def price_decimal(self, price: int) -> Decimal:
        return Decimal(price).scaleb(-self.price_decimals)

    def size_decimal(self, size: int) -> Decimal:
        return Decimal(size).scaleb(-self.size_decimals)

    def price_text(self, price: int) -> str:
        """Return a price as its venue's messages write it, and as a command takes it: 0.265."""
        return written(self.price_decimal(price))

    def price_words(self, price: int) -> str:
        """Return a price as a person reads it everywhere: 26.5¢ of a binary, else as it is."""
        if not self.product.in_cents:
            return self.price_text(price)
        return cents_text(self.price_decimal(price))

    def size_text(self, size: int) -> str:
        return written(self.size_decimal(size))

    def cost_micro(self, price: int, size: int) -> int:
        """Return what buying costs, in micro-units, rounded up."""
        return -(-price * size // self.value_divisor)

    def proceeds_micro(self, price: int, size: int) -> int:
        """Return what selling brings, in micro-units, rounded down."""
        return price * size // self.value_divisor

    def taker_fee_micro(self, price: int, size: int) -> int:
        """Return the fee of a taker fill in micro-units, by the schedule above."""
        fees = self.fees
        if fees.exponent is None:
            return ceil_div(price * size * fees.taker_rate_ppm, self.value_divisor * 1_000_000)
        one = self.price_unit
        spread = (price * (one - price)) ** fees.exponent
        numerator = size * fees.taker_rate_ppm * spread
        denominator = 10**self.size_decimals * one ** (2 * fees.exponent)
        # Rates are parts per million, so size·rate is already micro-units per share; the venue
        # rounds to 5 decimals = 10 micro-units, and anything below one such step is free.
        return 10 * round_half_even_div(numerator, denominator * 10)

    def opening_micro(self, price: int, size: int, *, post_only: bool) -> int:
        """Return what a signed product's order that opens takes of free cash: margin and a fee.

        `value / leverage`, rounded up (`engine.domain.products.margin.initial_margin`).
        """
        margin = self.product.margin_micro(self.cost_micro(price, size))
        return margin if post_only else margin + max(0, self.taker_fee_micro(price, size))

    def fee_in_kind(self, size: int, *, maker: bool) -> Money | None:
        """Return the fee of a buy that is taken of what it brings; None = it is in the currency.

        `fee = size · rate`, rounded up to the smallest unit of the base.
        """
        if self.base is UNSET or self.fees.of_received is not True:
            return None
        rate = self.fees.maker_rate_ppm if maker else self.fees.taker_rate_ppm
        units = size * 10 ** (self.base.decimals - self.size_decimals)
        return Money(self.base, ceil_div(units * rate, 1_000_000)) if rate else None

    def maker_fee_micro(self, price: int, size: int) -> int:
        """Return the fee of a maker fill in micro-units."""
        rate = self.fees.maker_rate_ppm
        if rate == 0:
            return 0
        return ceil_div(price * size * rate, self.value_divisor * 1_000_000)


def _scaled(text: str | Decimal, decimals: int, what: str) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadInput(f"{what} {text!r} is not a number") from None
    if not value.is_finite():
        raise BadInput(f"{what} {text!r} is not finite")
    scaled = value.scaleb(decimals)
    whole = int(scaled)
    if whole != scaled:
        raise BadInput(f"{what} {text!r} is finer than {decimals} decimals")
    return whole
