"""A paper account over Polymarket's public market, as a process: it trades, and signs nothing."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands import StartBot, StartRecording, StopRecording, SyncMarkets
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, InstrumentId
from engine.lab.recordings.open import open_recording
from engine.strategies.market_maker.parameters import EAGER
from storage.commands import CommandState
from storage.database import connect_writer
from storage.schema import migrate
from storage.settings import applied, save
from storage.users import ENGINE_ID
from tests.fakes.polymarket.crowd import Crowd
from tests.fakes.polymarket.series import Series
from tests.fakes.polymarket.server import Served, serving
from tests.live.programs import Programs
from tests.ports import free_port

RAIN = "will-it-rain-in-lisbon"
PUBLIC = {
    "/books",
    "/clob-markets",
    "/markets/keyset",
    "/ws/market",
    "/ws/rtds",
    "/ws/binance/stream",
}
"""Everything a paper process may ask for; the first two words of a path at most."""


@pytest.fixture
def served() -> Iterator[Served]:
    """The fake venue with its crowd, on a loop of its own."""
    ready: Future[Served] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with serving() as served:
            Crowd(served.venue, per_s=20).start()
            Series(served.venue, asset="btc", minutes=5).start()
            ready.set_result(served)
            while not over.is_set():  # noqa: ASYNC110 another thread sets it
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield ready.result(150)
    over.set()
    thread.join(30)


def account(mode: str = "paper") -> dict[str, Any]:
    return {"name": "pm", "venue": "polymarket", "mode": mode, "starting_cash": 10_000.0}


def bot(name: str, **what: Any) -> dict[str, Any]:
    parameters = {**EAGER, "fair": "microprice", "sigma_warm_s": 0.5, "event_jump_ticks": 0.0}
    parameters |= {"price_min": 0.01, "price_max": 0.99, "size_shares": 10.0}
    parameters |= what.pop("parameters", {})
    made = {"name": name, "strategy": "market_maker", "account": "pm", "capital": 4_000.0}
    return made | what | {"parameters": parameters}


def desk(home: Path, document: dict[str, Any]) -> Programs:
    migrate(home / "pitboss.db")
    connection = connect_writer(home / "pitboss.db")
    try:
        save(connection, engine_id=ENGINE_ID, who="test", diff=document, base_version=0, now_ns=1)
        applied(connection, ENGINE_ID, 1, 1)
    finally:
        connection.close()
    return Programs(home, free_port())


@pytest.fixture
def addressed(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """An environment in which every public host is the fake."""
    for name in [name for name in os.environ if name.startswith("POLYMARKET")]:
        monkeypatch.delenv(name)
    hosts = {
        "POLYMARKET_CLOB": served.url,
        "POLYMARKET_GAMMA": served.url,
        "POLYMARKET_WS": served.ws,
        "POLYMARKET_RTDS": f"{served.ws}/ws/rtds",
        "POLYMARKET_POLYBOLT": f"{served.ws}/ws/rt",
        "BINANCE_WS": f"{served.ws}/ws/binance",
        "COINBASE_WS": f"{served.ws}/ws/coinbase",
    }
    for name, url in hosts.items():
        monkeypatch.setenv(f"PITBOSS_{name}_URL", url)
    return served


def requests(served: Served) -> list[dict[str, Any]]:
    return [row for row in list(served.venue.journal) if "method" in row]


def detail(programs: Programs) -> dict[str, Any]:
    found = programs.rows("SELECT detail FROM engine_state")
    return json.loads(str(found[0][0])) if found else {}


@pytest.mark.long
def test_paper_account_quotes_and_fills_and_opens_no_trading_connection(
    addressed: Served, tmp_path: Path
) -> None:
    names = [one.instrument for one in addressed.venue.by_condition.values() if not one.series]
    bots = {
        "still": bot("still", instruments=names[:4]),
        "rolling": bot(
            "rolling",
            series=["btc-updown-5m"],
            parameters={
                **EAGER,
                "fair": "reference",
                "twap_window_s": 30.0,
                "fair_gap_max": 1.0,
                "prior": "model",
            },
        ),
    }
    programs = desk(tmp_path, {"accounts": {"pm": account()}, "bots": bots})
    try:
        programs.engine()
        for name in bots:
            assert programs.command(StartBot(bot=BotId(name))).state is CommandState.DONE
        programs.until(lambda: programs.count("fills") >= 3, "it fills on paper", 400)
        feeds = detail(programs)["feeds"]["polymarket"]
        assert feeds["hash_mismatched"] == 0
        assert feeds["markets"] in {6, 7}  # a window that ends is received beside the next two
        synced = programs.command(SyncMarkets(venue="polymarket"))
        assert synced.state is CommandState.DONE, synced
        assert "most traded markets are open" in synced.answer
        titles = dict(programs.rows("SELECT slug, title FROM titles"))
        assert titles[RAIN] == "will it rain in lisbon"
    finally:
        programs.end()
    seen = requests(addressed)
    paths = {row["path"] for row in seen}
    assert {path for path in paths if not any(path.startswith(one) for one in PUBLIC)} == set()
    assert not any(row["signed"] for row in seen)
    assert {row["method"] for row in seen if row["path"] != "/books"} == {"GET"}
    assert not addressed.hubs.user.sockets
    assert list(addressed.venue.ledger.signers) == []


@pytest.mark.long
def test_a_market_no_bot_wants_is_recorded_read_again_and_let_go(
    addressed: Served, tmp_path: Path
) -> None:
    names = [one.instrument for one in addressed.venue.by_condition.values() if not one.series]
    wanted = (InstrumentId(names[0]),)
    programs = desk(tmp_path, {"accounts": {"pm": account()}, "bots": {}})
    recorded = "SELECT coalesce(max(events), 0) FROM recordings"
    try:
        programs.engine()
        begun = programs.command(StartRecording(name="day", instruments=wanted))
        assert begun.state is CommandState.DONE, begun.answer
        programs.until(lambda: int(str(programs.rows(recorded)[0][0])) > 50, "it records")
        stopped = programs.command(StopRecording(name="day"))
        assert stopped.state is CommandState.DONE, stopped.answer
        assert programs.count("orders") == 0
        programs.until(
            lambda: detail(programs)["feeds"]["polymarket"]["markets"] == 0, "it is let go"
        )
    finally:
        programs.end()
    read = open_recording(tmp_path / "recordings" / "day")
    kinds = {type(event) for _, event in read.events()}
    assert set(read.stats.markets) == {names[0]}
    assert {InstrumentListed, BookReplaced} <= kinds


def test_without_such_an_account_nothing_is_connected(addressed: Served, tmp_path: Path) -> None:
    paper = {"name": "paper", "venue": "demo", "mode": "paper"}
    programs = desk(tmp_path, {"accounts": {"paper": paper}, "bots": {}})
    try:
        programs.demo()
        programs.engine()
        programs.until(lambda: detail(programs).get("feeds") == {}, "the engine tells of no feed")
        refused = programs.command(SyncMarkets(venue="polymarket"))
        assert refused.state is CommandState.REFUSED
        assert "no account at Polymarket" in refused.answer
        market = InstrumentId("polymarket:0x" + "0" * 64)
        refused = programs.command(StartRecording(name="day", instruments=(market,)))
        assert refused.state is CommandState.REFUSED
        assert "add a paper account with venue polymarket" in refused.answer
        time.sleep(1.0)  # long enough for a feed to look for what it wants twice
    finally:
        programs.end()
    assert requests(addressed) == []


@pytest.mark.long
def test_without_an_oracle_no_reference_quote_is_made_and_a_person_is_told(
    addressed: Served, tmp_path: Path
) -> None:
    addressed.prices.silent |= {"rtds", "rt"}
    parameters = {
        **EAGER, "fair": "reference", "twap_window_s": 30.0, "fair_gap_max": 1.0, "prior": "model",
    }  # fmt: skip
    bots = {"rolling": bot("rolling", series=["btc-updown-5m"], parameters=parameters)}
    programs = desk(tmp_path, {"accounts": {"pm": account()}, "bots": bots})
    try:
        programs.engine()
        programs.command(StartBot(bot=BotId("rolling")))

        def alerted() -> bool:
            alerts = programs.rows("SELECT text FROM alerts WHERE kind = 'feed'")
            return any(
                "no price of chainlink:btc/usd is received" in str(text) for (text,) in alerts
            )

        programs.until(alerted, "the missing oracle is told", 120)
        assert detail(programs)["feeds"]["polymarket"]["prices_age_ms"]["chainlink:btc/usd"] is None
        assert programs.count("orders") == 0
    finally:
        programs.end()
