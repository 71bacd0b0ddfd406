"""Bots at a live desk: moved by the table, watched until it is true, restored by the journal."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bots import TRANSITIONS, BotHappened, BotState
from engine.domain.commands import InventoryPolicy, PauseBot, ResumeBot, StartBot, StopBot
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import LatchSet
from engine.domain.inputs import BotReattached
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.domain.settings import BotSettings
from engine.errors import InvalidTransition
from engine.runtime.bot_runner import (
    BotRunner,
    BotSnapshot,
    apply_record,
    bot_of,
    renew,
    restored,
)

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

    def proven(self, _bot: BotId) -> object:
        return self.zero

    def owned(self, key: InstrumentId, _owner: BotId) -> Any:
        return self.held[key]


class Desk:
    def __init__(self) -> None:
        self.executor = Executor()
        self.withdrawn = self.roused = self.seated = 0
        self.cache = self
        self.views: dict[Any, Any] = {}
        self.intents: list[Target] = []
        self.given: list[Any] = []

    def set_target(self, target: Target, _now_ns: int) -> None:
        self.intents.append(target)

    def withdraw(self, _bot: object, _now_ns: int) -> None:
        self.withdrawn += 1

    def reevaluate(self, _bot: object, _now_ns: int) -> None:
        self.roused += 1

    def receive(self, given: object, _now_ns: int) -> None:
        self.seated += isinstance(given, BotReattached)
        self.given.append(given)

    def attach(self, _bot: object, _now_ns: int) -> None:
        self.seated += 1


class FakeRunner:
    account = AccountId("demo")

    def __init__(self) -> None:
        self.core = Desk()


@pytest.fixture
def bot_runner() -> BotRunner:
    settings = BotSettings(name=BOT, strategy="market_maker", account="demo", capital=100.0)
    return BotRunner(settings, FakeRunner())  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "happened"), list(product(S, BotHappened)))
def test_a_pair_moves_or_raises(
    bot_runner: BotRunner, state: BotState, happened: BotHappened
) -> None:
    bot_runner.bot.state = state
    if bot_runner.may(happened):
        bot_runner.happen(happened)
        assert bot_runner.bot.state is TRANSITIONS[state, happened]
    else:
        with pytest.raises(InvalidTransition, match=f"{state} cannot take {happened}"):
            bot_runner.happen(happened)


def desk_of(bot_runner: BotRunner) -> Any:
    return bot_runner.runner.core


def test_a_start_after_an_error_has_a_new_strategy_that_knows_what_was_kept(
    bot_runner: BotRunner,
) -> None:
    bot, desk = bot_runner.bot, desk_of(bot_runner)
    bot.kept = learned = bot.strategy.state()
    failed = bot.strategy
    bot.state, bot.error = S.ERROR, "ValueError: half of a change"
    bot_runner.start(1)
    assert bot.strategy is not failed
    assert type(bot.strategy) is type(failed)
    assert (desk.given[-1].learned, bot.kept, bot.strategy.state()) == (learned, learned, learned)


def test_a_start_after_an_error_leaves_out_what_cannot_be_read(bot_runner: BotRunner) -> None:
    bot = bot_runner.bot
    fresh = bot.strategy.state()
    bot.kept, bot.state = b"[", S.ERROR
    bot_runner.start(1)
    assert (bot.kept, bot.strategy.state()) == (b"", fresh)
    assert desk_of(bot_runner).given[-1].learned == b""


def test_bot_runs_when_its_account_is_reconciled(bot_runner: BotRunner) -> None:
    desk_of(bot_runner).executor.recovering = True
    bot_runner.start(1)
    bot_runner.watch(2)
    assert bot_runner.bot.state is S.STARTING
    desk_of(bot_runner).executor.recovering = False
    bot_runner.watch(3)
    assert bot_runner.bot.state is S.RUNNING
    assert desk_of(bot_runner).roused == 1


def test_paused_is_said_when_it_is_proven(bot_runner: BotRunner) -> None:
    answers: list[tuple[bool, str]] = []
    bot_runner.start(1)
    bot_runner.watch(2)
    bot_runner.waiting.append(lambda done, text: answers.append((done, text)))
    bot_runner.pause(3)
    bot_runner.watch(4)
    assert (bot_runner.bot.state, answers, desk_of(bot_runner).withdrawn) == (S.PAUSING, [], 1)
    desk_of(bot_runner).executor.zero = object()
    bot_runner.watch(5)
    assert bot_runner.bot.state is S.PAUSED
    assert answers == [(True, "paused; proven: none of its orders is open")]
    bot_runner.start(6)
    assert bot_runner.bot.state is S.STARTING


def test_stopped_is_said_when_it_is_proven(bot_runner: BotRunner) -> None:
    bot_runner.start(1)
    bot_runner.stop(InventoryPolicy.EXIT, 2)
    bot_runner.watch(3)  # nothing is held: nothing to exit
    bot_runner.watch(4)
    assert bot_runner.bot.state is S.STOPPING
    desk_of(bot_runner).executor.zero = object()
    bot_runner.watch(5)
    assert bot_runner.bot.state is S.STOPPED
    with pytest.raises(InvalidTransition):
        bot_runner.pause(6)


def test_risk_stops_a_bot_and_lifts_it(bot_runner: BotRunner) -> None:
    bot_runner.start(1)
    bot_runner.watch(2)
    desk_of(bot_runner).executor.stopped = "daily_loss"
    bot_runner.watch(3)
    assert bot_runner.bot.state is S.RISK_STOPPED
    desk_of(bot_runner).executor.stopped = None
    bot_runner.watch(4)
    bot_runner.watch(5)
    assert bot_runner.bot.state is S.RUNNING


def test_failed_bot_answers_who_waits_and_can_be_started_again(bot_runner: BotRunner) -> None:
    answers: list[bool] = []
    bot_runner.start(1)
    bot_runner.watch(2)
    bot_runner.bot.fail(ValueError("x"))
    bot_runner.waiting.append(lambda done, _: answers.append(done))
    bot_runner.watch(3)
    assert answers == [False]
    bot_runner.start(4)
    assert (bot_runner.bot.state, bot_runner.bot.error, desk_of(bot_runner).seated) == (
        S.STARTING,
        "",
        1,
    )


def test_a_strategy_that_raises_when_it_is_restored_starts_from_scratch(
    bot_runner: BotRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaves(state: bytes) -> None:
        raise SystemExit(len(state))

    monkeypatch.setattr(bot_runner.bot.strategy, "restore", leaves)
    note = restored(bot_runner, BotSnapshot(state=S.RUNNING, strategy=b"kept"))
    assert note == f"bot {BOT} starts learning from scratch: SystemExit: 4"
    assert bot_runner.bot.state is S.STARTING


def test_a_start_after_an_error_says_what_learning_could_not_be_read(
    bot_runner: BotRunner,
) -> None:
    bot, desk = bot_runner.bot, desk_of(bot_runner)
    bot.kept, bot.state = b"torn", S.ERROR
    said = bot_runner.start(1)
    assert said.startswith(f"bot {BOT} starts learning from scratch: ")
    assert (bot.kept, desk.given[-1].learned) == (b"", b""), "a replay gives it the same"
    bot.state = S.ERROR
    assert bot_runner.start(2) == "", "it is said once"


def test_restored_bot_is_as_it_was_kept(bot_runner: BotRunner) -> None:
    for before, after in ((S.RUNNING, S.STARTING), (S.RISK_STOPPED, S.STARTING), (S.PAUSED,) * 2):
        assert not restored(
            bot_runner, BotSnapshot(state=before, strategy=bot_runner.bot.strategy.state())
        )
        assert bot_runner.bot.state is after
    assert "starts learning from scratch" in restored(
        bot_runner, BotSnapshot(state=S.STOPPED, strategy=b"torn")
    )
    assert bot_runner.bot.state is S.STOPPED


def test_a_bot_that_kill_paused_is_one_until_anything_else_is_asked_of_it() -> None:
    kept: dict[str, BotSnapshot] = {}
    latch = LatchSet(who="me", reason="KILL")
    others = (StartBot(bot=BOT), ResumeBot(bot=BOT), PauseBot(bot=BOT), StopBot(bot=BOT))
    for asked in others:
        apply_record(kept, StartBot(bot=BOT))
        apply_record(kept, latch)
        assert kept[BOT].killed
        apply_record(kept, asked)
        assert not kept[BOT].killed
    apply_record(kept, latch)
    assert not kept[BOT].killed  # it was stopped by then: the KILL paused nothing


def test_journal_says_what_became_of_a_bot() -> None:
    kept: dict[str, BotSnapshot] = {}
    apply_record(kept, StartBot(bot=BOT))
    assert kept[BOT].state is S.STARTING
    apply_record(kept, PauseBot(bot=BOT))
    assert kept[BOT].state is S.PAUSING
    apply_record(kept, ResumeBot(bot=BOT))
    apply_record(kept, LatchSet(who="me", reason="KILL"))
    assert kept[BOT].state is S.PAUSING
    apply_record(kept, StopBot(bot=BOT, inventory=InventoryPolicy.EXIT))
    assert (kept[BOT].state, kept[BOT].inventory) == (S.STOPPING, InventoryPolicy.EXIT)
    alert = RaiseAlert(severity=Severity.CRITICAL, kind="bot_error", text="it raised", bot=BOT)
    apply_record(kept, alert)
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
    bot_runner = BotRunner(settings, FakeRunner())  # type: ignore[arg-type]
    executor = desk_of(bot_runner).executor
    executor.held[M1] = SimpleNamespace(position=position)
    executor.state.instruments[M1] = view(1).instrument
    return bot_runner


def leaving(
    position: int, touches: list[int], *, kind: Kind = Kind.BINARY, tick: int = 100
) -> list[int]:
    """Return at which limits an EXIT with a cap of 0.05 sells while the touch goes this way."""
    bot_runner = holding(position)
    desk = desk_of(bot_runner)
    bot_runner.start(1)
    bot_runner.stop(InventoryPolicy.EXIT, 2)
    for second, touch in enumerate(touches, 1):
        desk.views[M1] = view(touch, kind=kind, tick=tick)
        bot_runner.watch(second * SECOND)
    return [intent.limit_price for intent in desk.intents]


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


def test_exit_goes_on_after_a_start_when_the_market_is_received_again() -> None:
    bot_runner = holding(1)
    desk = desk_of(bot_runner)
    desk.executor.recovering, desk.executor.zero = True, object()
    restored(bot_runner, BotSnapshot(state=S.STOPPING, inventory=InventoryPolicy.EXIT))
    bot_runner.watch(1 * SECOND)
    desk.executor.recovering = False
    bot_runner.watch(60 * SECOND)  # the account is ready before the feed has listed anything
    assert bot_runner.bot.state is S.STOPPING
    desk.views[M1] = view(5_000)
    bot_runner.watch(62 * SECOND)
    assert [intent.limit_price for intent in desk.intents] == [4_500]


def test_exit_of_what_nobody_lists_any_more_ends_all_the_same() -> None:
    bot_runner = holding(1)
    desk_of(bot_runner).executor.zero = object()
    restored(bot_runner, BotSnapshot(state=S.STOPPING, inventory=InventoryPolicy.WORK_OUT))
    for second in range(1, 35):
        bot_runner.watch(second * SECOND)
    assert bot_runner.bot.state is S.STOPPED


def test_a_bot_that_is_made_anew_takes_what_its_strategy_declares_by_then() -> None:
    before = BotSettings(
        name="b", strategy="momentum", account="demo", capital=100.0, parameters={"bars": "1h"}
    )
    bot = bot_of(before, AccountId("demo"))
    after = before.model_copy(update={"parameters": {"bars": "5m"}})
    bot.given = after.model_dump_json().encode()
    renew(bot, b"")
    assert bot.reads == bot_of(after, AccountId("demo")).reads
    assert set(bot.reads.bars) == {"5m"}
