"""`python -m studies.history`: how often prices of resolved binaries paid, and on what that rests.

Each market counts once in each tenth of price and each half, with the first daily price it had
there. Markets are cut by the time they resolved: the table is made of those resolved before the
cut, and held out are prices observed after it, of markets resolved later, so no market and no hour
is on both sides. Intervals draw whole weeks of resolutions (Kuensch, 1989). The table is made to
rise by pooling neighbours (Ayer et al., 1955, "An empirical distribution function for sampling
with incomplete information") and is what the strategy `value` takes as `table`.

Days to the resolution are known only afterwards. Where `--days` counts them, what is found is of
hindsight: a market that ends early because its event came had a low price not long before.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.cli.arguments import WHOLE_MAX, whole
from engine.config import Config
from engine.errors import BadInput
from engine.strategies.value import PricePoint, calibrated
from studies import main
from studies.fair_value.scores import Numbers, slope_of

NAME = "history"
HELP = "reliability of prices on resolved binaries, and a table for the strategy value"
TENTHS = 10
WEEK_S = 7 * 86_400
DAY_S = 86_400
RESAMPLES = 2_000
SEED = 20_260_608
COST = 0.01
"""Assumed between a last price and one that can be taken, a share: half of a 2-cent spread."""
EDGE_MIN, EDGE_MAX = 0.03, 0.2
"""The edges the strategy takes by default."""

Whole = NDArray[np.int64]


class Prices(NamedTuple):
    """Daily prices of YES before the resolution, in order of time; times are s UTC."""

    market: Whole
    at_s: Whole
    price: Numbers
    paid: Numbers
    resolved_s: Whole

    def where(self, chosen: NDArray[np.bool_]) -> Prices:
        return Prices._make(column[chosen] for column in self)


class Share(msgspec.Struct, frozen=True):
    """A mean over markets with its 95 % interval over weeks."""

    mean: float
    low: float
    high: float


class Tenth(msgspec.Struct, frozen=True, kw_only=True):
    """Prices within one tenth, and how often they paid."""

    low: float
    markets: int
    price: float
    paid: Share


class HistoryResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the history shows, before the cut and after it."""

    markets: int
    prices: int
    cut_s: int
    days: tuple[int, int] | None
    before: tuple[Tenth, ...]
    after: tuple[Tenth, ...]
    table: tuple[PricePoint, ...]
    brier_gain: Share
    """Brier score of the price less that of the table, held out: above 0 = the table is better."""
    slope: float
    """Of what happened on the logit of the price, held out; below 1 = prices are too extreme."""
    taken: int
    gain: Share | None
    """A share bought where the table sees an edge, after `COST`, held out; None = none was."""


def read_prices(folder: Path) -> Prices:
    """Read candles_1d, outcomes and resolutions. Raises BadInput where one is missing or torn."""
    try:
        candles = pq.read_table(
            folder / "candles_1d.parquet", columns=["instrument_id", "released_at", "close"]
        )
        outcomes = pq.read_table(folder / "outcomes.parquet")
        ends = pq.read_table(folder / "resolutions.parquet", columns=["market_id", "resolved_at"])
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{folder}: no daily history can be read there: {error}") from None
    resolved = dict(
        zip(ends["market_id"].to_pylist(), ends["resolved_at"].to_pylist(), strict=True)
    )
    known = {
        row["instrument_id"]: (row["market_id"], row["payoff_on_resolve"])
        for row in outcomes.to_pylist()
        if row["sort_order"] == 0 and row["market_id"] in resolved
    }
    number = {market: i for i, market in enumerate(sorted({one for one, _ in known.values()}))}
    rows = [
        (number[known[key][0]], at_s, close, known[key][1], resolved[known[key][0]])
        for key, at_s, close in zip(
            *(candles[name].to_pylist() for name in ("instrument_id", "released_at", "close")),
            strict=True,
        )
        if key in known and at_s < resolved[known[key][0]] and 0.0 < close < 1.0
    ]
    if not rows:
        raise BadInput(f"{folder}: it holds no price before a resolution")
    rows.sort(key=lambda row: row[1])
    columns = list(zip(*rows, strict=True))
    kinds = (np.int64, np.int64, np.float64, np.float64, np.int64)
    return Prices._make(np.array(one, dtype=kind) for one, kind in zip(columns, kinds, strict=True))


def first_in_tenths(prices: Prices) -> Prices:
    """Return the first price each market had in each tenth."""
    tenth = np.minimum((prices.price * TENTHS).astype(np.int64), TENTHS - 1)
    _, first = np.unique(prices.market * TENTHS + tenth, return_index=True)
    return Prices._make(column[np.sort(first)] for column in prices)


