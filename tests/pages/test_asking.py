"""Commands a page asks for first: orders by hand, modes, KILL of a part, catalogs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import PlaceManual
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
from engine.domain.intents import Urgency
from engine.domain.telemetry import (
    BookTop,
    BotStatus,
    EngineStatus,
    ScopedLatch,
    WatchedMarket,
)
from engine.errors import BadInput
from pages.kit import commands
from pages.shared import scoped_kill, ticket
from storage.database import reading, writing
from storage.live import EngineHeartbeat, put_books, put_bots, put_engine, put_instrument
from storage.settings import latest, save
from tests.pages.seen import texts
from tests.storage.books import save_demo_account

Opened = Callable[..., AppTest]
M1 = Instrument(
    id=InstrumentId("demo:comet-1"),
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
)


def words(page: AppTest) -> str:
    """Return what is written, in a dialog too: that stands beside the page."""
    return "\n".join(str(one.value) for one in page.markdown)


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception, page.exception
    return page


def left(config: Config) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands that were left: kind and fields."""
    st.cache_data.clear()
    with reading(config.state_path) as connection:
        rows = connection.execute("SELECT kind, body FROM commands ORDER BY created_ns").fetchall()
    return [(kind, msgspec.json.decode(body)) for kind, body in rows]


def beat(config: Config, status: EngineStatus | None = None, *, age_ns: int = -(10**9)) -> None:
    """Write the heartbeat of an engine: of now, or older."""
    seen = EngineHeartbeat(
        state="RUNNING",
        heartbeat_ns=time.time_ns() - age_ns,
        started_ns=1,
        pid=os.getpid(),
        version="1",
        latched=False,
        status=status or EngineStatus(),
    )
    with writing(config.state_path) as connection:
        put_engine(connection, "pitboss", seen)


@pytest.fixture
def desk(config: Config) -> Config:
    """A home with an engine, an account at the demo exchange and one market."""
    with writing(config.state_path) as connection:
        save_demo_account(connection)
        put_instrument(connection, "pitboss", M1, time.time_ns())
        book = BookTop(
            account=AccountId("demo"),
            instrument=M1.id,
            trusted=True,
            bids=((4_400, 9_000_000),),
            asks=((4_600, 7_000_000),),
        )
        put_books(connection, "pitboss", [book], time.time_ns())
    beat(config)
    return config


# -- orders by hand --------------------------------------------------------------------------------


def fill_in(page: AppTest, price: str, size: str) -> AppTest:
    field = {one.label.partition(",")[0]: one for one in page.text_input}
    field["Price"].set_value(price)
    field["Size"].set_value(size)
    return press(page, "Show what will happen")


def test_an_order_by_hand_is_left_only_after_its_dialog(opened: Opened, desk: Config) -> None:
    page = opened("orders")
    assert "best bid 44¢, best ask 46¢ of YES" in texts(page)
    fill_in(page, "44.5", "10")
    said = words(page)
    assert "BUY 10 YES at 44.5¢** (0.445 pUSD) in **comet-1** (demo:comet-1)" in said
    assert "DEMO: money that does not exist" in said
    assert "up to 4.45 pUSD" in said
    assert left(desk) == []
    press(page, "Place the order")
    ((kind, body),) = left(desk)
    assert (kind, body["price"], body["size"]) == ("PlaceManual", 4_450, 10_000_000)
    assert (body["account"], body["leg"], body["urgency"]) == ("demo", "yes", "rest")
    assert "Command: **queued**" in texts(page)
    assert not [button for button in page.button if button.label == "Place the order"]


def test_an_order_typed_for_a_market_that_closed_meanwhile_is_not_asked_for_another(
    opened: Opened, desk: Config
) -> None:
    page = opened("orders")
    page.session_state["hand_seen"] = ("demo", "demo:gone-1")
    fill_in(page, "44.5", "10")
    said = "gone-1 has closed; comet-1 is selected instead. Nothing was sent: check again."
    assert page.error[0].value == said
    assert not [button for button in page.button if button.label == "Place the order"]
    assert "BUY 10 YES at 44.5¢" in words(press(page, "Show what will happen"))


def test_doing_nothing_leaves_no_order(opened: Opened, desk: Config) -> None:
    page = press(fill_in(opened("orders"), "44", "10"), "Do nothing")
    assert left(desk) == []
    assert not [button for button in page.button if button.label == "Place the order"]


def test_what_is_no_price_is_told_and_nothing_sent(opened: Opened, desk: Config) -> None:
    page = fill_in(opened("orders"), "cheap", "10")
    assert "'cheap' is not a price. Nothing was sent." in page.error[0].value
    assert left(desk) == []


def test_without_an_engine_no_order_by_hand_is_offered(opened: Opened, desk: Config) -> None:
    beat(desk, age_ns=3_600 * 10**9)
    page = opened("orders")
    assert not [button for button in page.button if button.label == "Show what will happen"]
    assert "no command can be sent" in texts(page)


