"""Files a person brings, kept whole in the home."""

from __future__ import annotations

from pathlib import Path

from engine.errors import StorageError, os_sentence
from storage.files import write_whole

BYTES_MAX = 100_000_000
"""Largest file that is kept."""


def keep(folder: Path, name: str, data: bytes) -> Path:
    """Keep a file under its name; one that is there stays as it is. Return where it lies.

    Raises StorageError where it is too large, or the disk refuses; then nothing was changed.
    """
    if len(data) > BYTES_MAX:
        raise StorageError(f"{name} is larger than {BYTES_MAX // 10**6} MB")
    if Path(name).name != name or not name or name.startswith("."):
        raise StorageError(f"{name!r} is not the name of a file")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / name, data, once=True)
    except OSError as error:
        raise StorageError(f"{folder / name}: {os_sentence(error)}") from None
    return folder / name
