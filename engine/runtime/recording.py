"""Recordings on a live engine: each with a stream of its own to receive and a tape of its own.

Trading neither waits for a recording nor feels its end. One that ran when the engine ended goes on
at the next start; what was not received between is a gap in it, recorded as one.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from engine.clock import Clock
from engine.domain.events import Event, FeedLost, FeedRestored, InstrumentListed, ReferencePriced
from engine.domain.observed_events import Observed
from engine.errors import BadInput, StorageError
from engine.runtime.aids import Tolerates
from engine.runtime.tape import Tape
from engine.runtime.tape_format import BEGIN, EVENTS, FORMAT, Begin, pack_begin, pack_events
from storage.files import said_bytes
from storage.jobs import RecordingFigures, RecordingSeen, RecordingState
from storage.tape_blocks import segments

BYTES_MAX = 2_000_000_000
"""Most bytes of one recording on the disk; it ends there."""

TIME_NS_MAX = 24 * 3_600 * 1_000_000_000
AT_ONCE_MAX = 4
FREE_BYTES_MIN = 1024 * 1024 * 1024
"""A recording ends before it takes the room in which the journal must grow."""

INSTRUMENTS_MAX = 500
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
FOREVER = 1 << 62
GAP = "the engine was not running"


class MarketDataListener(Protocol):
    """Who receives a market: an account, a recording, or who reads another venue's prices."""

    def market(self, events: Iterable[Event], now_ns: int) -> object:
        """Take market events of one moment."""
        ...


class Source(Protocol):
    """Where a market is listened to."""

    feed: str
    """How the venue's feed is called."""

    async def stream_to(self, listener: MarketDataListener) -> None:
        """Let a recording, or another listener, receive the market until cancelled."""
        ...


