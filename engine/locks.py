"""One program of a kind per home: an exclusive lock on a file, held for as long as it is open.

The kernel gives it up when the last process that holds the file ends, whatever that died of. A
child that inherits the file holds the lock, too.
"""

from __future__ import annotations

import fcntl
import sys
import time
from pathlib import Path
from typing import TextIO

from engine.errors import AlreadyRuns, StorageError, os_sentence

RETRY_S = 0.1


def held(path: Path) -> bool:
    """Say whether a program holds this lock now. Makes no file; raises StorageError."""
    try:
        with path.open("rb") as file:
            # Shared: two that ask at the same moment see no holder in each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise StorageError(os_sentence(error)) from error
    return False


def locked(path: Path, what: str, wait_s: float = 0.0) -> TextIO:
    """Hold the lock file for as long as the returned file is open; one just ending is waited for.

    Who waits learns it at once. Raises AlreadyRuns where another program holds it for longer
    than `wait_s`, OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("a")
    until, said = time.monotonic() + wait_s, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                if not said:
                    text = f"another {what} runs on {path.parent}: waiting {wait_s:g} s for its end"
                    sys.stderr.write(f"{text}\n")
                    said = True
                time.sleep(RETRY_S)
                continue
            file.close()
            raise AlreadyRuns(f"another {what} runs on {path.parent}; stop it first") from None
        return file
