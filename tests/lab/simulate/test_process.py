from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from engine.lab.simulate.process import Process


def ended(work: Callable[[], Awaitable[object]]) -> list[object]:
    """Run one coroutine in a process whose world stands still; give what it left."""
    process, left = Process(lambda: 1_000_000_000), list[object]()

    async def run() -> None:
        left.append(await work())

    process.call_soon(lambda: process.create_task(run()))
    process.run()
    process.die()
    return left


def test_what_is_given_to_a_thread_ends_by_the_world_alone() -> None:
    assert ended(lambda: asyncio.to_thread(threading.get_ident)) == [threading.get_ident()]


def test_what_fails_in_a_thread_fails_where_it_is_awaited() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def caught() -> str:
        with pytest.raises(ValueError, match="no") as error:
            await asyncio.to_thread(fail)
        return str(error.value)

    assert ended(caught) == ["no"]
