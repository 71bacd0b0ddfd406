"""Margin of linear and inverse contracts: what a position must keep, and where it is liquidated.

All numbers are whole. A size is in increments, above 0 long and below 0 short. A price is in 1e-8
of the currency: marks are finer than any grid. Money is in the smallest units of the asset the
contract settles in: micro-units of an account's currency, satoshis of an inverse contract. What is
due is rounded up and a liquidation price towards the mark: the venue is never later than we say.

Maintenance grows with a position by tiers, and two laws exist. Binance (USDⓈ-M and COIN-M) reads
the tier from the position's *value* and takes `cum` off, so that maintenance has no step; OKX and
MEXC read it from the position's *size* and take the rate flat on all of it. A rate is in parts per
million. Edges of tiers are in units of money, or of increments of size.

An estimate warns and denies; only a venue liquidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

import msgspec

from engine.domain.money import PPM, ceil_div
from engine.errors import BadInput

PRICE_DECIMALS = 8

Ratio = tuple[int, int]
"""(numerator, denominator > 0): a value before it is rounded."""


class Measure(StrEnum):
    """What the edges of a table are compared with."""

    VALUE = "value"
    """|size| at the mark; `cum` is taken off (Binance)."""
    SIZE = "size"
    """|size|; the rate is flat on the whole of it (OKX, MEXC)."""


class MarginTier(msgspec.Struct, frozen=True, gc=False):
    """One row: it holds above its floor, up to its cap and with it."""

    floor: int
    cap: int
    maintenance_ppm: int
    leverage_max: int


class TierTable(msgspec.Struct, frozen=True, dict=True):
    """The tiers of one instrument, checked: see `tier_table`.

    What follows from its rows does not travel: an int64 may be too small for it.
    """

    measure: Measure
    tiers: tuple[MarginTier, ...]

    @cached_property
    def cum_ppm(self) -> tuple[int, ...]:
        """What each tier takes off, in units · 1e6: exact whatever the rates are; 0 by size.

        A tier takes what the one before it does, and its floor times the rise of the rate:
        maintenance is equal on both sides of an edge (Binance help, "How to calculate liquidation
        price").
        """
        cum = [0]
        for lower, upper in pairwise(self.tiers):
            more = upper.maintenance_ppm - lower.maintenance_ppm
            cum.append(cum[-1] + (upper.floor * more if self.measure is Measure.VALUE else 0))
        return tuple(cum)

    def index(self, numerator: int, denominator: int = 1) -> int:
        """Return which tier holds for a value or size, given as a fraction ≥ 0.

        What is beyond the last cap is in the last tier: `covers` says that it is beyond.
        """
        for at, tier in enumerate(self.tiers):
            if numerator <= tier.cap * denominator:
                return at
        return len(self.tiers) - 1

    def covers(self, amount: int) -> bool:
        """Say whether a position so large may be held at all."""
        return amount <= self.tiers[-1].cap

    def leverage_max(self, amount: int) -> int:
        """Return the highest leverage of a position so large; 0 = none may be so large."""
        return self.tiers[self.index(amount)].leverage_max if self.covers(amount) else 0


class ContractValue(msgspec.Struct, frozen=True, gc=False):
    """What a size is worth: linear q · cs · p of the quote, inverse q · cs / p of the base.

    `numerator` over `denominator` is cs in the units of this file.
    """

    numerator: int
    denominator: int
    inverse: bool = False

    @classmethod
    def of(
        cls, size_decimals: int, decimals: int, *, each: Decimal = Decimal(1), inverse: bool = False
    ) -> ContractValue:
        """Return the contract of which one unit of size is `each` of the base, or of the quote.

        `decimals` are those of the asset it settles in.
        """
        if each <= 0:
            raise BadInput(f"a contract is of {each}: it must be of more than nothing")
        top, bottom = each.as_integer_ratio()
        up, down = decimals, size_decimals + PRICE_DECIMALS
        if inverse:
            up, down = decimals + PRICE_DECIMALS, size_decimals
        return cls(top * 10**up, bottom * 10**down, inverse)

    def value(self, size: int, price_e8: int) -> Ratio:
        """Return what |size| is worth at a price."""
        if price_e8 <= 0:
            raise BadInput(f"a price of {price_e8} is not above 0: nothing is valued at it")
        if self.inverse:
            return abs(size) * self.numerator, self.denominator * price_e8
        return abs(size) * price_e8 * self.numerator, self.denominator


class Exposure(msgspec.Struct, frozen=True, gc=False):
    """A position as margin sees it: its size, and what it cost as a value ≥ 0 (q·cs·E or q·cs/E).

    The ledger keeps the cost: an average price is derived from it and never the other way round.
    """

    size: int
    cost: int


def tier_table(measure: Measure, rows: Sequence[MarginTier], *, step: int = 0) -> TierTable:
    """Check a venue's rows and compute what each tier takes off. BadInput names the faulty row.

    `step` is how far a floor may lie above the cap before it: OKX writes `max + 1`. What lies
    between belongs to the upper row, which asks for more.
    """
    if not rows:
        raise BadInput("a tier table has no rows")
    if rows[0].floor not in {0, step}:
        raise BadInput(f"tier 1 starts at {rows[0].floor}: what is smaller has no margin")
    for number, row in enumerate(rows, 1):
        _check_row(number, row)
    for number, (lower, upper) in enumerate(pairwise(rows), 2):
        _check_edge(number, lower, upper, step)
    floors = (0, *(row.cap for row in rows[:-1]))
    tiers = tuple(msgspec.structs.replace(r, floor=f) for r, f in zip(rows, floors, strict=True))
    return TierTable(measure, tiers)


def cum_differences(table: TierTable, stated: Sequence[int]) -> tuple[str, ...]:
    """Say where the amounts a venue states to take off are not those its own rates give.

    Rates such as 16.67 % are rounded by the venue, so its amounts may differ and both be right: a
    difference is told, with both numbers, and refuses nothing.
    """
    if len(stated) != len(table.tiers):
        return (f"{len(stated)} amounts are stated for {len(table.tiers)} tiers",)
    return tuple(
        f"tier {number} takes {said} off as stated, {ours / PPM:g} by its rates"
        for number, (said, ours) in enumerate(zip(stated, table.cum_ppm, strict=True), 1)
        if said * PPM != ours
    )


def maintenance(
    contract: ContractValue, table: TierTable, size: int, mark_e8: int, *, fee_ppm: int = 0
) -> int:
    """Return the margin a position must keep at a mark, rounded up.

    Binance: `notional · mmr(tier) − cum(tier)`, the tier by the notional at the mark; OKX: `value ·
    mmr(tier)` flat, the tier by contracts (Binance and OKX help; linear contracts and inverse).
    `fee_ppm` is the taker's fee that OKX adds to the rate.
    """
    top, bottom = contract.value(size, mark_e8)
    at = table.index(abs(size)) if table.measure is Measure.SIZE else table.index(top, bottom)
    due = top * (table.tiers[at].maintenance_ppm + fee_ppm) - table.cum_ppm[at] * bottom
    return ceil_div(due, bottom * PPM)


def initial_margin(contract: ContractValue, size: int, price_e8: int, leverage: int) -> int:
    """Return `value / leverage`, rounded up.

    The price is the mark (Binance; OKX cross) or the average (OKX isolated).
    """
    if leverage < 1:
        raise BadInput(f"a leverage of {leverage} is below 1")
    top, bottom = contract.value(size, price_e8)
    return ceil_div(top, bottom * leverage)


def order_cost(
    contract: ContractValue, size: int, price_e8: int, mark_e8: int, leverage: int
) -> int:
    """Return what an order that opens reserves: its initial margin and its loss when it opens.

    `notional / leverage + q · max(0, −direction · (mark − price))` (Binance help, "cost required to
    open a position"). A market order gives the price the venue assumes for it.
    """
    loss = max(0, -_pnl_up(contract, size, price_e8, mark_e8))
    return initial_margin(contract, size, price_e8, leverage) + loss


def unrealised(contract: ContractValue, held: Exposure, mark_e8: int) -> int:
    """Return what closing at the mark would bring, rounded down: q·cs·(M − A), or q·cs·(1/A − 1/M).

    A short of either gains what a long of it loses.
    """
    top, bottom = contract.value(held.size, mark_e8)
    gain = top - held.cost * bottom
    return (gain if (held.size > 0) != contract.inverse else -gain) // bottom


def liquidated(balance: int, due: int, measure: Measure = Measure.VALUE) -> bool:
    """Say whether a venue takes over: the margin balance is below the maintenance margin.

    OKX (tiers by size) takes over at equal, and adds the taker's fee to what is due (margin ratio ≤
    100 %).
    """
    return balance < due or (balance == due and measure is Measure.SIZE)


def liquidation_price(
    contract: ContractValue,
    table: TierTable,
    held: Exposure,
    wallet: int,
    *,
    others_maintenance: int = 0,
    others_pnl: int = 0,
    fee_ppm: int = 0,
) -> int | None:
    """Return the mark at which a position is liquidated, in 1e-8; None = there is no such price.

    Binance, side s = ±1, size q, entry E, wallet WB, of the other contracts of a cross margin the
    maintenance TMM and the PnL UPNL (isolated: both 0, and WB is the isolated wallet):

        USDⓈ-M   P = (WB − TMM + UPNL + cum − s·q·E) / (q·mmr − s·q)
        COIN-M   P = q·cs·(mmr + s) / (WB − TMM + UPNL + cum + s·q·cs/E)

    (Binance help, "How to calculate liquidation price of USDⓈ-M / COIN-M futures"; the second is
    derived.) OKX isolated is the same with `mmr + taker fee` for mmr and no cum, from its margin
    ratio: `(q·ct·E − s·M) / (q·ct·(1 − s·(mmr + fee)))`, inverse `q·ct·(1 + s·(mmr + fee)) /
    (q·ct/E + s·M)`. The tier is that of the value *at P*, not at entry: each is tried, and one
    fits. A P ≤ 0 is none: the venues show "--".
    """
    if held.size == 0:
        return None
    free = wallet - others_maintenance + others_pnl
    if table.measure is Measure.SIZE:
        at = table.index(abs(held.size))
        return _rounded(
            held.size, _solved(contract, table, at, held=held, free=free, fee_ppm=fee_ppm)
        )
    for at in range(len(table.tiers)):
        price = _solved(contract, table, at, held=held, free=free, fee_ppm=fee_ppm)
        if price is not None and table.index(*_value_at(contract, held.size, price)) == at:
            return _rounded(held.size, price)
    return None


def buffer_ppm(mark_e8: int, liquidation_e8: int, *, long: bool) -> int:
    """Return how far the mark may move before liquidation, in parts per million, rounded down.

    Below 0 the mark is beyond it.
    """
    if mark_e8 <= 0:
        raise BadInput(f"a mark of {mark_e8} is not above 0")
    away = mark_e8 - liquidation_e8 if long else liquidation_e8 - mark_e8
    return away * PPM // mark_e8


def _solved(
    contract: ContractValue, table: TierTable, at: int, *, held: Exposure, free: int, fee_ppm: int
) -> Ratio | None:
    """Return P if this tier's rate and amount held, in 1e-8; None where P is not above 0."""
    side = 1 if held.size > 0 else -1
    rate = table.tiers[at].maintenance_ppm + fee_ppm
    money = free * PPM + table.cum_ppm[at]
    weight = abs(held.size) * contract.numerator
    if contract.inverse:
        top = weight * (rate + side * PPM)
        bottom = (money + side * held.cost * PPM) * contract.denominator
    else:
        top = (money - side * held.cost * PPM) * contract.denominator
        bottom = weight * (rate - side * PPM)
    if bottom < 0:
        top, bottom = -top, -bottom
    return (top, bottom) if top > 0 and bottom > 0 else None


def _value_at(contract: ContractValue, size: int, price: Ratio) -> Ratio:
    top, bottom = price
    if contract.inverse:
        return abs(size) * contract.numerator * bottom, contract.denominator * top
    return abs(size) * contract.numerator * top, contract.denominator * bottom


def _rounded(size: int, price: Ratio | None) -> int | None:
    """Round up for a long and down for a short: each is towards the mark."""
    if price is None:
        return None
    top, bottom = price
    return (ceil_div(top, bottom) if size > 0 else top // bottom) or None


def _pnl_up(contract: ContractValue, size: int, price_e8: int, mark_e8: int) -> int:
    """Return what a position opened at a price has made at the mark, rounded down."""
    opened, per = contract.value(size, price_e8)
    now, now_per = contract.value(size, mark_e8)
    gain, bottom = now * per - opened * now_per, per * now_per
    return (gain if (size > 0) != contract.inverse else -gain) // bottom


def _check_row(number: int, row: MarginTier) -> None:
    if row.floor < 0 or row.cap <= row.floor:
        raise BadInput(f"tier {number} ends at {row.cap}, not above its start {row.floor}")
    if not 0 < row.maintenance_ppm < PPM:
        raise BadInput(
            f"tier {number}: a maintenance rate of {row.maintenance_ppm} parts per million is "
            "not between 0 and the whole value"
        )
    if row.leverage_max < 1:
        raise BadInput(f"tier {number}: a leverage of {row.leverage_max} is below 1")


def _check_edge(number: int, lower: MarginTier, upper: MarginTier, step: int) -> None:
    if upper.floor < lower.floor:
        raise BadInput(
            f"tier {number} starts at {upper.floor}, below the tier before it at {lower.floor}: "
            "the rows are out of order"
        )
    if upper.floor > lower.cap + step:
        raise BadInput(
            f"between tiers {number - 1} and {number} is a hole from {lower.cap} to {upper.floor}"
        )
    if upper.floor < lower.cap:
        raise BadInput(f"tiers {number - 1} and {number} overlap from {upper.floor} to {lower.cap}")
    if upper.maintenance_ppm < lower.maintenance_ppm:
        raise BadInput(f"tier {number} asks for less margin than the smaller tier before it")
    if upper.leverage_max > lower.leverage_max:
        raise BadInput(f"tier {number} allows more leverage than the smaller tier before it")
