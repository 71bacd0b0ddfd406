"""The picture: each step around a moment, as what happened and what stands differently since.

A step holds only what changed, by path (`book/demo:one`, `order/demo/17`); the page puts the state
of any step together from those before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from msgspec import UNSET

from engine.bots.core import AccountCore
from engine.caches.views import BookView
from engine.domain import events as ev
from engine.domain import inputs as given
from engine.domain import words
from engine.domain.decisions import Decision, Planned, Unit
from engine.domain.effects import PlaceOrder
from engine.domain.events import OrderFilled
from engine.domain.fills import FillId
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Mode, Side
from engine.domain.intents import Basket, Intent, Quotes
from engine.domain.money import MICRO
from engine.domain.orders import Order, OrderId
from engine.domain.plain import PlainDict
from engine.executor.executor import Executor
from engine.executor.fills import Holding
from engine.executor.orders import LiveOrder
from engine.lab.incident.moment import IncidentWindow
from engine.lab.incident.past import TapeInput
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
        self._now: dict[str, object] = {}
        self._set: dict[str, object] = {}
        self._stage: Stage
        self._orders: dict[AccountId, dict[OrderId, None]] = {}
        self._fills: dict[AccountId, dict[FillId, ev.OrderFilled]] = {}
        self._events: tuple[object, ...] = ()
        self._begun = False
        self.steps: list[dict[str, object]] = []
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
        return {key: str(mode) for key, mode in self._stage.modes.items() if self._shows(key)}

    def _shows(self, account: str) -> bool:
        return self._account is None or account in (self._account, "")

    def _within(self, at_ns: int) -> bool:
        return self._window.begin_ns <= at_ns <= self._window.end_ns

    # -- what happens ------------------------------------------------------------------------------

    def on_input(self, one: TapeInput, made: list[Decision | Planned]) -> None:
        entry = one.given
        if isinstance(entry, given.Received) and entry.events is not None:
            self._events = entry.events
        if entry is None or not self._within(one.at_ns) or not self._shows(entry.account):
            return
        self._begin(one.at_ns)
        core = self._stage.desks.get(entry.account)
        if isinstance(entry, given.Received):
            self._market(entry.account, one.at_ns)
            return
        for decided in made:
            self._decided(decided)
        if core is not None:
            self._look(entry.account, core, one.at_ns)
        if isinstance(entry, given.BotMoved):
            self._put(f"bot/{entry.account}/{entry.bot}", entry.state)
        text = self._decided_words(made) or words.of_input(entry)
        kind = "decision" if made else "desk"
        loud = not isinstance(entry, given.Turned | given.Transient | given.BotMoved)
        at = made[-1].instrument if made else None
        self._step(one.at_ns, kind, entry.account, text, instrument=at, always=bool(made) or loud)

    def _decided_words(self, made: list[Decision | Planned]) -> str:
        parts = []
        for one in made:
            if isinstance(one, Decision):
                parts.append(f"{one.bot} decides {one.outcome} ({one.regime}) in {one.instrument}")
            else:
                places, cancels = (len(side) for side in (one.places, one.cancels))
                plan = f"{words.many(places, 'place')}, {words.many(cancels, 'cancel')}"
                parts.append(f"plans {plan} in {one.instrument}")
        more = f"; and {len(parts) - 3} more" if len(parts) > 3 else ""
        return "; ".join(parts[:3]) + more

    def _decided(self, made: Decision | Planned) -> None:
        terms = self._terms(made.instrument)
        if isinstance(made, Decision):
            self._put(f"decision/{made.bot}/{made.instrument}", decision_shown(made, terms))
        else:
            self._put(f"plan/{made.account}/{made.instrument}", plan_shown(made, terms))

    def _market(self, account: AccountId, at_ns: int) -> None:
        """See a market's events in the books that matter to an account."""
        core = self._stage.desks.get(account)
        if core is None:
            return
        shown = watched(core)[:BOOKS_MAX]
        lost = any(isinstance(event, ev.FeedLost) for event in self._events)
        named = {getattr(event, "instrument", None) for event in self._events}
        touched = shown if lost else [key for key in shown if key in named]
        self._books(core, touched)
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

    def on_record(self, record: Record, message: object) -> None:
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
        core = self._stage.desks.get(account)
        if core is not None:
            self._look(account, core, record.at_ns)
        about = self._instrument(core, message)
        text = words.of_record(message, self._terms, about)
        self._step(
            record.at_ns,
            words.kind_of(record.kind, message),
            account,
            text,
            seq=record.seq,
            instrument=about,
            always=True,
        )

    def row(self, decided: Decision) -> None:
        if self._within(decided.at_ns):
            self._begin(decided.at_ns)
            self._decided(decided)
            self._step(
                decided.at_ns,
                "decision",
                AccountId(""),
                self._decided_words([decided]),
                instrument=decided.instrument,
                always=True,
            )

    def _begin(self, at_ns: int) -> None:
        """Note everything that stands when the window begins; what ended before is left out."""
        if self._begun:
            return
        self._begun = True
        for account, core in self._stage.desks.items():
            if self._shows(account):
                executor = core.executor
                self._orders[account] = {
                    number: None
                    for number in self._orders.get(account, ())
                    if (known := executor.record(number)) and not known.state.ended
                }
                self._fills[account] = {
                    fill: event
                    for fill, event in self._fills.get(account, {}).items()
                    if fill_state(executor, fill) not in OVER
                }
                self._books(core, watched(core)[:BOOKS_MAX])
                self._look(account, core, at_ns)

    # -- what stands -------------------------------------------------------------------------------

    def _look(self, account: AccountId, core: AccountCore, at_ns: int) -> None:
        executor = core.executor
        self._put(f"account/{account}", account_shown(executor, self._stage.modes[account], at_ns))
        for key in executor.concerned():
            for known in executor.working(key):
                self._orders.setdefault(account, {})[known.order.id] = None
        over = []
        for number in self._orders.get(account, ()):
            record = executor.record(number)
            if record is None or record.state.ended:
                over.append(number)
            if record is not None:
                terms = self._terms(record.order.instrument)
                self._put(f"order/{account}/{number}", order_shown(record, terms))
        for number in over:
            del self._orders[account][number]
        self._settlements(account, core)
        for bot in core.bots:
            self._put(f"bot/{account}/{bot.name}", str(bot.state))

    def _settlements(self, account: AccountId, core: AccountCore) -> None:
        executor = core.executor
        for key, held in executor.ledger.held.items():
            self._put(f"held/{account}/{key}", holding_shown(held, self._terms(key)))
        for path in [path for path in self._now if path.startswith(f"held/{account}/")]:
            if path.split("/", 2)[2] not in executor.ledger.held:
                self._put(path, None)
        over = []
        for fill, event in self._fills.get(account, {}).items():
            state = fill_state(executor, fill)
            order = executor.order(event.order)
            terms = None if order is None else self._terms(order.instrument)
            self._put(f"fill/{account}/{fill}", fill_shown(event, order, terms, state))
            if state in OVER:
                over.append(fill)
        for fill in over:
            del self._fills[account][fill]

    def _books(self, core: AccountCore, keys: Iterable[InstrumentId]) -> None:
        for key in keys:
            view = core.cache.views.get(key)
            if view is not None:
                self._put(f"book/{key}", book_shown(view))
                proof_ns = view.proof_ns
                age_us = None if proof_ns is None else (proof_ns - self._window.begin_ns) // US
                self._put(f"proof/{key}", age_us)

    def _terms(self, key: str) -> Instrument | None:
        for core in self._stage.desks.values():
            view = core.cache.views.get(InstrumentId(key))
            if view is not None:
                return view.instrument
            known = core.executor.ledger.state.instruments.get(InstrumentId(key))
            if known is not None:
                return known
        return None

    def _instrument(self, core: AccountCore | None, message: Any) -> InstrumentId | None:
        named: InstrumentId | None = getattr(message, "instrument", None)
        if isinstance(named, str):
            return named
        order = message.order if isinstance(message, PlaceOrder) else None
        number = getattr(message, "order", None)
        if order is None and core is not None and isinstance(number, int):
            order = core.executor.order(OrderId(number))
        return None if order is None else order.instrument

    # -- steps -------------------------------------------------------------------------------------

    def _put(self, path: str, value: object) -> None:
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


