"""Waiting for what another program does: it is looked at again and again, for as long as asked."""

from __future__ import annotations

import time
from collections.abc import Iterator


class Patience:
    """So many seconds from when it was made."""

    def __init__(self, wait_s: float) -> None:
        self._began = time.monotonic()
        self._wait_s = wait_s

    def looks(self, every_s: float) -> Iterator[float]:
        """Give a look at once and one each `every_s`, the last one when the time is over.

        Each is how long was waited before it, in s.
        """
        while True:
            waited_s = time.monotonic() - self._began
            yield waited_s
            if waited_s >= self._wait_s:
                return
            time.sleep(every_s)
