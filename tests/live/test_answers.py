"""Commands on a house in this process: journaled, handled, and answered after the commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.bots import BotState
from engine.domain.commands import AckAlert, Kill, ReleaseLatch, StartBot, StopBot, SyncMarkets
from engine.domain.instruments import BotId, Mode
from engine.domain.settings import BotSettings
from engine.errors import BadInput, StorageError
from engine.live.commands import alerts, bots
from engine.live.commands.registry import AT_ONCE, ENDING, WAITING_MAX, Done, Handler, handlers
from engine.runtime.bot_runner import BotRunner, BotSnapshot, apply_record
from storage.commands import OVERTAKEN, CommandState, LeftCommand
from tests.live.desk import LiveDesk, Recorder

DONE, REFUSED, FAILED = CommandState.DONE, CommandState.REFUSED, CommandState.FAILED
BOT = BotId("maker")
FULL = StorageError("the journal's queue is full")


def run(home: Path, test: Callable[[LiveDesk, Recorder], Awaitable[None]]) -> None:
    async def whole() -> None:
        recorder = Recorder()
        async with LiveDesk(home, recorder) as desk:
            await test(desk, recorder)
            assert desk.ended is None

    asyncio.run(whole())


def test_a_command_stands_in_the_journal_before_it_is_handled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[Any]] = []
    recorders: list[Recorder] = []

    def handle(_engine: object, _command: object, _who: str) -> Done:
        found.append(list(recorders[0].kept))
        return Done("so")

    monkeypatch.setitem(handlers(), SyncMarkets, Handler(handle))

    async def test(desk: LiveDesk, recorder: Recorder) -> None:
        recorders.append(recorder)
        await desk.command(SyncMarkets(venue="demo"))
        assert found == [[SyncMarkets(venue="demo")]]

    run(tmp_path, test)


def test_no_answer_is_handed_out_before_the_journal_is_on_the_disk(tmp_path: Path) -> None:
    async def test(desk: LiveDesk, recorder: Recorder) -> None:
        recorder.waits = []
        name = desk.leave(AckAlert(alert=7))
        await desk.until(lambda: recorder.waits, "its commit is waited for")
        after = desk.leave(AckAlert(alert=8))
        await desk.until(lambda: len(recorder.waits or ()) == 2, "the next one is handled")
        assert [desk.find(one).state for one in (name, after)] == [CommandState.CLAIMED] * 2
        recorder.waits[0].set_result(1)
        assert (await desk.answered(name)).answer == "no such alert"
        assert desk.find(after).state is CommandState.CLAIMED
        recorder.waits[1].set_result(2)
        await desk.answered(after)

    run(tmp_path, test)


def test_an_answer_beside_a_journal_that_refuses_says_so(tmp_path: Path) -> None:
    async def test(desk: LiveDesk, recorder: Recorder) -> None:
        recorder.waits = []
        name = desk.leave(Kill())
        await desk.until(lambda: recorder.waits, "the receipt waits for the commit")
        assert desk.engine.killed.is_set()
        recorder.waits[0].set_exception(StorageError("the disk is full"))
        told = await desk.answered(name)
        assert told.state is DONE
        assert told.answer.startswith("PROVEN")
        assert told.answer.endswith("(not in the journal yet: the disk is full)")

    run(tmp_path, test)


def test_a_journal_that_is_full_refuses_commands_but_never_a_kill(tmp_path: Path) -> None:
    async def test(desk: LiveDesk, recorder: Recorder) -> None:
        recorder.full = FULL
        refused = await desk.command(ReleaseLatch(reason="x"))
        assert (refused.state, refused.answer) == (FAILED, f"nothing was done: {FULL}")
        killed = await desk.command(Kill())
        assert killed.state is DONE
        assert desk.engine.killed.is_set()
        recorder.full = None
        desk.engine.journal_waiting()
        assert recorder.kept == [Kill()]

    run(tmp_path, test)


def test_a_start_that_is_refused_is_no_start_after_a_crash(tmp_path: Path) -> None:
    async def test(desk: LiveDesk, recorder: Recorder) -> None:
        bot = SimpleNamespace(name=BOT, state=BotState.STOPPED)
        executor = SimpleNamespace(latched=True, holds=())
        runner = SimpleNamespace(core=SimpleNamespace(executor=executor))
        # No strategy is needed to be refused: only where the bot stands, and who holds it.
        one = BotRunner.__new__(BotRunner)
        one.bot, one.runner = cast("Any", bot), cast("Any", runner)
        desk.engine.bot_runners[BOT] = one
        refused = await desk.command(StartBot(bot=BOT))
        assert (refused.state, "latch is set" in refused.answer) == (REFUSED, True)
        kept = {str(BOT): BotSnapshot(state=BotState.STOPPED)}
        for record in recorder.kept:
            apply_record(kept, record)
        assert kept[BOT].state is BotState.STOPPED

    run(tmp_path, test)


def test_a_start_that_lost_what_the_bot_had_learned_says_so_and_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BotSettings(name=BOT, strategy="market_maker", account="demo", capital=100.0)
    monkeypatch.setattr(bots, "start_refusal", lambda *_: "")

    async def test(desk: LiveDesk, _: Recorder) -> None:
        executor = SimpleNamespace(latched=False, holds=(), mode=Mode.DEMO)
        core = SimpleNamespace(executor=executor, receive=lambda *_: None)
        one = BotRunner(settings, cast("Any", SimpleNamespace(core=core, account="demo")))
        one.bot.state, one.bot.kept = BotState.ERROR, b"torn"
        desk.engine.bot_runners[BOT] = one
        told = await desk.command(StartBot(bot=BOT))
        assert told.state is DONE
        assert f"; bot {BOT} starts learning from scratch: " in told.answer
        del desk.engine.bot_runners[BOT]
        alerts = "SELECT kind, bot FROM alerts"
        await desk.until(lambda: desk.rows(alerts) == [("learning", BOT)], "an alert tells it")

    run(tmp_path, test)


def test_a_row_somebody_changed_before_its_answer_is_told_and_stops_nothing(tmp_path: Path) -> None:
    async def test(desk: LiveDesk, recorder: Recorder) -> None:
        recorder.waits = []
        name = desk.leave(AckAlert(alert=7))
        await desk.until(lambda: recorder.waits, "it is handled")
        desk.execute("UPDATE commands SET state = 'done', answer = 'by hand' WHERE id = ?", (name,))
        recorder.waits[0].set_result(1)
        alerts = "SELECT kind, text FROM alerts"
        await desk.until(lambda: desk.rows(alerts), "an alert tells it")
        ((kind, text),) = desk.rows(alerts)
        assert kind == "row"
        assert f"command {name} is already done" in text
        recorder.waits = None
        assert (await desk.command(AckAlert(alert=8))).answer == "no such alert"

    run(tmp_path, test)


def test_who_asked_for_what_can_never_be_written_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(desk: LiveDesk, _: Recorder) -> None:
        def never(*_: object, **__: object) -> None:
            raise BadInput("it cannot be held")

        monkeypatch.setattr(alerts, "see_alert", never)
        refused = await desk.command(AckAlert(alert=7))
        assert (refused.state, refused.answer) == (REFUSED, "it cannot be held")

    run(tmp_path, test)


def left(number: int, command: Any) -> LeftCommand:
    return LeftCommand(
        id=f"c{number}", command=command, who="ann",
        state=CommandState.CLAIMED, created_ns=number, expires_ns=1 << 60, claimed_ns=1,
        answered_ns=None, answer="",
    )  # fmt: skip


def test_a_flood_of_commands_is_done_a_few_a_turn_and_a_kill_overtakes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work units, not times: no turn does more than `AT_ONCE`, and the KILL waits for none."""
    done: list[tuple[int, str]] = []
    turn = 0

    def handle(_engine: object, command: Any, _who: str) -> Done:
        done.append((turn, type(command).__name__))
        return Done("so")

    for kind in (SyncMarkets, Kill, StopBot):
        makes_safe = kind is not SyncMarkets
        monkeypatch.setitem(handlers(), kind, Handler(handle, makes_safe=makes_safe))

    async def test(desk: LiveDesk, _recorder: Recorder) -> None:
        nonlocal turn
        answered: dict[str, str] = {}
        monkeypatch.setattr(
            type(desk.commands),
            "_answer",
            lambda _, name, given: answered.update({name: given.text}),
        )
        flood = [left(number, SyncMarkets(venue="demo")) for number in range(95)]
        desk.commands.receive([*flood, left(95, StopBot(bot=BOT))])
        assert len(done) == AT_ONCE
        turn += 1
        await asyncio.sleep(0)
        assert len(done) == 2 * AT_ONCE
        desk.commands.receive([left(96, Kill())])
        assert (turn, "Kill") in done
        for _ in range(9):
            turn += 1
            await asyncio.sleep(0)
        assert [kind for _, kind in done].count("SyncMarkets") == 2 * AT_ONCE
        assert [kind for _, kind in done][-2:] == ["Kill", "StopBot"]
        assert list(answered.values()).count(OVERTAKEN) == 95 - 2 * AT_ONCE
        assert max(Counter(when for when, _ in done).values()) <= AT_ONCE + 1

    run(tmp_path, test)


