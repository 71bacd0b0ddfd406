"""A connection that is given up closes its descriptor once, whoever has the number by then."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession

from engine.runtime.loop import OneCloseLoop, run

TURNS = 4
"""Steps of the loop from the hand-over of a socket to a connection that is made."""


async def given_up(address: tuple[str, int], turns: int) -> socket.socket:
    """Hand a socket over, and give up after some steps of the loop; return it."""
    sock = socket.create_connection(address)
    made = asyncio.ensure_future(
        asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)
    )
    for _ in range(turns):
        await asyncio.sleep(0)
    made.cancel()
    try:
        transport, _ = await made
    except asyncio.CancelledError:
        return sock
    transport.close()
    return sock


class GivesUp(OneCloseLoop):
    """A loop whose one request is cancelled as soon as its connection was handed over."""

    asks: asyncio.Future[None]

    def __init__(self) -> None:
        self.handed = list[socket.socket]()

    async def create_connection(self, *args: object, **given: object):  # type: ignore[no-untyped-def,override]
        sock = given["sock"]
        assert isinstance(sock, socket.socket)
        self.handed.append(sock)
        self.call_soon(self.asks.cancel)
        return await super().create_connection(*args, **given)


async def listening() -> asyncio.Server:
    return await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)


@pytest.mark.parametrize("turns", range(1, TURNS))
def test_a_file_opened_behind_a_connection_given_up_stays_open(tmp_path: Path, turns: int) -> None:
    async def story() -> None:
        async with await listening() as server:
            kept = [await given_up(server.sockets[0].getsockname(), turns)]
            files = [(tmp_path / f"{n}").open("wb") for n in range(8)]
            await asyncio.sleep(0.01)
            kept.clear()  # as a traceback that refers to itself does, when it is collected
            gc.collect()
            for file in files:
                assert os.fstat(file.fileno()).st_size == 0
                file.close()

    run(story())


def test_a_socket_that_was_handed_over_is_the_loop_s_alone() -> None:
    async def story() -> None:
        async with await listening() as server:
            sock = socket.create_connection(server.sockets[0].getsockname())
            loop = asyncio.get_running_loop()
            assert type(loop) is OneCloseLoop
            made = asyncio.ensure_future(loop.create_connection(asyncio.Protocol, sock=sock))
            await asyncio.sleep(0)
            made.cancel()
            with pytest.raises(asyncio.CancelledError):
                await made
            assert sock.fileno() == -1

    run(story())


def test_a_request_given_up_while_its_connection_is_handed_over_closes_it_once() -> None:
    """As a venue's client does when its time is over: aiohttp never closes what it handed over."""
    handed = list[socket.socket]()

    async def once(address: str) -> None:
        async with ClientSession() as session, session.get(address):
            pass

    async def story() -> None:
        async with await listening() as server:
            host, port = server.sockets[0].getsockname()
            loop = asyncio.get_running_loop()
            assert isinstance(loop, GivesUp)
            loop.asks = asyncio.ensure_future(once(f"http://{host}:{port}"))
            await asyncio.gather(loop.asks, return_exceptions=True)
            assert loop.asks.cancelled()
            handed.extend(loop.handed)

    with asyncio.Runner(loop_factory=GivesUp) as runner:
        runner.run(story())
    assert [sock.fileno() for sock in handed] == [-1]
