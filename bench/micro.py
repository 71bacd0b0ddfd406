"""The parts: decoding, the book, a turn, the journal; each beside the plain way of doing it."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import simulation
from bench.desks import many_bots
from engine.domain.books import Book
from engine.domain.events import OrderAccepted
from engine.domain.instruments import AccountId, Side
from engine.domain.orders import OrderId
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.frames import FrameReader, PriceChangeMessage
from storage.journal_writer import JournalWriter

Row = tuple[str, str, str, str, str]
TOKENS = ("71321045679252212594626385532706912750332728571942532289631379312455583992563",) * 2
FRAME = json.dumps(
    {
        "event_type": "price_change",
        "market": "0x" + "d" * 64,
        "timestamp": "1795132801000",
        "price_changes": [
            {
                "asset_id": token,
                "price": price,
                "size": "150",
                "side": side,
                "hash": "a" * 40,
                "best_bid": "0.5",
                "best_ask": "0.51",
            }
            for token, price, side in zip(TOKENS, ("0.5", "0.49"), ("BUY", "SELL"), strict=True)
        ],
    },
    separators=(",", ":"),
).encode()


def rows(rounds: int) -> list[Row]:
    """Return the table of the parts."""
    return [_decode(rounds), _book(rounds), _journal(), _turn(), simulation.row(rounds)]


def _per_call_us(work: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count * 1e6


def _decode(rounds: int) -> Row:
    reader, counts = FrameReader("price_change", PriceChangeMessage), FeedCounts()
    mine, plain = [], []
    for _ in range(max(rounds, 3)):
        mine.append(_per_call_us(lambda: reader.read(FRAME, counts), 20_000))
        plain.append(_per_call_us(lambda: json.loads(FRAME), 20_000))
    a, b = statistics.median(mine), statistics.median(plain)
    return ("decode a price_change (us)", f"{a:.2f}", f"{b:.2f} json", f"{a / b:.2f}", "<= 0.25")


def _book(rounds: int) -> Row:
    book = Book()
    book.replace([(p, 5) for p in range(4000, 5000, 20)], [(p, 5) for p in range(5020, 6000, 20)])
    steps = [(Side.BUY, 4000 + 20 * (i % 50), 1 + i % 7) for i in range(50)]

    def ours() -> None:
        for step in steps:
            book.apply((step,))
            _ = book.bid_prices[-1]

    levels = dict(book.bids)

    def plain() -> None:
        for _, price, size in steps:
            levels[price] = size
            max(levels)

    mine, other = [], []
    for _ in range(max(rounds, 3)):
        mine.append(_per_call_us(ours, 4_000) / len(steps))
        other.append(_per_call_us(plain, 400) / len(steps))
    a, b = statistics.median(mine), statistics.median(other)
    return ("book, one change (us)", f"{a:.2f}", f"{b:.2f} max()", f"{a / b:.2f}", "<= 0.5 us")


def _journal() -> Row:
    count = 200_000
    event = OrderAccepted(account=AccountId("paper:bench"), order=OrderId(1))
    with tempfile.TemporaryDirectory() as folder:
        writer = JournalWriter(Path(folder) / "j.db", engine_id="bench", waits_when_full=True)
        started = time.perf_counter()
        for i in range(count):
            writer.append("paper:bench", event, i)
        appended = time.perf_counter() - started
        writer.flush()
        elapsed = time.perf_counter() - started
        writer.close()
    return (
        "journal, FULL (records/s)",
        f"{count / elapsed:,.0f}",
        f"{count / appended:,.0f} queued",
        "",
        "never the bottleneck",
    )


def _turn() -> Row:
    """Book change → effects ready, 20 bots with 50 instruments each."""
    samples = many_bots(bots=20, instruments=50, changes=20_000)
    samples.sort()
    p50, p99 = samples[len(samples) // 2] / 1e3, samples[len(samples) * 99 // 100] / 1e3
    return (
        "engine turn, 20 x 50, p50 / p99 (us)",
        f"{p50:.0f} / {p99:.0f}",
        "100 / 1,000",
        f"{max(p50 / 100, p99 / 1_000):.2f}",
        "<= 1",
    )
