"""The delivery log as the watch holds it: on the disk, or in memory where the disk refuses.

A full disk, a deleted or a damaged `watch.db` never keeps an alert from being sent: what stands in
it goes on in memory and is written back as soon as the disk takes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.errors import StorageError
from storage.database import file_id, must_be, primary_code, storage_errors, transaction
from storage.watch import open_watch, prepare

Result = TypeVar("Result")
RETRY_NS = 10 * 1_000_000_000
LOOK_NS = 2 * 1_000_000_000
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DeliveryLog:
    """One connection, and why it is not the file's where it is not."""

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
