"""Names at the demo exchange: an account's order ↔ the exchange's identity, without any memory.

The identity is `demo-<account>-<order>`, the same for the same order, so that no memory is needed
to tell an own order from one placed with another key of the account.
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, Order, OrderId
from engine.gateway.door import Prepared
from engine.venues.demo.orders import Ticket

KEY = "engine"
"""The API key under which the engine trades."""

_encode = msgspec.json.Encoder().encode


class Names:
    """Names and tickets of one key of one account."""

    __slots__ = ("_prefix", "account", "key")

    def __init__(self, account: AccountId, key: str) -> None:
        self.account = account
        self.key = key
        self._prefix = f"demo-{account}-"

    def identity(self, order: OrderId) -> Identity:
        return Identity(f"{self._prefix}{order}")

    def known(self, identity: Identity) -> OrderId | None:
        """Return our number of an order; None = the name is not one of ours."""
        number = identity.removeprefix(self._prefix)
        return OrderId(int(number)) if number != identity and number.isdecimal() else None

    def prepare(self, order: Order) -> Prepared:
        ticket = self.ticket(order)
        return Prepared(order=order, identity=ticket.identity, payload=_encode(ticket))

    def ticket(self, order: Order) -> Ticket:
        """Return an order as the exchange takes it."""
        return Ticket(
            identity=self.identity(order.id),
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=order.price,
            size=order.size,
            type=order.type,
            post_only=order.post_only,
            expires_ns=order.expires_ns,
            key=self.key,
            tag=order.bot,
        )
