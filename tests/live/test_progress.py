"""What hangs is told from what is busy or starved by looks alone: no clock is read here."""

from __future__ import annotations

import pytest

from engine.live.kill import HangJudge, Look, Progress

EVERY_S = 0.02


def judged(looks: list[Look]) -> bool:
    judge = HangJudge(0.5)
    return any(judge.hangs(look) for look in looks)


def looks(count: int, *, steps: bool, cpu: float, asleep: bool, every_s: float) -> list[Look]:
    """Return looks `every_s` apart, between which the loop's thread spends a share `cpu` of it."""
    return [
        Look(7 + number * steps, number * every_s * cpu, asleep, number * every_s)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("case", "count", "hangs"),
    [
        ({"steps": False, "cpu": 1.0, "asleep": False, "every_s": EVERY_S}, 100, True),
        ({"steps": False, "cpu": 0.0, "asleep": True, "every_s": EVERY_S}, 100, True),
        # Kept from the processor for a minute: it wants to run, and spends nothing.
        ({"steps": False, "cpu": 0.0, "asleep": False, "every_s": EVERY_S}, 3_000, False),
        ({"steps": False, "cpu": 0.005, "asleep": False, "every_s": EVERY_S}, 3_000, False),
        # Busy for a minute, step by step; at rest for a minute, step by step.
        ({"steps": True, "cpu": 1.0, "asleep": False, "every_s": EVERY_S}, 3_000, False),
        ({"steps": True, "cpu": 0.0, "asleep": True, "every_s": EVERY_S}, 3_000, False),
        # The looking thread is starved too: one late look is no long sleep.
        ({"steps": False, "cpu": 0.0, "asleep": True, "every_s": 30.0}, 4, False),
    ],
    ids=["spins", "sleeps", "starved", "almost starved", "busy", "idle", "looked at late"],
)  # fmt: skip
def test_only_a_step_that_spends_or_sleeps_too_long_hangs(
    case: dict[str, object], count: int, *, hangs: bool
) -> None:
    assert judged(looks(count, **case)) is hangs  # type: ignore[arg-type]


def test_a_step_begins_the_count_anew() -> None:
    judge = HangJudge(0.5)
    for step in range(5):
        for number in range(20):
            cpu_s = step * 0.4 + number * EVERY_S
            assert not judge.hangs(Look(step, cpu_s, False, cpu_s))


def test_a_look_counts_steps_and_this_thread_s_cpu() -> None:
    progress = Progress()
    first = progress.look()
    for _ in range(200_000):
        pass
    progress.step()
    second = progress.look()
    assert (first.steps, second.steps) == (0, 1)
    assert second.cpu_s > first.cpu_s
    assert not second.asleep
