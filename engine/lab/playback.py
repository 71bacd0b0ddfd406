"""Reads what the markets of a stored run did, for the page on which the run is watched again.

The recording is read once more, without a bot: its books and trades become ticks as live ones do,
and those become candles. Bars of a file are candles already.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.config import Config
from engine.domain.events import Event
from engine.domain.instruments import InstrumentId
from engine.errors import BadInput
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.door import Recording, RecordingUntil
from engine.lab.recordings.made_bars import Stretch
from engine.lab.replay.setup import ReplayOptions, opened
from engine.runtime.tick_maker import TickMaker, TickMarket
from storage.playback import Playback, PlaybackFile, whole
from storage.tick_log import COLUMNS
from storage.ticks import NO_CANDLES, aggregate, tick_table

S = 1_000_000_000
DAY_NS = 86_400 * S
LENGTHS_NS = ((2 * DAY_NS, S), (14 * DAY_NS, 5 * S), (90 * DAY_NS, 60 * S))
"""Span of what was recorded → how long a candle of it is: some 260,000 of a market at most."""
LONGEST_NS = 300 * S
TICKS_MAX = 200_000
"""Ticks that are folded at once: some 8 MB."""
PROGRESS_EVENTS = 5_000
NEVER_NS = 1 << 62


class PlaybackMaker:
    """Makes the candles of some markets out of what a recording tells."""

    def __init__(self, wanted: Collection[str], step_ns: int) -> None:
        self._wanted = frozenset(wanted)
        self._step_ns = step_ns
        self._maker = TickMaker(self._note)
        self._ticks: dict[InstrumentId, array[int]] = {}
        self._noted = 0
        self._parts: list[pa.Table] = []

    def take(self, event: Event, now_ns: int) -> None:
        """Take the next event of the recording."""
        name = getattr(event, "instrument", None)
        if name is None or (isinstance(name, str) and name in self._wanted):
            self._maker.market((event,), now_ns)

    def made(self) -> pa.Table:
        """Return the candles of all that was taken."""
        self._fold()
        return whole(self._parts)

    def _note(self, name: InstrumentId, market: TickMarket, volume: int, now_ns: int) -> None:
        ticks = self._ticks.setdefault(name, array("q"))
        ticks.extend((now_ns, market.bid, market.ask, market.last, volume))
        self._noted += 1
        if self._noted >= TICKS_MAX:
            self._fold()

    def _fold(self) -> None:
        for name, ticks in self._ticks.items():
            columns = [ticks[at :: len(COLUMNS)] for at in range(len(COLUMNS))]
            self._parts.append(aggregate(tick_table(name, columns), self._step_ns))
        self._ticks, self._noted = {}, 0


def read_playback(
    options: ReplayOptions,
    config: Config,
    folder: Path,
    *,
    wanted: Collection[str],
    span_ns: int,
    progress: Callable[[Recording], None],
) -> Playback:
    """Keep in a folder, and return, what the wanted markets did in a run's recording.

    `span_ns` = how long the run was. Raises StorageError where the folder cannot be written,
    BadInput where the recording is gone, torn, or tells nothing of these markets: then no file is
    written.
    """
    # Neither outcomes nor rates move a candle, and their files need not be there any more.
    recording = opened(replace(options, outcomes=None, funding=None), config)
    inner = recording.recording if isinstance(recording, RecordingUntil) else recording
    step_ns = next((step for most, step in LENGTHS_NS if span_ns <= most), LONGEST_NS)
    if isinstance(inner, BarRecording):
        until_ns = recording.until_ns if isinstance(recording, RecordingUntil) else NEVER_NS
        step_ns, parts = inner.spec.step, _of_bars(inner, until_ns, progress)
    else:
        parts = _of_events(recording, wanted, step_ns, progress)
    with PlaybackFile(folder, step_ns) as file:
        any_price = False
        for part in parts:
            file.add(part)
            any_price = any_price or part.num_rows > 0
        if not any_price:
            raise BadInput(f"{options.path} tells no price of a market this backtest traded")
    made = Playback.load(folder)
    assert made is not None
    return made


def _of_events(
    recording: Recording,
    wanted: Collection[str],
    step_ns: int,
    progress: Callable[[Recording], None],
) -> Iterator[pa.Table]:
    """Yield the candles of what a recording tells event by event."""
    maker = PlaybackMaker(wanted, step_ns)
    for number, (now_ns, event) in enumerate(recording.events()):
        maker.take(event, now_ns)
        if not number % PROGRESS_EVENTS:
            progress(recording)
    yield maker.made()


def _of_bars(
    bars: BarRecording, until_ns: int, progress: Callable[[Recording], None]
) -> Iterator[pa.Table]:
    """Yield the bars of a file that end before a time, as candles: by columns, without events."""
    for piece in bars.pieces():
        if isinstance(piece, Stretch):
            count = min(len(piece), (until_ns - 1 - piece.start_ns) // piece.step_ns)
            if count > 0:
                yield candles_of(piece, count)
            progress(bars)


def candles_of(bars: Stretch, count: int) -> pa.Table:
    """Return the first bars of a stretch as candles; prices twice, as those of a mid are."""
    per_increment = bars.laws.spec.per_increment
    opened, high, low, close, volume = (column[:count] for column in bars.arrays)
    twice = 2 // per_increment
    starts = np.arange(count, dtype=np.int64) * bars.step_ns + bars.start_ns
    nothing, ones = pa.nulls(count, pa.int64()), np.ones(count, dtype=np.int64)
    whose = pa.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), [bars.instrument])
    prices = {"open2": opened, "high2": high, "low2": low, "close2": close}
    return pa.table(
        {
            "instrument": whose,
            "start_ns": starts,
            **{name: column * twice for name, column in prices.items()},
            "bid": nothing,
            "ask": nothing,
            "last": close // per_increment,
            "volume": volume,
            "ticks": ones,
            "trades": np.minimum(volume, 1),
        },
        schema=NO_CANDLES.schema,
    )
