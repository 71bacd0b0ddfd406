from __future__ import annotations

import json

import pytest

from engine.__main__ import main
from engine.domain.orders import OrderState
from engine.executor.order_machine import MOVES, QUIET, Happened
from engine.lab.simulate.commit import commit
from engine.lab.simulate_command import SOURCE


def test_a_sound_seed_ends_with_zero_and_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["simulate", "--seed", "5", "--minutes", "0.2", "--accounts", "1", "--faults", "none"]
    assert main([*argv, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seeds"], told["failed"]) == (1, [])
    assert len(told["digest"]) == 32
    assert main(argv) == 0
    assert f"digest {told['digest']}" in capsys.readouterr().out


def test_a_judge_that_speaks_gives_one_the_seed_and_the_last_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = (OrderState.SENT, QUIET)
    monkeypatch.setitem(MOVES, (OrderState.OPEN, Happened.ACCEPTED), wrong)
    argv = ["simulate", "--seed", "1", "--minutes", "1", "--faults", "twice"]
    assert main(argv) == 1
    told = capsys.readouterr().out
    assert "seed 1: judge status" in told
    assert "again: python -m engine simulate --seed 1 --minutes 1" in told
    assert told.count("OrderAccepted") > 0
    assert f"commit {commit(SOURCE)}" in told


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--minutes", "0"], ["--accounts", "0"]])
def test_nothing_to_simulate_is_refused(wrong: list[str]) -> None:
    assert main(["simulate", *wrong]) == 3


def test_a_fault_nobody_knows_is_refused() -> None:
    assert main(["simulate", "--faults", "gremlins"]) == 2
