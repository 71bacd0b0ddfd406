"""The same maker on both sides: its curve, and when the demo exchange counts as near."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.domain.instruments import InstrumentId
from engine.errors import BadInput
from engine.venues.demo.profiles import FULL
from studies.calibration import CURVE, _table, compared_curves, demo_curve, pooled, recorded_curve
from studies.compare.watch import HORIZONS_S, Marks
from tests.lab.conftest import write_recording


def day(*markets: tuple[float, int]) -> Marks:
    """Return a day whose markets have so many fills of such a markout each, at every horizon."""
    known = {
        InstrumentId(f"market-{number}"): (mean * fills, fills)
        for number, (mean, fills) in enumerate(markets)
    }
    return dict.fromkeys(HORIZONS_S, known)


def test_days_are_pooled_by_their_fills_with_an_interval_over_markets() -> None:
    found = pooled([day((-1.0, 30)), day((-3.0, 10))])[5]
    assert found.mean == pytest.approx(-1.5)
    assert found.low < -1.5 < found.high
    assert (found.fills, found.markets) == (40, 2)


def test_fewer_than_two_markets_are_no_curve() -> None:
    assert pooled([]) == {}
    assert pooled([day((-1.0, 30))]) == {}
    with pytest.raises(BadInput, match="more --minutes"):
        list(compared_curves({}, CURVE))


@pytest.mark.parametrize(("shift", "near"), [(0.0, True), (0.39, True), (0.42, False)])
def test_a_demo_that_pays_makers_more_is_out_of_tolerance(shift: float, near: bool) -> None:
    paid = {
        seconds: msgspec.structs.replace(point, mean=point.mean + shift)
        for seconds, point in CURVE.items()
    }
    assert {line.near for line in compared_curves(paid, CURVE)} == {near}


def test_both_sides_are_printed_with_their_intervals() -> None:
    text = _table(list(compared_curves(CURVE, CURVE)), (0, 0.0, 0.0))
    side = "[-1.36, -1.06] of 5,853 fills in 39 markets"
    assert f"95 %: demo {side}, recorded {side}" in text


@pytest.mark.long
def test_the_maker_is_filled_on_both_sides(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "day.jsonl", markets=2, frames=200, step_s=0.5)
    recorded, demo = recorded_curve([path]), demo_curve(2, [1, 2], FULL)
    assert recorded.keys() == CURVE.keys() == demo.keys()
