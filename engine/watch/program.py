"""The watch's turn, once a second: look, remember, decide, send. Nothing here waits."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from engine.domain.alerts import Severity, described
from engine.errors import StorageError
from engine.watch.channels import channels
from engine.watch.conditions import Condition, StateSeen, conditions
from engine.watch.desk import EVENT, SECOND_NS, Desk, DeskPlace, Forerunner, Trouble, state
from engine.watch.dispatch import (
    Dispatch,
    Planner,
    is_event,
    known_alerts,
    take_alerts,
    take_trouble,
)
from engine.watch.probes import Probe, probes
from engine.watch.rules import SettingsReader
from engine.watch.send import SendOrder
from engine.watch.sender import Sends
from storage import watch as log
from storage.database import file_id, must_be, primary_code, storage_errors, transaction
from storage.seen import KnownAlerts, read_alerts
from storage.watch import (
    MEMORY,
    REFUSED,
    Notice,
    NoticeSource,
    Reason,
    RequestKind,
    open_watch,
    prepare,
)
from storage.watch_rows import STOPPED, remove_unreadable

Result = TypeVar("Result")
RETRY_NS = 10 * 1_000_000_000
LOOK_NS = 2 * 1_000_000_000
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DeliveryLog:
    """The log on the disk, or in memory where the disk refuses: one connection, and why.

    A full disk, a deleted or a damaged `watch.db` never keeps an alert from being sent: what stands
    in it goes on in memory and is written back as soon as the disk takes it.
    """

    def __init__(self, path: Path, now_ns: int) -> None:
        self.path = path
        self.error = ""
        """Why the file is not written; empty = it is."""
        self._tried_ns = now_ns
        self._known = (0, 0)
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._opened(now_ns)
        except StorageError as error:
            self._into_memory(str(error))

    @property
    def connection(self) -> sqlite3.Connection:
        """Return the connection, of the file or of memory."""
        if self._connection is None:
            raise StorageError("the delivery log is closed")
        return self._connection

    def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do work in one transaction; where the disk refuses, do it again in memory.

        The work must be repeatable: of a transaction that is refused nothing stays.
        """
        if not self.error:
            try:
                with storage_errors(self.path), transaction(self.connection) as connection:
                    return work(connection)
            except StorageError as error:
                self._into_memory(str(error))
        with transaction(self.connection) as connection:
            return work(connection)

    def mend(self, now_ns: int) -> None:
        """Go back to the file once it can be written; look whether it is still the one opened."""
        wait_ns = RETRY_NS if self.error else LOOK_NS
        if now_ns - self._tried_ns < wait_ns and now_ns >= self._tried_ns:
            return
        self._tried_ns = now_ns
        if not self.error:
            try:
                must_be(self.path, self._known)
            except StorageError as error:
                self._into_memory(str(error))
        if self.error:
            self._write_back(now_ns)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self, now_ns: int) -> sqlite3.Connection:
        try:
            made = open_watch(self.path)
        except StorageError as error:
            cause = error.__cause__
            if not isinstance(cause, sqlite3.Error) or primary_code(cause) not in DAMAGED:
                raise
            # It is our own file and can be begun anew; what was in it is kept beside it.
            try:
                self.path.rename(self.path.with_name(f"{self.path.name}.damaged-{now_ns}"))
            except OSError:
                raise error from None
            made = open_watch(self.path)
        self._known = file_id(self.path)
        return made

    def _into_memory(self, why: str) -> None:
        memory = sqlite3.connect(":memory:", isolation_level=None)
        before = self._connection
        if before is not None:
            try:
                before.backup(memory)
            except sqlite3.Error:
                memory.close()
                memory = sqlite3.connect(":memory:", isolation_level=None)
            before.close()
        prepare(memory)
        self._connection, self.error = memory, why

    def _write_back(self, now_ns: int) -> None:
        memory = self.connection
        try:
            file = self._opened(now_ns)
        except StorageError as error:
            self.error = str(error)
            return
        try:
            with storage_errors(self.path):
                asked = file.execute(
                    "SELECT kind, subject, who, at_ns FROM requests WHERE done_ns IS NULL"
                ).fetchall()
                memory.backup(file)
                file.execute("PRAGMA journal_mode = WAL")
                file.executemany(
                    "INSERT INTO requests (kind, subject, who, at_ns) SELECT ?1, ?2, ?3, ?4 WHERE "
                    "NOT EXISTS (SELECT 1 FROM requests WHERE who = ?3 AND at_ns = ?4)",
                    asked,
                )
        except StorageError as error:
            file.close()
            self.error = str(error)
            return
        memory.close()
        self._connection, self.error = file, ""


# -- the program -----------------------------------------------------------------------------------

