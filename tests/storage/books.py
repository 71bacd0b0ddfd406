"""A state file into which a journal is folded as the projection does it."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import msgspec

from engine.domain.effects import OrderChanged, PlaceOrder
from engine.domain.events import OrderFilled
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
    Side,
)
from engine.domain.orders import Order, OrderId, OrderState
from storage.journal import Record
from storage.live import put_instrument
from storage.projected import fold_into
from storage.projection import register_account
from storage.settings import latest, save
from storage.users import ENGINE_ID

DEMO, M1 = AccountId("demo"), InstrumentId("demo:m1")
SHARE = 1_000_000
TERMS = Instrument(
    id=M1,
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
)


def add_account(
    connection: Connection,
    account: str = DEMO,
    mode: Mode = Mode.DEMO,
    *,
    venue: str = "demo",
    currency: str = "pUSD",
    engine_id: str = ENGINE_ID,
) -> None:
    """Register an account as an engine does that knows it."""
    register_account(
        connection, engine_id=engine_id, account=account, mode=mode, venue=venue, currency=currency
    )


def save_demo_account(connection: Connection) -> None:
    """Save the settings of an account at the demo exchange, and register it."""
    add_account(connection)
    save(
        connection,
        engine_id=ENGINE_ID,
        who="ann",
        diff={"accounts": {"demo": {"name": "demo", "venue": "demo", "mode": "demo"}}},
        base_version=latest(connection, ENGINE_ID).version,
        now_ns=5,
    )


class Books:
    """A journal of one account, folded as it is told."""

    def __init__(self, connection: Connection, engine_id: str = "e1") -> None:
        self.connection = connection
        self.engine_id = engine_id
        add_account(connection, engine_id=engine_id)
        put_instrument(connection, engine_id, TERMS, 1)
        self._fold = fold_into(connection, engine_id, {DEMO: Mode.DEMO})
        self.seq = 0
        self.at_ns = 5

    def tell(self, *messages: msgspec.Struct) -> None:
        """Fold messages; a fill is whole, and the engine says of its order that it is filled."""
        for message in messages:
            self._take(message)
            if isinstance(message, OrderFilled):
                self._take(
                    OrderChanged(
                        account=message.account,
                        order=message.order,
                        state=OrderState.FILLED,
                        filled=message.size,
                    )
                )
        self._fold.rows.flush()

    def _take(self, message: msgspec.Struct) -> None:
        self.seq += 1
        kind, body = type(message).__name__, msgspec.msgpack.encode(message)
        self._fold.take(Record(seq=self.seq, at_ns=self.at_ns, account=DEMO, kind=kind, body=body))


def bought(
    number: int, price: int, size: int, leg: Leg = Leg.YES, fee: int = 0, side: Side = Side.BUY
) -> Any:
    """Return an order, which buys if nothing else is said, and its whole fill, told as matched."""
    order = Order(
        account=DEMO,
        id=OrderId(number),
        bot=BotId("maker"),
        instrument=M1,
        leg=leg,
        side=side,
        price=price,
        size=size,
        created_ns=1,
    )
    fill = OrderFilled(
        account=DEMO,
        order=order.id,
        fill=FillId(f"f{number}"),
        price=price,
        size=size,
        fee_micro=fee,
        liquidity=Liquidity.MAKER,
    )
    return PlaceOrder(order=order), fill
