"""Positions, PnL, alerts, limits, non-orders and Help, over rows as an engine tells them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Dataframe

from engine.config import Config
from engine.domain.catalog import StrategyEntry
from engine.domain.decisions import Decision, Gate, Unit
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind, Leg, Mode
from engine.domain.intents import Target
from engine.domain.telemetry import BotStatus, EngineStatus, WatchedMarket
from engine.runtime.decisions import DecisionLog
from engine.runtime.first_settings import DOCUMENT
from engine.strategies.registry import entries
from pages.kit import data, names
from pages.overview import FIRST_BOTS
from storage.alerts import raise_alert
from storage.catalog import put_catalog
from storage.commands import AccountProof, Receipt, keep_receipt
from storage.database import reading, transaction, writing
from storage.live import (
    EngineHeartbeat,
    HoldingSeen,
    LimitUse,
    add_pnl,
    put_bots,
    put_engine,
    put_holdings,
    put_instrument,
    put_limit_use,
)
from storage.projected import PROJECTED
from storage.projected.listings import ListingRow
from storage.projected.positions import PositionRow
from storage.settings import applied, latest, save
from tests.pages.seen import behind, figures, links, texts
from tests.storage.books import add_account, save_demo_account

Opened = Callable[..., AppTest]
M1 = InstrumentId("demo:comet-1")
MAKER = BotId("maker")
SHARE = 1_000_000


@pytest.fixture
def desk(config: Config) -> Config:
    """A home as an engine leaves it: an account, a bot, a market, a position, use of limits."""
    now = time.time_ns()
    instrument = Instrument(
        id=M1,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
    )
    held = HoldingSeen(
        account="demo",
        instrument=M1,
        mode=Mode.DEMO,
        currency="pUSD",
        bot=MAKER,
        yes_settled=10 * SHARE,
        yes_pending=2 * SHARE,
        no_settled=0,
        no_pending=0,
        yes_cost_micro=4_000_000,
        no_cost_micro=0,
        value_micro=5_400_000,
        mid2=9_000,
        marked_ns=now,
        realised_micro=700_000,
        fees_micro=100_000,
        payout_yes_micro=None,
    )
    uses = [
        LimitUse(name=name, subject=subject, used=6_000_000, limit_value=10**9, unit=Unit.MICRO)
        for name, subject in (
            ("exposure_account_max", ""),
            ("exposure_bot_max", MAKER),
            ("exposure_instrument_max", M1),
        )
    ]
    with writing(config.state_path) as connection:
        save_demo_account(connection)
        put_instrument(connection, "pitboss", instrument, now)
        put_holdings(connection, "pitboss", [held], now)
        made = PositionRow(
            account="demo", instrument=M1, leg=Leg.YES, bot=MAKER, mode=Mode.DEMO,
            settled=10 * SHARE, pending=2 * SHARE, cost_micro=4_000_000, spent_micro=4_000_000,
            received_micro=700_000, fee_micro=100_000, updated_ns=now, seq=1,
        )  # fmt: skip
        PROJECTED[PositionRow].rows.put(connection, "pitboss", [made], "INSERT OR REPLACE")
        listing = ListingRow(instrument=M1, value_divisor=10_000, one_token=SHARE, seq=1)
        PROJECTED[ListingRow].rows.put(connection, "pitboss", [listing], "INSERT OR REPLACE")
        add_pnl(connection, "pitboss", 1)
        put_limit_use(
            connection,
            "pitboss",
            account="demo",
            mode=Mode.DEMO,
            currency="pUSD",
            uses=uses,
            now_ns=now,
        )
        beat(connection)
        put_catalog(connection, "pitboss", StrategyEntry, entries(), 1)
        bot = BotStatus(
            name=MAKER,
            mode=Mode.DEMO,
            account="demo",
            strategy="market_maker",
            state="running",
            error="",
            capital_micro=10**9,
            evaluations=5,
            watching=(WatchedMarket(instrument=M1),),
        )
        put_bots(connection, "pitboss", (bot,), now)
    return config


def beat(connection: Any, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "state": "RUNNING",
        "heartbeat_ns": time.time_ns() + 10**9,
        "started_ns": 1,
        "pid": os.getpid(),
        "version": "1",
        "latched": False,
    }
    put_engine(connection, "pitboss", EngineHeartbeat(**(fields | changes)))


def test_positions_show_legs_cost_mark_and_what_they_made(desk: Config, opened: Opened) -> None:
    del desk
    page = opened("positions")
    metrics = figures(page)
    assert metrics["Unrealised"] == "+1.40 pUSD"
    row = page.dataframe[0].value.iloc[0]
    assert (row["instrument"], row["bot"]) == ("comet-1", "maker")
    assert (row["yes"], row["pending"], row["no"]) == (12, 2, 0)
    assert (row["mark"], row["cost"], row["pnl"]) == (45.0, 4.0, 2.0)


def test_what_is_held_stands_above_how_it_settles(desk: Config, opened: Opened) -> None:
    del desk
    page = opened("positions")
    drawn = list(page.main)
    table = next(at for at, node in enumerate(drawn) if isinstance(node, Dataframe))
    ladder = next(
        at
        for at, node in enumerate(drawn)
        if "Settlement of demo" in str(getattr(node, "proto", ""))
    )
    assert table < ladder


def test_a_selected_position_leads_to_its_fills(desk: Config, opened: Opened) -> None:
    del desk
    page = opened("positions", state={"chosen:positions": ("demo", M1)})
    assert page.subheader[0].value == "Fills of comet-1"
    assert links(page)["These fills with totals"] == (
        "/orders?show=fills&mode=demo&account=demo&instrument=demo%3Acomet-1"
    )


def test_an_accounts_money_is_named_as_its_venue_names_it(config: Config, opened: Opened) -> None:
    with writing(config.state_path) as connection:
        accounts = {
            name: {"name": name, "venue": "demo", "mode": "paper", "currency": "USD"}
            for name in ("known", "new")
        }
        save(
            connection,
            engine_id="pitboss",
            who="ann",
            diff={"accounts": accounts},
            base_version=latest(connection, "pitboss").version,
            now_ns=5,
        )
        add_account(connection, "known", Mode.PAPER)
    shown = opened("settings").dataframe[0].value.set_index("name")
    assert shown["currency"].to_dict() == {"known": "pUSD", "new": "USD"}
    assert set(shown["mode"]) == {"PAPER"}


def test_positions_without_an_account_and_without_any_say_what_to_do(
    config: Config, opened: Opened
) -> None:
    assert "There is no account" in texts(opened("positions"))
    st.cache_data.clear()
    with writing(config.state_path) as connection:
        add_account(connection)
    page = opened("positions")
    assert "Nothing is held in DEMO" in texts(page)
    assert "NO ENGINE IS RUNNING" in page.warning[0].value


def test_overview_has_pnl_by_period_and_bot_and_the_money_at_risk(
    desk: Config, opened: Opened
) -> None:
    del desk
    page = opened("overview")
    metrics = figures(page)
    assert metrics["PnL in total"] == "+2.00 pUSD"
    assert metrics["PnL 7 d"] in ("+0.00 pUSD", "0.00 pUSD")
    assert behind(page)["PnL in total"] == "/orders?show=fills&mode=demo&account=demo"
    assert "&since_ns=" in behind(page)["PnL today"]
    of_maker = "/orders?show=fills&mode=demo&account=demo&bot=maker"
    assert links(page)["+2.00"] == of_maker
    assert links(page)["+0.70"] == of_maker
    shown = texts(page)
    assert "Money at risk, worst case" in shown
    assert links(page)["6.00 pUSD"] == "/positions"
    assert "100 %" in shown
    assert "By owner" in shown


def test_an_alert_is_marked_as_seen_by_a_command(desk: Config, opened: Opened) -> None:
    alert = RaiseAlert(
        severity=Severity.CRITICAL, kind="tape", text="the disk is full", bot=MAKER,
        numbers={"free": "1 <MB>"},
    )  # fmt: skip
    with writing(desk.state_path) as connection:
        raise_alert(connection, "pitboss", alert, None, time.time_ns())
    for name in ("alerts", "overview"):
        page = opened(name)
        assert "the disk is full" in texts(page)
        assert "/bots?bot=maker" in texts(page)
        assert "free <b>1 &lt;MB&gt;</b>" in texts(page)
    next(button for button in page.button if button.label == "Seen").click().run()
    with reading(desk.state_path) as connection:
        kind, who = connection.execute("SELECT kind, who FROM commands").fetchone()
    assert (kind, who) == ("AckAlert", "operator")


def test_no_alert_says_so(config: Config, opened: Opened) -> None:
    del config
    assert "nothing needs your attention" in texts(opened("alerts"))


def test_risk_says_why_the_total_of_all_accounts_is_unknown(desk: Config, opened: Opened) -> None:
    with writing(desk.state_path) as connection:
        use = LimitUse(
            name="exposure_total_max", used=5_000_000, limit_value=10**9, unit=Unit.MICRO,
            unknown="no book gives a rate of EUR to USDC",
        )  # fmt: skip
        put_limit_use(
            connection, "pitboss", account="demo", mode=Mode.DEMO, currency="pUSD", uses=[use],
            now_ns=time.time_ns(),
        )  # fmt: skip
    shown = texts(opened("risk"))
    assert "unknown: no book gives a rate of EUR to USDC; 5.00 of 1,000.00 of this account" in shown


def test_risk_shows_use_anchor_and_why_nothing_is_placed(desk: Config, opened: Opened) -> None:
    with writing(desk.state_path) as connection:
        connection.execute(
            "INSERT INTO equity VALUES ('pitboss', 'demo', ?, 'demo', 'pUSD', 990000000, "
            "991000000, 900000000, 1000000000, 1010000000, 0)",
            (time.time_ns(),),
        )
        status = EngineStatus(not_placing={"demo": ("user_feed: not connected",)})
        beat(connection, status=status)
    page = opened("risk")
    shown = texts(page)
    assert "6.00 of 1,000.00" in shown
    assert "Equity at 00:00 UTC was 1,000.00 pUSD" in shown
    assert "user_feed: not connected" in page.warning[0].value


def test_risk_shows_the_limit_in_force_while_another_one_is_only_saved(
    desk: Config, opened: Opened
) -> None:
    with writing(desk.state_path) as connection:
        version = latest(connection, "pitboss").version
        applied(connection, "pitboss", version, 5)
        save(
            connection,
            engine_id="pitboss",
            who="ann",
            diff={"accounts": {"demo": {"limits": {"order_value_min": {"absolute": 77.0}}}}},
            base_version=version,
            now_ns=6,
        )
    page = opened("risk")
    assert "NOT applied" in page.warning[0].value
    assert "<th>Smallest order value</th><td>0</td>" in texts(page)
    with writing(desk.state_path) as connection:
        applied(connection, "pitboss", version + 1, 7)
    data.forget()  # rows are kept for a second
    assert "<th>Smallest order value</th><td>77</td>" in texts(opened("risk"))


def test_a_range_ends_with_the_accounts_own_time_not_the_walls(
    desk: Config, opened: Opened
) -> None:
    with writing(desk.state_path) as connection:
        connection.execute("DELETE FROM equity")
        for at_ns in (10**18, 10**18 + 3_600 * 10**9):
            connection.execute(
                "INSERT INTO equity VALUES ('pitboss', 'demo', ?, 'demo', 'pUSD', 990000000, "
                "991000000, 900000000, 1000000000, 1010000000, 0)",
                (at_ns,),
            )
    shown = texts(opened("overview"))
    assert "No equity in this range" not in shown
    assert "Ranges end at the last point, 2001-09-09 02:46:40 UTC" in shown


def test_a_receipt_is_read_on_risk_and_in_the_journal(desk: Config, opened: Opened) -> None:
    proof = AccountProof(
        account="demo",
        mode=Mode.DEMO,
        open_at_latch=3,
        cancelled=2,
        not_cancelled=((7, "matched"),),
        in_flight_waited_ms=12.0,
        listings=2,
        unknown=0,
        live=0,
        inventory=((M1, 10 * SHARE, 0),),
        foreign=(),
        missing=(),
    )
    receipt = Receipt(
        id="kill-1",
        who="ann",
        reason="KILL",
        latched_ns=10**18,
        first_cancel_ns=10**18 + 2_500_000,
        reported_ns=10**18 + 10**9,
        proven=True,
        accounts=(proof,),
        scope="bot maker",
    )
    with writing(desk.state_path) as connection, transaction(connection):
        keep_receipt(connection, "pitboss", "kill receipt", receipt)
    shown = texts(opened("risk"))
    for words in (
        "PROVEN",
        "<th>Scope</th><td>bot maker</td>",
        "2.5 ms",
        "order 7: matched",
        "comet-1: 10 YES, 0 NO",
    ):
        assert words in shown
    with reading(desk.state_path) as connection:
        ((number,),) = connection.execute("SELECT id FROM audit WHERE what = 'kill receipt'")
    page = opened("journal", audit="kill receipt", state={"chosen:journal_audit": number})
    assert "order 7: matched" in texts(page)
    assert '"reported_ns": 1000000001000000000' in page.code[0].value, "every digit of it"


@pytest.mark.long
def test_a_bot_that_does_not_quote_says_what_it_waits_for(desk: Config, opened: Opened) -> None:
    log = DecisionLog(desk.decisions_path, engine_id="pitboss")
    gates = (Gate("healthy", True, 1.0, 1.0), Gate("data_age_ms", False, 7_200.0, 5_000.0))
    for number in (1, 2):
        log.append(
            Decision(
                number=number,
                bot=MAKER,
                instrument=M1,
                at_ns=time.time_ns(),
                regime="halted",
                inputs=(),
                build_up=(),
                gates=gates,
                outcome="data_age_ms",
                intent=None,
            )
        )
    log.close()
    page = opened("bots", bot="maker")
    row = page.dataframe[1].value.iloc[0]
    assert row["would"] == "would trade if: the book is fresh again (stale 7.2 s > 5.0 s)"
    assert row["again"].endswith("2\N{MULTIPLICATION SIGN}")
    page = opened("bots", bot="maker", state={"chosen:why_maker": M1})
    shown = texts(page)
    assert "1 of 2 gates passed (would trade if" in shown
    assert "the same 2 times in a row" in shown
    page.segmented_control(key="about_maker").set_value("Evaluations").run()
    (row,) = page.dataframe[1].value.to_dict("records")
    assert (row["times"], row["did"], row["why"][:14]) == (2, "nothing", "would trade if")
    page.segmented_control(key="timeline_kind_maker").set_value("Wants nothing").run()
    page.selectbox(key="timeline_reason_maker").set_value("data_age_ms").run()
    assert len(page.dataframe[1].value) == 1
    page.segmented_control(key="timeline_kind_maker").set_value("Wants something").run()
    assert "No evaluation matches." in texts(page)


def test_a_bot_that_wants_a_position_is_told_as_one_that_does(desk: Config, opened: Opened) -> None:
    log = DecisionLog(desk.decisions_path, engine_id="pitboss")
    target = Target(
        bot=MAKER, instrument=M1, position=50_000_000, limit_price=4_000, valid_until_ns=10**19
    )
    log.append(
        Decision(
            number=1, bot=MAKER, instrument=M1, at_ns=time.time_ns(), regime="trend", inputs=(),
            build_up=(), gates=(), outcome="enter_long", intent=target,
        )
    )  # fmt: skip
    log.close()
    page = opened("bots", bot="maker", state={"chosen:why_maker": M1})
    assert page.dataframe[1].value.iloc[0]["standing"] == "new target"
    assert "wants to hold 50, no worse than 40¢" in texts(page)
    page.segmented_control(key="about_maker").set_value("Evaluations").run()
    page.segmented_control(key="timeline_kind_maker").set_value("Wants something").run()
    (row,) = page.dataframe[1].value.to_dict("records")
    assert row["did"] == "hold 50, no worse than 40¢"


def test_a_link_of_an_alert_opens_what_was_decided_by_then(desk: Config, opened: Opened) -> None:
    log = DecisionLog(desk.decisions_path, engine_id="pitboss")
    log.append(
        Decision(
            number=1,
            bot=MAKER,
            instrument=M1,
            at_ns=1_000,
            regime="halted",
            inputs=(),
            build_up=(),
            gates=(Gate("event_cooldown", False, 12.0, 0.0),),
            outcome="event_cooldown",
            intent=None,
        )
    )
    log.close()
    shown = texts(opened("bots", bot="maker", market=M1, at="2000"))
    assert "What maker had decided about comet-1 until then" in shown
    assert "the pause after a jump is over (12 s left)" in shown
    assert "No order was changed" in shown
    assert "Nothing is stored from that time" in texts(
        opened("bots", bot="maker", market=M1, at="9")
    )


def test_help_has_a_tour_words_a_checklist_and_shortcuts(config: Config, opened: Opened) -> None:
    del config
    page = opened("help")
    assert "Create your own bot" in texts(page)
    for topic, words in (
        ("What am I looking at", "money at risk, positions and alerts"),
        ("Glossary", "Pending tokens cannot be sold"),
        ("Going live", "has ever reached a venue with real money"),
        ("Shortcuts", "Ctrl+Shift+K"),
    ):
        page.segmented_control(key="help_topic").set_value(topic).run()
        assert words in texts(page)
    page.segmented_control(key="help_topic").set_value("Glossary").run()
    page.text_input(key="help_search").set_value("latch").run()
    assert "Receipt" not in texts(page)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("demo:comet-1", "comet-1"),
        ("demo:btc-updown-5m-1795266900", "btc-updown-5m 13:15"),
        ("polymarket:0x" + "ab" * 32, "0xabababab…abab"),
        ("plain", "plain"),
    ],
)
def test_markets_have_short_names(name: str, short: str) -> None:
    assert names.market(name) == short


def test_an_answer_names_a_hashed_market_as_the_page_does() -> None:
    said = f"polymarket:0x{'ab' * 32} is flat, demo:comet-1 is not"
    assert names.spelled(said) == "0xabababab…abab is flat, demo:comet-1 is not"
    trades = "bot b trades demo:btc-updown-5m-1795266900: refused"
    assert names.spelled(trades) == "bot b trades btc-updown-5m 13:15: refused"


def test_prices_are_in_the_venues_own_style() -> None:
    assert names.price(0.615, in_cents=True) == "61.5\N{CENT SIGN}"
    assert names.price(65_000.5, in_cents=False) == "65,000.5"
    assert names.price(None, in_cents=True) == "\N{EN DASH}"
    assert names.size(None, 1_500) == "1,500 increments"


def test_the_tour_is_offered_while_a_desk_has_no_other_bots_than_its_first_ones() -> None:
    assert len(DOCUMENT["bots"]) == FIRST_BOTS
