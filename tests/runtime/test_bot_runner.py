"""Bots at a live desk: moved by the table, watched until it is true, restored by the journal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bots import BotState
from engine.domain.commands import InventoryPolicy, PauseBot, ResumeBot, StartBot, StopBot
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import LatchSet
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.domain.settings import BotSettings
from engine.errors import InvalidTransition
from engine.runtime.bot_runner import BotRunner, BotSnapshot, folded, restored

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
        self.state = SimpleNamespace(instruments={})

    def proven_zero(self, _bot: BotId) -> object:
        return self.zero

    def holding(self, key: InstrumentId) -> Any:
        return self.held[key]


class Desk:
    def __init__(self) -> None:
        self.executor = Executor()
        self.withdrawn = self.roused = self.seated = 0
        self.cache = self
        self.views: dict[Any, Any] = {}
        self.wishes: list[Target] = []

    def wish(self, target: Target, _now_ns: int) -> None:
        self.wishes.append(target)

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
def seat() -> BotRunner:
    settings = BotSettings(name=BOT, strategy="market_maker", account="demo", capital=100.0)
    return BotRunner(settings, Shell())  # type: ignore[arg-type]


def desk_of(seat: BotRunner) -> Any:
    return seat.shell.desk


def test_bot_runs_when_its_account_is_reconciled(seat: BotRunner) -> None:
    desk_of(seat).executor.recovering = True
    seat.start(1)
    seat.watch(2)
    assert seat.bot.state is S.STARTING
    desk_of(seat).executor.recovering = False
    seat.watch(3)
    assert seat.bot.state is S.RUNNING
    assert desk_of(seat).roused == 1


def test_paused_is_said_when_it_is_proven(seat: BotRunner) -> None:
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


def test_stopped_is_said_when_it_is_proven(seat: BotRunner) -> None:
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


def test_risk_stops_a_bot_and_lifts_it(seat: BotRunner) -> None:
    seat.start(1)
    seat.watch(2)
    desk_of(seat).executor.stopped = "daily_loss"
    seat.watch(3)
    assert seat.bot.state is S.RISK_STOPPED
    desk_of(seat).executor.stopped = None
    seat.watch(4)
    seat.watch(5)
    assert seat.bot.state is S.RUNNING


def test_failed_bot_answers_who_waits_and_can_be_started_again(seat: BotRunner) -> None:
    answers: list[bool] = []
    seat.start(1)
    seat.watch(2)
    seat.bot.fail(ValueError("x"))
    seat.waiting.append(lambda done, _: answers.append(done))
    seat.watch(3)
    assert answers == [False]
    seat.start(4)
    assert (seat.bot.state, seat.bot.error, desk_of(seat).seated) == (S.STARTING, "", 1)


def test_restored_bot_is_as_it_was_kept(seat: BotRunner) -> None:
    for before, after in ((S.RUNNING, S.STARTING), (S.RISK_STOPPED, S.STARTING), (S.PAUSED,) * 2):
        assert not restored(seat, BotSnapshot(state=before, strategy=seat.bot.strategy.state()))
        assert seat.bot.state is after
    assert "begins to learn anew" in restored(seat, BotSnapshot(state=S.STOPPED, strategy=b"torn"))
    assert seat.bot.state is S.STOPPED


def test_journal_says_what_became_of_a_bot() -> None:
    kept: dict[str, BotSnapshot] = {}
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


M1 = InstrumentId("demo:m1")
SECOND = 1_000_000_000


def view(touch: int, *, kind: Kind = Kind.BINARY, tick: int = 100) -> Any:
    instrument = Instrument(
        id=M1, kind=kind, currency="USD", price_decimals=4, size_decimals=6, tick=tick, lot=10_000
    )
    return SimpleNamespace(instrument=instrument, closed=False, best_bid=touch, best_ask=touch)


def holding(position: int) -> BotRunner:
    """A seat at an account that holds something the bot trades, before any feed has spoken."""
    settings = BotSettings(
        name=BOT, strategy="market_maker", account="demo", capital=1.0, instruments=(M1,)
    )
    seat = BotRunner(settings, Shell())  # type: ignore[arg-type]
    executor = desk_of(seat).executor
    executor.held[M1] = SimpleNamespace(position=position)
    executor.state.instruments[M1] = view(1).instrument
    return seat


def leaving(
    position: int, touches: list[int], *, kind: Kind = Kind.BINARY, tick: int = 100
) -> list[int]:
    """Return at which limits an EXIT with a cap of 0.05 wishes while the touch goes this way."""
    seat = holding(position)
    desk = desk_of(seat)
    seat.start(1)
    seat.stop(InventoryPolicy.EXIT, 2)
    for second, touch in enumerate(touches, 1):
        desk.views[M1] = view(touch, kind=kind, tick=tick)
        seat.watch(second * SECOND)
    return [wish.limit_price for wish in desk.wishes]


@given(st.sampled_from([1, -1]), st.lists(st.integers(1, 99), min_size=1, max_size=29))
def test_exit_stays_within_its_slippage_however_often_it_tries(way: int, cents: list[int]) -> None:
    touches = [100 * cent for cent in cents]
    worst = touches[0] - way * 500
    for limit in leaving(way, touches):
        assert limit >= min(worst, 9_900) if way > 0 else limit <= max(worst, 100)


def test_exit_follows_a_market_that_gets_better() -> None:
    assert leaving(1, [5_000, 6_000, 4_000]) == [4_500, 5_500, 4_500]
    assert leaving(-1, [5_000, 4_000, 6_000]) == [5_500, 4_500, 5_500]


def test_exit_never_rounds_its_limit_past_the_slippage() -> None:
    assert leaving(1, [5_030], tick=100) == [4_530]


def test_exit_of_what_is_worth_more_than_one_keeps_its_limit() -> None:
    assert leaving(1, [60_000 * 10_000], kind=Kind.SPOT) == [60_000 * 10_000 - 500]


def test_exit_goes_on_after_a_start_when_the_market_is_heard_again() -> None:
    seat = holding(1)
    desk = desk_of(seat)
    desk.executor.recovering, desk.executor.zero = True, object()
    restored(seat, BotSnapshot(state=S.STOPPING, inventory=InventoryPolicy.EXIT))
    seat.watch(1 * SECOND)
    desk.executor.recovering = False
    seat.watch(60 * SECOND)  # the account is ready before the feed has listed anything
    assert seat.bot.state is S.STOPPING
    desk.views[M1] = view(5_000)
    seat.watch(62 * SECOND)
    assert [wish.limit_price for wish in desk.wishes] == [4_500]


def test_exit_of_what_nobody_lists_any_more_ends_all_the_same() -> None:
    seat = holding(1)
    desk_of(seat).executor.zero = object()
    restored(seat, BotSnapshot(state=S.STOPPING, inventory=InventoryPolicy.WORK_OUT))
    for second in range(1, 35):
        seat.watch(second * SECOND)
    assert seat.bot.state is S.STOPPED
