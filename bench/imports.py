"""Imports: rows a second of each kind of file, and bytes a row on the disk, beside bare `csv`.

Each file is written for it, whole, and imported as `engine data import` does: read to its end, each
cell checked, kept as Parquet with a checksum. CPU seconds of this process.
"""

from __future__ import annotations

import csv
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.lab.formats.importing import ImportRequest, import_files
from storage.datasets import Dataset

Row = tuple[str, str, str, str, str]
T0_MS = 1_704_067_200_000
ROWS = 200_000
GOAL = ">= 1 M rows/s"

Line = Callable[[int, float, float], str]
"""Takes number, price and size of a row; returns its line."""


def _trade(n: int, price: float, size: float) -> str:
    return f"{T0_MS + 10 * n},{price:.2f},{size:.5f},{'buy' if n % 3 else 'sell'}"


def _json_trade(n: int, price: float, size: float) -> str:
    return json.dumps({"time": T0_MS + 10 * n, "price": f"{price:.2f}", "size": f"{size:.5f}"})


def _binance_trade(n: int, price: float, size: float) -> str:
    return f"{n},{price:.2f},{size:.5f},{price * size:.6f},{T0_MS + 10 * n},{n % 3 == 0},True"


def _kline(n: int, price: float, size: float) -> str:
    prices = f"{price:.2f},{price + 1:.2f},{price - 1:.2f},{price + 0.5:.2f}"
    return f"{T0_MS + 60_000 * n},{prices},{size:.5f}"


def _quote(n: int, price: float, size: float) -> str:
    return f"{T0_MS + 10 * n},{price:.2f},{price + 0.01:.2f},{size:.5f},{size / 2:.5f}"


def _rate(n: int, price: float, size: float) -> str:
    del price
    return f"{T0_MS + 28_800_000 * (n % 40_000) + n},{(size - 5) / 1e5:.8f}"


FILES: dict[str, tuple[str, str, Line]] = {
    "trades, csv by names": ("t.csv", "time,price,size,side", _trade),
    "trades, lines of JSON": ("t.jsonl", "", _json_trade),
    "trades of Binance Vision": ("BTCUSDT-trades-2024-01.csv", "", _binance_trade),
    "bars, csv by names": ("b.csv", "time,open,high,low,close,volume", _kline),
    "quotes, csv by names": ("q.csv", "time,bid,ask,bid_size,ask_size", _quote),
    "funding rates": ("f.csv", "time,rate", _rate),
}
FEW = {"funding rates": 40_000}
"""Where a file of that many rows would be longer than there is time: rates are paid by the hour."""


def _lines(line: Line, rows: int) -> Iterator[str]:
    chance = random.Random(3)
    for n in range(rows):
        yield line(n, 40_000 + chance.random() * 100, 0.001 + chance.random() * 10)


def imported(path: Path, folder: Path) -> tuple[Dataset, float]:
    """Import a file; return the data set and the CPU seconds it took."""
    asked = ImportRequest(files=(path,), instrument="bench:BTC/USDT", name=path.stem.lower())
    began = time.process_time()
    made = import_files(asked, folder, 1, lambda *_: None)
    return made, time.process_time() - began


def read_barely(path: Path) -> float:
    """Return the CPU seconds that `csv` takes to split a file's lines."""
    began = time.process_time()
    with path.open(encoding="utf-8", newline="") as file:
        for _ in csv.reader(file):
            pass
    return time.process_time() - began


def rows(count: int = ROWS) -> list[Row]:
    """Return the rows of the table."""
    made: list[Row] = []
    for what, (name, header, line) in FILES.items():
        with tempfile.TemporaryDirectory() as place:
            path, wanted = Path(place) / name, min(count, FEW.get(what, count))
            lines = _lines(line, wanted)
            path.write_text("\n".join([header, *lines] if header else [*lines]), encoding="utf-8")
            found, taken_s = imported(path, Path(place) / "data")
            bare_s = read_barely(path)
            if found.rows != wanted:
                raise AssertionError(f"{what}: {found.rows} rows of {wanted} were imported")
            kept = sum(one.stat().st_size for one in (Path(place) / "data").rglob("*.parquet"))
            made.append(
                (
                    f"{what}: rows/s, {kept / wanted:.1f} bytes a row",
                    f"{wanted / taken_s:,.0f}",
                    f"{wanted / bare_s:,.0f}",
                    f"{taken_s / bare_s:.1f}",
                    GOAL if "Binance" in what else "shown; beside: csv alone",
                )
            )
    return made
