"""The KILL latch: a file beside the databases, so that setting it needs no database.

No order leaves while it exists; the gateway and the start of the engine look for it. Setting it
twice changes nothing: who set it first is kept. A full disk cannot keep it from being set: a spare
is made beforehand, and giving that the latch's name takes no space.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from storage.files import to_disk


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """Who set the latch and when, in ns UTC."""

    who: str
    at_ns: int


_LATCHES = msgspec.json.Decoder(Latch)
"""Made once, here: two threads that read a latch for the first time together would end msgspec."""


def set_latch(path: Path, who: str, now_ns: int) -> bool:
    """Set the latch; True = now, False = it was set before. On the disk when this returns.

    Raises OSError where the disk refuses and there is no spare: then nothing is latched.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.{now_ns}.tmp")
    spare = spare_of(path)
    try:
        try:
            _write(beside, Latch(who=who, at_ns=now_ns))
        except OSError:
            if not spare.exists():
                raise
            os.utime(spare)  # its time is when it is used; by whom is not recorded
            spare.rename(beside)
        try:
            # A link appears whole or not at all and never replaces the latch that is there.
            os.link(beside, path)
        except FileExistsError:
            return False
    finally:
        beside.unlink(missing_ok=True)
    to_disk(path.parent)
    return True


def prepare_spare(path: Path) -> None:
    """Make the spare that becomes the latch where the disk is full. Raises OSError."""
    spare = spare_of(path)
    if not spare.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        spare.write_bytes(b"")
        to_disk(spare)


def spare_of(path: Path) -> Path:
    """Return where the spare of a latch is: empty, so that it names no one, as one made by hand."""
    return path.with_name(f"{path.name}.spare")


def _write(path: Path, latch: Latch) -> None:
    with path.open("wb") as file:
        file.write(msgspec.json.encode(latch) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_latch(path: Path) -> Latch | None:
    """Return who set the latch, None where it is not set.

    A latch set by hand (`touch`), torn or unreadable names no one: it is set all the same.
    """
    try:
        return _LATCHES.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, IsADirectoryError, PermissionError):
        return Latch(who="", at_ns=path.stat().st_mtime_ns)
