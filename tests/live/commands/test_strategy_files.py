"""A strategy's file is taken while the engine runs; what runs keeps what it began with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import plugins
from engine.domain.commands.strategies import UpdateStrategy
from engine.domain.instruments import AccountId, BotId
from engine.domain.settings import BotSettings
from engine.errors import BadInput
from engine.live.commands.strategy_files import StrategyFiles, stamps
from engine.runtime.bot_runner import BotRunner, bot_of
from engine.runtime.kept_sources import keep_sources, kind_then
from engine.strategies.registry import STRATEGIES, build, code_of
from storage.catalog import strategies
from storage.commands import CommandState
from storage.database import reading
from storage.users import ENGINE_ID
from tests.live.desk import LiveDesk

SOURCE = (
    Path(__file__).resolve().parents[2] / "additions/plugins/toy/strategies/pinger.py"
).read_text(encoding="utf-8")
Write = Callable[..., Path]


def source(*, name: str = "late", below: int = 2) -> str:
    """Return the toy strategy under another name, so many ticks below the middle."""
    text = SOURCE.replace("from ..indicators.middle import middle\n", "")
    text = text.replace("middle(context.view.book)", "context.view.best_bid").replace(
        "at - 2 * instrument", f"at - {below} * instrument"
    )
    return text.replace('"pinger"', f'"{name}"').replace("bids two ticks", f"bids {below} ticks")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a strategy into a folder of plug-ins; what was known before is known afterwards."""
    before = dict(STRATEGIES)
    monkeypatch.setenv("PITBOSS_PLUGINS", str(tmp_path / "mine"))

    def write(text: str, name: str = "late") -> Path:
        file = tmp_path / "mine" / name / "strategies" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    plugins.forget()
    yield write
    STRATEGIES.clear()
    STRATEGIES.update(before)
    monkeypatch.undo()
    plugins.forget()


def said(desk: LiveDesk) -> str:
    return " ".join(one.text for one in desk.engine.notes("plugin").take(1))


def test_a_file_that_comes_is_a_strategy_of_the_catalog_and_its_source_is_kept(
    write: Write, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with LiveDesk(tmp_path / "home") as desk:
            files, config = desk.engine.part(StrategyFiles), desk.engine.config
            before = stamps()
            file = write(source())
            changed = [one for one, at in stamps().items() if before.get(one) != at]
            assert changed == [file]
            assert list(await files.look(changed)) == ["late"]
            made = build("late", {"lots": 7}, BotId("b"))
            assert (config.sources_folder / code_of(made) / "strategies/late.py").is_file()

            def known() -> dict[str, Any]:
                with reading(config.state_path) as connection:
                    return dict(strategies(connection, ENGINE_ID))

            await desk.until(lambda: "late" in known(), "the catalog has it")
            entry = known()["late"]
            assert (entry.author, entry.about) == (
                "late", "Bids the same size wherever both sides of a book stand.",
            )  # fmt: skip
            write(source(below=5))
            assert list(await files.look([file])) == ["late"], "no bot has it: it is taken anew"
            assert code_of(build("late", {}, BotId("b"))) != code_of(made)

    asyncio.run(scenario())


def test_a_file_that_came_while_the_engine_started_is_taken_as_any_other(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.live.commands.strategy_files.LOOK_S", 0.01)

    async def scenario() -> None:
        write(source(name="early"), "early")  # the catalog was loaded before
        async with LiveDesk(tmp_path / "home") as desk:
            following = asyncio.create_task(desk.engine.part(StrategyFiles)._follow())
            for _ in range(500):
                if "early" in STRATEGIES:
                    break
                await asyncio.sleep(0.01)
            following.cancel()
            assert "early" in STRATEGIES

    asyncio.run(scenario())


def test_a_file_that_is_wrong_is_told_with_its_line_and_hurts_no_other(
    write: Write, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with LiveDesk(tmp_path / "home") as desk:
            files = desk.engine.part(StrategyFiles)
            write(
                source(name="dials").replace("from pydantic", "import socket\n\nfrom pydantic", 1),
                "dials",
            )
            write("raise ValueError('half')\n", "half")
            write(source())
            assert list(await files.look([])) == ["late"]
            text = said(desk)
            assert "it imports socket" in text
            assert re.search(r"dials\.py:\d+: it imports", text)
            assert "half.py:1: ValueError: half" in text
            write(source(name="half"), "half")
            assert list(await files.look([])) == ["half"]

    asyncio.run(scenario())


def test_a_changed_file_waits_until_it_is_asked_for_and_what_runs_keeps_what_it_began_with(
    write: Write, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with LiveDesk(tmp_path / "home") as desk:
            files = desk.engine.part(StrategyFiles)
            file = write(source())
            await files.look([file])
            settings = BotSettings(name="b", strategy="late", account="demo", capital=100.0)
            runner: Any = SimpleNamespace(account=AccountId("demo"), core=SimpleNamespace())
            runs = BotRunner(settings, runner)
            desk.engine.bot_runners["b"] = runs
            first = type(runs.bot.strategy)
            write(source(below=5))
            assert await files.look([file]) == {}
            assert "update-strategy strategy=late" in said(desk)
            assert STRATEGIES["late"] is first
            left = await desk.command(UpdateStrategy(strategy="late"))
            assert left.state is CommandState.DONE
            assert "1 bot run what they began with" in left.answer
            assert STRATEGIES["late"] is not first
            assert (type(runs.bot.strategy), runs.outdated) == (first, True)
            fresh = BotRunner(settings, runner)
            assert not fresh.outdated
            assert fresh.bot.code != runs.bot.code
            left = await desk.command(UpdateStrategy(strategy="momentum"))
            assert "no plug-in brings" in left.answer
            file.unlink()
            left = await desk.command(UpdateStrategy(strategy="late"))
            assert "is gone" in left.answer

    asyncio.run(scenario())


def test_what_ran_is_made_again_from_its_kept_source(write: Write, tmp_path: Path) -> None:
    write(source())
    plugins.look_again()
    STRATEGIES.update(_found_late())
    settings = BotSettings(name="b", strategy="late", account="demo", capital=100.0)
    ran = bot_of(settings, AccountId("demo"))
    keep_sources(tmp_path / "kept", plugins.installed())
    assert kind_then(tmp_path / "kept", "late", ran.code) is None, "it is what is known today"
    write(source(below=5))
    STRATEGIES.update(_found_late("late"))
    today = bot_of(settings, AccountId("demo"))
    then = kind_then(tmp_path / "kept", "late", ran.code)
    assert then is not None
    assert (today.code != ran.code, type(today.strategy) is then) == (True, False)
    again = bot_of(settings, AccountId("demo"), then)
    assert type(again.strategy).__doc__ == type(ran.strategy).__doc__
    code = Path(str(then.__module__.replace(".", "/"))).parts[0]
    assert ran.code in code
    assert kind_then(tmp_path / "kept", "late", "") is None
    with pytest.raises(BadInput, match="is not kept"):
        kind_then(tmp_path / "kept", "late", "0" * 12)


def _found_late(plugin: str = "") -> dict[str, Any]:
    from engine.strategies.registry import found_again

    return found_again(plugin)
