"""Virtual time."""

from __future__ import annotations

import pytest

from engine.errors import BrokenInvariant
from engine.venues.demo.timeline import Timeline, TimelineEntry


def test_ties_are_broken_by_the_order_of_setting() -> None:
    line = Timeline(10)
    for number in (3, 1, 2):
        line.set(20, TimelineEntry.SETTLE, number=number)
    line.set(15, TimelineEntry.EXPIRE, number=9)
    popped = [line.pop(20) for _ in range(5)]
    assert [timer[4] if timer else None for timer in popped] == [9, 3, 1, 2, None]
    assert line.now_ns == 20


def test_a_timer_in_the_past_is_due_at_once() -> None:
    line = Timeline(10)
    line.set(5, TimelineEntry.SETTLE)
    assert line.due_ns == 10
    assert line.pop(9) is None


def test_bounds() -> None:
    line = Timeline(10)
    assert line.due_ns is None
    with pytest.raises(BrokenInvariant):
        line.reach(9)


def test_too_many_timers_are_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.venues.demo.timeline.TIMERS_MAX", 1)
    line = Timeline(0)
    line.set(1, TimelineEntry.SETTLE)
    with pytest.raises(BrokenInvariant):
        line.set(1, TimelineEntry.SETTLE)
