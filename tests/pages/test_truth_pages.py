"""Equity's proof, the settlement ladder, merges and markouts, over rows as an engine tells them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.events import (
    CashMoved,
    FillSettled,
    InstrumentListed,
)
from engine.domain.fills import FillId
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.perpetual_events import FundingPaid
from engine.domain.products.funding import HOUR_NS
from engine.domain.telemetry import BotStatus, WatchedMarket
from pages.kit.data import forget
from pages.kit.words import NOTHING
from pages.shared import markouts, pnl
from storage.database import writing
from storage.equity_identity import LedgerSide, judge, put_check
from storage.live import (
    EngineHeartbeat,
    EquityPoint,
    HoldingSeen,
    add_equity,
    add_pnl,
    put_bots,
    put_engine,
    put_holdings,
)
from storage.markouts import FillSeen, MarkoutState, answer, begin, dues_of
from storage.views.markouts import BotMarkout
from storage.views.money import equity_check
from tests.pages.seen import links, texts
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books, bought

Opened = Callable[..., AppTest]
ENGINE, MAKER = "e1", "maker"


def frames(page: AppTest) -> str:
    return "\n".join(frame.value.to_string() for frame in page.dataframe)


@pytest.fixture
def books(config: Config) -> Iterator[Books]:
    """A living desk with 20 YES and 8 NO, two fills, one of them followed to its horizons."""
    now = time.time_ns()
    with writing(config.state_path) as connection:
        made = Books(connection)
        made.at_ns = now
        made.tell(
            CashMoved(account=DEMO, currency="pUSD", amount_micro=100 * SHARE),
            InstrumentListed(instrument=TERMS),
            *bought(1, 4_800, 20 * SHARE),
            *bought(2, 4_900, 8 * SHARE, Leg.NO),
            *(FillSettled(account=DEMO, fill=FillId(name)) for name in ("f1", "f2")),
        )
        beat = EngineHeartbeat(
            state="RUNNING", heartbeat_ns=now, started_ns=1, pid=os.getpid(),
            version="0.1.0", latched=False,
        )  # fmt: skip
        put_engine(connection, ENGINE, beat)
        bot = BotStatus(
            name=MAKER, mode=Mode.DEMO, account=DEMO, strategy="market_maker", state="RUNNING",
            error="", capital_micro=SHARE, evaluations=5,
            watching=(WatchedMarket(instrument=M1),),
        )  # fmt: skip
        put_bots(connection, ENGINE, (bot,), now)
        held = HoldingSeen(
            account=DEMO, instrument=M1, mode=Mode.DEMO, currency="pUSD", bot=MAKER,
            yes_settled=20 * SHARE, yes_pending=0, no_settled=8 * SHARE, no_pending=0,
            yes_cost_micro=9_600_000, no_cost_micro=3_920_000, value_micro=14_000_000, mid2=10_000,
            marked_ns=now, realised_micro=0, fees_micro=0, payout_yes_micro=None,
        )  # fmt: skip
        put_holdings(connection, ENGINE, [held], now)
        add_pnl(connection, ENGINE, 1)
        point = EquityPoint(
            account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=now, equity_micro=100 * SHARE,
            equity_mid_micro=100 * SHARE, cash_micro=86_480_000, day_start_micro=100 * SHARE,
            peak_micro=100 * SHARE,
        )  # fmt: skip
        add_equity(connection, ENGINE, point)
        fill = FillSeen(
            account=DEMO, fill="f1", mode=Mode.DEMO, bot=MAKER, instrument=M1, liquidity="maker",
            leg=Leg.YES, sign=1, price_micro=480_000, at_ns=1,
        )  # fmt: skip
        begin(connection, ENGINE, fill)
        first, second, *_ = dues_of(fill)
        answer(connection, ENGINE, first, MarkoutState.KNOWN, 12_500)
        answer(connection, ENGINE, second, MarkoutState.BLIND)
        yield made


def checked(books: Books, cash_micro: int) -> None:
    """Keep a check in which the ledger says it has so much cash."""
    side = LedgerSide(
        account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=time.time_ns(), seq=books.seq,
        cash_micro=cash_micro, pending_micro=0, inventory_micro=14_000_000,
        equity_micro=cash_micro + 14_000_000, tokens={(M1, Leg.YES): 20 * SHARE,
        (M1, Leg.NO): 8 * SHARE}, marks={M1: 10_000},
    )  # fmt: skip
    put_check(books.connection, ENGINE, judge(books.connection, ENGINE, side))


def test_overview_takes_equity_apart_and_shows_its_last_proof(opened: Opened, books: Books) -> None:
    assert "Not checked yet" in texts(opened("overview"))
    checked(books, 86_480_000)
    forget()  # what was read a moment ago is kept for a second
    page = opened("overview")
    shown = texts(page)
    for said in (
        "Deposited",
        "Realised",
        "Fees",
        "+ Rewards",
        "+ Fee rebates",
        "for no single fill or bot",
        "Unrealised",
        "Equity at",
    ):
        assert said in shown
    assert "difference 0.000000 pUSD" in shown
    assert "1 check, 0 with a difference" in shown
    assert links(page)["2 fills"] == "/orders?show=fills&mode=demo&account=demo"
    assert "identity of equity is broken" not in shown


def test_funding_is_a_line_of_its_own_where_any_was_paid(opened: Opened, books: Books) -> None:
    assert "+ Funding" not in texts(opened("overview"))
    paid = FundingPaid(
        account=DEMO, instrument=M1, currency="pUSD", amount_micro=-1_250_000, stamp_ns=HOUR_NS
    )
    books.tell(paid)
    checked(books, 86_480_000 - 1_250_000)
    forget()
    page = opened("overview")
    assert "+ Funding" in texts(page)
    assert "\N{MINUS SIGN}1.25" in texts(page)
    assert links(page)["1 stamp"] == "/journal?text=FundingPaid"
    assert "identity of equity is broken" not in texts(page)


def test_a_broken_identity_cannot_be_overlooked(opened: Opened, books: Books) -> None:
    checked(books, 86_480_001)
    page = opened("overview")
    (error,) = page.error
    assert "equity identity is broken at demo" in error.value
    assert "Nothing was repaired" in error.value
    assert "BROKEN, difference 0.000001 pUSD" in texts(page)


def test_checks_that_have_stopped_are_said_while_an_engine_lives(books: Books) -> None:
    checked(books, 86_480_000)
    row = equity_check(books.connection, ENGINE, DEMO)
    assert row is not None
    late = row["at_ns"] + 600 * 10**9
    assert pnl.sentence(row, alive=True, now=late).startswith("CHECKS HAVE STOPPED")
    assert pnl.sentence(row, alive=False, now=late).startswith("Checked, difference 0.000000")


def test_a_check_that_could_not_be_made_is_none() -> None:
    row = {"judged": 0, "text": "2 fills lack", "at_ns": 0, "seq": 7}
    assert pnl.sentence(row, alive=True, now=10**9).startswith("COULD NOT BE CHECKED: 2 fills lack")


def test_positions_show_the_ladder_and_pairs_that_could_be_merged(
    opened: Opened, books: Books
) -> None:
    assert books.seq
    page = opened("positions")
    shown = texts(page)
    for rung in ("Reserved", "Matched", "Mined", "Retrying", "Confirmed", "Redeemable", "Cash"):
        assert rung in shown
    assert "86.48 pUSD" in shown
    confirmed = links(page)["Confirmed"]
    assert confirmed.startswith(
        "/orders?show=fills&mode=demo&account=demo&state=confirmed&since_ns"
    )
    (info,) = page.info
    assert "8 pairs of YES and NO of maker can be merged into **8.00 pUSD**" in info.value
    assert "+0.24 pUSD against their cost" in info.value
    (merge,) = [one for one in page.button if one.label.startswith("Merge into 8.00 pUSD")]
    merge.click().run()
    assert page.button(key="asked_yes").label == "MERGE NOW"


def test_pairs_that_a_working_sell_may_use_are_not_offered_to_be_merged(
    opened: Opened, books: Books
) -> None:
    placed, _ = bought(9, 5_000, 17 * SHARE, side=Side.SELL)
    books.tell(placed)
    (info,) = opened("positions").info
    assert "3 pairs of YES and NO of maker can be merged into **3.00 pUSD**" in info.value


def test_fills_carry_their_markouts_and_unknown_is_never_zero(opened: Opened, books: Books) -> None:
    assert books.seq
    shown = frames(opened("orders", show="fills"))
    assert "+1.25¢" in shown
    assert "unknown: blind" in shown
    assert "not kept" in shown, "the fill that nobody followed"
    drawer = frames(opened("orders", account="demo", order="1"))
    assert "+1.25¢" in drawer


@pytest.mark.parametrize("page", ["overview", "bots"])
def test_a_bots_markouts_have_count_and_standard_error(
    opened: Opened, books: Books, page: str
) -> None:
    assert books.seq
    shown = texts(opened(page, bot=MAKER) if page == "bots" else opened(page))
    assert "Markouts" in shown
    assert "+1.25¢" in shown
    assert "n 1" in shown
    assert "1 unknown" in shown


def test_a_mean_stands_with_its_error_and_a_bot_without_one_with_a_dash() -> None:
    row = BotMarkout(
        account="demo", bot="b", liquidity="taker", horizon_ms=300, known=2, unknown=0,
        mean_cents=-0.5, error_cents=0.25,
    )  # fmt: skip
    html = markouts.table([row], Mode.DEMO)
    assert "\N{MINUS SIGN}0.50¢ ± 0.25</a>" in html
    assert "show=fills&amp;mode=demo&amp;account=demo&amp;bot=b&amp;liquidity=taker" in html
    assert html.count(NOTHING) == 5
