"""One socket of the market channel and the tokens it follows.

After each (re)connect frames are kept back until the books were asked for over REST: first the
books, then what was kept, so that nothing between the two is missed and nothing old is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from websockets.client import backoff

from engine.domain.plain import PlainDict
from engine.feeds.sockets import Socket

TOKENS_MAX = 200
"""Tokens of one socket. The venue names no limit; more than 500 were seen to get no snapshot."""

HELD_BACK_MAX = 20_000
"""Frames kept back while the books are asked for; more mean a new connection."""

SETTLE_S = (0.5, 0.5, 8.0)
"""Pauses while REST refuses the books: the first one at most, the second one, the longest."""

_pack = msgspec.json.Encoder().encode


class Shard:
    """A part of the channel. `received` gets the frames, `lost` why a connection ended.

    `turned` is called when the frames that had come were handed over.
    """

    def __init__(
        self,
        url: str,
        *,
        number: int,
        now_ns: Callable[[], int],
        received: Callable[[bytes, int], None],
        turned: Callable[[], None],
        lost: Callable[[Shard, str], None],
    ) -> None:
        self.number = number
        self.tokens: dict[str, None] = {}
        self.held_back: list[tuple[bytes, int]] | None = None
        """Frames that wait for the books; None = frames are handed on at once."""
        self.data_ns = 0
        """When the last frame came that was no PONG."""
        self.why = "not connected yet"
        """Why nothing is received; empty = all is well."""
        self.connections = 0
        self.settle_ns = 0
        """When the books are asked for at the earliest."""
        self._pauses_s = backoff(*SETTLE_S)
        self._received = received
        self._turned = turned
        self._lost = lost
        self.socket = Socket(
            url,
            now_ns=now_ns,
            opened=self._opened,
            received=self._take,
            turned=turned,
            lost=self._gone,
            ping="PING",
        )

    @property
    def room(self) -> int:
        """How many tokens it can still follow."""
        return TOKENS_MAX - len(self.tokens)

    @property
    def settling(self) -> bool:
        """True while a connection waits for the books."""
        return self.held_back is not None

    def add(self, tokens: Iterable[str]) -> None:
        """Follow tokens from now on."""
        new = [token for token in tokens if token not in self.tokens]
        self.tokens |= dict.fromkeys(new)
        if new:
            self.socket.send(_dynamic("subscribe", new))

    def remove(self, tokens: Iterable[str]) -> None:
        """Follow them no more."""
        old = [token for token in tokens if token in self.tokens]
        for token in old:
            del self.tokens[token]
        if old:
            self.socket.send(_dynamic("unsubscribe", old))

    def refused(self, now_ns: int) -> None:
        """Know that the books were asked for in vain: each time they are waited for longer."""
        self.settle_ns = now_ns + int(next(self._pauses_s) * 1_000_000_000)

    def release(self) -> None:
        """Hand on the frames kept back: the books were handed on before them."""
        self._pauses_s = backoff(*SETTLE_S)
        frames, self.held_back = self.held_back or [], None
        for frame, at_ns in frames:
            self._received(frame, at_ns)
        self._turned()

    def _opened(self) -> list[str]:
        self.held_back = []
        self.connections += 1
        first = {
            "type": "market",
            "assets_ids": list(self.tokens),
            "custom_feature_enabled": True,
            "initial_dump": True,
            "level": 2,
        }
        return [_pack(first).decode()]

    def _take(self, frame: bytes, at_ns: int) -> None:
        self.data_ns = at_ns
        if self.held_back is None:
            self._received(frame, at_ns)
        elif len(self.held_back) < HELD_BACK_MAX:
            self.held_back.append((frame, at_ns))
        else:
            self.socket.drop(f"more than {HELD_BACK_MAX} frames came before the books")

    def _gone(self, reason: str) -> None:
        self.held_back = None
        self._lost(self, reason)
        self.why = reason


def traffic(shards: Iterable[Shard]) -> PlainDict:
    """Return what comes over the sockets, and how late it was since the last call."""
    sockets = [shard.socket for shard in shards]
    return {
        "sockets": len(sockets),
        "frames": sum(socket.frames for socket in sockets),
        "waiting": sum(socket.waiting for socket in sockets),
        "lags": [socket.lags.take() for socket in sockets],
    }


def _dynamic(operation: str, tokens: list[str]) -> str:
    frame: dict[str, object] = {"operation": operation, "assets_ids": tokens}
    if operation == "subscribe":
        # Naming the flag again keeps it: leaving it out was seen to change nothing.
        frame["custom_feature_enabled"] = True
    return _pack(frame).decode()
