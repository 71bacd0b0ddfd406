"""Indicators: the library as the engine says it, and one asked for over past bars."""

from __future__ import annotations

import json
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import SettingEntry
from engine.indicators.library import INDICATORS, entries
from pages.indicators import takes
from storage.database import reading
from tests.pages.seen import bodies, texts
from tests.pages.test_rules import prepared

Opened = Callable[..., AppTest]


def test_every_indicator_stands_with_what_it_says_of_itself(config: Config, opened: Opened) -> None:
    prepared(config)
    page = opened("indicators", state={"chosen:indicators": "RSI"})
    assert set(page.dataframe[0].value["name"]) == set(INDICATORS)
    seen = bodies(page)
    assert INDICATORS["RSI"].formula in seen
    assert INDICATORS["RSI"].source in seen
    settings = page.dataframe[1].value.iloc[0]
    assert (settings["name"], settings["default"]) == ("period", "14")
    assert settings["takes"] == "from 1 to 5,000"


def test_one_is_asked_for_with_its_settings(config: Config, opened: Opened) -> None:
    prepared(config)
    page = opened("indicators", state={"chosen:indicators": "RSI"})
    page.text_input(key="probe_RSI_path").set_value("btc.csv").run()
    page.number_input(key="indicator_RSI_set_RSI_period").set_value(7).run()
    page.button(key="probe_RSI_go").click().run()
    assert not page.exception
    with reading(config.state_path) as connection:
        ((body,),) = connection.execute("SELECT body FROM commands").fetchall()
    asked = json.loads(json.loads(body)["arguments"])
    assert asked["indicator"] == "RSI"
    assert (asked["settings"], asked["bars"]) == ({"period": 7}, "5m")
    assert asked["path"] == "btc.csv"


def test_one_of_two_markets_says_that_it_needs_both(config: Config, opened: Opened) -> None:
    prepared(config)
    page = opened("indicators", state={"chosen:indicators": "correlation"})
    assert "It compares two markets" in bodies(page)


def test_bounds_are_said_in_words() -> None:
    known = entries()
    entry = known["Bollinger"]
    assert takes(entry, "factor") == "above 0 to 100"
    assert takes(entry, "line") == "one of the words beside it"
    refused = {
        value: SettingEntry(default=2, low=1.0, high=5.0).refusal(value) for value in (0, 6, 2.5)
    }
    assert refused == {
        0: "it takes at least 1", 6: "it takes at most 5", 2.5: "it takes a whole number",
    }  # fmt: skip
    assert SettingEntry(default=2, low=1.0, high=5.0).refusal(5) == ""


FOUND = {
    "count": 3, "bars": "1m", "of": "btc.csv", "fills": 1, "pnl": 1.5, "fees": 0.25,
    "currency": "USDT", "close": [[1, 10.0], [2, 11.0]], "trades": [[2, "buy", 11.0]],
    "series": {"1. RSI": [[1, None], [2, 42.0]], "2. ask": [[1, 5.0], [2, 6.0]]},
    "conditions": [["RSI < 50", ["1. RSI"]], ["ask > 5", ["2. ask"]]],
    "last": {"1. RSI": 42.0, "2. ask": 6.0},
}  # fmt: skip


def drawn() -> None:
    from pages.shared import probe
    from tests.pages.test_indicators import FOUND

    probe.show(FOUND, "tried", 10**18)


def test_a_result_shows_one_condition_at_a_time_with_its_last_number() -> None:
    page = AppTest.from_function(drawn, default_timeout=60).run()
    assert not page.exception
    assert "42" in bodies(page)
    assert "1 fill, PnL +1.50 USDT after fees of 0.25 USDT" in bodies(page)
    page.selectbox(key="tried_shown").set_value("ask > 5").run()
    assert "2. ask" in bodies(page)
    assert "42" not in bodies(page).replace("1.42", "")
    assert "PAPER" in texts(page)
