"""An order of ours → its identity and the exact bytes of POST /order. Pure and deterministic.

The salt is drawn from (account, number), the timestamp is the order's own: the same order has the
same digest in every process, known before anything is sent (law K).
"""

from __future__ import annotations

import json
from hashlib import sha256

from engine.domain.instruments import AccountId, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.errors import BadInput
from engine.gateway.door import Prepared
from engine.venues.polymarket.account.amounts import amounts
from engine.venues.polymarket.account.memory import AccountMemory
from engine.venues.polymarket.account.signing import (
    DEPOSIT_WALLET,
    ZERO_WORD,
    SignedFields,
    Signer,
)

MS = 1_000_000
S = 1_000_000_000
SALT_BITS = 53
"""The venue reads a JSON number: beyond 2^53 it would not be exact."""

_dumps = json.JSONEncoder(separators=(",", ":")).encode


def salt_of(account: AccountId, order: OrderId) -> int:
    """Return the salt of an order: the same for the same order, spread over all 53 bits."""
    return int.from_bytes(sha256(f"{account}/{order}".encode()).digest()[:7], "big") >> (
        56 - SALT_BITS
    )


class Preparer:
    """Names, signs and serialises for one account's wallet."""

    __slots__ = ("_key", "_memory", "_signer", "_type", "_who")

    def __init__(
        self,
        *,
        memory: AccountMemory,
        signer: Signer,
        wallet: str,
        address: str,
        signature_type: int,
        api_key: str,
    ) -> None:
        self._memory = memory
        self._signer = signer
        self._type = signature_type
        # A deposit wallet signs for itself, by the key of its owner (ERC-1271).
        self._who = (wallet, wallet if signature_type == DEPOSIT_WALLET else address)
        self._key = api_key

    def prepare(self, order: Order) -> Prepared:
        """Return the order under its identity. Raises NotSent, BadInput; nothing has left."""
        market = self._memory.market(order.instrument)
        made, taken = amounts(order, market.instrument)
        tokens = market.instrument.tokens
        if tokens is None:
            raise BadInput(f"{order.instrument} names no tokens")
        token = tokens[0] if order.leg == "yes" else tokens[1]
        fields = SignedFields(
            salt=salt_of(order.account, order.id),
            maker=self._who[0],
            signer=self._who[1],
            token=int(token),
            maker_amount=made,
            taker_amount=taken,
            buy=order.side is Side.BUY,
            signature_type=self._type,
            timestamp_ms=order.created_ns // MS,
        )
        identity, signature = self._signer.sign(market.separator, fields)
        self._memory.name(identity, order.id, order.bot)
        body = self._body(order, fields, token, signature)
        return Prepared(order=order, identity=identity, payload=_dumps(body).encode())

    def _body(
        self, order: Order, fields: SignedFields, token: str, signature: str
    ) -> dict[str, object]:
        expires_s = 0
        if order.type is OrderType.GTD and order.expires_ns is not None:
            expires_s = order.expires_ns // S
        body: dict[str, object] = {
            "deferExec": False,
            "order": {
                "builder": ZERO_WORD,
                "expiration": str(expires_s),
                "maker": fields.maker,
                "makerAmount": str(fields.maker_amount),
                "metadata": ZERO_WORD,
                "salt": fields.salt,
                "side": "BUY" if fields.buy else "SELL",
                "signature": signature,
                "signatureType": fields.signature_type,
                "signer": fields.signer,
                "takerAmount": str(fields.taker_amount),
                "timestamp": str(fields.timestamp_ms),
                "tokenId": token,
            },
            "orderType": order.type.value.upper(),
            "owner": self._key,
        }
        return body | ({"postOnly": True} if order.post_only else {})
