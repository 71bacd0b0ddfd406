"""The one reconnecting socket, against servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from engine.feeds import sockets
from engine.feeds.sockets import Socket
from tests.venues.polymarket.market.received import until

Handler = Callable[[ServerConnection], Awaitable[None]]


class Received:
    """A socket and what it said."""

    def __init__(self, url: str, **wiring: object) -> None:
        self.frames: list[bytes] = []
        self.lost: list[str] = []
        self.opened = 0
        self.socket = Socket(
            url,
            now_ns=time.time_ns,
            opened=self._opened,
            received=lambda frame, _at_ns: self.frames.append(frame),
            lost=self.lost.append,
            **wiring,  # type: ignore[arg-type]
        )

    def _opened(self) -> list[str]:
        self.opened += 1
        return ["hello"]


@contextlib.asynccontextmanager
async def talking(handler: Handler, **wiring: object) -> AsyncIterator[Received]:
    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        received = Received(f"ws://127.0.0.1:{port}", **wiring)
        task = asyncio.ensure_future(received.socket.run())
        try:
            yield received
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "STABLE_S", 0.0)
    monkeypatch.setattr(sockets, "PING_EVERY_S", 0.05)


async def echo(ws: ServerConnection) -> None:
    async for text in ws:
        await ws.send("PONG" if text == "PING" else text)


async def test_pings_are_answered_and_no_frames() -> None:
    async with talking(echo, ping="PING") as received:
        await until(lambda: received.socket.pong_ns, "a PONG came")
        assert received.frames == [b"hello"]


async def test_a_closed_connection_is_told_and_opened_again() -> None:
    async def once(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.close(1013, "restart")

    async with talking(once) as received:
        await until(lambda: received.opened >= 3, "it connects again and again")
        assert "1013" in received.lost[0]


async def test_a_silent_connection_is_dropped() -> None:
    async def mute(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async with talking(mute, silence_s_max=0.1) as received:
        await until(lambda: received.lost, "the silence is told")
        assert received.lost[0] == "silent for 0.1 s"


async def test_a_frame_too_large_ends_the_connection_not_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sockets, "FRAME_BYTES_MAX", 100)

    async def large(ws: ServerConnection) -> None:
        await ws.send("x" * 200)
        await ws.wait_closed()

    async with talking(large) as received:
        await until(lambda: len(received.lost) > 1, "told and tried again")
        assert "1009" in received.lost[0]
        assert received.frames == []


async def test_an_address_where_nobody_listens_is_told() -> None:
    received = Received("ws://127.0.0.1:9")
    task = asyncio.ensure_future(received.socket.run())
    await until(lambda: received.lost, "the refusal is told")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert received.lost[0].startswith("cannot connect to ws://127.0.0.1:9")


async def test_a_full_outbox_drops_the_connection_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "OUTBOX_MAX", 2)
    async with talking(echo) as received:
        await until(lambda: received.frames, "connected")
        for _ in range(5):
            received.socket.send("more")
        await until(lambda: received.lost, "told")
        assert received.lost[0] == "more than 2 texts wait to be sent"
