"""KILL in a living engine: received whatever the loop does, kept whatever becomes of the process.

A signal is first written into a file, by the C library: no lock of the interpreter is needed for
that, and no space on the disk. One thread looks for it, for the latch file and the parent; it tells
the loop, makes the latch durable, and ends the process where the loop hangs instead of taking it
(`HangJudge`). A supervisor starts the engine again, and start is recovery with the
latch set.

A process that is stopped (SIGSTOP) receives nothing, and the timer of `HUNG_S` may end it before
its signal is received: so a start after a death by that timer sets the latch too and waits for a
person. Killed while it is stopped it has received nothing at all: therefore whoever signals writes
the latch file first, as the dashboard and `engine kill` do.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

from engine.clock import Clock
from engine.errors import StorageError
from storage.backup import backup_of
from storage.latch import Latch, prepare_spare, read_latch, set_latch

# -- does the loop hang? ---------------------------------------------------------------------------
#
# What is judged is the CPU of the loop's thread since its last step, and how long that thread slept
# in one step. A loop that hangs spends its own CPU in one step without end, or sleeps in it; one
# that other programs keep from the processor does neither, however long it takes by the clock.

GAP_S = 0.1
"""Most that one look may count: where the looking thread is starved, the loop is, too."""


class Look(NamedTuple):
    """The loop's thread at one moment."""

    steps: int
    cpu_s: float
    """CPU it has spent; where the system does not say, the wall's time."""
    asleep: bool
    """It waits for something: it neither runs nor is kept from running."""
    at_s: float


class Progress:
    """Counts the loop's steps. Made on the loop's thread; `look` is for another one."""

    def __init__(self) -> None:
        self.steps = 0
        """0 until the loop turns: what a start does before is one long step."""
        self._state = Path(f"/proc/self/task/{threading.get_native_id()}/stat")
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = clock_of(threading.get_ident()) if clock_of else None

    def step(self) -> None:
        """Say that the loop came round."""
        self.steps += 1

    def look(self) -> Look:
        """Return how the loop's thread stands now."""
        at_s = time.monotonic()
        cpu_s = at_s if self._clock is None else time.clock_gettime(self._clock)
        try:
            words = self._state.read_bytes().rpartition(b")")[2].split()
            asleep = words[0] in b"SD"
        except (OSError, IndexError):
            asleep = False
        return Look(self.steps, cpu_s, asleep, at_s)