FRESH_NS = 45 * SECOND_NS
"""Figures of an engine that has not reported for longer are not judged."""

FORGET_NS = 3_600 * SECOND_NS
NAMED_MAX = 5
"""Most unseen critical alerts that a call of the dead man's switch names."""

ENGINE_ID = "pitboss"
"""The engine of a home whose engine has not named itself yet (`storage.users`)."""

FAILED, FAILING = "watch_part", "channel_failing"
"""Kinds of trouble that the watch finds of itself."""

SAID = ("kind", "text", "subject", "numbers", "mode", "account", "bot", "instrument")
"""What of a trouble its notice keeps."""

BEAT, SETTINGS, PING, KINDS = "beat", "settings", "ping", "channel kinds"
"""What the watch keeps in its log beside notices: names of rows of `meta`."""


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What the watch says of itself each second; pages and the doctor read it."""

    at_ns: int
    pid: int
    log_error: str
    channels_error: str
    settings_error: str


class Watch:
    """Everything the watch knows while it runs. `turn` is called once a second."""

    def __init__(
        self,
        place: DeskPlace,
        sends: Sends,
        now_ns: int,
        *,
        found_probes: Mapping[str, Probe] | None = None,
        found_conditions: Mapping[str, Condition] | None = None,
        parent_gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self.place = place
        self._sends = sends
        self._probes = probes() if found_probes is None else found_probes
        self._conditions = conditions() if found_conditions is None else found_conditions
        self._parent_gone = parent_gone
        self._began_ns = now_ns
        self._due_ns: dict[str, int] = {}
        self._found: dict[str, tuple[Trouble, ...]] = {}
        self._standing: frozenset[tuple[str, str]] = frozenset()
        """Kind and subject of what stood after the turn before, also that of a former watch."""
        self._forgot_ns = 0
        self._log = DeliveryLog(place.home / log.NAME, now_ns)
        self._turned_ns = 0
        """The last turn, of this watch or of the one before it; 0 = there was none."""
        self._meta, self._forerunner = self._log.run(self._restored)
        self._settings = SettingsReader(self._meta.get(SETTINGS), place.port)
        failing = [subject for kind, subject in self._standing if kind == FAILING]
        self._dispatch = Dispatch(place.home, place.state, sends, self._meta.get(PING), failing)

    def _restored(self, connection: sqlite3.Connection) -> tuple[dict[str, str], Forerunner]:
        """Return what a former watch remembered, and how it ended.

        A watch that was stopped leaves a mark; one that was killed does not, however soon the next
        one began. The mark stands until this one has looked.
        """
        if removed := remove_unreadable(connection):
            say("failed", part="delivery log", error=removed)
            said = f"rows of the delivery log cannot be read and were removed: {removed}"[:600]
            subject = f"{EVENT}log {self._began_ns}"
            self._found["log"] = (Trouble(kind="watch_part", subject=subject, text=said),)
        log.interrupted(connection, self._began_ns)
        self._restore(log.lasting(connection))
        text = log.meta(connection, MEMORY)
        kept: dict[str, str] = json.loads(text) if text else {}
        for name in (SETTINGS, PING):
            if (found := log.meta(connection, name)) is not None:
                kept[name] = found
        beat, stopped = log.meta(connection, BEAT), log.meta(connection, STOPPED)
        log.put_meta(connection, KINDS, json.dumps(kinds_as_rows()))
        with suppress(msgspec.MsgspecError):  # of another version
            self._turned_ns = msgspec.json.decode(beat, type=Beat).at_ns if beat else 0
        return kept, Forerunner(
            looked_ns=self._turned_ns,
            stopped_ns=int(stopped or 0),
            began_ns=self._began_ns,
        )

    def _restore(self, stood: list[Notice]) -> None:
        """Let what stood when a former watch ended stand until it is looked at again."""
        lasting = [one for one in stood if not is_event(one)]
        self._standing = frozenset((one.kind, one.subject) for one in lasting)
        for name, condition in self._conditions.items():
            kinds = getattr(condition, "kinds", ())
            self._found[f"condition {name}"] = tuple(
                Trouble(**{field: getattr(one, field) for field in SAID})
                for one in lasting
                if one.kind in kinds
            )

    # -- One turn ----------------------------------------------------------------------------------

    def turn(self, now_ns: int) -> None:
        """Look, remember, decide, send."""
        self._log.mend(now_ns)
        self._began_ns = min(self._began_ns, now_ns)  # later than now = the clock went back
        desk = Desk(
            self.place,
            self._settings.now,
            self._meta,
            began_ns=self._began_ns,
            orphaned=self._parent_gone(),
            standing=self._standing,
        )
        desk.refresh()
        self._forerunner.look(desk.program("watch"))
        self._dispatch.read()
        known = known_alerts(self._log.connection, now_ns)
        rows = self._look(desk, known, now_ns)
        found = [*self._all_found(), *self._own_trouble(), *_unread(desk)]
        self._dispatch.collect()

        def work(connection: sqlite3.Connection) -> list[tuple[str, SendOrder]]:
            planner = Planner(connection, self._dispatch.names(), self._settings.now, now_ns)
            if now_ns < self._turned_ns:
                planner.set_back(self._turned_ns - now_ns)
            unread = take_alerts(connection, known, rows, now_ns)
            take_trouble(connection, [*found, *unread], now_ns)
            return self._decided(connection, planner, now_ns)

        orders = self._log.run(work)
        self._turned_ns = now_ns
        self._standing = frozenset((one.kind, one.subject) for one in found if not is_event(one))
        self._dispatch.settled(now_ns)
        unseen = log.unseen(self._log.connection, NAMED_MAX, Severity.CRITICAL)
        self._dispatch.call(_critical(found, unseen), now_ns)
        self._dispatch.start(orders)
        self._dispatch.keep_key(self._settings.now, now_ns)

    def stop(self, now_ns: int) -> None:
        """Note that a person ended the watch, and end what it started."""
        self._sends.stop()
        with suppress(StorageError):
            self._log.run(lambda connection: log.put_meta(connection, STOPPED, str(now_ns)))
        self._log.close()

    @property
    def waiting(self) -> int:
        """How many deliveries wait or are on their way."""
        return log.waiting(self._log.connection)

    def leaving(self, now_ns: int) -> int:
        """Return how many deliveries are on their way, or due and not tried yet."""
        return log.leaving(self._log.connection, now_ns)

    def _decided(
        self, connection: sqlite3.Connection, planner: Planner, now_ns: int
    ) -> list[tuple[str, SendOrder]]:
        """Write this turn down: requests, what came back, plans, what leaves."""
        self._requests(connection, now_ns)
        self._dispatch.settle(connection, now_ns)
        while planner.plan() >= log.ROWS_MAX:
            pass
        orders = self._dispatch.begin(connection, self._settings.now, now_ns)
        self._say(connection, now_ns)
        return orders

    def _requests(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Do what people asked for."""
        for asked in log.requests(connection):
            if asked.kind is RequestKind.TEST:
                number = log.plan(
                    connection,
                    channel=asked.subject,
                    rule="",
                    reason=Reason.TEST,
                    due_ns=now_ns,
                    now_ns=now_ns,
                )
                log.answered(connection, asked.id, str(number), now_ns)
                continue
            key = asked.subject
            if asked.kind is RequestKind.ACK_LINK:
                key = self._dispatch.key_of_link(key, self._settings.now, now_ns)
            known = log.acknowledge(connection, key, asked.who, now_ns)
            log.answered(connection, asked.id, f"seen {key}" if known else REFUSED, now_ns)

    def _say(self, connection: sqlite3.Connection, now_ns: int) -> None:
        beat = Beat(
            at_ns=now_ns,
            pid=os.getpid(),
            log_error=self._log.error,
            channels_error=self._dispatch.error,
            settings_error=self._settings.error,
        )
        kept = {name: text for name, text in self._meta.items() if name not in (SETTINGS, PING)}
        rows = {
            STOPPED: "",
            BEAT: msgspec.json.encode(beat).decode(),
            PING: msgspec.json.encode(self._dispatch.ping).decode(),
            SETTINGS: self._settings.kept(),
            MEMORY: json.dumps(kept),
        }
        for name, text in rows.items():
            log.put_meta(connection, name, text)
        if not self._forgot_ns <= now_ns < self._forgot_ns + FORGET_NS:
            self._forgot_ns = now_ns
            log.forget(connection, now_ns)

    # -- What is looked at -------------------------------------------------------------------------

    def _look(self, desk: Desk, known: KnownAlerts, now_ns: int) -> list[dict[str, object]]:
        """Ask probes and conditions whose time has come; what the others found stands.

        Return the engine's alerts that are new or moved.
        """
        # A desk that is being stopped has programs that do not run.
        for name, probe in () if desk.stopping else self._probes.items():
            if self._is_due(f"probe {name}", probe.every_s, now_ns):
                self._find(f"probe {name}", partial(probe.look, desk, now_ns))
        rows: list[dict[str, object]] = []
        with self._state(desk) as (connection, engine_id):
            if connection is None:
                return rows
            self._settings.read(connection, engine_id)
            beat = desk.heartbeat
            fresh = beat is not None and abs(now_ns - beat.heartbeat_ns) < FRESH_NS
            fresh = fresh and not desk.stopping
            seen = StateSeen(
                state=connection,
                engine_id=engine_id,
                detail=_detail(beat.detail if beat else ""),
                alerts=self._settings.now,
                meta=self._meta,
                now_ns=now_ns,
                standing=self._standing,
            )
            for name, one in self._conditions.items():
                able = fresh or not getattr(one, "needs_engine", True)
                if able and self._is_due(name, one.every_s, now_ns):
                    self._find(f"condition {name}", partial(one.find, seen))
            rows = read_alerts(connection, engine_id, known)
        return rows  # noqa: RET504 where the state refuses in the middle, there are none

    def _find(self, name: str, ask: Callable[[], Iterable[Trouble]]) -> None:
        """Ask one probe or condition; one that fails is reported, and the others go on.

        What stood of a thing that cannot be judged now stands on: that it is over is not known.
        """
        before = [
            one
            for one in self._found.get(name, ())
            if one.kind != FAILED and not one.subject.startswith(EVENT)
        ]
        try:
            found = tuple(ask())
            unjudged = {subject for one in found for subject in one.instead_of}
            known = {(one.kind, one.subject) for one in found}
            kept = (
                one
                for one in before
                if one.subject in unjudged and (one.kind, one.subject) not in known
            )
            self._found[name] = (*found, *kept)
        except sqlite3.OperationalError:
            raise  # the state database's own refusal
        except Exception as error:  # noqa: BLE001 whatever it is, the others go on
            say("failed", part=name, error=f"{type(error).__name__}: {error}")
            text = f"{name} failed: {type(error).__name__}: {error}"[:400]
            self._found[name] = (*before, Trouble(kind=FAILED, subject=name, text=text))

    def _is_due(self, name: str, every_s: float, now_ns: int) -> bool:
        due_ns = self._due_ns.get(name, 0)
        # A clock that went back must not silence a probe.
        if now_ns < due_ns <= now_ns + int(every_s * SECOND_NS):
            return False
        self._due_ns[name] = now_ns + int(every_s * SECOND_NS)
        return True

    def _all_found(self) -> Iterator[Trouble]:
        """Give what stands; an event stands for one turn alone."""
        for name, found in self._found.items():
            yield from found
            self._found[name] = tuple(one for one in found if not one.subject.startswith(EVENT))

    def _own_trouble(self) -> Iterator[Trouble]:
        """Give what is wrong with the watch itself."""
        yield from self._dispatch.trouble()
        if self._log.error:
            yield Trouble(kind="watch_log", text=self._log.error)
        if self._settings.error:
            yield Trouble(kind="alert_settings", text=self._settings.error)
        yield from self._forerunner.trouble()

    @contextmanager
    def _state(self, desk: Desk) -> Iterator[tuple[sqlite3.Connection | None, str]]:
        """Give a reader of the state database and the engine's name; None = it gives nothing."""
        engine_id = desk.heartbeat.engine_id if desk.heartbeat else ENGINE_ID
        if desk.unreadable is not None:
            yield None, engine_id
            return
        try:
            with state(self.place.state_path) as connection:
                yield connection, engine_id
        except StorageError as error:
            desk.refused(error)


