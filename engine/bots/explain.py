"""What the executor made of an intent, for people: the plan as a diff, risk's rules with values.

Reads the executor after its turn and changes nothing. Everything here is a reading of the moment of
the turn, so it must be asked for before the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from engine.domain.decisions import LeftOver, LevelsAhead, Planned, Resting, Rule, Unit, Verdict
from engine.domain.effects import CancelOrders, Effect, PlaceOrder
from engine.domain.instruments import BotId, Instrument, InstrumentId
from engine.domain.intents import ResidualReason
from engine.domain.orders import Order, OrderId
from engine.executor.executor import Executor
from engine.executor.orders import OwnerSlot
from engine.executor.plan import NOTHING_AHEAD
from engine.risk.gate import Denied
from engine.risk.reasons import DenyReason

R = DenyReason
_STOPS = (R.LATCHED, R.KILL_DRAWDOWN, R.DRAWDOWN, R.DAILY_LOSS)
MS = 1_000_000

SlotKey = tuple[InstrumentId, BotId]
"""An instrument, and whose part in it."""


class Explanations:
    """What became of the intents of a turn, and why nothing was done about one, where that is news.

    `explain` receives the records; `stated` is what the intents of the running turn are about.
    """

    def __init__(self, executor: Executor, explain: Callable[[Planned], None]) -> None:
        self._executor = executor
        self._explain = explain
        self.stated: list[SlotKey] = []
        self._left: dict[SlotKey, object] = {}
        """Why nothing could be done about an intent, as it was said last."""
        self._turn_ns = -1
        self._turn = 0

    def show(self, effects: list[Effect], now_ns: int) -> None:
        """Explain the turn that asked for these effects, if there is anything to explain."""
        if not effects and not self.stated:
            return
        executor = self._executor
        self._turn = self._turn + 1 if now_ns == self._turn_ns else 0
        self._turn_ns = now_ns
        stated, self.stated = dict.fromkeys(self.stated), []
        for one in planned(executor, effects, now_ns) if effects else ():
            if one.bot is not None:
                self._left.pop((one.instrument, one.bot), None)
                stated.pop((one.instrument, one.bot), None)
            self._explain(self._of_turn(one))
        for key in stated:
            left, denied = executor.explain(*key)
            why = ({one.reason for one in left}, denied.reason if denied else None)
            if not left:
                self._left.pop(key, None)
            elif self._left.get(key) != why:
                self._left[key] = why
                self._explain(self._of_turn(idle(executor, key, now_ns)))

    def _of_turn(self, one: Planned) -> Planned:
        return msgspec.structs.replace(one, turn=self._turn) if self._turn else one

    def forget(self, instrument: InstrumentId) -> None:
        """Drop an instrument that is traded no more."""
        for part in [part for part in self._left if part[0] == instrument]:
            del self._left[part]


def planned(executor: Executor, effects: Iterable[Effect], now_ns: int) -> list[Planned]:
    """Return one record for every owner's part in an instrument that a turn's effects touch.

    They come in the order of the planning: who comes first has the cash and the room. Of a basket
    every part is listed, also where nothing came of it: the others depended on it.
    """
    places: dict[SlotKey, list[Order]] = {}
    cancels: dict[SlotKey, list[OrderId]] = {}
    for effect in effects:
        if isinstance(effect, PlaceOrder):
            order = effect.order
            places.setdefault((order.instrument, order.bot), []).append(order)
        elif isinstance(effect, CancelOrders):
            for number in effect.orders:
                found = executor.order(number)
                if found is not None:
                    cancels.setdefault((found.instrument, found.bot), []).append(number)
    return [
        _planned(executor, key, places.get(key, []), tuple(cancels.get(key, ())), now_ns)
        for key in _in_order(executor, dict.fromkeys((*places, *cancels)))
    ]


def _in_order(executor: Executor, touched: dict[SlotKey, None]) -> Iterable[SlotKey]:
    baskets = [basket for part in touched if (basket := executor.basket(*part)) is not None]
    if len(touched) < 2 and not baskets:
        return touched
    parts = ((one.instrument, one.bot) for basket in baskets for one in basket.targets)
    planning = executor.planning
    place = {key: at for at, key in enumerate(planning.order)}
    rank = {
        (key, slot.owner): at
        for key, slots in planning.ranked.items()
        for at, slot in enumerate(slots)
    }
    return sorted(
        dict.fromkeys((*touched, *parts)),
        key=lambda part: (place.get(part[0], len(place)), rank.get(part, 0)),
    )


def idle(executor: Executor, part: SlotKey, now_ns: int) -> Planned:
    """Return the record of a plan that touched no order: what rests, what is left over and why."""
    return _planned(executor, part, [], (), now_ns)


def _planned(
    executor: Executor,
    part: SlotKey,
    places: list[Order],
    cancels: tuple[OrderId, ...],
    now_ns: int,
) -> Planned:
    key, owner = part
    left, denied = executor.explain(key, owner)
    intent = executor.intent(key, owner)
    new = {order.id for order in places}
    working = executor.working(key, owner)
    return Planned(
        decision=0 if intent is None else intent.decision,
        account=executor.account,
        bot=owner,
        instrument=key,
        at_ns=now_ns,
        places=tuple(Resting(o.id, o.leg, o.side, o.price, o.size) for o in places),
        cancels=cancels,
        rests=tuple(
            Resting(o.id, o.leg, o.side, o.price, known.remaining)
            for known in working
            if (o := known.order).id not in new and not known.cancel_asked
        ),
        left=tuple(LeftOver(one.reason, one.side, one.price, one.size) for one in left),
        rules=rules(executor, places, denied, now_ns) if places or denied else (),
        denied=() if denied is None else denied.numbers,
        mark=executor.mark(key),
        intent=None if intent is None or intent.decision else intent,
        ahead=_levels_ahead(executor.slot(key, owner)),
    )


def _levels_ahead(slot: OwnerSlot | None) -> LevelsAhead | msgspec.UnsetType:
    ahead = NOTHING_AHEAD if slot is None else slot.ahead
    if ahead == NOTHING_AHEAD:
        return msgspec.UNSET
    bid = None if ahead.bid == NOTHING_AHEAD.bid else ahead.bid
    return LevelsAhead(bid, None if ahead.ask == NOTHING_AHEAD.ask else ahead.ask)


def rules(
    executor: Executor, places: list[Order], denied: Denied | None, now_ns: int
) -> tuple[Rule, ...]:
    """Return risk's rules in the order it asks them, with what this plan makes of each."""
    found = [Rule(reason, Verdict.PASSED, 0, 0, Unit.NONE) for reason in _STOPS]
    if places:
        found += _numbers(executor, places, now_ns)
    if denied is None:
        return _shrunk(executor, places, found)
    reasons = list(DenyReason)
    at = reasons.index(denied.reason)
    known = {rule.name: rule for rule in found}
    rules = []
    for place, reason in enumerate(reasons):
        rule = known.get(reason, Rule(reason, Verdict.PASSED, 0, 0, Unit.NONE))
        if place == at:
            rule = Rule(reason, Verdict.DENIED, rule.value, rule.limit, rule.unit)
        elif place > at:
            rule = Rule(reason, Verdict.NOT_ASKED, 0, 0, Unit.NONE)
        rules.append(rule)
    return tuple(rules)


