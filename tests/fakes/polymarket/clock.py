"""The venue's clock: the wall clock, which a test may move forward, or a frozen one."""

from __future__ import annotations

import time

S = 1_000_000_000


class Clock:
    """Time of the exchange. It never runs backwards.

    `skip` moves it forward; a clock made with `frozen_ns` moves by nothing else. `skew_ns` shifts
    only what the venue shows and compares signed timestamps with, as a wrong server clock would.
    """

    def __init__(self, frozen_ns: int | None = None) -> None:
        self._frozen_ns = frozen_ns
        self._skipped_ns = 0
        self.skew_ns = 0

    @property
    def frozen(self) -> bool:
        """Whether only `skip` moves it."""
        return self._frozen_ns is not None

    def now_ns(self) -> int:
        """Return the present moment of the exchange."""
        return self._wall_ns() + self._skipped_ns

    def server_s(self) -> float:
        """Return the time the venue's front servers show: without skips, with the skew."""
        return (self._wall_ns() + self.skew_ns) / S

    def skip(self, by_ns: int) -> None:
        """Move the exchange's time forward."""
        if by_ns < 0:
            raise ValueError("time does not run backwards")
        self._skipped_ns += by_ns

    def _wall_ns(self) -> int:
        return time.time_ns() if self._frozen_ns is None else self._frozen_ns
