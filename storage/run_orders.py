"""The orders of a run, as its journal tells them: what each was, from when to when it stood."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec

from engine.domain import effects
from engine.domain.instruments import Instrument, Leg, Side
from engine.domain.order_life import JOURNALED_STATES
from engine.domain.orders import ORDER_ENDS, OrderState
from storage.journal import kinds_of
from storage.projected.orders import HAPPENED
from storage.runs import RECORDS_MAX

_PLACED, _CHANGED, _LISTED = "PlaceOrder", "OrderChanged", "InstrumentListed"
KINDS = (_LISTED, _PLACED, _CHANGED, *(kind.__name__ for kind in HAPPENED))


class OrderLife(msgspec.Struct, kw_only=True):
    """One order. Prices and sizes in increments of its instrument, times in ns UTC."""

    id: int
    account: str = ""
    bot: str = ""
    decision: int = 0
    """The number of the decision it came of; 0 = none led to it."""
    instrument: str
    side: Side
    leg: Leg
    price: int
    size: int
    filled: int = 0
    placed_ns: int
    ended_ns: int | None = None
    """None = it still stood when the run ended."""
    state: OrderState = OrderState.PENDING
    reason: str = ""

    def stood(self, at_ns: int) -> bool:
        """Say whether it was asked for and had not ended at a time."""
        return self.placed_ns <= at_ns and (self.ended_ns is None or at_ns < self.ended_ns)


class RunOrders(msgspec.Struct, kw_only=True):
    """The orders of a run by number, and what its instruments are counted in."""

    lives: dict[int, OrderLife] = {}
    listed: dict[str, Instrument] = {}
    last_seq: int = 0
    """The last record that was read."""
    whole: bool = True
    """False = the journal holds more records than are read."""

    def of(self, instrument: str) -> list[OrderLife]:
        """Return the orders in one instrument, oldest first."""
        return [one for one in self.lives.values() if one.instrument == instrument]


def run_orders(path: Path) -> RunOrders:
    """Return every order of a run's journal.

    Raises StorageError where the file cannot be read, JournalCorrupt for an unreadable record.
    """
    found, read = RunOrders(), 0
    for record, message in islice(kinds_of(path, KINDS), RECORDS_MAX):
        read += 1
        found.last_seq = record.seq
        if record.kind == _LISTED:
            found.listed[message.instrument.id] = message.instrument
        elif record.kind == _PLACED:
            found.lives.setdefault(message.order.id, _placed(message, record.at_ns))
        elif record.kind == _CHANGED:
            _changed(found, message, record.at_ns)
        else:
            _stepped(found, message, record.at_ns)
    found.whole = read < RECORDS_MAX
    return found


def _placed(effect: effects.PlaceOrder, at_ns: int) -> OrderLife:
    order = effect.order
    return OrderLife(
        id=order.id,
        account=order.account,
        bot=order.bot,
        decision=order.decision,
        instrument=order.instrument,
        side=order.side,
        leg=order.leg,
        price=order.price,
        size=order.size,
        placed_ns=at_ns,
        state=OrderState.SENT if effect.identity else OrderState.PENDING,
    )


def _changed(found: RunOrders, change: effects.OrderChanged, at_ns: int) -> None:
    life = found.lives.get(change.order)
    if life is not None:
        life.filled = change.filled
        _move(life, change.state, change.reason, at_ns)


def _stepped(found: RunOrders, event: msgspec.Struct, at_ns: int) -> None:
    """Take what a record says by itself of where orders went, as the projection of orders does."""
    for number in getattr(event, "orders", None) or (getattr(event, "order", 0),):
        life = found.lives.get(number)
        after = life and JOURNALED_STATES.get((life.state, HAPPENED[type(event)]))
        if life is not None and after:
            _move(life, after, getattr(event, "why", ""), at_ns)


def _move(life: OrderLife, state: OrderState, reason: str, at_ns: int) -> None:
    if state is not life.state:
        life.state, life.reason = state, reason
    if state in ORDER_ENDS and life.ended_ns is None:
        life.ended_ns = at_ns
