"""Reader of the raw multi-feed sessions (`polymarket_multifeed_raw`).

A session is `<name>.markets.jsonl[.gz]` beside `<name>.raw_messages.jsonl[.gz]`; each line of the
latter holds one verbatim frame and when it was received. The frames go through the same cores as
the live feeds; this file only opens, orders and counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from engine.domain.events import Event
from engine.domain.instruments import Instrument
from engine.errors import BadInput
from engine.feeds.counts import UNREADABLE, BadFrame
from engine.feeds.references.sources import ReferenceCore
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.lines import read_lines
from engine.lab.recordings.receive_times import Frame, ReceiveTimes
from engine.venues.polymarket.market.core import MarketFeedCore
from engine.venues.polymarket.market.metadata import binary, fee_schedule, yes_first
from engine.venues.polymarket.market.numbers import SIZE_DECIMALS, units

MS_NS = 1_000_000

CONNECTION_FRAMES = 1_000_000
"""The recorder numbers frames from k · 1,000,000 on its k-th connection."""

CLOB = "polymarket_clob"
SOURCES = {
    "polymarket_rtds_chainlink": "rtds",
    "binance": "binance",
    "coinbase": "coinbase",
    "pyth_proxy": "pyth",
}

STAMPS = re.compile(r'"(?:timestamp|E)":\s*"?(\d{13})\b').findall
"""Milliseconds, as the venue and Binance write them."""

MESSAGES = ".raw_messages.jsonl"
MARKETS = ".markets.jsonl"


class RecordedLine(msgspec.Struct, gc=False):
    """One recorded frame."""

    source: str
    recv_wall_ts: int
    recv_mono_ns: int
    ingest_seq: int
    payload: str
    run_id: str = ""


class RecordedOutcome(msgspec.Struct):
    """One token and its label."""

    token_id: str
    outcome: str


class FeeConfig(msgspec.Struct):
    """The venue's fee schedule."""

    exponent: Decimal
    rate: Decimal
    rebateRate: Decimal  # noqa: N815 - the venue's spelling
    takerOnly: bool  # noqa: N815 - the venue's spelling


class FeeParameters(msgspec.Struct):
    """Fees as the recorder stored them."""

    fees_enabled: bool
    raw_fee_config: FeeConfig | None = None


class RecordedMarketLine(msgspec.Struct):
    """One market's metadata."""

    slug: str
    condition_id: str
    outcomes: list[RecordedOutcome]
    start_ts: int
    end_ts: int
    tick_size: Decimal
    min_order_size: Decimal
    fee_parameters: FeeParameters


_line = msgspec.json.Decoder(RecordedLine).decode
_market = msgspec.json.Decoder(RecordedMarketLine).decode


