"""Plans made again from the journal: what was planned must follow from what was known.

Takes the decision log's plans, the intents of their decisions and the journal; folds the journal
record by record into executors that trade nothing, and repeats every plan at its place through the
same planner and the same rules of risk. The record that comes out must be the one that was kept,
byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import msgspec

from engine.bots.explain import SlotKey, planned
from engine.domain.commands import MANUAL
from engine.domain.decisions import Planned, Rule, Verdict
from engine.domain.effects import CancelOrders, KeepStart, PlaceOrder
from engine.domain.events import AnyEvent, OrderNamed, OrderNotSent, OrderSent
from engine.domain.instruments import AccountId
from engine.domain.intents import Basket, Intent, Quotes, ResidualReason, Target
from engine.domain.orders import OrderId
from engine.executor.plan import NOTHING_AHEAD, Ahead
from engine.lab.explain.accounts import JournalAccounts
from engine.lab.explain.verify_plans import PlanInputs
from engine.log import iso
from engine.risk.reasons import DenyReason
from engine.runtime.recovery import ENGINE_WIDE
from storage.decisions import decision_numbered
from storage.journal import Record, decode

# -- Turns of a past: which plans and which effects of the journal were made together --------------
# Many turns may share one moment, and what the book of risk says of a plan is read behind its
# turn.

LogPlan = tuple[Planned, bytes]
"""A plan, and its bytes as they lie in the log."""

PlanEffect = PlaceOrder | CancelOrders
PlanEffects = Sequence[PlanEffect]

_ORDERS = frozenset({PlaceOrder.__name__, CancelOrders.__name__})
_BEGIN = {kind.__name__ for kind in AnyEvent.__args__} - {OrderNamed.__name__, OrderSent.__name__}
"""Events that a turn follows: that an order leaves is journaled in the middle of its own turn."""


def turns_of(
    records: Iterable[Record], moments: Container[tuple[str, int]]
) -> dict[int, PlanEffects]:
    """Return by their seq which effects on orders belong to one turn, of these moments.

    A turn cancels before it places, and events that one followed lie before it.
    """
    found: dict[int, PlanEffects] = {}
    last: dict[str, tuple[int, list[PlanEffect]]] = {}
    for record in records:
        account, at_ns = record.account, record.at_ns
        if record.kind in _ORDERS and (account, at_ns) in moments:
            before = last[account][1][-1] if account in last else None
            new_turn = record.kind == CancelOrders.__name__ and isinstance(before, PlaceOrder)
            if before is None or new_turn or last[account][0] != at_ns:
                last[account] = at_ns, []
            last[account][1].append(decode(record))
            found[record.seq] = last[account][1]
        elif account in last and _dropped(record, last[account][1][-1]):
            pass
        elif account == ENGINE_WIDE and record.kind in _BEGIN:
            last.clear()
        elif record.kind in _BEGIN:
            last.pop(account, None)
    return found


def _dropped(record: Record, before: PlanEffect) -> bool:
    """Say whether an order had not left as its cancel was asked: journaled in mid-turn."""
    dropped = record.kind == OrderNotSent.__name__ and isinstance(before, CancelOrders)
    return dropped and decode(record).order in before.orders  # type: ignore[union-attr]


def _part(plan: Planned) -> SlotKey:
    """Return whose part in which instrument a plan is about."""
    return plan.instrument, MANUAL if plan.bot is None else plan.bot


def touches(plan: Planned) -> bool:
    return bool(plan.places or plan.cancels)


def placed_in(turns: dict[int, PlanEffects]) -> frozenset[tuple[OrderId, int]]:
    """Return the orders that were journaled, with their time: a lost number is used again."""
    effects = (one for turn in turns.values() for one in turn)
    return frozenset(
        (one.order.id, one.order.created_ns) for one in effects if isinstance(one, PlaceOrder)
    )


def first_turn(
    waiting: Sequence[LogPlan], effects: PlanEffects, placed: Container[tuple[OrderId, int]]
) -> list[LogPlan]:
    """Return the plans of a moment's first turn, the one with these effects.

    Plans say which turn of the moment they are of. In those of an older version an instrument
    planned twice begins another, and so does another number of open orders: plans tell it as it was
    behind their turn. A plan of which nothing was `placed` in the journal is of the turn in which
    its engine died.
    """
    turn: list[LogPlan] = []
    counts: set[int] = set()
    number = next((plan.turn for plan, _ in waiting if touches(plan)), None)
    for one in waiting:
        plan = one[0]
        counts |= {rule.value for rule in plan.rules if plan.places and _counted(rule)}
        twice = len(counts) > 1 or any(_part(known) == _part(plan) for known, _ in turn)
        died = bool(turn and plan.places) and (plan.places[0].order, plan.at_ns) not in placed
        theirs = died or any(_has(plan, effect) for effect in effects)
        if twice or (touches(plan) and (not theirs or plan.turn != number)):
            break
        turn.append(one)
    return turn


def _counted(rule: Rule) -> bool:
    return rule.name == DenyReason.OPEN_ORDERS and rule.verdict is Verdict.PASSED


def _has(plan: Planned, message: PlanEffect) -> bool:
    if isinstance(message, PlaceOrder):
        return message.order.id in [one.order for one in plan.places]
    return any(order in plan.cancels for order in message.orders)


# -- Plans made again from the journal: what was planned must follow from what was known -----------

DIFFERENT_MAX = 20


class PlanDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that came out otherwise than it was kept."""

    account: str
    instrument: str
    at_ns: int
    kept: Planned
    again: Planned | None
    """None = the same facts ask for nothing at all."""


