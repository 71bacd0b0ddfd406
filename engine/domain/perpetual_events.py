"""What happens to perpetuals alone: their mark, their funding, and liquidation.

`engine.domain.events` has them beside every other event.
"""

from __future__ import annotations

from engine.domain.event_bases import AccountEvent, Event
from engine.domain.instruments import InstrumentId
from engine.domain.products.funding import RATE_DECIMALS, RateType, funding_name
from engine.errors import BadInput

MARK_DECIMALS = 8
"""Decimals of a mark and an index."""


class MarkPriced(Event, frozen=True, kw_only=True):
    """The venue's mark of an instrument, in 1e-8: margin, funding and liquidation count by it.

    `index_e8` is what it follows, where the venue says so. BadInput where one is not above 0.
    """

    instrument: InstrumentId
    mark_e8: int
    index_e8: int | None = None
    exchange_ns: int | None = None

    def __post_init__(self) -> None:
        for name, price in (("a mark", self.mark_e8), ("an index", self.index_e8)):
            if price is not None and price <= 0:
                raise BadInput(f"{self.instrument}: {name} of {price} is not above 0")


class FundingSettled(Event, frozen=True, kw_only=True):
    """The rate of a stamp is settled: each position pays or gets it of its value at the mark.

    It is public, and names no account. BadInput for a mark that is not above 0, and for a rate that
    would take the whole position at once.
    """

    instrument: InstrumentId
    stamp_ns: int
    """When it was due, as the venue writes it: milliseconds late."""
    rate_e18: int
    """Above 0 longs pay, below 0 shorts do."""
    mark_e8: int
    """What a position is valued at."""
    rate_type: RateType = RateType.REGULAR
    source: str = ""
    """Who says rate and mark: a venue, or a file of rates and the prices beside it."""
    exchange_ns: int | None = None

    def __post_init__(self) -> None:
        if self.mark_e8 <= 0:
            raise BadInput(f"{self.instrument}: a mark of {self.mark_e8} is not above 0")
        if abs(self.rate_e18) >= 10**RATE_DECIMALS:
            raise BadInput(f"{self.instrument}: {self.rate_e18} of 1e18 is no funding rate")

    @property
    def name(self) -> str:
        """What a payment of it is booked under, once."""
        return funding_name(self.instrument, self.stamp_ns, self.rate_type)


class FundingPaid(AccountEvent, frozen=True, kw_only=True):
    """Funding came (+) or was paid (−) at a stamp: PnL of the account, of no fill.

    The venue's amount is booked, not a formula's. Rate and mark, where it says them, share it among
    owners.
    """

    instrument: InstrumentId
    currency: str
    amount_micro: int
    stamp_ns: int
    """When it was due, as the venue writes it: milliseconds late."""
    rate_type: RateType = RateType.REGULAR
    rate_e18: int | None = None
    """The settled rate, above 0 where longs pay."""
    mark_e8: int | None = None
    payment: str = ""
    """The venue's bill, where it has one: a second witness."""

    @property
    def name(self) -> str:
        """What it is booked under, once."""
        return funding_name(self.instrument, self.stamp_ns, self.rate_type)


class PositionLiquidated(AccountEvent, frozen=True, kw_only=True):
    """The venue closed a position, by no order of ours: the account was below its margin.

    The orders it ended come as events of their own. A size of 0 is a debt without a position: a fee
    below 0 is what the venue's insurance paid of it.
    """

    instrument: InstrumentId
    currency: str
    liquidation: str
    """The venue's name of it: it is booked once."""
    size: int
    """What it closed of the account's position, below 0 of a short."""
    value_micro: int
    """What that was closed for, of the sign of the size."""
    fee_micro: int = 0
    """What the venue kept beside."""
    mark_e8: int | None = None
    """The mark that did it, where the venue says it."""
    at_ns: int = 0
    """When, where the venue says it; 0 = when it is received."""

    def __post_init__(self) -> None:
        if self.size * self.value_micro < 0 or (self.value_micro and not self.size):
            raise BadInput(
                f"{self.instrument}: a liquidation of {self.size} cannot be worth "
                f"{self.value_micro}"
            )

    @property
    def name(self) -> str:
        """What it is booked under, once."""
        return f"liquidation:{self.instrument}:{self.liquidation}"
