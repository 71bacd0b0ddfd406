"""Orders and trades as the venue writes them, for REST and for the user channel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.domain.fills import FillState
from engine.domain.orders import OrderState
from engine.venues.demo.orders import Fill, RestingOrder
from tests.fakes.polymarket.books import price_text, size_text
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.settings import Quirks
from tests.fakes.polymarket.settlement import Trade

S = 1_000_000_000
MS = 1_000_000

ORDER_STATUS = {
    OrderState.OPEN: "LIVE",
    OrderState.PARTIAL: "LIVE",
    OrderState.DELAYED: "DELAYED",
    OrderState.FILLED: "MATCHED",
    OrderState.CANCELLED: "CANCELED",
    OrderState.EXPIRED: "CANCELED",
}


def order_row(
    order: RestingOrder, market: Listed, trades: list[str], quirks: Quirks
) -> dict[str, Any]:
    """Return an order as `/data/orders` lists it."""
    status = ORDER_STATUS[order.state]
    return {
        "id": order.identity,
        "status": f"ORDER_STATUS_{status}" if quirks.prefixed_orders else status,
        "owner": order.key,
        "maker_address": order.customer,
        "market": market.condition,
        "asset_id": market.token(order.leg),
        "side": order.side.value.upper(),
        "original_size": size_text(order.size),
        "size_matched": size_text(order.filled),
        "price": price_text(order.price),
        "outcome": market.outcome(order.leg),
        "expiration": expiration(order),
        "order_type": order.type.value.upper(),
        "associate_trades": trades,
        "created_at": order.placed_ns // S,
    }


def expiration(order: RestingOrder) -> str:
    """Return when an order expires in seconds, "0" = never."""
    return "0" if order.expires_ns is None else str(order.expires_ns // S)


def order_frame(
    order: RestingOrder, market: Listed, trades: list[str], what: tuple[str, str], now_ns: int
) -> dict[str, Any]:
    """Return an order event of the user channel; `what` = (type, status)."""
    return {
        "event_type": "order",
        "type": what[0],
        "id": order.identity,
        "status": what[1],
        "owner": order.key,
        "order_owner": order.key,
        "market": market.condition,
        "asset_id": market.token(order.leg),
        "side": order.side.value.upper(),
        "original_size": size_text(order.size),
        "size_matched": size_text(order.filled),
        "price": price_text(order.price),
        "associate_trades": trades,
        "outcome": market.outcome(order.leg),
        "created_at": str(order.placed_ns // S),
        "expiration": expiration(order),
        "order_type": order.type.value.upper(),
        "maker_address": order.customer,
        "timestamp": str(now_ns // MS),
    }


def bend_order(frame: dict[str, Any], order: RestingOrder, quirks: Quirks) -> dict[str, Any]:
    """Write an order event in the other ways the venue was seen to."""
    if quirks.created_at_ms:
        frame["created_at"] = str(order.placed_ns // MS)
    if quirks.null_expiration:
        frame["expiration"] = None
    if quirks.null_associate_trades and not frame["associate_trades"]:
        frame["associate_trades"] = None
    killed = frame["type"] == "CANCELLATION" and not order.filled
    if quirks.empty_size_matched and killed and frame["order_type"] in {"FOK", "FAK"}:
        frame |= {"size_matched": "", "outcome": "", "created_at": ""}
    return frame


def trade_row(trade: Trade, market: Listed, *, owner: str, took: bool) -> dict[str, Any]:
    """Return a trade without its status, as one of its parties sees it; both channels share it."""
    taker = trade.taker[0]
    return {
        "id": trade.id,
        "taker_order_id": taker.identity,
        "market": market.condition,
        "asset_id": market.token(taker.leg),
        "side": taker.side.value.upper(),
        "size": size_text(trade.size),
        "fee_rate_bps": "0",
        "price": price_text(trade.limit),
        "match_time": str(trade.at_ns // S),
        "last_update": str(trade.moved_ns // S),
        "outcome": market.outcome(taker.leg),
        "bucket_index": trade.bucket,
        "owner": owner,
        "maker_address": taker.customer,
        "transaction_hash": trade.tx_hash,
        "trader_side": "TAKER" if took else "MAKER",
        "maker_orders": [_maker(fill, market) for fill in trade.makers],
    }


def _maker(fill: Fill, market: Listed) -> dict[str, str]:
    return {
        "order_id": fill.identity,
        "owner": fill.key,
        "maker_address": fill.customer,
        "matched_amount": size_text(fill.size),
        "price": price_text(fill.price),
        "fee_rate_bps": "",
        "asset_id": market.token(fill.leg),
        "outcome": market.outcome(fill.leg),
        "side": fill.side.value.upper(),
    }


def rest_trade(
    trade: Trade, market: Listed, owner: str, *, took: bool, quirks: Quirks
) -> dict[str, Any]:
    """Return a trade as `/data/trades` lists it."""
    status = trade.state.value.upper()
    if quirks.not_broadcast and trade.state is FillState.MATCHED:
        status = "MATCHED_NOT_BROADCASTED"
    return trade_row(trade, market, owner=owner, took=took) | {"status": f"TRADE_STATUS_{status}"}


def trade_frame(
    trade: Trade, market: Listed, party: tuple[str, bool], state: FillState, quirks: Quirks
) -> dict[str, Any]:
    """Return a trade event of the user channel; `party` = (API key, whether it took)."""
    key, took = party
    frame = trade_row(trade, market, owner=key, took=took) | {
        "event_type": "trade",
        "type": "TRADE",
        "status": state.value.upper(),
        "trade_owner": trade.taker[0].key,
        "timestamp": str(trade.moved_ns // MS),
    }
    if quirks.iso_match_time:
        for name, at_ns in (("match_time", trade.at_ns), ("last_update", trade.moved_ns)):
            frame[name] = datetime.fromtimestamp(at_ns // S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if quirks.matchtime:
        frame["matchtime"] = frame.pop("match_time")
    return frame
