import pytest

from engine.clock import JUMP_NS_MAX, TapeClock, WallClock
from engine.errors import BrokenInvariant

SECOND = 1_000_000_000


class Machine:
    """A wall and a monotonic clock that a test sets."""

    def __init__(self):
        self.wall_ns = 1_700_000_000 * SECOND
        self.monotonic_ns = 55 * SECOND

    def passes(self, ns):
        self.wall_ns += ns
        self.monotonic_ns += ns

    def clock(self):
        return WallClock(lambda: self.wall_ns, lambda: self.monotonic_ns)


def test_time_is_utc_at_start_carried_on_by_the_monotonic_clock():
    machine = Machine()
    clock = machine.clock()
    assert clock.now_ns() == machine.wall_ns
    machine.passes(3 * SECOND)
    assert clock.now_ns() == machine.wall_ns
    assert clock.jump_ns() == 0


def test_setting_the_wall_moves_no_timer():
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ns()
    machine.wall_ns -= 3_600 * SECOND
    assert clock.now_ns() == before


@pytest.mark.parametrize("slew", [JUMP_NS_MAX, -JUMP_NS_MAX])
def test_two_seconds_apart_are_tolerated(slew):
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns += slew
    assert clock.jump_ns() == 0
    assert clock.now_ns() == machine.wall_ns - slew


def test_a_leap_forward_is_told_once_and_time_is_utc_again():
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns += 3_600 * SECOND  # the machine was suspended
    assert clock.jump_ns() == 3_600 * SECOND
    assert clock.now_ns() == machine.wall_ns
    assert clock.jump_ns() == 0


def test_a_leap_backwards_is_told_until_the_wall_caught_up_and_time_never_runs_back():
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ns()
    machine.wall_ns -= 10 * SECOND
    for _ in range(2):
        assert clock.jump_ns() == -10 * SECOND
        assert clock.now_ns() == before
    machine.wall_ns += 8 * SECOND
    assert clock.jump_ns() == 0


def test_the_machines_own_clocks_agree():
    clock = WallClock()
    first = clock.now_ns()
    assert clock.jump_ns() == 0
    assert clock.now_ns() >= first


def test_tape_clock_stands_still_between_moments_and_never_runs_back() -> None:
    clock = TapeClock()
    assert clock.now_ns() == 0
    clock.follow(5)
    clock.follow(5)
    assert (clock.now_ns(), clock.jump_ns()) == (5, 0)
    with pytest.raises(BrokenInvariant, match="cannot run back"):
        clock.follow(4)
