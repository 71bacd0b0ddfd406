"""A watch that ended before its first look: its log is silent, supervisor is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.watch import desk as desk_module
from engine.watch.desk import SECOND_NS, UNNOTED_NS, Forerunner
from storage.supervisor import ProgramStatus
from tests.watch.desks import MINUTE, NOON_NS, Watched

BEGAN_S = 1_000


def of_supervisor(stop_s: int, pid: int | None = None) -> ProgramStatus:
    """This program, whose forerunner ended at a second; 0 = it is the first."""
    return ProgramStatus(state="RUNNING", pid=pid or os.getpid(), start_s=BEGAN_S, stop_s=stop_s)


def told(looked_s: int, stopped_s: int, *seen: ProgramStatus | None) -> list[str]:
    made = Forerunner(
        looked_ns=looked_s * SECOND_NS, stopped_ns=stopped_s * SECOND_NS,
        began_ns=BEGAN_S * SECOND_NS,
    )  # fmt: skip
    for one in seen:
        made.look(one)
    return [trouble.text for trouble in made.trouble()]


NEVER = "it ended before its first look; none ran from 1970-01-01 00:16:38 UTC for 2 s"


@pytest.mark.parametrize(
    ("looked_s", "stopped_s", "stop_s", "text"),
    [
        (0, 0, 0, []),
        (0, 0, 998, [NEVER]),
        (500, 501, 998, [NEVER]),
        (993, 994, 0, []),
        (993, 994, 998, []),
        (990, 0, 998, ["it ended without a stop; none ran from 1970-01-01 00:16:30 UTC for 10 s"]),
    ],
    ids=["the first", "never looked", "never looked after a stop", "of a desk before", "stopped",
         "killed after a look"],
)  # fmt: skip
def test_an_end_is_told_unless_it_was_a_stop(
    looked_s: int, stopped_s: int, stop_s: int, text: list[str]
) -> None:
    assert told(looked_s, stopped_s, of_supervisor(stop_s)) == text


def test_the_second_it_takes_to_stop_is_no_death() -> None:
    seconds = UNNOTED_NS // SECOND_NS
    assert told(900, 990, of_supervisor(990 + seconds)) == []
    assert told(900, 990, of_supervisor(990 + seconds + 1)) != []


def test_the_first_answer_of_supervisor_counts_and_another_process_is_none() -> None:
    assert told(0, 0, None, of_supervisor(998)) == [NEVER]
    assert told(0, 0, of_supervisor(998, pid=os.getpid() + 1)) == []
    assert told(0, 0, of_supervisor(0), of_supervisor(998)) == []


def test_a_watch_killed_before_its_first_look_is_told_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Watched(tmp_path / "home")
    desk.add_channel("phone")
    desk.again(3)
    ended = of_supervisor(NOON_NS // SECOND_NS + 1)
    monkeypatch.setattr(desk_module, "programs", lambda *_, **__: {"watch": ended})
    desk.turn(5)
    assert desk.sends.titles() == ["[WARNING] The watch had been ended"]
    (line,) = desk.sends.sent[0][1].lines
    assert line.text.startswith("it ended before its first look; none ran from 2026-11-25 12:00:01")


def test_a_stop_is_known_for_as_long_as_no_other_watch_has_looked(
    tmp_path: Path,
) -> None:
    desk = Watched(tmp_path / "home")
    desk.add_channel("phone")
    desk.turn(2)
    desk.again(10 * MINUTE, stopped=True)
    desk.again(3)
    desk.turn(2)
    assert desk.sends.sent == []
