"""Messages cut from the bytes by hand, against servers that send them in every way there is."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from engine.feeds import sockets
from engine.feeds.sockets import TextConnection

SIZES = (0, 1, 4, 125, 126, 127, 700, 65_535, 65_536, 70_000)


def frame(payload: bytes, opcode: int = Opcode.TEXT, *, fin: bool = True) -> bytes:
    """A server's frame as RFC 6455 writes it."""
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    else:
        length = struct.pack("!BH", 126, size) if size < 65_536 else struct.pack("!BQ", 127, size)
    return bytes((opcode | (0x80 if fin else 0),)) + length + payload


@contextlib.asynccontextmanager
async def connected(
    handler: Callable[[ServerConnection], Awaitable[None]], **options: object
) -> AsyncIterator[TextConnection]:
    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(
            f"ws://127.0.0.1:{port}", compression=None, create_connection=TextConnection, **options
        ) as ws:
            assert isinstance(ws, TextConnection)
            yield ws


async def take(ws: TextConnection, count: int) -> list[bytes]:
    taken: list[bytes] = []
    while len(taken) < count:
        await ws.arrival()
        here = list(ws.messages)
        ws.messages.clear()
        ws.taken(len(here))
        taken += here
    return taken


async def ended(ws: TextConnection) -> tuple[list[bytes], str]:
    """What came until the end, and why it ended."""
    taken: list[bytes] = []
    try:
        while True:
            taken += await take(ws, 1)
    except ConnectionClosed as error:
        return taken, str(error)


@pytest.mark.parametrize("seed", range(3))
async def test_messages_of_any_size_arrive_in_order_however_the_bytes_are_cut(seed: int) -> None:
    rng = Random(seed)
    payloads = [bytes(rng.choices(b"abc", k=rng.choice(SIZES))) for _ in range(40)]
    stream = b"".join(map(frame, payloads))

    async def pieces(ws: ServerConnection) -> None:
        at = 0
        while at < len(stream):
            size = rng.choice((1, 2, 3, 5, 800, 60_000, 200_000))
            ws.transport.write(stream[at : at + size])
            at += size
            await asyncio.sleep(0)
        await ws.wait_closed()

    async with connected(pieces) as ws:
        assert await take(ws, len(payloads)) == payloads
        assert not ws.messages


async def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.utils import accept_key

        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(one for one in asked.splitlines() if one.lower().startswith("sec-websocket-key"))
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key.partition(': ')[2])}\r\n\r\n"
        )
        writer.write(head.encode() + frame(b"first") + frame(b"second")[:4])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(frame(b"second")[4:] + frame(b"", Opcode.CLOSE))
        await reader.read(1)  # its own closing frame
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with connect(f"ws://127.0.0.1:{port}", create_connection=TextConnection) as ws:
        assert isinstance(ws, TextConnection)
        assert (await ended(ws))[0] == [b"first", b"second"]
    server.close()
    await server.wait_closed()


async def test_fragments_are_put_together_and_control_frames_between_them_are_answered() -> None:
    ponged = asyncio.Event()

    async def fragments(ws: ServerConnection) -> None:
        waiter = await ws.ping(b"now")
        ws.transport.write(
            frame(b"one")
            + frame(b"tw", fin=False)
            + frame(b"", Opcode.PONG)
            + frame(b"", Opcode.CONT, fin=False)
            + frame(b"o", Opcode.CONT)
            + frame(b"three", Opcode.BINARY)
        )
        await waiter
        ponged.set()
        await ws.wait_closed()

    async with connected(fragments) as ws:
        assert await take(ws, 3) == [b"one", b"two", b"three"]
        await asyncio.wait_for(ponged.wait(), 150)


async def test_nothing_is_received_after_the_other_side_said_it_closes() -> None:
    async def late(ws: ServerConnection) -> None:
        close = frame(struct.pack("!H", 1001) + b"restart", Opcode.CLOSE)
        ws.transport.write(frame(b"one") + close + frame(b"two"))
        await asyncio.sleep(0.05)
        ws.transport.abort()

    async with connected(late) as ws:
        taken, why = await ended(ws)
        assert (taken, "1001" in why) == ([b"one"], True)


@pytest.mark.parametrize(
    ("bytes_", "code"),
    [
        (b"\x81\x83abcxyz", "1002"),  # masked
        (frame(b"tw", fin=False) + frame(b"x"), "1002"),  # a new message inside another
        (b"\xc1\x01x", "1002"),  # an extension nobody agreed to
        (frame(b"x" * 101), "1009"),
        (frame(b"x" * 60, fin=False) + frame(b"x" * 60, Opcode.CONT), "1009"),
    ],
)
async def test_what_is_illegal_ends_the_connection_by_the_librarys_word(
    bytes_: bytes, code: str
) -> None:
    async def wrong(ws: ServerConnection) -> None:
        ws.transport.write(frame(b"fine") + bytes_ + frame(b"after"))
        await ws.wait_closed()

    async with connected(wrong, max_size=100) as ws:
        taken, why = await ended(ws)
        assert (taken, code in why) == ([b"fine"], True), why


async def test_a_slow_reader_stops_the_sender_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sockets, "MESSAGES_MAX", 10)
    payload = b"x" * 1_000

    async def flood(ws: ServerConnection) -> None:
        for number in range(4_000):
            await ws.send(b"%d %b" % (number, payload), text=True)
        await ws.wait_closed()

    async with connected(flood) as ws:
        seen, most = 0, 0
        while seen < 4_000:
            await ws.arrival()
            most = max(most, len(ws.messages))
            assert ws.messages.popleft().split()[0] == b"%d" % seen
            seen += 1
            ws.taken(1)
            await asyncio.sleep(0)
        assert most < 1_000  # one read of the transport brings some hundreds at most


async def test_it_is_known_when_what_is_taken_came() -> None:
    async def twice(ws: ServerConnection) -> None:
        await ws.send("one")
        await ws.recv()
        await ws.send("two")
        await ws.wait_closed()

    async with connected(twice) as ws:
        await ws.arrival()
        assert len(ws.marks) == 1
        ws.messages.clear()
        first_ns = ws.taken(1)
        await ws.send("go on")
        await ws.arrival()
        ws.messages.clear()
        second_ns = ws.taken(1)
        assert first_ns is not None
        assert second_ns is not None
        assert first_ns < second_ns
        assert not ws.marks
