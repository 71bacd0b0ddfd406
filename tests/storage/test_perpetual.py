"""Perpetuals: tables and the second witness, beside the ledger that booked the same."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookMarked,
    CashMoved,
    FillSettled,
    FillVoided,
    HoldingTransferred,
    InstrumentListed,
    OrderFilled,
    RedemptionsListed,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import MANUAL, BotId, Instrument, InstrumentId, Kind, Leg, Mode, Side
from engine.domain.orders import Order, OrderId
from engine.domain.perpetual_events import PositionLiquidated
from engine.executor.ledger import Ledger
from storage.equity_identity import EquityCheck, LedgerSide, judge
from storage.live import put_instrument
from tests.storage.books import DEMO, Books

PERPETUAL = Instrument(
    id=InstrumentId("demo:BTC-PERP"), kind=Kind.PERPETUAL, currency="pUSD", price_decimals=1,
    size_decimals=5, tick=1, lot=1,
)  # fmt: skip
CASH = 10_000 * 1_000_000
OWNERS = (BotId("trend"), MANUAL)
MID2 = 2 * 650_001 + 1


class Both:
    """A ledger and its journal's tables, which receive the same."""

    def __init__(self, connection: Connection) -> None:
        self.books = Books(connection, "e1")
        put_instrument(connection, "e1", PERPETUAL, 1)
        self.ledger = Ledger(currency="pUSD")
        self.ledger.listed(PERPETUAL)
        self.ledger.move_cash(CASH)
        moved = CashMoved(account=DEMO, currency="pUSD", amount_micro=CASH)
        self.books.tell(moved, InstrumentListed(instrument=PERPETUAL))

    def fill(self, number: int, owner: BotId, size: int, price: int, end: FillState | None) -> None:
        side = Side.BUY if size > 0 else Side.SELL
        order = Order(
            account=DEMO, id=OrderId(number), bot=owner, instrument=PERPETUAL.id, leg=Leg.BASE,
            side=side, price=price, size=abs(size), created_ns=1,
        )  # fmt: skip
        event = OrderFilled(
            account=DEMO, order=order.id, fill=FillId(f"f{number}"), price=price, size=abs(size),
            fee_micro=number, liquidity=Liquidity.TAKER, state=FillState.MATCHED,
        )  # fmt: skip
        self.books.tell(PlaceOrder(order=order), event)
        self.ledger.book(order, event)
        if end is not None:
            kind = FillVoided if end is FillState.FAILED else FillSettled
            self.books.tell(kind(account=DEMO, fill=event.fill))
            self.ledger.advance(event.fill, end)

    def give(self, size: int, price: int) -> None:
        given_away = HoldingTransferred(
            account=DEMO, instrument=PERPETUAL.id, leg=Leg.BASE, size=size, price=price,
            from_owner=OWNERS[0], to_owner=OWNERS[1], who="ann",
        )  # fmt: skip
        self.books.tell(given_away)
        self.ledger.transfer(given_away)

    def liquidate(self, value: int) -> None:
        net = self.ledger.state.netted.get(PERPETUAL.id)
        if net is None or not net.size:
            return
        taken = PositionLiquidated(
            account=DEMO, instrument=PERPETUAL.id, currency="pUSD", liquidation="1", size=net.size,
            value_micro=value if net.size > 0 else -value, fee_micro=7,
        )  # fmt: skip
        again = RedemptionsListed(account=DEMO, since_ns=0, redemptions=(), liquidations=(taken,))
        self.books.tell(taken, again)
        self.ledger.liquidate(taken)

    def check(self) -> EquityCheck:
        state, held = self.ledger.state, self.ledger.holding(PERPETUAL.id)
        mark = BookMarked(
            instrument=PERPETUAL.id, best_bid=1, best_ask=2, mid2=MID2, two_sided_ns=0, proof_ns=0,
            trusted=True,
        )  # fmt: skip
        equity = self.ledger.shown_equity_micro({PERPETUAL.id: mark})
        side = LedgerSide(
            account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=9, seq=self.books.seq,
            cash_micro=state.cash_settled_micro, pending_micro=0,
            inventory_micro=equity - state.cash_settled_micro, equity_micro=equity,
            tokens={(PERPETUAL.id, Leg.BASE): held.position} if held.position else {},
            marks={PERPETUAL.id: MID2},
        )  # fmt: skip
        return judge(self.books.connection, "e1", side)

    def rows(self) -> dict[str, tuple[int, int]]:
        found = self.books.connection.execute("SELECT bot, settled, cost_micro FROM positions")
        return {bot: (settled, cost) for bot, settled, cost in found if settled or cost}


fills = st.tuples(
    st.sampled_from(OWNERS), st.integers(-900, 900).filter(bool), st.integers(1, 10**6),
    st.sampled_from((FillState.CONFIRMED, FillState.FAILED, None)),
)  # fmt: skip


@pytest.fixture
def fresh(connection: Connection) -> Any:
    def made() -> Both:
        connection.rollback()
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN "
            "('positions', 'fills', 'orders', 'cash_moves', 'listings', 'early_news', "
            "'liquidations')"
        ).fetchall():
            connection.execute(f"DELETE FROM {table}")
        return Both(connection)

    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(fills, max_size=8), st.integers(1, 900), st.integers(1, 10**6), st.integers(-1, 10**8)
)
def test_tables_and_ledger_hold_the_same_and_the_second_witness_agrees(
    fresh: Any, moves: list[Any], given_away: int, price: int, value: int
) -> None:
    both = fresh()
    for number, move in enumerate(moves, 1):
        both.fill(number, *move)
    held = abs(both.ledger.owned(PERPETUAL.id, OWNERS[0]).position)
    if held:
        both.give(min(held, given_away), price)
    if value >= 0:
        both.liquidate(value)
    found = {
        owner: (held.position, held.yes.cost_settled_micro)
        for owner, held in both.ledger.holders(PERPETUAL.id).items()
        if held.position or held.yes.cost_settled_micro
    }
    assert both.rows() == found
    check = both.check()
    assert check.judged
    assert check.text == ""


def test_closing_a_short_says_what_it_brought(connection: Connection) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], -100, 650_000, FillState.CONFIRMED)
    both.fill(2, OWNERS[0], 150, 640_000, FillState.CONFIRMED)
    realised = both.books.connection.execute("SELECT realised_micro FROM fills ORDER BY id")
    assert [one for (one,) in realised] == [0, 1_000_000]
    assert both.rows() == {"trend": (50, 32_000_000)}
