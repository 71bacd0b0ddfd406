"""One program of a kind per home: an exclusive lock on a file, held for as long as it is open.

The kernel gives it up when the last process that holds the file ends, whatever that died of. A
child that inherits the file holds the lock, too.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import TextIO

from engine.errors import StorageError

AGAIN_S = 0.1


def locked(path: Path, what: str, wait_s: float = 0.0) -> TextIO:
    """Hold the lock file for as long as the returned file is open; one just ending is waited for.

    Raises StorageError where another program holds it for longer than `wait_s`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("a")
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(AGAIN_S)
                continue
            file.close()
            raise StorageError(f"another {what} runs on {path.parent}; stop it first") from None
        return file
