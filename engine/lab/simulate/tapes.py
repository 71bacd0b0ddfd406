"""The tape of a simulated engine: files of a folder, written by timers, in a budget of a minute.

So small a budget has its clean-up run every few seconds, and after a pause of hours it deletes all
there is. What befalls the folder meanwhile is what befalls real ones: files of others, files torn,
deleted or set in its place, a budget that is lowered. None of that may end an engine, and a judge
reads the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from pathlib import Path
from random import Random

from engine.errors import BadInput
from engine.lab.simulate.disk import Disk
from engine.lab.simulate.process import EngineDied, Process
from engine.lab.simulate.venue_truth import Speak
from engine.runtime.aids import Tolerates, opened_or_anew
from engine.runtime.tape import LIVES_APART, Entries, NoTape, TapeWriter, read
from storage.tape_blocks import segments

S = 1_000_000_000
SEGMENT_BYTES = 6_000
SEGMENT_NS = 6 * S
KEEP_BYTES = 40_000
KEEP_NS = 60 * S
WRITE_S, RETRY_S = 2.0, 0.5
"""How long an entry waits for company; after how long a refused block is tried again."""

LOOK_NS = 5 * S
"""How often the judge reads the folder."""


class WorldTape(TapeWriter):
    """One life's tape."""

    def __init__(
        self, folder: Path, process: Process, *, after: int, apart: int, keep_bytes: int
    ) -> None:
        super().__init__(
            folder,
            after=after,
            apart=apart,
            segment_bytes=SEGMENT_BYTES,
            segment_ns=SEGMENT_NS,
            keep_bytes=keep_bytes,
            keep_ns=KEEP_NS,
        )
        self.keep_bytes = keep_bytes
        self._process = process
        self._survives = Tolerates(lambda _: None, self._dropped)
        self._later(WRITE_S)

    @property
    def wrote(self) -> bool:
        """True where it has begun a segment, and so looked at its budget."""
        return self._segment is not None

    def _later(self, pause_s: float) -> None:
        self._process.call_later(pause_s, self._turn)

    def _turn(self) -> None:
        """Write what waits, as the thread of an aid does; what it raises goes no further."""
        done = True
        with self._survives:
            done = self.work()
        self._later(WRITE_S if done else RETRY_S)

    def _dropped(self, error: Exception) -> str:
        self.leave_out(error)
        return str(error)

    def close(self) -> None:
        """Write what is left."""
        if self._process.dead:
            raise EngineDied
        self.work()


class TapeDamage(StrEnum):
    """What befalls the folder."""

    STRAY = "stray"
    """A file of somebody else is put into it."""
    TORN = "torn"
    """An older segment loses its end, or all but its first bytes."""
    DELETED = "deleted"
    """A job deletes segments, whichever."""
    REPLACED = "replaced"
    """A file stands where the folder was."""
    LOWERED = "lowered"
    """The next life's budget is half."""


