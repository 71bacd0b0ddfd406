"""Every fault script can be seen from outside, and what it did to the order is known."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.fakes.polymarket.faults import SCRIPTS, TEXTS
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.follower import Follower
from tests.venues.polymarket.kit import RAIN, Trader, by_slug


async def resting(trader: Trader) -> int:
    return len((await trader.fetch("GET", "/data/orders"))["data"])


async def attempt(trader: Trader) -> httpx.Response | None:
    """Post one order; None = no reply came."""
    order = trader.order(by_slug(trader.served, RAIN), "BUY", "0.40", "10")
    try:
        return await trader.post(order)
    except httpx.TransportError:
        return None


OUTCOMES: dict[str, tuple[int | None, str, int]] = {
    "cloudflare_403": (403, "Cloudflare", 0),
    "cloudflare_502": (502, "Bad gateway", 0),
    "not_ready": (503, "Service is not ready", 0),
    "rate_limited": (429, "Too Many Requests", 0),
    "lost_order_500": (500, "could not insert order", 0),
    "resting_order_500": (500, "could not insert order", 1),
    "no_reply": (None, "", 1),
    "never_arrived": (None, "", 0),
    "garbled": (200, "{", 1),
    "unauthorized": (401, "Unauthorized/Invalid api key", 0),
}
"""Script → (status of the reply or none, what it says, how many orders rest)."""
OUTCOMES |= {name: (status, text, 0) for name, (status, text) in TEXTS.items()}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("script", OUTCOMES)
async def test_order_meets_a_fault_once_and_its_fate_is_known(served: Served, script: str) -> None:
    status, text, rests = OUTCOMES[script]
    async with Trader(served) as trader:
        await served.control("faults", script=script, times=1)
        answer = await attempt(trader)
        assert (None if answer is None else answer.status_code) == status
        if answer is not None:
            assert text in answer.text
        assert await resting(trader) == rests
        again = await attempt(trader)
        assert again is not None
        assert again.status_code == 200
        assert served.venue.faults.hits == {script: 1}


async def test_slow_answers_and_hanging_ones(served: Served) -> None:
    async with Trader(served) as trader:
        await served.control("faults", script="slow", args={"ms": 80, "jitter_ms": 20}, times=1)
        began = time.monotonic()
        assert await attempt(trader) is not None
        assert time.monotonic() - began >= 0.08
        await served.control("faults", script="hang", args={"s": 0.05}, times=1)
        assert await attempt(trader) is None
        assert await resting(trader) == 1


async def test_cancel_can_be_done_without_an_answer(served: Served) -> None:
    async with Trader(served) as trader:
        answer = await attempt(trader)
        assert answer is not None
        await served.control("faults", script="no_cancel_reply", times=1)
        with pytest.raises(httpx.TransportError):
            await trader.ask("DELETE", "/order", {"orderID": answer.json()["orderID"]})
        assert await resting(trader) == 0


async def test_heartbeat_alone_can_be_refused_while_orders_are_taken(served: Served) -> None:
    async with Trader(served) as trader:
        await served.control("faults", script="heartbeat_401")
        beat = await trader.ask("POST", "/v1/heartbeats", {"heartbeat_id": ""})
        assert beat.status_code == 401
        assert await attempt(trader) is not None


async def test_fault_stands_for_a_time_and_can_be_removed(served: Served) -> None:
    async with Trader(served) as trader:
        await served.control("faults", script="not_ready", for_s=30)
        assert (await trader.http.get("/ok")).status_code == 503
        await served.control("clock", skip_ms=31_000)
        assert (await trader.http.get("/ok")).status_code == 200
        await served.control("faults", kind="status", path="/ok", args={"status": 418})
        assert (await trader.http.get("/ok")).status_code == 418
        assert (await trader.http.get("/time")).status_code == 200
        await trader.http.delete("/__fake__/faults")
        assert (await trader.http.get("/ok")).status_code == 200


async def test_chance_of_a_fault_depends_on_nothing_but_the_seed(served: Served) -> None:
    async with Trader(served) as trader:
        await served.control("faults", kind="status", path="/ok", chance=0.5, args={"status": 500})
        codes = [(await trader.http.get("/ok")).status_code for _ in range(20)]
    assert codes.count(500) == served.venue.faults.hits["status"]
    assert 4 <= codes.count(500) <= 16


async def test_unknown_script_is_refused_with_the_known_ones(served: Served) -> None:
    with pytest.raises(ValueError, match="cloudflare_403"):
        await served.control("faults", script="meteor")
    with pytest.raises(ValueError, match="drop_after"):
        await served.control("faults", kind="meteor")
    assert set(OUTCOMES) < set(SCRIPTS)


# -- windows of the venue --------------------------------------------------------------------------


async def test_restart_is_425_then_post_only_then_open(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        await trader.place(market, "BUY", "0.40", "10")
        await served.control("mode", restart=True, down_s=5, post_only_s=120)
        down = await attempt(trader)
        assert down is not None
        assert (down.status_code, down.headers["Retry-After"]) == (425, "1")
        assert (await trader.ask("DELETE", "/cancel-all")).status_code == 425
        await served.control("clock", skip_ms=5_100)
        half = await attempt(trader)
        assert half is not None
        assert half.status_code == 503
        left_s = half.json().pop("retry_after_seconds")
        assert half.json() == {
            "error": "post-only mode: only post-only orders and cancels are allowed",
            "code": "post_only_mode",
            "retry_after_seconds": left_s,
        }
        assert half.headers["Retry-After"] == str(left_s)
        assert 100 < left_s <= 120
        assert (await trader.place(market, "BUY", "0.30", "10", post_only=True))["success"]
        assert len((await trader.fetch("DELETE", "/cancel-all"))["canceled"]) == 2
        await served.control("clock", skip_ms=121_000)
        assert (await trader.place(market, "BUY", "0.40", "10"))["status"] == "live"


async def test_restart_may_lose_what_rests(served: Served) -> None:
    async with Trader(served) as trader:
        await attempt(trader)
        await served.control("mode", restart=True, down_s=1, post_only_s=1, drop_orders=True)
        await served.control("clock", skip_ms=3_000)
        assert await resting(trader) == 0


@pytest.mark.parametrize(
    ("mode", "text", "cancels"),
    [
        (
            "cancel_only",
            "Trading is currently cancel-only. New orders are not accepted, "
            "but cancels are allowed.",
            200,
        ),
        ("disabled", "Trading is currently disabled. Check polymarket.com for updates", 503),
    ],
)
async def test_closed_venue_says_what_it_still_takes(
    served: Served, mode: str, text: str, cancels: int
) -> None:
    async with Trader(served) as trader:
        await served.control("mode", mode=mode, for_s=10)
        answer = await attempt(trader)
        assert answer is not None
        assert (answer.status_code, answer.json()) == (503, {"error": text})
        assert (await trader.ask("DELETE", "/cancel-all")).status_code == cancels
        await served.control("clock", skip_ms=11_000)
        assert (await trader.ask("DELETE", "/cancel-all")).status_code == 200


async def test_storm_brings_every_fault_once_before_any_comes_again(served: Served) -> None:
    async with Trader(served) as trader:
        await served.control("storm", every_s=10, for_s=3)
        seen: list[str] = []
        for _ in range(len(SCRIPTS) + 6):
            await served.control("clock", skip_ms=10_000)
            seen = [what for _, what in (await served.control("storm"))["struck"]]
        assert len(set(seen)) == len(seen) == len(SCRIPTS) + 6
        await served.control("storm", stop=True)
        await served.control("clock", skip_ms=60_000)
        again = await attempt(trader)
        assert again is not None
        assert again.status_code == 200


async def test_game_that_starts_clears_its_book(served: Served) -> None:
    start_ns = served.venue.clock.now_ns() + 60 * 10**9
    await served.control(
        "markets", slug="derby", clear_book_on_start=True, game_start_ns=start_ns, seconds_delay=3
    )
    async with Trader(served) as trader:
        await trader.place(by_slug(served, "derby"), "BUY", "0.40", "10")
        await served.control("clock", skip_ms=61_000)
        assert await resting(trader) == 0


# -- sockets ---------------------------------------------------------------------------------------


async def test_frozen_channel_still_pongs(served: Served) -> None:
    market = by_slug(served, RAIN)
    follower = Follower([market])
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await follower.subscribe(socket)
        await served.listening(market=1)
        await follower.drain(socket, 0.05)
        await served.control("faults", script="market_ws_freeze")
        await trader.place(market, "BUY", "0.40", "10")
        await socket.send("PING")
        assert await socket.recv() == "PONG"
        await trader.http.delete("/__fake__/faults")
        await trader.place(market, "BUY", "0.39", "10")
        await follower.drain(socket, 0.05)
    # What came during the freeze is lost for good: the next change does not complete its hash.
    assert follower.kinds["price_change"] == 1
    assert [book.proven for book in follower.books.values()] == [False, False]


async def test_lost_change_is_betrayed_by_the_next_hash(served: Served) -> None:
    market = by_slug(served, RAIN)
    follower = Follower([market])
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await follower.subscribe(socket)
        await served.listening(market=1)
        await served.control("faults", script="lost_change")
        await trader.place(market, "BUY", "0.40", "10")
        await trader.place(market, "BUY", "0.39", "10")
        await follower.drain(socket, 0.05)
    assert [book.proven for book in follower.books.values()] == [False, False]


async def test_sockets_are_closed_cut_or_told_nonsense(served: Served) -> None:
    market = by_slug(served, RAIN)
    follower = Follower([market])
    for number, given in enumerate(({"do": "close", "code": 1012}, {"do": "abort"})):
        async with connect(f"{served.ws}/ws/market") as socket:
            await follower.subscribe(socket)
            await served.listening(market=1)
            await served.control("sockets", channel="market", **given)
            with pytest.raises(ConnectionClosed) as closed:
                await follower.drain(socket, 2)
        code = None if closed.value.rcvd is None else closed.value.rcvd.code
        assert code == (1012 if number == 0 else None)
    async with connect(f"{served.ws}/ws/market") as socket:
        await follower.subscribe(socket)
        await served.listening(market=1)
        await served.control("sockets", channel="market", do="text", text="INVALID OPERATION")
        answer: list[Any] = [await socket.recv(), await socket.recv()]
        assert "INVALID OPERATION" in answer


async def test_lost_user_event(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/user") as socket:
        await socket.send(json.dumps({"type": "user", "auth": trader.creds}))
        await served.listening(user=1)
        await served.control("faults", script="lost_user_event")
        await trader.place(market, "BUY", "0.40", "10")
        second = await trader.place(market, "BUY", "0.40", "10")
        async with asyncio.timeout(2):
            assert json.loads(await socket.recv())["id"] == second["orderID"]
        await served.control("faults", script="user_ws_freeze")
        await trader.place(market, "BUY", "0.40", "10")
        await socket.send("PING")
        assert await socket.recv() == "PONG"


async def test_stale_book_is_served_until_the_fault_ends(served: Served) -> None:
    market = by_slug(served, RAIN)
    query = {"token_id": market.tokens[0]}
    async with Trader(served) as trader:
        await served.control("faults", script="stale_book")
        assert (await trader.http.get("/book", params=query)).json()["bids"] == []
        await trader.place(market, "BUY", "0.40", "10")
        assert (await trader.http.get("/book", params=query)).json()["bids"] == []
        await trader.http.delete("/__fake__/faults")
        assert len((await trader.http.get("/book", params=query)).json()["bids"]) == 1


# -- the hand behind -------------------------------------------------------------------------------


async def test_journal_holds_requests_and_frames_and_no_secret(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/user") as socket:
        await socket.send(json.dumps({"type": "user", "auth": trader.creds}))
        await served.listening(user=1)
        await trader.place(market, "BUY", "0.40", "10")
        await socket.recv()
        text = (await trader.http.get("/__fake__/journal")).text
    rows = json.loads(text)
    assert [row["status"] for row in rows if row.get("path") == "/order"] == [200]
    assert any("PLACEMENT" in row.get("text", "") for row in rows)
    assert trader.creds["secret"] not in text
    assert trader.creds["passphrase"] not in text


async def test_invariants_are_told_in_sums(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        await trader.place(market, "BUY", "0.40", "10")
        sums = (await trader.http.get("/__fake__/invariants")).json()
    assert sums["problems"] == []
    assert (sums["deposits"], sums["reserved"]) == (10_000_000_000, 4_000_000)
    assert sums["verified"]["orders"] == 1


async def test_settings_that_make_no_sense_change_nothing(served: Served) -> None:
    for given in ({"seed": "x"}, {"quirks": {"nonsense": True}}, {"nonsense": 1}):
        with pytest.raises(ValueError, match="settings"):
            await served.control("settings", **given)