# -- What stands at a moment, as the page shows it: plain values, prices as venues write them ------


LEVELS = 8
"""Levels of a book shown on each side."""

MS = 1_000_000


def money_shown(micro: int) -> str:
    return f"{micro / MICRO:,.2f}"


def book_shown(view: BookView) -> dict[str, object]:
    """Return a ladder: the best levels first, as [price increments, price, size]."""
    terms, book = view.instrument, view.book
    return {
        "bids": [_level(*level, terms) for level in book.depth(Side.BUY, LEVELS)],
        "asks": [_level(*level, terms) for level in book.depth(Side.SELL, LEVELS)],
        "deeper": [max(0, len(side) - LEVELS) for side in (book.bids, book.asks)],
        "trusted": view.trusted,
        "why": "" if view.trusted else view.distrust,
        "closed": view.closed,
        "last": words.price(view.last_trade, terms),
        "mid": words.NONE if view.mid2 is None else f"{view.mid2 / 2 / terms.price_unit:.4f}",
    }


def _level(price: int, size: int, terms: Instrument) -> list[Any]:
    return [price, words.price(price, terms), words.size(size, terms)]


def order_shown(known: LiveOrder, terms: Instrument | None) -> dict[str, object]:
    """Return one order as it stands; `level` is its price in YES-space, in increments."""
    one = known.order
    return {
        "id": one.id,
        "bot": one.bot,
        "instrument": one.instrument,
        "leg": one.leg,
        "side": one.side,
        "price": words.price(one.price, terms),
        "size": words.size(one.size, terms),
        "filled": words.size(known.filled, terms),
        "left": words.size(known.remaining, terms),
        "state": known.state,
        "cancelling": known.cancel_asked,
        "level": known.level,
        "bid": known.bid,
        "decision": words.decided(one.decision),
        "live": not known.state.ended,
    }


