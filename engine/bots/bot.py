"""One bot: its instruments at one account, when each is evaluated next, and what it then sees.

How much of its capital the strategy is given, and what Kelly leaves of a target, is the bot's too.
"""

from __future__ import annotations

import heapq
from typing import Self

import msgspec

from engine.bots.signals import LearnedSignals, Reader, Signals
from engine.caches.views import BookView, InstrumentViews, InventoryView
from engine.domain.bots import BotState
from engine.domain.decisions import Rest
from engine.domain.effects import RaiseAlert, caution
from engine.domain.events import BookChanged, BookMarked, Event
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId
from engine.domain.intents import Intent, Target
from engine.domain.money import MICRO
from engine.domain.products import opening_price
from engine.domain.settings import RiskLimits, Sizing, SizingMethod
from engine.errors import BadInput
from engine.executor.executor import Executor
from engine.indicators.door import Variant
from engine.indicators.realised_volatility import RealisedVolatility
from engine.risk.gate import RiskGate
from engine.risk.sizing import (
    kelly_part,
    most_in_one_micro,
    percent_of_capital,
    volatility_target,
)
from engine.strategies.bar_rule import BPS, BarParameters, BarRule
from engine.strategies.door import (
    NO_OTHERS,
    NO_READINGS,
    NOTHING,
    BotView,
    Claim,
    Context,
    Evaluation,
    Readings,
    Reads,
    Strategy,
    StrategyDeclared,
    check_evaluation,
    not_the_bots,
)
from engine.strategies.registry import declared_of, is_foreign


class Cell:
    """One instrument of one bot: when it may be evaluated again, and whether it should be."""

    __slots__ = (
        "bot",
        "due_ns",
        "filled",
        "free_ns",
        "instrument",
        "listed_ns",
        "mid2_above",
        "mid2_below",
        "mid2_moved_min",
        "quiet",
        "rest",
        "touch",
        "touch_alone",
        "turn",
        "waits",
    )

    def __init__(self, bot: Bot, instrument: InstrumentId) -> None:
        self.bot = bot
        self.instrument = instrument
        self.free_ns = 0
        """Not before this time (the strategy's own debounce)."""
        self.mid2_moved_min = bot.declared.mid2_moved_min
        self.mid2_above = self.mid2_below = 0
        """Between them twice the mid does not wake it, where only moves do; both 0 = any does."""
        self.touch_alone = bot.declared.touch_alone
        self.touch: tuple[int, ...] = ()
        """The touch as it saw it last, where only that wakes it."""
        self.quiet = False
        """Its strategy said that no market event changes its answer before the next timer."""
        self.filled = False
        """An order of it filled since it was evaluated last."""
        self.due_ns: int | None = None
        """When the next evaluation is scheduled; None = nothing asked for one."""
        self.turn = 0
        """Its place among those due at the same time: who was scheduled first goes first."""
        self.waits = False
        """A turn that had too many to evaluate left it over: it is among the first of the next."""
        self.rest: Rest | None = None
        """The pause its strategy gave itself, as its last evaluation said."""
        self.listed_ns: int | None = None
        """The earliest time at which the agenda has it, never later than `due_ns`; None = not."""

    def pause(self, rest: Rest | None) -> None:
        """Keep the pause its strategy gave itself; None = it is over."""
        self.rest = rest

    def note_fill(self, *, filled: bool) -> None:
        """Keep whether an order of it filled since it was evaluated last."""
        self.filled = filled

    def repeat(self, free_ns: int) -> None:
        """Stand as after an evaluation that found all as it was wanted; the next one not before."""
        self.quiet, self.free_ns = False, free_ns

    def touched(self, touch: tuple[int, ...], event: Event) -> bool:
        """Take the touch after a book event; say whether that wakes: a snapshot always does."""
        before, self.touch = self.touch, touch
        return touch != before or type(event) is not BookChanged


