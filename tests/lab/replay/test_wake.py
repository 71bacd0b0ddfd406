"""The wake loop against the plain path: the same journal, the same books, the same queues."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.ours import CASH_MICRO, LIMITS
from bench.requote import Requote
from bench.workload import INSTRUMENT, SIZE, ColumnarWorkload, WorkloadRecording
from engine.bots.bot import Bot
from engine.domain.decisions import Decision
from engine.domain.events import (
    BookDistrusted,
    BookProven,
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.instruments import BotId
from engine.errors import BrokenInvariant
from engine.lab.recordings.columns import ColumnarRecording, ColumnStretch, told
from engine.lab.recordings.door import Recording, RecordingStats
from engine.lab.replay.run import Replay
from engine.lab.replay.setup import ACCOUNT, assemble
from engine.runtime.journal import DigestRecorder
from engine.venues.paper.columns import ASK, BID, BOUGHT, NOTHING, OTHER, SOLD
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import FillModel, PaperSettings

ID = INSTRUMENT.id
MS = 1_000_000
S = 1_000 * MS
START = 1_700_000_000 * S
Row = tuple[int, int, int, int, int]


class Plain:
    """A recording of these stretches, told event by event."""

    def __init__(self, *stretches: ColumnStretch) -> None:
        self.stats = RecordingStats()
        self.parts = stretches

    def events(self) -> Iterator[tuple[int, Event]]:
        for stretch in self.parts:
            yield from told(stretch)


class Columns(Plain):
    """The same, as stretches."""

    def stretches(self) -> Iterator[ColumnStretch]:
        yield from self.parts


class Kept(DigestRecorder):
    """A recorder that also keeps every row."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, msgspec.Struct]] = []

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        self.rows.append((at_ns, message))
        return super().append(account, message, at_ns)


class Deaf(Requote):
    """One that hears everything, so that nothing may be skipped."""

    mid2_moved_min = 0


class World:
    """One replay of a recording and what it left behind."""

    def __init__(self, recording: Recording, strategy: Requote, paper: PaperSettings) -> None:
        self.recorder = Kept()
        bot = Bot(
            name=BotId("bench"), account=ACCOUNT, strategy=strategy, capital_micro=CASH_MICRO,
            instruments=frozenset({ID}),
        )  # fmt: skip
        self.decided: list[Decision] = []
        self.replay: Replay = assemble(
            recording=recording, bots=(bot,), limits=LIMITS, paper=paper, cash_micro=CASH_MICRO,
            currency="USD", recorder=self.recorder, decide=self.decided.append,
        )  # fmt: skip
        self.calls: list[int] = []

    def run(self) -> World:
        self.replay.run(lambda events, _: self.calls.append(events))
        return self

    @property
    def venue(self) -> PaperVenue:
        venue = self.replay._driver.venue
        assert isinstance(venue, PaperVenue)
        return venue

    def left(self) -> dict[str, Any]:
        """Everything that must be the same whichever way the events went."""
        view = self.replay._cache.views[ID]
        market = self.venue.market(ID)
        assert market is not None
        result = msgspec.structs.asdict(self.replay.result)
        for noise in ("elapsed_s", "peak_rss_mb"):
            del result[noise]
        queues = [
            (side, price, own.printed, own.printed_ns, [o.ahead for o in own.orders])
            for side, levels in (("bid", market.bids), ("ask", market.asks))
            for price, own in sorted(levels.items())
        ]
        return {
            "result": result,
            "view": {name: getattr(view, name) for name in view.__slots__ if name != "book"},
            "books": [
                (book.bids, book.asks, book.bid_prices, book.ask_prices)
                for book in (view.book, market.book)
            ],
            "taken": ({k: v for k, v in market.taken_bids.items() if v}, market.taken_asks),
            "queues": queues,
            "audit": {name: getattr(self.venue.audit, name) for name in self.venue.audit.__slots__},
        }


def paper(**changes: Any) -> PaperSettings:
    fields: dict[str, Any] = {
        "order_latency_ms": 0, "cancel_latency_ms": 0, "settle_delay_ms": 0, "gtd_early_ms": 0,
        "starting_cash": {"USD": CASH_MICRO / 1e6},
    }  # fmt: skip
    return PaperSettings(**(fields | changes))


def both(stretches: tuple[ColumnStretch, ...], settings_: PaperSettings) -> tuple[World, World]:
    return (
        World(Plain(*stretches), Requote(), settings_).run(),
        World(Columns(*stretches), Requote(), settings_).run(),
    )


def assert_equal(plain: World, quick: World) -> None:
    for one, other in zip(plain.recorder.rows, quick.recorder.rows, strict=False):
        assert one == other
    assert len(plain.recorder.rows) == len(quick.recorder.rows)
    assert plain.recorder.digest() == quick.recorder.digest()
    assert plain.decided == quick.decided
    assert plain.left() == quick.left()