def kinds_as_rows() -> list[dict[str, object]]:
    """Return the kinds of channels as pages draw their forms."""
    return [
        {
            "name": one.name,
            "title": one.title,
            "help": one.help,
            "pings": one.pings,
            "fields": msgspec.to_builtins(one.fields),
        }
        for one in channels().values()
    ]


def _critical(found: list[Trouble], unseen: list[Notice]) -> str:
    """Return what keeps the desk from being well, in words; empty = all is well.

    Trouble stands for as long as it is found; an alert of the engine, and what happened once, until
    a person has seen it.
    """
    bad: list[Trouble | Notice] = [
        one for one in found if described(one.kind).severity is Severity.CRITICAL
    ]
    bad += [one for one in unseen if one.source is NoticeSource.ENGINE or is_event(one)]
    said = dict.fromkeys(f"{described(one.kind).title}: {one.text}" for one in bad)
    return "; ".join(said)[:1_000]


def _unread(desk: Desk) -> Iterator[Trouble]:
    """Give what of the engine's rows cannot be read, as one for each kind of row."""
    for text in {one.partition(":")[0]: one for one in desk.unread}.values():
        yield Trouble(kind="watch_part", subject=text.partition(":")[0], text=text)


def _detail(text: str) -> dict[str, object]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def say(event: str, **fields: object) -> None:
    """Write one line of the watch's log: JSON on standard error, as the other programs do.

    Where supervisor has ended, no program reads it any more: the watch goes on all the same.
    """
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = {"time": now, "level": "info", "event": f"watch.{event}", "room": "watch", **fields}
    with suppress(OSError):
        sys.stderr.write(json.dumps(line, default=str) + "\n")
        sys.stderr.flush()
