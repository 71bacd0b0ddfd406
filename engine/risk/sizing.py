"""Sizing: how much of a bankroll an edge in a binary deserves. A model's floats in, lots out."""

from __future__ import annotations

import math

from engine.domain.instruments import Instrument, Kind
from engine.domain.money import floor_to_lot
from engine.errors import BadInput


def kelly_size(
    instrument: Instrument,
    *,
    probability: float,
    price: int,
    bankroll_micro: int,
    fraction: float,
    size_max: int,
    taking: bool = False,
) -> int:
    """Return the size of a leg to buy, in size increments, a multiple of the lot; 0 = no edge.

    `probability` is that of this leg paying 1.0 and `price` the leg's price in increments. The
    stake is `fraction` · (q − c) / (1 − c) of the bankroll, with c the price plus, where the order
    takes, its fee per share (Kelly 1956; Thorp, The Kelly Criterion, for binary bets). `size_max`
    caps the result. Raises BadInput where a number is not one, or outside its range: a model that
    failed must not trade.
    """
    for name, value in (("probability", probability), ("fraction", fraction)):
        if not math.isfinite(value) or not 0.0 <= value <= 1.0:
            raise BadInput(f"{instrument.id}: {name} {value!r} is not within 0 … 1")
    if instrument.kind is not Kind.BINARY or not 0 < price < instrument.one:
        raise BadInput(f"{instrument.id}: {price} is not the price of a binary's leg")
    if bankroll_micro <= 0 or size_max <= 0:
        return 0
    cost = price / instrument.one
    if taking:
        share = int(10**instrument.size_decimals)
        cost += instrument.taker_fee_micro(price, share) / 1_000_000
    if cost >= 1.0 or probability <= cost:
        return 0
    share_of_bankroll = fraction * (probability - cost) / (1.0 - cost)
    stake_micro = min(bankroll_micro, math.floor(bankroll_micro * share_of_bankroll))
    cost_per_increment = cost * instrument.one / instrument.value_divisor
    size = math.floor(stake_micro / cost_per_increment)
    return floor_to_lot(min(size, size_max), instrument.lot)
