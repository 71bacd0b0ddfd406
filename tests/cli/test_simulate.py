from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from engine.__main__ import BAD_ARGUMENTS, main
from engine.cli.simulate import SOURCE
from engine.domain.order_life import MOVES, QUIET, Happened
from engine.domain.orders import OrderState
from engine.lab.simulate.commit import commit


@pytest.mark.long
def test_a_sound_seed_ends_with_zero_and_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["simulate", "--seed", "5", "--minutes", "0.2", "--accounts", "1", "--faults", "none"]
    assert main([*argv, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["seeds"], result["failed"]) == (1, [])
    assert len(result["digest"]) == 32
    assert main(argv) == 0
    assert f"digest {result['digest']}" in capsys.readouterr().out


def test_a_judge_that_speaks_gives_one_the_seed_and_the_last_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = (OrderState.SENT, QUIET)
    monkeypatch.setitem(MOVES, (OrderState.OPEN, Happened.ACCEPTED), wrong)
    argv = ["simulate", "--seed", "1", "--minutes", "1", "--faults", "twice"]
    assert main(argv) == 1
    output = capsys.readouterr().out
    assert "seed 1: judge status" in output
    assert "again: python -m engine simulate --seed 1 --minutes 1" in output
    assert output.count("OrderAccepted") > 0
    assert f"commit {commit(SOURCE)}" in output


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--minutes", "0"], ["--accounts", "0"]])
def test_nothing_to_simulate_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["simulate", *wrong])
    assert refused.value.code == BAD_ARGUMENTS


def test_a_fault_nobody_knows_is_refused() -> None:
    assert main(["simulate", "--faults", "gremlins"]) == 2


def test_soak_takes_its_first_seed_from_the_clock_and_shows_it() -> None:
    def shown(*given: str) -> int:
        clean = {key: value for key, value in os.environ.items() if key != "SEED"}
        made = ["make", "--dry-run", "--old-file", ".venv/.ready", "soak", *given]
        output = subprocess.run(
            made, cwd=SOURCE, capture_output=True, text=True, check=True, env=clean
        ).stdout
        (seed,) = re.findall(r"simulate --seed (\d+) --seeds 2000", output)
        return int(seed)

    assert shown() > 1_700_000_000
    assert shown("SEED=7") == 7
