"""The trace of an order that a journal does not know: on the disk before the order is sent.

Who sent it is gone when its trace is read: whoever finds one must prove that the order is over.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engine.errors import StorageError


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """An order that may be open at the venue."""

    identity: str
    account: str
    at_ns: int


def write_trace(path: Path, *, identity: str, account: str, at_ns: int) -> None:
    """Write it down, on the disk when this returns. Raises StorageError: do not send then."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    made = Trace(identity=identity, account=account, at_ns=at_ns)
    try:
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(made))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
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


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
