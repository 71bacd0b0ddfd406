"""Several files of bars as one recording: what happened at the same time in each.

For strategies of more than one instrument. Each file is made into events as alone
(`engine/lab/recordings/bar_files.py`); where several files have one moment, theirs follow each
other in the order in which the files were named.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter

from engine.domain.events import Event
from engine.errors import BadInput
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.door import RecordingStats


class SideBySide:
    """Files of bars that are played at the same time. Implements `Recording`.

    All have bars of one length and prices in one currency, and no two are of one instrument.
    """

    def __init__(self, parts: Sequence[BarRecording]) -> None:
        """Take the files as they were opened. Raises BadInput where they do not go together."""
        first = parts[0]
        names = [part.instrument.id for part in parts]
        for part in parts[1:]:
            if part.spec != first.spec or part.currency != first.currency:
                raise BadInput(
                    f"{part.instrument.id} has bars of {part.bars} in {part.currency}, "
                    f"{first.instrument.id} of {first.bars} in {first.currency}: what is played "
                    "together has the same"
                )
        if len(set(names)) < len(names):
            twice = next(name for name, many in Counter(names).items() if many > 1)
            raise BadInput(f"{twice} is there twice: name two instruments")
        self._parts = tuple(parts)
        self.stats = RecordingStats()
        self.stats.bytes_total = sum(part.stats.bytes_total for part in parts)
        self.spec = first.spec
        self.currency = first.currency
        self.data_age_ms = max(part.data_age_ms for part in parts)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        stats = self.stats
        for at_ns, event in heapq.merge(
            *(part.events() for part in self._parts), key=itemgetter(0)
        ):
            stats.events += 1
            stats.first_ns = at_ns if stats.first_ns is None else stats.first_ns
            stats.last_ns = at_ns
            if not stats.events % 1_000:
                self._count()
            yield at_ns, event
        self._count()

    def _count(self) -> None:
        """Sum what the files have counted."""
        stats, counted = self.stats, [part.stats for part in self._parts]
        stats.frames = sum(one.frames for one in counted)
        stats.bytes_read = sum(one.bytes_read for one in counted)
        stats.duplicates = sum(one.duplicates for one in counted)
        stats.gaps = sum(one.gaps for one in counted)
        stats.gap_ns = sum(one.gap_ns for one in counted)
        stats.markets |= {part.instrument.id for part in self._parts}

    def worth_by_day(self) -> tuple[float, dict[int, float]]:
        """Return 1, and by day what one became that was spent in equal parts on each instrument.

        Days are UTC, since the epoch. Each part is bought at its first open, and is cash before;
        after its last bar it is worth its last close.
        """
        levels = [part.worth_by_day() for part in self._parts]
        worth = [1.0] * len(levels)
        by_day: dict[int, float] = {}
        for day in sorted({day for _, closes in levels for day in closes}):
            for at, (bought, closes) in enumerate(levels):
                worth[at] = closes[day] / bought if day in closes else worth[at]
            by_day[day] = sum(worth) / len(worth)
        return 1.0, by_day
