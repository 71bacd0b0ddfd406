"""Perpetuals: tables and the second witness, beside the ledger that booked the same."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from random import Random
from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookMarked,
    CashKind,
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
from engine.domain.money import MICRO
from engine.domain.orders import Order, OrderId
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.funding import HOUR_NS
from engine.executor.fills import mid_value_micro
from engine.executor.ledger import Ledger
from storage.equity_identity import EquityCheck, LedgerSide, judge
from storage.live import HoldingSeen, add_pnl, put_holdings, put_instrument
from storage.views.drill_down import fill_sums
from storage.views.money import held, pnl_by_bot
from tests.storage.books import DEMO, M1, Books

PERPETUAL = Instrument(
    id=InstrumentId("demo:BTC-PERP"), kind=Kind.PERPETUAL, currency="pUSD", price_decimals=1,
    size_decimals=5, tick=1, lot=1,
)  # fmt: skip
CASH = 10_000 * 1_000_000
OWNERS = (BotId("trend"), MANUAL)
MID2 = 2 * 650_001 + 1
EVEN = 2 * 650_001
"""A mid at which no owner's value is rounded."""


def marked(mid2: int) -> BookMarked:
    return BookMarked(
        instrument=PERPETUAL.id, best_bid=1, best_ask=2, mid2=mid2, two_sided_ns=0, proof_ns=0,
        trusted=True,
    )  # fmt: skip


class Both:
    """A ledger and its journal's tables, which receive the same."""

    def __init__(self, connection: Connection) -> None:
        self.books = Books(connection, "e1")
        put_instrument(connection, "e1", PERPETUAL, 1)
        self.stamp_ns = 0
        self.ledger = Ledger(currency="pUSD")
        self.ledger.listed(PERPETUAL)
        self.ledger.move_cash(CASH)
        moved = CashMoved(account=DEMO, currency="pUSD", amount_micro=CASH)
        self.books.tell(moved, InstrumentListed(instrument=PERPETUAL))

    def fill(
        self,
        number: int,
        owner: BotId,
        size: int,
        price: int,
        end: FillState | None,
        **more: Any,
    ) -> None:
        side = Side.BUY if size > 0 else Side.SELL
        order = Order(
            account=DEMO, id=OrderId(number), bot=owner, instrument=PERPETUAL.id, leg=Leg.BASE,
            side=side, price=price, size=abs(size), created_ns=1,
        )  # fmt: skip
        event = OrderFilled(
            account=DEMO, order=order.id, fill=FillId(f"f{number}"), price=price, size=abs(size),
            fee_micro=number, liquidity=Liquidity.TAKER, state=FillState.MATCHED, **more,
        )  # fmt: skip
        self.books.tell(PlaceOrder(order=order), event)
        self.ledger.book(order, event, now_ns=self.books.at_ns)
        if end is not None:
            kind = FillVoided if end is FillState.FAILED else FillSettled
            self.books.tell(kind(account=DEMO, fill=event.fill))
            self.ledger.advance(event.fill, end, self.books.at_ns)

    def give(self, size: int, price: int) -> None:
        given_away = HoldingTransferred(
            account=DEMO, instrument=PERPETUAL.id, leg=Leg.BASE, size=size, price=price,
            from_owner=OWNERS[0], to_owner=OWNERS[1], who="ann",
        )  # fmt: skip
        self.books.tell(given_away)
        self.ledger.transfer(given_away, now_ns=self.books.at_ns)

    def liquidate(self, value: int) -> None:
        net = self.ledger.state.netted.get(PERPETUAL.id)
        if net is not None and net.size:
            self.close(1, net.size, value)

    def close(self, number: int, size: int, value: int, at_ns: int = 0) -> None:
        """Book a liquidation, and a listing that has it, too."""
        taken = PositionLiquidated(
            account=DEMO, instrument=PERPETUAL.id, currency="pUSD", liquidation=f"{number}",
            size=size, value_micro=value if size > 0 else -value, fee_micro=7, at_ns=at_ns,
        )  # fmt: skip
        again = RedemptionsListed(account=DEMO, since_ns=0, redemptions=(), liquidations=(taken,))
        self.books.tell(taken, again)
        self.ledger.liquidate(taken, now_ns=self.books.at_ns)

    def fund(self, amount: int, rate_e18: int | None, currency: str = "pUSD") -> None:
        """Book funding of the next stamp, with a mark and rate or, where that is None, without."""
        self.stamp_ns += HOUR_NS
        known = {} if rate_e18 is None else {"rate_e18": rate_e18, "mark_e8": 65_000 * 10**8}
        paid = FundingPaid(
            account=DEMO, instrument=PERPETUAL.id, currency=currency, amount_micro=amount,
            stamp_ns=self.stamp_ns, **known,
        )  # fmt: skip
        again = RedemptionsListed(account=DEMO, since_ns=0, redemptions=(), fundings=(paid,))
        self.books.tell(paid, again)
        if currency == "pUSD":
            self.ledger.fund(paid)

    def show(self, mid2: int | None) -> None:
        """Write the holding as an engine does each second."""
        held, mark = self.ledger.holding(PERPETUAL.id), None if mid2 is None else marked(mid2)
        seen = HoldingSeen(
            account=DEMO, instrument=PERPETUAL.id, mode=Mode.DEMO, currency="pUSD", bot="trend",
            yes_settled=held.yes.settled, yes_pending=0, no_settled=0, no_pending=0,
            yes_cost_micro=held.yes.cost_micro, no_cost_micro=0,
            value_micro=mid_value_micro(held, PERPETUAL, mark),
            mid2=mid2, marked_ns=None, realised_micro=held.realised_micro,
            fees_micro=held.fees_micro, payout_yes_micro=None,
        )  # fmt: skip
        put_holdings(self.books.connection, "e1", [seen], 9)

    def made(self, mid2: int) -> dict[str, int]:
        """Return what the ledger says each owner made, at a mid."""
        found = {}
        for owner, totals in self.ledger.state.owners.items():
            own = self.ledger.owned(PERPETUAL.id, owner)
            worth = mid_value_micro(own, PERPETUAL, marked(mid2)) - own.yes.cost_micro
            funded = totals.income_micro.get(CashKind.FUNDING, 0)
            found[str(owner)] = totals.realised_micro - totals.fees_micro + funded + worth
        return found

    def check(self) -> EquityCheck:
        state, held = self.ledger.state, self.ledger.holding(PERPETUAL.id)
        equity = self.ledger.shown_equity_micro({PERPETUAL.id: marked(MID2)})
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
            "'liquidations', 'funding', 'funding_shares', 'holdings', 'pnl', 'round_trips', "
            "'round_trips_begun', 'holders_past', 'position_facts')"
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(st.one_of(fills, st.integers(0, 10**8)), max_size=8),
    st.integers(0, 900),
    st.randoms(use_true_random=False),
)
def test_tables_and_ledger_hold_the_same_in_any_order_of_fills_and_liquidations(
    fresh: Any, facts: list[Any], given_away: int, random: Random
) -> None:
    both, net, reports = fresh(), 0, []
    for number, fact in enumerate(facts, 1):
        if isinstance(fact, tuple):
            net += fact[1] * (fact[3] is not FillState.FAILED)
            reports.append(partial(both.fill, number, *fact, matched_ns=number))
        elif net:
            reports.append(partial(both.close, number, net, fact, at_ns=number))
            net = 0
    random.shuffle(reports)
    for report in reports:
        report()
        size = min(given_away, abs(both.ledger.owned(PERPETUAL.id, OWNERS[0]).position))
        if size and random.random() < 0.3:
            both.give(size, 640_000)
    found = {
        owner: (held.position, held.yes.cost_settled_micro)
        for owner, held in both.ledger.holders(PERPETUAL.id).items()
        if held.position or held.yes.cost_settled_micro
    }
    assert both.rows() == found
    assert both.ledger.holding(PERPETUAL.id).position == net
    both.show(EVEN)
    rows = pnl_by_bot(both.books.connection, "e1", mode=Mode.DEMO, since={})
    by_owner = {row["bot"]: int(row["total"] * MICRO) for row in rows if row["total"]}
    assert by_owner == {owner: made for owner, made in both.made(EVEN).items() if made}
    assert both.check().text == ""


