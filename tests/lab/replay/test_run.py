"""A replay of hand-made recordings: the same each time, and its sums agree to the micro-unit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.config import Config
from engine.domain.decisions import Decision
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookReplaced,
    CashMoved,
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    OrderFilled,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.errors import BrokenInvariant
from engine.lab.recordings.door import Recording, RecordingStats
from engine.lab.recordings.open import open_recording
from engine.lab.recordings.receive_times import FALLS, LEAPS
from engine.lab.replay import run as replay_module
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.run import ACCOUNT, CURRENCY, Replay, assemble
from engine.lab.replay.setup import PreparedReplay, ReplayOptions, prepare
from engine.runtime.journal import DigestRecorder
from engine.strategies.market_maker import strategy as market_maker
from engine.strategies.registry import build
from engine.venues.paper.settings import FillModel, PaperSettings
from storage.journal import decode, load
from tests.lab.conftest import Market
from tests.runtime.digests import digest_of

S = 1_000_000_000
SHARE = 1_000_000
Make = Callable[..., Any]


@pytest.fixture(scope="session")
def options(tape: Path, quoting: dict[str, str]) -> Make:
    def make(**changes: Any) -> ReplayOptions:
        fields: dict[str, Any] = {
            "path": tape,
            "strategy": "market_maker",
            "parameters": quoting,
            "limits": {},
            "cash_micro": 1_000 * MICRO,
            "model": "realistic",
            "latency_ms": 150,
            "decisions": False,
            "journal_full": False,
        }
        return ReplayOptions(**(fields | changes))

    return make


@pytest.fixture
def prepared(options: Make, tmp_path: Path) -> Make:
    def make(**changes: Any) -> PreparedReplay:
        return prepare(options(**changes), Config(home=tmp_path))

    return make


@pytest.fixture(scope="module")
def result(options: Make, tmp_path_factory: pytest.TempPathFactory) -> ReplayResult:
    """The result of one replay of the tape."""
    home = tmp_path_factory.mktemp("home")
    return prepare(options(), Config(home=home)).run(quiet)


def quiet(events: int, elapsed_s: float) -> None:
    del events, elapsed_s


class Played:
    """A recording whose events are changed or followed by others on their way out."""

    def __init__(self, source: Recording, *after: tuple[int, Event]) -> None:
        self.stats: RecordingStats = source.stats
        self._source = source
        self._after = after

    def events(self) -> Iterator[tuple[int, Event]]:
        yield from self._source.events()
        yield from self._after


class Listed:
    """A recording of just these events."""

    def __init__(self, *events: tuple[int, Event]) -> None:
        self.stats = RecordingStats()
        self._events = events

    def events(self) -> Iterator[tuple[int, Event]]:
        yield from self._events


def replay_of(recording: Any, quoting: dict[str, str], **paper: Any) -> Replay:
    name = BotId("maker")
    bot = Bot(
        name=name, account=ACCOUNT, strategy=build("market_maker", quoting, name),
        capital_micro=1_000 * MICRO, everything=True,
    )  # fmt: skip
    return assemble(
        recording=recording,
        bots=(bot,),
        limits=RiskLimits(mark_age_ms_max=86_400_000),
        paper=PaperSettings(starting_cash={CURRENCY: 1_000}, **paper),
        cash_micro=1_000 * MICRO,
        recorder=DigestRecorder(),
        decide=lambda _: None,
    )


def assert_sums_agree(result: ReplayResult) -> None:
    """PnL of the markets is the change of equity; fees and fills add up."""
    change = result.equity_end_micro - result.equity_start_micro
    markets = result.markets.values()
    assert sum(market.pnl_micro for market in markets) == change
    assert result.pnl_resolved_micro + result.pnl_unresolved_micro == change
    assert sum(market.fills for market in markets) == result.fills
    assert sum(market.orders for market in markets) == result.orders


# -- what it finds ---------------------------------------------------------------------------------


def test_market_maker_quotes_is_filled_and_comes_to_an_end(result: ReplayResult) -> None:
    assert len(result.markets) == 2
    assert all(market.orders > 50 and market.fills > 5 for market in result.markets.values())
    assert result.cancels > 50
    assert result.evaluations > 1_000
    assert not result.bot_errors
    assert not result.alerts
    assert result.elapsed_s > 0
    assert result.peak_rss_mb > 10


def test_pnl_of_the_markets_is_the_change_of_equity_to_the_micro_unit(
    result: ReplayResult,
) -> None:
    assert result.equity_start_micro == 1_000 * MICRO
    assert result.equity_end_micro != result.equity_start_micro
    assert any(market.position_left for market in result.markets.values())
    assert_sums_agree(result)


def test_equity_is_sampled_each_minute_from_first_to_last(result: ReplayResult) -> None:
    times = [at_ns for at_ns, _ in result.equity]
    assert times == sorted(times)
    assert (times[-1] - times[0]) // S == 598  # closed at 600 s, first heard of at 1 s
    assert result.equity[0][1] == result.equity_start_micro
    assert result.equity[-1][1] == result.equity_end_micro
    assert len(times) >= 8


def test_equity_points_are_thinned_and_the_last_is_kept(
    prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "EQUITY_EVERY_NS", S)
    monkeypatch.setattr(replay_module, "EQUITY_POINTS_MAX", 50)
    result = prepared().run(quiet)
    assert 25 <= len(result.equity) <= 50
    assert result.equity[-1][1] == result.equity_end_micro


@pytest.mark.long
def test_intent_ends_with_its_market_and_nothing_is_left_open(
    tape: Path, quoting: dict[str, str]
) -> None:
    replay = replay_of(open_recording(tape), quoting)
    result = replay.run(quiet)
    assert "market_closed" not in result.residuals
    assert replay._executor.open_and_unknown == (0, 0)


# -- time that cannot be ---------------------------------------------------------------------------


def retimed(tape: Path, path: Path, off_s: dict[int, float]) -> Path:
    """Write the tape with each frame received when it was stamped, some of them off by so much."""
    lines = [json.loads(line) for line in tape.read_bytes().splitlines()]
    for number, line in enumerate(lines):
        stamped_s = int(line["raw"]["timestamp"]) / 1_000
        line["recv_ts"] = stamped_s + off_s.get(number % len(lines), 0)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def stamped(tape: Path, options: Make, tmp_path_factory: pytest.TempPathFactory) -> ReplayResult:
    """The result of the tape whose frames were all received when they were stamped."""
    folder = tmp_path_factory.mktemp("stamped")
    path = retimed(tape, folder / "good.jsonl", {})
    return prepare(options(path=path), Config(home=folder)).run(quiet)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("where", "off_s"),
    [
        ([300], 365 * 86_400), ([300], 86_400), ([300], -86_400), ([300], 1e300),
        ([0], 365 * 86_400), ([0], -86_400), ([599], 86_400), ([599], -86_400),
        ([100, 101, 102, 400], 86_400), ([0, 1, 598, 599], 365 * 86_400),
    ],
)  # fmt: skip
def test_receive_time_that_cannot_be_is_counted_and_decides_nothing(
    tape: Path,
    tmp_path: Path,
    prepared: Make,
    stamped: ReplayResult,
    where: list[int],
    off_s: float,
) -> None:
    path = retimed(tape, tmp_path / "day.jsonl", dict.fromkeys(where, off_s))
    replay = prepared(path=path)
    result = replay.run(quiet)
    assert (result.digest, result.orders) == (stamped.digest, stamped.orders)
    assert result.evaluations == stamped.evaluations
    assert result.orders > 20
    stats = replay.recording.stats
    kind = LEAPS if off_s > 0 else FALLS
    assert stats.anomalies == {kind: len(where)}
    assert stats.anomaly_lines == {kind: f"day.jsonl:{where[0] + 1}"}


@pytest.mark.long
def test_silence_of_days_is_a_gap_and_is_not_stepped_timer_by_timer(
    tmp_path: Path, prepared: Make
) -> None:
    runs = []
    for windows_later in (12, 12 * 24 * 30):
        path = tmp_path / f"{windows_later}.jsonl"
        times = [1 + number * 0.5 for number in range(300)]
        markets = (Market(0), Market(windows_later))
        markets[1].chance = random.Random(1)
        lines = [line for market in markets for line in market.lines(times)]
        path.write_bytes(b"\n".join(lines) + b"\n")
        replay = prepared(path=path)
        runs.append(replay.run(quiet))
        assert not replay.recording.stats.anomalies
        assert replay.recording.stats.last_ns == Market(windows_later).start * S + 300 * S
    hour, month = runs
    assert (month.orders, month.fills) == (hour.orders, hour.fills)
    assert month.evaluations == hour.evaluations
    assert all(market.orders for market in month.markets.values())


# -- the same each time ----------------------------------------------------------------------------


@pytest.mark.long
def test_two_runs_have_one_digest(prepared: Make, result: ReplayResult) -> None:
    assert prepared().run(quiet).digest == result.digest


@pytest.mark.long
def test_full_journal_and_digest_alone_agree(prepared: Make, result: ReplayResult) -> None:
    full = prepared(journal_full=True)
    assert full.run(quiet).digest == result.digest
    assert digest_of(load(full.folder / "journal.db")) == result.digest


def test_decision_records_change_nothing(prepared: Make, result: ReplayResult) -> None:
    deciding = prepared(decisions=True)
    assert deciding.run(quiet).digest == result.digest
    assert (deciding.folder / "decisions.db").stat().st_size > 0


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [{"latency_ms": 151}, {"cash_micro": 500 * MICRO}, {"limits": {"order_value_max": "3"}}],
)
def test_what_a_person_changes_changes_the_digest(
    prepared: Make, result: ReplayResult, changes: dict[str, Any]
) -> None:
    assert prepared(**changes).run(quiet).digest != result.digest


# -- counting --------------------------------------------------------------------------------------


@pytest.mark.long
def test_fills_are_counted_by_how_their_size_is_known(tape: Path, quoting: dict[str, str]) -> None:
    class Mixed(Played):
        """Every third trade was printed, every third has no size, every third was inferred."""

        def events(self) -> Iterator[tuple[int, Event]]:
            for number, (now_ns, event) in enumerate(super().events()):
                if isinstance(event, TradePrinted) and event.size is not None:
                    source = list(SizeSource)[number % 3]
                    size = None if source is SizeSource.UNKNOWN else event.size
                    yield now_ns, TradePrinted(
                        instrument=event.instrument, price=event.price, size=size,
                        aggressor=event.aggressor, source=source,
                    )  # fmt: skip
                else:
                    yield now_ns, event

    replay = replay_of(Mixed(open_recording(tape)), quoting, model=FillModel.OPTIMISTIC)
    booked: list[OrderFilled] = []
    count = replay._driver._filled
    replay._driver._filled = lambda event, at: (booked.append(event), count(event, at))[1]
    result = replay.run(quiet)
    by_source = {source: sum(fill.source is source for fill in booked) for source in SizeSource}
    assert all(by_source.values())
    assert result.fills == len(booked) == replay._executor.fills
    assert result.fills_inferred == by_source[SizeSource.INFERRED]
    assert result.fills_unknown == by_source[SizeSource.UNKNOWN]
    assert_sums_agree(result)


@pytest.mark.long
def test_orders_of_the_journal_are_the_orders_counted(prepared: Make) -> None:
    full = prepared(journal_full=True)
    result = full.run(quiet)
    records = [decode(record) for record in load(full.folder / "journal.db")]
    placed = [message for message in records if isinstance(message, PlaceOrder)]
    assert len(placed) == result.orders
    assert [message for message in records if isinstance(message, CashMoved)] == [
        CashMoved(account=ACCOUNT, currency=CURRENCY, amount_micro=1_000 * MICRO)
    ]
    listed = [m.instrument.id for m in records if isinstance(m, InstrumentListed)]
    assert listed == list(result.markets)


# -- resolved and unresolved -----------------------------------------------------------------------


def _resolved(tape: Path, quoting: dict[str, str], after_s: int, payout: int) -> ReplayResult:
    """Replay with the first market resolved so long after the second one's close."""
    events = list(open_recording(tape).events())
    end_ns = events[-1][0]
    first = next(event for _, event in events if isinstance(event, InstrumentListed)).instrument.id
    resolved = InstrumentResolved(instrument=first, payout_yes_micro=payout, source="a test")
    recording = Played(open_recording(tape), (end_ns + after_s * S, resolved))
    return replay_of(recording, quoting).run(quiet)


