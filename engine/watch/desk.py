"""The desk as the watch sees it from outside: its home, its programs, the engine's heartbeat."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec

from engine.errors import StorageError
from engine.watch.rules import AlertsRead
from storage.database import connect_reader, primary_code, storage_errors
from storage.phases import INIT, STOPPED, STOPPING, EnginePhase, phases
from storage.supervisor import (
    FAILURES,
    SHUTTING_DOWN,
    ProgramStatus,
    SupervisorFault,
    programs,
    socket_in,
)

SECOND_NS = 1_000_000_000
ASK_S = 3.0
"""How long supervisor may take to answer."""

BUSY_MS = 500
"""How long the state database may be locked for readers before it counts as locked."""

PHASES_READ = 30
"""So many of the newest phases are read at each look: some eight starts of the engine."""

WRITE_LOCK_BYTE = 120
"""SQLite's WAL_WRITE_LOCK in the `-shm` file (wal.c, "WAL-Index locks")."""


EVENT = "event:"
"""Before the subject of what happened once and has no end."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong now, or what happened."""

    kind: str
    text: str
    subject: str = ""
    """What of its kind it is about. One that begins with `EVENT` is sent once and has no end."""
    numbers: dict[str, str] = {}
    mode: str | None = None
    account: str | None = None
    bot: str | None = None
    instrument: str | None = None
    instead_of: tuple[str, ...] = ()
    """Subjects that could not be judged: what stood of them stands on."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's last word in the state database."""

    engine_id: str
    state: str
    heartbeat_ns: int
    started_ns: int
    pid: int
    detail: str


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Why the state database gives nothing: the kind of alert that is, and a sentence."""

    kind: str
    text: str


class DeskPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the desk lies."""

    folder: str
    """The home of all state."""
    state: str
    """The state database."""
    port: int | None = None
    """Of the dashboard; None = it is not this desk's."""
    programs: tuple[str, ...] = ("engine", "worker", "dashboard", "demo")

    @property
    def home(self) -> Path:
        return Path(self.folder)

    @property
    def state_path(self) -> Path:
        return Path(self.state)

    @property
    def supervisor(self) -> Path:
        return socket_in(self.home / "run")


