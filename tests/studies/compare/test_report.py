"""Days pooled, intervals over days, and what they say about a tolerance."""

from __future__ import annotations

import pytest

from engine.venues.paper.settings import FillModel
from studies.compare.queues import Cancels
from studies.compare.report import (
    TRUTH,
    CompareVerdict,
    Estimate,
    _verdict,
    answers,
    fitted,
    lines,
)
from studies.compare.watch import MICRO, MakerFigures


def day(filled: int, pnl: float = 1.0) -> MakerFigures:
    return MakerFigures(
        orders=10, filled_orders=2, placed=100, filled=filled, wait_s=4.0, fills=2, marked=10,
        marked_gain=-5.0, pnl_micro=round(pnl * MICRO),
    )  # fmt: skip


def sides(**filled: tuple[int, ...]) -> dict[str, list[MakerFigures]]:
    names = (TRUTH, *map(str, FillModel))
    return {name: [day(size) for size in filled.get(name, (20, 30, 40))] for name in names}


def test_days_are_pooled_as_sums() -> None:
    _, ratio, wait, markout, pnl = lines(sides(), sides(), seed=1)
    assert ratio.truth.value == 30.0
    assert ratio.truth.low < 30.0 < ratio.truth.high
    assert (wait.truth.value, markout.truth.value, pnl.truth.value) == (2.0, -0.5, 1.0)
    assert ratio.slack == pytest.approx(6.0)
    assert markout.slack == 0.25


def test_equal_days_differ_by_nothing_though_days_differ() -> None:
    model = lines(sides(), sides(), seed=1)[1].models[FillModel.REALISTIC]
    assert (model.difference.low, model.difference.high) == (0.0, 0.0)
    assert model.verdict is CompareVerdict.WITHIN


def test_twice_as_many_fills_are_out_of_tolerance() -> None:
    found = lines(sides(optimistic=(40, 60, 80)), sides(), seed=1)[1]
    assert found.models[FillModel.OPTIMISTIC].verdict is CompareVerdict.OFF
    assert found.models[FillModel.PESSIMISTIC].verdict is CompareVerdict.WITHIN


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-1, 1, "within"), (1, 2, "open"), (-3, 3, "open"), (1.5, 2, "off"), (-2, -1.5, "off")],
)
def test_an_interval_over_the_edge_decides_nothing(low: float, high: float, verdict: str) -> None:
    assert _verdict(Estimate(value=0, low=low, high=high), 1.2) == verdict


def test_the_same_orders_are_measured_by_the_twins_alone() -> None:
    days, twins = sides(realistic=(1, 1, 1)), sides(realistic=(19, 29, 39))
    same, own, *_ = lines(days, twins, seed=1)
    assert same.models[FillModel.REALISTIC].value.value == pytest.approx(29)
    assert own.models[FillModel.REALISTIC].value.value == pytest.approx(1)
    assert same.slack < own.slack


def test_the_worlds_answer_is_what_the_fill_model_leaves_of_the_difference() -> None:
    days, twins = sides(realistic=(10, 20, 30)), sides(realistic=(19, 29, 39))
    found = answers(days, twins, seed=1)[FillModel.REALISTIC]
    assert (found.value, found.low, found.high) == pytest.approx((-9, -9, -9))
    same, own, *_ = lines(days, twins, seed=1)
    parts = found.value + same.models[FillModel.REALISTIC].difference.value
    assert own.models[FillModel.REALISTIC].difference.value == pytest.approx(parts)


def test_a_figure_nobody_can_know_is_not_a_number() -> None:
    empty = {name: [MakerFigures(), MakerFigures()] for name in (TRUTH, *map(str, FillModel))}
    ratio = lines(empty, empty, seed=1)[1]
    assert ratio.truth.value != ratio.truth.value
    assert ratio.models[FillModel.REALISTIC].verdict is CompareVerdict.OPEN


def test_the_share_is_fitted_over_all_days() -> None:
    found = fitted([[Cancels(50, 50, 20, 10)], [Cancels(50, 50, 20, 15)]], seed=1)
    assert found.cancels == 2
    assert found.percent.value == pytest.approx(62.5)
    assert 49.9 < found.percent.low < found.percent.high < 75.1
