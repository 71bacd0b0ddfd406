"""The picture: each step around a moment, as what happened and what stands differently since.

A step holds only what changed, by path (`book/demo:one`, `order/demo/17`); the page puts the state
of any step together from those before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from engine.bots.core import AccountCore
from engine.domain import events as ev
from engine.domain import inputs as given
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import PlaceOrder
from engine.domain.fills import FillId
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Mode
from engine.domain.orders import OrderId
from engine.lab.incident import state, words
from engine.lab.incident.moment import IncidentWindow
from engine.lab.incident.past import Given
from storage.journal import Record

STEPS_MAX = 20_000
BOOKS_MAX = 200
"""Instruments of one account whose books are shown."""

US = 1_000
OVER = ("confirmed", "failed", "forgotten")
"""Where a fill does not change any more."""


class Stage(Protocol):
    """What is looked at: desks by account, with the mode of each."""

    desks: dict[AccountId, AccountCore]
    modes: dict[AccountId, Mode]


class Picture:
    """Collects the steps of one window. `account` None = of all accounts."""

    def __init__(self, window: IncidentWindow, account: AccountId | None) -> None:
        self._window = window
        self._account = account
        self._now: dict[str, Any] = {}
        self._set: dict[str, Any] = {}
        self._stage: Stage
        self._orders: dict[AccountId, dict[OrderId, None]] = {}
        self._fills: dict[AccountId, dict[FillId, ev.OrderFilled]] = {}
        self._events: tuple[Any, ...] = ()
        self._begun = False
        self.steps: list[dict[str, Any]] = []
        self.left_out = 0
        """Steps beyond the most a page can hold."""

    def attach(self, stage: Stage) -> None:
        """Look at these desks from now on: a new life has others."""
        self._stage = stage
        self._orders.clear()
        self._fills.clear()
        for path in list(self._now):
            self._put(path, None)

    @property
    def accounts(self) -> dict[str, str]:
        """Accounts that are shown, with their modes."""
        return {key: str(mode) for key, mode in self._stage.modes.items() if self._shows(key)}

    def _shows(self, account: str) -> bool:
        return self._account is None or account in (self._account, "")

    def _within(self, at_ns: int) -> bool:
        return self._window.begin_ns <= at_ns <= self._window.end_ns

    # -- what happens ------------------------------------------------------------------------------

    def took(self, one: Given, made: list[Decision | Planned]) -> None:
        """See what a desk was given, and what it decided."""
        told = one.given
        if isinstance(told, given.Received) and told.events is not None:
            self._events = told.events
        if told is None or not self._within(one.at_ns) or not self._shows(told.account):
            return
        self._begin(one.at_ns)
        desk = self._stage.desks.get(told.account)
        if isinstance(told, given.Received):
            self._market(told.account, one.at_ns)
            return
        for decided in made:
            self._decided(decided)
        if desk is not None:
            self._look(told.account, desk, one.at_ns)
        if isinstance(told, given.Moved):
            self._put(f"bot/{told.account}/{told.bot}", told.state)
        text = self._decided_words(made) or words.of_input(told)
        kind = "decision" if made else "desk"
        loud = not isinstance(told, given.Turned | given.Fired | given.Moved)
        at = made[-1].instrument if made else None
        self._step(one.at_ns, kind, told.account, text, instrument=at, always=bool(made) or loud)

    def _decided_words(self, made: list[Decision | Planned]) -> str:
        told = []
        for one in made:
            if isinstance(one, Decision):
                told.append(f"{one.bot} decides {one.outcome} ({one.regime}) in {one.instrument}")
            else:
                places, cancels = (len(side) for side in (one.places, one.cancels))
                plan = f"{words.many(places, 'place')}, {words.many(cancels, 'cancel')}"
                told.append(f"plans {plan} in {one.instrument}")
        more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
        return "; ".join(told[:3]) + more

    def _decided(self, made: Decision | Planned) -> None:
        terms = self._terms(made.instrument)
        if isinstance(made, Decision):
            self._put(f"decision/{made.bot}/{made.instrument}", state.decision(made, terms))
        else:
            self._put(f"plan/{made.account}/{made.instrument}", state.plan(made, terms))

    def _market(self, account: AccountId, at_ns: int) -> None:
        """See a market's events in the books that matter to an account."""
        desk = self._stage.desks.get(account)
        if desk is None:
            return
        shown = state.watched(desk)[:BOOKS_MAX]
        lost = any(isinstance(event, ev.FeedLost) for event in self._events)
        named = {getattr(event, "instrument", None) for event in self._events}
        touched = shown if lost else [key for key in shown if key in named]
        self._books(desk, touched)
        for event in self._events:
            if isinstance(event, ev.FeedLost | ev.FeedRestored):
                up = isinstance(event, ev.FeedRestored)
                why = "" if isinstance(event, ev.FeedRestored) else event.reason
                self._put(f"feed/{event.feed}", {"up": up, "why": why})
        traded = [one.instrument for one in self._events if isinstance(one, ev.TradePrinted)]
        # What the line tells of comes first: a trade of another market than the one beside it
        # would read as a trade of that one.
        first = next((key for key in (*traded, *touched) if key in touched), None)
        text = words.of_market(self._events, self._terms)
        self._step(at_ns, "market", account, text, instrument=first, always=False)

    def heard(self, record: Record, message: Any) -> None:
        """See a record of the journal."""
        if isinstance(message, PlaceOrder):
            number, account = message.order.id, AccountId(record.account)
            self._orders.setdefault(account, {})[number] = None
        if isinstance(message, ev.OrderFilled):
            fills = self._fills.setdefault(message.account, {})
            fills[message.fill] = message
        if not self._within(record.at_ns) or not self._shows(record.account):
            return
        self._begin(record.at_ns)
        account = AccountId(record.account)
        desk = self._stage.desks.get(account)
        if desk is not None:
            self._look(account, desk, record.at_ns)
        about = self._instrument(desk, message)
        text = words.of_record(message, self._terms, about)
        self._step(
            record.at_ns, words.kind_of(record.kind, message), account, text, seq=record.seq,
            instrument=about, always=True,
        )  # fmt: skip

    def row(self, decided: Decision) -> None:
        """See a row of the decision log, where nothing is decided again."""
        if self._within(decided.at_ns):
            self._begin(decided.at_ns)
            self._decided(decided)
            self._step(
                decided.at_ns, "decision", AccountId(""), self._decided_words([decided]),
                instrument=decided.instrument, always=True,
            )  # fmt: skip

    def _begin(self, at_ns: int) -> None:
        """Note everything that stands when the window begins; what ended before is not told."""
        if self._begun:
            return
        self._begun = True
        for account, desk in self._stage.desks.items():
            if self._shows(account):
                executor = desk.executor
                self._orders[account] = {
                    number: None
                    for number in self._orders.get(account, ())
                    if (known := executor.record(number)) and not known.state.ended
                }
                self._fills[account] = {
                    fill: told
                    for fill, told in self._fills.get(account, {}).items()
                    if state.fill_state(executor, fill) not in OVER
                }
                self._books(desk, state.watched(desk)[:BOOKS_MAX])
                self._look(account, desk, at_ns)

    # -- what stands -------------------------------------------------------------------------------

    def _look(self, account: AccountId, desk: AccountCore, at_ns: int) -> None:
        """Note what stands differently at an account."""
        executor = desk.executor
        self._put(f"account/{account}", state.account(executor, self._stage.modes[account], at_ns))
        for key in executor.concerned():
            for known in executor.working(key):
                self._orders.setdefault(account, {})[known.order.id] = None
        over = []
        for number in self._orders.get(account, ()):
            stands = executor.record(number)
            if stands is None or stands.state.ended:
                over.append(number)
            if stands is not None:
                terms = self._terms(stands.order.instrument)
                self._put(f"order/{account}/{number}", state.order(stands, terms))
        for number in over:
            del self._orders[account][number]
        self._settlements(account, desk)
        for bot in desk.bots:
            self._put(f"bot/{account}/{bot.name}", str(bot.state))

    def _settlements(self, account: AccountId, desk: AccountCore) -> None:
        executor = desk.executor
        for key, held in executor.ledger.held.items():
            self._put(f"held/{account}/{key}", state.holding(held, self._terms(key)))
        for path in [path for path in self._now if path.startswith(f"held/{account}/")]:
            if path.split("/", 2)[2] not in executor.ledger.held:
                self._put(path, None)
        over = []
        for fill, told in self._fills.get(account, {}).items():
            stands = state.fill_state(executor, fill)
            order = executor.order(told.order)
            terms = None if order is None else self._terms(order.instrument)
            self._put(f"fill/{account}/{fill}", state.fill(told, order, terms, stands))
            if stands in OVER:
                over.append(fill)
        for fill in over:
            del self._fills[account][fill]

    def _books(self, desk: AccountCore, keys: Iterable[InstrumentId]) -> None:
        for key in keys:
            view = desk.cache.views.get(key)
            if view is not None:
                self._put(f"book/{key}", state.book(view))
                proof_ns = view.proof_ns
                age_us = None if proof_ns is None else (proof_ns - self._window.begin_ns) // US
                self._put(f"proof/{key}", age_us)

    def _terms(self, key: str) -> Instrument | None:
        for desk in self._stage.desks.values():
            view = desk.cache.views.get(InstrumentId(key))
            if view is not None:
                return view.instrument
            known = desk.executor.ledger.state.instruments.get(InstrumentId(key))
            if known is not None:
                return known
        return None

    def _instrument(self, desk: AccountCore | None, message: Any) -> InstrumentId | None:
        """Return what a record is about."""
        named: InstrumentId | None = getattr(message, "instrument", None)
        if isinstance(named, str):
            return named
        order = message.order if isinstance(message, PlaceOrder) else None
        number = getattr(message, "order", None)
        if order is None and desk is not None and isinstance(number, int):
            order = desk.executor.order(OrderId(number))
        return None if order is None else order.instrument

    # -- steps -------------------------------------------------------------------------------------

    def _put(self, path: str, value: Any) -> None:
        if self._now.get(path) != value:
            self._set[path] = value
            if value is None:
                self._now.pop(path, None)
            else:
                self._now[path] = value

    def _step(
        self,
        at_ns: int,
        kind: str,
        account: AccountId,
        text: str,
        *,
        instrument: InstrumentId | None = None,
        seq: int = 0,
        always: bool,
    ) -> None:
        changed = any(not path.startswith("proof/") for path in self._set)
        if not (always or changed):
            return
        if len(self.steps) >= STEPS_MAX:
            self.left_out += 1
            return
        step = {"t": (at_ns - self._window.begin_ns) // US, "k": kind, "w": text, "set": self._set}
        named = {"a": account, "i": instrument, "seq": seq}
        self.steps.append(step | {key: value for key, value in named.items() if value})
        self._set = {}
