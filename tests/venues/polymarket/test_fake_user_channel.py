"""The user channel and the settlement it tells of, plain and with every quirk."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.kit import CUP, RAIN, Trader, by_slug


@contextlib.asynccontextmanager
async def receiving(
    served: Served, trader: Trader, markets: list[str] | None = None
) -> AsyncIterator[ClientConnection]:
    """Listen as a trader; without `markets` to everything of its key."""
    creds = trader.creds
    auth = {name: creds[name] for name in ("apiKey", "secret", "passphrase")}
    frame: dict[str, Any] = {"type": "user", "auth": auth}
    async with connect(f"{served.ws}/ws/user") as socket:
        known = sum(s.ready.is_set() for s in served.hubs.user.sockets)
        await socket.send(json.dumps(frame | ({} if markets is None else {"markets": markets})))
        await served.listening(user=known + 1)
        yield socket


async def received(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Return the next frames, out of arrays too."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(3):
        while len(found) < count:
            message = json.loads(await socket.recv())
            found += message if isinstance(message, list) else [message]
    return found


def shapes(frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(frame["type"], frame["status"]) for frame in frames]


POOR = "not enough balance / allowance"
PLAIN_TRADE = [("TRADE", "MATCHED"), ("TRADE", "MINED"), ("TRADE", "CONFIRMED")]


# -- frames ----------------------------------------------------------------------------------------


async def test_both_sides_receive_the_whole_life_of_a_trade(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with (
        Trader(served) as maker,
        Trader(served, 2) as taker,
        receiving(served, maker) as ours,
        receiving(served, taker) as theirs,
    ):
        resting = await maker.place(market, "BUY", "0.45", "10", outcome=1)
        await taker.place(market, "BUY", "0.55", "6")
        made, took = await received(ours, 5), await received(theirs, 4)
        await maker.fetch("DELETE", "/order", {"orderID": resting["orderID"]})
        (gone,) = await received(ours, 1)
    assert shapes(made) == [("PLACEMENT", "LIVE"), ("UPDATE", "LIVE"), *PLAIN_TRADE]
    assert shapes(took) == [("UPDATE", "MATCHED"), *PLAIN_TRADE]
    assert made[1]["size_matched"] == "6"
    assert made[1]["associate_trades"] == [made[2]["id"]]
    assert {frame["id"] for frame in made[2:]} == {made[2]["id"]}
    assert (made[2]["trader_side"], took[1]["trader_side"]) == ("MAKER", "TAKER")
    assert made[2]["asset_id"] == market.tokens[0]
    assert made[2]["maker_orders"][0]["asset_id"] == market.tokens[1]
    assert (made[2]["transaction_hash"], len(made[3]["transaction_hash"])) == ("", 66)
    assert shapes([gone]) == [("CANCELLATION", "CANCELED")]
    assert gone["size_matched"] == "6"


async def test_there_is_no_snapshot_and_no_replay(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        await trader.place(market, "BUY", "0.40", "10")
        async with receiving(served, trader) as socket:
            await socket.send("PING")
            assert await socket.recv() == "PONG"


async def test_markets_narrow_what_is_received(served: Served) -> None:
    rain, cup = by_slug(served, RAIN), by_slug(served, CUP)
    async with Trader(served) as trader, receiving(served, trader, [cup.condition]) as socket:
        await trader.place(rain, "BUY", "0.40", "10")
        await trader.place(cup, "BUY", "0.40", "10")
        (first,) = await received(socket, 1)
        assert first["market"] == cup.condition
        more = {"operation": "subscribe", "markets": [rain.condition]}
        less = {"operation": "unsubscribe", "markets": [cup.condition]}
        for frame in (more, less):
            await socket.send(json.dumps(frame))
        await socket.send("PING")
        assert await socket.recv() == "PONG"
        await trader.place(cup, "BUY", "0.40", "10")
        await trader.place(rain, "BUY", "0.40", "10")
        (second,) = await received(socket, 1)
        assert second["market"] == rain.condition


async def test_wrong_credentials_are_closed_without_a_word(served: Served) -> None:
    async with Trader(served) as trader, connect(f"{served.ws}/ws/user") as socket:
        auth = {**trader.creds, "passphrase": "wrong"}
        await socket.send(json.dumps({"type": "user", "auth": auth}))
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_two_keys_of_one_signer_receive_their_own_orders(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, receiving(served, trader) as socket:
        second = await trader.http.post("/auth/api-key", headers=trader.l1(nonce=1))
        first, trader.creds = trader.creds, second.json()
        await trader.place(market, "BUY", "0.40", "10")
        trader.creds = first
        mine = await trader.place(market, "BUY", "0.40", "10")
        (frame,) = await received(socket, 1)
    assert (frame["id"], frame["owner"]) == (mine["orderID"], first["apiKey"])


@pytest.mark.parametrize(
    ("quirk", "field", "value"),
    [
        ("null_expiration", "expiration", None),
        ("null_associate_trades", "associate_trades", None),
    ],
)
async def test_quirk_changes_an_order_frame(
    served: Served, quirk: str, field: str, value: object
) -> None:
    await served.control("settings", quirks={quirk: True})
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, receiving(served, trader) as socket:
        await trader.place(market, "BUY", "0.40", "10")
        (frame,) = await received(socket, 1)
    assert frame[field] == value


async def test_quirks_of_time_arrays_and_order(served: Served) -> None:
    market = by_slug(served, RAIN)
    quirks = {
        "created_at_ms": True,
        "matchtime": True,
        "iso_match_time": True,
        "user_arrays": True,
        "trade_before_order": True,
    }
    await served.control("settings", quirks=quirks)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.place(market, "BUY", "0.45", "10", outcome=1)
        async with receiving(served, taker) as socket:
            await taker.place(market, "BUY", "0.55", "10")
            trade, order = await received(socket, 2)
    assert (trade["type"], order["type"]) == ("TRADE", "UPDATE")
    assert len(order["created_at"]) == 13
    assert trade["matchtime"].endswith("Z")
    assert "match_time" not in trade


async def test_events_come_twice_late_swapped_or_before_the_reply(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, receiving(served, trader) as socket:
        await served.control("settings", quirks={"duplicate_events": True})
        await trader.place(market, "BUY", "0.40", "10")
        one, two = await received(socket, 2)
        assert one == two
        swapped = {"duplicate_events": False, "reorder_events": True}
        await served.control("settings", quirks=swapped)
        first = await trader.place(market, "BUY", "0.40", "10")
        second = await trader.place(market, "BUY", "0.40", "10")
        names = [frame["id"] for frame in await received(socket, 2)]
        assert names == [second["orderID"], first["orderID"]]
        await served.control("settings", quirks={"reorder_events": False}, ack_delay_ms=150)
        reply = asyncio.create_task(trader.place(market, "BUY", "0.40", "10"))
        (early,) = await received(socket, 1)
        assert not reply.done()
        assert (await reply)["orderID"] == early["id"]


async def test_killed_order_is_told_only_where_the_quirk_says_so(served: Served) -> None:
    market = by_slug(served, RAIN)
    quirks = {"killed_event": True, "empty_size_matched": True}
    await served.control("settings", quirks=quirks)
    async with Trader(served) as trader, receiving(served, trader) as socket:
        await trader.refused(market, "BUY", "0.50", "5", kind="FOK")
        (frame,) = await received(socket, 1)
    assert frame["status"].startswith("CANCELED_order couldn't be fully filled.")
    assert (frame["size_matched"], frame["outcome"], frame["created_at"]) == ("", "", "")


async def test_partly_filled_then_cancelled_can_be_an_update(served: Served) -> None:
    await served.control("settings", quirks={"update_canceled": True})
    market = by_slug(served, RAIN)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.place(market, "BUY", "0.45", "10", outcome=1)
        async with receiving(served, taker) as socket:
            await taker.place(market, "BUY", "0.55", "20", kind="FAK")
            frames = [f for f in await received(socket, 4) if f["event_type"] == "order"]
    assert shapes(frames)[-1] == ("UPDATE", "CANCELED")


async def test_every_end_has_its_status(served: Served) -> None:
    rain, cup = by_slug(served, RAIN), by_slug(served, CUP)
    async with Trader(served) as trader, receiving(served, trader) as socket:
        await trader.place(rain, "BUY", "0.40", "10")
        await served.control("resolve", condition=rain.condition, payout=0.5)
        await trader.place(cup, "BUY", "0.41", "10")
        await served.control("tick", condition=cup.condition, tick="0.1")
        frames = await received(socket, 4)
    ends = [frame["status"] for frame in frames if frame["type"] == "CANCELLATION"]
    assert ends == ["CANCELED_MARKET_RESOLVED", "INVALID"]


# -- settlement ------------------------------------------------------------------------------------


async def settle(served: Served) -> None:
    """Let everything under way come to its end."""
    await served.control("clock", skip_ms=10_000)
    await served.control("clock", skip_ms=10_000)


async def trade(served: Served, maker: Trader, taker: Trader) -> dict[str, Any]:
    market = by_slug(served, RAIN)
    await maker.place(market, "BUY", "0.45", "10", outcome=1)
    return await taker.place(market, "BUY", "0.55", "10")


async def test_retried_trade_is_mined_under_another_hash(served: Served) -> None:
    await served.control("settle", next=["RETRYING"])
    async with (
        Trader(served) as maker,
        Trader(served, 2) as taker,
        receiving(served, maker) as socket,
    ):
        await trade(served, maker, taker)
        await settle(served)
        frames = [f for f in await received(socket, 6) if f["type"] == "TRADE"]
    states = [frame["status"] for frame in frames]
    assert states == ["MATCHED", "RETRYING", "MINED", "CONFIRMED"]


async def test_failed_trade_reverses_both_ledgers(served: Served) -> None:
    await served.control("settle", next=["FAILED"])
    async with Trader(served) as maker, Trader(served, 2) as taker:
        async with receiving(served, taker) as socket:
            message = await trade(served, maker, taker)
            await settle(served)
            frames = [f for f in await received(socket, 4) if f["type"] == "TRADE"]
        assert [frame["status"] for frame in frames] == ["MATCHED", "RETRYING", "FAILED"]
        (row,) = (await taker.fetch("GET", "/data/trades", id=message["tradeIDs"][0]))["data"]
        assert row["status"] == "TRADE_STATUS_FAILED"
        for trader in (maker, taker):
            given = {"wallet": trader.wallet, "signer": trader.account.address}
            owned = await served.control("wallet", **given)
            assert owned == {
                "cash": {"settled": 10_000_000_000, "reserved": 0, "pending": 0},
                "tokens": {},
            }


async def test_bought_tokens_can_not_be_sold_before_they_are_settled_and_seen(
    served: Served,
) -> None:
    market = by_slug(served, RAIN)
    await served.control("settings", balance_lag_s=60, mined_ms=[400, 400], confirmed_ms=[100, 100])
    token = {"asset_type": "CONDITIONAL", "token_id": market.tokens[0], "signature_type": "0"}
    async with Trader(served) as maker, Trader(served, 2) as taker:
        assert (await taker.fetch("GET", "/balance-allowance", **token))["balance"] == "0"
        await trade(served, maker, taker)
        why = await taker.refused(market, "SELL", "0.60", "10")
        assert why.startswith(POOR)
        await served.control("clock", skip_ms=5_000)
        (row,) = (await taker.fetch("GET", "/data/trades"))["data"]
        assert row["status"] == "TRADE_STATUS_CONFIRMED"
        why = await taker.refused(market, "SELL", "0.60", "10")
        assert why.startswith(
            "not enough balance / allowance: the balance is not enough -> balance: 0"
        )
        assert (await taker.ask("GET", "/balance-allowance/update", **token)).status_code == 200
        assert (await taker.fetch("GET", "/balance-allowance", **token))["balance"] == "10000000"
        assert (await taker.place(market, "SELL", "0.60", "10"))["status"] == "live"


async def test_cache_learns_by_itself_after_a_while(served: Served) -> None:
    market = by_slug(served, RAIN)
    token = {"asset_type": "CONDITIONAL", "token_id": market.tokens[0], "signature_type": "0"}
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await taker.fetch("GET", "/balance-allowance", **token)
        await trade(served, maker, taker)
        await settle(served)
        assert (await taker.fetch("GET", "/balance-allowance", **token))["balance"] == "10000000"


async def test_taker_pays_the_fee_and_maker_none(served: Served) -> None:
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await trade(served, maker, taker)
        await settle(served)
        cash = {"asset_type": "COLLATERAL", "signature_type": "0"}
        paid = []
        for trader in (maker, taker):
            await trader.ask("GET", "/balance-allowance/update", **cash)
            left = await trader.fetch("GET", "/balance-allowance", **cash)
            paid.append(10_000_000_000 - int(left["balance"]))
    # 10 shares · 0.05 · 0.55 · 0.45 = 0.12375 pUSD
    assert paid == [4_500_000, 5_500_000 + 123_750]


async def test_fresh_trade_can_be_not_broadcast_yet(served: Served) -> None:
    await served.control("settings", quirks={"not_broadcast": True}, mined_ms=[60_000, 60_000])
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await trade(served, maker, taker)
        (row,) = (await taker.fetch("GET", "/data/trades"))["data"]
    assert row["status"] == "TRADE_STATUS_MATCHED_NOT_BROADCASTED"


async def test_chances_of_failure_are_drawn_from_the_seed(served: Served) -> None:
    await served.control("settings", fail_ppm=1_000_000)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await trade(served, maker, taker)
        await settle(served)
        (row,) = (await taker.fetch("GET", "/data/trades"))["data"]
    assert row["status"] == "TRADE_STATUS_FAILED"
