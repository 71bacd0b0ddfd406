from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import StrategyEntry
from engine.domain.commands import ApplySettings, Kill, StartBot
from engine.domain.decisions import Decision, Gate, Planned, Resting, Rule, Unit, Verdict
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
    Side,
)
from engine.domain.intents import Quotes
from engine.domain.orders import OrderId
from engine.domain.settings import RiskLimits
from engine.domain.telemetry import BookTop
from engine.strategies.market_maker.strategy import MarketMaker
from pages.kit.commands import went_well, words_of
from pages.risk import bars
from pages.shared.order import book_table
from storage.catalog import put_catalog
from storage.commands import CommandState, LeftCommand
from storage.database import reading, writing
from storage.decisions import DecisionFiles, StoredDecision, StoredPlan
from storage.journal_writer import names_sum, open_journal, record_sum, write_batch
from storage.latch import read_latch, set_latch
from storage.live import put_books, put_instrument
from storage.runs import Run, RunKind, RunMarket, RunStatus, save_run
from storage.settings import Saved, SettingsVersion, latest, save
from storage.views import journal
from tests.pages.seen import figures, texts
from tests.storage.books import add_account

PAGES = Path(__file__).resolve().parents[2] / "pages"

RUN = Run(
    engine_id="replay",
    account="paper:replay",
    kind=RunKind.REPLAY,
    recording="recordings/2026-04-13.jsonl.gz",
    bot="replay-market_maker",
    strategy="market_maker",
    parameters='{"strategy": {"levels": 2}}',
    started_ns=1_776_000_000_000_000_000,
    finished_ns=1_776_000_009_000_000_000,
    status=RunStatus.DONE,
    digest="ab" * 32,
    frames=120_000,
    orders=640,
    fills=31,
    fees_micro=120_000,
    pnl_micro=-2_500_000,
    result=json.dumps(
        {
            "pnl_resolved": -1.5,
            "pnl_unresolved": -1.0,
            "denials": {"stale_data": 3},
            "residuals": {},
        }
    ),
)
MARKET = RunMarket(
    instrument="polymarket:0xdd",
    orders=640,
    fills=31,
    fees_micro=120_000,
    realised_micro=-1_500_000,
    unresolved_micro=-1_000_000,
    position_left=4_000_000,
    resolved=False,
)
CURVE = [(1_775_000_000_000_000_000 + n * 10**9, 1_000_000_000 - n * 1_000) for n in range(2_500)]

Opened = Callable[..., AppTest]


def put_strategies(config: Config, schemas: dict[str, dict[str, Any]]) -> None:
    """Write the catalog of an engine: name → schema of its parameters."""
    maker = MarketMaker
    made = {
        name: StrategyEntry(parameters=schema, gates=dict(maker.gates), values=dict(maker.values))
        for name, schema in schemas.items()
    }
    with writing(config.state_path) as connection:
        put_catalog(connection, "pitboss", StrategyEntry, made, 1)


def store_run(config: Config) -> int:
    with writing(config.state_path) as connection:
        return save_run(connection, RUN, equity=CURVE, markets=[MARKET])


def run_engine(config: Config, **columns: object) -> None:
    """Write the heartbeat of an engine that lives: this process."""
    row = {
        "engine_id": "pitboss",
        "state": "running",
        "heartbeat_ns": time.time_ns() + 10**9,
        "started_ns": 1,
        "pid": os.getpid(),
        "version": "1",
        "latched": 0,
        "detail": "{}",
        **columns,
    }
    marks = ", ".join("?" * len(row))
    with writing(config.state_path) as connection:
        connection.execute(
            f"INSERT OR REPLACE INTO engine_state ({', '.join(row)}) VALUES ({marks})",
            tuple(row.values()),
        )
        add_account(connection, "paper:a", Mode.PAPER, venue="paper", currency="USD")