@pytest.mark.long
@pytest.mark.parametrize("payout", [0, 500_000, MICRO])
def test_resolved_market_is_paid_and_the_other_stays_unresolved(
    tape: Path, quoting: dict[str, str], payout: int
) -> None:
    result = _resolved(tape, quoting, 5, payout)
    first, second = result.markets.values()
    assert (first.resolved, second.resolved) == (True, False)
    assert (first.position_left, first.unresolved_micro) == (0, 0)
    assert second.position_left != 0
    assert result.pnl_resolved_micro == first.pnl_micro == first.realised_micro - first.fees_micro
    assert_sums_agree(result)


@pytest.mark.long
def test_market_resolved_long_after_it_was_forgotten_is_paid_as_well(
    tape: Path, quoting: dict[str, str]
) -> None:
    late = _resolved(tape, quoting, 5_000, MICRO)
    soon = _resolved(tape, quoting, 5, MICRO)
    assert [m.pnl_micro for m in late.markets.values()] == [
        m.pnl_micro for m in soon.markets.values()
    ]
    assert_sums_agree(late)


class Inserted(Played):
    """A recording in which the close of one market is preceded by another event of that moment."""

    def __init__(self, source: Recording, closes: int, event: Callable[[str], Event]) -> None:
        super().__init__(source)
        self._left = closes
        self._make = event

    def events(self) -> Iterator[tuple[int, Event]]:
        first = ""
        for now_ns, event in super().events():
            if isinstance(event, InstrumentListed) and not first:
                first = event.instrument.id
            if isinstance(event, InstrumentClosed):
                self._left -= 1
                if not self._left:
                    yield now_ns, self._make(first)
            yield now_ns, event


