"""A plan is skipped where nothing is news: an executor that never skips does exactly the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.events import OrderCancelled, OrderRejected
from engine.domain.instruments import InstrumentId
from engine.domain.intents import ResidualReason
from engine.domain.orders import OrderId, OrderState, RejectReason
from engine.executor.executor import ExecutorSettings
from tests.executor.conftest import BOT

M1 = InstrumentId("venue:m1")
INTENTS: list[tuple[Any, Any]] = [
    ([(4_800, 50)], [(5_200, 50)]),
    ([(4_800, 50)], []),
    ([(4_700, 50), (4_600, 20)], [(5_200, 50)]),
    ([(4_800, 3)], []),
    ([], []),
]
SETTINGS = ExecutorSettings(starts_reconciled=True, resize_tolerance_percent=25)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "mark",
                "mark",
                "intent",
                "intent",
                "open",
                "open",
                "gone",
                "refused",
                "fill",
                "by hand",
            ]
        ),
        st.integers(0, 9),
        st.sampled_from([0, 1, 1, 30, 400]),
    ),
    max_size=40,
)


class Twin:
    """A rig; an eager one forgets before every message that its last plan had nothing to do."""

    def __init__(self, rig: Any, *, eager: bool) -> None:
        self.rig = rig
        self.eager = eager
        self.skipped = 0

    def feed(self, *messages: Any) -> list[Any]:
        post = self.rig.executor._table.instruments[M1]
        if self.eager:
            post.touched()
        made: list[Any] = self.rig.feed(*messages)
        self.skipped += all(slot.unchanged for slot in post.slots.values())
        return made

    def step(self, what: str, pick: int, seconds: int) -> Any:
        rig, executor = self.rig, self.rig.executor
        rig.now += seconds * 1_000_000_000
        live = executor.working(M1)
        known = live[pick % len(live)] if live else None
        if what == "mark":
            step = (pick % 3) * 100
            bid, ask = (4_900 - step, 5_100 + step) if pick < 7 else (4_700, 4_750)
            return self.feed(rig.mark(best_bid=bid, best_ask=ask, trusted=pick != 9))
        if what == "intent":
            bids, asks = INTENTS[pick % len(INTENTS)]
            soon = rig.now + (10 if pick == 8 else 3_600) * 1_000_000_000
            return self.feed(rig.mark(), rig.quotes(bids, asks, valid_until_ns=soon, decision=pick))
        if known is None:
            return None
        return self.report(what, known)

    def report(self, what: str, known: Any) -> Any:
        rig, number = self.rig, known.order.id
        if what == "open" and known.state is OrderState.PENDING:
            return rig.open(number)
        if what == "gone" and known.state is OrderState.CANCELLING:
            return self.feed(rig.event(OrderCancelled, number))
        if what == "refused" and known.state is OrderState.PENDING:
            return self.feed(
                rig.event(OrderRejected, number, reason=RejectReason.WOULD_CROSS),
            )
        if what == "fill" and known.state in {OrderState.OPEN, OrderState.CANCELLING}:
            return self.feed(rig.fill(number, 10))
        if what == "by hand":
            return rig.executor.cancel(OrderId(number), rig.now) + self.feed()
        return None


@pytest.mark.long
@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_an_executor_that_plans_each_time_does_the_same(make_rig: Any, steps: Any) -> None:
    lazy = Twin(make_rig(settings=SETTINGS), eager=False)
    eager = Twin(make_rig(settings=SETTINGS), eager=True)
    for what, pick, seconds in steps:
        assert lazy.step(what, pick, seconds) == eager.step(what, pick, seconds)
        assert lazy.rig.executor.explain(M1, BOT) == eager.rig.executor.explain(M1, BOT)
    assert lazy.rig.executor.planning.residuals == eager.rig.executor.planning.residuals
    assert lazy.rig.executor.snapshot() == eager.rig.executor.snapshot()


def test_a_mark_that_tells_the_same_is_no_reason_to_plan(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.rest([(4_800, 50)])
    rig.feed(rig.mark())
    planned: list[Any] = []
    monkeypatch.setattr(rig.executor.planning, "_made", lambda *effects: planned.append(effects))

    rig.now += 1
    rig.feed(rig.mark(), rig.quotes([(4_800, 50)], decision=7))
    assert not planned
    assert rig.executor.intent(M1, BOT).decision == 7


def test_an_order_cancelled_by_hand_is_news_to_the_next_plan(rig: Any) -> None:
    rig.rest([(4_800, 50)])
    rig.feed(rig.mark())
    rig.executor.cancel(OrderId(1), rig.now)
    rig.feed(rig.mark())
    assert [left.reason for left in rig.executor.explain(M1, BOT)[0]] == [
        ResidualReason.WAITING_CANCEL
    ]