def market_in(currency: str) -> Instrument:
    """Return the market of the stored run and orders, as a catalog has it."""
    return Instrument(
        id=InstrumentId("polymarket:0xdd"),
        kind=Kind.BINARY,
        currency=currency,
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
    )


def test_runs_without_any_say_what_to_do_next(opened: Opened) -> None:
    assert "python -m engine replay PATH" in texts(opened("runs"))


def test_a_stored_run_is_listed_with_its_figures(opened: Opened, config: Config) -> None:
    store_run(config)
    frame = opened("runs").dataframe[0].value
    row = frame.iloc[0]
    assert (row["pnl"], row["orders"], row["fills"], row["status"]) == (-2.5, 640, 31, "done")
    assert (row["mode"], row["name"]) == ("PAPER", "2026-04-13.jsonl.gz")


def test_the_filter_narrows_the_runs(opened: Opened, config: Config) -> None:
    store_run(config)
    page = opened("runs")
    page.text_input(key="runs_filter").set_value("no such thing").run()
    assert "No backtest matches" in texts(page)


def test_a_run_opens_with_curve_markets_and_reasons(opened: Opened, config: Config) -> None:
    number = store_run(config)
    page = opened("runs", run=str(number))
    metrics = figures(page)
    assert metrics["PnL"] == "\N{MINUS SIGN}2.50"
    assert metrics["In resolved markets"] == "\N{MINUS SIGN}1.50"
    assert metrics["Deepest drawdown"] == "2.50"
    market = page.dataframe[0].value.iloc[0]
    assert (market["instrument"], market["total"]) == ("0xdd", -2.62)  # after 0.12 of fees
    assert market["left"] == "4,000,000 increments"
    shown = texts(page)
    assert "age of the book" in shown
    assert "stale_data" not in shown
    assert "ab" * 32 in shown
    assert "strategy.levels" in shown
    assert "not reported by this run" in shown
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["uirevision"] == "run_equity"


def test_a_run_is_told_in_the_currency_of_its_markets(opened: Opened, config: Config) -> None:
    number = store_run(config)
    with writing(config.state_path) as connection:
        put_instrument(connection, "replay", market_in("pUSD"), 1)
    page = opened("runs", run=str(number))
    assert figures(page)["PnL"] == "\N{MINUS SIGN}2.50 pUSD"
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["yaxis"]["title"]["text"] == "pUSD"


def test_a_run_that_says_its_currency_is_drawn_in_it(opened: Opened, config: Config) -> None:
    told = msgspec.structs.replace(RUN, result=json.dumps({"currency": "EUR"}))
    with writing(config.state_path) as connection:
        number = save_run(connection, told, equity=CURVE, markets=[MARKET])
    page = opened("runs", run=str(number))
    assert figures(page)["PnL"] == "\N{MINUS SIGN}2.50 EUR"
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["yaxis"]["title"]["text"] == "EUR"


def test_a_run_whose_currency_nobody_knows_names_none(opened: Opened, config: Config) -> None:
    page = opened("runs", run=str(store_run(config)))
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["yaxis"]["title"]["text"] == ""
    assert "USD" not in json.dumps(figure["data"])


def test_a_run_that_is_not_there_is_told(opened: Opened) -> None:
    assert "There is no such backtest" in texts(opened("runs", run="77"))


def test_run_says_how_far_its_recording_can_be_believed(config: Config, opened: Opened) -> None:
    read = {
        "hash_checked": 500, "hash_matched": 499, "duplicates": 12, "out_of_order": 3,
        "anomalies": {"hash mismatch": 1}, "anomaly_lines": {"hash mismatch": "day.jsonl:41"},
    }  # fmt: skip
    error = "day.jsonl, line 502: the file is truncated"
    torn = msgspec.structs.replace(
        RUN, status=RunStatus.FAILED, error=error, result=json.dumps(read)
    )
    with writing(config.state_path) as connection:
        number = save_run(connection, torn, equity=CURVE, markets=[MARKET])
    page = texts(opened("runs", run=str(number)))
    assert error in page
    for name, value in (
        ("Hashes matched", "499 of 500"),
        ("Frames repeated", "12"),
        ("Frames out of order", "3"),
        ("Anomaly: hash mismatch", "1, first at day.jsonl:41"),
    ):
        assert f"<th>{name}</th><td>{value}</td>" in page