def account_shown(executor: Executor, mode: Mode, now_ns: int) -> dict[str, object]:
    live, unknown = executor.open_and_unknown
    ledger, equity_micro = executor.ledger.state, executor.equity_mid_micro(now_ns)
    return {
        "mode": mode,
        "currency": executor.currency,
        "healthy": executor.healthy,
        "reasons": list(executor.reasons),
        "latched": executor.latched,
        "stopped": executor.stopped,
        "recovering": executor.recovering,
        "open": live,
        "unknown": unknown,
        "equity": "unknown" if equity_micro is None else money_shown(equity_micro),
        "cash_settled": money_shown(ledger.cash_settled_micro),
        "cash_pending": money_shown(ledger.cash_pending_micro),
        "cash_reserved": money_shown(ledger.cash_reserved_micro),
        "unsettled": len(ledger.fills.unsettled),
    }


def holding_shown(held: Holding, terms: Instrument | None) -> dict[str, object]:
    """Return what is held of an instrument: what is settled, and what may still become void."""
    return {
        "yes_settled": words.size(held.yes.settled, terms),
        "yes_pending": words.size(held.yes.pending, terms),
        "yes_reserved": words.size(held.yes.reserved, terms),
        "no_settled": words.size(held.no.settled, terms),
        "no_pending": words.size(held.no.pending, terms),
        "no_reserved": words.size(held.no.reserved, terms),
        "realised": money_shown(held.realised_micro),
        "paid_out": None if held.payout_yes_micro is None else money_shown(held.payout_yes_micro),
    }


