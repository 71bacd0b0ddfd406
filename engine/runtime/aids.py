"""Aids: what is kept beside trading (tape, ticks, decisions). Their damage never ends the engine.

The thread of an aid goes on after any error: what it could not keep is left out. Files that cannot
be opened are set aside and begun anew. What a person must hear is noted; the loop makes alerts of
the notes, a few a minute at most.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from engine import log
from engine.domain.effects import RaiseAlert, caution
from engine.errors import StorageError
from storage.files import set_aside

NOTES_MAX = 5
"""Notes of one aid that wait to be written; of more only their number is kept."""

TELL_EVERY_NS = 60 * 1_000_000_000
"""How often one aid may raise alerts: a fault at each entry must not fill the state with rows."""

RETRY_S = 0.5


class Notes:
    """What a person must hear of one aid. Added on any thread, taken on the loop's.

    `kind` is the kind of the alerts.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._texts: deque[str] = deque()
        self._more = 0
        self._told_ns: int | None = None

    def add(self, text: str) -> None:
        """Note a sentence for a person; the log has it at once. The same again is counted."""
        if text in self._texts or len(self._texts) >= NOTES_MAX:
            self._more += 1
            return
        log.get(self.kind).warning("aid", text=text)
        self._texts.append(text)

    def take(self, now_ns: int) -> list[RaiseAlert]:
        """Return the alerts that are due, and forget them."""
        soon = self._told_ns is not None and 0 <= now_ns - self._told_ns < TELL_EVERY_NS
        if soon or not self._texts:
            return []
        self._told_ns = now_ns
        texts = [self._texts.popleft() for _ in range(len(self._texts))]
        if self._more:
            texts[-1] += f" (and {self._more} times more like these)"
            self._more = 0
        return [caution(self.kind, text) for text in texts]


class Tolerates:
    """A context in which an error is noted and goes no further: what it was about is left out.

    For calls of an aid on the loop's thread. `of` makes the note of an error; `lost` counts them.
    """

    def __init__(self, note: Callable[[str], object], of: Callable[[Exception], str]) -> None:
        self._note = note
        self._of = of
        self.lost = 0

    def __enter__(self) -> None:
        """Begin; one instance is used again and again, by one thread."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.lost += 1
        self._note(self._of(error))
        return True


class Aid(Protocol):
    """What is kept beside trading."""

    notes: Notes


AidT = TypeVar("AidT", bound=Aid)


def aid_thread(
    name: str, run: Callable[[], None], leave_out: Callable[[Exception], None]
) -> threading.Thread:
    """Return the started thread of an aid. It ends when `run` returns.

    After any error `leave_out` drops what could not be kept and notes it; then `run` begins anew.
    """

    def survive() -> None:
        while True:
            try:
                run()
            except Exception as error:  # noqa: BLE001 an aid goes on, whatever became of one entry
                leave_out(error)
                threading.Event().wait(RETRY_S)
            else:
                return

    thread = threading.Thread(target=survive, name=name, daemon=True)
    thread.start()
    return thread


def opened_or_anew(make: Callable[[], AidT], path: Path, otherwise: Callable[[], AidT]) -> AidT:
    """Open an aid whose files stand at `path`; what cannot be opened is set aside and begun anew.

    Where not even a new one can be opened, `otherwise` makes what keeps nothing.
    """
    try:
        return make()
    except (StorageError, OSError, ValueError) as error:
        why = str(error)
    try:
        aside = set_aside(path)
        made = make()
    except (StorageError, OSError, ValueError) as error:
        made = otherwise()
        made.notes.add(f"{path} is not written until the next start: {error}")
    else:
        made.notes.add(f"{path} could not be opened and is begun anew; it is now {aside}: {why}")
    return made