def test_runs_with_one_digest_are_tied_together(opened: Opened, config: Config) -> None:
    first, second = store_run(config), store_run(config)
    assert f"run={first}" in texts(opened("runs", run=str(second)))


def test_overview_without_an_engine_says_so_and_what_works(opened: Opened) -> None:
    shown = texts(opened("overview"))
    assert "No engine has ever run" in shown
    assert "python -m engine replay" in shown


def test_overview_of_a_running_engine_shows_its_account(opened: Opened, config: Config) -> None:
    run_engine(config)
    with writing(config.state_path) as connection:
        connection.execute(
            "INSERT INTO equity VALUES ('pitboss', 'paper:a', ?, 'paper', 'USD', 990000000, "
            "991000000, 900000000, 1000000000, 1010000000, 0)",
            (time.time_ns(),),
        )
    page = opened("overview")
    metrics = figures(page)
    assert metrics == {
        "Equity": "990.00 USD",
        "PnL today": "\N{EN DASH}",
        "PnL 7 d": "\N{EN DASH}",
        "PnL 30 d": "\N{EN DASH}",
        "PnL in total": "\N{EN DASH}",
        "Drawdown": "20.00 USD",
        "Cash": "900.00 USD",
    }
    assert "Nothing is held" in texts(page)


def test_an_unreadable_database_is_told_in_place_of_figures(opened: Opened, config: Config) -> None:
    config.state_path.write_bytes(b"no database " * 1_000)
    page = opened("overview")
    assert "cannot be read" in page.error[0].value
    assert not figures(page)


# -- orders ----------------------------------------------------------------------------------------


def store_orders(config: Config) -> None:
    order = {
        "engine_id": "pitboss",
        "account": "paper:a",
        "id": 7,
        "mode": "paper",
        "bot": "maker",
        "instrument": "polymarket:0xdd",
        "leg": "yes",
        "side": "buy",
        "price": 4_500,
        "size": 20_000_000,
        "type": "gtc",
        "post_only": 1,
        "created_ns": 10**18,
        "identity": "0xfeed",
        "state": "partial",
        "filled": 5_000_000,
        "voided": 0,
        "decision": 0,
        "fee_micro": 0,
        "reason": "",
        "updated_ns": 10**18,
        "seq": 3,
    }
    ended = order | {"id": 8, "state": "cancelled", "reason": "asked", "bot": "other"}
    fill = {
        "engine_id": "pitboss",
        "account": "paper:a",
        "id": "f1",
        "mode": "paper",
        "order_id": 7,
        "bot": "maker",
        "instrument": "polymarket:0xdd",
        "leg": "yes",
        "side": "buy",
        "price": 4_500,
        "size": 5_000_000,
        "value_micro": 2_250_000,
        "fee_micro": 0,
        "liquidity": "maker",
        "state": "matched",
        "source": "exact",
        "at_ns": 10**18,
        "updated_ns": 10**18,
        "seq": 4,
    }
    with writing(config.state_path) as connection:
        for table, row in (("orders", order), ("orders", ended), ("fills", fill)):
            connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                tuple(row.values()),
            )
        put_instrument(connection, "pitboss", market_in("USD"), 1)


def test_orders_without_an_account_say_where_a_runs_orders_are(opened: Opened) -> None:
    assert "There is no account" in texts(opened("orders"))


def test_working_orders_are_shown_apart_from_all(opened: Opened, config: Config) -> None:
    run_engine(config)
    store_orders(config)
    page = opened("orders")
    frame = page.dataframe[0].value
    assert frame["id"].tolist() == [7]
    assert (frame.iloc[0]["price"], frame.iloc[0]["size"]) == (45.0, 20.0)
    assert frame.iloc[0]["way"] == "BUY YES"
    page.segmented_control(key="orders_what").set_value("all").run()
    assert page.dataframe[0].value["id"].tolist() == [8, 7]
    page.text_input(key="orders_text").set_value("other").run()
    assert page.dataframe[0].value["id"].tolist() == [8]