class Bot:
    """A strategy, what it watches, and how much it may use.

    `instruments` are fixed ids, `series` are rolling ones: an instrument is taken when it is named
    or when its series is, up to `instruments_max` at a time; `everything` takes whatever is listed
    (a replay of a recording made for the purpose).
    """

    def __init__(
        self,
        *,
        name: BotId,
        account: AccountId,
        strategy: Strategy,
        capital_micro: int,
        instruments: frozenset[InstrumentId] = frozenset(),
        series: frozenset[str] = frozenset(),
        instruments_max: int = 50,
        everything: bool = False,
        given: bytes = b"",
        priority: int = 0,
        sizing: Sizing | None = None,
        code: str = "",
    ) -> None:
        self.name = name
        self.account = account
        self.strategy = strategy
        self.code = code
        """Digest of the plug-in its strategy is of; empty = of the product's own."""
        self.sizer = sizer_of(sizing)
        self._gate: RiskGate | None = None
        """Of the account it joined; None = of none yet."""
        self.declare(declared_of(strategy))
        self.learned: LearnedSignals | None = None
        """What was kept of its bars and indicators, until its instruments are listed."""
        self.capital_micro = capital_micro
        self.instruments = instruments
        self.series = series
        self.followed: frozenset[InstrumentId] = frozenset()
        """Those its saved filter leads to now, besides `instruments`."""
        self.instruments_max = instruments_max
        self.everything = everything
        self.priority = priority
        """Who goes first where its levels would meet another owner's: the higher one."""
        self.given = given
        """The settings it was made from, as JSON, so that it can be made again."""
        self.state = BotState.IDLE
        self.error = ""
        self.others: BotView = NO_OTHERS
        """What its strategy may look at besides the instrument it is asked about."""
        self.kept = b""
        """The state of its strategy as it was last read."""
        self.cells: dict[InstrumentId, Cell] = {}
        self.evaluations = 0
        self.turned_away = 0
        """Instruments it would have taken but for `instruments_max`."""

    def declare(self, declared: StrategyDeclared) -> None:
        """Take what its strategy declares: nothing of it is read from the strategy again."""
        self.declared = declared
        self._stake = Stake.of(self.strategy, self._gate)
        """What the limits of its account leave of its capital."""
        self._foreign = is_foreign(self.strategy)
        unsized = self.sizer is None and not self._foreign
        self._alone = self._stake if unsized else None
        self._plain = unsized and self._stake is None
        """What it gives is neither sized nor looked at first."""
        self.timer_ns, self.replan_ns_min = declared.timer_ns, declared.replan_ns_min
        reads = declared.reads
        self.reads = reads if self.sizer is None else self.sizer.reads(reads)
        self.observes = declared.observes
        """Keys of outside information it listens to."""

    @property
    def listens(self) -> dict[str, None]:
        """Return the keys of reference prices and of outside information it listens to."""
        return dict.fromkeys((*self.declared.references, *self.observes))

    def wants(self, instrument: Instrument) -> bool:
        """Say whether the instrument is named, followed, or rolls in a named series."""
        return (
            self.everything
            or instrument.id in self.instruments
            or instrument.id in self.followed
            or (bool(instrument.series) and instrument.series in self.series)
        )

    def take(self, instrument: Instrument) -> Cell | None:
        """Start watching an instrument; None where it is not wanted or there are too many."""
        if instrument.id in self.cells or not self.wants(instrument):
            return self.cells.get(instrument.id)
        if len(self.cells) >= self.instruments_max:
            self.turned_away += 1
            return None
        cell = Cell(self, instrument.id)
        self.cells[instrument.id] = cell
        return cell

    def read(self, signals: Signals, instrument: Instrument) -> None:
        """Read the bars and indicators its strategy declares of an instrument it has taken."""
        if self.reads is not NOTHING:
            signals.watch(self.name, instrument, self.reads, self.learned)

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Ask the strategy about one instrument; what it wants is sized as the settings say.

        Raises BadInput where it gives what nothing can be done with.
        """
        if self._plain:
            return self.strategy.evaluate(context, now_ns)
        alone, capital = self._alone, context.capital_micro
        if alone is not None and alone.bound(capital) >= capital:
            return self.strategy.evaluate(context, now_ns)
        notes: SizingSteps = ()
        if self.sizer is not None:
            context, notes = self.sizer.funded(context)
        given, capital = context, context.capital_micro
        if (stake := self.stake_micro(capital)) < capital:
            given = msgspec.structs.replace(context, capital_micro=stake)
        evaluation = self.strategy.evaluate(given, now_ns)
        if self._foreign:
            check_evaluation(evaluation, self.name, self.cells)
        if self._stake is not None and given is not context and evaluation.intents:
            notes += self._stake.words(capital, stake)
        if self.sizer is not None:
            return self.sizer.sized(evaluation, context, notes)
        return _noted(evaluation, notes) if notes else evaluation

    def stake_micro(self, capital_micro: int) -> int:
        """Return what limits leave of a capital in one instrument; all where several share it."""
        return capital_micro if self._stake is None else self._stake.bound(capital_micro)

    def joins(self, views: InstrumentViews, executor: Executor, signals: Signals) -> None:
        """Let its strategy look at all of its instruments at the account it joins."""
        self.others = BotMarkets(self, views, executor, signals)
        self._gate = executor.gate
        self.declare(self.declared)

    def renew(self, made: Bot, learned: bytes) -> None:
        """Go on with the strategy of a bot that was made for it, which knows `learned`."""
        self.strategy, self.kept, self.code = made.strategy, learned, made.code
        self.declare(made.declared)

    def keep(self, state: object) -> None:
        """Keep what its strategy gave as its state. Raises BadInput where that is no bytes."""
        if not isinstance(state, bytes):
            raise BadInput(f"state() gave {type(state).__name__}, it must give bytes")
        self.kept = state

    def fail(self, error: str) -> None:
        """Stop for good after an error of the strategy."""
        self.state, self.error = BotState.ERROR, error

    def warn(self, text: str) -> RaiseAlert:
        """Return what its strategy wants a person to know."""
        said = f"bot {self.name} is pausing: {text}"
        return caution("bot_rests", said, self.account, self.name)

    def drop(self, instrument: InstrumentId, signals: Signals) -> None:
        signals.leave(self.name, instrument)
        if self.cells.pop(instrument, None) is not None:
            self.strategy.forget(instrument)


# -- The agenda of a core: which cell is evaluated when, without a further event -------------------
# Most evaluations are put off again and again before their time comes. A cell that is put off
# keeps the entry it has; only when that comes up is it entered anew. So an evaluation costs no
# entry, and the agenda grows with the cells, not with what happens in an hour.


class Agenda:
    """Cells by `due_ns`. Of those due at the same time, who was scheduled first goes first."""

    __slots__ = ("_counter", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, Cell]] = []
        """Entries (when, which turn, cell), the earliest first; none of a cell is later than its
        time, and `take` finds out whether one was put off."""
        self._counter = 0

    def put(self, cell: Cell, due_ns: int) -> None:
        """Have a cell evaluated at this time, and not at the one it had."""
        cell.due_ns = due_ns
        self._counter = cell.turn = self._counter + 1
        listed_ns = cell.listed_ns
        if listed_ns is None or due_ns < listed_ns:
            self._list(cell, due_ns)

    def _list(self, cell: Cell, due_ns: int) -> None:
        cell.listed_ns = due_ns
        heapq.heappush(self.heap, (due_ns, cell.turn, cell))

    def next_ns(self) -> int:
        """Return when the next cell is due; 0 = none is."""
        heap = self.heap
        while heap and heap[0][2].due_ns != heap[0][0]:
            self._strike()
        return heap[0][0] if heap else 0

    def take(self, now_ns: int) -> list[Cell]:
        """Take off, in order, every cell that is due."""
        heap, due = self.heap, []
        while heap and heap[0][0] <= now_ns:
            cell = self._strike()
            if cell is not None:
                due.append(cell)
        return due

    def _strike(self) -> Cell | None:
        """Take the first entry off; return its cell if that is due then."""
        at_ns, _, cell = heapq.heappop(self.heap)
        if cell.listed_ns == at_ns:
            cell.listed_ns = None
        due_ns = cell.due_ns
        if due_ns == at_ns:
            return cell
        if due_ns is not None and due_ns > at_ns and cell.listed_ns is None:
            self._list(cell, due_ns)
        return None


class InputBatch:
    """The market events taped last, for all cores of one engine: they get the same in a row."""

    def __init__(self) -> None:
        self.events: tuple[Event, ...] = ()


# -- What crosses between books and orders: marks for the executor, inventory for strategies -------


def mark_of(view: BookView) -> BookMarked:
    """Return what executor and risk need to know of a book."""
    bids, asks = view.book.bid_prices, view.book.ask_prices
    return BookMarked(
        instrument=view.instrument.id,
        best_bid=bids[-1] if bids else None,
        best_ask=asks[0] if asks else None,
        mid2=view.mid2,
        two_sided_ns=view.two_sided_ns,
        proof_ns=view.proof_ns,
        trusted=view.trusted,
        closed=view.closed,
    )


def inventory_of(executor: Executor, instrument: Instrument, owner: BotId) -> InventoryView:
    """Return what an owner holds in an instrument, in YES-space; the free cash is the account's."""
    ledger = executor.ledger
    held = ledger.owned(instrument.id, owner)
    yes, no = held.yes, held.no
    yes_settled, yes_pending = yes.settled, yes.pending
    no_settled, no_pending = no.settled, no.pending
    position = yes_settled + yes_pending - no_settled - no_pending
    bids, asks = executor.working_sizes(instrument.id, owner)
    return InventoryView(
        position=position,
        yes_settled=yes_settled,
        yes_pending=yes_pending,
        no_settled=no_settled,
        no_pending=no_pending,
        average_price=held.average_price(instrument) if position else None,
        realised_micro=held.realised_micro,
        fees_micro=held.fees_micro,
        cash_free_micro=ledger.cash_free_micro,
        working_bid=bids,
        working_ask=asks,
    )


