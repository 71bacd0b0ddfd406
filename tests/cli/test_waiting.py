"""What is waited for is looked at once at least, and once more when the time is over."""

from __future__ import annotations

import time

import pytest

from engine.cli.waiting import Patience


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A stopwatch that sleeping alone moves; the second number is how often it was slept."""
    shown = [100.0, 0.0]

    def sleep(seconds: float) -> None:
        shown[0] += seconds
        shown[1] += 1

    monkeypatch.setattr(time, "monotonic", lambda: shown[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return shown


@pytest.mark.parametrize(
    ("wait_s", "looks"), [(0.0, [0.0]), (-1.0, [0.0]), (1.0, [0.0, 0.5, 1.0]), (0.7, [0, 0.5, 1])]
)
def test_the_last_look_is_when_the_time_is_over(
    wait_s: float, looks: list[float], clock: list[float]
) -> None:
    assert list(Patience(wait_s).looks(0.5)) == looks
    assert clock[1] == len(looks) - 1


def test_two_waits_share_one_patience(clock: list[float]) -> None:
    patience = Patience(2.0)
    for waited_s in patience.looks(0.5):
        if waited_s == 1.5:
            break
    assert list(patience.looks(0.5)) == [1.5, 2.0]