@pytest.fixture(scope="module")
def long_tape(make_recording: Make) -> Path:
    """Five windows: the first is forgotten when the third closes."""
    return make_recording(markets=5, frames=120)


def test_sums_agree_when_markets_are_forgotten_while_others_trade(
    long_tape: Path, quoting: dict[str, str]
) -> None:
    replay = replay_of(open_recording(long_tape), quoting)
    result = replay.run(quiet)
    assert_sums_agree(result)
    assert len(replay._cache.views) < 5
    assert all(market.position_left for market in result.markets.values())
    assert len(replay._executor._table.instruments) == 5, "what is held is not forgotten"


@pytest.mark.long
def test_sums_agree_when_a_held_book_changes_just_before_it_is_forgotten(
    long_tape: Path, quoting: dict[str, str]
) -> None:
    def moved(first: str) -> Event:
        return BookReplaced(
            instrument=InstrumentId(first), bids=((100, SHARE),), asks=((300, SHARE),)
        )

    still = replay_of(open_recording(long_tape), quoting).run(quiet)
    result = replay_of(Inserted(open_recording(long_tape), 3, moved), quoting).run(quiet)
    first = next(iter(result.markets.values()))
    before = next(iter(still.markets.values()))
    assert first.unresolved_micro != before.unresolved_micro
    assert_sums_agree(result)


