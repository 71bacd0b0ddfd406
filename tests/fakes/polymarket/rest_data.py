"""The Data API, version 2: indexed from the chain, so it lags (polymarket.md §3.6)."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, Leg, Side
from engine.venues.demo.orders import Converted, Fill, Redeemed
from tests.fakes.polymarket import contracts
from tests.fakes.polymarket.clob_rows import iso, value
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.refusal import Refused
from tests.fakes.polymarket.settings import S
from tests.fakes.polymarket.settlement import Trade
from tests.fakes.polymarket.signing import address
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import answer, venue_of

LIMIT_MAX = 1_000
routes = web.RouteTableDef()
Row = dict[str, Any]


class Holding(msgspec.Struct):
    """What trades made of one token in one wallet. Shares and money in millionths."""

    shares: int = 0
    bought: int = 0
    cost: int = 0
    fees: int = 0
    realized: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def take(self, fill: Fill, at_ns: int) -> None:
        """Take one confirmed fill."""
        self.first_ns = self.first_ns or at_ns
        self.last_ns = at_ns
        if fill.side is Side.BUY:
            self.shares += fill.size
            self.bought += fill.size
            self.cost += fill.amount_micro
            self.fees += fill.fee_micro
            return
        average = self.cost * fill.size // self.shares if self.shares else 0
        self.realized += fill.amount_micro - fill.fee_micro - average
        self.cost -= average
        self.shares -= fill.size


def _bad(text: str) -> Refused:
    trace = sha256(text.encode()).hexdigest()[:16]
    return Refused(text, extra={"code": "bad_request", "retryable": False, "trace_id": trace})


def _user(request: web.Request) -> AccountId:
    try:
        return AccountId(address(request.query["user"]))
    except (KeyError, Refused):
        raise _bad("user must be a wallet address") from None


def _indexed(venue: Venue) -> list[Trade]:
    """Return the trades the index has seen: confirmed, and some time ago."""
    latest = venue.exchange.now_ns - int(venue.settings.data_lag_s * S)
    return [
        trade
        for trade in venue.exchange.worker.trades.values()
        if trade.state is FillState.CONFIRMED and trade.moved_ns <= latest
    ]


def _conditions(request: web.Request) -> set[str]:
    found: set[str] = set()
    for text in request.query.getall("condition_id", []):
        found.update(text.split(","))
    if len(found) > 20:
        raise _bad("at most 20 condition_id values")
    return found


def _page(request: web.Request, rows: list[Row]) -> web.Response:
    limit = request.query.get("limit", "100")
    if not limit.isdigit():
        raise _bad("limit must be a number")
    size = max(1, min(LIMIT_MAX, int(limit)))
    try:
        start = int(base64.b64decode(request.query.get("cursor", "") or "MA=="))
    except (binascii.Error, ValueError):
        raise _bad("invalid cursor") from None
    more = start + size < len(rows)
    cursor = base64.b64encode(str(start + size).encode()).decode() if more else None
    pagination = {"has_more": more, "next_cursor": cursor}
    return answer({"data": rows[start : start + size], "pagination": pagination})


# -- positions -------------------------------------------------------------------------------------


def _holdings(venue: Venue, user: AccountId) -> dict[tuple[str, Leg], Holding]:
    found: dict[tuple[str, Leg], Holding] = {}
    for trade in _indexed(venue):
        for fill in (*trade.taker, *trade.makers):
            if fill.customer == user:
                name = (venue.markets[fill.instrument].condition, fill.leg)
                found.setdefault(name, Holding()).take(fill, trade.moved_ns)
    for conversion in _conversions(venue, user):
        condition = venue.markets[conversion.instrument].condition
        for leg in (Leg.YES, Leg.NO):
            found.setdefault((condition, leg), Holding()).shares += conversion.size
    for paid in _redemptions(venue, user):
        condition = venue.markets[paid.instrument].condition
        for leg, gone in ((Leg.YES, paid.yes), (Leg.NO, paid.no)):
            if (condition, leg) in found:
                found[condition, leg].shares -= gone
    return found


def _conversions(venue: Venue, user: AccountId) -> list[Converted]:
    """Return the splits and merges the index has seen."""
    latest = venue.exchange.now_ns - int(venue.settings.data_lag_s * S)
    if user not in venue.exchange.order_entry.accounts:
        return []
    return [one for one in venue.exchange.account(user).conversions if one.at_ns <= latest]


def _redemptions(venue: Venue, user: AccountId) -> list[Redeemed]:
    """Return the redemptions the index has seen."""
    latest = venue.exchange.now_ns - int(venue.settings.data_lag_s * S)
    if user not in venue.exchange.order_entry.accounts:
        return []
    return [one for one in venue.exchange.account(user).redemptions if one.at_ns <= latest]


def _position(venue: Venue, user: AccountId, market: Listed, leg: Leg, held: Holding) -> Row:
    price = value(venue, market, leg)
    shares, cost = held.shares / 1e6, held.cost / 1e6
    worth = shares * price
    gained, realized = worth - cost, held.realized / 1e6
    other = Leg.NO if leg is Leg.YES else Leg.YES
    spent = cost or 1.0
    status = "REDEEMABLE" if market.resolved else "OPEN"
    return {
        "proxy_wallet": user,
        "token_id": market.token(leg),
        "condition_id": market.condition,
        "current_size": shares,
        "avg_price": cost / shares if shares else 0,
        "entry_cost_usdc": cost,
        "entry_fees_usdc": held.fees / 1e6,
        "total_cost_usdc": cost + held.fees / 1e6,
        "current_price": price,
        "current_value": worth,
        "total_size": held.bought / 1e6,
        "realized_pnl": realized,
        "unrealized_pnl": gained,
        "total_pnl": gained + realized,
        "percent_pnl": 100 * gained / spent,
        "percent_realized_pnl": 100 * realized / spent,
        "status": status if held.shares else "CLOSED",
        "redeemable": market.resolved and held.shares > 0,
        "mergeable": False,
        "negative_risk": market.neg_risk,
        "archived": False,
        "verified": True,
        "title": market.question,
        "slug": market.slug,
        "event_slug": market.slug,
        "outcome": market.outcome(leg),
        "outcome_index": 0 if leg is Leg.YES else 1,
        "opposite_outcome": market.outcome(other),
        "opposite_token_id": market.token(other),
        "end_date": (iso(market.end_ns) or "")[:10] or None,
        "first_entry_at": held.first_ns // S,
        "last_event_at": held.last_ns // S,
    }


@routes.get("/v2/positions")
async def positions(request: web.Request) -> web.Response:
    """Return a wallet's positions."""
    venue, user, conditions = venue_of(request), _user(request), _conditions(request)
    status = request.query.get("status", "OPEN")
    rows = [
        _position(venue, user, venue.by_condition[condition], leg, held)
        for (condition, leg), held in _holdings(venue, user).items()
        if not conditions or condition in conditions
    ]
    return _page(request, [row for row in rows if row["status"] == status])


