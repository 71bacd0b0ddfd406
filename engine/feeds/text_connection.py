"""A connection of `websockets` that cuts plain text messages out of the bytes by itself.

The library parses each frame in Python generators and wakes a task for each message: 20 µs of a
core, where the rest of a frame's way takes 15. A server's whole, unmasked and uncompressed text
frame (the byte 0x81, RFC 6455 §5.2) needs nothing of that. Everything else goes to the library's
own parser, frame by frame: handshake, fragments, control frames, closing, and what is illegal.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

TEXT = 0x81
"""The first byte of a whole text frame without extensions."""

LENGTH_2, LENGTH_8, MASKED = 126, 127, 128
MESSAGES_MAX = 8_192
"""Messages that wait to be taken; with more the bytes wait in TCP."""

_HEAD_END = b"\r\n\r\n"


class TextConnection(ClientConnection):
    """Await `arrival`, then take from `messages` what is there, and say so with `taken`.

    Do not call `recv`: nothing arrives there.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.messages: deque[bytes] = deque()
        self.marks: deque[tuple[int, int]] = deque()
        """(messages that had come by then, when in ns of the monotonic clock) for each read."""
        self._took = 0
        self._head = b""
        self._open = False
        """The handshake is over: what comes are frames."""
        self._foreign = False
        """Whatever comes is the library's to judge: the connection is closing."""
        self._rest = b""
        self._parts: list[bytes] = []
        self._fragments = False
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    # -- the reader's side -------------------------------------------------------------------------

    async def arrival(self) -> None:
        """Wait until there are messages. Raises ConnectionClosed when there will be no more."""
        while not self.messages:
            if self.connection_lost_waiter.done():
                raise self.protocol.close_exc from self.recv_exc
            self._waiter = self.loop.create_future()
            await self._waiter

    def taken(self, count: int) -> int | None:
        """Know that messages were taken; give when the first of them came (monotonic ns)."""
        marks = self.marks
        first_ns = marks[0][1] if marks else None
        self._took += count
        while marks and marks[0][0] <= self._took:
            marks.popleft()
        if self._paused and len(self.messages) < MESSAGES_MAX // 2:
            self._paused = False
            self.transport.resume_reading()
        return first_ns

    # -- the transport's side ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes of the socket."""
        if self._foreign:
            super().data_received(data)
        elif self._open:
            self._cut(self._rest + data if self._rest else data)
        else:
            self._shake(data)
        if self.messages:
            self._arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        super().connection_lost(exc)
        self._wake()

    def process_event(self, event: Event) -> None:
        """Take what the library parsed: the fragments of a message are put together here."""
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode in DATA_OPCODES:
            self._parts.append(bytes(event.data))
            self._fragments = not event.fin
            if event.fin:
                self.messages.append(b"".join(self._parts))
                self._parts.clear()
        else:
            super().process_event(event)

    def _shake(self, data: bytes) -> None:
        """Give the library the answer to the handshake; frames may follow it at once."""
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            super().data_received(data)
            return
        end += len(_HEAD_END)
        before = len(self._head) - len(data)
        rest, self._head = self._head[end:], b""
        super().data_received(data[: end - before])
        self._open = self.protocol.state is State.OPEN
        self._foreign = not self._open
        if rest:
            self.data_received(rest)

    def _cut(self, data: bytes) -> None:
        """Cut frames off; the beginning of one that is not whole yet stays in `_rest`."""
        at, size = 0, len(data)
        messages, size_max = self.messages, self.protocol.max_size or size
        while size - at >= 2:
            begin, length = at + 2, data[at + 1]
            if length >= LENGTH_2:
                begin += 2 if length == LENGTH_2 else 8
                if length < MASKED:
                    if begin > size:
                        break
                    length = int.from_bytes(data[at + 2 : begin], "big")
            if length > size_max or data[at + 1] >= MASKED:
                self._foreign = True  # illegal: the library says so to the other side
                super().data_received(data[at:])
                return
            end = begin + length
            if end > size:
                break
            if data[at] == TEXT and not self._fragments:
                messages.append(data[begin:end])
            else:
                super().data_received(data[at:end])
                if self.protocol.state is not State.OPEN:
                    self._foreign, self._rest = True, b""
                    if end < size:
                        super().data_received(data[end:])
                    return
            at = end
        self._rest = data[at:]

    def _arrived(self) -> None:
        """Note when it came, wake the reader, and stop reading where he is far behind."""
        came = self._took + len(self.messages)
        if not self.marks or self.marks[-1][0] < came:
            self.marks.append((came, time.monotonic_ns()))
        if len(self.messages) > MESSAGES_MAX and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
