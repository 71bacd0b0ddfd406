"""Merges that no order here asked for: each owner's position is as the ledger books it."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.commands import MANUAL
from engine.domain.effects import MergePairs, PlaceOrder
from engine.domain.events import (
    CashMoved,
    FillSettled,
    HoldingTransferred,
    InstrumentListed,
    OrderFilled,
    PairsConverted,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import BotId, Leg, Side
from engine.domain.orders import Order, OrderId
from engine.executor.ledger import Ledger
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books

BOT, OTHER = BotId("maker"), BotId("other")
OWNERS = (MANUAL, BOT, OTHER)


class Both:
    """A ledger and its journal's tables, which receive the same."""

    def __init__(self, connection: Connection, engine_id: str = "e1") -> None:
        self.books = Books(connection, engine_id)
        self.ledger = Ledger(currency="pUSD")
        self.ledger.listed(TERMS)
        self.ledger.move_cash(10**12)
        moved = CashMoved(account=DEMO, currency="pUSD", amount_micro=10**12)
        self.books.tell(moved, InstrumentListed(instrument=TERMS))
        self.number = 0

    def buy(self, owner: BotId, leg: Leg, shares: int, price: int, *, promised: bool) -> None:
        self.number += 1
        order = Order(
            account=DEMO, id=OrderId(self.number), bot=owner, instrument=M1, leg=leg,
            side=Side.BUY, price=price, size=shares * SHARE, created_ns=1,
        )  # fmt: skip
        fill = OrderFilled(
            account=DEMO, order=order.id, fill=FillId(f"f{self.number}"), price=price,
            size=order.size, fee_micro=0, liquidity=Liquidity.MAKER,
            state=FillState.MATCHED if promised else FillState.CONFIRMED,
        )  # fmt: skip
        self.books.tell(PlaceOrder(order=order), fill)
        self.ledger.book(order, fill)
        if promised:
            self.books.tell(FillSettled(account=DEMO, fill=fill.fill))
            self.ledger.advance(fill.fill, FillState.CONFIRMED)

    def convert(self, shares: int, asked: BotId | None = None) -> None:
        self.number += 1
        if asked is not None:
            self.books.tell(
                MergePairs(
                    account=DEMO, operation=self.number, instrument=M1, size=-shares * SHARE,
                    amount_micro=-shares * SHARE, owner=asked,
                )
            )  # fmt: skip
        event = PairsConverted(
            account=DEMO, transaction=f"0x{self.number}", instrument=M1, size=shares * SHARE,
            amount_micro=abs(shares) * SHARE, at_ns=1,
        )  # fmt: skip
        self.books.tell(event)
        self.ledger.convert(event, asked)

    def give(self, owner: BotId, to: BotId, leg: Leg, shares: int, price: int) -> None:
        given = HoldingTransferred(
            account=DEMO, instrument=M1, leg=leg, size=shares * SHARE, price=price,
            from_owner=owner, to_owner=to, who="me",
        )  # fmt: skip
        self.books.tell(given)
        self.ledger.transfer(given)

    def shown(self) -> dict[tuple[str, Leg], int]:
        rows = self.books.connection.execute("SELECT bot, leg, settled FROM positions").fetchall()
        return {(row[0], Leg(row[1])): row[2] for row in rows if row[2]}

    def held(self) -> dict[tuple[str, Leg], int]:
        found = {
            (owner, leg): one.leg(leg).settled
            for owner, one in self.ledger.holders(M1).items()
            for leg in (Leg.YES, Leg.NO)
        }
        return {place: settled for place, settled in found.items() if settled}


@pytest.mark.parametrize("promised", [False, True])
def test_a_merge_that_was_listed_before_its_fills_is_of_whoever_they_were(
    connection: Connection, *, promised: bool
) -> None:
    both = Both(connection)
    both.convert(-40)
    both.buy(BOT, Leg.YES, 50, 4_800, promised=promised)
    both.buy(OTHER, Leg.NO, 40, 5_000, promised=promised)

    assert both.shown() == both.held() == {(BOT, Leg.YES): 10 * SHARE}
    rows = connection.execute(
        "SELECT bot, SUM(bought), SUM(sold), SUM(spent_micro), SUM(received_micro), "
        "SUM(cost_micro), SUM(owed) FROM positions GROUP BY bot ORDER BY bot"
    ).fetchall()
    unit = SHARE
    assert [tuple(row) for row in rows] == [
        (BOT, 50 * unit, 40 * unit, 24 * unit, 20 * unit, 48 * unit // 10, 0),
        (MANUAL, 0, 0, 0, 0, 0, 0),
        (OTHER, 40 * unit, 40 * unit, 20 * unit, 20 * unit, 0, 0),
    ]


steps = st.lists(
    st.tuples(
        st.sampled_from(("buy", "promise", "split", "merge", "asked", "give")),
        st.sampled_from(OWNERS), st.sampled_from(OWNERS), st.sampled_from((Leg.YES, Leg.NO)),
        st.integers(1, 90), st.integers(100, 9_900),
    ),
    max_size=20,
)  # fmt: skip


@pytest.mark.long
@given(steps=steps)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_each_owner_s_tokens_are_as_many_as_in_the_ledger(
    connection: Connection, steps: list[Any]
) -> None:
    both = Both(connection, f"e{connection.total_changes}")
    for what, owner, to, leg, shares, price in steps:
        match what:
            case "buy" | "promise":
                both.buy(owner, leg, shares, price, promised=what == "promise")
            case "split":
                both.convert(shares)
            case "merge":
                both.convert(-shares)
            case "asked":
                both.convert(-shares, owner)
            case _ if owner != to:
                both.give(owner, to, leg, shares, price)
            case _:
                continue
        shown = connection.execute(
            "SELECT bot, leg, settled FROM positions WHERE engine_id = ? AND settled != 0",
            (both.books.engine_id,),
        ).fetchall()
        assert {(row[0], Leg(row[1])): row[2] for row in shown} == both.held()