class Desk:
    """What one turn of the watch sees. `programs` is None where no supervisor answers."""

    def __init__(
        self,
        place: DeskPlace,
        alerts: AlertsRead,
        meta: dict[str, str],
        *,
        began_ns: int,
        orphaned: bool = False,
        standing: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.place = place
        self.alerts = alerts
        self.meta = meta
        """What probes and conditions remember over restarts, by names of their own."""
        self.programs: Mapping[str, ProgramStatus] | None = None
        self.stopping = False
        """True = supervisor is stopping every program."""
        self.heartbeat: Heartbeat | None = None
        """None = no engine ever ran, or the state is unreadable."""
        self.restarts_ns: tuple[int, ...] = ()
        """When the engine began after one that no stop was asked of, the latest first."""
        self.last_phase: EnginePhase | None = None
        """The engine's newest phase; None = it kept none, or the state is unreadable."""
        self.stopped_ns: int | None = None
        """When the engine last ended as it was asked to; 0 = never, None = not known."""
        self.unread: list[str] = []
        """Which rows of the engine cannot be read, a sentence each."""
        self.unreadable: Unreadable | None = None
        self.began_ns = began_ns
        """When this watch began."""
        self.standing = standing
        """Kind and subject of what stood after the turn before, also that of a former watch."""
        self.orphaned = orphaned
        """True = the supervisor that started the watch has ended."""

    def refresh(self) -> None:
        """Ask supervisor and the state database anew."""
        self.programs, self.stopping = None, False
        try:
            self.programs = programs(self.place.supervisor, timeout_s=ASK_S)
        except SupervisorFault as fault:
            self.stopping = fault.faultCode == SHUTTING_DOWN
        except FAILURES:
            pass
        self.heartbeat, self.unreadable, self.unread = None, None, []
        self.restarts_ns, self.last_phase, self.stopped_ns = (), None, None
        try:
            with state(self.place.state_path) as connection:
                self.heartbeat = self._newest_heartbeat(connection)
                if self.heartbeat is not None:
                    engine_id = self.heartbeat.engine_id
                    self._take_phases(phases(connection, engine_id, most=PHASES_READ))
        except StorageError as error:
            self.unreadable = _why(self.place.state_path, error)

    def _newest_heartbeat(self, connection: sqlite3.Connection) -> Heartbeat | None:
        """Return the newest heartbeat that can be read; None = there is none."""
        names = ("engine_id", "state", "heartbeat_ns", "started_ns", "pid", "detail")
        rows = connection.execute(
            f"SELECT {', '.join(names)} FROM engine_state ORDER BY heartbeat_ns DESC"  # noqa: S608 our own words
        )
        for row in rows:
            try:
                return msgspec.convert(dict(zip(names, row, strict=True)), Heartbeat)
            except msgspec.ValidationError as error:
                self.unread.append(f"the engine's heartbeat cannot be read: {error}")
        return None

    def _take_phases(self, found: list[EnginePhase]) -> None:
        """Note what the newest phases, the latest first, tell of starts and of asked stops."""
        kept = []
        for one in found:
            try:
                kept.append(msgspec.convert(msgspec.structs.asdict(one), EnginePhase))
            except msgspec.ValidationError as error:
                self.unread.append(f"a phase of the engine cannot be read: {error}")
        self.restarts_ns = tuple(
            one.at_ns
            for one, before in pairwise(kept)
            if one.phase == INIT and before.phase not in (STOPPING, STOPPED)
        )
        self.last_phase = kept[0] if kept else None
        self.stopped_ns = next((one.at_ns for one in kept if one.phase == STOPPED), 0)

    def refused(self, error: StorageError) -> None:
        """Note that the state database, readable a moment ago, is not any more."""
        self.unreadable = _why(self.place.state_path, error)

    def stood(self, *kinds: str) -> bool:
        """Say whether trouble of one of these kinds stood after the turn before."""
        return any(kind in kinds for kind, _ in self.standing)

    def program(self, name: str) -> ProgramStatus | None:
        return self.programs.get(name) if self.programs is not None else None


@contextmanager
def state(path: Path) -> Iterator[sqlite3.Connection]:
    """Give one snapshot of the state database. Raises StorageError soon, not after a long wait."""
    with closing(connect_reader(path, busy_ms=BUSY_MS)) as connection, storage_errors(path):
        # One text that is no UTF-8 must not make every row of its table unreadable.
        connection.text_factory = lambda text: text.decode(errors="replace")
        connection.execute("BEGIN")
        yield connection


def _why(path: Path, error: StorageError) -> Unreadable:
    if not path.is_file():
        return Unreadable(kind="state_missing", text=f"{path} is not there")
    cause = error.__cause__
    code = primary_code(cause) if isinstance(cause, sqlite3.Error) else 0
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unreadable(kind="state_locked", text=str(error))
    return Unreadable(kind="state_unreadable", text=str(error))


# -- The watch before this one ---------------------------------------------------------------------

UNNOTED_NS = 5 * SECOND_NS
"""How much later than its last note a watch ends that was stopped, or killed after it had looked;
supervisor tells whole seconds."""


class Forerunner:
    """How the watch before this one ended. Times are ns UTC, 0 = never.

    Its own log says so of one that looked. One that was killed before that left nothing there: that
    a program of its name has ended is supervisor's word.

    `looked_ns` and `stopped_ns` are what stands in the log: its last look, and when it was stopped;
    `began_ns` is when this watch began.
    """

    def __init__(self, *, looked_ns: int, stopped_ns: int, began_ns: int) -> None:
        self._noted_ns = max(looked_ns, stopped_ns)
        self._began_ns = began_ns
        self._ended_ns = 0 if stopped_ns else looked_ns
        """Since when none ran, where that was no stop."""
        self._said = "it ended without a stop"
        self._asked = bool(self._ended_ns)

    def look(self, own: ProgramStatus | None) -> None:
        """Take supervisor's word for this program, once it is there: an end without a note."""
        if self._asked or own is None or own.pid != os.getpid():
            return
        self._asked, ended_ns = True, own.stop_s * SECOND_NS
        if ended_ns > self._noted_ns + UNNOTED_NS:
            self._ended_ns, self._said = ended_ns, "it ended before its first look"

    def trouble(self) -> Iterator[Trouble]:
        """Give the end, if it was no stop; the same at each call."""
        if not self._ended_ns:
            return
        since = datetime.fromtimestamp(self._ended_ns // SECOND_NS, UTC)
        away_s = max(0, self._began_ns - self._ended_ns) // SECOND_NS
        text = f"{self._said}; none ran from {since:%Y-%m-%d %H:%M:%S} UTC for {away_s:,} s"
        yield Trouble(kind="watch_restarted", subject=f"{EVENT}{self._ended_ns}", text=text)


# -- Processes and locks ---------------------------------------------------------------------------

_STATES = {
    "T": "stopped by a signal",
    "t": "held by a debugger",
    "D": "waiting for a disk",
    "Z": "dead, its parent has not noticed",
}


def process_words(pid: int) -> str | None:
    """Return how a process stands, in words; None = there is none of this id."""
    stat = Path("/proc") / str(pid) / "stat"
    try:
        found = stat.read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, 0)
            return "alive"
        return None
    return _STATES.get(found[0] if found else "", "alive") if found else None


def write_lock_holder(state_path: Path) -> int | None:
    """Return the process that holds the write lock of a database in WAL mode; None = none does.

    Asks the kernel and takes no lock. No connection of this process may be open meanwhile: closing
    a file gives up its process's locks on it.
    """
    path = state_path.with_name(f"{state_path.name}-shm")
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, WRITE_LOCK_BYTE, 1, 0)
    try:
        with path.open("rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, asked)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", answer)
    except (OSError, struct.error):
        return None
    return pid if kind != fcntl.F_UNLCK and pid > 0 else None


def program_name(pid: int) -> str:
    """Return what a process calls itself; empty = not known."""
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