def test_no_working_order_under_kill_says_where_it_is_released(
    opened: Opened, config: Config
) -> None:
    run_engine(config, latched=True)
    shown = texts(opened("orders"))
    assert "No order is working: KILL is set." in shown
    assert "A running bot places orders" not in shown


def test_where_the_list_of_orders_ends_it_says_which_were_let_go(
    opened: Opened, config: Config
) -> None:
    store_orders(config)
    gone = "3 orders of all modes without a fill, placed before 2001-09-09 01:46 UTC"
    assert gone not in texts(opened("orders", show="all"))
    with writing(config.state_path) as connection:
        connection.execute("UPDATE orders SET rowid = rowid + 3 WHERE id = 8")
    st.cache_data.clear()
    page = opened("orders", show="all")
    assert page.dataframe[0].value["id"].tolist() == [8, 7]
    assert gone in texts(page)


def test_a_working_order_is_held_against_a_book_of_now_alone(
    opened: Opened, config: Config
) -> None:
    book = BookTop(
        account=AccountId("paper:a"),
        instrument=InstrumentId("polymarket:0xdd"),
        trusted=True,
        bids=((4_700, 1),),
        asks=((4_800, 1),),
    )
    run_engine(config)
    store_orders(config)
    with writing(config.state_path) as connection:
        put_books(connection, "pitboss", [book], 1)
    page = opened("orders")
    assert page.dataframe[0].value["away"].tolist() == [2.0]
    run_engine(config, heartbeat_ns=1)
    st.cache_data.clear()
    page.run()
    assert page.dataframe[0].value["away"].tolist() == [None]


def test_a_chosen_order_stays_chosen_while_rows_move_and_end(
    opened: Opened, config: Config
) -> None:
    run_engine(config)
    store_orders(config)
    page = opened("orders", state={"chosen:orders_working": ("paper:a", 7), "order_about": "Facts"})
    assert page.subheader[0].value == "Order 7: BUY YES 20 at 45¢, 0xdd"
    assert "0xfeed" in texts(page)
    assert " may place another one." in texts(page)
    press(page, "Cancel the order")
    with reading(config.state_path) as connection:
        kind, body = connection.execute("SELECT kind, body FROM commands").fetchone()
    assert (kind, json.loads(body)["order"]) == ("CancelOrderByHand", 7)
    with writing(config.state_path) as connection:
        connection.execute("UPDATE orders SET state = 'cancelled'")
    time.sleep(1.1)
    page.run()
    assert page.subheader[0].value == "Order 7: BUY YES 20 at 45¢, 0xdd"
    assert "CANCELLED" in texts(page)
    assert not [button for button in page.button if button.label == "Cancel the order"]
    press(page, "Close")
    assert not page.subheader


def test_an_address_opens_an_order_with_why_and_life(opened: Opened, config: Config) -> None:
    run_engine(config)
    store_orders(config)
    number = 3 << 32 | 9
    with writing(config.state_path) as connection:
        connection.execute("UPDATE orders SET decision = ? WHERE id = 7", (number,))
        created_ns = connection.execute("SELECT created_ns FROM orders WHERE id = 7").fetchone()[0]
    keep_why(config, number, created_ns)
    put_strategies(config, CATALOG)
    page = opened("orders", account="paper:a", order="7")
    shown = texts(page)
    assert "at a fair value of 47¢; 1 of 1 gates passed" in shown
    assert "Decision 3.9 of maker" in shown
    assert "placed 1, kept 0 and cancelled 1" in shown
    for words in ("best bid", "the book is complete", "worst-case loss, market", "5.00 of 10.00"):
        assert words in shown
    assert "BID" in shown
    assert "this order" in shown
    page.segmented_control(key="order_about").set_value("Life").run()
    assert "The order's life cannot be read now" in page.error[0].value