class HangJudge:
    """Judges looks in a row. `limit_s` is what one step may spend of CPU, or sleep."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._first: Look | None = None
        self._last: Look | None = None
        self._slept_s = 0.0

    def hangs(self, look: Look) -> bool:
        """Take a look; say whether the step it shows hangs."""
        first, last = self._first, self._last
        self._last = look
        if first is None or last is None or look.steps != first.steps:
            self._first, self._slept_s = look, 0.0
            return False
        if look.asleep and look.cpu_s == last.cpu_s:
            self._slept_s += min(look.at_s - last.at_s, GAP_S)
        else:
            self._slept_s = 0.0
        return look.cpu_s - first.cpu_s >= self._limit_s or self._slept_s >= self._limit_s


# -- a KILL ----------------------------------------------------------------------------------------

TAKEN_S = 0.5
"""How much of its CPU, or of sleep, the loop may spend in one step while a KILL waits to be taken:
a hung plugin spends more. A loop that is busy with many steps, or starved, is waited for."""

HUNG_S = 10
"""The same while no KILL waits, and at a start before the loop turns. And how long a loop may hold
the interpreter's own lock: no thread of Python sees KILL then; a timer of the C library ends the
process, and its successor sets the latch."""

CLOSES_S = 60
"""How long a loop may take to close after its last line: what hangs there would keep the lock."""

SIGNALLED, HANG = "signalled", "deaf"
"""The marks in the run folder: a signal came; the timer ended the process, and where it hung.
"""
MARK_BYTES = 64 * 1024
LOOK_S = 0.02
WIND_S = 1.0
HUNG = 70
"""Exit code of an engine whose loop hung when KILL came."""


class Mark:
    """A file that the C library writes where nothing of Python moves; it outlives the process.

    Its space is taken beforehand. Where it cannot be, a nameless file is received as well, and
    `refused` says that it does not outlive us.
    """

    def __init__(self, path: Path) -> None:
        self.refused = ""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("w+b", buffering=0)
            self.clear()
        except OSError as error:
            self.refused = str(error)
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 open as long as we live
        self._seen = 0

    def fileno(self) -> int:
        """Return where the C library shall write."""
        return self._file.fileno()

    def written(self) -> bool:
        before, self._seen = self._seen, os.lseek(self.fileno(), 0, os.SEEK_CUR)
        return self._seen > before

    def clear(self) -> None:
        """Forget what was written. Raises OSError where the disk refuses."""
        os.pwrite(self.fileno(), bytes(MARK_BYTES), 0)
        self._seen = os.lseek(self.fileno(), 0, os.SEEK_SET)

    def close(self) -> None:
        """Give the file back: the C library must not write there any more."""
        self._file.close()


def latch_after_death(run_folder: Path, kill_path: Path, now_ns: int) -> str:
    """Set the latch where the engine before us died with a KILL unseen, or may have.

    Return what it left, for people; empty = nothing. Raises OSError where the latch cannot be set.
    """
    left = ""
    for name, who in ((SIGNALLED, "signal, to an engine that died of it"), (HANG, "hang timer")):
        try:
            text = (run_folder / name).read_bytes().rstrip(b"\0").decode(errors="replace")
        except OSError:
            continue  # there is none, or none that could have been written
        if text:
            set_latch(kill_path, who, now_ns)
            left += f"the engine before left in {run_folder / name}:\n{text}\n"
    return left


def refuse_restored(journal: Path, kill_path: Path, now_ns: int) -> None:
    """Set the latch and refuse to start where the journal is a backup that was put back by hand.

    What was traded, stopped or killed since it was made is not in it, and what was placed since may
    still rest. Raises StorageError; OSError where the latch cannot be set.
    """
    if made := backup_of(journal):
        set_latch(kill_path, f"the start from the backup of {made}", now_ns)
        raise StorageError(
            f"{journal} is the backup of {made}, and what happened since is not in it: run `python "
            "-m engine recover`, which asks the venues and goes on with --accept-loss"
        )


def rewind_hang_timer(mark: Mark) -> None:
    """Wind the timer of `HUNG_S`; what it ends says in the mark where.

    Called each second by the thread beside the loop: it runs as long as the loop gives the
    interpreter's lock away, however busy that is.

    The timer is a thread of the C library that begins with our signal mask. It must never be given
    SIGUSR1: the handler writes nothing on a thread that Python does not know, and a KILL would be
    lost. So the signal waits while the timer is made. Raises RuntimeError where the system starts
    no thread; then no timer runs.
    """
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        faulthandler.dump_traceback_later(HUNG_S, exit=True, file=mark)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)


def loop_closes() -> None:
    """Wind it for the last time: a loop or thread that hangs now ends the process, and says where.

    Everything is closed and reported by then; a supervisor that expects an engine starts one.
    """
    faulthandler.dump_traceback_later(CLOSES_S, exit=True, file=2)


def loop_ends() -> None:
    """Stop the timer: no thread winds it any more."""
    faulthandler.cancel_dump_traceback_later()


def block_signal() -> None:
    """Keep SIGUSR1 for the thread that waits for it. The first thing an engine does.

    The command line has done so before its imports; here for whoever comes another way.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


