"""Bots at a live desk: moved by the table, watched until it is true, restored by the journal."""

from __future__ import annotations

from typing import Any

import pytest

from engine.bots.bot import BotState
from engine.domain.commands import InventoryPolicy, PauseBot, ResumeBot, StartBot, StopBot
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import LatchSet
from engine.domain.instruments import AccountId, BotId
from engine.domain.settings import BotSettings
from engine.errors import InvalidTransition
from engine.live_bots import Kept, Seat, folded, restored

S = BotState
BOT = BotId("maker")


class Executor:
    """What a seat asks of an executor, as a test sets it."""

    def __init__(self) -> None:
        self.recovering = False
        self.stopped: object = None
        self.zero: object = None
        self.held: dict[Any, Any] = {}
        self.ledger = self

    def proven_zero(self, _bot: BotId) -> object:
        return self.zero


class Desk:
    def __init__(self) -> None:
        self.executor = Executor()
        self.withdrawn = self.roused = self.seated = 0

    def withdraw(self, _bot: object, _now_ns: int) -> None:
        self.withdrawn += 1

    def rouse(self, _bot: object, _now_ns: int) -> None:
        self.roused += 1

    def seat(self, _bot: object, _now_ns: int) -> None:
        self.seated += 1


class Shell:
    account = AccountId("demo")

    def __init__(self) -> None:
        self.desk = Desk()


@pytest.fixture
def seat() -> Seat:
    settings = BotSettings(name=BOT, strategy="market_maker", account="demo", capital=100.0)
    return Seat(settings, Shell())  # type: ignore[arg-type]


def desk_of(seat: Seat) -> Any:
    return seat.shell.desk


def test_bot_runs_when_its_account_is_reconciled(seat: Seat) -> None:
    desk_of(seat).executor.recovering = True
    seat.start(1)
    seat.watch(2)
    assert seat.bot.state is S.STARTING
    desk_of(seat).executor.recovering = False
    seat.watch(3)
    assert seat.bot.state is S.RUNNING
    assert desk_of(seat).roused == 1


def test_paused_is_said_when_it_is_proven(seat: Seat) -> None:
    answers: list[tuple[bool, str]] = []
    seat.start(1)
    seat.watch(2)
    seat.waiting.append(lambda done, text: answers.append((done, text)))
    seat.pause(3)
    seat.watch(4)
    assert (seat.bot.state, answers, desk_of(seat).withdrawn) == (S.PAUSING, [], 1)
    desk_of(seat).executor.zero = object()
    seat.watch(5)
    assert seat.bot.state is S.PAUSED
    assert answers == [(True, "paused; proven: none of its orders is open")]
    seat.start(6)
    assert seat.bot.state is S.STARTING


def test_stopped_is_said_when_it_is_proven(seat: Seat) -> None:
    seat.start(1)
    seat.stop(InventoryPolicy.EXIT, 2)
    seat.watch(3)  # nothing is held: nothing to exit
    seat.watch(4)
    assert seat.bot.state is S.STOPPING
    desk_of(seat).executor.zero = object()
    seat.watch(5)
    assert seat.bot.state is S.STOPPED
    with pytest.raises(InvalidTransition):
        seat.pause(6)


def test_risk_stops_a_bot_and_lifts_it(seat: Seat) -> None:
    seat.start(1)
    seat.watch(2)
    desk_of(seat).executor.stopped = "daily_loss"
    seat.watch(3)
    assert seat.bot.state is S.RISK_STOPPED
    desk_of(seat).executor.stopped = None
    seat.watch(4)
    seat.watch(5)
    assert seat.bot.state is S.RUNNING


def test_failed_bot_answers_who_waits_and_can_be_started_again(seat: Seat) -> None:
    answers: list[bool] = []
    seat.start(1)
    seat.watch(2)
    seat.bot.fail(ValueError("x"))
    seat.waiting.append(lambda done, _: answers.append(done))
    seat.watch(3)
    assert answers == [False]
    seat.start(4)
    assert (seat.bot.state, seat.bot.error, desk_of(seat).seated) == (S.STARTING, "", 1)


def test_restored_bot_is_as_it_was_kept(seat: Seat) -> None:
    for before, after in ((S.RUNNING, S.STARTING), (S.RISK_STOPPED, S.STARTING), (S.PAUSED,) * 2):
        assert not restored(seat, Kept(state=before, strategy=seat.bot.strategy.state()))
        assert seat.bot.state is after
    assert "begins to learn anew" in restored(seat, Kept(state=S.STOPPED, strategy=b"torn"))
    assert seat.bot.state is S.STOPPED


def test_journal_says_what_became_of_a_bot() -> None:
    kept: dict[str, Kept] = {}
    folded(kept, StartBot(bot=BOT))
    assert kept[BOT].state is S.STARTING
    folded(kept, PauseBot(bot=BOT))
    assert kept[BOT].state is S.PAUSING
    folded(kept, ResumeBot(bot=BOT))
    folded(kept, LatchSet(who="me", reason="KILL"))
    assert kept[BOT].state is S.PAUSING
    folded(kept, StopBot(bot=BOT, inventory=InventoryPolicy.EXIT))
    assert (kept[BOT].state, kept[BOT].inventory) == (S.STOPPING, InventoryPolicy.EXIT)
    alert = RaiseAlert(severity=Severity.CRITICAL, kind="bot_error", text="it raised", bot=BOT)
    folded(kept, alert)
    assert (kept[BOT].state, kept[BOT].error) == (S.ERROR, "it raised")
