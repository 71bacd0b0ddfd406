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
from engine.domain.decisions import Planned
from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.instruments import AccountId
from engine.domain.intents import Basket, Quotes, ResidualReason, Target
from engine.domain.settings import AccountSettings, SettingsDocument
from engine.executor.executor import ExecutorSettings
from engine.executor.ledger import Ledger
from engine.executor.retold import RetoldExecutor, ToldPlan
from engine.journal import Record, decode
from engine.live_start import HOUSE, currency_of, quote_life_ms
from engine.risk.breakers import Breakers
from engine.risk.exposure import ExposureBook, share_total
from engine.risk.gate import RiskGate
from storage.decisions import decision_numbered, decisions_around

Kept = tuple[Planned, bytes]
"""A plan, and its bytes as they lie in the log."""

Settings = Sequence[tuple[int, SettingsDocument]]
"""(applied at, document), oldest first."""

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
    untold: int = 0
    """Plans of which an input was not kept: by an older version, or a decision rotated away."""
    beyond: int = 0
    """Plans of accounts in which one came out otherwise before: nothing after it proves a thing."""
    unreached: int = 0
    """Plans whose orders the journal, as far as it goes, does not hold."""
    different: list[Difference] = []


class Retelling:
    """Folds one journal. `settings` say with which limits each account was judged, and when."""

    def __init__(self, settings: Settings, plans: Iterable[Kept], decisions: Path) -> None:
        self.told = Retold()
        self._settings = settings
        self._decisions = decisions
        self._due = 0
        self._waiting: dict[tuple[str, int], list[Kept]] = defaultdict(list)
        for one in plans:
            if not one[0].places and not one[0].cancels:
                self.told.idle += 1
                continue
            self._waiting[one[0].account, one[0].at_ns].append(one)
            self.told.plans += 1
        self._executors: dict[AccountId, RetoldExecutor] = {}
        self._gates: dict[AccountId, RiskGate] = {}
        self._lost: set[str] = set()
        self._encode = msgspec.msgpack.Encoder().encode

    def run(self, records: Iterable[Record]) -> Retold:
        """Fold all records and repeat the plans among them."""
        for record in records:
            self.told.records += 1
            self._apply_settings(record.at_ns)
            message = decode(record)
            if isinstance(message, PlaceOrder | CancelOrders):
                self._turn(record, message)
            for account, executor in self._executors.items():
                if record.account in (account, HOUSE):
                    executor.fold(message, record.at_ns)
        for (name, _), left in self._waiting.items():
            if name in self._lost:
                self.told.beyond += len(left)
            else:
                self.told.unreached += len(left)
        return self.told

    # -- settings ----------------------------------------------------------------------------------

    def _apply_settings(self, at_ns: int) -> None:
        while self._due < len(self._settings) and (
            self._due == 0 or self._settings[self._due][0] <= at_ns
        ):
            document = self._settings[self._due][1]
            self._due += 1
            for one in document.accounts.values():
                self._account(one)

    def _account(self, settings: AccountSettings) -> None:
        account = AccountId(settings.name)
        if account in self._gates:
            self._gates[account].apply(settings.limits)
            self._executors[account].expire_quotes(quote_life_ms(settings))
            return
        currency = currency_of(settings)
        gate = RiskGate(
            limits=settings.limits, breakers=Breakers(settings.limits), exposure=ExposureBook()
        )
        self._executors[account] = RetoldExecutor(
            account=account,
            mode=settings.mode,
            currency=currency,
            ledger=Ledger(currency=currency),
            gate=gate,
            settings=ExecutorSettings(starts_reconciled=True, gtd_ms=quote_life_ms(settings)),
        )
        self._gates[account] = gate
        share_total(
            self._gates[name].exposure
            for name, other in self._executors.items()
            if (other.mode, other.currency) == (settings.mode, currency)
        )

    # -- one turn ----------------------------------------------------------------------------------

    def _turn(self, record: Record, message: PlaceOrder | CancelOrders) -> None:
        """Repeat the turn a record belongs to, where plans of it are kept and not yet repeated."""
        where = (record.account, record.at_ns)
        waiting = self._waiting.get(where)
        executor = self._executors.get(AccountId(record.account))
        if not waiting or executor is None or record.account in self._lost:
            return
        turn = _first_turn(waiting)
        if not any(_has(plan, message) for plan, _ in turn):
            return  # by hand, or by the house
        del waiting[: len(turn)]
        if not waiting:
            del self._waiting[where]
        turn = sorted(turn, key=lambda one: one[0].places[0].order if one[0].places else 0)
        inputs = [self._inputs(plan) for plan, _ in turn]
        if any(one is None for one in inputs):
            self.told.untold += len(turn)
            return
        effects = executor.plan_again([one for one in inputs if one is not None], record.at_ns)
        again = {one.instrument: one for one in planned(executor, effects, record.at_ns)}
        for plan, body in turn:
            made = again.get(plan.instrument)
            if made is not None and self._encode(made) == body:
                self.told.same += 1
                continue
            self._lost.add(record.account)
            if len(self.told.different) < DIFFERENT_MAX:
                self.told.different.append(
                    Difference(
                        account=record.account,
                        instrument=plan.instrument,
                        at_ns=record.at_ns,
                        kept=plan,
                        again=made,
                    )
                )

    def _inputs(self, plan: Planned) -> ToldPlan | None:
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
        return ToldPlan(instrument=plan.instrument, wish=wish, mark=plan.mark)

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
