"""A posted order as bytes say it: shapes checked, nothing judged (polymarket.md §2.4)."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.domain.orders import OrderType
from tests.fakes.polymarket.refusal import BAD_PAYLOAD, VERSION_MISMATCH, Refused
from tests.fakes.polymarket.signing import SignedOrder, address

S = 1_000_000_000
SALT_MAX = 2**53
V1_FIELDS = {"taker", "nonce", "feeRateBps"}


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """One posted order."""

    order: SignedOrder
    owner: str
    type: OrderType
    post_only: bool
    expires_ns: int | None

    @property
    def market(self) -> bool:
        """Whether it must match at once or die."""
        return self.type in {OrderType.FAK, OrderType.FOK}


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    salt: int
    maker: str
    signer: str
    token_id: str
    maker_amount: str
    taker_amount: str
    side: str
    signature_type: int
    timestamp: str
    metadata: str
    builder: str
    signature: str
    expiration: str = "0"


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    order: _Order
    owner: str
    order_type: str
    post_only: bool = False
    defer_exec: bool = False


def read(body: object) -> Posted:
    """Read one posted order. Raises Refused for a shape the venue does not take."""
    order = body.get("order") if isinstance(body, dict) else None
    if isinstance(order, dict) and (V1_FIELDS & set(order) or "timestamp" not in order):
        raise Refused(VERSION_MISMATCH)
    try:
        given = msgspec.convert(body, _Body)
        order_type = OrderType(given.order_type.lower())
        signed = _signed(given.order)
        expires_s = int(given.order.expiration)
    except (msgspec.ValidationError, ValueError):
        raise Refused(BAD_PAYLOAD) from None
    return Posted(
        order=signed,
        owner=given.owner,
        type=order_type,
        post_only=given.post_only,
        expires_ns=expires_s * S if expires_s else None,
    )


def _signed(order: _Order) -> SignedOrder:
    if order.side not in {"BUY", "SELL"} or not 0 <= order.salt <= SALT_MAX:
        raise ValueError("side or salt")
    numbers = [_number(text) for text in (order.token_id, order.maker_amount, order.taker_amount)]
    if not (numbers[1] and numbers[2]) or order.signature_type not in range(4):
        raise ValueError("amounts or signature type")
    for word in (order.metadata, order.builder):
        if len(bytes.fromhex(word.removeprefix("0x"))) != 32:
            raise ValueError("not 32 bytes")
    fields: dict[str, Any] = {
        "salt": order.salt,
        "maker": address(order.maker),
        "signer": address(order.signer),
        "token_id": numbers[0],
        "maker_amount": numbers[1],
        "taker_amount": numbers[2],
    }
    return SignedOrder(
        buy=order.side == "BUY",
        signature_type=order.signature_type,
        timestamp=_number(order.timestamp),
        metadata=order.metadata,
        builder=order.builder,
        signature=order.signature,
        **fields,
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no number")
    return int(text)