class Market:
    """A seeded market: a book that walks, crosses, empties; prints at, inside and through it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.mid = 500
        self.calm = self.rng.random() < 0.5
        """Orders live long, and queues and prints are of a few increments: every edge is met."""
        self.rows: list[Row] = []
        self.others: dict[int, Event] = {}
        self.other(InstrumentListed(instrument=INSTRUMENT))
        self.other(BookReplaced(instrument=ID, bids=(), asks=()))

    def other(self, event: Event) -> None:
        self.others[len(self.rows)] = event
        self.rows.append((self.now, OTHER, 0, 0, 1))

    def size(self) -> int:
        if self.calm:
            return self.rng.randrange(7)
        return self.rng.choice((0, 1, 3, 10, 40, 10**7)) * SIZE // self.rng.choice((1, 2, 7))

    def step(self) -> None:
        rng = self.rng
        self.now += rng.choice((0, 1, MS, 9 * MS, 300 * MS, 2 * S))
        if not self.calm or rng.random() < 0.02:
            self.move()
        kind = rng.random()
        if kind < 0.25:
            price = self.mid + rng.randint(-5, 5)
            size = rng.choice((1, 4, 10, 25, 60)) * SIZE // rng.choice((1, 2, 3))
            if self.calm:
                price, size = self.mid + rng.choice((-2, 2, -2, 2, 0)), rng.randrange(1, 5)
            self.rows.append((self.now, rng.choice((SOLD, BOUGHT)), price, size, 1))
        elif kind < (0.26 if self.calm else 0.29):
            self.rare()
        elif kind < 0.31:
            self.rows.append((self.now, NOTHING, 0, 0, 1))
        else:
            count = rng.choice((1, 1, 1, 2, 2, 4, 9))
            for at in range(count):
                side = rng.choice((BID, ASK))
                away = rng.choice((1, 1, 2, 2, 3, 4, -1))
                price = self.mid - away if side == BID else self.mid + away
                self.rows.append((self.now, side, price, self.size(), int(at == count - 1)))

    def move(self) -> None:
        step = self.rng.choice((0, 0, 0, 0, 1, -1, 6, -6))
        self.mid = max(20, min(980, self.mid + step))

    def rare(self) -> None:
        choice = self.rng.randrange(6)
        near = ((self.mid - 2, 30 * SIZE), (self.mid - 1, 5 * SIZE))
        far = ((self.mid + 1, 7 * SIZE), (self.mid + 3, 30 * SIZE))
        if choice == 0:
            self.other(BookReplaced(instrument=ID, bids=near, asks=far))
        elif choice == 1:
            self.other(BookReplaced(instrument=ID, bids=near, asks=()))
        elif choice == 2:
            self.other(BookDistrusted(instrument=ID, reason="torn"))
            self.other(BookReplaced(instrument=ID, bids=near, asks=far))
        elif choice == 3:
            self.other(FeedLost(feed="x", instrument=ID, reason="gone"))
            self.other(FeedRestored(feed="x", instrument=ID))
            self.other(BookReplaced(instrument=ID, bids=near, asks=far))
        elif choice == 4:
            self.other(BookProven(instrument=ID))
        else:
            price, size = self.mid - 1, self.rng.choice((None, 5 * SIZE))
            self.other(TradePrinted(instrument=ID, price=price, size=size, aggressor=None))

    def stretches(self, events: int) -> tuple[ColumnStretch, ...]:
        parts = []
        for _ in range(events):
            self.step()
            if self.rng.random() < 0.01:
                parts.append(self.cut())
        if self.rng.random() < 0.3:
            self.other(InstrumentClosed(instrument=ID))
            for _ in range(5):
                self.step()
        return (*parts, self.cut())

    def cut(self) -> ColumnStretch:
        rows = np.array(self.rows, np.int64).reshape(-1, 5)
        stretch = ColumnStretch(instrument=ID, rows=rows, others=self.others)
        self.rows, self.others = [], {}
        return stretch


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    model=st.sampled_from(list(FillModel)),
    latency_ms=st.sampled_from((0, 0, 5, 150)),
    settle_ms=st.sampled_from((0, 2_000)),
)
def test_both_ways_leave_the_same_behind(
    seed: int, model: FillModel, latency_ms: int, settle_ms: int
) -> None:
    stretches = Market(seed).stretches(250)
    slow = paper(
        model=model, order_latency_ms=latency_ms, cancel_latency_ms=latency_ms,
        settle_delay_ms=settle_ms,
    )  # fmt: skip
    assert_equal(*both(stretches, slow))


def test_a_long_market_trades_fills_in_part_and_skips_most() -> None:
    stretches = Market(3).stretches(6_000)
    plain, quick = both(stretches, paper(order_latency_ms=5, cancel_latency_ms=5))
    assert_equal(plain, quick)
    kinds = {type(message).__name__ for _, message in quick.recorder.rows}
    assert {"OrderFilled", "OrderCancelled", "CancelRefused", "OrderRejected"} <= kinds
    left = [o.filled for o in quick.venue._floor.ended.values() if 0 < o.filled < o.order.size]
    assert left, "no order was ever filled in part: the market proves nothing"
    loop = quick.replay._wake_loop
    assert loop is not None


def test_most_events_of_a_quiet_market_are_skipped() -> None:
    market = Market(1)
    for _ in range(50):
        market.rows.append((market.now, BID, 499, 5 * SIZE, 1))
        market.rows.append((market.now, ASK, 501, 5 * SIZE, 1))
        market.now += MS
    world = World(Columns(market.cut()), Requote(), paper())
    fed: list[Event] = []
    feed = world.replay._driver.feed
    world.replay._driver.feed = lambda event, now_ns: (fed.append(event), feed(event, now_ns))[1]  # type: ignore[method-assign,func-returns-value]
    assert world.run().replay.result.events == 102
    assert len(fed) < 10


def test_a_strategy_that_hears_everything_is_not_skipped() -> None:
    stretches = Market(5).stretches(300)
    plain = World(Plain(*stretches), Deaf(), paper()).run()
    quick = World(Columns(*stretches), Deaf(), paper()).run()
    assert_equal(plain, quick)


def test_a_clock_that_runs_backwards_is_refused_either_way() -> None:
    market = Market(1)
    market.rows += [(market.now, BID, 499, SIZE, 1), (market.now - 1, BID, 499, 2 * SIZE, 1)]
    stretch = market.cut()
    for kind in (Plain, Columns):
        world = World(kind(stretch), Requote(), paper())
        with pytest.raises(BrokenInvariant, match="ran backwards at event 3"):
            world.run()


def test_levels_off_the_grid_go_the_plain_way() -> None:
    market = Market(1)
    for price in (499, 5_000, 500, -3, 501):
        market.rows.append((market.now, BID, price, SIZE, 1))
        market.rows.append((market.now, ASK, price + 2, 1 << 60, 1))
    assert_equal(*both((market.cut(),), paper()))


def test_progress_is_told_and_equity_sampled_alike() -> None:
    stretches = Market(9).stretches(12_000)
    plain, quick = both(stretches, paper())
    assert plain.replay.result.equity == quick.replay.result.equity
    assert len(quick.calls) >= 2


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    """Rows in the form of the common workload, without its compiled generator."""
    rng = random.Random(11)
    rows, bid, ask, sizes, now = [], 499, 501, (5, 5), START
    for at in range(3_000):
        now += rng.randrange(1, 19) * MS
        if at % 21 == 20:
            side = rng.choice((1, -1))
            price = ask + rng.randrange(4) if side == 1 else bid - rng.randrange(4)
            rows.append((now, 1, bid, sizes[0], ask, sizes[1], price, side, rng.randrange(1, 50)))
            continue
        if rng.random() < 0.2:
            move = rng.choice((-1, 1))
            bid, ask = bid + move, ask + move
        sizes = (rng.randrange(1, 5), rng.randrange(1, 5))
        rows.append((now, 0, bid, sizes[0], ask, sizes[1], 0, 0, 0))
    path = tmp_path / "workload.npy"
    np.save(path, np.array(rows, np.int64))
    return path


def test_the_workload_tells_the_same_events_in_both_forms(workload: Path) -> None:
    plain = list(WorkloadRecording(workload, 2).events())
    columns = ColumnarWorkload(workload, 2)
    assert isinstance(columns, ColumnarRecording)
    assert [told_ for stretch in columns.stretches() for told_ in told(stretch)] == plain


def test_the_workload_has_one_journal_in_both_forms(workload: Path) -> None:
    plain = World(WorkloadRecording(workload), Requote(), paper()).run()
    quick = World(ColumnarWorkload(workload), Requote(), paper()).run()
    assert plain.replay.result.fills > 20
    assert_equal(plain, quick)


@pytest.mark.soak
def test_the_common_workload_has_one_journal_in_both_forms(tmp_path: Path) -> None:
    from bench.generator import write

    path = tmp_path / "workload.npy"
    write(path, updates=100_000, trades=5_000)
    plain = World(WorkloadRecording(path), Requote(), paper()).run()
    quick = World(ColumnarWorkload(path), Requote(), paper()).run()
    assert_equal(plain, quick)