def keep_why(config: Config, number: int, created_ns: int) -> None:
    """Keep the decision and the plan behind order 7."""
    maker, dd = BotId("maker"), InstrumentId("polymarket:0xdd")
    intent = Quotes(
        bot=maker,
        instrument=dd,
        bids=((4_500, 20_000_000),),
        valid_until_ns=created_ns + 1,
        decision=number,
    )
    decision = Decision(
        number=number,
        bot=maker,
        instrument=dd,
        at_ns=created_ns,
        regime="quiet",
        inputs=(("best_bid", 0.45),),
        build_up=(("fair", 0.47),),
        gates=(Gate("book_trusted", True, 1.0, 1.0),),
        outcome="quote",
        intent=intent,
    )
    plan = Planned(
        decision=number,
        account=AccountId("paper:a"),
        bot=maker,
        instrument=dd,
        at_ns=created_ns,
        places=(Resting(OrderId(7), Leg.YES, Side.BUY, 4_500, 20_000_000),),
        cancels=(OrderId(6),),
        rests=(),
        left=(),
        rules=(Rule("exposure_market", Verdict.PASSED, 5_000_000, 10_000_000, Unit.MICRO),),
    )
    files = DecisionFiles(config.decisions_path)
    said = StoredDecision(
        row=1, engine_id="pitboss", number=number, last_number=number, bot="maker",
        instrument=str(dd), at_ns=created_ns, last_ns=created_ns, count=1, outcome="quote",
        body=msgspec.msgpack.encode(decision),
    )  # fmt: skip
    planned = StoredPlan(
        row=2, engine_id="pitboss", instrument=str(dd), at_ns=created_ns,
        body=msgspec.msgpack.encode(plan),
    )  # fmt: skip
    files.write([said, planned])
    files.close()


def test_an_order_without_a_decision_says_so(opened: Opened, config: Config) -> None:
    run_engine(config)
    store_orders(config)
    shown = texts(opened("orders", account="paper:a", order="7"))
    assert "decision led to this order" in shown
    assert "There is no order 99" in texts(opened("orders", account="paper:a", order="99"))


def test_fills_are_listed_with_their_value(opened: Opened, config: Config) -> None:
    run_engine(config)
    store_orders(config)
    page = opened("orders")
    page.segmented_control(key="orders_what").set_value("fills").run()
    row = page.dataframe[0].value.iloc[0]
    assert (row["value"], row["order_id"], row["liquidity"]) == (2.25, 7, "maker")


# -- risk and settings -----------------------------------------------------------------------------


def save_account(config: Config, name: str = "paper:a") -> None:
    account = {"name": name, "venue": "paper", "mode": "paper"}
    with writing(config.state_path) as connection:
        saved = save(
            connection,
            engine_id="pitboss",
            who="ann",
            diff={"accounts": {name: account}},
            base_version=latest(connection, "pitboss").version,
            now_ns=5,
        )
        assert isinstance(saved, Saved)


def newest(config: Config) -> SettingsVersion:
    with reading(config.state_path) as connection:
        return latest(connection, "pitboss")


def press(page: AppTest, label: str) -> AppTest:
    button = next(button for button in page.button if button.label == label)
    button.click().run()
    assert not page.exception, page.exception
    return page


def test_risk_without_an_account_says_where_one_is_made(opened: Opened) -> None:
    assert "There is no account yet" in texts(opened("risk"))


