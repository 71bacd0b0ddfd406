"""Commands on a house in this process: journaled, handled, and answered after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.bots import BotState
from engine.domain.commands import AckAlert, Kill, ReleaseLatch, StartBot, SyncMarkets
from engine.domain.instruments import BotId
from engine.errors import BadInput, StorageError
from engine.live.commands import alerts
from engine.live.commands.registry import Done, Handler, handlers
from engine.runtime.bot_runner import BotRunner, BotSnapshot, apply_record
from storage.commands import CommandState
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
