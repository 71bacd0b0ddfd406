"""What resting orders earn of a market's liquidity rewards, by Polymarket's formula. Pure, exact.

Source: docs.polymarket.com/market-makers/liquidity-rewards, equations 1-7. An order s away from the
adjusted mid scores S = ((v - s) / v)² per share, v = the band. Bids of YES with asks of NO sum to
one side, asks of YES with bids of NO to the other; a maker scores the lesser side, and where the
mid is within [0.10, 0.90] at least a third of the greater. Sampled each minute; the day's pool is
shared by score. The multiplier b of equation 1 is 1: no market says when it is in game.

What others score cannot be seen in a book, only the most it can be: so an estimate is what ours
would get at least, if book and orders stood all day as they stand now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

from engine.domain.books import Level
from engine.domain.instruments import Instrument
from engine.domain.money import written

SINGLE = 3
"""The c of equation 4: a maker of one side scores a third."""

SECOND_NS = 1_000_000_000


class RestingQuote(msgspec.Struct, frozen=True, kw_only=True):
    """One of our orders in YES-space, in increments. `confirmed` = the venue said that it rests."""

    order: int
    bid: bool
    price: int
    size: int
    age_ns: int
    confirmed: bool


class Earning(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an order earns now, why or why not in words, and at least how much a day."""

    order: int
    earns: bool
    said: str
    daily_micro: int = 0


def score(band: int, away2: int, size: int) -> Fraction:
    """Return S of equation 1 times the size. `away2` = twice the distance: mids may be halves."""
    left = max(0, 2 * band - away2)
    return Fraction(left * left * size, 4 * band * band)


def least_of(one: Fraction, two: Fraction, mid2: int, unit: int) -> Fraction:
    """Return what a maker with these two sides scores, equation 4; `unit` = the price 1.0."""
    return max(min(one, two), max(one, two) / SINGLE) if _middle(mid2, unit) else min(one, two)


def most_of(one: Fraction, two: Fraction, mid2: int, unit: int) -> Fraction:
    """Return the most that makers who together have these sides can score together."""
    rest = max(one, two) - min(one, two)
    return min(one, two) + (rest / SINGLE if _middle(mid2, unit) else 0)


def _middle(mid2: int, unit: int) -> bool:
    return unit <= 5 * mid2 <= 9 * unit


def adjusted_mid2(bids: Sequence[Level], asks: Sequence[Level], size_min: int) -> int | None:
    """Return twice the mid of the best levels, best first, that are not below the minimum."""
    bid = next((price for price, size in bids if size >= size_min), None)
    ask = next((price for price, size in asks if size >= size_min), None)
    return None if bid is None or ask is None else bid + ask


def earnings(
    instrument: Instrument,
    sides: tuple[Sequence[Level], Sequence[Level]] | None,
    ours: Sequence[RestingQuote],
    *,
    in_book: bool,
) -> list[Earning]:
    """Return what each of our orders in a market earns. `sides` = bids, asks; None = not known.

    `in_book` says whether the book's sizes hold our own orders.
    """
    if not instrument.rewards_daily_micro or not instrument.rewards_spread_max:
        said = f"{instrument.id.partition(':')[0]} pays no rewards in this market"
        return [Earning(order=one.order, earns=False, said=said) for one in ours]
    mid2 = None if sides is None else adjusted_mid2(*sides, instrument.rewards_size_min)
    if sides is None or mid2 is None:
        said = "not known: the book is not trusted now, or lacks a side"
        return [Earning(order=one.order, earns=False, said=said) for one in ours]
    lacks = [_lacks(instrument, one, mid2) for one in ours]
    scores = [
        Fraction()
        if why
        else score(instrument.rewards_spread_max, abs(2 * one.price - mid2), one.size)
        for one, why in zip(ours, lacks, strict=True)
    ]
    bids, asks = (
        sum((s for one, s in zip(ours, scores, strict=True) if one.bid is bid), Fraction())
        for bid in (True, False)
    )
    theirs = [
        _side(instrument, levels, _at(ours, bid=bid) if in_book else {}, mid2)
        for bid, levels in zip((True, False), sides, strict=True)
    ]
    mine = least_of(bids, asks, mid2, instrument.product.one)
    daily = Fraction()
    if mine:
        whole = mine + most_of(theirs[0], theirs[1], mid2, instrument.product.one)
        daily = instrument.rewards_daily_micro * mine / whole / (bids + asks)
    said = "one side only: it scores a third" if not min(bids, asks) else "inside the band"
    return [
        Earning(order=one.order, earns=True, said=said, daily_micro=int(daily * points))
        if daily and not why
        else Earning(order=one.order, earns=False, said=why or ONE_SIDED)
        for one, why, points in zip(ours, lacks, scores, strict=True)
    ]


ONE_SIDED = "one-sided: with the mid below 0.10 or above 0.90 both sides are required"


def _lacks(instrument: Instrument, one: RestingQuote, mid2: int) -> str:
    """Say why an order does not score; empty = it does."""
    band, least = instrument.rewards_spread_max, instrument.rewards_size_min
    away2, decimal = abs(2 * one.price - mid2), instrument.size_decimal
    if not one.confirmed:
        return "the venue has not confirmed that it rests"
    if one.size < least:
        return f"below the minimum size: {decimal(one.size):.2f} of {decimal(least):.2f} shares"
    if away2 >= 2 * band:
        away = f"{_cents(instrument, away2)} from the adjusted mid"
        return f"outside the band: {away}, which ends at {_cents(instrument, 2 * band)}"
    if one.age_ns < instrument.rewards_age_s * SECOND_NS:
        return f"too young: an order counts after {instrument.rewards_age_s} s"
    return ""


def _cents(instrument: Instrument, twice: int) -> str:
    return f"{written(instrument.price_decimal(twice) * 50)}\N{CENT SIGN}"


def _at(ours: Iterable[RestingQuote], *, bid: bool) -> Counter[int]:
    found = Counter[int]()
    for one in ours:
        if one.bid is bid and one.confirmed:
            found[one.price] += one.size
    return found


def _side(
    instrument: Instrument, levels: Iterable[Level], ours: Mapping[int, int], mid2: int
) -> Fraction:
    """Return the most the others of one side score: each level's size, less ours at it."""
    band, least, found = instrument.rewards_spread_max, instrument.rewards_size_min, Fraction()
    for price, size in levels:
        rest = size - ours.get(price, 0)
        if rest >= least:
            found += score(band, abs(2 * price - mid2), rest)
    return found