class BotMarkets:
    """All instruments of one bot, as its strategy may look at them. Implements `BotView`."""

    __slots__ = ("_bot", "_executor", "_signals", "_views")

    def __init__(
        self, bot: Bot, views: InstrumentViews, executor: Executor, signals: Signals
    ) -> None:
        self._bot = bot
        self._views = views
        self._executor = executor
        self._signals = signals

    def views(self) -> tuple[BookView, ...]:
        """Return the books of its instruments that are not closed, in the order it took them."""
        views = (self._views[key] for key in self._bot.cells if key in self._views)
        return tuple(view for view in views if not view.closed)

    def inventory(self, instrument: InstrumentId) -> InventoryView:
        """Return what the bot holds in one of them. Raises BadInput for another instrument."""
        if instrument not in self._bot.cells:
            raise BadInput(not_the_bots(instrument))
        return inventory_of(self._executor, self._views[instrument].instrument, self._bot.name)

    def readings(self, instrument: InstrumentId, now_ns: int) -> Readings:
        """Return the bars and indicators it declared, of one of them; raises as `inventory`."""
        if instrument not in self._bot.cells:
            raise BadInput(not_the_bots(instrument))
        reads = self._bot.reads
        return NO_READINGS if reads is NOTHING else Reader(self._signals, instrument, reads, now_ns)