def test_a_limit_is_changed_by_diff_then_saved_and_not_yet_applied(
    opened: Opened, config: Config
) -> None:
    save_account(config)
    page = opened("risk")
    headings = [one.value for one in page.main.expander[-1].markdown]
    assert "**Worst-case loss of positions and of orders that may still fill**" in headings
    page.number_input(key="limit_paper:a_daily_loss_max").set_value(3.0)
    press(page, "Show what changes")
    assert "**Account paper:a**" in texts(page)
    assert "<th>Loss since 00:00 UTC, percent</th><td>5  →  3</td>" in texts(page)
    assert newest(config).version == 1
    press(page, "Save these changes")
    assert newest(config).version == 2
    assert newest(config).document.accounts["paper:a"].limits.daily_loss_max.percent == 3.0
    assert "NOT applied" in page.warning[0].value
    assert "No engine is running" in page.caption[0].value


def test_a_limit_out_of_bounds_is_refused_with_words_and_nothing_saved(
    opened: Opened, config: Config
) -> None:
    save_account(config)
    page = opened("risk")
    page.number_input(key="limit_paper:a_daily_loss_max").set_value(-5.0)
    page.number_input(key="limit_paper:a_open_orders_max").set_value(-1)
    press(page, "Show what changes")
    # Both, each with its name: who mends one is not refused once more for the other.
    assert "Loss since 00:00 UTC, percent: " in page.error[0].value
    assert "Open orders: " in page.error[0].value
    assert "greater than or equal to 0" in page.error[0].value
    assert newest(config).version == 1


def test_an_age_is_shown_and_typed_in_seconds_and_saved_in_ms(
    opened: Opened, config: Config
) -> None:
    save_account(config)
    page = opened("risk")
    assert "<th>Oldest mark</th><td>600 s</td>" in texts(page)
    field = page.number_input(key="limit_paper:a_mark_age_ms_max")
    assert (field.label, field.value) == ("Oldest mark, seconds", 600.0)
    press(page, "Show what changes")
    assert any("Nothing differs" in one.value for one in page.markdown)
    page.number_input(key="limit_paper:a_data_age_ms_max").set_value(2.5)
    press(page, "Show what changes")
    press(page, "Save these changes")
    limits = newest(config).document.accounts["paper:a"].limits
    assert (limits.data_age_ms_max, limits.mark_age_ms_max) == (2_500, 600_000)


def test_a_stale_edit_is_refused_with_what_changed_since(opened: Opened, config: Config) -> None:
    save_account(config)
    page = opened("risk")
    page.number_input(key="limit_paper:a_daily_loss_max").set_value(3.0)
    press(page, "Show what changes")
    save_account(config, "paper:b")
    press(page, "Save these changes")
    assert "while you were editing version 1" in page.error[0].value
    assert "**Account paper:b is new**" in texts(page)
    assert "<th>Venue</th>" in texts(page)
    assert newest(config).version == 2


def test_a_saved_version_is_applied_by_a_command_that_shows_its_life(
    opened: Opened, config: Config
) -> None:
    save_account(config)
    run_engine(config)
    page = press(opened("risk"), "Apply version 1")
    with reading(config.state_path) as connection:
        row = connection.execute("SELECT kind, state, who, body FROM commands").fetchone()
    assert row[:3] == ("ApplySettings", "pending", "operator")
    assert any("queued" in markdown.value for markdown in page.markdown)


def test_use_of_a_limit_has_a_bar_a_share_and_a_word() -> None:
    def use(name: str, used: int, limit: int, unit: str = "micro", subject: str = "") -> Any:
        return {
            "name": name,
            "used": used,
            "limit_value": limit,
            "unit": unit,
            "subject": subject,
        }

    text = bars(
        RiskLimits(),
        [
            use("daily_loss_max", 20_000_000, 50_000_000),
            use("open_orders_max", 150, 200, "count"),
            use("exposure_bot_max", 9_000_000, 9_000_000, subject="maker"),
            use("exposure_bot_max", 1_000_000, 9_000_000, subject="other"),
            use("data_age_ms_max", 2 * 10**9, 10 * 10**9, "ns", "demo:m1"),
            use("mark_age_ms_max", 180 * 10**9, 605_500 * 10**6, "ns"),
        ],
        "USD",
    )
    for words in ("20.00 of 50.00", "40 % within", "75 % near", "100 % AT THE LIMIT"):
        assert words in text
    for words in (
        "One bot · maker",
        "11 % within",
        "2.0 s of 10 s",
        "180.0 s of 605.5 s",
        "Used, USD",
    ):
        assert words in text
    unused = bars(RiskLimits(), [], "USD")
    assert "not in use now" in unused
    assert "checked per order" in unused
    assert "%" not in unused.replace(" %</td>", "")