def test_no_more_is_claimed_while_many_wait(tmp_path: Path) -> None:
    async def test(desk: LiveDesk, _recorder: Recorder) -> None:
        assert desk.commands.has_room
        desk.commands._left.extend(
            left(number, SyncMarkets(venue="demo")) for number in range(WAITING_MAX)
        )
        assert not desk.commands.has_room
        desk.commands._left.clear()

    run(tmp_path, test)


def test_an_engine_that_ends_takes_only_what_makes_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account opened then would trade, and no proof and no sweep of the end would know it."""
    done: list[str] = []

    def handle(_engine: object, command: Any, _who: str) -> Done:
        done.append(type(command).__name__)
        return Done("so")

    monkeypatch.setitem(handlers(), SyncMarkets, Handler(handle))
    monkeypatch.setitem(handlers(), StopBot, Handler(handle, makes_safe=True))

    async def test(desk: LiveDesk, recorder: Recorder) -> None:
        engine = desk.commands._engine
        monkeypatch.setattr(engine, "ended", asyncio.get_running_loop().create_future())
        engine.ended.set_result(None)
        answered: dict[str, str] = {}
        monkeypatch.setattr(
            type(desk.commands),
            "_answer",
            lambda _, name, given: answered.update({name: given.text}),
        )
        kept = len(recorder.kept)
        asked = [left(1, SyncMarkets(venue="demo")), left(2, StopBot(bot=BOT))]
        desk.commands.receive(asked)
        assert done == ["StopBot"]
        assert answered[asked[0].id] == ENDING
        assert SyncMarkets(venue="demo") not in recorder.kept[kept:]

    run(tmp_path, test)