@pytest.mark.long
def test_resolved_market_is_forgotten_whole_and_its_result_kept(
    long_tape: Path, quoting: dict[str, str]
) -> None:
    def paid(first: str) -> Event:
        return InstrumentResolved(
            instrument=InstrumentId(first), payout_yes_micro=MICRO, source="a test"
        )

    replay = replay_of(Inserted(open_recording(long_tape), 2, paid), quoting)
    result = replay.run(quiet)
    first = next(iter(result.markets.values()))
    assert first.resolved
    assert first.realised_micro != 0
    assert InstrumentId(first.instrument) not in replay._executor._table.instruments
    assert_sums_agree(result)


def test_resolution_of_a_market_nobody_listed_is_passed_over(
    tape: Path, quoting: dict[str, str]
) -> None:
    resolved = InstrumentResolved(instrument=InstrumentId("x:y"), payout_yes_micro=0, source="t")
    first_ns = next(open_recording(tape).events())[0]
    result = replay_of(Listed((first_ns, resolved)), quoting).run(quiet)
    assert (result.events, result.markets) == (1, {})
    assert result.equity_end_micro == 1_000 * MICRO


def test_close_of_a_market_nobody_listed_is_passed_over(quoting: dict[str, str]) -> None:
    closes = [
        (second * S, InstrumentClosed(instrument=InstrumentId(name)))
        for second, name in ((1, "x:y"), (700, "x:z"))
    ]
    result = replay_of(Listed(*closes), quoting).run(quiet)
    assert (result.events, result.markets) == (2, {})