class KillWatch:
    """The thread. `take` is called on it and must only hand over to the loop.

    Marks of an earlier life are forgotten: call `latch_after_death` before.
    """

    newest: ClassVar[KillWatch | None] = None
    """Who is given the signal of this process: no one else's thread has anything to look for."""

    def __init__(
        self,
        path: Path,
        *,
        marks: Path,
        clock: Clock,
        taken: threading.Event | None = None,
        take: Callable[[Latch], object],
        orphaned: Callable[[], object],
        hung: Callable[[str], object],
        progress: Progress | None = None,
    ) -> None:
        """Begin to look. `progress` None = this thread is the loop's."""
        self._path = path
        self._clock = clock
        self._take = take
        self._orphaned = orphaned
        self._hung = hung
        self._parent = os.getppid()
        self._parent_gone = False
        self.taken = taken or threading.Event()
        """Set by the loop while it holds the latch; cleared when it is released."""
        self.progress = progress or Progress()
        self._rest = HangJudge(HUNG_S)
        self._wound_s = 0.0
        self._turns = False
        """The loop turns: from then on the timer runs."""
        self._winding = threading.Lock()
        self._over = threading.Event()
        try:
            prepare_spare(path)
        except OSError as error:
            self._report(f"no spare of the latch could be made: {error}")
        self._signalled, self.hung_mark = Mark(marks / SIGNALLED), Mark(marks / HANG)
        if why := self._signalled.refused or self.hung_mark.refused:
            self._report(f"a KILL by signal does not outlive this process: {why}")
        # One thread of Python alone is given the signal, or one that is older than the block.
        faulthandler.register(signal.SIGUSR1, file=self._signalled, all_threads=False)
        KillWatch.newest = self
        threading.Thread(target=self._look, name="kill", daemon=True).start()

    def _receive_signal(self) -> None:
        now_ns = self._clock.now_ns()
        latch = Latch(who="signal", at_ns=now_ns)
        with contextlib.suppress(OSError):  # who signals may have left his name there first
            latch = read_latch(self._path) or latch
        if not self._over.is_set():
            self._take(latch)
        try:
            # The loop already cancels; a disk that refuses must not delay it.
            set_latch(self._path, "signal", now_ns)
            self._signalled.clear()
        except OSError as error:
            self._report(f"the latch file could not be written: {error}")
        self._must_be_taken()

    def _report(self, text: str) -> None:
        """Tell what is wrong; these threads must survive a disk that takes not even that."""
        with contextlib.suppress(OSError):
            self._hung(text)

    def _look(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        while KillWatch.newest is self:
            if self._signalled.written():
                self._receive_signal()
            if not self._over.is_set():
                self._look_around()
                self._look_at_loop()
            threading.Event().wait(LOOK_S)
        self._signalled.close()
        self.hung_mark.close()

    def _look_at_loop(self) -> None:
        """End a process whose loop hangs without a KILL; keep the timer of the C library wound."""
        if not self._turns:
            return
        look = self.progress.look()
        self._wind(look.at_s)
        if self._rest.hangs(look):
            self._die(f"the loop hangs in one step: {HUNG_S} s of CPU, or of sleep")

    def _look_around(self) -> None:
        # A latch that was set by hand, by a page or by `engine kill` counts like the signal.
        latch = None
        with contextlib.suppress(OSError):  # a disk that cannot be asked is asked again
            if not self.taken.is_set() and self._path.exists():
                latch = read_latch(self._path)
        if latch is not None:
            self._take(latch)
            self._must_be_taken()
        if not self._parent_gone and self._parent != 1 and os.getppid() != self._parent:
            self._parent_gone = True
            self._orphaned()

    def _wind(self, at_s: float) -> None:
        with self._winding:  # not behind `ends`, which stops the timer
            if self._turns and at_s - self._wound_s >= WIND_S:
                self._wound_s = at_s
                try:
                    rewind_hang_timer(self.hung_mark)
                except RuntimeError as error:  # this thread has to survive: KILL is received by it
                    self._report(f"the timer that ends a loop that hangs is not wound: {error}")

    def loop_turns(self) -> None:
        """Note a step of the loop. The first one begins the timer that ends a loop that hangs."""
        self.progress.step()
        self._turns = True

    def ends(self) -> None:
        """Stop the timer: the loop turns no more."""
        with self._winding:
            self._turns = False
            loop_ends()

    def end(self) -> None:
        """Look no more: the loop has ended by itself, and what comes after it takes its time."""
        self._over.set()

    def _must_be_taken(self) -> None:
        """Wait until the loop has taken the latch; end the process where it hangs instead."""
        judges = HangJudge(TAKEN_S), HangJudge(HUNG_S)
        while not self.taken.wait(LOOK_S) and not self._over.is_set():
            look = self.progress.look()
            self._wind(look.at_s)
            starts = not look.steps
            hangs = [judge.hangs(look) for judge in judges]
            if hangs[starts]:
                limit_s = HUNG_S if starts else TAKEN_S
                self._die(f"the loop did not take the KILL latch within {limit_s:g} s of its own")

    def _die(self, why: str) -> None:
        self._report(why)
        with contextlib.suppress(OSError, ValueError):
            faulthandler.dump_traceback(file=self.hung_mark)
        os._exit(HUNG)
