"""A slice of the simulation with every change: seeds at which the engine failed, a few new ones.

The new ones follow the commit, so that each change looks somewhere else; the failing seed is in the
test's own message.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.lab.simulate.commit import commit
from engine.lab.simulate.world import simulate

FAILED = Path(__file__).with_name("failed_seeds.txt")
REPOSITORY = Path(__file__).resolve().parents[3]
FRESH = 3


def failed_seeds() -> list[Any]:
    """Return seed, minutes, whether faults gather and whether it has a perpetual, of every one."""
    rows = [line.split(maxsplit=4) for line in FAILED.read_text("utf-8").splitlines()]
    return [
        pytest.param(
            int(row[0]),
            float(row[1]),
            row[2] != "plain",
            row[2] == "perp",
            id=f"{row[0]}-{row[3]}",
            marks=[pytest.mark.soak] if row[3] in {"world", "long"} else [],
        )
        for row in rows
        if row[0] != "#"
    ]


def commit_base() -> int:
    """Return a number made of the commit; 0 where there is none."""
    done = subprocess.run(
        ["git", "rev-parse", "--short=7", "HEAD"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return int(done.stdout.strip() or "0", 16) if done.returncode == 0 else 0


def sound(
    seed: int, minutes: float, *, gathers: bool, perp: bool = False, accounts: int = 2
) -> None:
    """Fail with all that is needed to see it again: seed, commit, verdicts, last journal lines."""
    outcome = simulate(seed, minutes, accounts=accounts, gathers=gathers, perp=perp)
    verdicts = [f"judge {one.judge}, {one.account}: {one.text}" for one in outcome.verdicts]
    how = ("" if gathers else " plain,") + " with a perpetual," * perp
    drawn = (
        f"seed {seed}, {minutes:g} minutes, {accounts} accounts,{how} commit {commit(REPOSITORY)}",
    )
    assert not verdicts, "\n".join((*outcome.lines, *verdicts, *drawn))


@pytest.mark.long
@pytest.mark.parametrize(("seed", "minutes", "gathers", "perp"), failed_seeds())
def test_a_seed_that_failed_once_is_sound(
    seed: int, minutes: float, *, gathers: bool, perp: bool
) -> None:
    sound(seed, minutes, gathers=gathers, perp=perp)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("number", range(FRESH))
def test_seeds_of_this_commit_are_sound(number: int) -> None:
    sound(commit_base() * 10 + number, 0.5, gathers=True, accounts=1)
