"""The house: what all accounts share."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

from engine.domain.events import InstrumentClosed, InstrumentResolved
from engine.domain.instruments import AccountId, InstrumentId
from engine.live_house import FORGET_AFTER_NS, House

M1 = InstrumentId("demo:m1")


class Desk:
    """Needs an instrument until it is paid."""

    def __init__(self) -> None:
        self.held = {M1}

    def forget(self, instrument: InstrumentId, _now_ns: int, *, held: bool) -> None:
        assert not held
        if not self.paid:
            return
        self.held.discard(instrument)

    paid = False


def test_a_market_that_is_paid_long_after_its_close_is_forgotten_too() -> None:
    house: Any = object.__new__(House)
    desk = Desk()
    house.engine_id = "one"
    house.shells = {AccountId("demo"): SimpleNamespace(desk=desk)}
    house.recorder = SimpleNamespace(append=lambda *_: 1)
    house.state = SimpleNamespace(write=lambda _: None)
    house._unkept, house._closed = deque(), deque()
    house.keep(InstrumentClosed(instrument=M1), 0)
    house.forget_closed(FORGET_AFTER_NS)
    assert desk.held == {M1}
    paid_ns = 2 * FORGET_AFTER_NS
    house.keep(InstrumentResolved(instrument=M1, payout_yes_micro=0, source="demo"), paid_ns)
    desk.paid = True
    house.forget_closed(paid_ns + FORGET_AFTER_NS - 1)
    assert desk.held == {M1}
    house.forget_closed(paid_ns + FORGET_AFTER_NS)
    assert desk.held == set()
