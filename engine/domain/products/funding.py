"""Funding: what longs and shorts of a perpetual pay each other at its stamps.

A payment is −(signed value at the mark) · rate: at a rate above 0 longs pay, below 0 shorts do
(Binance and OKX help; linear value q·cs·M of the quote, inverse q·cs/M of the base). It is rounded
once, down: what is paid is rounded up and what is got is rounded down, against us.

A rate is a whole number of 1e-18: the finest that venues write has 18 decimals. The rate that
counts is the settled one, never the estimate a stream carries before the stamp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from engine.domain.instruments import InstrumentId
from engine.domain.products.margin import ContractValue
from engine.errors import BadInput

RATE_DECIMALS = 18
_UNIT: int = 10**RATE_DECIMALS

FUNDING = "funding:"
"""How the name of each funding begins."""

HOUR_NS = 3_600_000_000_000
"""The finest grid stamps lie on; a venue changes 8 hours to 4 or 1 in the life of a contract."""


class RateType(StrEnum):
    """What a funding is for: two of one stamp are legal where their types differ."""

    REGULAR = "regular"
    SPECIAL = "special"
    """For a dividend of what is traded (Binance, since 2026-07-23)."""


def rate_e18(text: str | Decimal) -> int:
    """Read a rate as a venue writes it: `0.0001`, `2.6e-05`. BadInput where it is none."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadInput(f"{text!r} is no funding rate") from None
    if not value.is_finite() or not abs(value) < 1:
        raise BadInput(f"{text} is no funding rate: it would take the whole position at once")
    scaled = value.scaleb(RATE_DECIMALS)
    if scaled != int(scaled):
        raise BadInput(f"the funding rate {text} is finer than {RATE_DECIMALS} decimals")
    return int(scaled)


def funding_cash(contract: ContractValue, size: int, mark_e8: int, rate: int) -> int:
    """Return what comes (+) or is paid (−) for a position at a stamp, rounded down.

    The size is what is held at the stamp, below 0 short; the rate is in 1e-18.
    """
    top, bottom = contract.value(size, mark_e8)
    signed = top if size > 0 else -top
    return -signed * rate // (bottom * _UNIT)


def funding_shares(
    sizes: Sequence[int], per: tuple[ContractValue, int, int], cash: int
) -> list[int]:
    """Share what an account got or paid among its owners, by their sizes; the sum is `cash`.

    `per` is contract, mark and rate. Each has its own payment, rounded down. What is left over (a
    unit an owner at most where the venue rounds as we do) goes to the owners in turn, the largest
    position first.
    """
    contract, mark_e8, rate = per
    parts = [funding_cash(contract, size, mark_e8, rate) for size in sizes]
    left = cash - sum(parts)
    if left and not parts:
        raise BadInput(f"{cash} of funding came, and no owner holds anything")
    order = sorted(range(len(sizes)), key=lambda at: (-abs(sizes[at]), at))
    each, more = divmod(left, len(parts)) if parts else (0, 0)
    for turn, at in enumerate(order):
        parts[at] += each + (turn < more)
    return parts


def nominal_stamp(at_ns: int, interval_ns: int = HOUR_NS) -> int:
    """Return the point of a grid a stamp is meant for: venues write it milliseconds late."""
    return (at_ns + interval_ns // 2) // interval_ns * interval_ns


def typed_rates(rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, RateType]]:
    """Give rates of a file that says no types, (stamp in ns, rate) in order of time, with theirs.

    Where two stand at one nominal stamp the later is the special one: Binance pays the dividend of
    a share milliseconds to a second behind the regular funding. BadInput for a third.
    """
    nominal, count = -1, 0
    for at_ns, rate in rows:
        stamp_ns = nominal_stamp(at_ns)
        count = count + 1 if stamp_ns == nominal else 0
        nominal = stamp_ns
        if count > 1:
            raise BadInput(f"more than two rates of funding stand at {at_ns} ns")
        yield at_ns, rate, RateType.SPECIAL if count else RateType.REGULAR


def funding_name(instrument: InstrumentId, stamp_ns: int, rate_type: RateType) -> str:
    """Return what a funding is booked under: a second one of this name is refused.

    Instrument, nominal stamp and rate type name it; a venue's bill is a second witness.
    """
    return f"{FUNDING}{instrument}:{nominal_stamp(stamp_ns)}:{rate_type.value}"
