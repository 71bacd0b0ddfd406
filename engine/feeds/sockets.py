"""One reconnecting WebSocket: whatever feed it carries, its bytes come with their time.

Reconnection is the library's own: `connect` as an iterator, with back-off and jitter. What is read
is bounded by the connection's queue and then by TCP, what is to be sent by `OUTBOX_MAX`. Silence
longer than `silence_s_max` is a broken connection, whatever TCP says: feeds were seen to freeze.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import backoff
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

# -- A connection of `websockets` that cuts plain text messages out of the bytes by itself ---------
# The library parses each frame in Python generators and wakes a task for each message: 20 µs of a
# core, where the rest of a frame's way takes 15. A server's whole, unmasked and uncompressed text
# frame (the byte 0x81, RFC 6455 §5.2) needs nothing of that. Everything else goes to the
# library's own parser, frame by frame: handshake, fragments, control frames, closing, and what is
# illegal.

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
        if self._foreign:
            super().data_received(data)
        elif self._open:
            self._cut(self._rest + data if self._rest else data)
        else:
            self._shake(data)
        if self.messages:
            self._arrived()

    def connection_lost(self, exc: Exception | None) -> None:
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


# -- How long what was received had waited: quantiles of many samples in little room
# ------------------ Sixteen bins for each doubling, so a quantile is right within 6 %.

FINE = 4
"""Bits of a sample that are kept: 2^4 bins for each doubling."""

BINS = (63 - FINE) << FINE


class Lags:
    """Samples in ns since the last `take`. `longest_ns` is exact."""

    __slots__ = ("_bins", "_count", "longest_ns")

    def __init__(self) -> None:
        self._bins = [0] * BINS
        self._count = 0
        self.longest_ns = 0

    def add(self, lag_ns: int, count: int = 1) -> None:
        length = lag_ns.bit_length()
        coarse = length - FINE - 1
        place = (coarse << FINE) + (lag_ns >> coarse) if coarse > 0 else max(0, lag_ns)
        self._bins[min(place, BINS - 1)] += count
        self._count += count
        self.longest_ns = max(self.longest_ns, lag_ns)

    def at(self, share: float) -> int | None:
        """Return a quantile in ns, not more than what was longest; None = no samples."""
        if not self._count:
            return None
        left = share * self._count
        for place, count in enumerate(self._bins):
            left -= count
            if count and left <= 0 and place < BINS - 1:
                return min(_upper(place), self.longest_ns)
        return self.longest_ns

    def take(self) -> dict[str, float | None]:
        """Return p50, p99 and the longest in ms, and begin anew."""
        shares = {"p50_ms": self.at(0.50), "p99_ms": self.at(0.99), "max_ms": self.at(1.0)}
        self._bins = [0] * BINS
        self._count = self.longest_ns = 0
        return {name: None if ns is None else ns / 1e6 for name, ns in shares.items()}


def _upper(place: int) -> int:
    coarse = max(0, (place >> FINE) - 1)
    if not coarse:
        return place
    return (((place - (coarse << FINE)) + 1) << coarse) - 1


# -- One reconnecting WebSocket: whatever feed it carries, its bytes come with their time ----------

OUTBOX_MAX = 1_000
FRAMES_PER_TURN = 64
"""After so many frames in a row the loop's other work gets its turn: 2 ms at 30 µs each."""

FRAME_BYTES_MAX = 8 * 1024 * 1024
"""A first snapshot of 200 deep books is about 2 MB."""

STABLE_S = 5.0
"""A connection that lived longer is opened again at once; a shorter one waits as if it failed."""

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
PING_EVERY_S = 5.0
PONGS = frozenset({b"PONG", b"pong"})
PONG_BYTES = 4