def test_a_set_latch_is_told_and_cannot_be_released_without_an_engine(
    opened: Opened, config: Config
) -> None:
    set_latch(config.kill_path, "ann", 10**18)
    page = opened("risk")
    assert "KILL IS SET** by ann" in page.error[0].value
    assert not [button for button in page.button if button.label == "Release the latch"]


def test_the_latch_is_released_with_a_reason_through_the_engine(
    opened: Opened, config: Config
) -> None:
    set_latch(config.kill_path, "ann", 10**18)
    run_engine(config)
    page = opened("risk")
    page.text_input[0].set_value("ok")
    press(page, "Release the latch")
    assert "at least 10 characters" in page.error[1].value
    page.run()  # as its timer does every two seconds
    assert "at least 10 characters" in page.error[1].value
    page.text_input[0].set_value("books are fine again")
    press(page, "Release the latch")
    with reading(config.state_path) as connection:
        assert connection.execute("SELECT kind FROM commands").fetchall() == [("ReleaseLatch",)]
    assert read_latch(config.kill_path) is not None


def test_a_paper_account_is_added_through_a_diff(opened: Opened, config: Config) -> None:
    page = opened("settings")
    page.text_input[0].set_value("paper-1")
    press(page, "Show what changes")
    press(page, "Save these changes")
    account = newest(config).document.accounts["paper-1"]
    assert (account.mode, account.starting_cash) == (Mode.PAPER, 1_000.0)


def test_an_account_with_a_bad_name_is_refused(opened: Opened, config: Config) -> None:
    page = opened("settings")
    page.text_input[0].set_value("Paper One")
    press(page, "Show what changes")
    assert "Nothing was changed" in page.error[0].value
    assert newest(config).version == 0


# -- bots ------------------------------------------------------------------------------------------


