"""The recorded oracle and its up/down markets: ticks with both their times, strikes, outcomes."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.errors import BadInput

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
E8_PER_E18 = 10**10
"""The recording keeps oracle prices and strikes in 1e-18; the house keeps 1e-8."""

PRICES = "BTCUSD-prices-"
MARKETS = "BTC-5m-markets-"


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One oracle price: made at `stamp_ns`, known from `received_ns` on."""

    received_ns: int
    stamp_ns: int
    price_e8: int


class RecordedMarket(msgspec.Struct, frozen=True):
    """One up/down market and how it ended. `strike_e8` None = the recording has none."""

    slug: str
    starts_ns: int
    closes_ns: int
    strike_e8: int | None
    up: bool


def recorded_days(folder: Path) -> list[str]:
    """Return the days a folder holds, oldest first. Raises BadInput where it holds none."""
    days = sorted(
        file.name.removeprefix(PRICES).removesuffix(".csv.gz")
        for file in folder.glob(f"{PRICES}*.csv.gz")
    )
    if not days:
        raise BadInput(f"{folder} has no {PRICES}<day>.csv.gz")
    return days


def read_ticks(path: Path) -> list[Tick]:
    """Return the oracle's ticks in the order they were received."""
    ticks = []
    for number, row in enumerate(csv.DictReader(_lines(path)), start=2):
        try:
            ticks.append(
                Tick(
                    int(row["recv_ms"]) * MS_NS,
                    int(row["feed_ts_ms"]) * MS_NS,
                    int(row["full_accuracy_value"]) // E8_PER_E18,
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{path.name} line {number}: {error!r}") from None
    return sorted(ticks, key=lambda tick: (tick.received_ns, tick.stamp_ns))


def read_markets(path: Path) -> list[RecordedMarket]:
    """Return the recorded markets. One whose outcome is neither Up nor Down is not readable."""
    markets = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            strike = row["strike_value"]
            markets.append(
                RecordedMarket(
                    slug=row["slug"],
                    starts_ns=row["start_sec"] * SECOND_NS,
                    closes_ns=row["end_sec"] * SECOND_NS,
                    strike_e8=None if strike is None else int(strike) // E8_PER_E18,
                    up={("1", "0"): True, ("0", "1"): False}[tuple(row["outcome_prices"])],
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{path.name} line {number}: {error!r}") from None
    return markets


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    except (OSError, EOFError) as error:
        raise BadInput(f"{path.name} cannot be read: {error}") from None
