"""Closed bars of a file, taken by a core one after the other while no strategy wants a change.

Most bars of a rule change nothing: it looks at its indicators and wants what it has. Such a bar
needs no turn. Its `BarClosed` goes to bars and indicators at once, and the strategy is asked by
`stays` whether an evaluation would only repeat itself; where it would not, the same event is played
as any other, and neither is fed with it a second time.

Of bars that are known ahead a strategy may say at once where it would want another thing: up to
there it is not even asked (`Foreseen`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from engine.bots.asked import AskedCore
from engine.bots.bot import Agenda, Bot, Cell, inventory_of
from engine.bots.later_bars import KnownBars
from engine.bots.signals import FAILS, NEVER, Reader, Watched
from engine.bots.slices import IDLE_NS, Put, Slices
from engine.caches.views import BookView, InventoryView
from engine.domain.bots import BotState
from engine.domain.decisions import Decision
from engine.domain.effects import Effect
from engine.domain.events import BarClosed
from engine.domain.instruments import BotId, Instrument, InstrumentId
from engine.errors import BadInput
from engine.executor.executor import Executor
from engine.executor.stillness import Stillness
from engine.indicators.columns import (
    FloatColumn,
    PriceColumns,
    TurnsAhead,
    ValuesAhead,
    ahead,
    behind,
)
from engine.indicators.door import BarIndicator
from engine.strategies.door import ColumnReadings, Readings, Reads, not_declared

# -- What bars that are known ahead do to indicators, and where a rule wants another thing ---------
#
# Made once for many bars: the numbers of indicators as columns, and of each rule the places at
# which what it wants turns. Nothing is decided by it: the bar of such a place is played as any
# other, with indicators that stand as if each had taken every bar before it.


class Foresees(Protocol):
    """A rule that may say what it wants at each of many bars."""

    def parts_over(self, columns: ColumnReadings, instrument: Instrument) -> FloatColumn | None:
        """Return what it wants at each; None = it must be asked at each. See `BarRule.parts`."""
        ...


class Foreseen:
    """What bars from a place on do to what is computed of their instrument."""

    def __init__(
        self, bars: KnownBars, first: int, watched: Watched, rules: Sequence[tuple[Foresees, Reads]]
    ) -> None:
        self._bars = bars
        self._first = first
        self.watched, self._fed, self._rules = watched, watched.fed, rules
        (name,) = watched.series
        self._series = watched.series[name]
        self._ahead: dict[int, ValuesAhead] = {}
        self._turns: list[TurnsAhead] = []
        if not name == bars.spec_text == watched.given:
            return
        price, size = self._series.price_unit, watched.size_unit
        self.prices = PriceColumns(
            open=bars.column("open", first) * price,
            high=bars.column("high", first) * price,
            low=bars.column("low", first) * price,
            close=bars.column("close", first) * price,
            volume=bars.column("volume", first) * size,
        )
        try:
            self._foresee(name)
        except FAILS:  # what raises does so again where it is asked bar by bar
            self._turns = []

    def _foresee(self, name: str) -> None:
        """Find where each rule turns, unless one of them must be asked at each bar."""
        turns = []
        for rule, reads in self._rules:
            parts = rule.parts_over(self.columns(reads), self.watched.instrument)
            if parts is None:
                return
            turns.append(TurnsAhead(parts))
        for indicator in self._fed.bars.get(name, ()):
            self.ahead(indicator)
        self._turns = turns

    def stands(
        self, bars: KnownBars, watched: Watched, rules: Sequence[tuple[Foresees, Reads]]
    ) -> bool:
        """Say whether it is of these bars, and nothing else is read of them by now."""
        return self._bars is bars and self._fed is watched.fed and self._rules == rules

    @property
    def turns(self) -> bool:
        """False = the rules must be asked at each bar."""
        return bool(self._turns)

    def columns(self, reads: Reads) -> ColumnReadings:
        """Return the bars and indicators that a rule declared."""
        return _Columns(self, reads)

    def ahead(self, indicator: BarIndicator) -> ValuesAhead:
        """Return what the bars make of an indicator."""
        found = self._ahead.get(id(indicator))
        if found is None:
            found = self._ahead[id(indicator)] = ahead(indicator, self.prices)
        return found

    def alike(self, at: int, parts: Sequence[float], most: int) -> int:
        """Return at how many bars from a place on each rule wants its part, at most `most`."""
        here = at - self._first
        for turns, part in zip(self._turns, parts, strict=True):
            most = min(most, turns.first(here, part) - here)
        return most

    def go(self, at: int, count: int) -> None:
        """Have bars and indicators take so many bars from a place on, the next they would get."""
        taken, last = at - self._first, at + count
        for one in self._ahead.values():
            one.go(taken, taken + count)
        self._series.keep_later(self._bars, at, last)

    def column(self, field: str, back: int) -> FloatColumn:
        """Return a field of the bar so many bars before each; not a number = there was none."""
        earlier = [getattr(bar, field) for bar in self._series.bars[-back:]] if back else []
        return behind(self._bars.column(field, self._first), earlier, back)


class _Columns:
    """The readings of one rule. Implements `ColumnReadings`."""

    def __init__(self, foreseen: Foreseen, reads: Reads) -> None:
        self._foreseen = foreseen
        self._reads = reads
        self._named = foreseen.watched.named.get(id(reads), {})

    def indicator(self, name: str) -> FloatColumn:
        """Return a declared variant's numbers. Raises BadInput where it is not fed with bars."""
        found = self._named.get(name)
        if not isinstance(found, BarIndicator):
            raise BadInput(f"indicator {name} is not one of bars that is declared")
        return self._foreseen.ahead(found).values

    def bars(self, field: str, back: int = 0) -> FloatColumn:
        """Return a field of the bar so many bars before each."""
        (name,) = self._foreseen.watched.series
        if back >= self._reads.bars.get(name, 0):
            raise BadInput(not_declared(name, back + 1, self._reads))
        return self._foreseen.column(field, back)