@pytest.mark.parametrize("typed", ["", "abc", "0", "-1", "100", "101", "nan", "inf", "44.555"])
def test_a_price_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(BadInput):
        ticket.price_of(M1, typed)


@pytest.mark.parametrize("typed", ["", "abc", "0", "-1", "nan", "0.0000001"])
def test_a_size_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(BadInput):
        ticket.size_of(M1, typed)


def test_prices_are_typed_as_the_venue_writes_them() -> None:
    spot = msgspec.structs.replace(M1, kind=Kind.SPOT)
    assert ticket.price_of(M1, " 61.5¢ ") == 6_150
    assert ticket.price_of(spot, "61.5") == 615_000


def test_live_asks_for_a_typed_phrase_and_names_the_fee() -> None:
    asked = PlaceManual(
        account=AccountId("real"),
        instrument=M1.id,
        leg=Leg.NO,
        side=Side.SELL,
        price=4_000,
        size=100_000_000,
        urgency=Urgency.CROSS,
    )
    made = ticket.question(asked, M1, Mode.LIVE)
    assert made.phrase == "real"
    assert "SELL 100 NO at 40¢" in made.words
    assert "LIVE: **real money**" in made.words
    assert "brings at least 40.00 pUSD, taker fee included" in made.words


# -- modes and the KILL of a bot -------------------------------------------------------------------


def put_bot(
    config: Config,
    state: str,
    *,
    twin: bool = True,
    watching: tuple[WatchedMarket, ...] = (),
    others: tuple[BotStatus, ...] = (),
) -> BotStatus:
    """Write a bot at account demo, and others; and a paper account at the same venue."""
    seen = BotStatus(
        name=BotId("maker"),
        mode=Mode.DEMO,
        account="demo",
        strategy="market_maker",
        state=state,
        error="",
        capital_micro=10**9,
        evaluations=5,
        watching=watching,
    )
    paper = {"paper-1": {"name": "paper-1", "venue": "demo", "mode": "paper"}}
    with writing(config.state_path) as connection:
        put_bots(connection, "pitboss", (seen, *others), time.time_ns())
        if twin:
            save(
                connection,
                engine_id="pitboss",
                who="ann",
                diff={"accounts": paper},
                base_version=latest(connection, "pitboss").version,
                now_ns=6,
            )
    return seen


def button(page: AppTest, label: str) -> Any:
    return next(button for button in page.button if button.label == label)


@pytest.mark.long
def test_a_stopped_bot_is_moved_to_its_twin_after_a_dialog(opened: Opened, desk: Config) -> None:
    put_bot(desk, "stopped")
    page = press(opened("bots", bot="maker"), "Move to PAPER…")
    assert "From its next start bot **maker** trades at account **paper-1**" in words(page)
    assert left(desk) == []
    press(page, "Move to PAPER")
    assert left(desk) == [("SetMode", {"type": "SetMode", "bot": "maker", "mode": "paper"})]
    assert "Command: **queued**" in words(page)


@pytest.mark.parametrize(
    ("state", "twin", "why"),
    [
        ("running", True, "To move it to PAPER, stop it first."),
        ("stopped", False, "PAPER needs exactly one paper account at the venue of demo"),
    ],
)
def test_a_bot_that_cannot_move_says_why(
    opened: Opened, desk: Config, state: str, twin: bool, why: str
) -> None:
    put_bot(desk, state, twin=twin)
    page = opened("bots", bot="maker")
    assert button(page, "Move to PAPER…").disabled
    assert button(page, "Move to LIVE").disabled
    assert why in texts(page)
    assert "LIVE is locked" in texts(page)


def test_a_bot_is_killed_alone_in_two_clicks(opened: Opened, desk: Config) -> None:
    put_bot(desk, "running")
    page = press(opened("bots", bot="maker"), "KILL this bot…")
    assert (
        "Cancels 0 open orders of **bot maker**, proves it, stops the bot, and places nothing"
        in words(page)
    )
    assert left(desk) == []
    press(page, "CONFIRM KILL")
    ((kind, body),) = left(desk)
    assert (kind, body["bot"], body["account"]) == ("Kill", "maker", None)


@pytest.mark.parametrize(("state", "warned"), [("running", True), ("paused", False)])
def test_the_form_names_a_bot_that_trades_the_market(
    opened: Opened, desk: Config, state: str, warned: bool
) -> None:
    put_bot(desk, state, watching=(WatchedMarket(instrument=M1.id),))
    said = texts(opened("orders"))
    assert ("maker trades here and goes on" in said) is warned


