"""An executor that receives a past: it repeats single plans over the facts the journal holds.

For checking what was planned, never for trading. It takes journaled records where the trading one
took messages and did effects, and plans exactly what it is asked about: no question is due in it,
no equity is judged, and what risk had stopped is restored from what was kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from engine.domain import effects as fx
from engine.domain.events import BookMarked, Event
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Basket
from engine.domain.order_life import Happened
from engine.domain.orders import OrderId, OrderState, OrderType
from engine.executor.executor import Executor
from engine.executor.halts import EQUITY
from engine.executor.orders import InstrumentIntent, LiveOrder
from engine.executor.plan import NOTHING_AHEAD, Ahead
from engine.executor.proof import AccountQuestion
from engine.executor.reconcile import SILENCE
from engine.risk.reasons import DenyReason, Numbers

DIFFERS_MAX = 100
_QUESTIONS = fx.QueryOpenOrders | fx.QueryFills | fx.QueryBalances | fx.QueryRedemptions
"""What is asked of a whole account."""


class PlanInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument's plan was made of, besides what the journal holds."""

    instrument: InstrumentId
    owner: BotId
    intent: InstrumentIntent | None
    mark: BookMarked | None
    basket: Basket | None = None
    """The basket the intent belongs to: all its parts are planned together."""
    first: int = 0
    """Number of its first order; a basket that came to nothing before it took some. 0 = none."""
    ahead: Ahead = NOTHING_AHEAD
    """What other owners, who go first, wanted or had resting there."""
    denied: Numbers = ()
    """What risk looked at when it said no: marks of perpetuals are in no journal."""
    echo: bool = False
    """Its cancels came of the venue's answers alone: whatever was planned, it asked for nothing."""


