"""The budget of a bar: see `bench.bars`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.bars import BUDGET, per_bar, replayed, written


@pytest.mark.long
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="bytecodes differ between versions")
def test_a_bar_costs_no_more_steps_than_its_budget() -> None:
    costs = per_bar()
    assert costs["opcode"] <= BUDGET["opcode"], costs
    assert costs["call"] <= BUDGET["call"], costs


def test_the_bars_of_the_budget_make_the_same_run_with_every_decision_said(tmp_path: Path) -> None:
    path = written(tmp_path / "bars.csv")
    lane, whole = replayed(path, says=False), replayed(path, says=True)
    assert lane.digest == whole.digest
    assert lane.equity == whole.equity
    assert (lane.orders, lane.fills, lane.evaluations) == (
        whole.orders,
        whole.fills,
        whole.evaluations,
    )
