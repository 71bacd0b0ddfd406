"""What trades beside the binaries of a simulated world: a spot pair, a perpetual, by its seed.

The perpetual's tiers are as small as the accounts are, so that positions cross them, and funding is
near: most worlds with a perpetual begin minutes before a full hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp
from random import Random

import msgspec

from engine.domain.instruments import AccountId
from engine.domain.products.funding import HOUR_NS
from engine.domain.products.margin import MarginTier
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.margin_desk import MarginDesk
from engine.venues.demo.profiles import PERPETUAL, SPOT, THIN, USD, Profile

S = 1_000_000_000

SPOT_EVERY, SPOT_AT = 11, 2
"""Every eleventh gathering seed is a world with a spot pair beside the binaries."""

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

STAMPS = 0.8
"""Share of the worlds with a perpetual that begin shortly before a stamp of its funding."""

LEAPS = (0.05, 4.0)
"""Logarithm of how far a mark leaps."""

STAMP_NS = (10 * S, 400 * S)
"""How long before it they begin."""


def profile_of(*, pair: bool, perpetual: bool) -> Profile:
    """Return what the exchange of a world lists and who trades there."""
    spots = (QUIET_PAIR,) if pair else ()
    perpetuals = (SMALL_PERPETUAL,) if perpetual else ()
    return msgspec.structs.replace(THIN, spots=spots, perpetuals=perpetuals)


def has_pair(seed: int) -> bool:
    """Say whether a gathering seed's world has a spot pair by itself."""
    return seed % SPOT_EVERY == SPOT_AT


def has_perpetual(exchange: DemoExchange) -> bool:
    """Say whether an exchange lists a perpetual."""
    return bool(exchange.clearing.margin.perpetuals)


def leap(desk: MarginDesk, accounts: Iterable[AccountId], random: Random) -> bool:
    """Let the mark of a perpetual leap until its next one; False = there is none.

    By a few percent or many times over, mostly against one of the accounts: a short of little value
    is liquidated, too.
    """
    marks = desk.ledger.perpetuals
    for key, of in marks.items():
        held = [size for one in accounts if (size := desk.ledger.size(one, key))]
        against = random.choice(held or (-1, 1)) * random.choice((1, 1, 1, -1))
        by = random.uniform(*LEAPS) * (-1 if against > 0 else 1)
        desk.mark(key, max(1, int(of.mark_e8 * exp(by))))
    return bool(marks)


def near_a_stamp(begin_ns: int, random: Random) -> int:
    """Return when a world with a perpetual begins that was to begin at `begin_ns`."""
    if random.random() >= STAMPS:
        return begin_ns
    return (begin_ns // HOUR_NS + 1) * HOUR_NS - random.randint(*STAMP_NS)