def test_what_a_liquidation_took_of_nobody_and_gave_back_is_no_round_trip(
    connection: Connection,
) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], 100, 650_000, None, matched_ns=1)
    both.close(3, 300, 30 * 10**6, at_ns=3)
    lacking = connection.execute("SELECT bot, size, result FROM round_trips ORDER BY bot")
    assert lacking.fetchall() == [("trend", 0, "liquidated"), ("unassigned", -200, "open")]
    both.fill(2, OWNERS[1], 200, 640_000, None, matched_ns=2)
    ended = connection.execute(
        "SELECT bot, result, liquidated, exit_micro - entry_micro FROM round_trips ORDER BY bot"
    )
    assert ended.fetchall() == [
        ("manual", "liquidated", 200, 20_000_000 - 128_000_000),
        ("trend", "liquidated", 100, 10_000_000 - 65_000_000),
        ("unassigned", "voided", 0, 0),
    ]


def test_closing_a_short_says_what_it_brought(connection: Connection) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], -100, 650_000, FillState.CONFIRMED)
    both.fill(2, OWNERS[0], 150, 640_000, FillState.CONFIRMED)
    realised = both.books.connection.execute("SELECT realised_micro FROM fills ORDER BY id")
    assert [one for (one,) in realised] == [0, 1_000_000]
    assert both.rows() == {"trend": (50, 32_000_000)}


paid = st.tuples(
    st.integers(-(10**7), 10**7), st.sampled_from((None, 10**14, -(10**13))),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.one_of(fills, paid), max_size=9), st.integers(0, 900), st.integers(-1, 10**8))