# -- sizing: how much of its capital a bot puts into one market ------------------------------------
# A sizing by amount, part or volatility is what the strategy is given as its capital; it sizes
# within it by itself. Kelly needs to know what is wanted at which price, so it cuts the target
# afterwards. Every step stands in the decision's notes. Nothing here makes a position larger.

VOLATILITY = "sizing.volatility"
"""The name under which the sizing reads it: no strategy's name has a dot."""


SizingSteps = tuple[tuple[str, str], ...]
"""What was done to a capital before a strategy divided it, in words."""

FEES_PART = 0.01
"""The part of a limit that stays free for fees, which count as exposure, too."""


class Stake:
    """What the limits of an account leave of a bot's capital, for a rule of bars.

    Such a rule wants one position from one turn to the next. A capital above a limit would be
    wanted at every close again and cut by risk each time: the same position, for an evaluation and
    a plan a bar. What others of the account hold at the moment is risk's to weigh.
    """

    @classmethod
    def of(cls, strategy: object, gate: RiskGate | None) -> Self | None:
        """Return that of a rule of bars; None = the strategy is none, or has joined no account."""
        if gate is None or not isinstance(strategy, BarRule):
            return None
        parameters = strategy.parameters
        return cls(gate, parameters) if isinstance(parameters, BarParameters) else None

    def __init__(self, gate: RiskGate, parameters: BarParameters) -> None:
        """`parameters` = the rule's: of its capital it uses a share, at prices that may slip."""
        self._gate, self._breakers = gate, gate.breakers
        self._part = (1 - parameters.slippage_bps_max / BPS - FEES_PART) / parameters.share
        self._limits: RiskLimits | None = None
        self._anchor = self._allowed = self._most = 0

    def bound(self, capital_micro: int) -> int:
        """Return how much of a capital a rule may take for its own, in micro-units.

        What it then wants is within the limits. All of it before the day's first equity is known:
        then risk itself allows nothing.
        """
        limits, anchor = self._gate.limits, self._breakers.day_start_equity_micro
        if anchor != self._anchor or limits is not self._limits:
            self._limits, self._anchor = limits, anchor
            self._allowed = most_in_one_micro(limits, anchor)
            self._most = int(self._allowed * self._part)
        most = self._most
        return most if 0 < most < capital_micro else capital_micro

    def words(self, capital_micro: int, given_micro: int) -> SizingSteps:
        """Return in words that limits allow less of a capital, for a decision's notes."""
        allowed, given, capital = (
            f"{micro / MICRO:,.2f}" for micro in (self._allowed, given_micro, capital_micro)
        )
        said = f"limits allow {allowed} in one market: its share is of {given}, not of {capital}"
        return (("sizing", said),)


