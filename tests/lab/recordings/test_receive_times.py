"""Receive times that cannot be: a damaged one moves no clock, a silence is one all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.errors import BadInput
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.receive_times import (
    AHEAD,
    FALLS,
    HELD_MAX,
    LEAPS,
    TIME_NS_MAX,
    Frame,
    ReceiveTimes,
)

S = 1_000_000_000
BASE = 1_776_081_600 * S
DAY, YEAR = 86_400 * S, 365 * 86_400 * S


def frame(number: int, at_s: float, *, off_ns: int = 0, **changes: object) -> Frame:
    """Return a frame stamped and received at so many seconds, its receipt off by so much."""
    at_ns = BASE + round(at_s * S)
    made = Frame(("day", number), number, at_ns + off_ns, at_ns)
    return made._replace(**changes)


def timed(*frames: Frame) -> tuple[list[float], RecordingStats, list[int]]:
    """Return the times told in seconds after the base, what was counted, and the stamps told."""
    stats = RecordingStats()
    found = list(ReceiveTimes(stats).timed(iter(frames)))
    assert [frame.line for frame, _ in found] == [frame.line for frame in frames]
    return [(at_ns - BASE) / S for _, at_ns in found], stats, [f.stamp_ns for f, _ in found]


@pytest.mark.parametrize(
    "off_ns", [YEAR, DAY, -DAY, TIME_NS_MAX], ids=["a year", "a day", "a day behind", "no time"]
)
@pytest.mark.parametrize(
    "where", [[0], [5], [9], [4, 5, 6], [0, 1], [8, 9]],
    ids=["first", "middle", "last", "three in a row", "first two", "last two"],
)  # fmt: skip
def test_damaged_time_is_counted_and_named_and_moves_no_clock(
    where: list[int], off_ns: int
) -> None:
    frames = [frame(n, n, off_ns=off_ns if n in where else 0) for n in range(10)]
    times, stats, stamps = timed(*frames)
    assert times == list(range(10))
    assert stats.anomalies == {FALLS if off_ns < 0 else LEAPS: len(where)}
    assert set(stats.anomaly_lines.values()) == {f"day:{where[0]}"}
    assert AHEAD not in stamps


def test_times_that_leap_by_different_lengths_are_all_found() -> None:
    offs = {2: DAY, 3: YEAR, 4: 2 * DAY, 5: -DAY}
    times, stats, _ = timed(*(frame(n, n, off_ns=offs.get(n, 0)) for n in range(8)))
    assert times == list(range(8))
    assert stats.anomalies == {LEAPS: 3, FALLS: 1}


def test_silence_of_hours_is_no_anomaly() -> None:
    times, stats, _ = timed(frame(0, 0), frame(1, 1), frame(2, 36_000), frame(3, 36_001))
    assert times == [0, 1, 36_000, 36_001]
    assert not stats.anomalies


def test_old_book_after_a_silence_is_told_when_it_was_received_and_not_before() -> None:
    old = frame(2, 10, off_ns=35_990 * S, fresh=False)
    times, stats, _ = timed(frame(0, 0), frame(1, 1), old, frame(3, 36_001))
    assert times == [0, 1, 36_000, 36_001]
    assert not stats.anomalies


def test_damaged_time_within_a_silence_is_told_at_its_stamp() -> None:
    times, stats, _ = timed(frame(0, 0), frame(1, 7_200, off_ns=YEAR), frame(2, 14_400))
    assert times == [0, 7_200, 14_400]
    assert stats.anomalies == {LEAPS: 1}


def test_frame_without_a_stamp_waits_for_one_that_has_it() -> None:
    unstamped = frame(1, 5_000, stamp_ns=0, fresh=False)
    assert timed(frame(0, 0), unstamped, frame(2, 5_001))[0] == [0, 5_000, 5_001]
    assert timed(frame(0, 0), unstamped, frame(2, 4_000))[0] == [0, 0, 4_000]
    assert timed(frame(0, 0), unstamped)[0] == [0, 5_000]


def test_stamp_beyond_its_receipt_is_damaged_and_the_receipt_holds() -> None:
    far = frame(1, 1, stamp_ns=BASE + DAY)
    times, stats, stamps = timed(frame(0, 0), far, frame(2, 2))
    assert times == [0, 1, 2]
    assert stamps[1] == AHEAD
    assert not stats.anomalies  # the reader refuses the frame, and counts it
    times, _, stamps = timed(far, frame(2, 2))
    assert (times, stamps[0]) == ([1, 2], AHEAD)


def test_line_that_cannot_be_read_keeps_its_place() -> None:
    torn = Frame(("day", 1), None)
    stats = RecordingStats()
    frames = [frame(0, 0, off_ns=YEAR), torn, frame(2, 2)]
    found = list(ReceiveTimes(stats).timed(iter(frames)))
    assert [made.at[1] for made, _ in found] == [0, 1, 2]
    assert [at_ns - BASE for _, at_ns in found] == [0, 0, 2 * S]


def test_what_is_held_is_told_before_the_recording_is_said_to_be_torn() -> None:
    def lines() -> Iterator[Frame]:
        yield frame(0, 0)
        yield frame(1, 1, off_ns=YEAR)
        raise BadInput("torn")

    received = []
    frames = ReceiveTimes(RecordingStats()).timed(lines())
    received += [next(frames)[1] - BASE, next(frames)[1] - BASE]
    with pytest.raises(BadInput, match="torn"):
        next(frames)
    assert received == [0, S]


def test_recorder_whose_clock_is_wrong_throughout_is_read_by_the_stamps_within_bounds() -> None:
    count = 3 * HELD_MAX
    frames = (frame(n, n / 10, off_ns=DAY) for n in range(count))
    stats, held, last_ns = RecordingStats(), 0, 0
    times = ReceiveTimes(stats)
    for made, at_ns in times.timed(frames):
        held = max(held, len(times._held))
        assert at_ns == made.stamp_ns >= last_ns
        last_ns = at_ns
    assert held <= HELD_MAX
    assert stats.anomalies == {LEAPS: count}
