"""Keys and questions of an account (polymarket.md §2.1, §3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from engine.domain.orders import Identity
from tests.fakes.polymarket.auth import ApiKey
from tests.fakes.polymarket.clob_rows import iso
from tests.fakes.polymarket.contracts import PUSD
from tests.fakes.polymarket.ledger import CASH
from tests.fakes.polymarket.limits import TIERS
from tests.fakes.polymarket.refusal import BAD_PAYLOAD, BAD_TOKEN, Refused
from tests.fakes.polymarket.rows import order_row, rest_trade
from tests.fakes.polymarket.settlement import Trade
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import VENUE, answer, body_of, key_of, page, venue_of

S = 1_000_000_000
routes = web.RouteTableDef()


# -- keys ------------------------------------------------------------------------------------------


@routes.post("/auth/api-key")
async def create_key(request: web.Request) -> web.Response:
    """Make a key for (address, nonce)."""
    return answer(request.app[VENUE].auth.create(request.headers).credentials())


@routes.get("/auth/derive-api-key")
async def derive_key(request: web.Request) -> web.Response:
    """Return the key of (address, nonce)."""
    return answer(request.app[VENUE].auth.derive(request.headers).credentials())


@routes.get("/auth/api-keys")
async def list_keys(request: web.Request) -> web.Response:
    """Return the names of the signer's keys."""
    key = await key_of(request)
    return answer({"apiKeys": request.app[VENUE].auth.keys_of(key.signer)})


@routes.delete("/auth/api-key")
async def drop_key(request: web.Request) -> web.Response:
    """Delete the key that signs this request."""
    request.app[VENUE].auth.drop(await key_of(request))
    return answer("OK")


@routes.get("/auth/ban-status/closed-only")
async def closed_only(request: web.Request) -> web.Response:
    """Say whether the signer may only close."""
    key = await key_of(request)
    return answer({"closed_only": key.signer in request.app[VENUE].auth.closed_only})


@routes.get("/v1/user/rate-limit-tier")
async def rate_tier(request: web.Request) -> web.Response:
    """Return the signer's tier."""
    key, venue = await key_of(request), venue_of(request)
    tier = venue.limits.tier(key.signer)
    rates = dict(
        zip(("orders", "orders_burst", "cancels", "cancels_burst"), TIERS[tier], strict=True)
    )
    return answer({"tier": tier, **rates})


# -- orders and trades -----------------------------------------------------------------------------


def _row(venue: Venue, order: Any) -> dict[str, Any]:
    market = venue.markets[order.instrument]
    trades = list(venue.user_publisher.trades_of(order.identity))
    return order_row(order, market, trades, venue.settings.quirks)


@routes.get("/data/orders")
async def open_orders(request: web.Request) -> web.Response:
    """List open orders; with `id` one order in any state."""
    key, venue, query = await key_of(request), venue_of(request), request.query
    venue.exchange.guard.check_question()
    if "id" in query:
        found, _ = venue.find_order(key.signer, Identity(query["id"]))
        return answer(page([] if found is None else [_row(venue, found)], None))
    rows = [_row(venue, order) for order in venue.open_orders(key.signer)]
    for name, field in (("market", "market"), ("asset_id", "asset_id")):
        if name in query:
            rows = [row for row in rows if row[field] == query[name]]
    return answer(page(rows, query.get("next_cursor")))


@routes.get("/data/order/{id}")
async def one_order(request: web.Request) -> web.Response:
    """Return an open order; null for one that ended or never was."""
    key, venue = await key_of(request), venue_of(request)
    venue.exchange.guard.check_question()
    order, live = venue.find_order(key.signer, Identity(request.match_info["id"]))
    if order is None or not (live or venue.settings.quirks.terminal_orders):
        return answer(None)
    return answer(_row(venue, order))


@routes.get("/data/trades")
async def trades(request: web.Request) -> web.Response:
    """List the signer's trades, newest first. The token filter looks at the taker's token only."""
    key, venue = await key_of(request), venue_of(request)
    venue.exchange.guard.check_question()
    query = request.query
    found = [
        row
        for trade in reversed(venue.exchange.worker.trades.values())
        if trade.watched
        for row in _mine(venue, key, trade, query.get("maker_address", ""))
        if _matches(row, trade, query)
    ]
    return answer(page(found, query.get("next_cursor")))


def _mine(venue: Venue, key: ApiKey, trade: Trade, wallet: str) -> Iterator[dict[str, Any]]:
    """Give a trade as the signer sees it, if it was part of it."""
    mine = {
        account
        for account in venue.ledger.accounts_of(key.signer)
        if not wallet or account.lower() == wallet.lower()
    }
    took = trade.taker[0].customer in mine
    made = next((fill for fill in trade.makers if fill.customer in mine), None)
    if not took and made is None:
        return
    owner = trade.taker[0].key if took or made is None else made.key
    market = venue.markets[trade.instrument]
    yield rest_trade(trade, market, owner, took=took, quirks=venue.settings.quirks)


def _matches(row: dict[str, Any], trade: Trade, query: Any) -> bool:
    for name in ("id", "market", "asset_id"):
        if name in query and row[name] != query[name]:
            return False
    at_s = trade.at_ns // S
    try:
        return int(query.get("after", 0)) <= at_s <= int(query.get("before", 1 << 60))
    except ValueError:
        raise Refused("Invalid timestamp") from None


