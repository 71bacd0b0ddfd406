"""Closed bets on the Positions page, down to their fills; and what is not ours in a wallet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.events import OpenOrdersListed, PositionsListed
from engine.domain.fills import FillState, Liquidity, SizeSource
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Kind, Leg, Mode, Side
from engine.domain.orders import Identity, OrderReport, OrderState
from pages.kit import tables
from storage.commands import MarkKind, StandingMark, mark
from storage.database import Table, writing
from storage.journal_writer import names_sum, open_journal, record_sum, write_batch
from storage.live import EngineHeartbeat, put_engine, put_instrument
from storage.projected.bets import BetResult, BetRow
from storage.projected.fills import FillRow
from storage.projected.listings import ListingRow
from tests.pages.seen import figures, links
from tests.pages.test_asking import left, press
from tests.storage.books import add_account

Opened = Callable[..., AppTest]
M1 = InstrumentId("demo:comet-1")
SHARE = 1_000_000
DAY_NS = 86_400 * 10**9


def bet(bot: str, at_ns: int, **more: Any) -> BetRow:
    fields: dict[str, Any] = {
        "account": "demo", "instrument": M1, "bot": bot, "mode": Mode.DEMO, "yes": 10 * SHARE,
        "result": BetResult.WON, "bought": 10 * SHARE, "spent_micro": 4_000_000,
        "paid_micro": 10_000_000, "fills": 1, "opened_ns": at_ns - 90 * 10**9,
        "closed_ns": at_ns, "updated_ns": at_ns, "seq": 1,
    }  # fmt: skip
    return BetRow(**(fields | more))


@pytest.fixture
def played(config: Config) -> Config:
    """A home with a bet of a bot that won, one by hand that lost, and one that is open."""
    terms = Instrument(
        id=M1, kind=Kind.BINARY, currency="pUSD", price_decimals=4, size_decimals=6, tick=100,
        lot=10_000,
    )  # fmt: skip
    fill = FillRow(
        account="demo", id="f1", mode=Mode.DEMO, order_id=1, bot="maker", instrument=M1,
        leg=Leg.YES, side=Side.BUY, price=4_000, size=10 * SHARE, value_micro=4_000_000,
        fee_micro=0, liquidity=Liquidity.MAKER, state=FillState.CONFIRMED,
        source=SizeSource.TAPED, realised_micro=0, transaction_id="0xabc", at_ns=DAY_NS,
        updated_ns=DAY_NS, seq=1,
    )  # fmt: skip
    bets = [
        bet("maker", 2 * DAY_NS),
        bet("manual", 3 * DAY_NS, result=BetResult.LOST, paid_micro=0, fee_micro=250_000),
        bet("other", DAY_NS, closed_ns=None, result=BetResult.OPEN, paid_micro=0),
    ]
    with writing(config.state_path) as connection:
        add_account(connection)
        put_instrument(connection, "pitboss", terms, 1)
        listing = ListingRow(instrument=M1, value_divisor=10_000, one_token=SHARE, seq=1)
        for name, rows in (("bets", bets), ("fills", [fill]), ("listings", [listing])):
            table: Table[Any] = Table(type(rows[0]), name)
            table.put(connection, "pitboss", rows)
    return config


def bets_of(page: AppTest) -> list[dict[str, Any]]:
    found = next(one.value for one in page.dataframe if "net" in one.value.columns)
    return [dict(row) for _, row in found.iterrows()]


def test_closed_bets_show_what_they_brought_whose_and_for_how_long(
    played: Config, opened: Opened
) -> None:
    del played
    page = opened("positions")
    assert [(row["bot"], row["result"], row["net"]) for row in bets_of(page)] == [
        ("manual", "lost", -4.25), ("maker", "won", 6.0),
    ]  # fmt: skip
    first = bets_of(page)[1]
    assert (first["entry"], first["exit"], first["size"], first["held"]) == (
        40.0,
        100.0,
        10,
        "90 s",
    )
    told = figures(page)
    assert (told["Closed"], told["Net"], told["Fees"]) == ("2", "+1.75 pUSD", "0.25 pUSD")
    assert (told["Profitable"], told["Still open"]) == ("50 %", "1")


def test_bets_by_hand_are_shown_apart(played: Config, opened: Opened) -> None:
    del played
    page = opened("positions", state={"whose_bets": "by hand"})
    assert [row["bot"] for row in bets_of(page)] == ["manual"]
    assert figures(page)["Net"] == "\N{MINUS SIGN}4.25 pUSD"


def test_a_bet_leads_to_its_fills_and_their_hashes(played: Config, opened: Opened) -> None:
    del played
    page = opened("positions", state={"chosen:bets": (2 * DAY_NS, "demo", M1, "maker")})
    fills = next(one.value for one in page.dataframe if "transaction_id" in one.value.columns)
    assert [(row["way"], row["transaction_id"]) for _, row in fills.iterrows()] == [
        ("BUY YES", "0xabc")
    ]
    assert links(page)["These fills with totals"] == (
        "/orders?show=fills&mode=demo&account=demo&bot=maker&instrument=demo%3Acomet-1"
    )


def test_older_bets_are_a_page_away_and_back(
    played: Config, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    del played
    monkeypatch.setattr("storage.views.ROWS_MAX", 1)
    defaults = tables.turn.__kwdefaults__ or {}
    monkeypatch.setattr(tables.turn, "__kwdefaults__", {**defaults, "rows_max": 1})
    page = opened("positions")
    assert [row["bot"] for row in bets_of(page)] == ["manual"]
    page.button(key="older_bets").click().run()
    assert [row["bot"] for row in bets_of(page)] == ["maker"]
    page.button(key="newer_bets").click().run()
    assert [row["bot"] for row in bets_of(page)] == ["manual"]


def test_where_no_bet_is_closed_the_page_says_when_one_will_be(
    played: Config, opened: Opened
) -> None:
    with writing(played.state_path) as connection:
        connection.execute("DELETE FROM bets WHERE closed_ns IS NOT NULL")
    page = opened("positions")
    assert "No bet is closed in DEMO" in "\n".join(str(node.proto) for node in page.main)


@pytest.fixture
def wallet(config: Config) -> Config:
    """A live wallet with an order of another key, one of ours without a record, and tokens."""
    theirs = OrderReport(
        identity=Identity("0xtheirs"), order=None, ours=False, instrument=M1, leg=Leg.NO,
        side=Side.SELL, price=4_000, size=SHARE, filled=0, state=OrderState.OPEN,
    )  # fmt: skip
    stray = msgspec.structs.replace(theirs, identity=Identity("0xstray"), ours=True)
    now_ns = time.time_ns()
    connection, _ = open_journal(config.journal_path, "pitboss", synchronous="OFF")
    for seq, told in enumerate(
        (
            OpenOrdersListed(account=AccountId("real"), orders=(theirs, stray)),
            PositionsListed(account=AccountId("real"), holdings=((M1, Leg.YES, 3 * SHARE),)),
        ),
        1,
    ):
        body, kind = msgspec.msgpack.encode(told), type(told).__name__
        crc = record_sum(names_sum("real", kind), seq, now_ns, 0, body)
        write_batch(connection, [(seq, now_ns, "real", kind, body, crc, 0)], [])
    connection.close()
    with writing(config.state_path) as state:
        add_account(state, "real", Mode.LIVE, venue="polymarket")
        beat = EngineHeartbeat(
            state="RUNNING", heartbeat_ns=now_ns + 10**9, started_ns=1, pid=os.getpid(),
            version="0", latched=False,
        )  # fmt: skip
        put_engine(state, "pitboss", beat)
    return config


def table_of(page: AppTest, column: str) -> Any:
    return next(one.value for one in page.dataframe if column in one.value.columns)


def chosen(page: AppTest, table: str, subject: str) -> AppTest:
    page.session_state[f"chosen:{table}"] = ("real", subject)
    return page.run()


def test_what_is_not_ours_in_a_live_wallet_is_listed(wallet: Config, opened: Opened) -> None:
    page = opened("positions")
    found = table_of(page, "identity")
    assert found[["way", "whose", "identity"]].values.tolist() == [
        ["SELL NO", "another key: left alone", "0xtheirs"],
        ["SELL NO", "our key: being cancelled", "0xstray"],
    ]
    assert table_of(page, "leg")[["leg", "whose"]].values.tolist() == [["YES", "not bought here"]]


def test_an_order_of_another_key_is_cancelled_after_a_question_and_one_of_ours_is_not_offered(
    wallet: Config, opened: Opened
) -> None:
    page = chosen(opened("positions"), "foreign_orders", "0xstray")
    assert not [one for one in page.button if one.label == "Cancel it"]
    press(chosen(page, "foreign_orders", "0xtheirs"), "Cancel it")
    assert left(wallet) == []
    press(page, "CANCEL IT NOW")
    ((kind, body),) = left(wallet)
    assert (kind, body["account"], body["order"]) == ("CancelForeign", "real", "0xtheirs")


@pytest.mark.long
def test_tokens_are_taken_in_at_the_cost_that_was_typed_or_ignored(
    wallet: Config, opened: Opened
) -> None:
    page = chosen(opened("positions"), "foreign_tokens", f"{M1} yes")
    press(page, "Ignore: no more alerts")
    page.number_input(key=f"cost:real:{M1} yes").set_value(1.25).run()
    press(press(page, "Take them in"), "TAKE THEM IN NOW")
    (_, ignored), (kind, taken) = left(wallet)
    assert (ignored["subject"], ignored["on"]) == (f"{M1} yes", True)
    assert (kind, taken["leg"], taken["cost"]) == ("AdoptTokens", "yes", 1_250_000)
    page.number_input(key=f"cost:real:{M1} yes").set_value(None).run()
    press(press(page, "Take them in"), "TAKE THEM IN NOW")
    assert left(wallet)[-1][1].get("cost") is None


def test_what_is_ignored_can_be_told_of_again(wallet: Config, opened: Opened) -> None:
    with writing(wallet.state_path) as connection:
        one = StandingMark(
            account="real", kind=MarkKind.IGNORED, subject="0xtheirs", who="ann", at_ns=1
        )
        mark(connection, "pitboss", one, on=True)
    page = chosen(opened("positions"), "foreign_orders", "0xtheirs")
    assert "ignored: left alone" in table_of(page, "identity")["whose"].tolist()
    press(page, "Stop ignoring")
    assert left(wallet)[0][1]["on"] is False
