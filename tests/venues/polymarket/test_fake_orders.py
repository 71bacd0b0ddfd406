"""Orders at the fake venue: types, matching across the mirror, batches, cancels, beats, limits."""

from __future__ import annotations

import time
from typing import Any

from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.kit import (
    BRIDGE,
    CUP,
    DELAYED,
    LIONS,
    RAIN,
    Trader,
    by_slug,
)


async def open_ids(trader: Trader) -> list[str]:
    return [row["id"] for row in (await trader.fetch("GET", "/data/orders"))["data"]]


# -- matching --------------------------------------------------------------------------------------


async def test_taker_gets_the_resting_price_by_transfer_mint_and_merge(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.rich(market)
        await taker.rich(market)
        await maker.place(market, "SELL", "0.50", "10")
        transfer = await taker.place(market, "BUY", "0.55", "10")
        await maker.place(market, "BUY", "0.45", "10", outcome=1)
        mint = await taker.place(market, "BUY", "0.60", "10")
        await maker.place(market, "SELL", "0.40", "10", outcome=1)
        merge = await taker.place(market, "SELL", "0.50", "10")
    for sent, amounts in ((transfer, ("5", "10")), (mint, ("5.5", "10")), (merge, ("10", "6"))):
        assert sent["status"] == "matched"
        assert (sent["makingAmount"], sent["takingAmount"]) == amounts
        assert len(sent["tradeIDs"]) == 1
        assert sent["transactionsHashes"] == []


async def test_sweep_is_one_trade_row_per_level(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.rich(market)
        for price in ("0.50", "0.51", "0.51", "0.52"):
            await maker.place(market, "SELL", price, "10")
        sent = await taker.place(market, "BUY", "0.52", "40")
        assert (sent["makingAmount"], len(sent["tradeIDs"])) == ("20.4", 3)
        rows = (await taker.fetch("GET", "/data/trades"))["data"]
        by_bucket = {row["bucket_index"]: row for row in rows}
        assert [by_bucket[n]["size"] for n in range(3)] == ["10", "20", "10"]
        assert [len(by_bucket[n]["maker_orders"]) for n in range(3)] == [1, 2, 1]


async def test_maker_sees_its_side_only_in_maker_orders(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        mine = await maker.place(market, "BUY", "0.45", "10", outcome=1)
        await taker.place(market, "BUY", "0.55", "6")
        (row,) = (await maker.fetch("GET", "/data/trades"))["data"]
        assert (row["trader_side"], row["asset_id"]) == ("MAKER", market.tokens[0])
        (own,) = [m for m in row["maker_orders"] if m["order_id"] == mine["orderID"]]
        assert (own["asset_id"], own["price"]) == (market.tokens[1], "0.45")
        assert (own["matched_amount"], own["side"]) == ("6", "BUY")
        # The venue's filter looks at the taker's token: our own fill is missed by it.
        assert not (await maker.fetch("GET", "/data/trades", asset_id=market.tokens[1]))["data"]


async def test_partly_matched_order_rests_and_can_be_asked_for(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.place(market, "BUY", "0.45", "10", outcome=1)
        sent = await taker.place(market, "BUY", "0.55", "25")
        assert sent["status"] == "matched"
        row = await taker.fetch("GET", f"/data/order/{sent['orderID']}")
        assert (row["original_size"], row["size_matched"], row["status"]) == ("25", "10", "LIVE")
        assert row["associate_trades"] == sent["tradeIDs"]
        await taker.fetch("DELETE", "/order", {"orderID": sent["orderID"]})
        assert await taker.fetch("GET", f"/data/order/{sent['orderID']}") is None
        listed = (await taker.fetch("GET", "/data/orders", id=sent["orderID"]))["data"]
        assert [row["status"] for row in listed] == ["CANCELED"]
        served.venue.settings.quirks.terminal_orders = True
        assert (await taker.fetch("GET", f"/data/order/{sent['orderID']}"))["status"] == "CANCELED"


async def test_budget_of_a_market_buy_buys_more_at_a_better_price(served: Served) -> None:
    market = by_slug(served, BRIDGE)
    async with Trader(served, kind=3) as maker, Trader(served, 2, kind=3) as taker:
        await maker.rich(market)
        await maker.place(market, "SELL", "0.40", "10")
        await maker.place(market, "SELL", "0.50", "90")
        # Nearly everything it owns: only what the walk costs is asked for, not the limit price.
        sent = await taker.place(market, "BUY", "0.99", "9", kind="FOK")
        assert (sent["makingAmount"], sent["takingAmount"]) == ("9", "20")


async def test_whole_cash_can_be_spent_at_a_far_limit(served: Served) -> None:
    served.venue.settings.faucet_micro = 20_000_000
    market = by_slug(served, "free-geopolitics")
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.rich(market, 20)
        await maker.served.control("wallet", wallet=maker.wallet, deposit_micro=90_000_000)
        await maker.rich(market, 80)
        await maker.place(market, "SELL", "0.25", "100")
        sent = await taker.place(market, "BUY", "0.99", "20", kind="FAK")
        assert (sent["makingAmount"], sent["takingAmount"]) == ("20", "80")


async def test_fak_takes_what_there_is_and_fok_all_or_nothing(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.rich(market)
        await maker.place(market, "SELL", "0.50", "10")
        why = await taker.refused(market, "BUY", "0.50", "6", kind="FOK")
        assert why == "order couldn't be fully filled. FOK orders are fully filled or killed."
        sent = await taker.place(market, "BUY", "0.50", "6", kind="FAK")
        assert (sent["status"], sent["takingAmount"]) == ("matched", "10")
        assert await open_ids(taker) == []
        await maker.place(market, "BUY", "0.30", "10")
        await taker.rich(market)
        sold = await taker.place(market, "SELL", "0.30", "8", kind="FOK")
        assert (sold["makingAmount"], sold["takingAmount"]) == ("8", "2.4")


async def test_gtd_order_leaves_a_minute_early(still: Served) -> None:
    market = by_slug(still, RAIN)
    async with Trader(still) as trader:
        at_s = still.venue.clock.now_ns() // 10**9 + 200
        sent = await trader.place(market, "BUY", "0.40", "10", kind="GTD", expiration=at_s)
        (row,) = (await trader.fetch("GET", "/data/orders"))["data"]
        assert (row["order_type"], row["expiration"]) == ("GTD", str(at_s))
        await still.control("clock", skip_ms=135_000)
        assert await open_ids(trader) == [sent["orderID"]]
        await still.control("clock", skip_ms=6_000)
        assert await open_ids(trader) == []


async def test_delayed_taker_waits_in_its_own_call(served: Served) -> None:
    market = by_slug(served, DELAYED)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.place(market, "BUY", "0.45", "10", outcome=1)
        began = time.monotonic()
        sent = await taker.place(market, "BUY", "0.55", "10")
        assert (sent["status"], sent["takingAmount"]) == ("matched", "10")
        assert time.monotonic() - began >= 0.24
        why = await taker.refused(market, "BUY", "0.55", "5", kind="FAK")
        assert why.startswith("no orders found to match with FAK order.")


async def test_sports_taker_is_delayed_and_can_not_be_cancelled(served: Served) -> None:
    market = by_slug(served, LIONS)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.place(market, "BUY", "0.45", "10", outcome=1)
        sent = await taker.place(market, "BUY", "0.55", "10")
        assert (sent["status"], sent["tradeIDs"]) == ("delayed", [])
        reply = await taker.fetch("DELETE", "/order", {"orderID": sent["orderID"]})
        assert list(reply["not_canceled"]) == [sent["orderID"]]
        await served.control("clock", skip_ms=3_100)
        assert len((await taker.fetch("GET", "/data/trades"))["data"]) == 1


# -- batches and cancels ---------------------------------------------------------------------------


async def test_batch_of_fifteen_tells_each_leg_apart(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        legs = [trader.order(market, "BUY", "0.10", "5") for _ in range(13)]
        bad: list[dict[str, Any]] = [
            trader.order(market, "BUY", "0.105", "5"),
            trader.order(market, "BUY", "0.10", "5") | {"owner": "somebody"},
        ]
        sent = await trader.fetch("POST", "/orders", [*legs, *bad])
        assert [leg["status"] for leg in sent] == ["live"] * 13 + ["", ""]
        assert [(leg["success"], leg["orderID"]) for leg in sent[13:]] == [(True, "")] * 2
        assert "minimum tick size" in sent[13]["errorMsg"]
        assert len(await open_ids(trader)) == 13


async def test_cancel_says_what_it_did_and_why_not(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, Trader(served, 2) as other:
        live = await trader.place(market, "BUY", "0.40", "10")
        done = await trader.place(market, "BUY", "0.45", "10", outcome=1)
        await other.place(market, "BUY", "0.55", "10")
        theirs = await other.place(market, "BUY", "0.10", "10")
        names = [sent["orderID"] for sent in (live, done, theirs)]
        reply = await trader.fetch("DELETE", "/orders", names)
        assert reply["canceled"] == names[:1]
        assert reply["not_canceled"] == {
            names[1]: "Order already matched",
            names[2]: "Order not found or already canceled",
        }
        assert await open_ids(other) == [names[2]]


async def test_cancels_by_market_token_and_all(served: Served) -> None:
    rain, cup = by_slug(served, RAIN), by_slug(served, CUP)
    async with Trader(served) as trader:
        for market in (rain, cup):
            for outcome in (0, 1):
                await trader.place(market, "BUY", "0.20", "10", outcome=outcome)
        reply = await trader.fetch("DELETE", "/cancel-market-orders", {"asset_id": rain.tokens[1]})
        assert len(reply["canceled"]) == 1
        reply = await trader.fetch("DELETE", "/cancel-market-orders", {"market": cup.condition})
        assert len(reply["canceled"]) == 2
        reply = await trader.fetch("DELETE", "/cancel-all")
        assert (len(reply["canceled"]), reply["not_canceled"]) == (1, {})


async def test_open_orders_come_in_pages_that_end(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        for _ in range(7):
            legs = [trader.order(market, "BUY", "0.01", "5") for _ in range(15)]
            await trader.fetch("POST", "/orders", legs)
        first = await trader.fetch("GET", "/data/orders", next_cursor="MA==")
        assert (first["limit"], first["count"], first["next_cursor"]) == (100, 100, "MTAw")
        last = await trader.fetch("GET", "/data/orders", next_cursor="MTAw")
        assert (last["count"], last["next_cursor"]) == (5, "LTE=")


# -- heartbeat -------------------------------------------------------------------------------------


async def test_silent_key_loses_its_orders_and_no_other_key_does(still: Served) -> None:
    market = by_slug(still, RAIN)
    async with Trader(still) as armed, Trader(still, 2) as free:
        await armed.place(market, "BUY", "0.40", "10")
        await free.place(market, "BUY", "0.40", "10")
        beat = await armed.fetch("POST", "/v1/heartbeats", {"heartbeat_id": ""})
        await still.control("clock", skip_ms=9_000)
        assert len(await open_ids(armed)) == 1
        await armed.fetch("POST", "/v1/heartbeats", beat)
        await still.control("clock", skip_ms=9_000)
        assert len(await open_ids(armed)) == 1
        await still.control("clock", skip_ms=7_000)
        assert await open_ids(armed) == []
        assert len(await open_ids(free)) == 1
        await armed.place(market, "BUY", "0.40", "10")
        await still.control("clock", skip_ms=6_000)
        assert await open_ids(armed) == []  # there is no disarming


async def test_wrong_beat_is_answered_with_the_expected_id(served: Served) -> None:
    async with Trader(served) as trader:
        first = await trader.fetch("POST", "/v1/heartbeats", {"heartbeat_id": ""})
        for wrong in ("", "nonsense"):
            refused = await trader.ask("POST", "/v1/heartbeats", {"heartbeat_id": wrong})
            assert refused.status_code == 400
            assert refused.json() == {"error_msg": "Invalid Heartbeat ID"} | first


# -- limits ----------------------------------------------------------------------------------------


async def test_bucket_warns_first_and_refuses_when_enforced(still: Served) -> None:
    async with Trader(still) as trader:
        market = by_slug(still, RAIN)
        legs = [trader.order(market, "BUY", "0.01", "5") for _ in range(15)]
        for _ in range(4):
            sent = await trader.ask("POST", "/orders", legs)
        assert sent.headers["Poly-RateLimit-Tier"] == "Standard"
        still.venue.settings.tier = "Standard"
        warned = await trader.ask("POST", "/orders", legs)
        assert warned.headers["Poly-RateLimit-Warning"] == "true"
        await still.control("settings", rate_limits="enforce")
        refused = await trader.ask("POST", "/orders", legs)
        assert (refused.status_code, refused.json()) == (429, {"error": "Too Many Requests"})
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["Poly-RateLimit-Remaining"] == "0"
        assert (await trader.ask("DELETE", "/cancel-all")).status_code == 200
        await still.control("clock", skip_ms=3_000)
        assert (await trader.ask("POST", "/orders", legs)).status_code == 200


async def test_higher_tier_has_a_larger_bucket(still: Served) -> None:
    async with Trader(still) as trader:
        await still.control("people", signer=trader.account.address, tier="Gold")
        tier = await trader.fetch("GET", "/v1/user/rate-limit-tier")
        assert (tier["tier"], tier["orders_burst"]) == ("Gold", 600)
        sent = await trader.ask("DELETE", "/cancel-all")
        assert sent.headers["Poly-RateLimit-Remaining"] == "1199"
