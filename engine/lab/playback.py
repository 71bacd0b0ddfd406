"""Reads what the markets of a stored run did, for the page on which the run is watched again.

The recording is read once more, without a bot: its books and trades become ticks as live ones do,
and those become candles. Bars of a file are candles already.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from dataclasses import replace

import pyarrow as pa

from engine.config import Config
from engine.domain.bars import BarUnit, bar_spec
from engine.domain.events import BarClosed, Event
from engine.domain.instruments import InstrumentId
from engine.errors import BadInput
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.door import Recording, RecordingUntil
from engine.lab.replay.setup import ReplayOptions, opened
from engine.runtime.tick_maker import TickMaker, TickMarket
from storage.playback import Playback, whole
from storage.tick_log import COLUMNS
from storage.ticks import NO_CANDLES, Candle, aggregate, tick_table

S = 1_000_000_000
DAY_NS = 86_400 * S
LENGTHS_NS = ((2 * DAY_NS, S), (14 * DAY_NS, 5 * S), (90 * DAY_NS, 60 * S))
"""Span of what was recorded → how long a candle of it is: some 260,000 of a market at most."""
LONGEST_NS = 300 * S
TICKS_MAX = 200_000
"""Ticks that are folded at once: some 8 MB."""
PROGRESS_EVENTS = 5_000


class PlaybackMaker:
    """Makes the candles of some markets out of what a recording tells."""

    def __init__(self, wanted: Collection[str], step_ns: int) -> None:
        self._wanted = frozenset(wanted)
        self._step_ns = step_ns
        self._maker = TickMaker(self._note)
        self._ticks: dict[InstrumentId, array[int]] = {}
        self._noted = 0
        self._bars: list[dict[str, object]] = []
        self._parts: list[pa.Table] = []

    def take(self, event: Event, now_ns: int) -> None:
        """Take the next event of the recording."""
        name = getattr(event, "instrument", None)
        if name is None or (isinstance(name, str) and name in self._wanted):
            self._maker.market((event,), now_ns)

    def take_bar(self, event: BarClosed, per_increment: int) -> None:
        """Take a bar of a file, whose prices are `per_increment` to an increment."""
        bar, twice = event.bar, 2 // per_increment
        row = Candle(
            start_ns=bar.start_ns,
            open2=bar.open * twice,
            high2=bar.high * twice,
            low2=bar.low * twice,
            close2=bar.close * twice,
            bid=None,
            ask=None,
            last=bar.close // per_increment,
            volume=bar.volume,
            ticks=1,
            trades=bar.count,
        )
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        self._bars.append({"instrument": event.instrument, **fields})

    def made(self) -> Playback:
        """Return the candles of all that was taken."""
        self._fold()
        if self._bars:
            self._parts.append(pa.Table.from_pylist(self._bars, schema=NO_CANDLES.schema))
            self._bars = []
        return Playback(whole(self._parts), self._step_ns)

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
    wanted: Collection[str],
    span_ns: int,
    progress: Callable[[Recording], None],
) -> Playback:
    """Return what the wanted markets did in a run's recording. `span_ns` = how long the run was.

    Raises BadInput where the recording is gone, torn, or tells nothing of these markets.
    """
    # Neither outcomes nor rates move a candle, and their files need not be there any more.
    recording = opened(replace(options, outcomes=None, funding=None), config)
    inner = recording.recording if isinstance(recording, RecordingUntil) else recording
    if isinstance(inner, BarRecording):
        made = _of_bars(recording, inner, wanted, progress)
    else:
        step_ns = next((step for most, step in LENGTHS_NS if span_ns <= most), LONGEST_NS)
        maker = PlaybackMaker(wanted, step_ns)
        for number, (now_ns, event) in enumerate(recording.events()):
            maker.take(event, now_ns)
            if not number % PROGRESS_EVENTS:
                progress(recording)
        made = maker.made()
    if not made.markets:
        raise BadInput(f"{options.path} tells no price of a market this backtest traded")
    return made


def _of_bars(
    recording: Recording,
    bars: BarRecording,
    wanted: Collection[str],
    progress: Callable[[Recording], None],
) -> Playback:
    spec = bars.spec
    maker = PlaybackMaker(wanted, spec.step if spec.unit is BarUnit.TIME else S)
    for number, (_, event) in enumerate(recording.events()):
        if isinstance(event, BarClosed) and bar_spec(event.bars) == spec:
            maker.take_bar(event, spec.per_increment)
        if not number % PROGRESS_EVENTS:
            progress(recording)
    return maker.made()
