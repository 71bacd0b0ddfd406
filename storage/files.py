"""Small files beside the databases: written whole or not at all, and safe on the disk.

One of them is the trace of an order that a journal does not know, on the disk before the order is
sent. Who sent it is gone when it is read: its reader must prove that the order is over.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec

from engine.errors import StorageError


def said_bytes(count: float) -> str:
    """Return bytes as disks are sold, in powers of ten: `12.3 MB`, `1.50 GB`."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def write_whole(path: Path, data: bytes, *, once: bool = False) -> None:
    """Replace a file, for its owner alone, on the disk when this returns.

    `once`: one that is there stays; of two programs at the same moment one wins. Raises OSError;
    then it is as it was.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not (once and path.exists()):
            beside.replace(path)
        to_disk(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until a file, or what stands in a folder, is on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


ASIDE = "aside"
"""Folder beside a damaged file, into which it is moved: it is never deleted."""

OF_A_DATABASE = ("", "-wal", "-shm")


def set_aside(path: Path) -> Path:
    """Move a file or folder that is damaged, with the logs of a database, out of the way.

    Return where it lies now. Raises OSError.
    """
    folder = path.parent / ASIDE
    folder.mkdir(mode=0o700, exist_ok=True)
    names = [path.name, *(f"{path.name}.{number}" for number in range(1, 10_000))]
    free = next(one for one in names if not (folder / one).exists())
    for end in OF_A_DATABASE:
        part = path.with_name(path.name + end)
        if part.exists() or part.is_symlink():
            part.replace(folder / (free + end))
    return folder / free


def folder_at(path: Path) -> Path | None:
    """Make a folder; a file in its place is set aside, and returned. Raises OSError."""
    aside = set_aside(path) if path.exists() and not path.is_dir() else None
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return aside


RESTORING = "RESTORING"
"""A file in the home while a backup is being swapped in: nothing starts beside it."""

BEFORE = "before-restore-"
"""How a folder is named that keeps what stood before one."""


def under_way(home: Path) -> dict[str, str]:
    """Return which backup is being put back and where what stood is kept; empty = none is."""
    try:
        found = json.loads((home / RESTORING).read_text(encoding="utf-8"))
        return {"backup": str(found["backup"]), "aside": str(found["aside"])}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        return {"backup": "an unknown backup", "aside": f"{BEFORE}unknown"}


def check_swapped(home: Path) -> None:
    """Refuse a home in which a backup is half put back. Raises StorageError."""
    if found := under_way(home):
        raise StorageError(
            f"{home} is half restored from {found['backup']}: run `python -m engine restore "
            f"{found['backup']}` again, it finishes that"
        )


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """An order that may be open at the venue."""

    identity: str
    account: str
    at_ns: int


def write_trace(path: Path, *, identity: str, account: str, at_ns: int) -> None:
    """Write it down, on the disk when this returns. Raises StorageError: do not send then."""
    made = Trace(identity=identity, account=account, at_ns=at_ns)
    try:
        write_whole(path, msgspec.json.encode(made))
    except OSError as error:
        raise StorageError(
            f"{path} could not be written ({error.strerror}): nothing was sent; make room first"
        ) from None


def read_trace(path: Path) -> Trace | None:
    """Return what was written; None = there is none. Raises StorageError where it is unreadable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Trace)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise StorageError(
            f"{path} names an order that may be open and cannot be read: cancel the account's "
            "orders at the venue by hand, then remove the file"
        ) from None


def forget_trace(path: Path) -> None:
    """Remove it: the order is proven to be over."""
    path.unlink(missing_ok=True)
