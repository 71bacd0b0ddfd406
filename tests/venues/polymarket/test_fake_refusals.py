"""What the venue refuses, and the exact words it refuses with."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.kit import (
    BRIDGE,
    CUP,
    FINE,
    RAIN,
    Trader,
    by_slug,
    signer,
    wallet,
)

BAD_KEY = {"error": "Unauthorized/Invalid api key"}
BAD_L1 = {"error": "Invalid L1 Request headers"}


# -- keys ------------------------------------------------------------------------------------------


async def test_second_creation_is_refused_and_derivation_needs_a_key(served: Served) -> None:
    async with Trader(served) as trader:
        again = await trader.http.post("/auth/api-key", headers=trader.l1())
        assert (again.status_code, again.json()) == (400, {"error": "Could not create api key"})
        none = await trader.http.get("/auth/derive-api-key", headers=trader.l1(nonce=5))
        assert (none.status_code, none.json()) == (400, {"error": "Could not derive api key!"})
        other = await trader.http.post("/auth/api-key", headers=trader.l1(nonce=5))
        assert other.json()["apiKey"] != trader.creds["apiKey"]


@pytest.mark.parametrize(
    "changes",
    [
        {"POLY_ADDRESS": signer(9).address},
        {"POLY_NONCE": "1"},
        {"POLY_TIMESTAMP": "1795132800"},
        {"POLY_SIGNATURE": "0x" + "11" * 65},
        {"POLY_SIGNATURE": "nonsense"},
        {"POLY_NONCE": "many"},
    ],
)
async def test_wrong_l1_header_is_refused(served: Served, changes: dict[str, str]) -> None:
    async with Trader(served) as trader:
        headers = trader.l1() | changes
        refused = await trader.http.post("/auth/api-key", headers=headers)
        assert (refused.status_code, refused.json()) == (401, BAD_L1)


async def test_stale_l1_signature_is_refused(served: Served) -> None:
    async with Trader(served) as trader:
        old = trader.l1(nonce=3, at_s=int(time.time()) - 120)
        assert (await trader.http.post("/auth/api-key", headers=old)).json() == BAD_L1


@pytest.mark.parametrize(
    "changes",
    [
        {"POLY_API_KEY": "11111111-1111-4111-8111-111111111111"},
        {"POLY_PASSPHRASE": "0" * 64},
        {"POLY_ADDRESS": signer(9).address},
        {"POLY_SIGNATURE": "AAAA"},
        {"POLY_TIMESTAMP": "1795132800"},
        {"POLY_TIMESTAMP": "yesterday"},
    ],
)
async def test_wrong_l2_header_is_refused(served: Served, changes: dict[str, str]) -> None:
    async with Trader(served) as trader:
        headers = trader.l2("GET", "/data/orders") | changes
        refused = await trader.http.get("/data/orders", headers=headers)
        assert (refused.status_code, refused.json()) == (401, BAD_KEY)


async def test_l2_signature_covers_the_body_and_not_the_query(served: Served) -> None:
    async with Trader(served) as trader:
        headers = trader.l2("GET", "/data/orders")
        ok = await trader.http.get("/data/orders", headers=headers, params={"market": "0x1"})
        assert ok.status_code == 200
        headers = trader.l2("POST", "/v1/heartbeats", '{"heartbeat_id":""}')
        spaced = await trader.http.post(
            "/v1/heartbeats", headers=headers, content='{"heartbeat_id": ""}'
        )
        assert (spaced.status_code, spaced.json()) == (401, BAD_KEY)


async def test_fresh_key_is_refused_for_a_while(served: Served) -> None:
    served.venue.settings.fresh_key_s = 60
    async with Trader(served) as trader:
        assert (await trader.ask("GET", "/auth/api-keys")).status_code == 401
        await served.control("settings", fresh_key_s=0)
        assert (await trader.ask("GET", "/auth/api-keys")).status_code == 200


async def test_wrong_server_clock_refuses_right_signatures(served: Served) -> None:
    async with Trader(served) as trader:
        await served.control("clock", skew_ms=120_000)
        assert (await trader.ask("GET", "/auth/api-keys")).status_code == 401
        shown = (await trader.http.get("/time")).json()
        assert shown - time.time() > 118


# -- signatures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("slug", [RAIN, CUP, BRIDGE])
async def test_signature_of_every_type_is_verified_field_by_field(
    served: Served, kind: int, slug: str
) -> None:
    market = by_slug(served, slug)
    async with Trader(served, kind=kind) as trader:
        good = trader.order(market, "BUY", "0.40", "10")
        for changes in (
            {"salt": 77},
            {"makerAmount": "4100000"},
            {"timestamp": "1795132800123"},
            {"metadata": "0x" + "01" * 32},
            {"builder": "0x" + "02" * 32},
            {"side": "SELL"},
            {"signature": good["order"]["signature"][:-2] + "00"},
        ):
            refused = await trader.post(good, **changes)
            assert (refused.status_code, refused.json()) == (400, {"error": "invalid signature"})
        taken = await trader.post(good)
        assert taken.status_code == 200, taken.text


async def test_wrong_domain_is_an_invalid_signature(served: Served) -> None:
    async with Trader(served) as trader:
        for slug, version in ((RAIN, "3"), (BRIDGE, "2")):
            why = await trader.refused(
                by_slug(served, slug), "BUY", "0.40", "10", protocol_version=version
            )
            assert why == "invalid signature"
        cup = by_slug(served, CUP)
        standard = "0xE111180000d2663C0091e4f400237545B87B996B"
        why = await trader.refused(cup, "BUY", "0.40", "10", exchange_address=standard)
        assert why == "invalid signature"


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
async def test_strangers_signature_and_wallet_are_refused(served: Served, kind: int) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served, kind=kind) as trader:
        forged = trader.order(market, "BUY", "0.40", "10", by=signer(9))
        assert (await trader.post(forged)).json() == {"error": "invalid signature"}
        theirs = wallet(signer(9), kind)
        if kind == 3:
            why = await trader.refused(market, "BUY", "0.40", "10", maker=theirs, signer=theirs)
            assert why == "the order signer address has to be the address of the API KEY"
        else:
            why = await trader.refused(market, "BUY", "0.40", "10", maker=theirs)
            assert why == "invalid signature"


async def test_owner_and_signer_must_be_the_keys(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, Trader(served, 2) as other:
        order = trader.order(market, "BUY", "0.40", "10")
        refused = await trader.post(order | {"owner": other.creds["apiKey"]})
        assert refused.json()["error"] == "the order owner has to be the owner of the API KEY"
        theirs = other.order(market, "BUY", "0.40", "10") | {"owner": trader.creds["apiKey"]}
        refused = await trader.post(theirs)
        text = "the order signer address has to be the address of the API KEY"
        assert refused.json()["error"] == text


async def test_eoa_may_be_sent_to_the_deposit_wallet_flow(served: Served) -> None:
    served.venue.settings.quirks.eoa_refused = True
    market = by_slug(served, RAIN)
    async with Trader(served) as eoa, Trader(served, kind=3) as deposit:
        why = await eoa.refused(market, "BUY", "0.40", "10")
        assert why == "maker address not allowed, please use the deposit wallet flow"
        assert (await deposit.place(market, "BUY", "0.40", "10"))["status"] == "live"


# -- payloads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": "12"},
        {"salt": 2**54},
        {"makerAmount": 4_000_000},
        {"makerAmount": "0"},
        {"takerAmount": "-1"},
        {"side": "buy"},
        {"signatureType": 4},
        {"maker": "0x12"},
        {"metadata": "0x00"},
    ],
)
async def test_misshapen_order_is_an_invalid_payload(
    served: Served, changes: dict[str, Any]
) -> None:
    async with Trader(served) as trader:
        good = trader.order(by_slug(served, RAIN), "BUY", "0.40", "10")
        refused = await trader.post(good, **changes)
        assert (refused.status_code, refused.json()) == (400, {"error": "Invalid order payload"})


async def test_first_versions_order_is_a_version_mismatch(served: Served) -> None:
    async with Trader(served) as trader:
        good = trader.order(by_slug(served, RAIN), "BUY", "0.40", "10")
        refused = await trader.post(good, taker="0x" + "0" * 40, nonce="0", feeRateBps="0")
        assert refused.json() == {"error": "order_version_mismatch"}


async def test_body_that_is_no_json_is_refused(served: Served) -> None:
    async with Trader(served) as trader:
        headers = trader.l2("POST", "/order", "{")
        refused = await trader.http.post("/order", headers=headers, content="{")
        assert refused.json() == {"error": "Invalid order payload"}
        assert (await trader.http.get("/no/such/path")).status_code == 404
        assert "error" in (await trader.http.get("/no/such/path")).json()


# -- rules -----------------------------------------------------------------------------------------


async def test_rules_of_price_size_and_decimals(served: Served) -> None:
    market, fine = by_slug(served, RAIN), by_slug(served, FINE)
    async with Trader(served) as trader:
        why = await trader.refused(market, "BUY", "0.405", "10")
        assert why.endswith("is invalid. Price (0.405) breaks minimum tick size rule: 0.01")
        assert why.startswith("order 0x")
        why = await trader.refused(market, "BUY", "0.40", "4")
        assert why.endswith("is invalid. Size (4) lower than the minimum: 5")
        why = await trader.refused(market, "BUY", "0.40", "10.005")
        assert why == (
            "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, "
            "taker amount a max of 2 decimals"
        )
        assert (await trader.place(fine, "BUY", "0.401", "10.01"))["success"]
        served.venue.settings.quirks.limit_money_decimals = 4
        why = await trader.refused(fine, "BUY", "0.401", "10.01")
        assert why.startswith("invalid amounts, the buy orders")


async def test_market_buy_knows_two_and_four_decimals_and_one_dollar(served: Served) -> None:
    market, fine = by_slug(served, RAIN), by_slug(served, FINE)
    text = (
        "invalid amounts, the market buy orders maker amount supports a max accuracy of "
        "2 decimals, taker amount a max of 4 decimals"
    )
    async with Trader(served) as trader:
        assert await trader.refused(market, "BUY", "0.50", "5.001", kind="FAK") == text
        # What the SDK makes of 9.98 at 0.985 on a fine grid: five decimals of shares.
        amounts = {"maker_amount": 9_980_000, "taker_amount": 10_131_970}
        assert await trader.refused(fine, "BUY", "0.985", "9.98", kind="FOK", **amounts) == text
        served.venue.settings.quirks.market_buy_taker_decimals = 6
        why = await trader.refused(fine, "BUY", "0.985", "9.98", kind="FOK", **amounts)
        assert why == "order couldn't be fully filled. FOK orders are fully filled or killed."
        why = await trader.refused(market, "BUY", "0.50", "0.5", kind="FAK")
        assert why == "invalid amount for a marketable BUY order ($0.5), min size: $1"


async def test_kills_crossings_expiries_and_duplicates(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, Trader(served, 2) as maker:
        why = await trader.refused(market, "BUY", "0.50", "5", kind="FAK")
        assert why == (
            "no orders found to match with FAK order. "
            "FAK orders are partially filled or killed if no match is found."
        )
        await maker.place(market, "BUY", "0.50", "10", outcome=1)
        why = await trader.refused(market, "BUY", "0.50", "10", post_only=True)
        assert why == "invalid post-only order: order crosses book"
        soon = int(time.time()) + 179
        why = await trader.refused(market, "BUY", "0.40", "10", kind="GTD", expiration=soon)
        assert why == "invalid expiration"
        assert await trader.refused(market, "BUY", "0.40", "10", kind="GTD") == "invalid expiration"
        order = trader.order(market, "BUY", "0.40", "10")
        first = await trader.post(order)
        again = await trader.post(order)
        name = first.json()["orderID"]
        assert again.json() == {"error": f"order {name} is invalid. Duplicated."}


async def test_money_that_is_not_there(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        await trader.place(market, "BUY", "0.50", "15000")
        why = await trader.refused(market, "BUY", "0.50", "6000")
        assert why == (
            "not enough balance / allowance: the balance is not enough -> balance: 10000000000, "
            "sum of matched orders: 7500000000, order amount: 3000000000"
        )
        why = await trader.refused(market, "SELL", "0.60", "10")
        assert why.startswith("not enough balance / allowance: the balance is not enough -> bal")
        given = {"signer": trader.account.address, "wallet": trader.wallet}
        await served.control("wallet", allowance=1_000_000, **given)
        why = await trader.refused(market, "BUY", "0.40", "10")
        assert why == (
            "not enough balance / allowance: the allowance is not enough -> "
            "allowance: 1000000, order amount: 4000000"
        )


async def test_market_that_takes_no_orders(served: Served) -> None:
    market = by_slug(served, RAIN)
    none = "No orderbook exists for the requested token id"
    async with Trader(served) as trader:
        later = await served.control("markets", slug="later", hydrates_in_s=3_600)
        young = by_slug(served, "later")
        why = await trader.refused(young, "BUY", "0.40", "10")
        assert why == "the market is not yet ready to process new orders"
        unknown = await trader.http.get(f"/clob-markets/{later['condition']}")
        assert (unknown.status_code, unknown.json()) == (404, {"error": "market not found"})
        await served.control("resolve", condition=market.condition, payout=1)
        assert await trader.refused(market, "BUY", "0.40", "10") == none
        gone = await trader.http.get("/book", params={"token_id": market.tokens[0]})
        assert (gone.status_code, gone.json()) == (404, {"error": none})
        bad = await trader.http.get("/book", params={"token_id": "0x12"})
        assert (bad.status_code, bad.json()) == (400, {"error": "Invalid token id"})


async def test_people_who_may_not_trade(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        await trader.rich(market)
        name = trader.account.address
        await served.control("people", signer=name, closed_only=True)
        why = await trader.refused(market, "BUY", "0.40", "10")
        assert why == f"'{name}' address in closed only mode"
        assert await trader.fetch("GET", "/auth/ban-status/closed-only") == {"closed_only": True}
        assert (await trader.place(market, "SELL", "0.60", "10"))["status"] == "live"
        await served.control("people", signer=name, banned=True)
        refused = await trader.ask("GET", "/data/orders")
        assert refused.json() == {"error": f"'{name}' address banned"}


async def test_lists_that_are_too_long(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        legs = [trader.order(market, "BUY", "0.10", "5") for _ in range(16)]
        refused = await trader.ask("POST", "/orders", legs)
        assert refused.json() == {"error": "Too many orders in payload: 16, max allowed: 15"}
        names = ["0x" + f"{n:064x}" for n in range(1_001)]
        refused = await trader.ask("DELETE", "/orders", names)
        assert refused.json() == {"error": "Too many orders in payload, max allowed: 1000"}
        refused = await trader.ask("DELETE", "/order", {"orderID": "12"})
        assert refused.json() == {"error": "Invalid orderID"}
        many = [{"token_id": market.tokens[0]}] * 501
        refused = await trader.http.post("/books", content=json.dumps(many))
        assert refused.json() == {"error": "Payload exceeds the limit"}


async def test_rejection_can_come_inside_a_200(served: Served) -> None:
    served.venue.settings.quirks.rejects_in_200 = True
    market = by_slug(served, RAIN)
    async with Trader(served) as trader:
        answer = await trader.place(market, "BUY", "0.40", "4")
        assert (answer["success"], answer["orderID"]) == (True, "")
        assert "lower than the minimum: 5" in answer["errorMsg"]
