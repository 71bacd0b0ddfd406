"""The Markets page: fetched by a job, searched and turned by key, each market with its rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import RunJob
from engine.domain.listings import ListingPage, MarketListing
from pages import markets
from pages.markets import FIELDS
from storage.database import writing
from storage.markets import MarketStore, watch
from storage.settings import latest, save
from tests.pages.test_jobs import left, press, run_engine, texts
from tests.storage.listed import VENUE, made

Opened = Callable[..., AppTest]


def listed(config: Config, *rows: MarketListing) -> None:
    with closing(MarketStore(config.markets_path)) as store:
        store.begin(VENUE)
        store.put(VENUE, ListingPage(rows, {}, ""), 1)
        store.finish(VENUE, 2, complete=True)


def questions(page: AppTest) -> list[str]:
    assert not page.exception, page.exception
    return [row["question"] for row in page.dataframe[0].value.to_dict("records")]


def test_without_a_list_the_page_says_how_to_get_one_and_asks_for_it(
    opened: Opened, config: Config
) -> None:
    run_engine(config)
    page = opened("markets")
    assert "No list of markets has been fetched yet" in texts(page)
    press(page, "Fetch the list")
    (command,) = left(config)
    assert isinstance(command, RunJob)
    assert (command.job, json.loads(command.arguments)) == ("markets", {"venue": "polymarket"})


def test_words_narrow_the_list_and_a_search_without_a_match_says_so(
    opened: Opened, config: Config
) -> None:
    listed(config, made(1, question="Rain in London?"), made(2, question="Snow in Oslo?"))
    page = opened("markets")
    assert "Polymarket: 2 markets, complete" in texts(page)
    assert questions(page) == ["Rain in London?", "Snow in Oslo?"]
    page.text_input[0].set_value("oslo").run()
    assert questions(page) == ["Snow in Oslo?"]
    page.text_input[0].set_value("oslo OR rain").run()
    assert "No market found" in texts(page)


def test_prices_stand_in_cents_and_what_is_not_there_is_empty(
    opened: Opened, config: Config
) -> None:
    listed(config, made(1, bid=0.405, ask=0.41, rewards_daily=0.0), made(2, bid=None, ask=0.02))
    first, second = opened("markets").dataframe[0].value.to_dict("records")
    assert (round(first["bid"], 6), round(first["spread"], 6)) == (40.5, 0.5)
    assert str(first["rewards_daily"]) in {"None", "nan"}
    assert [str(second[name]) in {"None", "nan"} for name in ("bid", "spread")] == [True, True]


def test_the_table_turns_by_key_and_a_new_search_begins_at_its_first_page(
    opened: Opened, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markets, "SHOWN", 3)
    listed(config, *(made(n, question=f"Q{n}", volume_24h=100.0 - n) for n in range(8)))
    page = opened("markets")
    assert questions(page) == ["Q0", "Q1", "Q2"]
    press(page, "Next")
    assert questions(page) == ["Q3", "Q4", "Q5"]
    press(page, "Next")
    assert questions(page) == ["Q6", "Q7"]
    assert "8 markets" in texts(page)
    assert "Next" not in [button.label for button in page.button]
    press(page, "Back")
    assert questions(page) == ["Q3", "Q4", "Q5"]
    page.text_input[0].set_value("Q").run()
    assert questions(page) == ["Q0", "Q1", "Q2"]


def test_a_selected_market_shows_its_rules_and_terms(opened: Opened, config: Config) -> None:
    paid: dict[str, Any] = {
        "rewards_daily": 25.0, "rewards_size_min": 50.0, "rewards_spread_max": 3.5,
    }  # fmt: skip
    one = made(1, description="Resolves by <b>rain</b>.", taker_fee_ppm=70_000, **paid)
    listed(config, one)
    page = opened("markets", state={"chosen:markets": one.id})
    shown = texts(page)
    assert "Resolves by <b>rain</b>." in shown
    for words in (
        "25.00 per day, for orders of 50 shares or more within 3.5¢ of the mid",
        "1¢, 5 shares",
        "7 % of price times (1 minus price)",
        one.id,
    ):
        assert words in shown


def test_a_market_is_put_on_a_watch_list_and_searched_by_it(opened: Opened, config: Config) -> None:
    one, two = made(1, question="Rain?"), made(2, question="Snow?")
    listed(config, one, two)
    page = opened("markets", state={"chosen:markets": one.id})
    with writing(config.state_path) as connection:
        who = page.session_state["who"]
        watch(connection, "pitboss", who, "mine", instrument=two.id, now_ns=1)
    st.cache_data.clear()
    page.run()
    page.multiselect(key=f"watch_{one.id}").set_value(["mine"]).run()
    press(page, "Save")
    page.selectbox(key="markets_list").set_value("mine").run()
    assert questions(page) == ["Rain?", "Snow?"]
    page.multiselect(key=f"watch_{one.id}").set_value([]).run()
    press(page, "Save")
    assert questions(page) == ["Snow?"]


def test_a_search_is_saved_as_a_filter_and_tells_who_follows_it(
    opened: Opened, config: Config
) -> None:
    listed(config, made(1, volume_24h=9.0), made(2, volume_24h=90.0))
    page = opened("markets", state={"fold_filters": True, FIELDS["volume_24h_min"]: 50.0})
    page.text_input(key="filter_name").set_value("busy").run()
    press(page, "Save the filter…")
    assert "Filter busy is new" in texts(page)
    press(page, "Save these changes")
    with writing(config.state_path) as connection:
        saved = latest(connection, "pitboss")
        assert saved.document.filters["busy"].volume_24h_min == 50.0
        account = {"name": "p", "venue": "polymarket", "mode": "paper"}
        bot = {"name": "maker", "strategy": "market_maker", "account": "p", "capital": 1.0}
        diff = {"accounts": {"p": account}, "bots": {"maker": bot | {"follows": "busy"}}}
        save(
            connection, engine_id="pitboss", who="ann", diff=diff, base_version=saved.version,
            now_ns=1,
        )  # fmt: skip
    st.cache_data.clear()
    page.run()
    assert "volume 24 h of 50 or more, by volume 24 h" in texts(page)
    assert "1 market now" in texts(page)
    assert "followed by maker (at most 50)" in texts(page)
    page.selectbox(key="filter_which").set_value("busy").run()
    press(page, "Remove it…")
    assert "no such filter is saved" in page.error[0].value


def test_a_damaged_list_is_a_sentence(opened: Opened, config: Config) -> None:
    config.markets_path.write_bytes(b"no database at all" * 100)
    page = opened("markets")
    assert not page.exception
    assert "is not a SQLite database" in texts(page)
