"""The official SDK, async and sync, lives its whole life against the fake venue."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest
from polymarket import AsyncPublicClient, AsyncSecureClient, SecureClient
from polymarket.errors import (
    OrderHeartbeatMismatchError,
    RequestRejectedError,
    UnexpectedResponseError,
)
from polymarket.models import ApiKeyCreds
from polymarket.streams import MarketSpec, UserSpec

from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.kit import (
    BRIDGE,
    CUP,
    RAIN,
    Trader,
    by_slug,
    environment,
    signer,
    wallet,
)

pytestmark = pytest.mark.usefixtures("one_tls_context")

MARKETS = [RAIN, CUP, BRIDGE]


async def client(served: Served, kind: int, number: int = 1) -> AsyncSecureClient:
    account = signer(number)
    return await AsyncSecureClient.create(
        private_key=account.key.hex(),
        wallet=wallet(account, kind),
        environment=environment(served),
    )


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("kind", "slug"),
    [(0, RAIN), (0, BRIDGE), (1, CUP), (1, BRIDGE), (2, RAIN), (2, BRIDGE), (3, CUP), (3, BRIDGE)],
)
async def test_async_client_places_matches_lists_and_cancels(
    served: Served, kind: int, slug: str
) -> None:
    market = by_slug(served, slug)
    async with Trader(served, 2) as maker:
        await maker.place(market, "BUY", "0.55", "100", outcome=1)
    sdk = await client(served, kind)
    resting = await sdk.post_order(
        await sdk.create_limit_order(
            asset_id=market.tokens[0], price="0.40", size="10", side="BUY", post_only=True
        )
    )
    assert resting.ok
    assert resting.status == "live"
    crossing = await sdk.create_limit_order(
        asset_id=market.tokens[0], price="0.46", size="12", side="BUY"
    )
    matched = await sdk.post_order(crossing)
    assert matched.ok
    assert matched.status == "matched"
    assert (matched.making_amount, matched.taking_amount) == (Decimal("5.4"), Decimal(12))
    assert matched.transactions_hashes == ()
    hashes = await sdk.wait_for_order_fill_settlement(matched)
    assert len(hashes) == 1

    page = await sdk.list_open_orders().first_page()
    assert [order.id for order in page.items] == [resting.order_id]
    assert (await sdk.get_order(order_id=resting.order_id)).original_size == 10
    trades = (await sdk.list_account_trades().first_page()).items
    assert [(trade.trader_side, trade.size) for trade in trades] == [("TAKER", Decimal(12))]
    assert trades[0].maker_orders[0].price == Decimal("0.55")
    answer = await sdk.cancel_order(order_id=resting.order_id)
    assert answer.canceled == (resting.order_id,)
    assert not (await sdk.list_open_orders().first_page()).items
    assert served.venue.auth.verified["orders"] == 3
    await sdk.close()


async def test_market_orders_cross_and_kill(served: Served) -> None:
    market = by_slug(served, RAIN)
    sdk = await client(served, 3)
    async with Trader(served, 2) as maker:
        await maker.rich(market)
        await maker.place(market, "SELL", "0.50", "20")
        spent = await sdk.post_order(
            await sdk.create_market_order(
                asset_id=market.tokens[0], side="BUY", amount=4, max_price="0.52", order_type="FOK"
            )
        )
        assert spent.ok
        assert (spent.making_amount, spent.taking_amount) == (Decimal(4), Decimal(8))
        too_much = await sdk.create_market_order(
            asset_id=market.tokens[0], side="BUY", amount=40, max_price="0.52", order_type="FOK"
        )
        with pytest.raises(RequestRejectedError, match="fully filled or killed"):
            await sdk.post_order(too_much)
        partly = await sdk.post_order(
            await sdk.create_market_order(
                asset_id=market.tokens[0], side="BUY", amount=40, max_price="0.52", order_type="FAK"
            )
        )
        assert partly.ok
        assert partly.taking_amount == 12
    await sdk.close()


async def test_batch_is_answered_leg_by_leg(served: Served) -> None:
    market = by_slug(served, RAIN)
    sdk = await client(served, 0)
    legs = [
        await sdk.create_limit_order(
            asset_id=market.tokens[0], price="0.30", size=str(size), side="BUY"
        )
        for size in (10, 40_000, 20)
    ]
    first, poor, last = await sdk.post_orders(legs)
    assert first.ok
    assert last.ok
    assert not poor.ok
    assert poor.code == "not_enough_balance"
    answer = await sdk.cancel_orders(order_ids=[first.order_id, last.order_id, "0x" + "0" * 64])
    assert set(answer.canceled) == {first.order_id, last.order_id}
    assert list(answer.not_canceled.values()) == ["Order not found or already canceled"]
    with pytest.raises(RequestRejectedError, match=r"is invalid\. Duplicated\."):
        await sdk.post_order(legs[0])
    await sdk.close()


async def test_heartbeat_chain_and_account_questions(served: Served) -> None:
    sdk = await client(served, 3)
    first = await sdk.send_order_heartbeat()
    second = await sdk.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    with pytest.raises(OrderHeartbeatMismatchError) as wrong:
        await sdk.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    assert wrong.value.heartbeat_id == second.heartbeat_id
    balance = await sdk.get_balance_allowance(asset_type="COLLATERAL")
    assert balance.balance == 10_000 * 10**6
    v1, v2 = by_slug(served, RAIN).tokens[0], by_slug(served, BRIDGE).tokens[0]
    for kind, token in (("CONDITIONAL", v1), ("CONDITIONAL-V2", v2)):
        held = await sdk.get_balance_allowance(asset_type=kind, asset_id=token)
        assert held.balance == 0
    assert await sdk.get_closed_only_mode() is False
    assert await sdk.get_order_scoring(order_id="0x" + "1" * 64) is False
    assert await sdk.fetch_api_keys() == (sdk.credentials.key,)
    assert (await sdk.cancel_all()).canceled == ()
    await sdk.close()


async def test_keys_are_created_once_then_derived_and_revoked(served: Served) -> None:
    one, two = await client(served, 0), await client(served, 0)
    assert one.credentials.key == two.credentials.key
    kept = ApiKeyCreds.model_validate(
        {
            "apiKey": one.credentials.key,
            "secret": one.credentials.secret,
            "passphrase": one.credentials.passphrase,
        }
    )
    account = signer(1)
    three = await AsyncSecureClient.create(
        private_key=account.key.hex(),
        wallet=account.address,
        environment=environment(served),
        credentials=kept,
    )
    assert three.credentials.key == one.credentials.key
    await one.delete_api_key()
    with pytest.raises(RequestRejectedError, match="Unauthorized"):
        await two.cancel_all()
    for sdk in (one, two, three):
        await sdk.close()


@pytest.mark.parametrize("kind", [0, 3])
async def test_sync_client_lives_its_life(served: Served, kind: int) -> None:
    await asyncio.to_thread(_sync_life, served, kind)
    assert served.venue.auth.verified["orders"] == 4


def _sync_life(served: Served, kind: int) -> None:
    account = signer(1)
    with SecureClient.create(
        private_key=account.key.hex(),
        wallet=wallet(account, kind),
        environment=environment(served),
    ) as sdk:
        placed = [
            sdk.post_order(
                sdk.create_limit_order(
                    asset_id=by_slug(served, slug).tokens[0], price="0.40", size="10", side="BUY"
                )
            )
            for slug in MARKETS
        ]
        assert all(order.ok for order in placed)
        against = sdk.post_order(
            sdk.create_limit_order(
                asset_id=by_slug(served, RAIN).tokens[1], price="0.60", size="10", side="BUY"
            )
        )
        assert against.status == "matched"
        sdk.wait_for_order_fill_settlement(against)
        assert len(sdk.list_open_orders().first_page().items) == 2
        assert len(sdk.list_account_trades().first_page().items) == 1
        beat = sdk.send_order_heartbeat()
        sdk.send_order_heartbeat(heartbeat_id=beat.heartbeat_id)
        # The venue looks again some time after a settlement; until then it tells what it knew.
        while sdk.get_balance_allowance(asset_type="COLLATERAL").balance == 10_000 * 10**6:
            time.sleep(0.01)
        assert len(sdk.cancel_all().canceled) == 2


async def test_wallet_is_found_when_none_is_named(served: Served) -> None:
    account = signer(1)
    sdk = await AsyncSecureClient.create(
        private_key=account.key.hex(), environment=environment(served)
    )
    assert sdk.wallet == wallet(account, 3)
    await sdk.close()


async def test_rate_limit_headers_reach_the_client(served: Served) -> None:
    account, seen = signer(1), []
    sdk = await AsyncSecureClient.create(
        private_key=account.key.hex(),
        wallet=account.address,
        environment=environment(served),
        on_rate_limit_update=seen.append,
    )
    await sdk.cancel_all()
    assert (seen[-1].tier, seen[-1].remaining) == ("Standard", 119.0)
    await sdk.close()


async def test_streams_parse_every_event(served: Served) -> None:
    market = by_slug(served, RAIN)
    sdk, seen = await client(served, 3), []
    specs = [
        MarketSpec(token_ids=list(market.tokens), custom_feature_enabled=True),
        UserSpec(),
    ]
    async with Trader(served, 2) as maker, await sdk.subscribe(specs) as handle:
        await served.listening(market=1, user=1)
        resting = await sdk.post_order(
            await sdk.create_limit_order(
                asset_id=market.tokens[0], price="0.40", size="10", side="BUY"
            )
        )
        await maker.rich(market)
        await maker.place(market, "SELL", "0.40", "6")
        await sdk.cancel_order(order_id=resting.order_id)
        wanted = {"order": 3, "trade": 3, "book": 4, "price_change": 3, "last_trade_price": 1}
        async with asyncio.timeout(150):
            async for event in handle:
                seen.append(event)
                counts = {kind: sum(e.type == kind for e in seen) for kind in wanted}
                if all(counts[kind] >= least for kind, least in wanted.items()):
                    break
        assert handle.dropped == 0
    kinds = [e.payload.order_event_type for e in seen if e.type == "order"]
    assert kinds == ["PLACEMENT", "UPDATE", "CANCELLATION"]
    states = [e.payload.status for e in seen if e.type == "trade"]
    assert states == ["MATCHED", "MINED", "CONFIRMED"]
    await sdk.close()


async def test_public_client_reads_markets(served: Served) -> None:
    async with AsyncPublicClient(environment=environment(served)) as sdk:
        market = by_slug(served, RAIN)
        book = await sdk.get_order_book(asset_id=market.tokens[0])
        assert book.market == market.condition
        found = await sdk.list_markets().first_page()
        assert {item.version for item in found.items} == {"v1", "v2"}


async def test_replies_the_sdk_misreads_are_there_to_be_had(served: Served) -> None:
    market = by_slug(served, RAIN)
    sdk = await client(served, 0)

    async def post() -> object:
        order = await sdk.create_limit_order(
            asset_id=market.tokens[0], price="0.40", size="10", side="BUY"
        )
        return await sdk.post_order(order)

    await served.control("settings", quirks={"unmatched_status": True})
    answer = await post()
    assert answer.code == "unmatched"
    await served.control("settings", quirks={"unmatched_status": False, "null_fields": True})
    with pytest.raises(UnexpectedResponseError):
        await post()
    # Both rest all the same.
    assert len((await sdk.list_open_orders().first_page()).items) == 2
    await sdk.close()


async def test_older_and_prefixed_shapes(served: Served) -> None:
    market = by_slug(served, RAIN)
    quirks = {"old_allowance": True, "prefixed_orders": True}
    await served.control("settings", quirks=quirks)
    async with Trader(served) as trader:
        await trader.place(market, "BUY", "0.40", "10")
        (row,) = (await trader.fetch("GET", "/data/orders"))["data"]
        assert row["status"] == "ORDER_STATUS_LIVE"
        query = {"asset_type": "COLLATERAL", "signature_type": "0"}
        assert set(await trader.fetch("GET", "/balance-allowance", **query)) == {
            "balance",
            "allowance",
        }
