from __future__ import annotations

from typing import Any

import pytest

from engine.domain.events import InstrumentListed, OrderCancelled
from engine.domain.instruments import InstrumentId
from engine.domain.orders import OrderId
from engine.errors import BrokenInvariant
from engine.executor.executor import ExecutorSettings
from engine.executor.plan import Plan
from engine.executor.planner import plan

M1 = InstrumentId("venue:m1")
BIDS = [(4_800, 100)]


def test_more_instruments_than_the_maximum_halt(make_rig: Any, build: Any) -> None:
    rig = make_rig(settings=ExecutorSettings(starts_reconciled=True, instruments_max=1))
    with pytest.raises(BrokenInvariant, match="instruments_max"):
        rig.tell(InstrumentListed(instrument=build.binary("venue:m2")))


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
    rig.tell(rig.quotes(), rig.event(OrderCancelled, 1))
    assert rig.executor.forget(M1)
    assert M1 in rig.executor.ledger.state.instruments

    rig.rest(BIDS, name="venue:m2")
    rig.tell(rig.quotes(name="venue:m2"), rig.event(OrderCancelled, 2))
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


def test_nothing_wished_and_nothing_working_is_no_plan(rig: Any) -> None:
    made = plan(
        None,
        instrument=rig.build.binary(),
        holding=rig.executor.ledger.holding(M1),
        working=(),
        cash_free_micro=0,
        mark=None,
        settings=ExecutorSettings(),
        now_ns=0,
    )
    assert made == Plan((), (), ())