@routes.get("/v2/value")
async def portfolio(request: web.Request) -> web.Response:
    """Return what a wallet's positions are worth."""
    venue, user = venue_of(request), _user(request)
    worth = sum(
        held.shares / 1e6 * value(venue, venue.by_condition[condition], leg)
        for (condition, leg), held in _holdings(venue, user).items()
    )
    return answer({"data": {"proxy_wallet": user, "value": worth}})


# -- trades ----------------------------------------------------------------------------------------


def _trade_row(venue: Venue, trade: Trade, fill: Fill) -> Row:
    market = venue.markets[fill.instrument]
    return {
        "proxy_wallet": fill.customer,
        "token_id": market.token(fill.leg),
        "condition_id": market.condition,
        "side": fill.side.value.upper(),
        "size": fill.size / 1e6,
        "price": fill.price / 1e4,
        "timestamp": trade.at_ns // S,
        "transaction_hash": trade.tx_hash,
        "title": market.question,
        "slug": market.slug,
        "event_slug": market.slug,
        "outcome": market.outcome(fill.leg),
        "outcome_index": 0 if fill.leg is Leg.YES else 1,
    }


def _trades(request: web.Request) -> list[Row]:
    venue, conditions = venue_of(request), _conditions(request)
    user = _user(request) if "user" in request.query else None
    rows = []
    for trade in reversed(_indexed(venue)):
        if conditions and venue.markets[trade.instrument].condition not in conditions:
            continue
        fills = trade.taker if user is None else (*trade.taker, *trade.makers)
        rows += [
            _trade_row(venue, trade, fill)
            for fill in fills
            if user is None or fill.customer == user
        ]
    return rows


