"""A past told again ends where the past ended."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.effects import QueryFills
from engine.domain.events import (
    CashMoved,
    FillsListed,
    InstrumentListed,
    OrderNotFound,
    OrderNotSent,
)
from engine.domain.events import OrderUnanswered as Unanswered
from engine.domain.instruments import Mode
from engine.domain.orders import OrderState
from engine.executor.executor import ExecutorSettings
from engine.executor.ledger import Ledger
from engine.lab.explain.verify_plans import VerifyingExecutor
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from tests.executor.conftest import ACCOUNT, LIMITS, SECOND, Rig

BIDS = [(4_800, 100)]


class RecordedRig:
    """A rig whose every message and effect is kept, as a journal keeps them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.journal: list[tuple[int, Any]] = []

    def receive(self, *messages: Any) -> list[Any]:
        messages = tuple(self.rig.answering(message) for message in messages)
        effects = self.rig.feed(*messages)
        self.journal += [(self.rig.now, one) for one in (*messages, *effects)]
        return effects

    def wait(self, seconds: float) -> list[Any]:
        effects = self.rig.wait(seconds)
        self.journal += [(self.rig.now, one) for one in effects]
        return effects


@pytest.fixture
def rig() -> Rig:
    return Rig()


def fresh() -> VerifyingExecutor:
    gate = RiskGate(limits=LIMITS, breakers=Breakers(LIMITS), exposure=ExposureBook())
    return VerifyingExecutor(
        account=ACCOUNT,
        mode=Mode.DEMO,
        currency="USD",
        ledger=Ledger(currency="USD"),
        gate=gate,
        settings=ExecutorSettings(starts_reconciled=True),
    )


def replayed(journal: list[tuple[int, Any]], rig: Rig) -> VerifyingExecutor:
    executor = fresh()
    executor.apply_record(InstrumentListed(instrument=rig.build.binary()), 0)
    executor.apply_record(CashMoved(account=ACCOUNT, currency="USD", amount_micro=1_000_000_000), 0)
    for at_ns, message in journal:
        executor.apply_record(message, at_ns)
    return executor


def test_an_order_nobody_could_find_ends_in_the_telling_when_it_ended_in_life(rig: Rig) -> None:
    recorded = RecordedRig(rig)
    recorded.receive(rig.mark(), rig.quotes(BIDS))
    recorded.journal += [(rig.now, effect) for effect in rig.send(1)]
    recorded.receive(rig.event(Unanswered, 1, reason="timeout"))
    asked: list[QueryFills] = []
    for _ in range(60):
        asked += [one for one in recorded.wait(1) if isinstance(one, QueryFills)]
        if rig.state(1) is OrderState.CANCELLED:
            break
        recorded.receive(rig.event(OrderNotFound, 1))
        if asked:
            recorded.receive(FillsListed(account=ACCOUNT, since_ns=asked[-1].since_ns, fills=()))
            asked.clear()
    assert rig.state(1) is OrderState.CANCELLED
    assert rig.now > 11 * SECOND

    verifier = replayed(recorded.journal, rig)
    known = verifier.record(1)  # type: ignore[arg-type]
    assert known is not None
    assert known.state is OrderState.CANCELLED
    assert verifier.ledger.cash_free_micro == rig.executor.ledger.cash_free_micro


def test_an_order_of_an_earlier_life_counts_for_its_bot_before_that_intents_again(rig: Rig) -> None:
    order = rig.build.order(1)
    rig.executor.recover([order], rig.now)
    assert rig.executor.gate.exposure.bot_micro(order.bot) > 0
    assert rig.executor.owners(order.instrument) == (order.bot,)


def test_an_order_that_had_no_name_yet_goes_on_from_a_snapshot_as_it_lived(rig: Rig) -> None:
    """Nobody died at the snapshot: the telling begins there in the middle of the engine's life."""
    recorded = RecordedRig(rig)
    recorded.receive(rig.mark(), rig.quotes(BIDS))
    snapshot = rig.executor.snapshot()
    recorded.journal.clear()
    recorded.receive(rig.quotes(()))
    recorded.receive(rig.event(OrderNotSent, 1, reason="dropped"))
    assert rig.state(1) is OrderState.REJECTED

    verifier = fresh()
    verifier.restore(snapshot, died=False)
    for at_ns, message in recorded.journal:
        verifier.apply_record(message, at_ns)
    known = verifier.record(1)  # type: ignore[arg-type]
    assert known is not None
    assert (known.state, verifier.differs) == (OrderState.REJECTED, [])
