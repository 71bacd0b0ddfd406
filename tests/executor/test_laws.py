"""The executor over a venue that loses, delays, repeats and reorders; judges watch the truth."""

from __future__ import annotations

import heapq
from random import Random
from typing import Any

import pytest

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    PlaceOrder,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
)
from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    FillSettled,
    FillsListed,
    FillVoided,
    LatchSet,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderNamed,
    OrderNotFound,
    OrderNotSent,
    OrderRejected,
    OrderReported,
    OrderSent,
    OrderUnanswered,
    QueryFailed,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import Leg, Side
from engine.domain.orders import Identity, Order, OrderReport, OrderState, RejectReason
from engine.executor.executor import ExecutorSettings
from engine.executor.orders import working_of
from tests.executor.recount import recount

SHARE = 1_000_000
MS = 1_000_000
SECOND = 1_000_000_000
SETTINGS = ExecutorSettings(answer_ms_max=3_000)


class Lossy:
    """A venue with the truth inside and a bad line outside."""

    def __init__(self, rig: Any, random: Random) -> None:
        self.rig = rig
        self.random = random
        self.open: dict[int, int] = {}
        self.orders: dict[int, Order] = {}
        self.fills: dict[FillId, OrderFilled] = {}
        self.states: dict[FillId, FillState] = {}
        self.line: list[tuple[int, int, Any]] = []
        self._count = 0

    def later(self, what: Any, least_ms: int = 1, most_ms: int = 400) -> None:
        self._count += 1
        at = self.rig.now + self.random.randint(least_ms, most_ms) * MS
        heapq.heappush(self.line, (at, self._count, what))

    def feed(self, kind: Any, order: int, **changes: Any) -> None:
        event = self.rig.event(kind, order, **changes)
        self.later(event)
        if self.random.random() < 0.1 and kind is not OrderRejected:
            self.later(event)

    # -- what is asked -----------------------------------------------------------------------------

    def do(self, effect: Any) -> None:
        kind, roll = type(effect), self.random.random()
        if kind is PlaceOrder:
            self.place(effect.order, roll)
        elif kind is CancelOrders:
            for number in effect.orders:
                self.later(("cancel", number, self.random.random()), 1, 100)
        elif kind is CancelAll:
            for number in list(self.orders):
                self.later(("cancel", number, 0.0), 1, 100)
        elif kind is QueryOrder:
            self.later(("query", effect, roll), 1, 200)
        elif kind in {QueryOpenOrders, QueryFills}:
            if roll < 0.2:
                failed = QueryFailed(
                    account=self.rig.build.account,
                    question=kind.__name__,
                    order=None,
                    reason="x",
                    answers=effect.number,
                )
                self.later(failed)
            elif roll < 0.9:
                self.later((kind, effect), 1, 300)

    def place(self, order: Order, roll: float) -> None:
        self.orders[order.id] = order
        if roll < 0.05:
            self.feed(OrderNotSent, order.id, reason="throttled")
            return
        name = Identity(f"id{order.id}")
        self.rig.feed(
            OrderNamed(account=order.account, order=order.id, identity=name),
            OrderSent(account=order.account, order=order.id),
        )
        if roll < 0.1:
            self.feed(OrderRejected, order.id, reason=RejectReason.WOULD_CROSS)
        elif roll < 0.15:  # lost on the way there
            self.feed(OrderUnanswered, order.id, reason="timeout")
        else:
            self.later(("arrive", order.id, roll), 1, 300)

    # -- the truth ---------------------------------------------------------------------------------

    def happen(self, what: Any) -> None:
        head = what[0]
        if head == "arrive":
            self.open[what[1]] = self.orders[what[1]].size
            if what[2] < 0.3:
                self.feed(OrderUnanswered, what[1], reason="lost on the way back")
            else:
                self.feed(OrderAccepted, what[1])
        elif head == "cancel":
            self.cancel(what[1], what[2])
        elif head == "query":
            self.answer(what[1], what[2])
        elif head is QueryOpenOrders:
            reports = tuple(self.report(number) for number in self.open)
            number = what[1].number
            account = self.rig.build.account
            self.later(OpenOrdersListed(account=account, orders=reports, answers=number))
        elif head is QueryFills:
            fills = tuple(
                OrderFilled(**{**_fields(fill), "state": self.states[fill.fill]})
                for fill in self.fills.values()
            )
            account, asked = self.rig.build.account, what[1]
            self.later(
                FillsListed(
                    account=account, since_ns=asked.since_ns, fills=fills, answers=asked.number
                )
            )

    def cancel(self, number: int, roll: float) -> None:
        if number in self.open and roll < 0.9:
            del self.open[number]
            if roll < 0.75:
                self.feed(OrderCancelled, number)
            else:
                self.feed(CancelUnanswered, number)
        elif number in self.open:
            self.feed(CancelUnanswered, number)
        elif self.rig.executor.record(number) is not None and (
            self.rig.executor.record(number).state is not OrderState.PENDING
        ):
            self.feed(CancelRefused, number)

    def answer(self, asked: QueryOrder, roll: float) -> None:
        number = asked.order
        if roll < 0.2:
            self.feed(QueryFailed, number, question="QueryOrder", reason="x")
        elif number in self.open:
            report = OrderReported(account=self.rig.build.account, report=self.report(number))
            self.later(report)
        else:
            self.feed(OrderNotFound, number, answers=asked.number)

    def report(self, number: int) -> OrderReport:
        order = self.orders[number]
        return OrderReport(
            identity=Identity(f"id{number}"),
            order=order.id,
            ours=True,
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=order.price,
            size=order.size,
            filled=sum(fill.size for fill in self.fills.values() if fill.order == number),
            state=OrderState.OPEN,
        )

    def match(self) -> None:
        """Let the market take some of what is open, and settlement move on."""
        random = self.random
        for number in [n for n in self.open if random.random() < 0.15]:
            left = self.open[number]
            size = left if random.random() < 0.5 else max(10_000, left // 3)
            size = min(left, size)
            order = self.orders[number]
            fill = OrderFilled(
                account=order.account,
                order=order.id,
                fill=FillId(f"f{len(self.fills)}"),
                price=order.price,
                size=size,
                fee_micro=0,
                liquidity=Liquidity.MAKER,
            )
            self.fills[fill.fill], self.states[fill.fill] = fill, FillState.MATCHED
            self.open[number] = left - size
            if left == size:
                del self.open[number]
            if random.random() < 0.85:  # else only a listing will tell
                self.later(fill, 1, 900)
        for name, state in list(self.states.items()):
            if state is FillState.MATCHED and random.random() < 0.2:
                void = random.random() < 0.3
                self.states[name] = FillState.FAILED if void else FillState.CONFIRMED
                kind = FillVoided if void else FillSettled
                if random.random() < 0.8:
                    self.later(kind(account=self.rig.build.account, fill=name), 1, 900)

    def tokens(self, leg: Leg) -> int:
        total = 0
        for name, fill in self.fills.items():
            order = self.orders[fill.order]
            if order.leg is leg and self.states[name] is not FillState.FAILED:
                total += fill.size if order.side is Side.BUY else -fill.size
        return total


def _fields(fill: OrderFilled) -> dict[str, Any]:
    return {name: getattr(fill, name) for name in fill.__struct_fields__}


class World:
    """Rig, venue, a restless strategy, and the judges."""

    def __init__(self, make_rig: Any, seed: int) -> None:
        self.random = Random(seed)
        self.make_rig = make_rig
        self.rig = make_rig(settings=SETTINGS, cash=1_000)
        self.venue = Lossy(self.rig, self.random)
        self.take(self.rig.effects)
        self.wanted = (0, 0)

    def take(self, effects: list[Any]) -> None:
        for effect in list(effects):
            if isinstance(effect, PlaceOrder):
                self.judge_place(effect.order)
            self.venue.do(effect)
        self.rig.effects.clear()

    def judge_place(self, order: Order) -> None:
        """No double order for one intent; nothing is sold that is not there."""
        rig, venue = self.rig, self.venue
        instrument = rig.build.binary()
        bid = working_of(order, instrument).bid
        alive = sum(
            left
            for number, left in venue.open.items()
            if working_of(venue.orders[number], instrument).bid is bid
        )
        assert alive + order.size <= self.wanted[0 if bid else 1]
        if order.side is Side.SELL:
            selling = sum(
                left
                for number, left in venue.open.items()
                if venue.orders[number].side is Side.SELL and venue.orders[number].leg is order.leg
            )
            # A cancel's acknowledgement may overtake the fill before it (law G): such tokens are
            # gone and not told yet.
            told = rig.executor.ledger.state.fills.states
            untold = sum(
                fill.size
                for name, fill in venue.fills.items()
                if name not in told and venue.orders[fill.order].side is Side.SELL
            )
            assert selling + order.size <= venue.tokens(order.leg) + untold

    def feed(self, *messages: Any) -> None:
        self.rig.feed(*messages)
        self.take(self.rig.effects)

    def step(self, *, wishing: bool) -> None:
        rig, random = self.rig, self.random
        rig.now += 100 * MS
        while self.venue.line and self.venue.line[0][0] <= rig.now:
            what = heapq.heappop(self.venue.line)[2]
            if isinstance(what, tuple):
                self.venue.happen(what)
            else:
                self.feed(what)
        self.venue.match()
        if rig.now % SECOND == 0:
            rig.wait(0)
            self.take(rig.effects)
        if wishing and random.random() < 0.3:
            sizes = [random.randint(0, 60) for _ in range(4)]
            mid = 100 * random.randint(40, 60)
            bids = [(mid - 100, sizes[0]), (mid - 200, sizes[1])]
            asks = [(mid + 100, sizes[2]), (mid + 200, sizes[3])]
            self.wanted = (sum(sizes[:2]) * SHARE, sum(sizes[2:]) * SHARE)
            self.feed(rig.mark(best_bid=mid - 50, best_ask=mid + 50), rig.quotes(bids, asks))
        rig.executor.ledger.check()
        recount(rig.executor._table)

    def crash(self) -> None:
        """Die and be born again from the snapshot; what is on the line arrives at the new one."""
        fresh = self.make_rig(settings=SETTINGS, cash=0, empty=True)
        fresh.now = self.rig.now
        fresh.executor.restore(self.rig.executor.snapshot())
        fresh.executor.recover([], fresh.now)
        self.rig = self.venue.rig = fresh
        self.feed()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_line_does_the_truth_and_the_books_agree(make_rig: Any, seed: int) -> None:
    world = World(make_rig, seed)
    for number in range(600):
        world.step(wishing=True)
        if number in {200, 400}:
            world.crash()
    world.feed(LatchSet(who="test", reason="the end"))
    for _ in range(3_000):
        world.step(wishing=False)
        settled = FillState.MATCHED not in world.venue.states.values()
        fills = world.rig.executor.ledger.state.fills
        told = fills.states.keys() >= world.venue.fills.keys() and not fills.unsettled
        if world.rig.executor.proven(None) and settled and told:
            break
    executor, venue = world.rig.executor, world.venue

    assert executor.proven(None) is not None
    assert not venue.open
    assert executor.open_and_unknown == (0, 0)
    held = executor.ledger.holding(world.rig.build.binary().id)
    assert (held.yes_settled, held.no_settled) == (venue.tokens(Leg.YES), venue.tokens(Leg.NO))
    assert (held.yes_pending, held.no_pending) == (0, 0)
    assert not executor.ledger.state.reservations
    assert all(record.state.ended for record in executor._table.orders.values())
    assert len(venue.fills) > 5
