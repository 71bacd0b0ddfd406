"""Observations from outside: lines of a watched file, and a webhook on this machine.

Both take one JSON object each: `key` and `value`, and where it is given `at` (seconds since 1970 or
a time in UTC; missing = now), `trust` (0 to 1) and `source`. What cannot be one is refused in a
sentence: of the file it is noted, of the webhook it is the answer.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from aiohttp import web

from engine.domain.observed_events import Observed, ObservedValue, observed
from engine.errors import BadInput, os_sentence

LINE_BYTES_MAX = 16 * 1024
LINES_AT_ONCE = 200
"""Lines of the file that one look takes; the others have the next looks."""

BEHIND_BYTES_MAX = 4 * 1024 * 1024
"""So far the file may be ahead of what was read; beyond, it is read from its end on, noted."""

A_SECOND_MAX = 200
"""Observations the webhook takes a second."""

WEBHOOK_PATH = "/observed"
SECOND_NS = 1_000_000_000
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BROWSER_HEADERS = frozenset({"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ObservedLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent: one JSON object."""

    key: str
    value: ObservedValue
    at: float | str | None = None
    trust: float = 1.0
    source: str = ""


_line = msgspec.json.Decoder(ObservedLine).decode


def parse_observed(raw: bytes, source: str, now_ns: int) -> Observed:
    """Return what was sent; `source` = who says it where the sender does not.

    Raises BadInput with the sentence that mends it.
    """
    if len(raw) > LINE_BYTES_MAX:
        raise BadInput(f"{len(raw):,} bytes: one observation has at most {LINE_BYTES_MAX:,}")
    try:
        line = _line(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(
            f'not an observation ({error}): one JSON object, as {{"key": "signal:eth", "value": 1}}'
        ) from None
    return observed(
        line.key,
        line.value,
        at_ns=_at_ns(line.at, now_ns),
        trust=line.trust,
        source=line.source or source,
        now_ns=now_ns,
    )


def _at_ns(at: float | str | None, now_ns: int) -> int:
    if at is None:
        return now_ns
    if not isinstance(at, str):
        if not 0 <= at < 1e10:
            raise BadInput(f"at {at:g}: give seconds since 1970, as `date +%s` prints them")
        return round(at * SECOND_NS)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise BadInput(f"at {at[:40]!r} is no time: write it as 2026-11-26T16:00:00Z") from None
    if moment.tzinfo is None:
        raise BadInput(f"at {at[:40]!r} names no time zone: end it with Z for UTC")
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


class ObservedFile:
    """A file that grows by a line for each observation. `note` receives what is refused.

    It is read from its end on when it is first seen: what was written before is old. A file that
    became shorter, or another one of its name, is read from its beginning.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self._note = note
        self._inode: int | None = None
        self._offset = 0
        self._missed = not path.exists()
        """True = it comes into being while it is watched: all of it is new."""

    def look(self) -> list[bytes]:
        """Return the whole lines that were written since the last look. Touches the disk."""
        try:
            with self.path.open("rb") as file:
                return list(self._new_lines(os.fstat(file.fileno()), file.seek, file.readline))
        except FileNotFoundError:
            self._missed, self._inode = True, None
        except OSError as error:
            self._note(f"{self.path.name} cannot be read: {os_sentence(error)}")
        return []

    def _new_lines(
        self,
        seen: os.stat_result,
        seek: Callable[[int], object],
        readline: Callable[[int], bytes],
    ) -> Iterator[bytes]:
        if self._inode is None and not self._missed:
            self._inode, self._offset = seen.st_ino, seen.st_size
        elif self._inode != seen.st_ino or seen.st_size < self._offset:
            self._inode, self._offset = seen.st_ino, 0
        if seen.st_size - self._offset > BEHIND_BYTES_MAX:
            left = seen.st_size - self._offset
            self._note(f"{self.path.name}: {left:,} bytes at once are too many, they are left out")
            self._offset = seen.st_size
        seek(self._offset)
        for _ in range(LINES_AT_ONCE):
            line = readline(LINE_BYTES_MAX + 1)
            if not line.endswith(b"\n") and len(line) <= LINE_BYTES_MAX:
                return  # it is still being written
            self._offset += len(line)
            if line.strip():
                yield line


def webhook_token(path: Path) -> str:
    """Return the token of the webhook, made where there is none. Raises OSError."""
    try:
        kept = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        kept = ""
    if kept:
        return kept
    token = secrets.token_urlsafe(24)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
    return token


class Webhook:
    """Takes observations by POST on 127.0.0.1, from programs that know the token.

    `take` is given each one and returns the answer's fields, or raises BadInput.
    """

    def __init__(
        self,
        token: str,
        take: Callable[[bytes], dict[str, object]],
        now_ns: Callable[[], int],
    ) -> None:
        self._token = token.encode()
        self._take = take
        self._now_ns = now_ns
        self._second, self._count = 0, 0
        self.app = web.Application(client_max_size=LINE_BYTES_MAX)
        self.app.router.add_post(WEBHOOK_PATH, self._post)

    async def serve(self, port: int, until: asyncio.Event) -> None:
        """Listen until `until` is set. Raises OSError where the port cannot be had."""
        runner = web.AppRunner(self.app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            await until.wait()
        finally:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        if request.url.host not in LOOPBACK or request.headers.keys() & BROWSER_HEADERS:
            return _refusal(403, "refused: this door serves programs of this machine, no web page")
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            return _refusal(401, "refused: the bearer token of the header is not right")
        if not self._room():
            return _refusal(429, f"refused: more than {A_SECOND_MAX} observations in one second")
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _refusal(413, f"refused: one observation has at most {LINE_BYTES_MAX:,} bytes")
        try:
            return web.json_response(self._take(raw))
        except BadInput as error:
            return _refusal(400, f"refused: {error}")

    def _room(self) -> bool:
        second = self._now_ns() // SECOND_NS
        self._count = self._count + 1 if second == self._second else 1
        self._second = second
        return self._count <= A_SECOND_MAX


def _refusal(status: int, text: str) -> web.Response:
    return web.json_response({"refused": text}, status=status)
