"""Backtests beside each other: picked by a person, or all sets of one parameter sweep."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.instruments import BotId
from storage.database import writing
from storage.runs import Run, RunKind, RunStatus, save_run
from tests.pages.seen import bodies, figures, links, texts

Opened = Callable[..., AppTest]

MINUS = "\N{MINUS SIGN}"
BEGAN_NS = 1_776_000_000_000_000_000
SETS = {"tight": (1, -2_000_000), "wide": (3.0, 4_000_000), "plain": (None, 500_000)}
"""By the name of a set: its half spread (None = the default), and what it brought."""


def stored(
    config: Config, number: int, pnl_micro: int, currency: str = "pUSD", **stated: object
) -> int:
    run = Run(
        engine_id="replay", account="paper:replay", kind=RunKind.REPLAY, recording="/data/day",
        bot=BotId("replay-maker"), strategy="market_maker", parameters=json.dumps(stated),
        started_ns=BEGAN_NS + number, finished_ns=BEGAN_NS + 10**9, status=RunStatus.DONE,
        digest=f"{number:02}" * 32, pnl_micro=pnl_micro,
        result=json.dumps({"currency": currency, "pnl_resolved": pnl_micro / 10**6}),
    )  # fmt: skip
    curve = [(BEGAN_NS, 10**9), (BEGAN_NS + 60 * 10**9, 10**9 + pnl_micro)]
    with writing(config.state_path) as connection:
        return save_run(connection, run, equity=curve)


@pytest.fixture
def sweep(config: Config) -> list[int]:
    """Store one sweep of four sets, of which one failed; give its runs."""
    return [
        stored(
            config, place, pnl_micro, latency_ms=150,
            parameters={} if half is None else {"half_spread_ticks_min": half},
            sweep={"id": BEGAN_NS, "set": name, "of": 4},
        )
        for place, (name, (half, pnl_micro)) in enumerate(SETS.items())
    ]  # fmt: skip


def test_a_sweep_is_one_row_that_says_how_many_sets_were_tried(
    opened: Opened, config: Config, sweep: list[int]
) -> None:
    alone = stored(config, 9, -1_000_000)
    runs, sweeps = (frame.value for frame in opened("runs").dataframe)
    assert runs["id"].tolist() == [alone]
    [row] = sweeps.to_dict("records")
    assert (row["mode"], row["tried"], row["stored"], row["gained"]) == ("PAPER", 4, 3, "2 of 3")
    assert (row["median"], row["best"]) == (0.5, 4.0)


def test_a_sweep_shows_what_differs_and_what_it_brought_the_best_first(
    opened: Opened, sweep: list[int]
) -> None:
    page = opened("runs", sweep=str(BEGAN_NS))
    frame = page.dataframe[0].value
    assert frame["set"].tolist() == ["wide", "plain", "tight"]
    assert frame["in half_spread_ticks_min"].tolist() == ["3.0", "default", "1"]
    assert frame["pnl"].tolist() == [4.0, 0.5, -2.0]
    assert "latency_ms" not in "".join(map(str, frame.columns))
    assert figures(page)["Best PnL"] == "+4.00 pUSD"
    assert figures(page)["Sets with a gain"] == "2 of 3"
    assert page.info[0].value.startswith("**4 sets tried** on this recording.")
    assert "3 of them are stored; the others failed or were deleted." in bodies(page)
    best, middle, worst = sweep[1], sweep[2], sweep[0]
    some = links(page)["Compare the best, a middle and the worst set"]
    assert some == f"/runs?compare={best}%2C{middle}%2C{worst}"


def test_a_run_of_a_sweep_leads_to_its_other_sets(opened: Opened, sweep: list[int]) -> None:
    page = opened("runs", run=str(sweep[0]))
    assert links(page)["All 4 sets"] == f"/runs?sweep={BEGAN_NS}"
    assert "Set tight of a sweep." in bodies(page)


def test_runs_that_were_picked_stand_beside_each_other(
    opened: Opened, config: Config, sweep: list[int]
) -> None:
    page = opened("runs")
    page.multiselect(key="runs_compared").select(sweep[1]).run()
    assert "Pick at least one more." in bodies(page)
    page.multiselect(key="runs_compared").select(sweep[0]).run()
    assert not page.exception
    assert page.query_params["compare"] == f"{sweep[1]},{sweep[0]}"
    shown = bodies(page)
    for line in (
        '<th>Mode</th><td class="pb-num">PAPER</td><td class="pb-num">PAPER</td>',
        f'<th>PnL</th><td class="pb-num">+4.00 pUSD</td><td class="pb-num">{MINUS}2.00 pUSD</td>',
        '<th>half_spread_ticks_min</th><td class="pb-num">3.0</td><td class="pb-num">1</td>',
    ):
        assert line in shown
    assert "Latency" not in shown
    assert "Picked from a sweep of 4 sets." in shown
    drawn = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert [line["y"] for line in drawn["data"]] == [[0, 4], [0, -2]]
    assert drawn["layout"]["yaxis"]["title"]["text"] == "pUSD"


def test_runs_in_several_currencies_are_drawn_in_per_cent(opened: Opened, config: Config) -> None:
    two = [stored(config, n, 10_000_000, currency) for n, currency in enumerate(("pUSD", "EUR"))]
    page = opened("runs", compare=",".join(map(str, two)))
    drawn = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert drawn["layout"]["yaxis"]["title"]["text"] == "%"
    assert [round(line["y"][-1], 6) for line in drawn["data"]] == [1.0, 1.0]
    frame = opened("runs").dataframe[0].value
    assert frame["currency"].tolist() == ["EUR", "pUSD"]


def test_what_is_not_there_is_said(opened: Opened, sweep: list[int]) -> None:
    assert "There is no such sweep." in bodies(opened("runs", sweep="7"))
    page = opened("runs", compare=f"{sweep[0]},{sweep[1]},99")
    assert "No such backtest: 99." in bodies(page)
    assert "Key figures" in texts(page)


def test_a_band_is_one_row_and_its_run_shows_all_three(opened: Opened, config: Config) -> None:
    made = [
        stored(config, n, pnl, sweep={"id": BEGAN_NS, "set": name, "of": 3, "band": True})
        for n, (name, pnl) in enumerate(
            {"pessimistic": -2_000_000, "optimistic": 4_000_000, "realistic": 500_000}.items()
        )
    ]
    [runs] = (frame.value for frame in opened("runs").dataframe)
    assert runs["id"].tolist() == [made[2]]
    page = opened("runs", run=str(made[2]))
    shown = figures(page)
    assert shown["Band of PnL"] == f"{MINUS}2.00 pUSD to +4.00 pUSD"
    assert (shown["Optimistic"], shown["Realistic"]) == ("+4.00 pUSD", "+0.50 pUSD")
    assert shown["Trials on this recording"] == "1"
    assert "of a sweep" not in texts(page)


def test_a_run_leaves_as_files(opened: Opened, config: Config) -> None:
    number = stored(config, 1, 500_000)
    page = opened("runs", run=str(number))
    page.session_state["fold_run_export"] = True
    page.run()
    labels = [one.proto.label for one in page.get("download_button")]
    assert labels == ["Report as HTML", "Equity as CSV", "Equity as Parquet"]
    assert "its fills cannot be exported" in texts(page)
    other = stored(config, 2, -500_000)
    page = opened("runs", compare=f"{number},{other}")
    assert [one.proto.label for one in page.get("download_button")] == ["Comparison as HTML"]
