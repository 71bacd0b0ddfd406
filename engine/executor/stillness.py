"""Whether an account has nothing to do, and until when time and marks alone change nothing.

A recording of bars leaves most of them without an order: there the ticks of the clock between two
decisions need no turn. What a tick would do then is done here: the mark, and the equity it makes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from engine.domain.events import BookMarked
from engine.domain.instruments import InstrumentId
from engine.domain.intents import ResidualReason, Target
from engine.errors import BrokenInvariant
from engine.executor.fills import mid_value_micro, mid_values_micro, touch_value_micro
from engine.executor.halts import ExecutorParts, Markets, TradingHalts
from engine.executor.orders import InstrumentState
from engine.executor.settings import NEVER
from engine.executor.venue_reports import VenueReports
from engine.risk.gate import RiskGate


class Stillness:
    """Asks an account's parts whether anything is due. `timer_ns` = when its own timer fires."""

    def __init__(
        self,
        parts: ExecutorParts,
        gate: RiskGate,
        reports: VenueReports,
        markets: Markets,
        halts: TradingHalts,
        *,
        timer_ns: Callable[[], int],
        left: Counter[ResidualReason],
    ) -> None:
        """`left` = the counter of what plans leave over."""
        self._table, self._blocks, _, _ = parts
        self._gate = gate
        self._markets = markets
        self._halts = halts
        self._reconciler = reports.reconciler
        self._timer_ns = timer_ns
        self._left = left
        self.stopped = False
        """A stop of risk stood when `until_ns` was asked: nothing is planned, all is left over."""
        self._floor_micro = self._peak_micro = 0
        """Below the one equity begins a stop, above the other it is a peak."""

    def rests(self, now_ns: int) -> bool:
        """Say whether a plan at this time would find nothing to do."""
        table, halts = self._table, self._halts
        due_ns = min(table.wake_ns, self._reconciler.questions.due_ns)
        return (
            now_ns < due_ns
            and now_ns < self._reconciler.wallet.due_ns
            and now_ns < self._timer_ns() <= due_ns
            and halts.judged == table.moves
            and not (halts.equity_due or table.dirty or table.unknown or table.unjournaled)
        )

    def until_ns(self, now_ns: int) -> int:
        """Return until when ticks have no effect while `mark` is True; 0 = they may have one.

        A timer of its own that fires before is only set anew. Nothing works and each owner holds
        what it wants, or a stop of risk stands: then a tick still leaves over what is wanted
        (`leave_over`).
        """
        wallet, table = self._reconciler.wallet, self._table
        block = self._blocks.account_block()
        self.stopped = block is not None
        if (
            not self.rests(now_ns)
            or (block is not None and not self._stopped_by_risk)
            or self._blocks.reduces_only
            or self._gate.breakers.unmarked
            or wallet.state.operations
            or table.ledger.redeemable
            or wallet.merge_above
        ):
            return 0
        self._floor_micro, self._peak_micro = self._gate.breakers.room()
        # While stopped the intents that would be stated meanwhile say when it is set for next.
        asks_ns = self._timer_ns() if self.stopped else self._reconciler.questions.due_ns
        until = min(self._halts.keeps_until_ns(now_ns), asks_ns, wallet.due_ns)
        for entry in table.instruments.values():
            until = min(until, self._wanted_until_ns(entry))
        return until

    @property
    def _stopped_by_risk(self) -> bool:
        """True where a stop of risk alone keeps the account from placing."""
        blocks, breakers = self._blocks, self._gate.breakers
        blind = blocks.recovering or blocks.unhealthy or blocks.state.contradictions
        kept = breakers.latched or blocks.state.halted or blocks.state.holds
        return breakers.stopped is not None and not (blind or kept)

    def _wanted_until_ns(self, entry: InstrumentState) -> int:
        """Return how long what its owners hold is what they want; 0 = it is not."""
        if entry.working:
            return 0
        until = entry.cooldown_ns or NEVER
        for slot in entry.slots.values():
            if slot.room is not None:
                return 0
            intent = slot.intent
            if intent is None:
                continue
            held = self._table.ledger.owned(entry.instrument.id, slot.owner)
            if type(intent) is not Target or slot.basket:
                return 0
            if held.position != intent.position and not self.stopped:
                return 0
            until = min(until, intent.valid_until_ns)
        return until

    def leave_over(self, instrument: InstrumentId, plans: int) -> None:
        """Count what so many plans of an instrument leave over while a stop of risk stands."""
        slots = self._table.instruments[instrument].slots.values()
        wanted = [slot for slot in slots if slot.intent is not None]
        if wanted:
            self._left[ResidualReason.RISK] += plans * len(wanted)

    def mark(self, mark: BookMarked, now_ns: int) -> bool:
        """Take the mark of a tick; False = the equity it makes must be judged by a turn."""
        key, marks = mark.instrument, self._markets.marks
        entry = self._table.instruments[key]
        entry.mark = marks[key] = mark
        equity = self._equity_micro(now_ns)
        if equity < self._floor_micro:
            return False
        self._keep(equity)
        return True

    def marks(
        self, low: tuple[int, int], high: tuple[int, int], last: BookMarked, now_ns: int
    ) -> bool:
        """Take the marks of many ticks of one instrument at once; False = none: take each alone.

        `low` and `high` = bid and ask where the price was lowest and highest, `last` = the mark of
        `now_ns`. Equity moves one way with the price, so it was between those two at every tick.
        """
        key, marks = last.instrument, self._markets.marks
        before, entry = marks.get(key), self._table.instruments[key]
        bid, ask, proof_ns = last.best_bid, last.best_ask, last.proof_ns
        if before is None or bid is None or ask is None or proof_ns is None:
            return False
        if now_ns - proof_ns > self._gate.mark_age_ns_max:
            return False
        marks[key] = last
        equity = lowest = highest = self._equity_micro(now_ns)
        terms, holders = entry.instrument, self._table.ledger.holders(key).values()
        rest = equity - sum([touch_value_micro(one, terms, bid, ask) for one in holders])
        for bid, ask in (low, high):
            other = rest + sum([touch_value_micro(one, terms, bid, ask) for one in holders])
            if other < lowest:
                lowest = other
            elif other > highest:
                highest = other
        # A new peak lifts the floor by no more than the peak moves, whichever of them came first.
        if lowest < self._floor_micro + max(0, highest - self._peak_micro):
            marks[key] = before
            return False
        entry.mark = last
        self._keep(highest)
        self._gate.breakers.keep_equity(equity)
        return True

    def mid_equities_micro(self, instrument: InstrumentId, mids2: Sequence[int]) -> list[int]:
        """Return the equity shown at each of many mids of one instrument, as twice the price."""
        ledger, marks = self._table.ledger, self._markets.marks
        terms = ledger.state.instruments[instrument]
        equity = ledger.shown_equity_micro(marks)
        if equity is None:
            raise BrokenInvariant("the equity of many marks is asked for, and one has no price")
        mark = marks.get(instrument)
        owned = ledger.state.owned[instrument].values()
        equity -= sum([mid_value_micro(one, terms, mark) for one in owned])
        columns = [mid_values_micro(one, terms, mids2) for one in owned]
        if len(columns) == 1:
            return [equity + value for value in columns[0]]
        if not columns:
            return [equity] * len(mids2)
        return [equity + sum(values) for values in zip(*columns, strict=True)]

    def _equity_micro(self, now_ns: int) -> int:
        return self._table.ledger.equity_micro(
            self._markets.marks, now_ns=now_ns, mark_age_ns_max=self._gate.mark_age_ns_max
        )

    def _keep(self, equity: int) -> None:
        """Keep equity that begins no stop."""
        self._gate.breakers.keep_equity(equity)
        if equity > self._peak_micro:
            self._floor_micro, self._peak_micro = self._gate.breakers.room()
