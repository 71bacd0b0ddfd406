"""The common workload of the benchmarks tells what its rows say: each book, and each trade."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.generator import write
from bench.workload import SIZE, WorkloadRecording
from engine.domain.events import BookChanged, TradePrinted
from engine.domain.instruments import Side


@pytest.mark.long
def test_the_workload_tells_every_book_and_every_trade_of_its_rows(tmp_path: Path) -> None:
    write(tmp_path / "rows.npy", updates=5_000, trades=250)
    rows = np.load(tmp_path / "rows.npy")
    books: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
    seen: dict[int, tuple[dict[int, int], ...]] = {}
    trades = []
    for at_ns, event in WorkloadRecording(tmp_path / "rows.npy").events():
        match event:
            case BookChanged(changes=changes):
                for side, price, size in changes:
                    books[side][price] = size
            case TradePrinted(price=price, size=size):
                trades.append((price, size))
        seen[at_ns] = tuple({p: s for p, s in book.items() if s} for book in books.values())
    assert len(seen) == len(rows)
    for row in rows:
        bid, bid_size, ask, ask_size = (int(one) for one in row[2:6])
        assert seen[int(row[0])] == ({bid: bid_size * SIZE}, {ask: ask_size * SIZE})
    assert trades == [(int(row[6]), int(row[8]) * SIZE) for row in rows if row[1] == 1]