# -- odd recordings --------------------------------------------------------------------------------


def test_recording_without_an_event_is_a_result_of_nothing(quoting: dict[str, str]) -> None:
    result = replay_of(Listed(), quoting).run(quiet)
    assert (result.events, result.orders, result.equity) == (0, 0, [])


def test_recording_whose_clock_runs_backwards_is_refused(
    tape: Path, quoting: dict[str, str]
) -> None:
    one, two = InstrumentClosed(instrument=InstrumentId("a")), InstrumentId("b")
    events = (2 * S, one), (S, InstrumentClosed(instrument=two))
    with pytest.raises(BrokenInvariant, match="clock ran backwards at event 1"):
        replay_of(Listed(*events), quoting).run(quiet)


def test_torn_recording_is_played_to_the_tear_and_then_told(
    tape: Path, tmp_path: Path, prepared: Make
) -> None:
    lines = tape.read_bytes().splitlines(keepends=True)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(b"".join(lines[:200]) + lines[200][:-20])
    replay = prepared(path=torn, journal_full=True)
    result = replay.run(quiet)
    assert result.torn == "torn.jsonl, line 201: the file is truncated"
    assert result.equity[-1][1] == result.equity_end_micro > 0
    assert len(result.digest) == 64
    assert replay.recording.stats.frames == 200
    kinds = {record.kind for record in load(replay.folder / "journal.db")}
    assert "OrderFilled" in kinds


@pytest.mark.long
def test_progress_is_told_with_events_and_seconds(
    prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "BLOCK_EVENTS", 100)
    calls: list[tuple[int, float]] = []
    result = prepared().run(lambda events, elapsed_s: calls.append((events, elapsed_s)))
    assert [events for events, _ in calls] == [*range(100, result.events, 100), result.events]
    assert [elapsed for _, elapsed in calls] == sorted(elapsed for _, elapsed in calls)


def test_bot_that_raises_is_told_and_the_replay_goes_on(tape: Path) -> None:
    name = BotId("maker")
    strategy = build("market_maker", {}, name)

    def evaluate(*_: Any) -> Any:
        raise KeyError("price")

    strategy.evaluate = evaluate  # type: ignore[method-assign]
    bot = Bot(
        name=name, account=ACCOUNT, strategy=strategy, capital_micro=MICRO, everything=True
    )  # fmt: skip
    decisions: list[Decision] = []
    result = assemble(
        recording=open_recording(tape), bots=(bot,), limits=RiskLimits(),
        paper=PaperSettings(starting_cash={CURRENCY: 1}), cash_micro=MICRO,
        recorder=DigestRecorder(), decide=decisions.append,
    ).run(quiet)  # fmt: skip
    assert "KeyError in evaluate" in result.bot_errors[name]
    assert result.alerts == {"bot_error": 1}
    assert (result.orders, decisions) == (0, [])
    assert result.events > 1_000


def test_bot_that_loops_is_interrupted_and_the_replay_goes_on(
    tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "BUDGET_S", 0.3)
    name = BotId("maker")
    strategy = build("market_maker", {}, name)
    monkeypatch.setattr(type(strategy), "__module__", "plugins.loops.strategies.loops")

    def evaluate(*_: Any) -> Any:
        while True:
            pass

    strategy.evaluate = evaluate  # type: ignore[method-assign]
    bot = Bot(
        name=name, account=ACCOUNT, strategy=strategy, capital_micro=MICRO, everything=True
    )  # fmt: skip
    result = assemble(
        recording=open_recording(tape), bots=(bot,), limits=RiskLimits(),
        paper=PaperSettings(starting_cash={CURRENCY: 1}), cash_micro=MICRO,
        recorder=DigestRecorder(), decide=lambda _: None,
    ).run(quiet)  # fmt: skip
    assert "TurnOverdue in evaluate" in result.bot_errors[name]
    assert result.events > 1_000


# -- recorded days ---------------------------------------------------------------------------------


def _first_frames(day: Path, frames: int, into: Path) -> Path:
    """Write the first frames of a recorded day into a file of one's own."""
    lines: list[bytes] = []
    from engine.lab.recordings.lines import read_lines

    for _, line in read_lines(day, RecordingStats()):
        lines.append(line)
        if len(lines) == frames:
            break
    into.write_bytes(b"\n".join(lines) + b"\n")
    return into


