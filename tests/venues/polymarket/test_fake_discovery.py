"""Public data of the fake venue: CLOB, Gamma, Data, relayer, and the program on a port."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from polymarket import AsyncPublicClient, AsyncSecureClient, RelayerApiKey
from polymarket.models import PriceRequest

from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.crowd import Crowd
from tests.fakes.polymarket.series import Series
from tests.fakes.polymarket.server import Served, serving
from tests.fakes.polymarket.signing import wallets_of
from tests.venues.polymarket.kit import (
    BRIDGE,
    CUP,
    DELAYED,
    FINE,
    LIONS,
    RAIN,
    Trader,
    by_slug,
    environment,
    quick,
    signer,
    wallet,
)

ROOT = Path(__file__).resolve().parents[3]
NOW_NS = 1_795_132_800_000_000_000


async def read(served: Served, path: str, **query: Any) -> Any:
    async with httpx.AsyncClient(base_url=served.url) as http:
        return (await http.get(path, params=query)).json()


# -- CLOB ------------------------------------------------------------------------------------------


async def test_sdk_reads_every_public_number(served: Served) -> None:
    market = by_slug(served, RAIN)
    yes, no = market.tokens
    async with Trader(served) as trader:
        await trader.place(market, "BUY", "0.40", "10")
        await trader.place(market, "BUY", "0.50", "20", outcome=1)
    async with AsyncPublicClient(environment=environment(served)) as sdk:
        book = await sdk.get_order_book(asset_id=yes)
        assert [(str(lv.price), str(lv.size)) for lv in book.asks] == [("0.5", "20")]
        assert str(await sdk.get_midpoint(asset_id=yes)) == "0.45"
        assert str(await sdk.get_price(asset_id=no, side="SELL")) == "0.6"
        assert str(await sdk.get_spread(asset_id=yes)) == "0.1"
        assert await sdk.get_last_trade_price(asset_id=yes) is None
        assert len(await sdk.get_order_books(asset_ids=[yes, no, "1" * 77])) == 2
        assert set(await sdk.get_midpoints(asset_ids=[yes, no])) == {yes, no}
        assert len(await sdk.get_spreads(asset_ids=[yes])) == 1
        prices = await sdk.get_prices(
            requests=[PriceRequest(yes, "BUY"), PriceRequest(yes, "SELL")]
        )
        assert {side: str(price) for side, price in prices[yes].items()} == {
            "BUY": "0.4",
            "SELL": "0.5",
        }


async def test_small_questions(served: Served) -> None:
    market = by_slug(served, CUP)
    query = {"token_id": market.tokens[1]}
    assert await read(served, "/ok") == "OK"
    assert await read(served, "/version") == {"version": 2}
    assert isinstance(await read(served, "/time"), int)
    assert await read(served, "/tick-size", **query) == {"minimum_tick_size": 0.01}
    assert await read(served, "/neg-risk", **query) == {"neg_risk": True}
    assert await read(served, "/fee-rate", **query) == {"base_fee": 1000}
    assert await read(served, "/last-trade-price", **query) == {"price": "0.5", "side": ""}
    named = await read(served, f"/markets-by-token/{market.tokens[1]}")
    assert named["condition_id"] == market.condition
    assert {named["primary_token_id"], named["secondary_token_id"]} == set(market.tokens)


async def test_compact_market_tells_every_rule(served: Served) -> None:
    rows = {
        slug: await read(served, f"/clob-markets/{by_slug(served, slug).condition}")
        for slug in (RAIN, CUP, BRIDGE, FINE, DELAYED, LIONS, "free-geopolitics")
    }
    assert rows[RAIN]["fd"] == {"r": 0.05, "e": 1, "to": True}
    assert "fd" not in rows["free-geopolitics"]
    assert (rows[CUP]["nr"], rows[RAIN]["nr"]) == (True, False)
    assert (rows[BRIDGE]["v"], rows[RAIN]["v"]) == ("v2", "v1")
    assert rows[FINE]["mts"] == 0.001
    assert rows[DELAYED]["itode"] is True
    assert "itode" not in rows[RAIN]
    assert rows[LIONS]["cbos"] is True
    assert [token["o"] for token in rows[LIONS]["t"]] == ["Lions", "Bears"]
    long = await read(served, f"/markets/{by_slug(served, LIONS).condition}")
    assert (long["seconds_delay"], long["minimum_order_size"]) == (3, 5)


async def test_sampling_markets_come_in_pages(served: Served) -> None:
    page = await read(served, "/sampling-markets", next_cursor="MA==")
    assert (page["count"], page["next_cursor"]) == (7, "LTE=")
    assert (await read(served, "/sampling-markets", next_cursor="LTE="))["data"] == []


async def test_ids_have_the_venues_shapes(served: Served) -> None:
    for market in served.venue.by_condition.values():
        assert len(market.condition) == 66
        lengths = {len(token) for token in market.tokens}
        assert lengths == ({75} if market.version == "v2" else {77})


# -- Gamma -----------------------------------------------------------------------------------------


async def test_keyset_walks_every_market_once(served: Served) -> None:
    async with AsyncPublicClient(environment=environment(served)) as sdk:
        found = [market async for page in _pages(sdk) for market in page]
    assert len({market.id for market in found}) == len(found) == 7
    v2 = next(market for market in found if market.version == "v2")
    assert v2.outcomes.yes.token_id is None
    assert v2.outcomes.yes.position_id == by_slug(served, BRIDGE).tokens[0]


async def _pages(sdk: AsyncPublicClient) -> Any:
    pages = sdk.list_markets(page_size=3)
    page = await pages.first_page()
    yield page.items
    while page.has_more:
        page = await pages.from_cursor(page.next_cursor).first_page()
        yield page.items


async def test_gamma_writes_json_in_strings_and_refuses_offsets(served: Served) -> None:
    page = await read(served, "/markets/keyset", limit=2)
    assert len(page["markets"]) == 2
    assert json.loads(page["markets"][0]["outcomes"]) == ["Yes", "No"]
    assert len(json.loads(page["markets"][0]["clobTokenIds"])) == 2
    rest = await read(served, "/markets/keyset", limit=100, after_cursor=page["next_cursor"])
    assert len(rest["markets"]) == 5
    assert "next_cursor" not in rest
    async with httpx.AsyncClient(base_url=served.url) as http:
        assert (await http.get("/markets/keyset", params={"offset": 5})).status_code == 422
        assert (await http.get("/markets", params={"offset": 2_001})).status_code == 422
        shy = await http.get("/markets", headers={"User-Agent": "Python-urllib/3.11"})
        assert shy.status_code == 403


async def test_gamma_filters_by_token_slug_version_and_closing(served: Served) -> None:
    market = by_slug(served, RAIN)
    for query in ({"clob_token_ids": market.tokens[1]}, {"slug": RAIN}, {"id": market.gamma_id}):
        page = await read(served, "/markets/keyset", **query)
        assert [row["slug"] for row in page["markets"]] == [RAIN]
    page = await read(served, "/events/keyset", version="v2")
    assert [row["markets"][0]["slug"] for row in page["events"]] == [BRIDGE]
    await served.control("resolve", condition=market.condition, payout=1)
    assert len((await read(served, "/markets/keyset"))["markets"]) == 6
    (closed,) = (await read(served, "/markets/keyset", closed="true"))["markets"]
    assert json.loads(closed["outcomePrices"]) == ["1", "0"]
    assert (closed["acceptingOrders"], closed["umaResolutionStatus"]) == (False, "resolved")
    one = await read(served, f"/markets/slug/{RAIN}")
    assert one["conditionId"] == market.condition


async def test_gamma_is_as_old_as_its_cache(served: Served) -> None:
    market = by_slug(served, RAIN)
    await served.control("settings", gamma_stale_s=300)
    assert (await read(served, f"/markets/slug/{RAIN}"))["orderPriceMinTickSize"] == 0.01
    await served.control("tick", condition=market.condition, tick="0.001")
    assert (await read(served, f"/markets/slug/{RAIN}"))["orderPriceMinTickSize"] == 0.01
    assert (await read(served, f"/clob-markets/{market.condition}"))["mts"] == 0.001
    await served.control("clock", skip_ms=301_000)
    assert (await read(served, f"/markets/slug/{RAIN}"))["orderPriceMinTickSize"] == 0.001


async def test_young_market_is_known_to_gamma_first(served: Served) -> None:
    young = await served.control("markets", slug="young", hydrates_in_s=120)
    assert (await read(served, "/markets/slug/young"))["active"] is True
    path = f"/clob-markets/{young['condition']}"
    assert await read(served, path) == {"error": "market not found"}
    await served.control("clock", skip_ms=121_000)
    assert (await read(served, path))["c"] == young["condition"]


async def test_series_rolls_and_pays_without_anybody_asking() -> None:
    async with serving(quick(), clock=Clock(NOW_NS)) as served:
        series = Series(served.venue, asset="btc", minutes=5)
        series.start()
        first = min(series.windows)
        slug = f"btc-updown-5m-{first // 10**9}"
        row = await read(served, f"/markets/slug/{slug}")
        assert json.loads(row["outcomes"]) == ["Up", "Down"]
        served.venue.settings.skew_s_max = 0  # the venue's clock stands still, the signer's not
        async with Trader(served) as trader:
            await trader.place(by_slug(served, slug), "BUY", "0.40", "10")
            await served.control("clock", skip_ms=301_000)
            assert (await trader.fetch("GET", "/data/orders"))["data"] == []
        row = await read(served, f"/markets/slug/{slug}")
        assert row["closed"] is True
        page = await read(served, "/events/keyset", series_slug="btc-updown-5m")
        assert len(page["events"]) == 3


async def test_geoblock_says_where_one_is(served: Served) -> None:
    answer = await read(served, "/api/geoblock")
    assert (answer["blocked"], set(answer)) == (False, {"blocked", "ip", "country", "region"})


# -- Data ------------------------------------------------------------------------------------------


async def test_positions_trades_and_value_lag_behind_the_chain(served: Served) -> None:
    market = by_slug(served, RAIN)
    await served.control("settings", data_lag_s=30)
    async with Trader(served, kind=3) as maker, Trader(served, 2, kind=3) as taker:
        await maker.place(market, "BUY", "0.45", "10", outcome=1)
        await taker.place(market, "BUY", "0.55", "10")
        await served.control("clock", skip_ms=5_000)
        await served.control("clock", skip_ms=5_000)
        assert (await read(served, "/v2/positions", user=taker.wallet))["data"] == []
        await served.control("clock", skip_ms=40_000)
        async with AsyncPublicClient(environment=environment(served)) as sdk:
            (held,) = (await sdk.list_positions(user=taker.wallet).first_page()).items
            assert (held.asset_id, held.current_size) == (market.tokens[0], 10)
            assert (str(held.avg_price), str(held.entry_cost_usdc)) == ("0.55", "5.5")
            (tape,) = (await sdk.list_trades(user=maker.wallet).first_page()).items
            assert (tape.side, str(tape.price)) == ("BUY", "0.45")
            worth = await sdk.get_portfolio_value(user=taker.wallet)
            assert worth.value == 5
    wrong = await read(served, "/v2/positions", user="nobody")
    assert set(wrong) == {"error", "code", "retryable", "trace_id"}


# -- relayer ---------------------------------------------------------------------------------------


async def test_deposit_wallet_splits_and_merges_through_the_relayer(served: Served) -> None:
    account = signer(1)
    sdk = await AsyncSecureClient.create(
        private_key=account.key.hex(),
        wallet=wallet(account, 3),
        environment=environment(served),
        api_key=RelayerApiKey(key="relay", address=account.address),
    )
    await served.control("settings", relayer_s=0.02)
    await sdk.get_balance_allowance(asset_type="COLLATERAL")
    for slug, kind in ((RAIN, "CONDITIONAL"), (BRIDGE, "CONDITIONAL-V2")):
        market = by_slug(served, slug)
        handle = await sdk.split_position(condition_id=market.condition, amount=30_000_000)
        await handle.wait()
        held = await sdk.get_balance_allowance(asset_type=kind, asset_id=market.tokens[0])
        assert held.balance == 30_000_000
        handle = await sdk.merge_positions(condition_id=market.condition, amount=10_000_000)
        await handle.wait()
        left = served.venue.exchange.positions(sdk.wallet)
        assert {size for instrument, _, size in left if instrument == market.instrument} == {
            20_000_000
        }
    state = await sdk.get_trading_approvals_state()
    assert state.is_fully_approved
    await sdk.close()


async def test_winners_are_redeemed_through_the_relayer_and_listed(served: Served) -> None:
    account = signer(1)
    sdk = await AsyncSecureClient.create(
        private_key=account.key.hex(),
        wallet=wallet(account, 3),
        environment=environment(served),
        api_key=RelayerApiKey(key="relay", address=account.address),
    )
    await served.control("settings", relayer_s=0.02, data_lag_s=0.0)
    before = (await sdk.get_balance_allowance(asset_type="COLLATERAL")).balance
    market = by_slug(served, RAIN)
    handle = await sdk.split_position(condition_id=market.condition, amount=30_000_000)
    await handle.wait()
    await served.control("resolve", condition=market.condition, payout=1)
    assert len(served.venue.exchange.positions(sdk.wallet)) == 2
    handle = await sdk.redeem_positions(condition_id=market.condition)
    await handle.wait()
    assert served.venue.exchange.positions(sdk.wallet) == []
    assert served.venue.exchange.wallet(sdk.wallet).cash == before
    page = await sdk.list_activity(user=sdk.wallet, activity_types=["REDEEM"]).first_page()
    (paid,) = page.items
    assert (paid.amount, paid.condition_id) == (30, market.condition)
    await sdk.close()


async def test_undeployed_deposit_wallet_is_deployed_by_the_sdk(served: Served) -> None:
    account = signer(1)
    beacon = wallets_of(account.address).deposit_beacon
    served.venue.ledger.undeployed |= {wallet(account, 3), beacon}
    sdk = await AsyncSecureClient.create(
        private_key=account.key.hex(),
        environment=environment(served),
        api_key=RelayerApiKey(key="relay", address=account.address),
    )
    assert sdk.wallet == beacon
    await sdk.close()


# -- the program -----------------------------------------------------------------------------------


@pytest.mark.long
async def test_program_serves_everything_on_one_port_at_once() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.fakes.polymarket", "--port", "0", "--crowd", "200"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        async with asyncio.timeout(150):
            line = (await program.stdout.readline()).decode()
        url = line.split()[4]
        async with httpx.AsyncClient(base_url=url) as http:
            page = (await http.get("/markets/keyset", params={"limit": 100})).json()
            assert len(page["markets"]) == 10
            assert all(row["acceptingOrders"] for row in page["markets"])
            await asyncio.sleep(0.3)
            seen = (await http.get("/__fake__")).json()
            assert seen["batches"] > 5
            assert (await http.get("/__fake__/invariants")).json()["problems"] == []
    finally:
        program.terminate()
        await program.wait()


async def test_same_seed_gives_the_same_venue() -> None:
    runs = []
    for _ in range(2):
        async with serving(quick(), clock=Clock(NOW_NS)) as served:
            Crowd(served.venue, per_s=100).start()
            served.venue.clock.skip(5_000_000_000)
            served.venue.pump()
            books = [wire.rest(leg) for wire in served.venue.books.values() for leg in ("yes",)]
            runs.append((books, list(served.venue.exchange.worker.trades)))
    assert runs[0] == runs[1]
    assert runs[0][1]
