"""An executor that is told a past: it repeats single plans over the facts the journal holds.

For checking what was planned, never for trading. It takes journaled records where the trading one
took messages and did effects, and plans exactly what it is asked about: no question is due in it,
no equity is judged, and what risk had stopped is restored from what was kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    Effect,
    KeepBudget,
    KeepStart,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
)
from engine.domain.events import BookMarked, Event
from engine.domain.instruments import InstrumentId
from engine.domain.orders import OrderId
from engine.executor.asking import Question
from engine.executor.executor import Executor
from engine.executor.house import EQUITY
from engine.executor.records import Wish


class ToldPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument's plan was made of, besides what the journal holds."""

    instrument: InstrumentId
    wish: Wish | None
    mark: BookMarked | None
    echo: bool = False
    """Its cancels came of the venue's answers alone: whatever was planned, it asked for nothing."""


class RetoldExecutor(Executor):
    """Folds the journal of one account; repeats its plans on request."""

    _owed: tuple[CancelOrders, ...] = ()
    """Cancels that an event asked for by itself: they leave with the turn that follows it."""

    @property
    def owed(self) -> frozenset[OrderId]:
        """Return the orders whose cancels the events since the last turn asked for."""
        return frozenset(number for one in self._owed for number in one.orders)

    def fold(self, message: object, at_ns: int) -> None:
        """Take one journaled record; kinds that move nothing are ignored."""
        table = self._table
        if isinstance(message, PlaceOrder):
            order = message.order
            post = table.posts.get(order.instrument)
            if order.id not in table.orders and post is not None:
                table.take(order, post)
                post.bot = order.bot
        elif isinstance(message, CancelOrders):
            self._asked(message.orders, at_ns)
            self._owed = ()
        elif isinstance(message, CancelAll):
            bot, instrument = message.scope.bot, message.scope.instrument
            self._asked(
                (
                    one.order.id
                    for one in table.live()
                    if bot in (None, one.order.bot) and instrument in (None, one.order.instrument)
                ),
                at_ns,
            )
        elif isinstance(message, QueryOpenOrders | QueryFills | QueryBalances):
            # What an answer proves depends on when it was asked for, and how far back.
            questions = self._reconciler.questions
            questions.note(Question(type(message).__name__), at_ns)
            if isinstance(message, QueryFills):
                questions.fills_since_ns = message.since_ns
        elif isinstance(message, KeepBudget):
            self.restore_budget(message.breakers)
        elif isinstance(message, KeepStart):
            self._recover(at_ns)
        elif isinstance(message, Event):
            asked = self.receive(message, at_ns)
            self._owed += tuple(one for one in asked if isinstance(one, CancelOrders))
        self._outbox.take()

    def _asked(self, orders: Iterable[OrderId], at_ns: int) -> None:
        for number in list(orders):
            known = self._table.orders.get(number)
            if known is not None and not known.state.ended and not known.cancel_asked:
                self._table.ask_cancel(known, at_ns)

    def plan_again(self, plans: Iterable[ToldPlan], now_ns: int) -> list[Effect]:
        """Plan these instruments, in this order, and nothing else; return what it asks for."""
        table = self._table
        self._sight.unhealthy.pop(EQUITY, None)
        self._house.age_mode(now_ns)  # its tick is in no journal
        for post in table.posts.values():
            post.wish = None
        table.dirty.clear()
        for one in plans:
            if one.mark is not None:
                self.receive(one.mark, now_ns)
            post = table.posts[one.instrument]
            post.still = False
            post.wish = one.wish
            if one.wish is not None:
                post.bot = one.wish.bot
                table.exposure.assign(one.instrument, one.wish.bot)
            table.dirty[one.instrument] = True
            if one.echo:
                del table.dirty[one.instrument]
        self._planning.run(now_ns, self._ages_ns_max()[0])
        owed, self._owed = self._owed, ()
        return [*owed, *self._outbox.take()]
