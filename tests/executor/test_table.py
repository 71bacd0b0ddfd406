from __future__ import annotations

from typing import Any

import pytest

from engine.domain.effects import QueryFills
from engine.domain.events import (
    FillsListed,
    InstrumentListed,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderNamed,
    OrderNotFound,
    OrderUnanswered,
)
from engine.domain.instruments import InstrumentId
from engine.domain.orders import Identity, OrderId, OrderState
from engine.errors import BrokenInvariant
from engine.executor.executor import ExecutorSettings
from engine.executor.plan import Plan
from engine.executor.planner import plan, target_levels
from tests.executor.conftest import ACCOUNT, SHARE, Rig

M1 = InstrumentId("venue:m1")
BIDS = [(4_800, 100)]


def test_more_instruments_than_the_maximum_halt(make_rig: Any, build: Any) -> None:
    rig = make_rig(settings=ExecutorSettings(starts_reconciled=True, instruments_max=1))
    with pytest.raises(BrokenInvariant, match="instruments_max"):
        rig.feed(InstrumentListed(instrument=build.binary("venue:m2")))


def test_forgetting_what_was_never_known_or_never_traded_is_done(rig: Any) -> None:
    assert rig.executor.forget(InstrumentId("venue:x"))
    assert rig.executor.forget(M1)
    assert not rig.executor.ledger.state.instruments
    assert rig.executor.concerned() == []


def test_a_forgotten_instrument_goes_with_the_last_order_of_it(make_rig: Any, build: Any) -> None:
    rig = make_rig(
        settings=ExecutorSettings(starts_reconciled=True, ended_orders_max=1),
        instruments=(build.binary(), build.binary("venue:m2")),
    )
    rig.rest(BIDS)
    rig.feed(rig.quotes(), rig.event(OrderCancelled, 1))
    assert rig.executor.forget(M1)
    assert M1 in rig.executor.ledger.state.instruments

    rig.rest(BIDS, name="venue:m2")
    rig.feed(rig.quotes(name="venue:m2"), rig.event(OrderCancelled, 2))
    assert rig.executor.order(OrderId(1)) is None
    assert M1 not in rig.executor.ledger.state.instruments
    assert not rig.executor._table.over


def test_an_order_number_that_was_used_is_not_adopted_again(rig: Any) -> None:
    rig.rest(BIDS)
    assert rig.executor._table.adopt(rig.build.order(1), rig.now) is None
    assert rig.executor._table.adopt(rig.build.order(0), rig.now) is None


def test_an_order_of_an_unlisted_instrument_cannot_be_counted(rig: Any) -> None:
    with pytest.raises(BrokenInvariant, match="never listed"):
        rig.executor._table.adopt(rig.build.order(5, instrument=InstrumentId("venue:x")), rig.now)


def test_nothing_wanted_and_nothing_working_is_no_plan(rig: Any) -> None:
    instrument = rig.build.binary()
    made = plan(
        target_levels(None, instrument, 0, None, ExecutorSettings()),
        instrument=instrument,
        holding=rig.executor.ledger.holding(M1),
        working=(),
        cash_free_micro=0,
        now_ns=0,
    )
    assert made == Plan((), (), ())


# -- what the journal is told ----------------------------------------------------------------------


def changes(rig: Rig, since: int = 0) -> list[tuple[int, str, int, str]]:
    return [(one.order, one.state, one.filled, one.reason) for one in rig.changes[since:]]


def test_the_journal_is_told_once_a_turn_where_an_order_stands(rig: Rig) -> None:
    rig.quote([(4_800, 100)])
    rig.send(1)
    assert rig.changes == []
    rig.feed(rig.event(OrderAccepted, 1), rig.fill(1, 40), rig.fill(1, 10))
    assert changes(rig) == [(1, "partial", 50 * SHARE, "")]
    rig.feed(rig.event(OrderCancelled, 1))
    rig.feed(rig.event(OrderCancelled, 1))
    assert changes(rig, 1) == [], "the record of the cancel tells by itself where it stands"
    rig.feed(rig.fill(1, 5))
    assert changes(rig, 1) == [(1, "cancelled", 55 * SHARE, "")]


def test_an_order_that_nobody_found_is_told_unknown_until_it_is_believed_gone(rig: Rig) -> None:
    rig.quote([(4_800, 100)])
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timed out"))
    assert changes(rig) == [(1, "unknown", 0, "timed out")]
    for _ in range(2):
        rig.wait(1, rig.event(OrderNotFound, 1))
        assert rig.state(1) is OrderState.UNKNOWN
    assert len(rig.changes) == 1
    rig.wait(30)
    for _ in range(3):
        asked = next(e for e in rig.effects[::-1] if isinstance(e, QueryFills))
        rig.feed(FillsListed(account=ACCOUNT, since_ns=asked.since_ns, fills=()))
        rig.wait(10, rig.event(OrderNotFound, 1))
    ((_, state, _, reason),) = changes(rig, 1)
    assert state == rig.state(1) == OrderState.CANCELLED
    assert "does not know it" in reason


def test_a_rest_too_small_to_trade_is_told_as_filled(rig: Rig) -> None:
    rig.rest([(4_800, 100)])
    rig.feed(rig.fill(1, 99.995))
    assert changes(rig)[-1] == (1, "filled", 99_995_000, "")


def test_a_start_tells_what_the_life_before_could_not(rig: Rig, make_rig: Any) -> None:
    placed = rig.rest([(4_800, 100), (4_700, 100)])
    known = [rig.executor.record(order.id) for order in placed]
    assert [one.journaled for one in known if one is not None] == [OrderState.OPEN] * 2

    after = make_rig(settings=ExecutorSettings(), cash=0, empty=True)
    after.executor.receive(InstrumentListed(instrument=after.build.binary()), 0)
    for order in placed:
        after.executor.adopt(order, after.now)
        name = Identity(f"id{order.id}")
        after.executor.receive(after.event(OrderNamed, order.id, identity=name), after.now)
        after.executor.receive(after.event(OrderAccepted, order.id), after.now)
    after.executor.receive(after.event(OrderExpired, 2), after.now)  # and there it died
    for change in rig.changes:
        after.executor.restore_change(change)
    after.feed()

    assert {number: state for number, state, *_ in changes(after)} == {1: "unknown", 2: "expired"}


def test_which_end_an_order_came_to_survives_a_restart(rig: Rig, make_rig: Any) -> None:
    (placed,) = rig.rest([(4_800, 100)])
    rig.feed(rig.event(OrderExpired, 1))

    after = make_rig(settings=ExecutorSettings(), cash=0, empty=True)
    after.executor.receive(InstrumentListed(instrument=after.build.binary()), 0)
    after.executor.adopt(placed, after.now)
    after.executor.receive(after.event(OrderExpired, 1), after.now)
    for change in rig.changes:
        after.executor.restore_change(change)
    after.feed()

    assert after.state(1) is OrderState.EXPIRED
    assert after.changes == []
