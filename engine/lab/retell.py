"""Plans made again from the journal: what was planned must follow from what was known.

Takes the decision log's plans, the wishes of their decisions and the journal; folds the journal
record by record into executors that trade nothing, and repeats every plan at its place through the
same planner and the same rules of risk. The record that comes out must be the one that was kept,
byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from engine.bots.planned import planned
from engine.domain.commands import MANUAL
from engine.domain.decisions import Planned
from engine.domain.effects import CancelOrders, KeepStart, PlaceOrder
from engine.domain.instruments import AccountId
from engine.domain.intents import Basket, Quotes, ResidualReason, Target
from engine.domain.orders import OrderId
from engine.executor.retold import ToldPlan
from engine.journal import Record, decode
from engine.lab.retell_accounts import ToldAccounts
from engine.log import iso
from storage.decisions import decision_numbered, decisions_around

Kept = tuple[Planned, bytes]
"""A plan, and its bytes as they lie in the log."""

DIFFERENT_MAX = 20


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that came out otherwise than it was kept."""

    account: str
    instrument: str
    at_ns: int
    kept: Planned
    again: Planned | None
    """None = the same facts ask for nothing at all."""


class Retold(msgspec.Struct, kw_only=True):
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
    different: list[Difference] = []
    broken: list[str] = []
    """Where the journal's facts cannot be, told again."""
    starts_unkept: int = 0
    """Starts that an older version did not journal: what it knew then cannot be told again."""