def test_several_bots_that_trade_the_market_are_named_together(
    opened: Opened, desk: Config
) -> None:
    here = (WatchedMarket(instrument=M1.id),)
    grid = msgspec.structs.replace(put_bot(desk, "running", watching=here), name=BotId("grid"))
    put_bot(desk, "running", twin=False, watching=here, others=(grid,))
    assert "grid, maker trade here and go on" in texts(opened("orders"))


# -- the KILL of a part on Risk --------------------------------------------------------------------


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("part", "field", "name"),
    [
        ("Account", "account", "demo"),
        ("Market", "instrument", M1.id),
        ("Manual orders", "bot", "manual"),
    ],
)
def test_a_part_is_killed_in_two_clicks(
    opened: Opened, desk: Config, part: str, field: str, name: str
) -> None:
    page = opened("risk", state={"scope_kind": part})
    press(page, "KILL this scope…")
    assert left(desk) == []
    press(page, "CONFIRM KILL")
    ((kind, body),) = left(desk)
    others = {"account", "bot", "instrument"} - {field}
    assert (kind, body[field]) == ("Kill", name)
    assert [body[other] for other in others] == [None, None]


def hold(account: str, **part: Any) -> ScopedLatch:
    told: dict[str, Any] = {"bot": None, "instrument": None, "who": "ann", "reason": "KILL"}
    return ScopedLatch(account=AccountId(account), at_ns=10**18, **{**told, **part})


def test_the_latch_of_a_part_is_released_with_a_reason(opened: Opened, desk: Config) -> None:
    held = hold("demo", instrument=M1.id), hold("other", instrument=M1.id)
    beat(desk, EngineStatus(latches=held))
    page = opened("risk")
    assert "KILL of market comet-1** at demo, other by ann" in page.error[0].value
    label = "Release market comet-1"
    reason = next(one for one in page.text_input if one.label.startswith("Why is it safe"))
    reason.set_value("ok")
    press(page, label)
    assert "at least 10 characters" in "".join(error.value for error in page.error)
    assert left(desk) == []
    next(one for one in page.text_input if one.label.startswith("Why is it safe")).set_value(
        "the book is whole again"
    )
    press(page, label)
    ((kind, body),) = left(desk)
    assert (kind, body["instrument"], body["account"]) == ("ReleaseLatch", M1.id, None)
    assert body["reason"] == "the book is whole again"


def test_an_account_that_fell_is_released_with_a_reason(opened: Opened, desk: Config) -> None:
    fell = "The drawdown is over its limit; a person must release"
    beat(desk, EngineStatus(to_release={"demo": (fell,)}, not_placing={"demo": (fell,)}))
    page = opened("risk")
    assert f"demo is stopped** and places nothing until it is released: {fell}" in (
        page.error[0].value
    )
    next(one for one in page.text_input if one.label.startswith("Why is it safe")).set_value(
        "sizes are halved"
    )
    press(page, "Release account demo")
    ((kind, body),) = left(desk)
    assert (kind, body["account"], body["reason"]) == ("ReleaseLatch", "demo", "sizes are halved")


def test_a_part_that_was_held_before_the_engine_went_is_last_known(
    opened: Opened, desk: Config
) -> None:
    beat(desk, EngineStatus(latches=(hold("demo"),)), age_ns=3_600 * 10**9)
    page = opened("risk")
    assert "last known" in page.error[0].value
    assert not [one for one in page.button if one.label.startswith(("Release", "KILL this"))]


def test_parts_are_told_once_and_by_their_kind() -> None:
    latches = [hold("a"), hold("b", bot="maker"), hold("a", bot="maker")]
    found = scoped_kill.held(latches)
    assert [str(one.scope) for one in found] == ["account a", "bot maker"]
    assert found[1].accounts == ("b", "a")


# -- catalogs --------------------------------------------------------------------------------------


def test_the_markets_of_a_venue_are_synced_from_settings(opened: Opened, desk: Config) -> None:
    page = opened("settings")
    assert "1 open market of demo known here" in texts(page)
    press(page, "Sync markets of demo")
    assert left(desk) == [("SyncMarkets", {"type": "SyncMarkets", "venue": "demo"})]
    assert "Command: **queued**" in words(page)


def test_a_click_that_a_redraw_repeats_leaves_one_command(
    opened: Opened, desk: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = press(press(opened("settings"), "Sync markets of demo"), "Sync markets of demo")
    assert [kind for kind, _ in left(desk)] == ["SyncMarkets"]
    monkeypatch.setattr(commands, "TWICE_NS", 0)
    press(page, "Sync markets of demo")
    assert [kind for kind, _ in left(desk)] == ["SyncMarkets"] * 2, "a person asks again"


def test_a_new_account_begins_at_the_demo_exchange(opened: Opened, config: Config) -> None:
    page = opened("settings")
    assert next(one for one in page.selectbox if one.label == "Venue").value == "demo"
    assert "no venue is known" in texts(page)
    assert left(config) == []
