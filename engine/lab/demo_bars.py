"""Bars of the demo exchange's spot pair: hours of its market played through in simulated time.

The same seed and start give the same bars. `engine data demo` writes them, and the file that a new
desk finds under `data` is such a file: its prices were traded by the exchange's own crowd, and are
those of no real market.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import msgspec

from engine.domain.events import TradePrinted
from engine.venues.demo.profiles import FULL, SPOT
from engine.venues.demo.world import open_world

S = 1_000_000_000
BAR_NS = 60 * S
HEADER = "time,open,high,low,close,volume"
PAIR_ONLY = msgspec.structs.replace(FULL, series=(), events=(), perpetuals=())
"""The demo exchange with its spot pair alone: other markets move no price of it."""


class DemoBar(NamedTuple):
    """A minute of trades: its start in seconds UTC, prices in ticks' units, volume in lots' units.

    The units are those of the pair: `price_decimals` and `size_decimals` of `SPOT`.
    """

    start_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int

    def line(self) -> str:
        """Return the bar as a line of a file with `HEADER`, its numbers exact."""
        prices = (
            f"{price / 10**SPOT.price_decimals:.{SPOT.price_decimals}f}"
            for price in (self.open, self.high, self.low, self.close)
        )
        volume = f"{self.volume / 10**SPOT.size_decimals:.{SPOT.size_decimals}f}"
        return ",".join((str(self.start_s), *prices, volume))


def demo_bars(seed: int, start_ns: int, minutes: int) -> Iterator[DemoBar]:
    """Yield so many minutes of trades from a whole minute on; one without a trade is left out."""
    now_ns = start_ns - start_ns % BAR_NS
    exchange = open_world(PAIR_ONLY, rng=Random(seed), now_ns=now_ns)  # noqa: S311 a model
    for _ in range(minutes):
        began_ns, now_ns = now_ns, now_ns + BAR_NS
        exchange.advance(now_ns)
        trades = [one for _, one in exchange.take_public() if isinstance(one, TradePrinted)]
        if trades:
            prices = [one.price for one in trades]
            yield DemoBar(
                began_ns // S,
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
                sum(one.size or 0 for one in trades),
            )
