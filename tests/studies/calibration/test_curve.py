"""The same maker on both sides: its curve, and when the demo exchange counts as near."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.indicators.markout import MarkoutMeans
from engine.venues.demo.profiles import FULL
from studies.calibration.__main__ import CURVE, compared_curves
from studies.calibration.curve import demo_curve, pooled, recorded_curve
from tests.lab.conftest import write_recording


def means(count: int, value: float) -> MarkoutMeans:
    return MarkoutMeans(1e4, means=[value] * 4, counts=[count] * 4)


def test_days_are_pooled_by_their_fills() -> None:
    assert pooled([means(30, -0.01), means(10, -0.03)])[5] == pytest.approx(-1.5)
    assert math.isnan(pooled([])[1])


@pytest.mark.parametrize(("shift", "near"), [(0.0, True), (0.49, True), (0.51, False)])
def test_a_demo_that_pays_makers_more_is_out_of_tolerance(shift: float, near: bool) -> None:
    lines = compared_curves({seconds: value + shift for seconds, value in CURVE.items()}, CURVE)
    assert {line.near for line in lines} == {near}


def test_the_maker_is_filled_on_both_sides(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "day.jsonl", markets=1, frames=200, step_s=0.5)
    recorded, demo = recorded_curve(path), demo_curve(2, [1], FULL)
    assert set(recorded) == set(demo) == set(CURVE)
    assert not math.isnan(demo[1])
