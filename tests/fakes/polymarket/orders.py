"""From a posted order to the exchange's ticket and back to the venue's reply.

Checks in the venue's order: payload and owner, signature, market, tick, minimum, decimals, $1,
duplicate, believed balance; expiry, funds and crossing are the exchange's (polymarket.md §8 C).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import msgspec

from engine.domain.instruments import AccountId, Leg, Side
from engine.domain.orders import Identity, OrderState, OrderType
from engine.runtime import refusals as rules
from engine.venues.demo.matching import yes_level
from engine.venues.demo.orders import RestingOrder, StandingOrder, Ticket
from tests.fakes.polymarket.auth import ApiKey
from tests.fakes.polymarket.books import size_text
from tests.fakes.polymarket.ledger import CASH
from tests.fakes.polymarket.listing import LOT, SHARE, TICKS, Listed, ticks
from tests.fakes.polymarket.posted import Posted, read
from tests.fakes.polymarket.refusal import (
    EOA_REFUSED,
    LIMIT_DECIMALS,
    MARKET_DECIMALS,
    NO_BOOK,
    NOT_OWNER,
    NOT_READY_MARKET,
    NOT_SIGNER,
    Refused,
    closed_only,
)
from tests.fakes.polymarket.signing import verify_order, wallets_of
from tests.fakes.polymarket.venue import Venue

USD = 1_000_000
DEPTH = 1 << 62


class Accepted(msgspec.Struct, kw_only=True):
    """A posted order that passed every check but the exchange's own."""

    id: Identity
    account: AccountId
    market: Listed
    ticket: Ticket


def check(venue: Venue, key: ApiKey, body: object) -> Accepted:
    """Check a posted order. Raises Refused with the venue's text."""
    posted = read(body)
    order = posted.order
    if posted.owner != key.key:
        raise Refused(NOT_OWNER)
    _check_signer(venue, key, posted)
    found = venue.ledger.tokens.get(str(order.token_id))
    if found is None:
        raise Refused(NO_BOOK)
    market, leg = found
    identity = Identity(verify_order(order, key.signer, market.version, neg_risk=market.neg_risk))
    venue.auth.verified["orders"] += 1
    if venue.exchange.now_ns < market.hydrates_ns:
        raise Refused(NOT_READY_MARKET)
    if not venue.accepting(market):
        raise Refused(NO_BOOK)
    price = _check_amounts(venue, market, posted, identity)
    if venue.find_order(key.signer, identity)[0] is not None:
        raise Refused(f"order {identity} is invalid. Duplicated.")
    account = venue.ledger.ensure(order.maker, key.signer)
    size = order.taker_amount if order.buy else order.maker_amount
    if posted.market and order.buy:
        size = _budget_size(venue, market, leg, (price, order.maker_amount))
    asset = CASH if order.buy else str(order.token_id)
    venue.ledger.check(account, asset, order.maker_amount)
    ticket = Ticket(
        identity=identity,
        instrument=market.instrument,
        leg=leg,
        side=Side.BUY if order.buy else Side.SELL,
        price=price,
        size=size,
        type=posted.type,
        post_only=posted.post_only,
        expires_ns=posted.expires_ns,
        key=key.key,
    )
    return Accepted(id=identity, account=account, market=market, ticket=ticket)


def _check_signer(venue: Venue, key: ApiKey, posted: Posted) -> None:
    order = posted.order
    if order.signature_type == 3:
        ours = wallets_of(key.signer).kind(order.maker) == 3
        if order.signer != order.maker or not ours:
            raise Refused(NOT_SIGNER)
    elif order.signer != key.signer:
        raise Refused(NOT_SIGNER)
    if order.signature_type == 0 and venue.settings.quirks.eoa_refused:
        raise Refused(EOA_REFUSED)
    if order.buy and key.signer in venue.auth.closed_only:
        raise Refused(closed_only(key.signer))


def _check_amounts(venue: Venue, market: Listed, posted: Posted, identity: str) -> int:
    """Check price, size and decimals; return the price in 1e-4."""
    order, quirks = posted.order, venue.settings.quirks
    money, shares = order.maker_amount, order.taker_amount
    if not order.buy:
        money, shares = shares, money
    price = _price(market, Fraction(money, shares), posted, shares)
    if price is None:
        shown = f"{money / shares:.6f}".rstrip("0").rstrip(".")
        text = f"Price ({shown}) breaks minimum tick size rule: {market.tick}"
        raise Refused(f"order {identity} is invalid. {text}")
    least = market.size_min * SHARE
    if shares < least and (not posted.market or quirks.market_min_size):
        text = f"Size ({size_text(shares)}) lower than the minimum: {market.size_min}"
        raise Refused(f"order {identity} is invalid. {text}")
    if posted.market and order.buy:
        if money % 10_000 or shares % 10 ** (6 - quirks.market_buy_taker_decimals):
            raise Refused(MARKET_DECIMALS)
        if money < USD:
            raise Refused(rules.too_small(money, USD)[1])
        return price
    money_decimals = quirks.limit_money_decimals or TICKS[market.tick]
    if shares % LOT or money % 10 ** (6 - money_decimals):
        raise Refused(LIMIT_DECIMALS if order.buy else _sell_decimals(money_decimals))
    return price