# -- Bars taken without a turn --------------------------------------------------------------------


class Stays(Foresees, Protocol):
    """A strategy that can say whether an evaluation at the close of a bar would change nothing."""

    def stays(self, readings: Readings, instrument: Instrument, position: int, now_ns: int) -> bool:
        """Take a closed bar; see `BarRule.stays`."""
        ...

    def stayed(self, instrument: InstrumentId, number: int, now_ns: int) -> Decision:
        """Return the decision of the evaluation that was spared."""
        ...

    def passed(self, instrument: InstrumentId, until_ns: int) -> None:
        """Forget what `stays` found up to this time: no evaluation of those moments follows."""
        ...

    def standing(
        self, readings: Readings, instrument: InstrumentId, position: int | None
    ) -> float | None:
        """Return the part that stands while it wants nothing else; see `BarRule.standing`."""
        ...

    def restates(
        self, inventory: InventoryView, instrument: Instrument, capital_micro: int, close: float
    ) -> bool | None:
        """Say whether it states again what it wants; see `BarRule.restates`."""
        ...

    def went_on(self, instrument: InstrumentId, bars: int, end_ns: int) -> None:
        """Count closed bars at which it wanted what stands, the last one ending at `end_ns`."""
        ...


class Asked:
    """A cell whose strategy is asked at each bar, what it is asked with, and when it was."""

    __slots__ = (
        "bars",
        "bot",
        "cell",
        "due_ns",
        "instrument",
        "passed",
        "position",
        "reader",
        "receive",
        "rule",
        "seen_ns",
        "stayed",
        "stays",
    )

    def __init__(
        self, cell: Cell, rule: Stays, instrument: Instrument, position: int, reader: Reader
    ) -> None:
        self.cell = cell
        self.bot: Bot = cell.bot
        self.bars = self.bot.reads.bars
        self.receive = self.bot.strategy.receive
        self.rule = rule
        self.stays, self.stayed, self.passed = rule.stays, rule.stayed, rule.passed
        self.instrument = instrument
        self.position = position
        self.reader = reader
        self.due_ns = self.seen_ns = 0