def test_positions_the_owners_and_the_ledger_have_made_the_same(
    fresh: Any, moves: list[Any], given_away: int, value: int
) -> None:
    both = fresh()
    for number, move in enumerate(moves, 1):
        both.books.at_ns += 2 * HOUR_NS // 3  # fundings come before, at and long after their stamps
        if len(move) == 2:
            both.fund(*move)
        else:
            # Reported up to two hours late: fundings between are shared anew.
            late_ns = number % 3 * HOUR_NS
            both.fill(number, *move, matched_ns=max(1, both.books.at_ns - late_ns))
    if size := min(given_away, abs(both.ledger.owned(PERPETUAL.id, OWNERS[0]).position)):
        both.give(size, 640_000)
    both.fund(-900, None)
    both.fund(-900, 10**13)
    if value >= 0:
        both.liquidate(value)
    both.show(EVEN)
    ledger, connection = both.made(EVEN), both.books.connection
    rows = pnl_by_bot(connection, "e1", mode=Mode.DEMO, since={})
    by_owner = {row["bot"]: int(row["total"] * MICRO) for row in rows}
    assert {owner: made for owner, made in by_owner.items() if made} == {
        owner: made for owner, made in ledger.items() if made
    }
    for row in held(connection, "e1", mode=Mode.DEMO):
        assert int(row["pnl"] * MICRO) == sum(ledger.values())
    assert both.check().text == ""


def test_funding_is_in_the_pnl_of_a_period_in_which_it_came_and_in_no_earlier_one(
    connection: Connection,
) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], -100, 650_000, FillState.CONFIRMED)
    both.fund(40, None)
    both.show(EVEN)
    add_pnl(connection, "e1", both.books.at_ns)
    both.books.at_ns += 10
    both.fund(-7, None)
    (row,) = pnl_by_bot(connection, "e1", mode=Mode.DEMO, since={"now": both.books.at_ns})
    assert (row["funding"] * MICRO, row["now"] * MICRO) == (33, -7)
    assert (row["markets"], row["cost"]) == (1, 0), "nothing was paid for a short"


def test_a_fill_from_before_a_stamp_that_came_after_its_funding_has_its_share_in_the_tables(
    connection: Connection,
) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], 200, 650_000, None, matched_ns=1)
    both.books.at_ns = HOUR_NS + 1
    both.fund(-300, None)
    shares = "SELECT bot, amount_micro, at_ns FROM funding_shares ORDER BY bot"
    (before,) = connection.execute(shares).fetchall()
    both.books.at_ns += HOUR_NS
    both.fill(2, OWNERS[1], 100, 650_000, None, matched_ns=HOUR_NS - 1)
    booked_ns = before[2]
    assert connection.execute(shares).fetchall() == [
        ("manual", -100, booked_ns), ("trend", -200, booked_ns),
    ]  # fmt: skip
    both.show(EVEN)
    rows = pnl_by_bot(connection, "e1", mode=Mode.DEMO, since={})
    by_owner = {row["bot"]: int(row["total"] * MICRO) for row in rows if row["total"]}
    assert by_owner == {owner: made for owner, made in both.made(EVEN).items() if made}
    assert both.check().text == ""


def test_what_a_perpetual_without_a_price_made_is_unknown_and_no_point_is_kept_of_it(
    connection: Connection,
) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], -100, 650_000, FillState.CONFIRMED)
    both.show(None)
    add_pnl(connection, "e1", 5)
    (row,) = pnl_by_bot(connection, "e1", mode=Mode.DEMO, since={"today": 0})
    assert (row["unrealised"], row["total"], row["today"]) == (None, None, None)
    assert connection.execute("SELECT count(*) FROM pnl").fetchone() == (0,)
    both.show(EVEN)
    add_pnl(connection, "e1", 6)
    assert connection.execute("SELECT count(*) FROM pnl").fetchone() == (1,)


def test_what_the_ledger_does_not_book_is_in_no_position(connection: Connection) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], -100, 650_000, FillState.CONFIRMED)
    both.fund(-40, None, currency="BTC")
    for number, (currency, instrument) in enumerate((("BTC", PERPETUAL.id), ("pUSD", M1))):
        taken = PositionLiquidated(
            account=DEMO, instrument=instrument, currency=currency, liquidation=str(number),
            size=-100, value_micro=-65_000_000,
        )  # fmt: skip
        both.books.tell(taken)
    assert both.rows() == {"trend": (-100, -65_000_000)}
    assert connection.execute("SELECT count(*) FROM funding_shares").fetchone() == (0,)
    assert both.check().text == ""


def test_fills_of_a_perpetual_move_no_cash_but_what_they_realise_and_their_fees(
    connection: Connection,
) -> None:
    both = Both(connection)
    both.fill(1, OWNERS[0], -100, 650_000, FillState.CONFIRMED)
    both.fill(2, OWNERS[0], 60, 640_000, FillState.CONFIRMED)
    (sums,) = fill_sums(connection, "e1", mode=Mode.DEMO)
    cash = both.ledger.state.cash_settled_micro - CASH
    assert (sums.cash, sums.sold) == (Decimal(cash) / MICRO, 65)
    assert cash == 600_000 - 3