@routes.get("/data/pre-migration-orders")
async def old_orders(request: web.Request) -> web.Response:
    """List what was left of the first version: nothing."""
    await key_of(request)
    return answer(page([], None))


# -- money -----------------------------------------------------------------------------------------


async def _asset(request: web.Request) -> tuple[Venue, Any, str]:
    key, venue, query = await key_of(request), venue_of(request), request.query
    kind, token = query.get("asset_type", ""), query.get("token_id", "")
    signature_type = query.get("signature_type", "0")
    if kind not in {"COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2"} or not signature_type.isdigit():
        raise Refused("Invalid asset type")
    account = venue.ledger.wallet(key.signer, int(signature_type))
    if kind == "COLLATERAL":
        return venue, account, CASH
    known = venue.ledger.tokens.get(token)
    if known is None or (known[0].version == "v2") is not (kind == "CONDITIONAL-V2"):
        raise Refused(BAD_TOKEN)
    return venue, account, token


@routes.get("/balance-allowance")
async def balance(request: web.Request) -> web.Response:
    """Return what the venue believes a wallet owns."""
    venue, account, asset = await _asset(request)
    return answer(venue.ledger.answer(account, asset))


@routes.get("/balance-allowance/update")
async def update_balance(request: web.Request) -> web.Response:
    """Look at the chain again."""
    venue, account, asset = await _asset(request)
    venue.ledger.refresh(account, asset)
    return web.Response(text="")


# -- the rest --------------------------------------------------------------------------------------


@routes.get("/order-scoring")
async def scoring(request: web.Request) -> web.Response:
    """Say whether an order scores: it rests, is large enough and its market pays."""
    key, venue = await key_of(request), venue_of(request)
    return answer({"scoring": _scores(venue, key, request.query.get("order_id", ""))})


@routes.post("/orders-scoring")
async def many_scoring(request: web.Request) -> web.Response:
    """Say of many orders whether they score."""
    key, venue, names = await key_of(request), venue_of(request), await body_of(request)
    if not isinstance(names, list):
        raise Refused(BAD_PAYLOAD)
    return answer({str(name): _scores(venue, key, str(name)) for name in names})


def _scores(venue: Venue, key: ApiKey, name: str) -> bool:
    """Say whether an order rests in a market that pays, large enough and inside the band."""
    order, live = venue.find_order(key.signer, Identity(name))
    if order is None or not live:
        return False
    market = venue.markets[order.instrument]
    if market.rewards is None or order.remaining < market.rewards[0] * 10**6:
        return False
    book = venue.books[order.instrument].book
    if not market.rewards_daily:
        return True  # nobody's programme: the size alone is looked at
    if book.best_bid is None or book.best_ask is None:
        return False
    away2 = abs(2 * order.level - book.best_bid - book.best_ask)
    return away2 < 2 * round(market.rewards[1] * 100)


@routes.get("/notifications")
async def notifications(request: web.Request) -> web.Response:
    """List what was not read: this venue writes none."""
    await key_of(request)
    return answer([])


@routes.delete("/notifications")
async def drop_notifications(request: web.Request) -> web.Response:
    """Mark as read."""
    await key_of(request)
    return answer("OK")


@routes.get("/rewards/markets/current")
@routes.get("/rewards/markets/multi")
@routes.get("/rewards/markets/{condition}")
async def rewards(request: web.Request) -> web.Response:
    """List what markets pay: of all that do, or of one."""
    venue, wanted = venue_of(request), request.match_info.get("condition")
    rows = []
    for market in venue.by_condition.values():
        if market.rewards is None or not market.rewards_daily or market.resolved:
            continue
        if wanted in {None, market.condition}:
            config = {"asset_address": PUSD, "start_date": "2024-01-01", "end_date": "2500-12-31"}
            rows.append(
                {
                    "condition_id": market.condition,
                    "rewards_min_size": market.rewards[0],
                    "rewards_max_spread": market.rewards[1],
                    "total_daily_rate": market.rewards_daily,
                    "rewards_config": [config | {"id": 1, "rate_per_day": market.rewards_daily}],
                }
            )
    return answer(page(rows, None))


@routes.get("/rewards/user")
@routes.get("/rewards/user/markets")
async def earnings(request: web.Request) -> web.Response:
    """List what a key's wallets were paid, by day."""
    key, venue = await key_of(request), venue_of(request)
    rows = [
        {"date": (iso(at_ns) or "")[:10], "earnings": micro / 1e6, "maker_address": account}
        for account, kind, micro, at_ns in venue.ledger.income
        if kind == "REWARD" and venue.ledger.signers.get(account) == key.signer
    ]
    return answer(page(rows, None))


@routes.get("/rewards/user/total")
@routes.get("/rewards/user/percentages")
@routes.get("/rebates/current")
async def earned(request: web.Request) -> web.Response:
    """Return what was earned: nothing yet."""
    return answer({} if "percentages" in request.path else [])


@routes.get("/fees/builder-fees/{code}")
async def builder_fees(_: web.Request) -> web.Response:
    """Return a builder's fees: unknown code."""
    raise Refused("builder not found", 404)
