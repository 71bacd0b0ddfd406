"""Recorded up/down markets with known outcomes: ticks, strikes, and books if any.

Two forms are read, and a folder may hold any number of days or files of one of them:

- `BTCUSD-prices-<day>.csv.gz` beside `BTC-5m-markets-<day>.jsonl.gz`: each oracle tick with when it
  was made and received, and markets with strike and outcome; no book;
- `btc-updown-*.parquet`: one row a second with book, oracle and strike together. These tell no
  outcome: it is the oracle against the strike at the close, and a window whose last book
  contradicts that is undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from pyarrow import ArrowException

from engine.domain.plain import PlainDict
from engine.errors import BadInput, os_sentence
from engine.feeds.counts import UNREADABLE
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.lines import is_json, read_lines

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
E8_PER_E18 = 10**10
"""The recording keeps oracle prices and strikes in 1e-18; the engine keeps 1e-8."""

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
ROWS = "btc-updown-*.parquet"
COLUMNS = (
    "ts_ms",
    "market_slug",
    "window_start_ms",
    "window_end_ms",
    "chainlink_btc",
    "window_start_price",
    "best_bid_up",
    "best_ask_up",
    "size_bid_up",
    "size_ask_up",
)
SEEN_FROM_MS = 10_000
"""A strike is that of the start where the recording of the window began so soon after it."""
UNLIKELY = 0.1
"""A book that offers a side below this after the close says that side lost."""


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
    """None = nobody won, it paid half for each side; or nobody can tell."""


class _Row(msgspec.Struct):
    """A line of the markets' file."""

    slug: str
    start_sec: int
    end_sec: int
    outcome_prices: tuple[Decimal, Decimal]
    strike_value: Decimal | None


_row = msgspec.json.Decoder(_Row).decode


class Top(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask of a book at a time: (price in cents, shares); None = no such side."""

    received_ns: int
    slug: str
    bid: tuple[int, float] | None
    ask: tuple[int, float] | None


class Span(msgspec.Struct, frozen=True):
    """Recorded time without a break longer than a night: a strategy knows nothing at its start."""

    name: str
    ticks: list[Tick]
    markets: list[RecordedMarket]
    tops: list[Top]
    """Empty = no book was recorded."""


def read_spans(paths: Sequence[Path]) -> list[Span]:
    """Return what the folders hold, in order. Raises BadInput where one holds nothing we read."""
    spans = []
    for folder in paths:
        days = sorted(folder.glob(f"{PRICES}*.csv.gz"))
        rows = sorted(folder.glob(ROWS))
        if not days and not rows:
            raise BadInput(f"{folder} has no {PRICES}<day>.csv.gz and no {ROWS}")
        for file in days:
            day = file.name.removeprefix(PRICES).removesuffix(".csv.gz")
            markets = read_markets(folder / f"{MARKETS}{day}.jsonl.gz")
            spans.append(Span(day, read_ticks(file), markets, []))
        if rows:
            spans.append(read_rows(rows))
    return spans


def read_rows(files: Sequence[Path]) -> Span:
    """Return the windows of files with a row a second. Raises BadInput."""
    by_key: dict[tuple[int, str], PlainDict] = {}
    for file in files:
        try:
            table = pq.read_table(file, columns=list(COLUMNS)).to_pylist()
        except (ArrowException, OSError) as error:
            raise BadInput(f"{file.name} cannot be read: {error}") from None
        # Each flush of the recorder repeats earlier rows.
        by_key.update({(row["ts_ms"], row["market_slug"]): row for row in table})
    rows = [by_key[key] for key in sorted(by_key)]
    windows: dict[str, list[PlainDict]] = {}
    for row in rows:
        windows.setdefault(row["market_slug"], []).append(row)
    ticks = [
        # The relayed price carries no stamp of its own: it is as old as the row.
        Tick(row["ts_ms"] * MS_NS, row["ts_ms"] * MS_NS, round(row["chainlink_btc"] * 1e8))
        for row in rows
        if row["chainlink_btc"]
    ]
    tops = [
        Top(
            row["ts_ms"] * MS_NS,
            row["market_slug"],
            _level(row["best_bid_up"], row["size_bid_up"]),
            _level(row["best_ask_up"], row["size_ask_up"]),
        )
        for row in rows
    ]
    return Span(files[0].parent.name, ticks, [_window(found) for found in windows.values()], tops)


def _level(price: float | None, shares: float | None) -> tuple[int, float] | None:
    known = price is not None and shares is not None and 0.0 < price < 1.0 and shares > 0.0
    return (round(price * 100), shares) if known and price and shares else None


def _window(rows: list[PlainDict]) -> RecordedMarket:
    """Return a window by its rows: the oracle and the last book must agree on how it ended.

    One that was not seen from its start has no strike: what the recorder took for it came later.
    """
    first, end_ms = rows[0], rows[0]["window_end_ms"]
    strike = None
    if first["ts_ms"] - first["window_start_ms"] <= SEEN_FROM_MS:
        strike = next(
            (row["window_start_price"] for row in rows if row["window_start_price"]), None
        )
    closing = next((row for row in rows if row["ts_ms"] >= end_ms), None)
    up = None
    if closing is not None and strike and closing["chainlink_btc"]:
        up = bool(closing["chainlink_btc"] >= strike)
        bid, ask = rows[-1]["best_bid_up"], rows[-1]["best_ask_up"]
        if (up and ask and ask < UNLIKELY) or (not up and bid and bid > 1.0 - UNLIKELY):
            up = None
    return RecordedMarket(
        slug=first["market_slug"],
        starts_ns=first["window_start_ms"] * MS_NS,
        closes_ns=end_ms * MS_NS,
        strike_e8=None if not strike else round(strike * 1e8),
        up=up,
    )


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
