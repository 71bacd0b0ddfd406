"""A recording, from the market's frames to its file and back: the same events, the same replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.config import Config
from engine.domain.events import Event, FeedLost, FeedRestored, InstrumentListed
from engine.domain.money import MICRO
from engine.errors import BadInput, NotSent
from engine.lab.recordings.open import TORN, TapedRecording, open_recording
from engine.lab.replay.setup import ReplayOptions, prepare
from engine.runtime.recording import GAP, LiveRecording, checked
from engine.strategies.market_maker.parameters import EAGER
from engine.venues.demo import wire
from engine.venues.demo.plugin import DemoSource
from storage.jobs import RecordingSeen, RecordingState
from storage.tape_blocks import segments
from tests.clocks import ManualClock

S = 1_000_000_000
Timed = list[tuple[int, Event]]
QUOTING = {
    **{name: str(value) for name, value in EAGER.items()},
    "sigma_warm_s": "0", "sigma_sample_ms_min": "0", "width_vol_multiplier": "0",
    "trend_width_multiplier": "1", "event_jump_ticks": "0", "hysteresis_ticks": "0.5",
    "stop_before_close_s": "5",
}  # fmt: skip


class Said:
    """A market that says these events at their times and then nothing more, or breaks."""

    def __init__(self, clock: ManualClock, *parts: Timed) -> None:
        self.clock = clock
        self.parts = list(parts)
        self.silent = asyncio.Event()

    async def listen(self) -> AsyncIterator[bytes]:
        for now_ns, event in self.parts.pop(0):
            self.clock.advance(max(0, now_ns - self.clock.now_ns()))
            yield wire.pack(wire.MarketFrame(at_ns=now_ns, events=(event,)))
        if self.parts:
            raise NotSent("the stream broke")
        self.silent.set()
        await asyncio.Event().wait()


class Desk:
    def __init__(self, folder: Path, instruments: Iterable[str], now_ns: int) -> None:
        self.folder = folder
        self.instruments = tuple(instruments)
        self.clock = ManualClock(now_ns)
        self.ends: list[tuple[RecordingState, str]] = []

    def recording(self, *, resumed: bool = False) -> LiveRecording:
        seen = RecordingSeen(
            name="day", instruments=self.instruments, who="ann", started_ns=self.clock.now_ns(),
            events=0, gaps=0, first_ns=None, last_ns=None,
        )  # fmt: skip

        def ended(state: RecordingState, reason: str) -> None:
            self.ends.append((state, reason))

        return LiveRecording(seen, self.folder, self.clock, resumed=resumed, ended=ended)

    async def record(
        self, *parts: Timed, resumed: bool = False, stop: bool = True
    ) -> LiveRecording:
        """Record until the market is silent, then stop, or end as an engine that ends."""
        recording = self.recording(resumed=resumed)
        market = Said(self.clock, *parts)
        source = DemoSource(SimpleNamespace(clock=self.clock), market)  # type: ignore[arg-type]
        task = asyncio.create_task(recording.run(source))
        await asyncio.wait(
            {task, asyncio.create_task(market.silent.wait())}, return_when="FIRST_COMPLETED"
        )
        if stop:
            recording.stop(RecordingState.STOPPED, "stopped by ann")
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return recording


@pytest.fixture(scope="session")
def received(tape: Path) -> Timed:
    return list(open_recording(tape).events())


@pytest.fixture
def desk(tmp_path: Path, received: Timed) -> Desk:
    listed = [event.instrument.id for _, event in received if isinstance(event, InstrumentListed)]
    return Desk(tmp_path / "recordings" / "day", listed, received[0][0])


def played(folder: Path) -> tuple[Timed, TapedRecording]:
    recording = open_recording(folder)
    assert isinstance(recording, TapedRecording)
    return list(recording.events()), recording


def of_ours(event: Event) -> bool:
    """Say whether it is a loss of our own stream; the recording that is received has some, too."""
    return isinstance(event, FeedLost) and event.feed == "demo"


async def test_what_was_received_is_read_back_with_its_times(desk: Desk, received: Timed) -> None:
    recording = await desk.record(received)
    back, read = played(desk.folder)
    assert back[0][1] == FeedRestored(feed="demo", instrument=None)
    assert back[1:] == received
    assert desk.ends == [(RecordingState.STOPPED, "stopped by ann")]
    figures = recording.figures()
    assert figures.events == len(received) + 1 == read.stats.events
    assert (figures.first_ns, figures.last_ns) == (received[0][0], received[-1][0])
    assert figures.bytes == read.stats.bytes_total == read.stats.bytes_read
    assert read.stats.gaps == figures.gaps == sum(isinstance(e, FeedLost) for _, e in received)
    assert read.stats.anomalies == {}


@pytest.mark.long
async def test_a_replay_of_our_recording_is_the_replay_of_what_was_received(
    desk: Desk, received: Timed, tape: Path, tmp_path: Path
) -> None:
    await desk.record(received)

    def digest(path: Path) -> tuple[str, int]:
        options = ReplayOptions(
            path=path, strategy="market_maker", parameters=QUOTING, limits={},
            cash_micro=1_000 * MICRO, model="realistic", latency_ms=150, decisions=False,
            journal_full=False,
        )  # fmt: skip
        result = prepare(options, Config(home=tmp_path)).run(lambda *_: None)
        return result.digest, result.fills

    ours, original = digest(desk.folder), digest(tape)
    assert ours == original
    assert ours[1] > 0


async def test_only_what_is_wanted_is_written(desk: Desk, received: Timed) -> None:
    first, second = desk.instruments
    desk.instruments = (first,)
    await desk.record(received)
    names = {
        event.instrument.id if isinstance(event, InstrumentListed) else event.instrument
        for _, event in played(desk.folder)[0]
    }
    assert first in names
    assert second not in names


async def test_a_series_takes_its_instruments_as_they_are_listed(
    desk: Desk, received: Timed
) -> None:
    [series] = {
        event.instrument.series for _, event in received if isinstance(event, InstrumentListed)
    }
    desk.instruments = (series,)
    await desk.record(received)
    assert played(desk.folder)[0][1:] == received


async def test_an_engine_that_ends_leaves_a_gap_that_is_told(desk: Desk, received: Timed) -> None:
    half = len(received) // 2
    await desk.record(received[:half], stop=False)
    assert desk.ends == [], "it is to go on"
    listed = [(at, event) for at, event in received[:half] if isinstance(event, InstrumentListed)]
    desk.clock.advance(5 * S)
    again = [(desk.clock.now_ns(), event) for _, event in listed]
    await desk.record(again + received[half:], resumed=True)
    back, read = played(desk.folder)
    lost = next(n for n, (_, event) in enumerate(back) if of_ours(event))
    assert back[lost] == (received[half - 1][0], FeedLost(feed="demo", instrument=None, reason=GAP))
    assert isinstance(back[lost + 1][1], FeedRestored)
    assert read.stats.gaps == 1 + sum(isinstance(event, FeedLost) for _, event in received)
    assert back[lost + 1][0] - back[lost][0] >= 5 * S
    assert read.stats.gap_ns >= 5 * S
    times = [at for at, _ in back]
    assert times == sorted(times)


async def test_a_stream_that_breaks_is_a_gap(desk: Desk, received: Timed) -> None:
    half = len(received) // 2
    await desk.record(received[:half], received[half:])
    back, _ = played(desk.folder)
    [lost] = [event for _, event in back if of_ours(event)]
    assert "the stream broke" in lost.reason


async def test_all_before_a_torn_end_is_told_and_the_end_is_named(
    desk: Desk, received: Timed
) -> None:
    await desk.record(received[:50], stop=False)
    await desk.record(received[50:], resumed=True)
    whole, _ = played(desk.folder)
    last = segments(desk.folder)[-1]
    last.write_bytes(last.read_bytes()[:-3])
    back: Timed = []
    recording = open_recording(desk.folder)
    with pytest.raises(BadInput, match=rf"{last.name}, entry \d+: {TORN}"):
        back.extend(recording.events())
    assert back
    assert whole[: len(back)] == back


async def test_a_torn_segment_before_the_last_is_an_anomaly_and_a_gap(
    desk: Desk, received: Timed
) -> None:
    await desk.record(received[:50], stop=False)
    first = segments(desk.folder)[-1]
    with first.open("ab") as file:
        file.write(b"BLK1")
    await desk.record(received[50:], resumed=True)
    back, read = played(desk.folder)
    assert [event for _, event in back if not of_ours(event)][-1] == received[-1][1]
    assert read.stats.anomalies == {TORN: 1}


async def test_a_flipped_byte_and_a_missing_segment_are_refused(
    desk: Desk, received: Timed
) -> None:
    await desk.record(received[:50], stop=False)
    await desk.record(received[50:], resumed=True)
    first, second = segments(desk.folder)
    whole = second.read_bytes()
    second.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    with pytest.raises(BadInput, match="checksum does not match"):
        played(desk.folder)
    second.write_bytes(whole)
    first.unlink()
    with pytest.raises(BadInput, match="are missing"):
        played(desk.folder)


async def test_a_recording_ends_at_its_longest_time(
    desk: Desk, received: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.recording.TIME_NS_MAX", 3_600 * S)
    late = [(at + 3_600 * S, event) for at, event in received]
    await desk.record(late)
    [(state, reason)] = desk.ends
    assert state is RecordingState.STOPPED
    assert "1 h" in reason


async def test_limits_of_size_and_disk_are_told(
    desk: Desk, received: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = await desk.record(received)
    figures = recording.figures()
    assert recording.limit(figures) == ""
    monkeypatch.setattr("engine.runtime.recording.FREE_BYTES_MIN", 1 << 62)
    assert "free on the disk" in recording.limit(figures)
    monkeypatch.setattr("engine.runtime.recording.BYTES_MAX", 1)
    assert "the most one recording may" in recording.limit(figures)


async def test_a_folder_that_cannot_be_written_fails_the_recording_alone(
    desk: Desk, received: Timed
) -> None:
    desk.folder.parent.parent.mkdir(exist_ok=True)
    desk.folder.parent.write_text("a file where the folder should be")
    recording = desk.recording()
    with pytest.raises(asyncio.CancelledError):
        await recording.run(Said(desk.clock, received))
    [(state, reason)] = desk.ends
    assert state is RecordingState.FAILED
    assert "cannot be used" in reason


@pytest.mark.parametrize(
    ("name", "instruments", "sentence"),
    [
        ("Day/1", ("a",), "valid recording name"),
        ("../x", ("a",), "valid recording name"),
        ("day", (), "at least one"),
        ("day", ("a", "zz"), "no instrument or series 'zz'"),
        ("day", ("a",) * 501, "at most 500"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    name: str, instruments: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        checked(name, instruments, ["a", "b"])