def over_weeks(values: Numbers, resolved_s: Whole, resamples: int, seed: int) -> Share:
    """Return the mean, with an interval that draws whole weeks of resolutions."""
    _, week = np.unique(resolved_s // WEEK_S, return_inverse=True)
    sums, counts = np.bincount(week, weights=values), np.bincount(week)
    drawn = np.random.default_rng(seed).integers(0, len(counts), size=(resamples, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Share(float(values.mean()), float(low), float(high))


def reliability(prices: Prices, resamples: int, seed: int) -> tuple[Tenth, ...]:
    """Return the tenths of price that have any market."""
    made = []
    for number in range(TENTHS):
        low, high = number / TENTHS, (number + 1) / TENTHS
        inside = prices.where((prices.price >= low) & (prices.price < high))
        if len(inside.price):
            paid = over_weeks(inside.paid, inside.resolved_s, resamples, seed + number)
            price = float(inside.price.mean())
            made.append(Tenth(low=low, markets=len(inside.price), price=price, paid=paid))
    return tuple(made)


def rising(tenths: Sequence[Tenth]) -> tuple[PricePoint, ...]:
    """Return (price, how often it paid), pooled with neighbours until it never falls."""
    pools: list[list[float]] = []  # price, paid, markets
    for one in tenths:
        pools.append([one.price, one.paid.mean, float(one.markets)])
        while len(pools) > 1 and pools[-1][1] < pools[-2][1]:
            last = pools.pop()
            price, paid, markets = pools[-1]
            both = markets + last[2]
            price, paid = price * markets + last[0] * last[2], paid * markets + last[1] * last[2]
            pools[-1] = [price / both, paid / both, both]
    return tuple((round(price, 3), round(paid, 3)) for price, paid, _ in pools)


def study(prices: Prices, days: tuple[int, int] | None, resamples: int, seed: int) -> HistoryResult:
    """Fit on what resolved before the median resolution, and look at what came after it."""
    if days is not None:
        left = (prices.resolved_s - prices.at_s) / DAY_S
        prices = prices.where((left >= days[0]) & (left <= days[1]))
    if not len(prices.price):
        raise BadInput("no price is left: give more days")
    _, first = np.unique(prices.market, return_index=True)
    cut = int(np.median(prices.resolved_s[first]))
    before = first_in_tenths(prices.where(prices.resolved_s <= cut))
    after = first_in_tenths(prices.where(prices.at_s > cut))
    if not len(before.price) or not len(after.price):
        raise BadInput("one half has no price: the history is too short to hold anything out")
    table = rising(reliability(before, 1, seed))
    fair = np.array([_or_price(calibrated(table, one), one) for one in after.price.tolist()])
    brier = (after.price - after.paid) ** 2 - (fair - after.paid) ** 2
    edge = np.abs(fair - after.price) - COST
    takes = (edge >= EDGE_MIN) & (edge <= EDGE_MAX)
    gains = np.where(fair > after.price, after.paid - after.price, after.price - after.paid) - COST
    gain = (
        over_weeks(gains[takes], after.resolved_s[takes], resamples, seed) if takes.any() else None
    )
    return HistoryResult(
        markets=len(first),
        prices=len(prices.price),
        cut_s=cut,
        days=days,
        before=reliability(before, resamples, seed),
        after=reliability(after, resamples, seed),
        table=table,
        brier_gain=over_weeks(brier, after.resolved_s, resamples, seed),
        slope=slope_of(after.price, after.paid),
        taken=int(takes.sum()),
        gain=gain,
    )


def _or_price(found: float | None, price: float) -> float:
    return price if found is None else found


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "path", type=Path, help="folder with candles_1d, outcomes and resolutions (*.parquet)"
    )
    parser.add_argument(
        "--days",
        type=whole(0, 3_660),
        nargs=2,
        metavar=("MIN", "MAX"),
        help="only prices so many days before the resolution; of hindsight",
    )
    parser.add_argument(
        "--resamples",
        type=whole(1, 1_000_000),
        default=RESAMPLES,
        help=f"bootstrap draws ({RESAMPLES})",
    )
    parser.add_argument(
        "--seed", type=whole(0, WHOLE_MAX), default=SEED, help=f"of the bootstrap ({SEED})"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Study and print. Gives the exit code; raises BadInput."""
    del config
    days = None if args.days is None else (args.days[0], args.days[1])
    result = study(read_prices(args.path), days, args.resamples, args.seed)
    text = msgspec.json.encode(result).decode() if args.json else describe(result)
    sys.stdout.write(text + "\n")
    return 0


def describe(result: HistoryResult) -> str:
    """Return the result in words and one table."""
    halves = {one.low: one for one in result.after}
    lines = [
        f"{result.markets:,} markets, {result.prices:,} daily prices, cut at {result.cut_s} s UTC"
        + ("" if result.days is None else f", {result.days[0]} to {result.days[1]} days before"),
        "| price | before: markets | price | paid | held out: markets | price | paid |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in result.before:
        other = halves.get(one.low)
        held = " | | " if other is None else _cells(other)
        lines.append(f"| {one.low:.1f}-{one.low + 0.1:.1f} | {_cells(one)} | {held} |")
    table = " ".join(f"{price:g}:{paid:g}" for price, paid in result.table)
    lines += [
        f"table={table}",
        f"held out: Brier of the price less the table's {_share(result.brier_gain)}, "
        f"slope of the price {result.slope:.2f}",
        f"held out: {result.taken:,} shares with an edge of {EDGE_MIN:g} to {EDGE_MAX:g} "
        f"after {COST:g} of cost"
        + ("" if result.gain is None else f": {_share(result.gain)} a share"),
    ]
    return "\n".join(lines)


def _cells(one: Tenth) -> str:
    return f"{one.markets:,} | {one.price:.3f} | {_share(one.paid, sign='')}"


def _share(one: Share, *, sign: str = "+") -> str:
    return f"{one.mean:{sign}.4f} [{one.low:{sign}.4f}, {one.high:{sign}.4f}]"


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
