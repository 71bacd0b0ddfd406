"""Strategies: verdicts that follow from rows of evidence, where a strategy is shown or started."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest
import streamlit as st
from msgspec.structs import replace
from pandas import DataFrame
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import StrategyEntry
from engine.domain.decisions import Rest
from engine.domain.instruments import BotId, InstrumentId, Mode
from engine.domain.telemetry import BotStatus, EngineStatus, WatchedMarket
from engine.strategies.registry import entries
from storage.catalog import put_catalog
from storage.database import writing
from storage.evidence import put_evidence
from storage.jobs import queue
from storage.live import EngineHeartbeat, put_bots, put_engine
from storage.settings import latest, save
from tests.domain.test_evidence import EARNS
from tests.kit.shipped import ship
from tests.pages.seen import bodies, texts

Opened = Callable[..., AppTest]
LOSES = replace(
    EARNS, strategy="grid", data="july", mean=-1.0, low=-2.0, high=-0.5, low_corrected=-2.5
)
BOT = BotStatus(
    name=BotId("climber"), mode=Mode.LIVE, account="main", strategy="grid", state="STOPPED",
    error="", capital_micro=100 * 10**6, evaluations=5,
)  # fmt: skip


def prepared(config: Config, *, mode: Mode = Mode.LIVE) -> None:
    """Leave a home as an engine with a bot of `grid` does, and evidence of it."""
    catalog, now = entries(), time.time_ns()
    seen = replace(BOT, mode=mode)
    beat = EngineHeartbeat(
        state="RUNNING", heartbeat_ns=now, started_ns=1, pid=os.getpid(), version="1",
        latched=False, status=EngineStatus(),
    )  # fmt: skip
    with writing(config.state_path) as connection:
        put_catalog(connection, "pitboss", StrategyEntry, catalog, now)
        put_bots(connection, "pitboss", (seen,), now)
        put_engine(connection, "pitboss", beat)
    digest = catalog["grid"].digest
    with writing(config.state_path) as connection:
        rows = (replace(LOSES, digest=digest), replace(EARNS, data="june", digest=digest))
        put_evidence(connection, "pitboss", rows)


def test_an_empty_desk_says_how_strategies_come(opened: Opened) -> None:
    page = opened("strategies")
    assert "The strategies are not known yet." in bodies(page)


def test_a_bot_that_rests_is_counted_apart_from_those_that_may_quote(
    config: Config, opened: Opened
) -> None:
    prepared(config)
    rest = Rest(time.time_ns() + 3_600 * 10**9, "its last 3 fills made -2.00 cents a share")
    market = WatchedMarket(instrument=InstrumentId("demo:comet-1"), rest=rest)
    quotes = replace(BOT, state="running")
    bots = (quotes, replace(quotes, name=BotId("sleeper"), watching=(market,)))
    with writing(config.state_path) as connection:
        put_bots(connection, "pitboss", bots, time.time_ns())
    table = opened("strategies").dataframe[0].value
    assert table[table["name"] == "grid"].iloc[0]["bots"] == "2 of 2, 1 resting"


def test_each_strategy_stands_with_its_verdict_and_why(
    config: Config, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(config)
    ship(monkeypatch, config.home)
    page = opened("strategies", strategy="grid")
    table = page.dataframe[0].value
    evidence = next(one.value for one in page.dataframe if "data" in one.value.columns)
    of_grid = table[table["name"] == "grid"].iloc[0]
    assert of_grid["verdict"] == "LOSES"
    assert "july: -1.00 [-2.00, -0.50] pUSD per market" in of_grid["why"]
    assert of_grid["bots"] == "0 of 1"
    never = table[table["name"] == "dca"].iloc[0]
    assert (never["verdict"], never["why"]) == (
        "NO DATA",
        "it was never proven here",
    )
    assert list(evidence["data"]) == ["july", "june"]
    assert list(evidence["verdict"]) == ["LOSES", "PROVEN"]
    seen = bodies(page)
    assert "PAPER: replayed at a paper account" in seen
    assert "climber: STOPPED, LIVE" in seen


def test_a_new_desk_has_the_verdicts_that_are_shipped_of_the_code_that_runs(
    config: Config, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(config)
    digest = entries()["dca"].digest
    mine = replace(LOSES, strategy="dca", digest=digest)
    old = replace(LOSES, strategy="pairs", digest="older")
    of_july = replace(EARNS, strategy="grid", data="july", digest=entries()["grid"].digest)
    ship(monkeypatch, config.home, mine, replace(mine, data="may", digest="older"), old, of_july)
    page = opened("strategies", strategy="dca")
    table = page.dataframe[0].value.set_index("name")
    assert table.loc["dca", "verdict"] == "LOSES"
    assert table.loc["dca", "why"].endswith("below zero (as shipped with Pitboss)")
    assert table.loc["pairs", "verdict"] == "NO DATA"
    assert "computed with other code (as shipped with Pitboss)" in table.loc["pairs", "why"]
    assert "july: -1.00" in table.loc["grid", "why"], "this desk's own goes before"
    rows = next(one.value for one in page.dataframe if "by" in one.value.columns)
    assert list(zip(rows["data"], rows["verdict"], rows["by"], strict=True)) == [
        ("july", "LOSES", "Pitboss"), ("may", "OTHER CODE", "Pitboss"),
    ]  # fmt: skip
    rows = next(
        one.value
        for one in opened("strategies", strategy="grid").dataframe
        if "by" in one.value.columns
    )
    assert list(rows["by"]) == ["this desk", "this desk"]


def test_evidence_of_other_code_is_none(
    config: Config, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(config)
    ship(monkeypatch, config.home)
    with writing(config.state_path) as connection:
        put_evidence(connection, "pitboss", [replace(LOSES, digest="older")])
        put_evidence(connection, "pitboss", [replace(EARNS, data="june", digest="older")])
    table = opened("strategies").dataframe[0].value
    of_grid = table[table["name"] == "grid"].iloc[0]
    assert of_grid["verdict"] == "NO DATA"
    assert "prove it again" in of_grid["why"]


@pytest.mark.long
def test_a_proof_is_asked_for_by_one_click(config: Config, opened: Opened) -> None:
    prepared(config)
    page = opened("strategies", strategy="grid")
    page.button(key="prove_one").click().run()
    assert not page.exception
    with writing(config.state_path) as connection:
        asked = connection.execute("SELECT body FROM commands").fetchall()
    assert len(asked) == 1
    assert '"grid' in asked[0][0].replace("\\", "")


def test_real_money_follows_what_loses_only_with_a_reason(config: Config, opened: Opened) -> None:
    prepared(config)
    page = opened("bots", bot="climber")
    assert "Evidence: **LOSES**" in texts(page)
    assert "start_climber" not in {one.key for one in page.button}
    prepared(config, mode=Mode.PAPER)
    st.cache_data.clear()
    page = opened("bots", bot="climber")
    assert "start_climber" in {one.key for one in page.button}


def test_what_bots_made_stands_beside_what_was_tested(config: Config, opened: Opened) -> None:
    prepared(config)
    digest = entries()["grid"].digest
    later = replace(EARNS, data="june", digest=digest, proved_ns=EARNS.proved_ns + 1)
    other = replace(EARNS, data="august", digest="older", proved_ns=EARNS.proved_ns + 2)
    with writing(config.state_path) as connection:
        put_evidence(connection, "pitboss", (replace(LOSES, digest=digest), later))
        put_evidence(connection, "pitboss", (other,))
    page = opened("strategies")
    (row,) = [dict(one) for _, one in beside(page).iterrows()]
    assert (row["strategy"], row["mode"], row["verdict"]) == ("grid", "LIVE", "LOSES")
    assert (row["running"], row["stopped"], row["fills"]) == (0, 1, 0)
    assert row["tested"] == "+1.00 [+0.50, +1.50] pUSD a market (june)"
    page = opened("strategies", strategy="dca")
    assert "No bot has this strategy." in bodies(page)


def beside(page: AppTest) -> DataFrame:
    return next(one.value for one in page.dataframe if "tested" in one.value.columns)


@pytest.mark.long
def test_the_picture_of_an_idea_is_of_this_code_or_is_asked_for(
    config: Config, opened: Opened
) -> None:
    prepared(config)
    asked = '{"strategy": "grid"}'
    found = {
        "bars": "5m", "close": [[1, 10.0], [2, 11.0]], "trades": [[2, "buy", 11.0]], "digest": "",
    }  # fmt: skip
    for digest in ("older", entries()["grid"].digest):
        assert "made-up path of 5m bars" not in bodies(opened("strategies", strategy="grid"))
        with writing(config.state_path) as connection:
            made = queue(
                connection, engine_id="pitboss", kind="probe", arguments=asked, who="ann", now_ns=1
            )
            connection.execute(
                "UPDATE jobs SET state = 'done', result = ?, finished_ns = 2 WHERE id = ?",
                (json.dumps(found | {"digest": digest}), made),
            )
        st.cache_data.clear()
    assert "made-up path of 5m bars" in bodies(opened("strategies", strategy="grid"))
    assert "no made-up path shows" in bodies(opened("strategies", strategy="late_favourite"))


def test_the_row_of_a_strategy_is_edited_reviewed_and_its_changes_are_kept(
    config: Config, opened: Opened
) -> None:
    prepared(config)
    page = opened("strategies", strategy="grid")
    page.session_state["fold_row_grid"] = True
    page.run()
    page.toggle(key="row_enabled_grid").set_value(False).run()
    page.selectbox(key="row_direction_grid").set_value("long").run()
    page.text_input(key="row_tags_grid").set_value("mine, slow").run()
    page.button(key="row_review_grid").click().run()
    page.button(key="save:strategies").click().run()
    with writing(config.state_path) as connection:
        kept = latest(connection, "pitboss").document.strategy("grid")
    assert (kept.enabled, kept.direction, kept.tags) == (False, "long", ("mine", "slow"))
    st.cache_data.clear()
    page.run()
    assert "Strategy grid is disabled: " in texts(page)
    rows = page.dataframe[0].value
    assert rows.loc[rows["name"] == "grid", "state"].item() == "DISABLED"


def test_a_removed_strategy_is_on_no_list_until_it_is_asked_for(
    config: Config, opened: Opened
) -> None:
    prepared(config)
    with writing(config.state_path) as connection:
        save(
            connection, engine_id="pitboss", who="ann", base_version=0, now_ns=1,
            diff={"strategies": {"grid": {"removed": True}}},
        )  # fmt: skip
    page = opened("strategies")
    assert "grid" not in set(page.dataframe[0].value["name"])
    page.toggle(key="removed_too").set_value(True).run()
    assert "grid" in set(page.dataframe[0].value["name"])
