"""Backups: every database copied with SQLite's own backup, each consistent in itself.

The state is copied before the journal: a journal that knows more than its projection is what every
start expects, the other way round would be a projection of records that never were.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import closing
from functools import partial
from pathlib import Path
from types import MappingProxyType

from engine.errors import StorageError
from storage.database import connect_reader, primary_code, reading, sentence, storage_errors
from storage.files import said_bytes, to_disk
from storage.journal_writer import APPLICATION_ID
from storage.retention import size_of

PAGES_AT_ONCE = 2_000
UNFINISHED = ".unfinished-"
OF_THE_TARGET = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
"""Refusals of a copy that are the disk's it is written to: what is read cannot be full."""

MANIFEST = "manifest.json"
MADE = "backup"
"""Where the copy of a journal says when it was made, until a start takes its lease."""

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")

OnProgress = Callable[[int, int, str], None]
"""Bytes done, bytes in all, what is copied."""


def back_up(
    files: Mapping[str, Path],
    folder: Path,
    *,
    name: str,
    on_progress: OnProgress,
    plain: Mapping[str, Path] = MappingProxyType({}),
    aids: AbstractSet[str] = frozenset(),
) -> dict[str, object]:
    """Copy `files` (name → database, in this order) to `folder/name`; give the manifest.

    `plain` are files that are no databases; their writers replace them as a whole. Of
    `files`, the `aids` may be damaged: the backup is made without them, and `left_out` says why.

    A backup appears under its name only when it is whole, checked and on the disk. Raises
    StorageError where the disk has no room or a copy is damaged, having left nothing behind.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(folder)
    total = sum(size_of(path) for path in files.values())
    free = shutil.disk_usage(folder).free
    if free < total * 11 // 10:
        raise StorageError(
            f"a backup needs {said_bytes(total)}, {folder} has {said_bytes(free)} free: make "
            "room or keep fewer backups"
        )
    target = folder / name
    if target.exists():
        raise StorageError(f"{target} is there already; ask again in a second")
    unfinished = folder / f"{UNFINISHED}{name}"
    unfinished.mkdir(mode=0o700)
    try:
        copied, left_out = _copy_all(files, unfinished, name, on_progress, aids)
        for label, path in plain.items():
            shutil.copyfile(path, unfinished / label)
            (unfinished / label).chmod(0o600)
            copied[label] = _seen(unfinished / label)
        manifest: dict[str, object] = {"made": name, "files": copied}
        if left_out:
            manifest["left_out"] = left_out
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for file in unfinished.iterdir():
            to_disk(file)
        unfinished.replace(target)
        to_disk(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return manifest


def _copy_all(
    files: Mapping[str, Path],
    folder: Path,
    made: str,
    on_progress: OnProgress,
    aids: AbstractSet[str],
) -> tuple[dict[str, object], dict[str, str]]:
    """Copy every database; return what the manifest keeps of each, and which aids are left out."""
    copied: dict[str, object] = {}
    left_out: dict[str, str] = {}
    done, total = 0, sum(size_of(path) for path in files.values())
    for label, path in files.items():
        target = folder / label
        try:
            _copy(path, target, made, partial(_report, on_progress, label, done, total))
            copied[label] = _seen(target)
        except StorageError as error:
            if label not in aids:
                raise
            left_out[label] = str(error)
            target.unlink(missing_ok=True)
        done += size_of(path)
    return copied, left_out


def _report(on_progress: OnProgress, label: str, before: int, total: int, copied: int) -> None:
    on_progress(min(before + copied, total), total, label)


def _copy(source: Path, target: Path, made: str, on_progress: Callable[[int], None]) -> None:
    """Copy one database as it is at this moment, while others write it."""
    opened = sqlite3.connect(target, isolation_level=None)
    with closing(connect_reader(source)) as read, closing(opened) as write:
        with storage_errors(source):
            # A snapshot that is held: without it the copy would begin anew at every write.
            read.execute("BEGIN")
            read.execute("SELECT count(*) FROM sqlite_master").fetchone()
            size = int(read.execute("PRAGMA page_size").fetchone()[0])

            def copied(status: int, remaining: int, pages: int) -> None:
                del status
                on_progress((pages - remaining) * size)

            try:
                read.backup(write, pages=PAGES_AT_ONCE, progress=copied)
            except sqlite3.Error as error:
                if primary_code(error) not in OF_THE_TARGET:
                    raise
                raise StorageError(sentence(target.parent.parent, error)) from error
        with storage_errors(target):
            write.execute("PRAGMA journal_mode = DELETE")
            if write.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
                write.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (MADE, made))
            verdict = write.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StorageError(
            f"the copy of {source} is damaged ({verdict}): the database itself is, too; stop the "
            "programs and restore the latest backup"
        )


def backup_of(journal: Path) -> str:
    """Return when a backup was made that is the journal now; empty = it is none, or worked with.

    Raises StorageError.
    """
    if not journal.is_file():
        return ""
    with reading(journal) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (MADE,)).fetchone()
    return "" if row is None else str(row[0])


def take_for_newest(journal: Path) -> None:
    """Take off a journal's copy that it is one: nothing was written to the journal since.

    Without this a start refuses it, and the venues are asked what it lacks. Raises StorageError.
    """
    with storage_errors(journal), closing(sqlite3.connect(journal)) as connection:
        connection.execute("DELETE FROM meta WHERE key = ?", (MADE,))
        connection.commit()


def _seen(path: Path) -> dict[str, object]:
    """Return what a manifest keeps of a file."""
    return {"bytes": path.stat().st_size, "sha256": digest(path)}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, as hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def backups(folder: Path) -> list[Path]:
    """Return the whole backups in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def sweep(folder: Path) -> None:
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path)