def _numbers(executor: Executor, places: list[Order], now_ns: int) -> list[Rule]:
    """Return the rules that count something; exposure holds the orders of the plan already."""
    gate, last = executor.gate, places[-1]
    limits, exposure = gate.limits, gate.exposure
    anchor = gate.breakers.day_start_equity_micro
    risk = exposure.of(last.instrument)
    instrument: Instrument = risk.instrument
    value = max(-(-order.price * order.size // instrument.value_divisor) for order in places)
    mark = executor.mark(last.instrument)
    proof_ns = None if mark is None else mark.proof_ns
    age_ns = 0 if proof_ns is None else now_ns - proof_ns
    value_max = limits.order_value_max.micro(anchor)
    amounts = (
        (R.EXPOSURE_INSTRUMENT, risk.micro, limits.exposure_instrument_max.micro(anchor)),
        (R.EXPOSURE_MARKET, risk.market_sum.worst_micro, limits.exposure_market_max.micro(anchor)),
        (R.EXPOSURE_BOT, exposure.bot_micro(last.bot), gate.bot_max_micro(last.bot)),
        (R.EXPOSURE_ACCOUNT, exposure.account.micro, limits.exposure_account_max.micro(anchor)),
    )
    total, total_max = exposure.total_micro(now_ns), limits.exposure_total_max.micro(anchor)
    live = executor.open_and_unknown[0]
    small = min(places, key=lambda order: order.size)
    least = instrument.lot if small.reduce_only else instrument.size_min
    return [
        Rule(R.STALE_DATA, Verdict.PASSED, age_ns, limits.data_age_ms_max * MS, Unit.NS),
        Rule(R.OPEN_ORDERS, Verdict.PASSED, live, limits.open_orders_max, Unit.COUNT),
        Rule(R.ORDER_TOO_SMALL, Verdict.PASSED, small.size, least, Unit.SIZE),
        Rule(R.ORDER_TOO_LARGE, Verdict.PASSED, value, value_max, Unit.MICRO),
        Rule(R.LIQUIDATION_BUFFER, Verdict.PASSED, 0, 0, Unit.NONE),
        *(Rule(name, Verdict.PASSED, used, limit, Unit.MICRO) for name, used, limit in amounts),
        Rule(R.RATE_UNKNOWN, Verdict.PASSED, 0, 0, Unit.NONE),
        Rule(R.EXPOSURE_TOTAL, Verdict.NOT_ASKED, 0, 0, Unit.NONE)
        if total is None
        else Rule(R.EXPOSURE_TOTAL, Verdict.PASSED, total, total_max, Unit.MICRO),
    ]


def _shrunk(executor: Executor, places: list[Order], found: list[Rule]) -> tuple[Rule, ...]:
    """Mark the tightest amount where risk left a part of the intent over."""
    if not places:
        return tuple(found)
    left, _ = executor.explain(places[-1].instrument, places[-1].bot)
    if not any(one.reason is ResidualReason.RISK for one in left):
        return tuple(found)
    amounts = [rule for rule in found if rule.unit is Unit.MICRO]
    tightest = min(amounts, key=lambda rule: rule.limit - rule.value)
    return tuple(
        Rule(rule.name, Verdict.SHRANK, rule.value, rule.limit, rule.unit)
        if rule is tightest
        else rule
        for rule in found
    )
