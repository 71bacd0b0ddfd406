"""What is received, as a page: proof of the books, prices that are silent, gaps with their end."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.telemetry import FeedStatus
from pages.recordings import NO_QUOTE, facts_of, gap_of, prices_of
from storage.database import writing
from storage.feeds import begin_gap, end_gap
from storage.users import ENGINE_ID
from tests.pages.seen import page_test

S = 1_000_000_000
RECEIVED: dict[str, Any] = {
    "markets": 6,
    "sockets": 1,
    "frames": 12_345,
    "last_word_ms": 400.0,
    "trouble": "",
    "hash_checked": 812,
    "hash_mismatched": 0,
    "gaps": 1,
    "prices_age_ms": {"chainlink:btc/usd": None, "binance:btcusdt": 210.0},
    "missing": ["no price of chainlink:btc/usd is received (rtds: refused)"],
}


def run_engine(config: Config, feeds: dict[str, Any], *, ago_ns: int = 0) -> int:
    started_ns = time.time_ns() - 600 * S
    detail = json.dumps({"feeds": feeds})
    with writing(config.state_path) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO engine_state VALUES (?, 'RUNNING', ?, ?, ?, '1', 0, ?)",
            (ENGINE_ID, time.time_ns() + S - ago_ns, started_ns, os.getpid(), detail),
        )
    return started_ns


def shown(config: Config) -> tuple[AppTest, str]:
    del config
    page = page_test("recordings")
    page.session_state["who"] = "operator"
    page.run()
    assert not page.exception, page.exception
    kinds = ("markdown", "html", "caption", "warning")
    return page, " ".join(str(one.proto) for kind in kinds for one in page.get(kind))


def test_a_desk_that_receives_no_public_venue_says_what_would_change_it(config: Config) -> None:
    run_engine(config, {})
    text = shown(config)[1]
    assert "No public feed is connected" in text
    assert "No gap on record" in text


def test_a_venue_is_shown_with_its_proofs_prices_and_what_is_missing(config: Config) -> None:
    run_engine(config, {"polymarket": RECEIVED})
    page, text = shown(config)
    assert "1 socket for 6 markets" in text
    assert "812 checked, all equal" in text
    assert page.warning[0].value == "No price of chainlink:btc/usd is received (rtds: refused)."
    prices = page.dataframe[0].value.to_dict("records")
    assert prices[0] == {"source": "chainlink:btc/usd", "received": "none yet", "so": NO_QUOTE}
    assert prices[1] == {"source": "binance:btcusdt", "received": "0.2 s old", "so": "used"}


def test_a_dead_engines_figures_are_called_the_last_known(config: Config) -> None:
    run_engine(config, {"polymarket": RECEIVED}, ago_ns=60 * S)
    page, text = shown(config)
    assert "LAST KNOWN, not current" in text
    assert not page.warning


def test_gaps_of_every_start_are_listed_with_begin_end_and_reason(config: Config) -> None:
    started_ns = run_engine(config, {})
    with writing(config.state_path) as connection:
        for number, since_ns in enumerate((started_ns - 9 * S, started_ns + S, started_ns + 2 * S)):
            begin_gap(
                connection, ENGINE_ID, "polymarket", instrument=f"polymarket:{number}",
                since_ns=since_ns, reason="the connection was lost",
            )  # fmt: skip
        end_gap(
            connection, ENGINE_ID, "polymarket", instrument="polymarket:1",
            since_ns=started_ns + S, until_ns=started_ns + 4 * S,
        )  # fmt: skip
    rows = shown(config)[0].dataframe[0].value.to_dict("records")
    assert [row["what"] for row in rows] == ["2", "1", "0"]
    lasting, ended, crashed = (row["lasted"] for row in rows)
    assert lasting.startswith("ongoing, ")
    assert (ended, crashed) == ("3.0 s", "until the engine ended")
    assert {row["reason"] for row in rows} == {"the connection was lost"}


def test_a_whole_feeds_gap_is_of_everything() -> None:
    row = {"instrument": "", "since_ns": S, "until_ns": None, "feed": "polymarket", "reason": "x"}
    assert gap_of(row, 9 * S, None)["what"] == "everything"


@pytest.mark.parametrize(("unequal", "said"), [(0, "all equal"), (2, "2 UNEQUAL")])
def test_hashes_that_are_unequal_are_said_loudly(unequal: int, said: str) -> None:
    facts = facts_of(
        msgspec.convert({**RECEIVED, "hash_mismatched": unequal, "last_word_ms": None}, FeedStatus)
    )
    assert said in facts["Books proven by the venue's hash"]
    assert facts["Last message"] == "none yet"


def test_a_price_that_fell_silent_says_for_how_long_and_what_follows() -> None:
    [row] = prices_of({"chainlink:eth/usd": 75_000.0})
    assert row == {"source": "chainlink:eth/usd", "received": "SILENT for 75 s", "so": NO_QUOTE}