class BarsAhead(AskedCore):
    """The part of a core that takes bars without a turn; the lane of `lab.replay.run` drives it."""

    executor: Executor
    _tape: Put | None
    _slices: Slices | None
    _agenda: Agenda
    _decide: Callable[[Decision], None]
    _ready: list[Cell]
    _effects: list[Effect]
    _decisions: int
    _second_ns: int
    _tick_ns: int
    _asked: tuple[Asked, ...] = ()
    _foreseen: Foreseen | None = None

    @property
    def _stillness(self) -> Stillness:
        return self.executor.stillness

    def _repeats(self, cell: Cell, view: BookView, now_ns: int) -> bool:
        """Make the decision behind a fill with which all is as its strategy wants it.

        False = it must be evaluated.
        """
        cell.note_fill(filled=False)
        bot, instrument = cell.bot, view.instrument
        repeats = getattr(bot.strategy, "repeats", None)
        if repeats is None or bot.sizer is not None:
            return False  # what is wanted is sized, and the decision says so
        position = self.executor.ledger.owned(instrument.id, bot.name).position
        readings = Reader(self.signals, instrument.id, bot.reads, now_ns)
        asked = partial(repeats, readings, instrument, position, self._decisions + 1, now_ns)
        decision = self._made_by(bot, asked, now_ns)
        if decision is None:
            return bot.state is not BotState.RUNNING  # one that raised is asked no more
        self._decisions += 1
        bot.evaluations += 1
        self._decide(decision)
        cell.repeat(now_ns + bot.replan_ns_min)
        if view.trusted:
            self._agenda.put(cell, now_ns + bot.timer_ns)
        return True

    def _put_off(self, cell: Cell, decision: Decision, now_ns: int) -> None:
        """Ask a strategy that lacks something it needs no sooner than at the next tick.

        On the clock of bars nothing comes between two ticks but by an event, which wakes.
        """
        words, tick_ns = cell.bot.declared.gates, self._tick_ns
        if any(not one.passed and words[one.name].needed for one in decision.gates):
            tick_ns += now_ns - now_ns % tick_ns
            if cell.due_ns is not None and cell.due_ns < tick_ns:
                self._agenda.put(cell, tick_ns)

    def bars_until_ns(self, known: KnownBars, end_ns: int) -> int:
        """Return until when such bars may be taken without a gap; `end_ns` = when the next closes.

        0 = not now: something is due, or a strategy must be evaluated each time.
        """
        instrument = known.instrument
        if self._second_ns != end_ns or self._tick_ns < IDLE_NS or self._effects or self._ready:
            return 0
        if self._tape or self._slices:
            return 0  # each turn is kept, or the next one waits for this
        if self._cells.keys() != {instrument} or not self.reads_bars_alone(instrument):
            return 0
        asked: list[Asked] = []
        terms, step_ns = self.cache.views[instrument].instrument, known.step_ns
        only, until = [known.spec_text], NEVER
        for cell in self._cells[instrument]:
            bot = cell.bot
            rule: Stays = bot.strategy  # type: ignore[assignment]
            if (
                getattr(rule, "stays", None) is None
                or bot.state is not BotState.RUNNING
                or bot.replan_ns_min
                or (due_ns := cell.due_ns) is None
            ):
                return 0
            position = self.executor.ledger.owned(instrument, bot.name).position
            reader = Reader(self.signals, instrument, bot.reads, end_ns)
            asked.append(Asked(cell, rule, terms, position, reader))
            # Its timer is put off at each bar it reads: among such it does not come up.
            often = step_ns < bot.timer_ns and [*bot.reads.bars] == only
            if due_ns <= end_ns or not often:
                until = min(until, due_ns)
        self._asked = tuple(asked)
        return min(until, self._stillness.until_ns(end_ns - 1))

    def bar_stays(self, event: BarClosed, now_ns: int) -> bool:
        """Take a closed bar; True = no strategy wants another thing, which `bars_stayed` counts.

        False = it must be played as any other event; what it did to bars and indicators is done.
        """
        closed, stays = self.signals.bar_ahead(event), True
        for asked in self._asked:
            bars, receive = asked.bars, asked.receive
            for one in closed:
                if one.bars in bars and receive(one, now_ns):
                    asked.reader.now_ns = asked.seen_ns = now_ns
                    if not asked.stays(asked.reader, asked.instrument, asked.position, now_ns):
                        stays = False
        return stays

    def bars_stayed(self, now_ns: int, *, says: bool) -> None:
        """Count the evaluations that the bar of this time spared; `says` = give decisions on."""
        for asked in self._asked:
            if asked.seen_ns == now_ns:
                bot = asked.bot
                asked.due_ns = now_ns + bot.timer_ns
                bot.evaluations += 1
                self._decisions += 1
                if says:
                    self._decide(asked.stayed(asked.instrument.id, self._decisions, now_ns))

    def bars_alike(self, bars: KnownBars, at: int, most: int) -> int | None:
        """Return at how many bars from a place on, at most `most`, nothing else is wanted.

        Fewer than `most` = at the one behind them a rule turns. None = what is wanted is not known
        ahead: the next one must be asked about alone, by `bar_stays`.
        """
        (instrument,) = self._cells
        watched, parts = self.signals.watched_bars(instrument), list[float]()
        if watched is None:
            return None
        stopped = self._stillness.stopped
        for asked in self._asked:
            held = None if stopped else asked.position
            part = asked.rule.standing(asked.reader, instrument, held)
            if part is None:
                return None
            parts.append(part)
        seen, rules = self._foreseen, [(one.rule, one.bot.reads) for one in self._asked]
        if seen is None or not seen.stands(bars, watched, rules):
            seen = self._foreseen = Foreseen(bars, at, watched, rules)
        return seen.alike(at, parts, most) if seen.turns else None

    def bars_restated(self, close: int) -> bool | None:
        """Say whether a rule states what it wants at each bar that is alike, for a stopped account.

        `close` = the highest of theirs. None = it may not at some, or no plan has its intent yet.
        """
        states = False
        for asked in self._asked:
            bot, terms = asked.bot, asked.instrument
            held = inventory_of(self.executor, terms, bot.name)
            again = asked.rule.restates(held, terms, bot.stake_micro(bot.capital_micro), close)
            if bot.sizer is not None or again is None:
                return None
            if again and self.executor.intent(terms.id, bot.name) is None:
                return None
            states |= again
        return states

    def bars_passed(self, at: int, count: int, end_ns: int, turn: BarClosed | None = None) -> None:
        """Take so many bars from a place on, as `bars_alike` found them; the last ends then.

        `turn` = the one behind them, at which another thing is wanted: bars and indicators have it
        too, and it must be played next.
        """
        assert self._foreseen is not None
        self._foreseen.go(at, count + (turn is not None))
        if turn is not None:
            self.signals.went_ahead(turn)
        for asked in self._asked if count else ():
            asked.seen_ns, asked.due_ns = end_ns, end_ns + asked.bot.timer_ns
            asked.bot.evaluations += count
            self._decisions += count
            asked.rule.went_on(asked.instrument.id, count, end_ns)

    def asked_bots(self) -> list[tuple[BotId, InstrumentId, int]]:
        """Return who is asked at each bar, and the number of its decision at the last one."""
        first = self._decisions - len(self._asked)
        return [
            (one.bot.name, one.instrument.id, first + place)
            for place, one in enumerate(self._asked, 1)
        ]

    def bars_over(self, end_ns: int, *, closes: bool) -> None:
        """Go on behind the last bar that was taken, which ended at `end_ns`.

        `closes` = its `BarClosed` is still to be played: strategies are evaluated at its close.
        """
        self._second_ns = end_ns - end_ns % self._tick_ns + self._tick_ns
        for asked in self._asked:
            asked.passed(asked.instrument.id, end_ns - closes)
            if asked.due_ns:
                self._agenda.put(asked.cell, asked.due_ns)
        self._agenda.next_ns()  # what was put off since is no more listed at its time of before
        self._asked = ()
        self.signals.schedule()