class Retelling:
    """Folds one journal into `accounts`, and repeats these plans among its records."""

    def __init__(self, accounts: ToldAccounts, plans: Iterable[Kept], decisions: Path) -> None:
        self.told = Retold()
        self._accounts = accounts
        self._decisions = decisions
        self._waiting: dict[tuple[str, int], list[Kept]] = defaultdict(list)
        for one in plans:
            plan = one[0]
            if not plan.places and not plan.cancels:
                self.told.idle += 1
            elif plan.places and plan.bot == MANUAL:
                self.told.by_hand += 1
            else:
                self._waiting[plan.account, plan.at_ns].append(one)
                self.told.plans += 1
        self._encode = msgspec.msgpack.Encoder().encode

    def run(self, records: Iterable[Record]) -> Retold:
        """Fold all records and repeat the plans among them."""
        accounts = self._accounts
        for record in records:
            self.told.records += 1
            accounts.apply_settings(record.at_ns)
            message = decode(record)
            if isinstance(message, PlaceOrder | CancelOrders):
                self._turn(record, message)
            elif isinstance(message, KeepStart):
                self._end_of_life(record)
                accounts.start(record, message)
            accounts.fold(record, message)
        for (name, _), left in self._waiting.items():
            if name in accounts.lost:
                self.told.beyond += len(left)
            else:
                self.told.unreached += len(left)
        return self._judged()

    def _judged(self) -> Retold:
        """Excuse what came out otherwise in lives whose start was not kept; the count says so."""
        told, accounts = self.told, self._accounts
        found = [one for one in told.different if not accounts.excused(one.account, one.at_ns)]
        told.beyond += len(told.different) - len(found)
        told.different = found[:DIFFERENT_MAX]
        told.broken = [
            f"{account} at {iso(at_ns)}: {text}"
            for account, at_ns, text in accounts.broken
            if not accounts.excused(account, at_ns)
        ]
        told.starts_unkept = accounts.starts_unkept
        return told

    def _end_of_life(self, record: Record) -> None:
        """Count what a start leaves behind: its records will not come any more."""
        over = [w for w in self._waiting if w[0] == record.account and w[1] < record.at_ns]
        for where in over:
            left = len(self._waiting.pop(where))
            if record.account in self._accounts.lost:
                self.told.beyond += left
            else:
                self.told.cut += left

    # -- one turn ----------------------------------------------------------------------------------

    def _turn(self, record: Record, message: PlaceOrder | CancelOrders) -> None:
        """Repeat the turn a record belongs to, where plans of it are kept and not yet repeated."""
        where = (record.account, record.at_ns)
        waiting = self._waiting.get(where)
        account = AccountId(record.account)
        executor = self._accounts.executors.get(account)
        if not waiting or executor is None or account in self._accounts.lost:
            return
        turn = _first_turn(waiting)
        if not any(_has(plan, message) for plan, _ in turn):
            return  # by hand, or by the house
        del waiting[: len(turn)]
        if not waiting:
            del self._waiting[where]
        turn = sorted(turn, key=lambda one: one[0].places[0].order if one[0].places else 0)
        owed = executor.owed
        inputs = [one for plan, _ in turn if (one := self._inputs(plan, owed)) is not None]
        if len(inputs) < len(turn):
            self.told.untold += len(turn)
            return
        effects = executor.plan_again(inputs, record.at_ns)
        again = {one.instrument: one for one in planned(executor, effects, record.at_ns)}
        for (plan, body), given in zip(turn, inputs, strict=True):
            made = again.get(plan.instrument)
            if made is not None and given.echo:
                # What was left over is of the last plan, and that may have touched no order.
                made = msgspec.structs.replace(
                    made, left=plan.left, rules=plan.rules, denied=plan.denied
                )
            if made is not None and self._encode(made) == body:
                self.told.same += 1
            else:
                self._differs(account, plan, made)

    def _differs(self, account: AccountId, plan: Planned, made: Planned | None) -> None:
        self._accounts.lost.add(account)
        self.told.different.append(
            Difference(
                account=account, instrument=plan.instrument, at_ns=plan.at_ns, kept=plan, again=made
            )
        )

    def _inputs(self, plan: Planned, owed: frozenset[OrderId]) -> ToldPlan | None:
        """Return what the plan was made of; None = something of it was not kept."""
        if plan.mark is None:
            return None
        wish = plan.wish
        if plan.decision:
            wish = self._wish(plan)
            if wish is None:
                return None
        elif any(one.reason is ResidualReason.EXPIRED_INTENT for one in plan.left):
            wish = self._expired(plan)
        echo = not plan.places and owed.issuperset(plan.cancels)
        return ToldPlan(instrument=plan.instrument, wish=wish, mark=plan.mark, echo=echo)

    def _wish(self, plan: Planned) -> Quotes | Target | None:
        stored = decision_numbered(
            self._decisions,
            bot=str(plan.bot),
            instrument=plan.instrument,
            number=plan.decision,
            at_ns=plan.at_ns,
        )
        return None if stored is None else _about(stored.decision.intent, plan)

    def _expired(self, plan: Planned) -> Quotes | Target | None:
        """Return the wish that had run out: the last one of its bot."""
        before = decisions_around(
            self._decisions,
            instrument=plan.instrument,
            at_ns=plan.at_ns,
            bot=plan.bot,
            after=0,
            before=200,
        )
        wishes = [one.decision.intent for one in before if one.decision.intent is not None]
        return _about(wishes[-1], plan) if wishes else None


def _first_turn(waiting: Sequence[Kept]) -> list[Kept]:
    """Return the plans of a moment's first turn: an instrument planned twice begins another."""
    turn: list[Kept] = []
    for one in waiting:
        if any(known.instrument == one[0].instrument for known, _ in turn):
            break
        turn.append(one)
    return turn


def _has(plan: Planned, message: PlaceOrder | CancelOrders) -> bool:
    if isinstance(message, PlaceOrder):
        return message.order.id in [one.order for one in plan.places]
    return any(order in plan.cancels for order in message.orders)


def _about(intent: object, plan: Planned) -> Quotes | Target | None:
    """Return the part of a wish that concerns a plan's instrument."""
    if isinstance(intent, Basket):
        return next((one for one in intent.targets if one.instrument == plan.instrument), None)
    return intent if isinstance(intent, Quotes | Target) else None
