"""The recorded oracle and its up/down markets: ticks with both their times, strikes, outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from engine.errors import BadInput, os_sentence
from engine.feeds.bad_frame import UNREADABLE
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.lines import is_json, read_lines

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
E8_PER_E18 = 10**10
"""The recording keeps oracle prices and strikes in 1e-18; the house keeps 1e-8."""

PRICE_E18 = (E8_PER_E18, 10**30)
"""Least and most: a price is above 0 in 1e-8 too, and below a million millions of dollars."""
MS_MAX = 9 * 10**12
"""Milliseconds that are nanoseconds of 63 bits."""
DIGITS_MAX = 40

HALF = Decimal("0.5")
OUTCOMES: dict[tuple[Decimal, Decimal], bool | None] = {
    (Decimal(1), Decimal(0)): True,
    (Decimal(0), Decimal(1)): False,
    (HALF, HALF): None,
}
"""Prices of Up and Down after the end, and whether Up won."""

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
    up: bool | None
    """None = nobody won: it paid half for each side."""


class _Row(msgspec.Struct):
    """A line of the markets' file."""

    slug: str
    start_sec: int
    end_sec: int
    outcome_prices: tuple[Decimal, Decimal]
    strike_value: Decimal | None


_row = msgspec.json.Decoder(_Row).decode


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
    """Return the oracle's ticks in the order they were received. Raises BadInput."""
    ticks, columns = [], None
    for number, line in _lines(path, whole=bool):
        try:
            cells = line.decode().rstrip("\r").split(",")
            if columns is None:
                columns = cells
                continue
            row = dict(zip(columns, cells, strict=False))
            ticks.append(
                Tick(
                    _number(row, "recv_ms", 0, MS_MAX) * MS_NS,
                    _number(row, "feed_ts_ms", 0, MS_MAX) * MS_NS,
                    _number(row, "full_accuracy_value", *PRICE_E18) // E8_PER_E18,
                )
            )
        except BadInput as error:
            raise BadInput(f"{path.name}, line {number}: {error}") from None
        except UnicodeDecodeError:
            raise BadInput(f"{path.name}, line {number}: not UTF-8 text") from None
    return sorted(ticks, key=lambda tick: (tick.received_ns, tick.stamp_ns))


def _number(row: dict[str, str], name: str, least: int, most: int) -> int:
    """Return a column's whole number. Raises BadInput in words."""
    text = row.get(name)
    if text is None:
        raise BadInput(f"column {name} is missing")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise BadInput(f"{name} {text[:DIGITS_MAX]!r} is not a whole number")
    if len(digits) > DIGITS_MAX or not least <= int(text) <= most:
        raise BadInput(f"{name} {text[:DIGITS_MAX]} must be between {least} and {most}")
    return int(text)


def read_markets(path: Path) -> list[RecordedMarket]:
    """Return the recorded markets. Raises BadInput."""
    markets = []
    for number, line in _lines(path):
        try:
            markets.append(_market(_row(line)))
        except (*UNREADABLE, BadInput) as error:
            raise BadInput(f"{path.name}, line {number}: not a market ({error})") from None
    return markets


def _market(row: _Row) -> RecordedMarket:
    if not 0 < row.start_sec < row.end_sec <= MS_MAX // 1_000:
        raise BadInput(f"its window from {row.start_sec} to {row.end_sec} is none")
    if row.outcome_prices not in OUTCOMES:
        prices = " and ".join(map(str, row.outcome_prices))
        raise BadInput(f"outcome_prices {prices} are no outcome: 1 and 0, 0 and 1, or half each")
    strike = row.strike_value
    if strike is not None and not PRICE_E18[0] <= strike <= PRICE_E18[1]:
        raise BadInput(f"strike_value {strike} must be a price above 0")
    return RecordedMarket(
        slug=row.slug,
        starts_ns=row.start_sec * SECOND_NS,
        closes_ns=row.end_sec * SECOND_NS,
        strike_e8=None if strike is None else int(strike) // E8_PER_E18,
        up=OUTCOMES[row.outcome_prices],
    )


def _lines(path: Path, whole: Callable[[bytes], bool] = is_json) -> Iterator[tuple[int, bytes]]:
    try:
        yield from read_lines(path, RecordingStats(), whole)
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {os_sentence(error)}") from None