def _sell_decimals(decimals: int) -> str:
    return (
        "invalid amounts, the sell orders maker amount supports a max accuracy of 2 decimals, "
        f"taker amount a max of {decimals} decimals"
    )


def _price(market: Listed, exact: Fraction, posted: Posted, shares: int) -> int | None:
    """Return a price on the grid; None where it is not. A market BUY's shares were rounded."""
    scaled = exact * 10_000
    price = round(scaled)
    if posted.market and posted.order.buy:
        # Shares cut to 4 decimals: at most 100 millionths too few, so the ratio is a bit too high.
        slack = Fraction(price * 101, shares)
        if abs(scaled - price) > slack:
            return None
    elif scaled != price:
        return None
    tick = ticks(market.tick)
    return price if price % tick == 0 and tick <= price <= 10_000 - tick else None


def _budget_size(venue: Venue, market: Listed, leg: Leg, order: tuple[int, int]) -> int:
    """Return how many shares (limit price, budget) buys now; what the book lacks, at the limit."""
    limit, left = order
    listed = venue.exchange.order_entry.markets[market.instrument]
    level = yes_level(leg, limit, listed.one)
    size = 0
    for at, available in listed.book.preview(leg is Leg.YES, level, DEPTH):
        price = yes_level(leg, at, listed.one)
        take = min(available, left * listed.divisor // price // LOT * LOT)
        size += take
        left -= price * take // listed.divisor
        if take < available:
            return size
    return size + left * listed.divisor // limit // LOT * LOT


# -- placing ---------------------------------------------------------------------------------------


async def place(venue: Venue, key: ApiKey, body: object) -> dict[str, Any]:
    """Place an order; return the reply. Raises Refused, and VenueClosed where nothing is taken."""
    accepted = check(venue, key, body)
    receipt = venue.exchange.submit(accepted.account, accepted.ticket, venue.exchange.now_ns)
    if receipt.standing is StandingOrder.REJECTED:
        if venue.settings.quirks.killed_event and receipt.text in {
            rules.FOK_KILLED,
            rules.FAK_KILLED,
        }:
            venue.user_publisher.killed(_draft(accepted), receipt.text, venue.exchange.now_ns)
        raise Refused(receipt.text)
    venue.drain()
    if receipt.standing is StandingOrder.DELAYED:
        if not accepted.market.itode:
            return reply(venue, accepted, "delayed", [])
        await _released(venue, accepted)
        order, live = venue.find_order(key.signer, accepted.id)
        if order is not None and not live and not order.filled:
            raise Refused(_killed_text(order))
    trades = venue.user_publisher.trades_of(accepted.id)
    status = "matched" if trades else "live"
    if status == "live" and venue.settings.quirks.unmatched_status:
        status = "unmatched"
    return reply(venue, accepted, status, trades)


async def _released(venue: Venue, accepted: Accepted) -> None:
    """Wait until the venue has looked at a delayed order again."""
    record = venue.exchange.account(accepted.account)
    while (order := record.open.get(accepted.id)) and order.state is OrderState.DELAYED:
        await asyncio.sleep(0.005)
        venue.pump()


def _killed_text(order: RestingOrder) -> str:
    if order.post_only:
        return rules.POST_ONLY_CROSSES
    if order.type is OrderType.FOK:
        return rules.FOK_KILLED
    return rules.FAK_KILLED if order.type is OrderType.FAK else rules.NOT_ENOUGH


def reply(venue: Venue, accepted: Accepted, status: str, trades: list[str]) -> dict[str, Any]:
    """Return the reply to an accepted order: every key, trade ids but no hashes."""
    money = shares = 0
    for name in trades:
        trade = venue.exchange.worker.trades[name]
        mine = [fill for fill in trade.taker if fill.identity == accepted.id]
        money += sum(fill.amount_micro for fill in mine)
        shares += sum(fill.size for fill in mine)
    made, took = (money, shares) if accepted.ticket.side is Side.BUY else (shares, money)
    body: dict[str, Any] = {
        "errorMsg": "",
        "orderID": accepted.id,
        "takingAmount": size_text(took) if trades else "",
        "makingAmount": size_text(made) if trades else "",
        "status": status,
        "success": True,
        "tradeIDs": list(trades),
        "transactionsHashes": [],
    }
    if venue.settings.quirks.null_fields:
        body |= {"errorMsg": None, "tradeIDs": None, "transactionsHashes": None}
    return body


def rejection(text: str) -> dict[str, Any]:
    """Return a leg of a batch, or a 200, that says no."""
    return {
        "errorMsg": text,
        "orderID": "",
        "takingAmount": "",
        "makingAmount": "",
        "status": "",
        "success": True,
        "tradeIDs": [],
        "transactionsHashes": [],
    }


def _draft(accepted: Accepted) -> RestingOrder:
    """Return an order that was killed at once, as the user channel tells of it."""
    given: Mapping[str, Any] = {
        name: getattr(accepted.ticket, name)
        for name in ("identity", "key", "instrument", "leg", "side", "price", "size", "type")
    }
    return RestingOrder(
        number=0,
        customer=accepted.account,
        tag="",
        remaining=accepted.ticket.size,
        post_only=False,
        expires_ns=None,
        placed_ns=0,
        bid=True,
        level=0,
        **given,
    )
