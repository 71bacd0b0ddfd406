"""What trades beside the binaries of a simulated world: a spot pair, a perpetual, by its seed.

The perpetual's tiers are as small as the accounts are, so that positions cross them, and funding is
near: most worlds with a perpetual begin minutes before a full hour.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import msgspec

from engine.domain.instruments import InstrumentId, Kind
from engine.domain.products.funding import HOUR_NS
from engine.domain.products.margin import MarginTier
from engine.lab.simulate.fee_assets import FeesIn
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.profiles import (
    CURRENCY,
    PERPETUAL,
    SPOT,
    THIN,
    USD,
    Profile,
    SpotSpec,
)

S = 1_000_000_000

SPOT_EVERY, SPOT_AT = 11, 2
"""Every eleventh gathering seed is a world with a spot pair beside the binaries."""

PERPETUAL_EVERY, PERPETUAL_AT = 10, 8
"""Every tenth gathering seed is a world with a perpetual beside the binaries."""

QUIET = {"maker_rate": 0.5, "noise_rate": 0.3, "informed_rate": 0.3}
QUIET_PAIR = msgspec.structs.replace(SPOT, **QUIET)
SMALL_PERPETUAL = msgspec.structs.replace(
    PERPETUAL,
    **QUIET,
    leverage=5,
    tiers=(
        MarginTier(0, 25 * USD, 25_000, 20),
        MarginTier(25 * USD, 75 * USD, 50_000, 10),
        MarginTier(75 * USD, 200 * USD, 100_000, 8),
        MarginTier(200 * USD, 100_000_000 * USD, 150_000, 5),
    ),
)
"""Its tiers are crossed by what accounts hold here; who makes its market is in the last one."""

ABROAD = "EUR"
ABROAD_EVERY, ABROAD_AT = 29, 28
"""In every twenty-ninth world that was asked for a pair, it is quoted in a currency that no account
counts in: nothing of it may be traded."""

STAMPS = 0.95
"""Share of the worlds with a perpetual that begin shortly before a stamp of its funding."""

STAMP_S = (15, 240)
"""How long before it they begin; short times are as likely as long ones are, by their logarithm."""


def profile_of(
    pair: object, perpetual: object, *, fees: FeesIn = FeesIn.QUOTE, currency: str = CURRENCY
) -> Profile:
    """Return what the exchange of a world lists and who trades there."""
    spots = (msgspec.structs.replace(_pair(fees), currency=currency),) if pair else ()
    perpetuals = (SMALL_PERPETUAL,) if perpetual else ()
    return msgspec.structs.replace(THIN, spots=spots, perpetuals=perpetuals)


def _pair(fees: FeesIn) -> SpotSpec:
    """Return the pair of a world: where fees are of the base, its sizes are coarser than that."""
    free = {} if fees in (FeesIn.QUOTE, FeesIn.NAMED) else {"taker_ppm": 0, "maker_ppm": 0}
    sizes = {"size_decimals": 6, "lot": 10, "size_min": 100} if fees is FeesIn.BASE else {}
    return msgspec.structs.replace(QUIET_PAIR, **free, **sizes)


def quoted_in(seed: int, *, spot: bool) -> str:
    """Return what a pair is quoted in, in the world of a seed that was asked for one or not."""
    return ABROAD if spot and seed % ABROAD_EVERY == ABROAD_AT else CURRENCY


def has_pair(seed: int) -> bool:
    """Say whether a gathering seed's world has a spot pair by itself."""
    return seed % SPOT_EVERY == SPOT_AT


def draws_perpetual(seed: int) -> bool:
    """Say whether a gathering seed's world has a perpetual by itself."""
    return seed % PERPETUAL_EVERY == PERPETUAL_AT


def has_perpetual(exchange: DemoExchange) -> bool:
    """Say whether an exchange lists a perpetual."""
    return bool(exchange.clearing.margin.perpetuals)


def near_a_stamp(begin_ns: int, random: Random) -> int:
    """Return when a world with a perpetual begins that was to begin at `begin_ns`."""
    if random.random() >= STAMPS:
        return begin_ns
    before_s = STAMP_S[0] * (STAMP_S[1] / STAMP_S[0]) ** random.random()
    return (begin_ns // HOUR_NS + 1) * HOUR_NS - int(before_s * S)


class Alone(NamedTuple):
    """The exchange's instruments that are of no series."""

    events: list[InstrumentId]
    pairs: list[InstrumentId]
    perpetuals: list[InstrumentId]


def alone_at(exchange: DemoExchange) -> Alone:
    alone = [m for m in exchange.order_entry.markets.values() if not m.instrument.series]
    return Alone(
        [m.instrument.id for m in alone if m.chained],
        [m.instrument.id for m in alone if m.kind is Kind.SPOT],
        [m.instrument.id for m in alone if m.margined],
    )