CATALOG = {
    "maker": {
        "description": "quotes both sides",
        "properties": {
            "levels": {"type": "integer", "default": 1, "minimum": 1, "maximum": 5},
            "edge": {"type": "number", "default": 0.01, "description": "distance to the mid"},
            "fair": {"enum": ["mid", "micro"], "default": "mid", "type": "string"},
            "skew": {"type": "boolean", "default": False},
            "oracle": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
    }
}


def test_without_a_catalog_the_wizard_says_what_is_missing(opened: Opened) -> None:
    assert "There is no bot yet" in texts(opened("bots"))
    assert "The strategies are not known yet" in texts(opened("bots", create="1"))


def test_bots_of_an_engine_that_is_gone_are_last_known(opened: Opened, config: Config) -> None:
    run_engine(config, heartbeat_ns=5)
    with writing(config.state_path) as connection:
        connection.execute(
            "INSERT INTO bots (engine_id, name, mode, account, strategy, state, error, "
            "capital_micro, evaluations, updated_ns) VALUES ('pitboss', 'maker', 'paper', "
            "'paper:a', 'maker', 'running', "
            "'', 1000000, 5, 1)"
        )
    page = opened("bots")
    assert page.dataframe[0].value["state"].tolist() == ["RUNNING (last known)"]
    assert "NO ENGINE IS RUNNING" in page.warning[0].value


def test_our_orders_stand_in_the_book_in_yes_space() -> None:
    book = BookTop(
        account=AccountId("a"),
        instrument=InstrumentId("m"),
        trusted=True,
        bids=((4_400, 9_000_000),),
        asks=((4_600, 7_000_000),),
        ahead={OrderId(7): 1_500_000},
    )
    order = {
        "id": 7, "side": "buy", "leg": "no", "price_raw": 5_400, "size_raw": 3_000_000,
        "filled_raw": 1_000_000,
    }  # fmt: skip
    listed = {"price_decimals": 4, "size_decimals": 6, "listed_kind": "binary"}
    text = re.sub("<[^>]+>", " ", book_table(book, [order | listed], listed)).split()
    assert text == [
        "Side", "Price", "Size", "Ours", "Ahead", "ASK", "46¢", "7", "2", "1.50", "BID", "44¢", "9",
    ]  # fmt: skip
    away = order | {"id": 8, "leg": "yes", "price_raw": 4_000}
    text = re.sub("<[^>]+>", " ", book_table(book, [away | listed], listed)).split()
    assert text[-4:] == ["BID", "40¢", "\N{EN DASH}", "2"]
    assert "NOT trusted" in book_table(msgspec.structs.replace(book, trusted=False), [], listed)


# -- journal ---------------------------------------------------------------------------------------


def store_journal(path: Path) -> None:
    connection, _ = open_journal(path, "pitboss")
    rows = []
    for seq, message in enumerate(
        (ApplySettings(version=1), StartBot(bot="maker"), StartBot(bot="other")), start=1
    ):
        body, kind = msgspec.msgpack.encode(message), type(message).__name__
        crc = record_sum(names_sum("a", kind), seq, seq * 10**18, 0, body)
        rows.append((seq, seq * 10**18, "a", kind, body, crc, 0))
    write_batch(connection, rows, [])
    connection.close()


def test_without_a_journal_the_page_says_who_keeps_one(opened: Opened) -> None:
    assert "There is no journal yet" in texts(opened("journal"))


def test_a_journal_is_searched_backwards_by_text_and_kind(opened: Opened, config: Config) -> None:
    store_journal(config.journal_path)
    page = opened("journal")
    assert page.dataframe[0].value["seq"].tolist() == [3, 2, 1]
    page.text_input[0].set_value("OTHER").run()
    assert page.dataframe[0].value["seq"].tolist() == [3]
    page.text_input[0].set_value("").run()
    page.selectbox[1].set_value("ApplySettings").run()
    assert page.dataframe[0].value["seq"].tolist() == [1]


def test_a_runs_own_journal_is_opened_from_its_link(opened: Opened, config: Config) -> None:
    number = store_run(config)
    folder = config.home / "runs" / str(RUN.started_ns)
    folder.mkdir(parents=True)
    store_journal(folder / "journal.db")
    store_journal(config.journal_path)
    page = opened("journal", run=str(number))
    assert page.selectbox[0].value == f"Run {number}: market_maker"


def test_the_audit_shows_who_saved_what(opened: Opened, config: Config) -> None:
    save_account(config)
    page = opened("journal", audit="settings")
    assert page.dataframe[0].value["what"].tolist() == ["settings 1 saved"]


def test_a_search_says_how_far_it_looked(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    store_journal(config.journal_path)
    monkeypatch.setattr(journal, "SCANNED_MAX", 2)
    found = journal.search_journal(config.journal_path, text="nothing has this")
    assert (found.scanned, found.first_seq, found.complete) == (2, 2, False)


def test_a_command_nobody_took_is_told_as_expired() -> None:
    left = LeftCommand(
        id="x",
        command=Kill(),
        who="ann",
        state=CommandState.PENDING,
        created_ns=0,
        expires_ns=30 * 10**9,
        claimed_ns=None,
        answered_ns=None,
        answer="",
    )
    assert words_of(left, 10**9).startswith("**queued**")
    assert "never be executed" in words_of(left, 31 * 10**9)
    refused = msgspec.structs.replace(
        left, state=CommandState.REFUSED, answered_ns=2 * 10**9, answer="latched"
    )
    assert words_of(refused, 10**12).startswith("**refused** · latched · ")
    assert went_well(left, 10**9)
    assert not went_well(left, 31 * 10**9)
    assert not went_well(refused, 10**9)