class PlanVerification(msgspec.Struct, kw_only=True):
    """What came of repeating all plans."""

    records: int = 0
    plans: int = 0
    same: int = 0
    idle: int = 0
    """Plans that touched no order: no record of the journal says where they belong."""
    by_hand: int = 0
    """Orders that a person placed: nothing planned them."""
    untold: int = 0
    """Plans of which an input was not kept: by an older version, or a decision rotated away."""
    beyond: int = 0
    """Plans of accounts in which one came out otherwise before: nothing after it proves a thing."""
    unreached: int = 0
    """Plans whose orders the journal, as far as it goes, does not hold."""
    cut: int = 0
    """Plans that died with their engine: nothing of them reached the journal."""
    different: list[PlanDifference] = []
    broken: list[str] = []
    """Where the journal's facts, replayed, are impossible."""
    starts_unkept: int = 0
    """Starts that an older version did not journal: what it knew then cannot be replayed."""
    gone: int = 0
    """Plans of a time whose records were let go."""


class PlanVerifier:
    """Folds one journal into `accounts`, and repeats these plans among its records."""

    def __init__(self, accounts: JournalAccounts, plans: Iterable[LogPlan], log: Path) -> None:
        self.result = PlanVerification()
        self._accounts = accounts
        self._decisions = log
        self._waiting: dict[tuple[str, int], list[LogPlan]] = defaultdict(list)
        for one in plans:
            plan = one[0]
            if plan.places and plan.bot == MANUAL:
                self.result.by_hand += 1
                continue
            self._waiting[plan.account, plan.at_ns].append(one)
            if touches(plan):
                self.result.plans += 1
            else:
                self.result.idle += 1
        self._placed: frozenset[tuple[OrderId, int]] = frozenset()
        self._encode = msgspec.msgpack.Encoder().encode

    def run(self, records: Iterable[Record]) -> PlanVerification:
        accounts = self._accounts
        turns = turns_of(accounts.journal(0), self._waiting)
        self._placed = placed_in(turns)
        for record in records:
            self.result.records += 1
            accounts.apply_settings(record.at_ns)
            accounts.open_at(record)
            message = decode(record)
            if isinstance(message, PlanEffect):
                self._turn(record, message, turns.get(record.seq, ()))
            elif isinstance(message, KeepStart):
                self._end_run(record)
                accounts.start(record, message)
            accounts.apply_record(record, message)
        for (name, _), waiting in self._waiting.items():
            left = sum(touches(plan) for plan, _ in waiting)
            if name in accounts.lost:
                self.result.beyond += left
            else:
                self.result.unreached += left
        return self._judged()

    def _judged(self) -> PlanVerification:
        """Excuse what came out otherwise in lives whose start was not kept; the count says so."""
        result, accounts = self.result, self._accounts
        found = [one for one in result.different if not accounts.excused(one.account, one.at_ns)]
        result.beyond += len(result.different) - len(found)
        result.different = found[:DIFFERENT_MAX]
        result.broken = [
            f"{account} at {iso(at_ns)}: {text}"
            for account, at_ns, text in accounts.broken
            if not accounts.excused(account, at_ns)
        ]
        result.starts_unkept = accounts.starts_unkept
        return result

    def _end_run(self, record: Record) -> None:
        """Count what a start leaves behind: its records will not come any more."""
        over = [w for w in self._waiting if w[0] == record.account and w[1] < record.at_ns]
        for where in over:
            left = sum(touches(plan) for plan, _ in self._waiting.pop(where))
            if record.account in self._accounts.lost:
                self.result.beyond += left
            else:
                self.result.cut += left

    # -- one turn ----------------------------------------------------------------------------------

    def _turn(self, record: Record, message: PlanEffect, effects: PlanEffects) -> None:
        where = (record.account, record.at_ns)
        waiting = self._waiting.get(where)
        account = AccountId(record.account)
        executor = self._accounts.executors.get(account)
        if not waiting or executor is None or account in self._accounts.lost:
            return
        whole = first_turn(waiting, effects, self._placed)
        turn = [plan for plan, _ in whole if touches(plan)]
        if not any(_has(plan, message) for plan in turn):
            return  # by hand, by the engine, or a later turn of the moment cancels the same order
        del waiting[: len(whole)]
        if not waiting:
            del self._waiting[where]
        plans = [plan for plan, _ in whole]
        inputs = self._all_inputs(plans, executor.owed)
        if inputs is None:
            self.result.untold += len(turn)
            return
        asked = executor.repeat_plans(inputs.values(), record.at_ns)
        repeated = {_part(one): one for one in planned(executor, asked, record.at_ns)}
        for plan, body in whole:
            made = repeated.get(_part(plan))
            if made is not None:
                made = msgspec.structs.replace(made, turn=plan.turn)
            if made is not None and inputs[_part(plan)].echo:
                # What was left over is of the last plan, and that may have touched no order.
                made = msgspec.structs.replace(
                    made, left=plan.left, rules=plan.rules, denied=plan.denied, ahead=plan.ahead
                )
            if not touches(plan):
                continue
            if made is not None and self._encode(made) == body:
                self.result.same += 1
            else:
                self._note_difference(account, plan, made)

    def _note_difference(self, account: AccountId, plan: Planned, made: Planned | None) -> None:
        self._accounts.lost.add(account)
        self.result.different.append(
            PlanDifference(
                account=account, instrument=plan.instrument, at_ns=plan.at_ns, kept=plan, again=made
            )
        )

    # -- what plans were made of -------------------------------------------------------------------

    def _all_inputs(
        self, turn: Sequence[Planned], owed: frozenset[OrderId]
    ) -> dict[SlotKey, PlanInputs] | None:
        """Return what a turn's plans were made of; None = something of it was not kept."""
        baskets: list[Basket] = []
        found: dict[SlotKey, PlanInputs] = {}
        intents: list[tuple[Planned, bool, Intent | None]] = []
        for plan in turn:
            echo = not plan.places and owed.issuperset(plan.cancels)
            intent = plan.intent if echo and not plan.decision else self._intent(plan)
            intents.append((plan, echo, intent))
            if isinstance(intent, Basket) and touches(plan) and intent not in baskets:
                baskets.append(intent)
        for plan, echo, intent in intents:
            basket = next((one for one in baskets if one == intent), None)
            if basket is None and not touches(plan):
                continue  # it concerned no other plan
            part = _about(intent, plan)
            if plan.mark is None or (plan.decision and part is None):
                return None
            found[_part(plan)] = PlanInputs(
                instrument=plan.instrument,
                owner=_part(plan)[1],
                intent=part,
                mark=plan.mark,
                basket=basket,
                first=plan.places[0].order if plan.places else 0,
                ahead=_ahead_of(plan),
                denied=plan.denied,
                echo=echo,
            )
        parts = {(one.instrument, one.bot) for basket in baskets for one in basket.targets}
        return found if parts <= found.keys() else None

    def _intent(self, plan: Planned) -> Intent | None:
        """Return what was wanted; None = nothing, or it was not kept."""
        if not plan.decision:
            expired = any(one.reason is ResidualReason.EXPIRED_INTENT for one in plan.left)
            if plan.intent is None and expired and plan.bot is not None:
                # An intent that has run out asks for nothing, whatever it asked for before.
                return Quotes(bot=plan.bot, instrument=plan.instrument, valid_until_ns=plan.at_ns)
            return plan.intent
        for instrument in (plan.instrument, None):
            stored = decision_numbered(
                self._decisions,
                bot=str(plan.bot),
                instrument=instrument,
                number=plan.decision,
                at_ns=plan.at_ns,
            )
            intent = None if stored is None else stored.decision.intent
            if _about(intent, plan) is not None:
                return intent
        return None


def _ahead_of(plan: Planned) -> Ahead:
    """Return what stood ahead of a plan, as its planner took it."""
    ahead = plan.ahead
    if ahead is msgspec.UNSET:
        return NOTHING_AHEAD
    bid = NOTHING_AHEAD.bid if ahead.bid is None else ahead.bid
    return Ahead(bid, NOTHING_AHEAD.ask if ahead.ask is None else ahead.ask)


def _about(intent: Intent | None, plan: Planned) -> Quotes | Target | None:
    """Return the part of an intent that concerns a plan's instrument."""
    parts = intent.targets if isinstance(intent, Basket) else (intent,)
    return next((p for p in parts if p is not None and p.instrument == plan.instrument), None)