@pytest.mark.long
@pytest.mark.recordings
def test_first_frames_of_a_recorded_day_are_the_same_twice(
    recordings: Path, tmp_path: Path, prepared: Make
) -> None:
    day = recordings / "polymarket_btc5m_l2" / "raw" / "2026-04-14.jsonl.gz"
    path = _first_frames(day, 8_000, tmp_path / day.name.removesuffix(".gz"))
    runs = [prepared(path=path, parameters={}) for _ in range(2)]
    first, second = (run.run(quiet) for run in runs)
    assert first.digest == second.digest
    stats = runs[0].recording.stats
    assert (stats.frames, stats.hash_matched, stats.hash_checked) == (8_000, 8_000, 8_000)
    assert first.orders > 50
    assert first.fills > 10
    assert (first.fills_inferred, first.fills_unknown) == (first.fills, 0)
    assert not first.bot_errors
    assert_sums_agree(first)


@pytest.mark.long
@pytest.mark.recordings
def test_sessions_of_a_multifeed_recording_are_replayed_one_by_one(
    recordings: Path, prepared: Make
) -> None:
    sessions = sorted((recordings / "polymarket_multifeed_raw").glob("*.raw_messages.jsonl.gz"))
    found = [0, 0, 0]
    for session in sessions:
        run = prepared(path=session, parameters={})
        result = run.run(quiet)
        assert not result.bot_errors
        assert_sums_agree(result)
        stats = run.recording.stats
        assert stats.advertised_matched == stats.advertised_checked
        found[0] += stats.hash_matched
        found[1] += stats.hash_checked
        found[2] += stats.advertised_checked
    assert found == [870 + 162, 870 + 170, 170]


@pytest.mark.recordings
@pytest.mark.soak
def test_folder_of_a_multifeed_recording_is_replayed(recordings: Path, prepared: Make) -> None:
    run = prepared(path=recordings / "polymarket_multifeed_raw", parameters={})
    result = run.run(quiet)
    stats = run.recording.stats
    # 870 of 870 books, and 162 of the 170 batches that carry a hash as well.
    assert (stats.hash_matched, stats.hash_checked) == (870 + 162, 870 + 170)
    assert (stats.advertised_matched, stats.advertised_checked) == (170, 170)
    assert not result.bot_errors
    assert_sums_agree(result)


@pytest.mark.recordings
@pytest.mark.soak
def test_two_recorded_days_are_the_same_twice_and_every_hash_agrees(
    recordings: Path, prepared: Make
) -> None:
    path = recordings / "polymarket_btc5m_l2"
    # A maker that rests for a day after its first bad fills would leave most of the days unseen.
    quoting = {"rest_when_losing": "false"}
    runs = [
        prepared(path=path, parameters=quoting, decisions=decisions) for decisions in (True, False)
    ]
    first, second = (run.run(quiet) for run in runs)
    assert first.digest == second.digest
    for run in runs:
        stats = run.recording.stats
        assert (stats.hash_matched, stats.hash_checked) == (221_242, 221_242)
    assert len(first.markets) == 85
    assert first.orders > 1_000
    assert first.fills > 50
    assert first.peak_rss_mb < 400
    assert_sums_agree(first)


@pytest.mark.long
@pytest.mark.recordings
def test_maker_that_sleeps_where_only_time_helps_decides_the_same(
    recordings: Path, tmp_path: Path, prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = recordings / "polymarket_btc5m_l2" / "raw" / "2026-04-14.jsonl.gz"
    path = _first_frames(day, 8_000, tmp_path / day.name.removesuffix(".gz"))
    evaluate = AccountCore._evaluate

    def dated(core: AccountCore, cell: Any, now_ns: int, *, fit: bool = True) -> None:
        core._decisions = now_ns  # a number that does not count how often it was asked
        evaluate(core, cell, now_ns, fit=fit)

    monkeypatch.setattr(AccountCore, "_evaluate", dated)
    slept = prepared(path=path, parameters={}).run(quiet)
    monkeypatch.setattr(market_maker, "QUIET", frozenset())
    awake = prepared(path=path, parameters={}).run(quiet)
    assert slept.orders > 50
    assert (slept.digest, slept.orders, slept.fills) == (awake.digest, awake.orders, awake.fills)
    assert slept.evaluations < 0.7 * awake.evaluations