@routes.get("/v2/trades")
async def trades(request: web.Request) -> web.Response:
    """Return the public tape, or a wallet's trades."""
    return _page(request, _trades(request))


def _wallet_row(venue: Venue, user: AccountId, paid: Redeemed | Converted) -> Row:
    market = venue.markets[paid.instrument]
    kind = "REDEEM"
    if isinstance(paid, Converted):
        kind = "SPLIT" if paid.size > 0 else "MERGE"
    return {
        "type": kind,
        "proxy_wallet": user,
        "condition_id": market.condition,
        "size": paid.amount_micro / 1e6,
        "usdc_size": paid.amount_micro / 1e6,
        "timestamp": paid.at_ns // S,
        "transaction_hash": "0x" + sha256(paid.transaction.encode()).hexdigest(),
        "title": market.question,
        "slug": market.slug,
        "event_slug": market.slug,
        "outcome": "",
        "outcome_index": 999,
    }


def _income_rows(venue: Venue, user: AccountId) -> list[Row]:
    latest = venue.exchange.now_ns - int(venue.settings.data_lag_s * S)
    return [
        {
            "type": kind,
            "proxy_wallet": user,
            "usdc_size": micro / 1e6,
            "timestamp": at_ns // S,
            "transaction_hash": "0x" + sha256(f"{kind} {at_ns}".encode()).hexdigest(),
        }
        for account, kind, micro, at_ns in venue.ledger.income
        if account == user and at_ns <= latest
    ]


@routes.get("/v2/activity")
async def activity(request: web.Request) -> web.Response:
    """Return what a wallet did, newest first: trades, redemptions and what it was paid."""
    venue, user = venue_of(request), _user(request)
    kinds = {kind for text in request.query.getall("type", []) for kind in text.split(",")}
    start = request.query.get("start", "0")
    if not start.isdigit():
        raise _bad("start must be a time in seconds")
    rows = [
        row | {"type": "TRADE", "usdc_size": row["size"] * row["price"]} for row in _trades(request)
    ]
    facts: list[Redeemed | Converted] = [
        *_redemptions(venue, user),
        *_conversions(venue, user),
    ]
    rows += [_wallet_row(venue, user, one) for one in reversed(facts)]
    rows += _income_rows(venue, user)
    rows = [
        row
        for row in sorted(rows, key=lambda row: -row["timestamp"])
        if row["timestamp"] >= int(start) and (not kinds or row["type"] in kinds)
    ]
    return _page(request, rows)


@routes.get("/v2/approvals")
async def approvals(request: web.Request) -> web.Response:
    """Return a wallet's approvals of every contract that must be approved."""
    venue, user = venue_of(request), _user(request)
    cash, tokens = contracts.PUSD, contracts.CONDITIONAL_TOKENS
    spenders = (
        contracts.STANDARD_EXCHANGE,
        contracts.NEG_RISK_EXCHANGE,
        contracts.COLLATERAL_ADAPTER,
        contracts.NEG_RISK_COLLATERAL_ADAPTER,
        contracts.ROUTER,
        contracts.EXCHANGE_V3,
        contracts.PERPS_DEPOSIT,
    )
    operators = (
        *spenders[:4],
        contracts.AUTO_REDEEMER,
        contracts.BINARY_MODULE,
        contracts.NEG_RISK_MODULE,
    )
    managers = (contracts.ROUTER, contracts.EXCHANGE_V3, contracts.AUTO_REDEEMER)
    allowance = venue.ledger.allowances.get(user)
    amount = "max" if allowance is None else str(allowance)
    plain = {"approved": allowance is None or allowance > 0}
    rows = [
        {"token": cash, "spender": name, "standard": "ERC20", "amount": amount} | plain
        for name in spenders
    ]
    for token, names in ((tokens, operators), (contracts.POSITION_MANAGER, managers)):
        rows += [{"token": token, "spender": name, "standard": "ERC1155"} | plain for name in names]
    return answer({"data": {"address": user, "chain_id": contracts.CHAIN, "contracts": rows}})
