"""Capital: lines that add up, what is locked until when, and approvals, over rows as told."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from msgspec.structs import replace
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.domain.rates import RATE_AGE_NS_MAX, Rate
from engine.domain.telemetry import (
    Approval,
    Approvals,
    AssetSeen,
    Capital,
    EngineStatus,
    LockedMoney,
)
from pages.capital import explained, sums_by_end, until, venue_says
from storage.database import writing
from storage.live import (
    EngineHeartbeat,
    EquityPoint,
    add_equity,
    put_account_report,
    put_engine,
)
from tests.pages.seen import bodies, figures, links
from tests.storage.books import add_account

Opened = Callable[..., AppTest]
USD = 1_000_000
HOUR_NS = 3_600 * 10**9
NOW = 1_800_000_000 * 10**9
M1 = InstrumentId("demo:m1")
SEEN = Capital(
    account=AccountId("demo"), mode=Mode.DEMO, currency="pUSD", at_ns=NOW,
    settled_micro=1_000 * USD, open_micro=96 * USD, open_orders=2, doubtful_micro=48 * USD + 1,
    doubtful_orders=1, pending_micro=7 * USD, redeemable_micro=11 * USD, redeeming_micro=USD,
    pairs_micro=3 * USD, pairs_worth_micro=4 * USD, dust_micro=USD, held_micro=2 * USD,
    deposits_micro=1_020 * USD, realised_micro=5 * USD, fees_micro=USD,
    locks=(
        LockedMoney(instrument=M1, closes_ns=NOW + HOUR_NS, orders_micro=144 * USD + 1),
        LockedMoney(instrument=InstrumentId("demo:m2"), resolved=True, redeemable_micro=11 * USD,
                    redemption="submitted"),
        LockedMoney(instrument=InstrumentId("demo:m3"), held_micro=6 * USD, pending_micro=7 * USD),
    ),
)  # fmt: skip


def told(config: Config, seen: Capital, *approvals: Approvals) -> None:
    """Leave a home as an engine does."""
    now = time.time_ns()
    with writing(config.state_path) as connection:
        add_account(connection, seen.account, seen.mode)
        put_account_report(connection, "pitboss", replace(seen, at_ns=now))
        for one in approvals:
            put_account_report(connection, "pitboss", one)
        beat = EngineHeartbeat(
            state="RUNNING", heartbeat_ns=now, started_ns=1, pid=os.getpid(), version="1",
            latched=False, status=EngineStatus(),
        )  # fmt: skip
        put_engine(connection, "pitboss", beat)


def shown(page: AppTest) -> str:
    return unescape(re.sub("<[^>]*>", " ", bodies(page)))


def test_lines_add_up_to_free_cash_and_to_all_there_is() -> None:
    lines = explained(SEEN)
    place = next(number for number, one in enumerate(lines) if one.sum)
    assert sum(one.micro for one in lines[:place]) == lines[place].micro == SEEN.free_micro
    assert sum(one.micro for one in lines[place:-1]) == lines[-1].micro == SEEN.whole_micro
    assert lines[-1].said.endswith(": exact")
    off = explained(replace(SEEN, fees_micro=0))[-1]
    assert "DIFFERS by \N{MINUS SIGN}1.000000" in off.said


def test_every_part_of_the_account_leads_to_what_it_is_made_of(
    config: Config, opened: Opened
) -> None:
    told(config, SEEN)
    page = opened("capital")
    text = shown(page)
    assert figures(page)["Free cash"] == "856.00 pUSD"
    assert "855.999999" in text  # all six digits where lines are to be added up
    assert links(page)["\N{MINUS SIGN}96.000000"].startswith("/orders?show=working&mode=demo")
    assert links(page)["11.000000"] == "/positions"
    assert "1.00 of it requested" in text
    assert "DEMO" in text
    assert "demo needs none" in text


def test_a_venue_that_said_nothing_is_not_a_venue_that_has_nothing() -> None:
    assert "has not reported its balance yet" in venue_says(SEEN, NOW)
    same = replace(SEEN, venue_micro=1_000 * USD, venue_ns=NOW - 5 * 10**9)
    assert "received 5.0 s ago: the same as the wallet" in venue_says(same, NOW)
    less = replace(same, venue_micro=SEEN.free_micro)
    assert "less what orders reserve" in venue_says(less, NOW)
    away = replace(same, venue_micro=1_002 * USD)
    assert "+2.000000 against the wallet" in venue_says(away, NOW)


def test_each_market_says_until_when_its_money_is_locked_and_the_sums_are_whole() -> None:
    soon, won, held = SEEN.locks
    assert until(soon, NOW)[1] == "in 60 min; until its orders end"
    assert until(won, NOW) == ("redeemed", "resolved in our favour; its redemption is submitted")
    assert until(replace(won, redemption=""), NOW)[1].endswith("by hand or by the venue")
    assert until(held, NOW)[0] == "no announced end"
    ended = replace(soon, closes_ns=NOW - HOUR_NS)
    assert until(ended, NOW) == ("the market resolves", "trading ended 60 min ago")
    late = LockedMoney(instrument=None, markets=3, held_micro=5)
    sums = sums_by_end((*SEEN.locks, ended, late), NOW)
    assert sums["Ends within 24 h"] == soon.micro
    assert sums["Ended or resolved"] == won.micro + ended.micro
    assert (sums["Later"], sums["No announced end"]) == (5, held.micro)


def test_a_missing_approval_is_loud_and_a_failed_question_keeps_the_last_answer(
    config: Config, opened: Opened
) -> None:
    pairs: list[Any] = [("exchange", True), ("router", False)]
    found = Approvals(
        account=AccountId("real"), told_ns=time.time_ns(), failed="no answer from the index",
        approvals=tuple(
            Approval(asset="pUSD", contract=name, address="0x1", approved=given)
            for name, given in pairs
        ),
    )  # fmt: skip
    told(config, replace(SEEN, account=AccountId("real"), mode=Mode.LIVE), found)
    page = opened("capital")
    assert "1 approval missing" in page.error[0].value
    assert "no answer from the index" in page.warning[0].value
    assert re.search(r"router\s+NOT APPROVED", shown(page))
    assert re.search(r"exchange\s+approved", shown(page))


def test_what_was_never_told_is_said_to_be_unknown(config: Config, opened: Opened) -> None:
    with writing(config.state_path) as connection:
        add_account(connection, "a", currency="x")
    assert "has not reported where this money is" in shown(opened("capital"))


def test_a_live_account_nobody_asked_about_claims_no_approval(
    config: Config, opened: Opened
) -> None:
    told(config, replace(SEEN, account=AccountId("real"), mode=Mode.LIVE))
    page = opened("capital")
    assert "has not been asked yet" in shown(page)
    assert not page.error


def test_assets_have_exact_amounts_and_without_a_rate_no_worth(
    config: Config, opened: Opened
) -> None:
    now = time.time_ns()
    fresh = Rate(asset="BTC", currency="pUSD", micro=10**10, source="best bid of x", at_ns=now)
    old = replace(fresh, at_ns=now - 2 * RATE_AGE_NS_MAX)
    assets = tuple(
        AssetSeen(asset=name, held="0.00507", beside="0.00000012", rate=rate, worth_micro=worth)
        for name, rate, worth in (("BTC", fresh, 1_200), ("ETH", old, None), ("BNB", None, None))
    )
    told(config, replace(SEEN, assets=assets))
    text = shown(opened("capital"))
    assert text.count("0.00000012") == 3
    assert "10,000.000000 pUSD, best bid of x" in text
    assert "STALE: 2" in text
    assert "unknown: no feed gives one" in text


def test_a_portfolio_is_of_one_mode_and_names_what_it_lacks(config: Config, opened: Opened) -> None:
    told(config, SEEN)
    with writing(config.state_path) as connection:
        for name, currency, mode in (
            ("b", "pUSD", Mode.PAPER), ("c", "EUR", Mode.PAPER), ("p", "pUSD", Mode.PAPER),
        ):  # fmt: skip
            add_account(connection, name, mode, currency=currency)
        for number, name in enumerate(("demo", "b", "c", "p"), 1):
            point = EquityPoint(
                account=name, mode=Mode.DEMO if name == "demo" else Mode.PAPER, currency="pUSD",
                at_ns=time.time_ns(), equity_micro=number * 100 * USD, equity_mid_micro=0,
                cash_micro=0, day_start_micro=0, peak_micro=0,
            )  # fmt: skip
            add_equity(connection, "pitboss", point)
    page = opened("capital")
    assert figures(page)["Portfolio, 2 accounts of 3, PAPER"] == "600.00 USDC"
    assert "Not in the portfolio: c: no rate of EUR to USDC." in shown(page)


@pytest.mark.parametrize(
    ("age_s", "tile", "said"),
    [
        (3, "Portfolio, 1 account of 1, PAPER", "EUR: 1.100000 USDC, best bid of x:EUR/USDC"),
        (90, "Portfolio, 0 accounts of 1, PAPER", "c: the rate of EUR is stale, 1.100000 USDC"),
    ],
)
def test_a_portfolio_counts_another_currency_at_a_books_rate_while_it_is_fresh(
    age_s: int, tile: str, said: str, config: Config, opened: Opened
) -> None:
    now = time.time_ns()
    rate = Rate(
        asset="EUR", currency="USDC", micro=1_100_000, source="best bid of x:EUR/USDC",
        at_ns=now - age_s * 10**9,
    )  # fmt: skip
    told(config, replace(SEEN, account="c", currency="EUR", mode=Mode.PAPER, rate=rate))
    with writing(config.state_path) as connection:
        add_account(connection, "c", Mode.PAPER, currency="EUR")
        point = EquityPoint(
            account="c", mode=Mode.PAPER, currency="EUR", at_ns=now, equity_micro=200 * USD,
            equity_mid_micro=0, cash_micro=0, day_start_micro=0, peak_micro=0,
        )  # fmt: skip
        add_equity(connection, "pitboss", point)
    page = opened("capital")
    assert figures(page)[tile] == ("220.00 USDC" if age_s < 60 else "unknown")
    assert said in shown(page)
