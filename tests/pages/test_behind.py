"""Every number on a page leads to its fills: the links, and what stands at their ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.events import InstrumentListed
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.telemetry import BotStatus
from pages.kit import links as links_behind
from pages.kit import tables
from storage.database import writing
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
from storage.runs import Run, RunKind, RunMarket, RunStatus, save_run
from tests.pages.seen import behind, bodies, figures, links
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books, bought
from tests.storage.views.test_drill_down import kept

Opened = Callable[..., AppTest]
ENGINE, MAKER = "e1", "maker"
DAY_NS = 86_400 * 10**9


@pytest.fixture
def books(config: Config) -> Iterator[Books]:
    """A living desk with a fill of today and one of long ago."""
    now = time.time_ns()
    with writing(config.state_path) as connection:
        made = Books(connection)
        made.tell(InstrumentListed(instrument=TERMS))
        made.at_ns = now - 40 * DAY_NS
        made.tell(*bought(1, 4_000, 10 * SHARE))
        made.at_ns = now
        made.tell(*bought(2, 4_900, 8 * SHARE, Leg.NO))
        beat = EngineHeartbeat(
            state="RUNNING", heartbeat_ns=now, started_ns=1, pid=os.getpid(),
            version="0.1.0", latched=False,
        )  # fmt: skip
        put_engine(connection, ENGINE, beat)
        bot = BotStatus(
            name=MAKER, mode=Mode.DEMO, account=DEMO, strategy="market_maker", state="running",
            error="", capital_micro=SHARE, evaluations=5,
        )  # fmt: skip
        put_bots(connection, ENGINE, (bot,), now)
        held = HoldingSeen(
            account=DEMO, instrument=M1, mode=Mode.DEMO, currency="pUSD", bot=MAKER,
            yes_settled=10 * SHARE, yes_pending=0, no_settled=8 * SHARE, no_pending=0,
            yes_cost_micro=4_000_000, no_cost_micro=3_920_000, value_micro=9_000_000, mid2=10_000,
            marked_ns=now, realised_micro=0, fees_micro=0, payout_yes_micro=None,
        )  # fmt: skip
        put_holdings(connection, ENGINE, [held], now)
        add_pnl(connection, ENGINE, 1)
        point = EquityPoint(
            account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=now, equity_micro=100 * SHARE,
            equity_mid_micro=100 * SHARE, cash_micro=92 * SHARE, day_start_micro=100 * SHARE,
            peak_micro=100 * SHARE,
        )  # fmt: skip
        add_equity(connection, ENGINE, point)
        yield made


def followed(opened: Opened, address: str) -> AppTest:
    """Open the page a link leads to."""
    parts = urlsplit(address)
    return opened(parts.path.strip("/"), address=dict(parse_qsl(parts.query)))


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "query"), [("overview", {}), ("positions", {}), ("bots", {"bot": MAKER})]
)
def test_every_tile_leads_to_rows(
    opened: Opened, books: Books, page: str, query: dict[str, str]
) -> None:
    assert books.seq
    leads = behind(opened(page, **query))
    assert leads
    assert "" not in leads.values(), leads
    for name, address in leads.items():
        if name == "Open orders":
            assert "show=working" in address
            continue
        assert f"mode={Mode.DEMO}" in address
        assert followed(opened, address).dataframe[0].value["order_id"].tolist()[0] == 2, name


def test_pnl_of_a_period_leads_to_the_fills_of_that_period(opened: Opened, books: Books) -> None:
    assert books.seq
    leads = behind(opened("overview"))
    for name, orders in (("PnL today", [2]), ("PnL 30 d", [2]), ("PnL in total", [2, 1])):
        page = followed(opened, leads[name])
        assert page.dataframe[0].value["order_id"].tolist() == orders, name
    assert "bought 7.92 pUSD" in bodies(page)
    assert "cash \N{MINUS SIGN}7.92 pUSD" in bodies(page)


def test_positions_and_settlement_lead_to_their_fills(opened: Opened, books: Books) -> None:
    assert books.seq
    found = links(opened("overview"))
    page = followed(opened, found["m1"])
    assert found["m1"] == "/orders?show=fills&mode=demo&account=demo&instrument=demo%3Am1"
    assert page.dataframe[0].value["order_id"].tolist() == [2, 1]
    matched = links(opened("positions"))["Matched"]
    assert followed(opened, matched).dataframe[0].value["order_id"].tolist() == [2, 1]


def test_a_condition_is_lifted_by_its_chip_and_nothing_is_said_to_fit(
    opened: Opened, books: Books
) -> None:
    assert books.seq
    page = opened("orders", show="fills", mode="demo", bot="another", since_ns="1")
    assert "Nothing matches these filters." in bodies(page)
    leads = links(page)
    assert leads["bot another \N{MULTIPLICATION SIGN}"] == "/orders?show=fills&mode=demo&since_ns=1"
    assert leads["remove all"] == "/orders?show=fills&mode=demo"
    assert len(followed(opened, leads["remove all"]).dataframe[0].value) == 2


def test_an_address_that_makes_no_sense_shows_everything(opened: Opened, books: Books) -> None:
    assert books.seq
    page = opened("orders", show="nonsense", mode="nonsense", since_ns="x", until_ns="9" * 40)
    assert page.segmented_control(key="orders_what").value == links_behind.WORKING
    assert not [name for name in links(page) if name.endswith("\N{MULTIPLICATION SIGN}")]


def test_more_rows_than_a_page_holds_are_a_button_away_and_back(
    opened: Opened, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.views.ROWS_MAX", 1)
    defaults = tables.turn.__kwdefaults__ or {}
    monkeypatch.setattr(tables.turn, "__kwdefaults__", {**defaults, "rows_max": 1})
    assert books.seq
    page = opened("orders", show="fills")
    assert page.dataframe[0].value["order_id"].tolist() == [2]
    page.button(key="older_orders").click().run()
    assert page.dataframe[0].value["order_id"].tolist() == [1]
    page.button(key="newer_orders").click().run()
    assert page.dataframe[0].value["order_id"].tolist() == [2]


# -- runs ------------------------------------------------------------------------------------------


def stored_run(config: Config, *, journal: bool) -> int:
    run = Run(
        engine_id="replay", account="paper:replay", kind=RunKind.REPLAY, recording="day.jsonl",
        bot=MAKER, strategy="market_maker", started_ns=10**18, finished_ns=10**18 + 1,
        status=RunStatus.DONE, digest="cafe" * 16, orders=2, fills=2, pnl_micro=1_250_000,
    )  # fmt: skip
    market = RunMarket(
        instrument=M1, orders=2, fills=2, fees_micro=0, realised_micro=1_250_000,
        unresolved_micro=0, position_left=0, resolved=True,
    )  # fmt: skip
    if journal:
        folder = config.home / "runs" / str(run.started_ns)
        folder.mkdir(parents=True)
        orders = (*bought(1, 4_000, 10 * SHARE), *bought(2, 6_000, 5 * SHARE, side=Side.SELL))
        kept(folder / "journal.db", InstrumentListed(instrument=TERMS), *orders)
    with writing(config.state_path) as connection:
        return save_run(connection, run, equity=[(1, 10**9)], markets=[market])


def test_every_figure_of_a_run_leads_to_the_runs_fills(opened: Opened, config: Config) -> None:
    number = stored_run(config, journal=True)
    page = opened("runs", run=str(number), state={f"chosen:run_markets_{number}": M1})
    leads = behind(page)
    assert set(leads.values()) == {f"/runs?run={number}&show=fills"}
    assert {"PnL", "Fees", "Sharpe"} <= leads.keys()
    fills = followed(opened, leads["PnL"])
    frame = fills.dataframe[0].value
    assert frame["way"].tolist() == ["SELL YES", "BUY YES"]
    assert "2 fills · bought 4.00 · sold 3.00" in bodies(fills)
    of_market = links(page)["Fills of m1"]
    assert of_market == f"/runs?run={number}&show=fills&market=demo%3Am1"
    assert len(followed(opened, of_market).dataframe[0].value) == 2
    other = opened("runs", run=str(number), show="fills", market="another")
    assert "Nothing was filled." in bodies(other)


def test_a_run_that_kept_no_journal_says_so_and_links_nowhere(
    opened: Opened, config: Config
) -> None:
    number = stored_run(config, journal=False)
    page = opened("runs", run=str(number))
    assert figures(page)["PnL"] == "+1.25"
    assert set(behind(page).values()) == {""}
    assert "No journal was kept for this run" in bodies(
        opened("runs", run=str(number), show="fills")
    )