class Socket:
    """A connection that is always wanted. `run` it until cancelled.

    `opened` says what to send first; `received` gets each frame and when it came, in ns; `turned`
    is called when those that had come were handed over; `lost` gets why a connection ended or could
    not be made. All are called on the loop's thread and must not wait. `ping` is the text the other
    side wants every `PING_EVERY_S`; empty = none.
    """

    def __init__(
        self,
        url: str,
        *,
        now_ns: Callable[[], int],
        opened: Callable[[], list[str]],
        received: Callable[[bytes, int], None],
        lost: Callable[[str], None],
        turned: Callable[[], None] = lambda: None,
        ping: str = "",
        silence_s_max: float = 15.0,
    ) -> None:
        self._url = url
        self._now_ns = now_ns
        self._opened = opened
        self._received = received
        self._lost = lost
        self._turned = turned
        self._ping = ping
        self._silence_s_max = silence_s_max
        self._outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX_MAX)
        self._ws: TextConnection | None = None
        self._dropped = ""
        self._moved = False
        self.frames = 0
        self.lags = Lags()
        """How long frames waited, from the socket until they were handed over."""
        self.pong_ns = 0
        """When the last PONG came; 0 = none on this connection."""

    @property
    def waiting(self) -> int:
        """Frames that came and were not handed over yet."""
        return len(self._ws.messages) if self._ws is not None else 0

    @property
    def connected(self) -> bool:
        return self._ws is not None

    def send(self, text: str) -> None:
        """Send a text soon; nothing where there is no connection: `opened` says it all then."""
        if self._ws is None:
            return
        try:
            self._outbox.put_nowait(text)
        except asyncio.QueueFull:
            self.drop(f"more than {OUTBOX_MAX} texts wait to be sent")

    def drop(self, reason: str) -> None:
        if self._ws is not None and not self._dropped:
            self._dropped = reason
            # Whoever calls stands inside `received`: the close handshake must not be awaited here.
            self._ws.transport.abort()

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        loop = asyncio.get_running_loop()
        waits = backoff()
        connecting = connect(
            self._url,
            process_exception=self._refused,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            compression=None,
            max_size=FRAME_BYTES_MAX,
            create_connection=TextConnection,
        )
        async for made in connecting:
            assert isinstance(made, TextConnection)
            ws = made
            since_s = loop.time()
            reason = await self._session(ws)
            self._lost(reason)
            if loop.time() - since_s >= STABLE_S:
                waits = backoff()
            else:
                await asyncio.sleep(next(waits))

    def _refused(self, error: Exception) -> Exception | None:
        """Tell why there is no connection. Every such reason may pass: a gateway's 403, too."""
        self._lost(f"cannot connect to {self._url}: {error}")
        return None

    async def _session(self, ws: TextConnection) -> str:
        self._ws, self._dropped, self.pong_ns = ws, "", 0
        self._outbox = asyncio.Queue(OUTBOX_MAX)
        tasks = [asyncio.ensure_future(self._write(ws)), asyncio.ensure_future(self._watch())]
        try:
            for text in self._opened():
                self.send(text)
            await self._read(ws)
        except ConnectionClosed as error:
            return self._dropped or f"the connection closed: {error}"
        finally:
            self._ws = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._dropped or "the connection ended"

    async def _read(self, ws: TextConnection) -> None:
        """Hand over every frame until the connection closes. Raises ConnectionClosed."""
        while not self._dropped:
            await ws.arrival()
            self._hand_over(ws)
            if ws.messages:
                await asyncio.sleep(0)

    def _hand_over(self, ws: TextConnection) -> None:
        """Hand over what has come, one turn's worth at most."""
        received, now_ns, messages = self._received, self._now_ns, ws.messages
        count = min(len(messages), FRAMES_PER_TURN)
        self.frames += count
        self._moved = True
        for _ in range(count):
            frame = messages.popleft()
            at_ns = now_ns()
            if len(frame) == PONG_BYTES and frame in PONGS:
                self.pong_ns = at_ns
            else:
                received(frame, at_ns)
        self._turned()
        came_ns = ws.taken(count)
        if came_ns is not None:
            self.lags.add(time.monotonic_ns() - came_ns, count)

    async def _write(self, ws: TextConnection) -> None:
        outbox = self._outbox
        with contextlib.suppress(ConnectionClosed):  # the reader tells it
            while True:
                text = self._ping
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PING_EVERY_S):
                        text = await outbox.get()
                if text:
                    await ws.send(text)

    async def _watch(self) -> None:
        while True:
            self._moved = False
            await asyncio.sleep(self._silence_s_max)
            if not self._moved:
                self.drop(f"silent for {self._silence_s_max:g} s")