def sizer_of(sizing: Sizing | None) -> Sizer | None:
    """Return what sizes a bot; None = its strategy is given all of the capital."""
    if sizing is None or sizing.method is SizingMethod.CAPITAL:
        return None
    return Sizer(sizing)


class Sizer:
    """The sizing of one bot, after its settings. Keeps nothing between two evaluations."""

    def __init__(self, sizing: Sizing) -> None:
        self._sizing = sizing

    def reads(self, reads: Reads) -> Reads:
        """Return what the strategy reads, with what the sizing needs besides."""
        if self._sizing.method is not SizingMethod.VOLATILITY:
            return reads
        wanted = Variant.of(RealisedVolatility, mids=True, from_s=float(self._sizing.window_s))
        return Reads(bars=reads.bars, indicators={**reads.indicators, VOLATILITY: wanted})

    def funded(self, context: Context) -> tuple[Context, SizingSteps]:
        """Return the context with the capital the strategy may divide, and how it came about."""
        sizing, capital = self._sizing, context.capital_micro
        match sizing.method:
            case SizingMethod.FIXED:
                given = min(capital, round(sizing.amount * MICRO))
                how = f"fixed {_money(round(sizing.amount * MICRO))}"
            case SizingMethod.PERCENT:
                given = percent_of_capital(capital, sizing.percent)
                how = f"{sizing.percent:g} % of the capital"
            case SizingMethod.VOLATILITY:
                realised = context.readings.indicator(VOLATILITY)
                given = volatility_target(capital, sizing.volatility / 100.0, realised)
                seen = "not known yet" if realised is None else f"{100.0 * realised:.1f} %"
                how = f"target volatility {sizing.volatility:g} % / realised {seen}"
            case _:
                return context, ()
        text = f"{how}: {_money(given)} of the capital of {_money(capital)}"
        return msgspec.structs.replace(context, capital_micro=given), (("sizing", text),)

    def sized(self, evaluation: Evaluation, context: Context, notes: SizingSteps) -> Evaluation:
        """Return what was wanted, cut to size, with every step among the decision's notes."""
        intents, decision = evaluation.intents, evaluation.decision
        if self._sizing.method is SizingMethod.KELLY:
            made: list[Intent] = []
            for intent in intents:
                cut, said = self._cut(intent, context, evaluation.claim)
                notes += said
                made.append(cut)
                if decision.intent is intent:
                    decision = msgspec.structs.replace(decision, intent=cut)
            intents = tuple(made)
        made_of = msgspec.structs.replace(evaluation, decision=decision, intents=intents)
        return _noted(made_of, notes) if notes else made_of

    def _cut(
        self, intent: Intent, context: Context, claim: Claim | None
    ) -> tuple[Intent, SizingSteps]:
        """Return a target no larger than min(Kelly, position limit, risk); others as they are."""
        instrument, have = context.view.instrument, context.inventory.position
        if type(intent) is not Target or intent.instrument != instrument.id:
            return intent, ()
        wanted = intent.position
        kept = have if (have > 0) == (wanted > 0) else 0
        if abs(wanted) <= abs(kept):
            return intent, (("sizing", "it reduces: not sized"),)
        price = opening_price(instrument.product, intent.limit_price, long=wanted > 0)
        amount, said = self._amount(context, claim, price / instrument.price_unit, wanted > 0)
        size = int(amount * instrument.value_divisor // max(1, price))
        most = max(abs(kept), size // instrument.lot * instrument.lot)
        position = min(abs(wanted), most) * (1 if wanted > 0 else -1)
        return msgspec.structs.replace(intent, position=position), said

    def _amount(
        self, context: Context, claim: Claim | None, price: float, long: bool
    ) -> tuple[int, SizingSteps]:
        """Return the most a position may cost, and the steps in words."""
        sizing, capital = self._sizing, context.capital_micro
        limit = round(sizing.position_max * MICRO)
        risk = percent_of_capital(capital, sizing.risk_percent)
        bounds = {
            f"position limit {_money(limit)}": limit,
            f"{sizing.risk_percent:g} % of {_money(capital)} at risk = {_money(risk)}": risk,
        }
        if claim is None:
            return _least(bounds, "no edge given by the strategy, so no Kelly; ")
        if not claim.confidence >= sizing.confidence_min:
            said = f"confidence {claim.confidence:.2f} < {sizing.confidence_min:g}: nothing opened"
            return 0, (("sizing", said),)
        if context.view.instrument.product.second is None:
            return _least(bounds, "Kelly is for what pays 0 or 1; ")
        chance = claim.fair if long else 1.0 - claim.fair
        part = kelly_part(chance, price) * sizing.kelly * claim.confidence
        kelly = percent_of_capital(capital, 100.0 * part)
        text = (
            f"Kelly ({chance:.3f} - {price:.3f}) / (1 - {price:.3f}) x {sizing.kelly:g} x "
            f"confidence {claim.confidence:.2f} = {_money(kelly)}"
        )
        return _least({text: kelly, **bounds}, "")


def _noted(evaluation: Evaluation, notes: SizingSteps) -> Evaluation:
    """Return an evaluation whose decision has these steps among its notes, too."""
    decision = evaluation.decision
    made = msgspec.structs.replace(decision, notes=(*decision.notes, *notes))
    return msgspec.structs.replace(evaluation, decision=made)


def _least(bounds: dict[str, int], before: str) -> tuple[int, SizingSteps]:
    least = min(bounds, key=bounds.__getitem__)
    text = f"{before}least of: {'; '.join(bounds)}: {_money(bounds[least])}"
    return bounds[least], (("sizing", text),)


def _money(micro: int) -> str:
    return f"{micro / MICRO:,.2f}"
