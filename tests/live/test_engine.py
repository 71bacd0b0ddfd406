"""The house: what all accounts share."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.clock import TapeClock, WallClock
from engine.domain.bots import BotState
from engine.domain.effects import RaiseAlert
from engine.domain.events import (
    Event,
    HealthChanged,
    InstrumentClosed,
    InstrumentResolved,
    LatchSet,
    ScopeLatched,
    ScopeReleased,
)
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.domain.settings import AccountSettings, BotSettings, SettingsDocument
from engine.errors import StorageError
from engine.live.lifecycle import (
    LOOK_EVERY_NS,
    STANDSTILL_NS,
    AbsenceWatch,
    DiskWatch,
    StandstillWatch,
)
from engine.live.reopen import attach_bots, pause_all
from engine.runtime import services
from engine.runtime.bot_runner import BotSnapshot, apply_record
from engine.runtime.recovery import executor_of
from engine.runtime.services import FORGET_AFTER_NS
from storage.journal import decode, load
from tests.kit.engines import engine_of
from tests.live.trading_desk import Exchange, TradingDesk

M1 = InstrumentId("demo:m1")


class Desk:
    """Needs an instrument until it is paid."""

    def __init__(self) -> None:
        self.held = {M1}

    def forget(self, instrument: InstrumentId, _now_ns: int, *, held: bool) -> None:
        assert not held
        if not self.paid:
            return
        self.held.discard(instrument)

    paid = False


def test_a_market_that_is_paid_long_after_its_close_is_forgotten_too() -> None:
    engine, desk = engine_of(), Desk()
    forget = partial(desk.forget, held=False)
    engine.runners = {AccountId("demo"): SimpleNamespace(forget=forget)}
    engine.journal(InstrumentClosed(instrument=M1), 0)
    engine.forget_closed(FORGET_AFTER_NS)
    assert desk.held == {M1}
    paid_ns = 2 * FORGET_AFTER_NS
    engine.journal(InstrumentResolved(instrument=M1, payout_yes_micro=0, source="demo"), paid_ns)
    desk.paid = True
    engine.forget_closed(paid_ns + FORGET_AFTER_NS - 1)
    assert desk.held == {M1}
    engine.forget_closed(paid_ns + FORGET_AFTER_NS)
    assert desk.held == set()


S = 1_000_000_000
DEMO = AccountId("demo")


class FakeRunner:
    """One account whose executor receives what is reported."""

    def __init__(self) -> None:
        settings = AccountSettings(name=DEMO, venue="demo", mode=Mode.DEMO, starting_cash=1.0)
        executor, _ = executor_of(settings, 1)
        self.core = SimpleNamespace(executor=executor)
        self.unaskable = str
        self.reported: list[Event] = []

    def report(self, event: Event) -> None:
        self.reported.append(event)
        self.core.executor.receive(event, 0)


class Ticking:
    """A house that only looks at the clock, and at what refuses."""

    def __init__(self) -> None:
        self.runner = FakeRunner()
        self.jump_ns = 0
        self.alerts: list[RaiseAlert] = []
        self.ended: list[BaseException | None] = []
        clock = SimpleNamespace(
            now_ns=lambda: 3_600 * S, said_ns=lambda: 0, jump_ns=lambda: self.jump_ns
        )
        self.engine = engine = engine_of(clock=clock)
        engine.phase = "RUNNING"
        engine.runners = {DEMO: self.runner}
        engine.alert = lambda alert, _: self.alerts.append(alert)
        engine.end = self.ended.append

    def second(self, now_ns: int = 0) -> None:
        self.engine.second(now_ns)

    @property
    def reported(self) -> list[Event]:
        return self.runner.reported


def test_a_refused_key_whose_sentence_says_clock_is_not_taken_for_a_jump_of_the_clock() -> None:
    desk = Ticking()
    refused = "the venue refuses our key. Check the API key, and the clock of this machine"
    desk.runner.core.executor.receive(
        HealthChanged(account=DEMO, source="key", healthy=False, reason=refused), 0
    )
    for _ in range(3):
        desk.second()
    assert desk.reported == []


def test_a_jump_of_the_clock_is_reported_when_it_begins_and_when_it_is_over() -> None:
    desk = Ticking()
    desk.jump_ns = -3_600 * S
    for _ in range(3):
        desk.second()
    began = HealthChanged(
        account=DEMO, source="clock", healthy=False, reason="the wall clock jumped by -3600.0 s"
    )
    assert desk.reported == [began]
    desk.jump_ns = 0
    for _ in range(3):
        desk.second()
    over = HealthChanged(account=DEMO, source="clock", healthy=True, reason="")
    assert desk.reported == [began, over]


def test_each_leap_of_our_time_is_reported_though_the_clock_is_not_well_yet() -> None:
    desk = Ticking()
    leaps_s = (-10, 18, 51)
    for leap_s in leaps_s:
        desk.jump_ns = leap_s * S
        desk.second()
    assert desk.reported == [
        HealthChanged(
            account=DEMO, source="clock", healthy=False, reason=f"the wall clock jumped by {s}.0 s"
        )
        for s in leaps_s
    ]


def test_a_state_file_with_too_many_rows_waiting_halts_every_account_until_they_are_written() -> (
    None
):
    desk = Ticking()
    desk.engine.state.halts = "20000 rows wait for pitboss.db"
    desk.second()
    assert any("20000 rows wait" in why for why in desk.runner.core.executor.reasons)
    assert [(one.kind, one.severity) for one in desk.alerts] == [("state", "critical")]
    desk.engine.state.halts = "20001 rows wait for pitboss.db"
    desk.second()
    assert len(desk.reported) == len(desk.alerts) == 1
    desk.engine.state.halts = ""
    desk.second()
    assert not any("rows wait" in why for why in desk.runner.core.executor.reasons)


def test_an_account_that_places_nothing_for_long_is_told_once_each_time() -> None:
    desk = Ticking()
    watch, executor = StandstillWatch(desk.engine), desk.runner.core.executor
    for well, now_ns in ((False, 0), (True, STANDSTILL_NS - 1), (False, STANDSTILL_NS)):
        executor._blocks.recovering, executor._blocks.unhealthy = not well, {}
        watch.watch(now_ns)
    assert desk.alerts == []
    for seconds in range(3):
        watch.watch(2 * STANDSTILL_NS + seconds * S)
    (alert,) = desk.alerts
    assert (alert.account, alert.severity) == (DEMO, "critical")
    assert alert.text == "nothing could be placed for 120 s: reconciliation pending"


def test_an_account_under_a_kill_or_a_stop_is_told_of_by_that_alone() -> None:
    desk = Ticking()
    watch, executor = StandstillWatch(desk.engine), desk.runner.core.executor
    executor.receive(ScopeLatched(account=DEMO, who="ann", reason="KILL"), 0)
    for now_ns in (0, 2 * STANDSTILL_NS):
        watch.watch(now_ns)
    executor.receive(ScopeReleased(account=DEMO, who="ann", reason="read"), 0)
    executor.receive(LatchSet(who="ann", reason="KILL"), 0)
    for now_ns in (3 * STANDSTILL_NS, 5 * STANDSTILL_NS):
        watch.watch(now_ns)
    assert desk.alerts == []


def test_a_desk_no_watch_looks_at_is_told_once_until_one_is_back(tmp_path: Path) -> None:
    desk = Ticking()
    engine: Any = desk.engine
    run = tmp_path / "run"
    run.mkdir()
    engine.config = SimpleNamespace(run_folder=run)
    start_ns = engine.started_ns = 10**18
    wall = {"ns": start_ns}
    engine.wall_ns = lambda: wall["ns"]
    watch = AbsenceWatch(engine)

    def at(seconds: int) -> list[str]:
        wall["ns"] = start_ns + seconds * S
        watch.watch(seconds * S)
        return [one.kind for one in desk.alerts]

    assert at(100) == [], "without a supervisor there is no watch"
    (run / "supervisor.sock").touch()
    engine.started_ns = start_ns + 100 * S
    assert at(150) == [], "it may still come"
    assert at(160) == at(190) == ["watch_absent"]
    (alert,) = desk.alerts
    assert (alert.severity, alert.text) == (
        "critical", "no watch has looked at this desk for 60 s: nothing is sent away",
    )  # fmt: skip
    looked = run / "watch.lock"
    looked.touch()
    os.utime(looked, ns=(wall["ns"], wall["ns"]))
    assert at(210) == ["watch_absent"]
    assert at(250) == ["watch_absent"] * 2, "it came, and went"


def test_free_space_is_told_twice_and_at_the_last_percents_nothing_is_placed() -> None:
    desk = Ticking()
    share = 0.5

    def statvfs(folder: Path) -> os.statvfs_result:
        free = int(1_000_000 * share)
        return os.statvfs_result((4096, 4096, 1_000_000, free, free, 0, 0, 0, 0, 255))

    watch = DiskWatch(desk.engine, [Path("/home")], statvfs)
    placing = []
    for number, share in enumerate((0.5, 0.19, 0.15, 0.04, 0.019, 0.025, 0.031, 0.07, 0.5)):  # noqa: B007 read above
        watch.watch(number * LOOK_EVERY_NS)
        placing.append(not any("disk" in why for why in desk.runner.core.executor.reasons))
    assert placing == [True, True, True, True, False, False, True, True, True]
    assert [(one.kind, one.severity) for one in desk.alerts] == [
        ("disk", "warning"),
        ("disk_low", "critical"),
        ("disk", "warning"),  # 7 %: it rose over the worse level, and is below the other still
    ]
    assert "778.2 MB (19.0 %) are free at /home" in desk.alerts[0].text
    assert desk.reported[0] == HealthChanged(
        account=DEMO, source="disk", healthy=False,
        reason="77.8 MB (1.9 %) are free at /home: make room; cancels and KILL go on",
    )  # fmt: skip


def test_a_disk_nobody_can_ask_about_forbids_placing() -> None:
    desk = Ticking()

    def statvfs(folder: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    DiskWatch(desk.engine, [Path("/home")], statvfs).watch(0)
    assert any("free disk space cannot be read" in why for why in desk.runner.core.executor.reasons)


@pytest.mark.parametrize("part", ["recorder", "state", "projector"])
def test_a_disk_that_was_full_for_a_minute_leaves_alerts(part: str) -> None:
    desk = Ticking()
    refusing = getattr(desk.engine, part)
    refusing.failure = StorageError("it cannot grow, the disk is full")
    for second in range(60):
        desk.second(second * S)
    refusing.failure = None
    desk.second(60 * S)
    desk.second(61 * S)
    begun, over = desk.alerts
    assert "the disk is full" in begun.text
    assert begun.severity == "critical"
    assert "60 s" in over.text
    assert "nothing lost" in over.text


def test_a_moment_of_a_locked_file_is_no_alert() -> None:
    desk = Ticking()
    desk.engine.state.failure = StorageError("it is locked by another process")
    desk.second(0)
    desk.engine.state.failure = None
    desk.second(S)
    assert desk.alerts == []


def test_what_waits_for_the_journal_is_never_dropped_at_its_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "UNJOURNALED_MAX", 3)
    desk = Ticking()

    def full(*_: object) -> int:
        raise StorageError("the journal's queue is full")

    kept: list[Event] = []
    desk.engine.recorder.append = full
    closed = [InstrumentClosed(instrument=InstrumentId(f"demo:m{n}")) for n in range(4)]
    for event in closed[:3]:
        desk.engine.journal(event, 0)
    assert desk.ended == []
    desk.engine.journal(closed[3], 0)
    assert "the journal's queue is full" in str(desk.ended[0])
    desk.engine.recorder.append = lambda _, event, __: kept.append(event)
    desk.second()
    assert kept == closed


def test_a_bot_whose_parameters_cannot_be_read_is_not_started_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    def bot(name: str, strategy: str) -> BotSettings:
        return BotSettings(name=name, strategy=strategy, account=DEMO, capital=1.0)

    admitted: list[str] = []
    desk = SimpleNamespace(add=lambda bot, _: admitted.append(bot.name))
    alerts: list[RaiseAlert] = []
    engine: Any = SimpleNamespace(
        clock=SimpleNamespace(now_ns=lambda: 1),
        config=SimpleNamespace(home=tmp_path),
        accounts=SimpleNamespace(refusal=lambda _: ""),
        settings=SimpleNamespace(
            document=SettingsDocument(
                accounts={DEMO: AccountSettings(name=DEMO, venue="demo", mode=Mode.DEMO)},
                bots={"a": bot("a", "market_makr"), "b": bot("b", "market_maker")},
            )
        ),
        runners={DEMO: SimpleNamespace(account=DEMO, core=desk)},
        bot_runners={},
        absent={},
        killed=threading.Event(),
        alert=lambda alert, _: alerts.append(alert),
    )
    attach_bots(engine, {"a": BotSnapshot(state=BotState.PAUSED)})
    assert admitted == list(engine.bot_runners) == ["b"]
    attach_bots(engine, engine.absent, account=DEMO)  # as when its account is opened again
    assert engine.absent == {"a": BotSnapshot(state=BotState.PAUSED)}
    assert [told.text[:20] for told in alerts] == ["bot a is not started"] * 2
    assert "market_makr" in alerts[0].text


async def test_a_start_asked_for_paused_has_no_bot_that_trades_and_stays_so(
    tmp_path: Path,
) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        mark = desk.config.start_paused_path
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
        states = {"a": BotState.RUNNING, "b": BotState.IDLE, "c": BotState.ERROR}
        before = {name: BotSnapshot(state=state) for name, state in states.items()}
        pause_all(desk.engine, before)
        await desk.until(lambda: not mark.exists(), "the pause is on the disk")
        after = {name: one.state for name, one in before.items()}
        assert after == states | {"a": BotState.PAUSING}
        # A death right now: the next start reads the older snapshots, and what came after them.
        again = {name: BotSnapshot(state=state) for name, state in states.items()}
        for record in load(desk.config.journal_path):
            apply_record(again, decode(record))
        assert again["a"].state is BotState.PAUSING


@pytest.mark.parametrize("tape", [False, True])
def test_a_part_looks_once_a_period_while_the_engine_runs_and_never_at_a_tape_unless_it_says(
    tape: bool,
) -> None:
    engine = engine_of(clock=TapeClock() if tape else WallClock())
    first = len(engine.watchers)
    looked: list[int] = []
    outside: list[int] = []
    always: list[int] = []
    engine.watch_every(10, looked.append)
    engine.watch_every(10, always.append, from_start=True)
    engine.watch_every(10, outside.append, on_tape=False)
    times = ((1, "RECONCILING"), (2, "RUNNING"), (11, "RUNNING"), (12, "RUNNING"), (30, "ENDING"))
    for now_ns, engine.phase in times:
        for watch in engine.watchers[first:]:
            watch(now_ns)
    assert looked == [2, 12]
    assert always == [1, 11, 30]
    assert outside == ([] if tape else looked)
