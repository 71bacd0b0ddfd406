"""The house: what all accounts share."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.effects import RaiseAlert
from engine.domain.events import Event, HealthChanged, InstrumentClosed, InstrumentResolved
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.domain.settings import AccountSettings, BotSettings, SettingsDocument
from engine.errors import StorageError
from engine.live import engine
from engine.live.engine import Engine
from engine.live.main import seat_bots
from engine.runtime.recovery import Recovered, executor_of
from engine.runtime.services import FORGET_AFTER_NS

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
    house: Any = object.__new__(Engine)
    desk = Desk()
    house.engine_id = "one"
    house.shells = {AccountId("demo"): SimpleNamespace(desk=desk)}
    house.recorder = SimpleNamespace(append=lambda *_: 1)
    house.state = SimpleNamespace(write=lambda _: None)
    house._unkept, house._closed = deque(), deque()
    house.keep(InstrumentClosed(instrument=M1), 0)
    house.forget_closed(FORGET_AFTER_NS)
    assert desk.held == {M1}
    paid_ns = 2 * FORGET_AFTER_NS
    house.keep(InstrumentResolved(instrument=M1, payout_yes_micro=0, source="demo"), paid_ns)
    desk.paid = True
    house.forget_closed(paid_ns + FORGET_AFTER_NS - 1)
    assert desk.held == {M1}
    house.forget_closed(paid_ns + FORGET_AFTER_NS)
    assert desk.held == set()


S = 1_000_000_000
DEMO = AccountId("demo")


class Shell:
    """One account whose executor hears what is reported."""

    def __init__(self) -> None:
        settings = AccountSettings(name=DEMO, venue="demo", mode=Mode.DEMO, starting_cash=1.0)
        executor, _ = executor_of(settings, 1)
        self.desk = SimpleNamespace(executor=executor)
        self.reported: list[Event] = []

    def report(self, event: Event) -> None:
        self.reported.append(event)
        self.desk.executor.receive(event, 0)


class Ticking:
    """A house that only looks at the clock, and at what refuses."""

    def __init__(self) -> None:
        self.house: Any = object.__new__(Engine)
        self.shell = Shell()
        self.jump_ns = 0
        self.alerts: list[RaiseAlert] = []
        self.ended: list[BaseException | None] = []
        house = self.house
        house.engine_id, house.phase = "one", "RUNNING"
        house.shells = {DEMO: self.shell}
        house.clock = SimpleNamespace(jump_ns=lambda: self.jump_ns)
        house.recorder = SimpleNamespace(failure=None, seq=0, append=lambda *_: 1)
        house.state = SimpleNamespace(failure=None, halts="", write=lambda _: None)
        house.projector = SimpleNamespace(failure=None)
        house.alert = lambda alert, _: self.alerts.append(alert)
        house.end = self.ended.append
        house._unkept, house._closed, house._refusing = deque(), deque(), {}
        house._snapshot_seq, house._learned_ns = 0, 3_600 * S

    def second(self, now_ns: int = 0) -> None:
        self.house.second(now_ns)

    @property
    def reported(self) -> list[Event]:
        return self.shell.reported


def test_a_refused_key_whose_sentence_says_clock_is_not_taken_for_a_jump_of_the_clock() -> None:
    desk = Ticking()
    refused = "the venue refuses our key. Check the API key, and the clock of this machine"
    desk.shell.desk.executor.receive(
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


def test_a_state_file_with_too_many_rows_waiting_halts_every_account_until_they_are_written() -> (
    None
):
    desk = Ticking()
    desk.house.state.halts = "20000 rows wait for pitboss.db"
    desk.second()
    assert any("20000 rows wait" in why for why in desk.shell.desk.executor.reasons)
    assert [(one.kind, one.severity) for one in desk.alerts] == [("state", "critical")]
    desk.house.state.halts = "20001 rows wait for pitboss.db"
    desk.second()
    assert len(desk.reported) == len(desk.alerts) == 1
    desk.house.state.halts = ""
    desk.second()
    assert not any("rows wait" in why for why in desk.shell.desk.executor.reasons)


@pytest.mark.parametrize("part", ["recorder", "state", "projector"])
def test_a_disk_that_was_full_for_a_minute_leaves_alerts(part: str) -> None:
    desk = Ticking()
    refusing = getattr(desk.house, part)
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
    assert "none is lost" in over.text


def test_a_moment_of_a_locked_file_is_no_alert() -> None:
    desk = Ticking()
    desk.house.state.failure = StorageError("it is locked by another process")
    desk.second(0)
    desk.house.state.failure = None
    desk.second(S)
    assert desk.alerts == []


def test_what_waits_for_the_journal_is_never_dropped_at_its_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "UNKEPT_MAX", 3)
    desk = Ticking()

    def full(*_: object) -> int:
        raise StorageError("the journal's queue is full")

    kept: list[Event] = []
    desk.house.recorder.append = full
    closed = [InstrumentClosed(instrument=InstrumentId(f"demo:m{n}")) for n in range(4)]
    for event in closed[:3]:
        desk.house.keep(event, 0)
    assert desk.ended == []
    desk.house.keep(closed[3], 0)
    assert "the journal's queue is full" in str(desk.ended[0])
    desk.house.recorder.append = lambda _, event, __: kept.append(event)
    desk.second()
    assert kept == closed


def test_a_bot_whose_parameters_cannot_be_read_is_not_started_and_holds_up_no_other() -> None:
    def bot(name: str, strategy: str) -> BotSettings:
        return BotSettings(name=name, strategy=strategy, account=DEMO, capital=1.0)

    admitted: list[str] = []
    desk = SimpleNamespace(admit=lambda bot, _: admitted.append(bot.name))
    alerts: list[RaiseAlert] = []
    house: Any = SimpleNamespace(
        clock=SimpleNamespace(now_ns=lambda: 1),
        accounts=SimpleNamespace(refusal=lambda _: ""),
        settings=SimpleNamespace(
            document=SettingsDocument(
                accounts={DEMO: AccountSettings(name=DEMO, venue="demo", mode=Mode.DEMO)},
                bots={"a": bot("a", "market_makr"), "b": bot("b", "market_maker")},
            )
        ),
        shells={DEMO: SimpleNamespace(account=DEMO, desk=desk)},
        seats={},
        absent={},
        alert=lambda alert, _: alerts.append(alert),
    )
    seat_bots(house, Recovered(), first=False)
    assert admitted == list(house.seats) == ["b"]
    assert list(house.absent) == ["a"]
    (told,) = alerts
    assert told.text.startswith("bot a is not started: ")
    assert "market_makr" in told.text