def fill_state(executor: Executor, fill: FillId) -> str:
    """Return where a fill stands: matched, mined, confirmed, retrying or failed."""
    state = executor.ledger.state.fills.states.get(fill)
    return "forgotten" if state is None else str(state)


def fill_shown(
    event: OrderFilled, one: Order | None, terms: Instrument | None, state: str
) -> dict[str, object]:
    return {
        "order": event.order,
        "instrument": "" if one is None else one.instrument,
        "side": "" if one is None else f"{one.side} {one.leg}",
        "price": words.price(event.price, terms),
        "size": words.size(event.size, terms),
        "fee": money_shown(event.fee_micro),
        "fee_in_asset": "" if event.fee is UNSET else event.fee.text,
        "liquidity": event.liquidity,
        "state": state,
    }


def decision_shown(made: Decision, terms: Instrument | None) -> dict[str, object]:
    """Return an evaluation: inputs, build-up, gates in order, the intent."""
    return {
        "number": words.decided(made.number),
        "regime": made.regime,
        "outcome": made.outcome,
        "inputs": [[name, _number(value)] for name, value in made.inputs],
        "build_up": [[name, _number(value)] for name, value in made.build_up],
        "gates": [
            [gate.name, gate.passed, _number(gate.value), _number(gate.limit)]
            for gate in made.gates
        ],
        "notes": [list(note) for note in made.notes],
        "intent": intent_shown(made.intent, terms),
    }


def _number(value: float) -> str:
    return f"{value:.6g}"


def intent_shown(intent: Intent | None, terms: Instrument | None) -> str:
    if intent is None:
        return "the intent before it stands"
    if isinstance(intent, Quotes):
        sides = [
            f"{name} " + ", ".join(_quoted(*quote, terms) for quote in quotes)
            for name, quotes in (("bid", intent.bids), ("ask", intent.asks))
            if quotes
        ]
        return "; ".join(sides) or "no orders"
    if isinstance(intent, Basket):
        return f"a basket of {len(intent.targets)} targets"
    return (
        f"a position of {words.size(intent.position, terms)}, "
        f"not worse than {words.price(intent.limit_price, terms)}"
    )


def _quoted(price: int, size: int, terms: Instrument | None) -> str:
    return f"{words.size(size, terms)} at {words.price(price, terms)}"


def plan_shown(made: Planned, terms: Instrument | None) -> PlainDict:
    def resting(one: Any) -> str:
        amount = f"{words.size(one.size, terms)} {one.leg} at {words.price(one.price, terms)}"
        return f"order {one.order}: {one.side} {amount}"

    return {
        "decision": words.decided(made.decision),
        "places": [resting(one) for one in made.places],
        "cancels": [f"order {number}" for number in made.cancels],
        "rests": [resting(one) for one in made.rests],
        "left": [
            f"{one.reason}: {one.side} {words.size(one.size, terms)}" if one.size else one.reason
            for one in made.left
        ],
        "rules": [
            [
                rule.name,
                str(rule.verdict),
                _counted(rule.value, rule.unit, terms),
                _counted(rule.limit, rule.unit, terms),
            ]
            for rule in made.rules
        ],
    }


def _counted(value: int, unit: Unit, terms: Instrument | None) -> str:
    match unit:
        case Unit.MICRO:
            return money_shown(value)
        case Unit.NS:
            return f"{value / MS:,.0f} ms"
        case Unit.SIZE:
            return words.size(value, terms)
        case Unit.COUNT:
            return f"{value:,}"
        case _:
            return ""


def watched(core: AccountCore) -> list[InstrumentId]:
    """Return the instruments a desk's bots watch, or where it holds, works or wants something."""
    found = dict.fromkeys(key for bot in core.bots for key in bot.cells)
    return list(found | dict.fromkeys(core.executor.concerned()))
