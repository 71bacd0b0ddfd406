"""Sends frames made beforehand at an even rate, in a process of its own that costs little."""

from __future__ import annotations

import asyncio
import mmap
import time
from array import array
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from websockets.asyncio.server import ServerConnection, serve

from bench.market_frames import OFFSET

STEP_S = 0.001
"""How often what is due is sent."""


def send(path: Path, said: Connection, first: int, rate: int) -> None:
    """Serve the frames of a file: `first` of them at once, the rest at a rate when told to.

    Runs until it is ended from outside: what waits in its buffer belongs to the reader.
    """

    async def run() -> None:
        async def venue(ws: ServerConnection) -> None:
            await ws.recv()
            said.send(await _sent(ws, path, said, first, rate))
            await ws.wait_closed()

        async with serve(venue, "127.0.0.1", 0, compression=None) as server:
            said.send(next(iter(server.sockets)).getsockname()[1])
            await asyncio.Event().wait()

    uvloop.run(run())


async def _sent(
    ws: ServerConnection, path: Path, said: Connection, first: int, rate: int
) -> dict[str, object]:
    """Send everything; return when which frame went, and how much ever waited here."""
    offsets = array(OFFSET)
    offsets.frombytes(path.with_suffix(".offsets").read_bytes())
    loop, backlog = asyncio.get_running_loop(), 0
    steps: list[tuple[int, int]] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as frames:
        ws.transport.write(frames[: offsets[first]])
        while not said.poll():  # noqa: ASYNC110 another process says it
            await asyncio.sleep(0.01)
        said.recv()
        started_s, cpu_s = loop.time(), time.process_time()
        sent, total = first, len(offsets) - 1
        while sent < total:
            due = min(total, first + int((loop.time() - started_s) * rate))
            if due > sent:
                steps.append((due, time.time_ns()))
                ws.transport.write(frames[offsets[sent] : offsets[due]])
                sent = due
                backlog = max(backlog, ws.transport.get_write_buffer_size())
            await asyncio.sleep(STEP_S)
        took_s = loop.time() - started_s
    return {
        "frames": total,
        "first": first,
        "seconds": took_s,
        "steps": steps,
        "backlog": backlog,
        "cpu_s": time.process_time() - cpu_s,
    }
