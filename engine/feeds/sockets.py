"""One reconnecting WebSocket: whatever feed it carries, its bytes come with their time.

Reconnection is the library's own: `connect` as an iterator, with back-off and jitter. What is read
is bounded by the connection's queue and then by TCP, what is to be sent by `OUTBOX_MAX`. Silence
longer than `silence_s_max` is a broken connection, whatever TCP says: feeds were seen to freeze.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from websockets.asyncio.client import connect
from websockets.client import backoff
from websockets.exceptions import ConnectionClosed

from engine.feeds.lags import Lags
from engine.feeds.text_connection import TextConnection

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

    `opened` says what to send first; `heard` gets each frame and when it came, in ns; `turned` is
    called when those that had come were handed over; `lost` gets why a connection ended or could
    not be made. All are called on the loop's thread and must not wait. `ping` is the text the other
    side wants every `PING_EVERY_S`; empty = none.
    """

    def __init__(
        self,
        url: str,
        *,
        now_ns: Callable[[], int],
        opened: Callable[[], list[str]],
        heard: Callable[[bytes, int], None],
        lost: Callable[[str], None],
        turned: Callable[[], None] = lambda: None,
        ping: str = "",
        silence_s_max: float = 15.0,
    ) -> None:
        self._url = url
        self._now_ns = now_ns
        self._opened = opened
        self._heard = heard
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
        """True between `opened` and `lost`."""
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
        """Give up the present connection; the next one follows."""
        if self._ws is not None and not self._dropped:
            self._dropped = reason
            # Whoever calls stands inside `heard`: the close handshake must not be awaited here.
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
        """Serve one connection; return why it ended."""
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
        heard, now_ns, messages = self._heard, self._now_ns, ws.messages
        count = min(len(messages), FRAMES_PER_TURN)
        self.frames += count
        self._moved = True
        for _ in range(count):
            frame = messages.popleft()
            at_ns = now_ns()
            if len(frame) == PONG_BYTES and frame in PONGS:
                self.pong_ns = at_ns
            else:
                heard(frame, at_ns)
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
        """Drop a connection on which nothing came for too long."""
        while True:
            self._moved = False
            await asyncio.sleep(self._silence_s_max)
            if not self._moved:
                self.drop(f"silent for {self._silence_s_max:g} s")
