"""What handlers stand on is made with the engine, not with the first command."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.errors import BrokenInvariant
from engine.live.commands import registry
from engine.live.commands.kill import ScopedKills
from tests.live.desk import LiveDesk, Recorder

FOLDER = Path(registry.__file__).parent


def run(home: Path, test: Callable[[LiveDesk], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with LiveDesk(home, Recorder()) as desk:
            await test(desk)

    asyncio.run(whole())


def test_kill_of_a_part_is_watched_before_anybody_asks_for_one(tmp_path: Path) -> None:
    """What an earlier life latched is proven anew without a command."""

    async def test(desk: LiveDesk) -> None:
        assert desk.engine.part(ScopedKills).watch in desk.engine.watchers

    run(tmp_path, test)


def test_every_class_a_handler_asks_for_is_made_with_the_engine(tmp_path: Path) -> None:
    asked = {
        name
        for file in FOLDER.glob("*.py")
        for name in re.findall(r"engine\.part\(([A-Z]\w+)\)", file.read_text(encoding="utf-8"))
    }

    async def test(desk: LiveDesk) -> None:
        made = desk.engine._parts
        assert asked <= {one.__name__ for one in made}, "others only watch"
        for one in registry.parts():
            assert isinstance(desk.engine.part(one), one)

    run(tmp_path, test)


def test_class_that_was_not_made_at_the_start_is_refused(tmp_path: Path) -> None:
    async def test(desk: LiveDesk) -> None:
        with pytest.raises(BrokenInvariant, match="is no @part"):
            desk.engine.part(lambda _: None)

    run(tmp_path, test)