class LiveRecording:
    """One recording under way. Lives on the loop's thread; the disk is touched by others.

    `ended` is called once, with how and why, unless the engine ends and it is to go on later.
    """

    def __init__(
        self,
        seen: RecordingSeen,
        folder: Path,
        clock: Clock,
        *,
        resumed: bool,
        ended: Callable[[RecordingState, str], None],
    ) -> None:
        self.seen = seen
        self.folder = folder
        self._clock = clock
        self._resumed = resumed
        self._ended = ended
        self._wanted = frozenset(seen.instruments)
        self._known: set[str] = set(seen.instruments)
        self._events, self._gaps = seen.events, seen.gaps + resumed
        self._first_ns, self._last_ns = seen.first_ns, seen.last_ns
        self._tape: Tape | None = None
        self._task: asyncio.Task[Any] | None = None
        self._end: tuple[RecordingState, str] | None = None
        # No recording ends the engine.
        self._tolerates = Tolerates(self._fail, lambda error: f"it could not go on: {error!r}")
        self.on_ended: Callable[[str], None] = _ignore
        """Receives how it ended, in words."""

    async def run(self, source: Source) -> None:
        """Record until cancelled; `stop` does that."""
        self._task = asyncio.current_task()
        try:
            self._tape = await asyncio.to_thread(self._open)
            gap = GAP if self._resumed else ""
            head = Begin(
                format=FORMAT,
                name=self.seen.name,
                instruments=self.seen.instruments,
                feed=source.feed,
                gap=gap,
            )
            self._append(BEGIN, pack_begin(head))
            if self._end is None:
                # Not by `stop`, which cancels this very task: it has to close first.
                with Tolerates(self._ended_by, repr):
                    await source.stream_to(self)
        except StorageError as error:
            self._end = (RecordingState.FAILED, str(error))
        finally:
            await self._close()
        # A stream that ends by itself would end the engine: this one is cancelled, always.
        raise asyncio.CancelledError

    def _ended_by(self, error: str) -> None:
        self._end = self._end or (RecordingState.FAILED, f"it could not go on: {error}")

    def _fail(self, reason: str) -> None:
        self.stop(RecordingState.FAILED, reason)

    def _open(self) -> Tape:
        return Tape(self.folder, keep_bytes=FOREVER, keep_ns=FOREVER)

    async def _close(self) -> None:
        tape, self._tape = self._tape, None
        try:
            if tape is not None:
                await asyncio.to_thread(tape.close)
        except StorageError as error:
            self._end = (RecordingState.FAILED, str(error))
        if self._end is not None:
            self._ended(*self._end)

    def stop(self, state: RecordingState, reason: str) -> None:
        """End it; `ended` is called when everything received is in a file."""
        if self._end is None:
            self._end = (state, reason)
            if self._task is not None:
                self._task.cancel()

    # -- what it receives --------------------------------------------------------------------------

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Take market events of one moment: those that are wanted are written."""
        with self._tolerates:
            self._market(tuple(event for event in events if self._wants(event)), now_ns)

    def _market(self, wanted: tuple[Event, ...], now_ns: int) -> None:
        if not wanted or self._end is not None:
            return
        if self._first_ns is None:
            self._first_ns = now_ns
        self._last_ns = now_ns
        self._events += len(wanted)
        self._gaps += sum(isinstance(event, FeedLost) for event in wanted)
        self._append(EVENTS, pack_events(wanted))
        if now_ns - self.seen.started_ns >= TIME_NS_MAX:
            hours = TIME_NS_MAX // 3_600_000_000_000
            self.stop(RecordingState.STOPPED, f"it has recorded for {hours} h, the longest allowed")

    def _wants(self, event: Event) -> bool:
        kind = type(event)
        if kind is InstrumentListed:
            instrument = event.instrument  # type: ignore[attr-defined]
            if instrument.id in self._known or instrument.series in self._wanted:
                self._known.add(instrument.id)
                return True
            return False
        if kind is ReferencePriced or kind is Observed:
            return True
        instrument = getattr(event, "instrument", None)
        whole_feed = instrument is None and (kind is FeedLost or kind is FeedRestored)
        return whole_feed or instrument in self._known

    def _append(self, kind: str, payload: bytes) -> None:
        if self._tape is None:
            return
        try:
            self._tape.append(kind, payload, self._clock.now_ns())
        except StorageError as error:
            self.stop(RecordingState.FAILED, str(error))
        if self._tape.left_out:
            text = f"{self._tape.left_out} entries could not be written: the log has why"
            self.stop(RecordingState.FAILED, text)

    # -- as time passes; these two run where files are touched -------------------------------------

    def figures(self, *, size: int | None = None) -> RecordingFigures:
        """Return what it holds; `size` None = look at the disk. Raises OSError."""
        if size is None:
            size = sum(path.stat().st_size for path in segments(self.folder))
        return RecordingFigures(
            events=self._events,
            bytes=size,
            gaps=self._gaps,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
        )

    def limit(self, figures: RecordingFigures) -> str:
        if figures.bytes >= BYTES_MAX:
            return f"it takes {said_bytes(BYTES_MAX)}, the most one recording may"
        free = shutil.disk_usage(self.folder).free
        if free < FREE_BYTES_MIN:
            return f"only {said_bytes(free)} are free on the disk: the rest is the journal's"
        return ""


def _ignore(text: str) -> None:
    """Nobody waits to receive how it ended; the state says it."""
    del text


def checked(name: str, instruments: tuple[str, ...], known: Iterable[str]) -> None:
    """Refuse what cannot be recorded. `known` are instruments and series. Raises BadInput."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no valid recording name: a-z, 0-9, dot, dash and underscore, at most 64"
        )
    if not instruments:
        raise BadInput("name at least one instrument or series to record")
    if len(instruments) > INSTRUMENTS_MAX:
        raise BadInput(f"at most {INSTRUMENTS_MAX} instruments go into one recording")
    there = set(known)
    unknown = [one for one in instruments if one not in there]
    if unknown:
        raise BadInput(f"no instrument or series {unknown[0]!r} is known here")