class Tapes:
    """One account's tape over its lives, what befalls it, and the judge who reads it."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._folder: Path | None = None
        self._tape: WorldTape | None = None
        self._keep_bytes = KEEP_BYTES
        self._known: dict[int, bytes] = {}
        """Position → the entry that has it, of all lives; the oldest are let go of."""
        self._looked_ns = 0
        self._strays = 0

    def opened(self, home: Path, process: Process, disk: Disk) -> Entries:
        """Open the tape for a life; what cannot be opened is begun anew, as an engine does it."""
        folder = self._folder = home / "tape"
        after = disk.rows[-1].tape if disk.rows else 0
        apart = LIVES_APART if disk.fence > 1 else 0
        self._tape = None

        def made() -> Entries:
            self._tape = WorldTape(
                folder, process, after=after, apart=apart, keep_bytes=self._keep_bytes
            )
            return self._tape

        return opened_or_anew(made, folder, partial(NoTape, after + apart))

    # -- what befalls it ---------------------------------------------------------------------------

    def damage(self) -> TapeDamage:
        """Let something befall the folder; return what."""
        random, folder = self._random, self._folder
        what = random.choice(tuple(TapeDamage))
        if folder is None or not folder.is_dir():
            return what
        acts: dict[TapeDamage, Callable[[], None]] = {
            TapeDamage.STRAY: lambda: self._stray(folder),
            TapeDamage.TORN: lambda: self._tear(folder),
            TapeDamage.DELETED: lambda: self._delete(folder),
            TapeDamage.REPLACED: lambda: self._replace(folder),
            TapeDamage.LOWERED: lambda: setattr(self, "_keep_bytes", KEEP_BYTES // 2),
        }
        acts[what]()
        return what

    def _stray(self, folder: Path) -> None:
        self._strays += 1
        names = ("notes.txt", "odd.tape", "99999999999999999999.tape.1", "._x.tape")
        (folder / f"{self._strays}{self._random.choice(names)}").write_bytes(b"stray")

    def _tear(self, folder: Path) -> None:
        for segment in segments(folder)[-2:-1]:
            size = segment.stat().st_size
            with segment.open("r+b") as file:
                file.truncate(min(size, self._random.choice((max(0, size - 1), 20, 6, 3, 0))))

    def _delete(self, folder: Path) -> None:
        old = segments(folder)[:-1]
        for segment in self._random.sample(old, min(2, len(old))):
            segment.unlink()

    def _replace(self, folder: Path) -> None:
        self._strays += 1
        self._known.clear()  # what is known of no more may be used again
        folder.rename(folder.with_name(f"tape-{self._strays}"))
        folder.write_bytes(b"no folder")

    # -- the judge ---------------------------------------------------------------------------------

    def look(self, now_ns: int, speak: Speak) -> None:
        """Read the folder now and then: entries are whole, in order, and no more than may stay."""
        folder, tape = self._folder, self._tape
        if now_ns - self._looked_ns < LOOK_NS or folder is None or tape is None:
            return
        self._looked_ns = now_ns
        if tape.left_out:
            speak("tape", f"{tape.left_out} entries are left out, and no disk refused them")
        if folder.is_dir():
            self._judge_entries(folder, speak)
            if tape.wrote:
                self._judge_budget(folder, tape.keep_bytes, speak)

    def _judge_budget(self, folder: Path, keep_bytes: int, speak: Speak) -> None:
        *old, newest = [*segments(folder)] or [folder]
        size = sum(one.stat().st_size for one in old)
        if size > keep_bytes:
            speak("tape", f"{size} bytes are kept, {keep_bytes} are to be")
        firsts = [first for one in (*old, newest) if (first := _first_ns(one)) is not None]
        # The oldest one may hold what is young as long as the first entry of the next one is.
        if len(firsts) > 2 and firsts[-1] - firsts[1] > KEEP_NS + 2 * SEGMENT_NS:
            age_s = (firsts[-1] - firsts[1]) // S
            speak("tape", f"entries are kept for {age_s} s, {KEEP_NS // S} are to be")

    def _judge_entries(self, folder: Path, speak: Speak) -> None:
        last = 0
        try:
            for entry in read(folder, warn=lambda _: None):
                said = b"%d %b %b" % (entry.at_ns, entry.kind.encode(), entry.payload)
                digest = blake2b(said, digest_size=8).digest()
                if entry.position <= last:
                    speak("tape", f"position {entry.position} stands behind {last}")
                if self._known.setdefault(entry.position, digest) != digest:
                    speak("tape", f"position {entry.position} is used twice")
                last = entry.position
        except BadInput:
            return  # a block that was torn in the middle: what stands before it has been read
        for position in [one for one in self._known if one < last - 20_000]:
            del self._known[position]


def _first_ns(segment: Path) -> int | None:
    """Return the time of a segment's first entry; None = it cannot be read."""
    try:
        found = next(
            iter(read(segment.parent, warn=lambda _: None, from_position=int(segment.stem)))
        )
    except (BadInput, StopIteration):
        return None
    return found.at_ns if found.position == int(segment.stem) else None