class MultifeedRecording:
    """Sessions one after another, in the order of their first frames."""

    def __init__(self, sessions: Sequence[Path]) -> None:
        """`sessions` are the raw_messages files; their markets files stand beside them."""
        self.stats = RecordingStats()
        self.stats.bytes_total = sum(path.stat().st_size for path in sessions)
        self._sessions = sorted(sessions, key=lambda path: (_begins(path), path.name))
        self._core = MarketFeedCore(self.stats)
        self._references = ReferenceCore(self.stats)
        self._clock_ns = 0
        self._connection: tuple[Path, int] | None = None

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        stats = self.stats
        session: Path | None = None
        waiting: list[tuple[Instrument, str]] = []
        for frame, at_ns in ReceiveTimes(stats).timed(self._frames()):
            stats.frames += 1
            stats.at = frame.at
            if frame.line is None:
                continue
            path, line = frame.line
            if path != session:
                session, waiting = path, read_markets(path)
            stats.out_of_order += frame.received_ns < self._clock_ns
            now_ns = max(self._clock_ns, at_ns)
            yield from self._due(now_ns)
            self._clock_ns = stats.last_ns = now_ns
            if stats.first_ns is None:
                stats.first_ns = now_ns
            events = self._connected(path, line)
            for instrument, tick in waiting:
                stats.markets.add(instrument.id)
                events += self._core.watch(instrument, tick)
            waiting = []
            events += self._frame(line, now_ns)
            stats.events += len(events)
            for event in events:
                yield now_ns, event
        yield from self._open_batches()

    def _frames(self) -> Iterator[Frame]:
        stats = self.stats
        for path in self._sessions:
            for number, text in read_lines(path, stats):
                stats.at = at = (path.name, number)
                line = self._decode(text)
                if line is None:
                    yield Frame(at, None)
                    continue
                stamp_ns = _stamp(line.payload)
                # A book is stamped when it last changed; of other feeds that is unknown.
                fresh = stamp_ns > 0 and line.source == CLOB and '"bids"' not in line.payload
                yield Frame(at, (path, line), _received(line), stamp_ns, fresh)

    def _decode(self, text: bytes) -> RecordedLine | None:
        try:
            return _line(text)
        except msgspec.ValidationError:
            self.stats.anomaly("unexpected line")
        except UNREADABLE:
            self.stats.anomaly("broken json")
        return None

    def _due(self, now_ns: int) -> Iterator[tuple[int, Event]]:
        core = self._core
        while core.due_ns <= now_ns:
            due_ns = max(core.due_ns, self._clock_ns)
            events = core.advance(core.due_ns)
            self.stats.events += len(events)
            for event in events:
                yield due_ns, event
            self._clock_ns = due_ns

    def _open_batches(self) -> Iterator[tuple[int, Event]]:
        """Judge what the last frames left open. Closes after the recording are not yielded."""
        events = self._core.finish()
        self.stats.events += len(events)
        for event in events:
            yield self._clock_ns, event

    def _connected(self, path: Path, line: RecordedLine) -> list[Event]:
        """Tell a loss where a new connection begins: what happened between is not recorded."""
        connection = (path, line.ingest_seq // CONNECTION_FRAMES)
        if connection == self._connection:
            return []
        first = self._connection is None
        self._connection = connection
        return [] if first else self._core.lose("the recorder connected anew")

    def _frame(self, line: RecordedLine, now_ns: int) -> list[Event]:
        frame = line.payload.encode()
        if line.source == CLOB:
            return self._core.receive(frame, now_ns)
        return self._references.receive(SOURCES.get(line.source, line.source), frame, now_ns)


def _received(line: RecordedLine) -> int:
    """Return the receive time, in ns where the recorder's finer clock agrees with its wall."""
    wall_ns, fine_ns = line.recv_wall_ts * MS_NS, line.recv_mono_ns
    return fine_ns if 0 <= fine_ns - wall_ns < MS_NS else wall_ns


def _stamp(payload: str) -> int:
    """Return the newest time a frame says of itself, in ns; 0 where it says none."""
    return max((int(found) * MS_NS for found in STAMPS(payload)), default=0)


def markets_beside(messages: Path) -> Path:
    """Return the session's file of markets. Raises BadInput where it is missing."""
    name = messages.name.partition(MESSAGES)[0] + MARKETS
    beside = [messages.with_name(name), messages.with_name(f"{name}.gz")]
    path = next((path for path in beside if path.exists()), None)
    if path is None:
        raise BadInput(f"{messages.name}: its file of markets, {name}, is missing")
    return path


def read_markets(messages: Path) -> list[tuple[Instrument, str]]:
    """Return the session's instruments with their ticks as text. Raises BadInput."""
    path = markets_beside(messages)
    found = []
    for number, text in read_lines(path, RecordingStats()):
        try:
            found.append(_instrument(_market(text)))
        except (*UNREADABLE, BadFrame) as error:
            raise BadInput(f"{path.name}, line {number}: not a market ({error})") from None
    return found


def _instrument(line: RecordedMarketLine) -> tuple[Instrument, str]:
    tick = format(line.tick_size, "f")
    fees = line.fee_parameters.raw_fee_config
    if line.fee_parameters.fees_enabled and (fees is None or not fees.takerOnly):
        raise BadFrame("fees without a taker schedule")
    instrument = binary(
        line.condition_id,
        yes_first([o.token_id for o in line.outcomes], [o.outcome for o in line.outcomes]),
        tick=tick,
        fees=fee_schedule(
            exponent=1 if fees is None else fees.exponent,
            rate=0 if fees is None else fees.rate,
            rebate=0 if fees is None else fees.rebateRate,
        ),
        slug=line.slug,
        window_ns=(line.start_ts * MS_NS, line.end_ts * MS_NS),
        size_min=units(format(line.min_order_size, "f"), SIZE_DECIMALS, "size"),
    )
    return instrument, tick


def _begins(path: Path) -> int:
    """Return the receive time of a session's first readable line; 0 where there is none."""
    for _, text in read_lines(path, RecordingStats()):
        try:
            return _line(text).recv_wall_ts
        except UNREADABLE:
            continue
    return 0
