"""Ticks of what is received, from events to candles, against a recomputation that is as naive."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.effects import RaiseAlert
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId, Side
from engine.errors import StorageError
from engine.lab.recordings.open import open_recording
from engine.runtime import ticks as keeping
from engine.runtime.ticks import TickKeeper
from storage.tick_log import look, segments
from storage.ticks import INTERVALS, Candle, Tick, candles, move, ticks
from tests.clocks import ManualClock

A, B = InstrumentId("demo:a"), InstrumentId("demo:b")
SECOND = 1_000_000_000
NOON = 1_767_225_600 * SECOND + 43_200 * SECOND
EVER = 1 << 62

Moment = tuple[int, Event]


class Naive:
    """Every tick from dictionaries of levels, every candle from a loop over all ticks."""

    def __init__(self, moments: Iterable[Moment]) -> None:
        self.ticks: dict[InstrumentId, list[Tick]] = {}
        self._books: dict[InstrumentId, tuple[dict[int, int], dict[int, int]]] = {}
        self._last: dict[InstrumentId, int | None] = {}
        for now_ns, event in moments:
            self._receive(now_ns, event)

    def _receive(self, now_ns: int, event: Event) -> None:
        match event:
            case BookReplaced(instrument=name, bids=bids, asks=asks):
                self._books[name] = (
                    {price: size for price, size in bids if size},
                    {price: size for price, size in asks if size},
                )
                self._look(name, now_ns)
            case BookChanged(instrument=name, changes=changes) if name in self._books:
                for side, price, size in changes:
                    levels = self._books[name][side is Side.SELL]
                    levels[price] = size
                    if not size:
                        del levels[price]
                self._look(name, now_ns)
            case TradePrinted(instrument=name, price=price, size=size):
                self._books.setdefault(name, ({}, {}))
                self._last[name] = price
                self._add(name, now_ns, size or 0)
            case InstrumentClosed(instrument=name) if name in self._books:
                self._books[name] = ({}, {})
                self._look(name, now_ns)
                del self._books[name]
                self._last.pop(name, None)
            case BookDistrusted(instrument=name) | FeedLost(instrument=name) if name in self._books:
                self._books[name] = ({}, {})
                self._look(name, now_ns)
            case FeedLost(instrument=None):
                for name in self._books:
                    self._books[name] = ({}, {})
                    self._look(name, now_ns)
            case _:
                pass

    def _look(self, name: InstrumentId, now_ns: int) -> None:
        bids, asks = self._books[name]
        before = self.ticks.get(name, [])[-1:]
        now = max(bids, default=None), min(asks, default=None)
        if now != ((before[0].bid, before[0].ask) if before else (None, None)):
            self._add(name, now_ns, None)

    def _add(self, name: InstrumentId, now_ns: int, volume: int | None) -> None:
        bids, asks = self._books[name]
        tick = Tick(
            at_ns=now_ns, bid=max(bids, default=None), ask=min(asks, default=None),
            last=self._last.get(name), volume=volume,
        )  # fmt: skip
        self.ticks.setdefault(name, []).append(tick)

    def candles(self, name: InstrumentId, step_ns: int) -> list[Candle]:
        mine: dict[int, list[Tick]] = {}
        for tick in self.ticks.get(name, []):
            mine.setdefault(tick.at_ns // step_ns * step_ns, []).append(tick)
        return [self._candle(start, mine[start]) for start in sorted(mine)]

    def _candle(self, start_ns: int, held: Sequence[Tick]) -> Candle:
        mids = [t.bid + t.ask for t in held if t.bid is not None and t.ask is not None]
        lasts = [tick.last for tick in held if tick.last is not None]
        return Candle(
            start_ns=start_ns,
            open2=mids[0] if mids else None,
            high2=max(mids, default=None),
            low2=min(mids, default=None),
            close2=mids[-1] if mids else None,
            bid=held[-1].bid,
            ask=held[-1].ask,
            last=lasts[-1] if lasts else None,
            volume=sum(tick.volume or 0 for tick in held),
            ticks=len(held),
            trades=sum(tick.volume is not None for tick in held),
        )


def keep(home: Path, moments: Iterable[Moment]) -> None:
    """Keep what one engine receives; its log begins a segment at its start."""
    clock = ManualClock()
    keeper = TickKeeper(home / "ticks", clock)
    for now_ns, event in moments:
        clock.advance(now_ns - clock.now_ns())
        keeper.market([event], now_ns)
        keeper.advance(now_ns)
    keeper.close()


def assert_as_naive(home: Path, naive: Naive, names: Iterable[InstrumentId]) -> None:
    for name in names:
        found = naive.ticks.get(name, [])
        assert ticks(home, name, 0, EVER) == found
        if not found:
            continue
        for interval, step_ns in INTERVALS.items():
            span = found[0].at_ns // step_ns * step_ns, found[-1].at_ns + 1
            assert candles(home, name, interval, *span) == naive.candles(name, step_ns)


def quote(bid: int, ask: int, name: InstrumentId = A) -> BookReplaced:
    return BookReplaced(instrument=name, bids=((bid, 5),), asks=((ask, 5),))


def trade(price: int, size: int | None, name: InstrumentId = A) -> TradePrinted:
    return TradePrinted(instrument=name, price=price, size=size, aggressor=Side.BUY)


def test_a_tick_is_a_change_of_the_best_prices_or_a_trade(tmp_path: Path) -> None:
    deeper = BookChanged(instrument=A, changes=((Side.BUY, 40, 7),))
    away = BookChanged(instrument=A, changes=((Side.SELL, 52, 0),))
    ignored = BookChanged(instrument=B, changes=((Side.SELL, 52, 1),))
    said: list[Event] = [quote(50, 52), deeper, trade(52, 3), ignored, away, trade(51, None)]
    keep(tmp_path, [(NOON + n, event) for n, event in enumerate(said)])
    found = ticks(tmp_path, A, 0, EVER)
    assert [(t.at_ns - NOON, t.bid, t.ask, t.last, t.volume) for t in found] == [
        (0, 50, 52, None, None), (2, 50, 52, 52, 3), (4, 50, None, 52, None), (5, 50, None, 51, 0),
    ]  # fmt: skip
    assert ticks(tmp_path, B, 0, EVER) == []
    (one,) = candles(tmp_path, A, "1m", NOON, NOON + 1)
    assert (one.open2, one.high2, one.bid, one.ask, one.volume, one.ticks, one.trades) == (
        102, 102, 50, None, 3, 4, 2,
    )  # fmt: skip


def test_after_a_feed_was_lost_there_is_no_price_before_a_book_comes(tmp_path: Path) -> None:
    lost = FeedLost(feed="demo", instrument=None, reason="gone")
    late = BookChanged(instrument=A, changes=((Side.BUY, 51, 0),))
    said: list[Event] = [quote(50, 52), quote(1, 9, B), lost, late, quote(48, 52)]
    keep(tmp_path, [(NOON + n, event) for n, event in enumerate(said)])
    assert [(tick.bid, tick.ask) for tick in ticks(tmp_path, A, 0, EVER)] == [
        (50, 52), (None, None), (48, 52),
    ]  # fmt: skip
    assert [(tick.bid, tick.ask) for tick in ticks(tmp_path, B, 0, EVER)] == [(1, 9), (None, None)]


PRICES = st.integers(1, 99)
EVENTS = st.one_of(
    st.builds(
        BookReplaced,
        instrument=st.sampled_from([A, B]),
        bids=st.lists(st.tuples(PRICES, st.integers(0, 3)), max_size=3).map(tuple),
        asks=st.lists(st.tuples(PRICES, st.integers(0, 3)), max_size=3).map(tuple),
    ),
    st.builds(
        TradePrinted,
        instrument=st.sampled_from([A, B]),
        price=PRICES,
        size=st.one_of(st.none(), st.integers(0, 10**12)),
        aggressor=st.none(),
    ),
    st.builds(BookDistrusted, instrument=st.sampled_from([A, B]), reason=st.just("torn")),
    st.builds(InstrumentClosed, instrument=st.sampled_from([A, B])),
)
GAPS = st.one_of(st.just(0), st.integers(1, 90 * SECOND), st.integers(1, 3 * 86_400 * SECOND))
LIVES = st.lists(
    st.tuples(st.lists(st.tuples(GAPS, EVENTS), max_size=8), st.integers(-1, 12)), max_size=4
)


class Died(Exception):
    pass


@pytest.mark.long
@given(lives=LIVES)
@settings(max_examples=30, deadline=None)
def test_candles_equal_a_naive_recomputation_however_often_the_move_dies(
    lives: list[tuple[list[tuple[int, Event]], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home, now_ns = tmp_path_factory.mktemp("ticks"), NOON
    for life, dies_at in lives:
        here: list[Moment] = []
        for gap, event in life:
            now_ns += gap
            here.append((now_ns, event))
        now_ns += SECOND
        keep(home, here)
        steps = iter(range(dies_at))

        def dying(_: str, left: Iterator[int] = steps) -> None:
            if next(left, None) is None:
                raise Died

        if dies_at >= 0:
            with contextlib.suppress(Died):
                move(home, step=dying)
    found = said_by_lives(lives)
    assert_as_naive(home, found, (A, B))
    move(home)
    assert_as_naive(home, found, (A, B))


def said_by_lives(lives: list[tuple[list[tuple[int, Event]], int]]) -> Naive:
    """Return the ticks of engines that each begin without a book."""
    now_ns, all_ticks = NOON, dict[InstrumentId, list[Tick]]()
    for life, _ in lives:
        here: list[Moment] = []
        for gap, event in life:
            now_ns += gap
            here.append((now_ns, event))
        now_ns += SECOND
        for name, found in Naive(here).ticks.items():
            all_ticks.setdefault(name, []).extend(found)
    whole = Naive(())
    whole.ticks = all_ticks
    return whole


@pytest.mark.long
@pytest.mark.recordings
def test_candles_of_a_recorded_day_equal_a_naive_recomputation(
    recordings: Path, tmp_path: Path
) -> None:
    path = recordings / "polymarket_btc5m_l2" / "raw" / "2026-04-14.jsonl.gz"
    moments = list(islice(open_recording(path).events(), 25_000))
    keep(tmp_path, moments)
    naive = Naive(moments)
    total = sum(map(len, naive.ticks.values()))
    assert total > 2_000
    assert max(map(len, (naive.candles(name, 60 * SECOND) for name in naive.ticks))) >= 5
    assert_as_naive(tmp_path, naive, naive.ticks)
    keep(tmp_path, [(EVER, quote(1, 2))])  # another start begins another segment
    assert move(tmp_path).ticks == total
    assert_as_naive(tmp_path, naive, naive.ticks)


def test_what_was_not_handed_over_is_all_that_a_kill_loses(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    keeper = TickKeeper(tmp_path / "ticks", clock)
    for second in range(25):
        keeper.market([quote(10 + second, 50)], NOON + second * SECOND)
        keeper.advance(NOON + second * SECOND)
    keeper.flush()
    kept = ticks(tmp_path, A, 0, EVER)
    assert [tick.bid for tick in kept] == [*range(10, 32)]
    assert NOON + 24 * SECOND - kept[-1].at_ns <= keeping.LINGER_NS
    keeper.close()
    assert len(ticks(tmp_path, A, 0, EVER)) == 25


def test_a_torn_segment_is_read_to_its_last_whole_record_named_and_set_aside(
    tmp_path: Path,
) -> None:
    keep(tmp_path, [(NOON + n * 11 * SECOND, quote(10 + n, 50)) for n in range(4)])
    (segment,) = segments(tmp_path / "ticks")
    segment.write_bytes(segment.read_bytes()[:-3])
    keep(tmp_path, [(NOON + 60 * SECOND, quote(20, 50))])
    before = ticks(tmp_path, A, 0, EVER)
    assert [tick.bid for tick in before] == [10, 11, 20]
    moved = move(tmp_path)
    assert len(moved.aside) == 1
    assert str(segment) in moved.aside[0]
    assert (tmp_path / "ticks" / "aside" / segment.name).is_file()
    assert ticks(tmp_path, A, 0, EVER) == before
    assert move(tmp_path).aside == []


def test_a_disk_that_refuses_drops_what_does_not_fit_and_tells_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "WAITING_MAX", 3)
    monkeypatch.setattr(keeping, "RETRY_S", 0.001)
    home = tmp_path / "home"
    home.write_text("a file where the folder should be")
    keeper, alerts = TickKeeper(home / "ticks", ManualClock(NOON)), list[RaiseAlert]()
    watch = keeper.watcher(lambda alert, _: alerts.append(alert))
    for number in range(9):
        keeper.market([quote(10 + number, 50)], NOON + number * 11 * SECOND)
        watch(NOON + number * 11 * SECOND)
    assert [alert.kind for alert in alerts] == ["ticks"]
    home.unlink()
    keeper.flush()
    keeper.close()
    assert [tick.bid for tick in ticks(home, A, 0, EVER)] == [10, 11, 12]


def test_ticks_that_cannot_be_written_at_the_end_are_counted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file where the folder should be")
    keeper = TickKeeper(home / "ticks", ManualClock(NOON))
    keeper.market([quote(10, 50)], NOON)
    with pytest.raises(StorageError, match="1 ticks could not be written"):
        keeper.close()


@pytest.mark.parametrize(
    "odd",
    [
        "odd.ticks", "1.ticks", "999999999999999.ticks", "000000000000001.ticks/",
        "\N{ARABIC-INDIC DIGIT TWO}" * 15 + ".ticks", "-00000000000001.ticks",
    ],
)  # fmt: skip
def test_an_oddly_named_file_in_the_log_is_left_alone(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "ticks" / "log" / odd
    path.parent.mkdir(parents=True)
    path.mkdir() if odd.endswith("/") else path.write_bytes(b"odd")
    raw = tmp_path / "ticks" / "raw" / "2026-01-01-odd.parquet"
    raw.parent.mkdir()
    raw.write_bytes(b"odd")
    keep(tmp_path, [(NOON, quote(10, 50)), (NOON + 11 * SECOND, quote(11, 50))])
    assert [tick.bid for tick in ticks(tmp_path, A, 0, EVER)] == [10, 11]
    move(tmp_path)
    assert [tick.bid for tick in ticks(tmp_path, A, 0, EVER)] == [10, 11]
    assert path.exists()


def test_what_can_not_be_noted_or_written_is_left_out_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, whole = TickKeeper(tmp_path / "ticks", ManualClock(NOON)), keeping.pack
    once = iter([ValueError("no batch")])

    def spoilt(batch: keeping.Batch) -> bytes:
        if error := next(once, None):
            raise error
        return whole(batch)

    monkeypatch.setattr(keeping, "pack", spoilt)
    keeper.market([quote(10, 50)], NOON)
    keeper.advance(NOON + 11 * SECOND)
    keeper.flush()
    keeper.market([trade(1 << 64, 1)], NOON + 12 * SECOND)
    keeper.market([trade(12, 1)], NOON + 13 * SECOND)
    keeper.close()
    first, second = keeper.notes.take(0)
    assert "1 ticks are left out" in first.text
    assert "ticks of a moment are left out" in second.text
    assert keeper.lost == 1
    assert [tick.last for tick in ticks(tmp_path, A, 0, EVER)] == [12]


def test_a_segment_that_is_full_is_followed_by_one_with_a_higher_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SEGMENT_BYTES", 1)
    clock = ManualClock(NOON)
    keeper = TickKeeper(tmp_path / "ticks", clock)
    for number in range(3):  # the clock stands still
        keeper.market([quote(10 + number, 50)], NOON + number * 11 * SECOND)
        keeper.advance(NOON + number * 11 * SECOND)
        keeper.market([quote(30 + number, 50)], NOON + number * 11 * SECOND)
        keeper.flush()
    keeper.close()
    found = segments(tmp_path / "ticks")
    assert len({path.name for path in found}) == len(found) >= 3
    assert all(look(path)[1] == 0 for path in found)
    assert len(ticks(tmp_path, A, 0, EVER)) == 6
