"""What is observed reaches the bots that listen, once each, and the recordings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.commands.signals import Observe
from engine.domain.events import Event
from engine.domain.observed_events import Observed
from engine.errors import BadInput
from engine.live.commands.observations import LOOK_NS, ObservedDoors
from engine.live.commands.recordings import Recordings
from storage.commands import CommandState
from storage.phases import RUNNING
from tests.live.desk import LiveDesk


class Runner:
    """An account that notes what it receives."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.got: list[Event] = []

    def market(self, events: tuple[Event, ...], now_ns: int) -> None:
        assert all(event.at_ns <= now_ns for event in events if isinstance(event, Observed))
        self.got += events


def listen(engine: Any, bot: str, runner: Runner, *keys: str) -> None:
    engine.runners[runner.account] = runner
    engine.bot_runners[bot] = SimpleNamespace(bot=SimpleNamespace(observes=keys), runner=runner)


def test_each_account_receives_what_its_bots_declare_and_recordings_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LiveDesk(tmp_path / "home") as desk:
            engine, one, two = desk.engine, Runner("one"), Runner("two")
            recording = Runner("recording")
            engine.part(Recordings)._running["r"] = recording  # type: ignore[assignment]
            listen(engine, "first", one, "signal:eth")
            listen(engine, "second", one, "signal:eth", "poll:senate")
            listen(engine, "third", two, "poll:senate")
            left = await desk.command(Observe(key="signal:eth", value="buy", trust=0.5))
            assert (left.state, left.answer) == (
                CommandState.DONE, "signal:eth was received: handed to first, second",
            )  # fmt: skip
            left = await desk.command(Observe(key="poll:house", value=0.5))
            assert left.answer == "poll:house was received: no bot listens to it"
            assert [(e.key, e.source) for e in one.got] == [("signal:eth", "test")]  # type: ignore[attr-defined]
            assert two.got == []
            assert len(recording.got) == 2

    asyncio.run(scenario())


def test_a_bot_that_listens_later_is_given_the_last_one_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LiveDesk(tmp_path / "home") as desk:
            engine, late = desk.engine, Runner("late")
            doors = engine.part(ObservedDoors)
            engine.phase = RUNNING
            for value in (0.4, 0.6):
                await desk.command(Observe(key="poll:senate", value=value))
            listen(engine, "bot", late, "poll:senate")
            for _ in range(3):
                doors.watch(engine.clock.now_ns() + LOOK_NS)
            assert [e.value for e in late.got] == [0.6]  # type: ignore[attr-defined]

    asyncio.run(scenario())


def test_a_line_of_the_file_and_a_post_are_received_and_refused_alike(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LiveDesk(tmp_path / "home") as desk:
            engine, one = desk.engine, Runner("one")
            doors = engine.part(ObservedDoors)
            listen(engine, "bot", one, "a")
            following = asyncio.create_task(doors._follow_file())
            inbox = engine.config.observed_folder / "inbox.jsonl"
            await desk.until(inbox.parent.is_dir, "the folder is there")
            inbox.write_text('{"key": "a", "value": 1}\nnonsense\n', encoding="utf-8")
            await desk.until(lambda: one.got, "the line is received")
            assert doors._posted(b'{"key": "a", "value": 2}') == {"received": "a", "bots": ["bot"]}
            with pytest.raises(BadInput, match="in the future"):
                doors._posted(b'{"key": "a", "value": 2, "at": 9000000000}')
            following.cancel()
            got = [(e.value, e.source) for e in one.got]  # type: ignore[attr-defined]
            assert got == [(1.0, "inbox.jsonl"), (2.0, "webhook")]
            notes = engine.notes("observed").take(1)
            assert len(notes) == 1
            assert "a line of inbox.jsonl was refused: not an observation" in notes[0].text

    asyncio.run(scenario())
