"""A study of the fair value on the Runs page: in the list, and in full."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from studies.fair_value.__main__ import store
from studies.fair_value.scores import OURS, ForecastMoment, calibration, scores
from studies.fair_value.study import BlockScore, StudyResult
from tests.pages.test_pages import texts

Opened = Callable[..., AppTest]


@pytest.fixture
def report(config: Config) -> int:
    moments = [
        ForecastMoment(str(n), n * 3_600, 60, {OURS: 0.7, "half": 0.5}, up=n % 3 > 0)
        for n in range(9)
    ]
    told = BlockScore(
        block=82_223, moments=9, chosen={"tails": "student"}, fitted_on=40, log_loss=0.61
    )  # fmt: skip
    found = StudyResult(
        spans=("2026-04-13",), ticks=80_000, markets=12, parameters={},
        fit={"tails": ["normal", "student"]}, block_s=21_600, purge_s=3_600,
        left_out={"oracle_age_ms": 3}, undecided=("a",), resamples=50, seed=1, told=(told,),
        horizons=tuple(scores(moments, 50, 1)), deciles=tuple(calibration(moments, 50, 1)),
    )  # fmt: skip
    return store(config, found, "recordings", (1_776_000_000 * 10**9, 1_776_000_009 * 10**9))


def test_a_study_is_linked_and_is_no_row_of_money(opened: Opened, report: int) -> None:
    page = opened("runs")
    assert f"run={report}" in texts(page)
    assert not page.dataframe


def test_a_study_opens_with_scores_calibration_and_what_was_held_out(
    opened: Opened, report: int
) -> None:
    page = opened("runs", run=str(report))
    assert not page.exception
    shown = texts(page)
    assert f"Study {report}: fair value on 2026-04-13" in shown
    assert "60 min of it are not used to fit" in shown
    scored, tenths, blocks = (frame.value for frame in page.dataframe)
    assert list(scored.iloc[:, 1]) == ["Ours", "Always 0.5"] * 2
    assert list(tenths.iloc[:, 0]) == ["0.7 to 0.8"]
    assert list(blocks.iloc[:, 3]) == ["tails = student"]