class VerifyingExecutor(Executor):
    """Folds the journal of one account; repeats its plans on request."""

    _owed: tuple[fx.CancelOrders, ...] = ()
    """Cancels that an event asked for by itself: they leave with the turn that follows it."""

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._states_seen: dict[OrderId, set[tuple[OrderState, int]]] = {}
        """Where orders stood since their last journaled change, by the facts folded here."""
        self.differs: list[str] = []
        """Where the engine said of an order what the facts do not bear out."""

    @property
    def owed(self) -> frozenset[OrderId]:
        """Return the orders whose cancels the events since the last turn asked for."""
        return frozenset(number for one in self._owed for number in one.orders)

    def apply_record(self, message: object, at_ns: int) -> None:
        """Take one journaled record; kinds that move nothing are ignored."""
        table = self._table
        if isinstance(message, fx.PlaceOrder):
            self._placed(message, at_ns)
        elif isinstance(message, fx.CancelOrders):
            self._asked(message.orders, at_ns)
            self._owed = ()
        elif isinstance(message, fx.CancelAll):
            bot, instrument = message.scope.bot, message.scope.instrument
            self._asked(
                (
                    one.order.id
                    for one in table.live()
                    if bot in (None, one.order.bot)
                    and instrument in (None, one.order.instrument)
                    and not _ends_by_itself(one)
                ),
                at_ns,
            )
        elif isinstance(message, _QUESTIONS):
            # What an answer proves depends on when it was asked for, and how far back.
            questions = self._reconciler.questions
            if not message.number:
                return  # the engine asked: the executor waited for no answer
            questions.note(AccountQuestion(type(message).__name__), at_ns, message.number)
            if isinstance(message, fx.QueryFills):
                questions.fills_since_ns = message.since_ns
        elif isinstance(message, fx.QueryOrder):
            self._reconciler.questions.number = message.number
            if (known := table.orders.get(message.order)) is not None:
                known.was_asked(message.number)
        elif isinstance(message, fx.OrderChanged):
            self._changed(message, at_ns)
        elif isinstance(message, fx.KeepBudget):
            self.restore_budget(message.breakers)
        elif isinstance(message, fx.KeepDifferences):
            self.restore_differences(message)
        elif isinstance(message, fx.WalletEffect | fx.QueryOperation):
            self.restore_wallet(message, at_ns)
        elif isinstance(message, fx.KeepStart):
            self._recover(at_ns)
        elif isinstance(message, Event):
            asked = self.receive(message, at_ns)
            self._owed += tuple(one for one in asked if isinstance(one, fx.CancelOrders))
        for number, (known, _) in table.unjournaled.items():
            self._states_seen.setdefault(number, set()).add((known.state, known.filled))
        self._outbox.take()

    def _placed(self, effect: fx.PlaceOrder, at_ns: int) -> None:
        """Take a placed order, unless its plan was made here again, and its name."""
        table, order = self._table, effect.order
        entry, placed = table.instruments.get(order.instrument), table.orders.get(order.id)
        if placed is None and entry is not None:
            placed = table.take(order, entry)
        if placed is not None and effect.identity not in (None, placed.identity):
            placed.identity = effect.identity
            table.happen(placed, Happened.NAMED, at_ns)

    def _changed(self, change: fx.OrderChanged, at_ns: int) -> None:
        """Compare where the engine said an order stood with where it stood by the facts."""
        table = self._table
        known = table.orders.get(change.order)
        if known is None:
            return
        silent = SILENCE.get(known.state)
        seen = self._states_seen.pop(change.order, set())
        if silent is not None and change.state is OrderState.UNKNOWN:
            table.happen(known, silent, at_ns)  # it lost patience: its tick is in no journal
        elif change.state is OrderState.CANCELLING and not known.state.ended:
            self._asked((change.order,), at_ns)  # a CANCEL_ALL: its scope alone is journaled
        said, now = (change.state, change.filled), (known.state, known.filled)
        if said != now and said not in seen and len(self.differs) < DIFFERS_MAX:
            self.differs.append(
                f"order {change.order} is {now[0]} with {now[1]} filled by the journal's facts, "
                f"the engine said {said[0]} with {said[1]}"
            )
        table.restore_change(change)
        if said == (known.state, known.filled):
            table.unjournaled.pop(change.order, None)

    def _asked(self, orders: Iterable[OrderId], at_ns: int) -> None:
        for number in list(orders):
            known = self._table.orders.get(number)
            if known is not None and not known.state.ended and not known.cancel_asked:
                self._table.ask_cancel(known, at_ns)

    def repeat_plans(self, plans: Iterable[PlanInputs], now_ns: int) -> list[fx.Effect]:
        """Plan these instruments, in this order, and nothing else; return what it asks for."""
        table = self._table
        self._blocks.unhealthy.pop(EQUITY, None)
        self._halts.age_mode(now_ns)  # its tick is in no journal
        for entry in table.instruments.values():
            for slot in entry.slots.values():
                slot.intent = slot.basket = None
        groups: list[list[PlanInputs]] = []
        for one in plans:
            self._set_inputs(one, now_ns)
            basket = one.basket
            known = [group for group in groups if basket and group[0].basket is basket]
            if known:
                known[0].append(one)
            else:
                groups.append([one])
        for group in groups:
            table.dirty.clear()
            table.dirty |= {one.instrument: True for one in group if not one.echo}
            firsts = [one.first for one in group if one.first]
            table.numbers.raise_floor(min(firsts, default=0) - 1)
            self.planning.only = {(one.instrument, one.owner): one.ahead for one in group}
            self.planning.run(now_ns)
        owed, self._owed = self._owed, ()
        return [*owed, *self._outbox.take()]

    def _set_inputs(self, one: PlanInputs, now_ns: int) -> None:
        if one.mark is not None:
            self.receive(one.mark, now_ns)
        exposure = self._gate.exposure
        exposure.buffers.repeat(one.instrument, one.denied)
        # Rates are in no journal: the total is unknown where it was for the plan that denied.
        unknown = any(name.startswith(DenyReason.RATE_UNKNOWN) for name, _ in one.denied)
        exposure.repeat_total(unknown=unknown)
        entry = self._table.instruments[one.instrument]
        entry.touched()
        slot = entry.slot(one.owner)
        slot.intent, slot.basket = one.intent, one.basket


def _ends_by_itself(known: LiveOrder) -> bool:
    """Say whether the planner waits for an order instead of cancelling it, also while blind."""
    waited = known.order.type in (OrderType.FAK, OrderType.FOK)
    return waited or known.state is OrderState.DELAYED
