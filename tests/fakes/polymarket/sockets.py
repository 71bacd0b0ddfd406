"""What both channels share: one writer per socket, PING and PONG, faults, closing of strangers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from tests.fakes.polymarket.settings import MS
from tests.fakes.polymarket.venue import Venue

QUEUE_MAX = 200_000
"""Frames waiting for one slow reader; more close its socket, as the venue would."""


class Socket:
    """One connection: what is said waits in a queue until the writer sends it."""

    def __init__(self, venue: Venue, channel: str) -> None:
        self.venue = venue
        self.channel = channel
        self.ws = web.WebSocketResponse(max_msg_size=4 * 1024 * 1024)
        self.ready = asyncio.Event()
        """Set once it has subscribed."""
        self._queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue(QUEUE_MAX)
        self.sent = 0
        self._transport: asyncio.Transport | None = None

    def put(self, text: str, event: str = "", delay_ms: float = 0.0) -> None:
        """Send a text, later and in order. Data frames meet the faults; a PONG does not."""
        now_ns = self.venue.exchange.now_ns
        if event:
            struck = self.venue.faults.strike(
                ("ws_freeze", "ws_drop"), self.channel, now_ns, event=event
            )
            if struck is not None:
                return
            self.venue.journal.append({"at_ns": now_ns, "out": self.channel, "text": text})
        due = asyncio.get_running_loop().time() + delay_ms / 1_000
        try:
            self._queue.put_nowait((int(due * 1_000 * MS), text))
        except asyncio.QueueFull:
            self.close(WSCloseCode.TRY_AGAIN_LATER)

    def close(self, code: int = WSCloseCode.OK) -> None:
        """Close, without waiting for it."""
        task = asyncio.ensure_future(self.ws.close(code=code))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    async def run(self, request: web.Request, take: Callable[[Any], None]) -> None:
        """Serve a connection until it ends; `take` gets every JSON frame."""
        self._transport = request.transport
        await self.ws.prepare(request)
        writer = asyncio.ensure_future(self._write())
        watch = asyncio.ensure_future(self._watch())
        try:
            async for message in self.ws:
                if message.type is not WSMsgType.TEXT:
                    continue
                self._journal_in(message.data)
                if message.data == "PING":
                    self.put("PONG")
                    continue
                with contextlib.suppress(msgspec.DecodeError):  # unknown text is ignored
                    take(msgspec.json.decode(message.data))
        finally:
            for task in (writer, watch):
                task.cancel()
            await asyncio.gather(writer, watch, return_exceptions=True)

    def _journal_in(self, text: str) -> None:
        # A user frame carries a secret: only its beginning is kept.
        shown = text if self.channel == "market" else text[:14]
        at_ns = self.venue.exchange.now_ns
        self.venue.journal.append({"at_ns": at_ns, "in": self.channel, "text": shown})

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_ns, text = await self._queue.get()
            wait_s = due_ns / 1e9 - loop.time()
            if wait_s > 0.001:
                await asyncio.sleep(wait_s)
            await self.ws.send_str(text)
            self.sent += 1

    async def _watch(self) -> None:
        """Close whoever does not subscribe."""
        try:
            async with asyncio.timeout(self.venue.settings.idle_close_s):
                await self.ready.wait()
        except TimeoutError:
            await self.ws.close(code=WSCloseCode.POLICY_VIOLATION)
