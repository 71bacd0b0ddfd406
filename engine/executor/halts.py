"""Halts: what stops and starts trading (law M), of the whole account and of one instrument.

What rests while blind is cancelled by the planning; where the venue is restarting or disabled a
cancel cannot work, so nothing is asked of it until it lifts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from engine.domain.effects import CancelAll, CancelScope, KeepBudget, Severity, VenueDifference
from engine.domain.events import (
    BookDistrusted,
    BookMarked,
    FeedLost,
    HealthChanged,
    InstrumentClosed,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
    LossAccepted,
    ModeChanged,
    ScopeLatched,
    ScopeReleased,
    VenueMode,
)
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import ResidualReason
from engine.domain.modes import ModeBelief
from engine.domain.money import money_text, named_amounts
from engine.domain.orders import OrderId
from engine.domain.perpetual_events import MarkPriced
from engine.executor.fills import unmarked
from engine.executor.orders import InstrumentState, OrderTable
from engine.executor.outbox import EffectOutbox
from engine.executor.planner import ends_soon
from engine.executor.proof import AccountQuestion, Questions, ZeroProofs
from engine.executor.settings import MS, ExecutorSettings
from engine.risk.gate import DAY_NS, Breakers
from engine.risk.liquidation import SidedOrder
from engine.risk.reasons import MEANINGS, DenyReason

_BLIND = ResidualReason.BLIND
_RISK = ResidualReason.RISK
_CLOSED = ResidualReason.MARKET_CLOSED
_TAKES = frozenset({VenueMode.OPEN, VenueMode.POST_ONLY})
_UNRESPONSIVE = frozenset({VenueMode.RESTARTING, VenueMode.DISABLED})

AUTH = "auth"
"""Health source: the venue refuses our credential; its adapter asks until it is taken again."""

LACKS = "the journal has no such order: it is behind"
"""Said of an order of ours that was never made here."""

ORDER_AUTH = "auth of an order"
"""Health source: it refused an order for want of authority. Asking would place one: a person must
release it."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the account in which nothing is placed until a person releases it."""

    bot: BotId | None
    instrument: InstrumentId | None
    """Neither = the whole account."""
    who: str
    reason: str
    at_ns: int

    @property
    def place(self) -> tuple[BotId | None, InstrumentId | None]:
        return self.bot, self.instrument

    def __str__(self) -> str:
        """Name what it covers, for people."""
        if self.instrument is not None:
            return f"instrument {self.instrument}"
        return "the account" if self.bot is None else f"bot {self.bot}"


class BlocksState(msgspec.Struct, kw_only=True):
    """What must survive a restart."""

    halted: str = ""
    """Why everything was stopped; empty = it was not."""
    contradictions: list[str] = []
    """What the venue said that cannot be true; cleared when a person releases the latch."""
    holds: list[Hold] = []
    """Scoped KILLs that are not released yet."""
    differences: list[VenueDifference] = []
    """What venue and ledger say differently: nothing that adds risk is placed on it."""
    accepted: list[VenueDifference] = []
    """Differences a person has answered for: only another gap is news."""
    unmade: list[OrderId] = []
    """Orders the venue knows that were not made here; a release of the account answers for them."""


class Blocks:
    """All reasons of one account."""

    __slots__ = ("_belief", "_breakers", "_closed", "doubted", "recovering", "state", "unhealthy")

    def __init__(self, breakers: Breakers, *, recovering: bool) -> None:
        self._breakers = breakers
        self.state = BlocksState()
        self.unhealthy: dict[str, str] = {}
        """Reason by source, for example `user_feed`."""
        self._belief = ModeBelief()
        self._closed = False
        self.doubted = ""
        """What differs and is not confirmed: at the first look, or while no fills are listed."""
        self.recovering = recovering
        """True until a complete listing has been believed (law N)."""

    def account_block(self) -> ResidualReason | None:
        """Return why the account places nothing at all; None = it may."""
        if self.recovering or self.unhealthy or self.state.contradictions:
            return _BLIND
        if self._breakers.latched or self._breakers.stopped is not None or self.state.halted:
            return _RISK
        if self.state.holds and (None, None) in {hold.place for hold in self.state.holds}:
            return _RISK
        if self._closed:
            return _CLOSED
        return None

    @property
    def reduces_only(self) -> bool:
        """True while ledger and venue differ: what leads away from zero is not placed."""
        return bool(self.doubted or self.state.differences)

    @property
    def latched(self) -> bool:
        """True while the KILL latch is set."""
        return self._breakers.latched

    def held_by(self, bot: BotId | None, instrument: InstrumentId) -> Hold | None:
        """Return the scoped KILL that keeps a bot from placing in an instrument; None = none."""
        for hold in self.state.holds:
            if hold.instrument == instrument or (
                hold.instrument is None and hold.bot in (None, bot)
            ):
                return hold
        return None

    @property
    def to_release(self) -> tuple[str, ...]:
        """What stands until a person releases the account, in words; a KILL is released first."""
        falls = self._breakers
        if falls.latched or (None, None) in {hold.place for hold in self.state.holds}:
            return ()
        fell = falls.stopped is not None and falls.awaits_release
        refused = [f"{ORDER_AUTH}: {why}" for why in [self.unhealthy.get(ORDER_AUTH)] if why]
        differ = [one.text for one in self.state.differences]
        return (*[self._stop] * fell, *self.state.contradictions, *differ, *refused)

    @property
    def _stop(self) -> str:
        """The most serious stop of risk in words, empty = none stands."""
        stopped = self._breakers.stopped
        return "" if stopped is None else MEANINGS[stopped].rstrip(".")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason in words, for people."""
        found = ["reconciliation pending"] if self.recovering else []
        found += [f"{source}: {why}" for source, why in self.unhealthy.items()]
        found += self.state.contradictions
        found += [f"only what reduces is placed: {one.text}" for one in self.state.differences]
        if self.doubted:
            found.append(f"only what reduces is placed until it is asked again: {self.doubted}")
        if self._breakers.latched:
            found.append(f"KILL latch: {self._breakers.latch_reason}")
        found += [self._stop] * bool(self._stop)
        if self.state.halted:
            found.append(f"stopped: {self.state.halted}")
        found += [f"KILL of {hold} by {hold.who}: {hold.reason}" for hold in self.state.holds]
        if self.mode is not VenueMode.OPEN:
            found.append(self._belief.words)
        return tuple(found)

    @property
    def mode(self) -> VenueMode:
        """What the venue takes, as far as we know."""
        return self._belief.mode

    @property
    def cancels_work(self) -> bool:
        """False while the venue takes nothing, cancels included."""
        return self.mode not in _UNRESPONSIVE

    @property
    def rests_only(self) -> bool:
        """True while the venue takes only post-only orders."""
        return self.mode is VenueMode.POST_ONLY

    def take_mode(self, event: ModeChanged, now_ns: int) -> None:
        self._belief.take(event, now_ns)
        self._closed = event.mode not in _TAKES

    def age_mode(self, now_ns: int) -> bool:
        """Let a closed mode age that was not received again; True = more may be tried now."""
        if self.mode is VenueMode.OPEN:
            return False
        aged = self._belief.age(now_ns)
        self._closed = self._belief.mode not in _TAKES
        return aged

    def instrument_block(
        self, entry: InstrumentState, now_ns: int, data_age_ns_max: int, owner: BotId | None = None
    ) -> ResidualReason | None:
        """Return why an owner, or None = any, places nothing in one instrument; None = it may."""
        mark = entry.mark
        if self.state.holds and self.held_by(owner, entry.instrument.id) is not None:
            return _RISK
        differ = self.state.differences
        if differ and any(entry.instrument.id == one.instrument for one in differ):
            return _BLIND
        if entry.closed or (mark is not None and mark.closed):
            return ResidualReason.OTHER_CURRENCY if entry.uncounted else _CLOSED
        proof_ns = None if mark is None or not mark.trusted else mark.proof_ns
        if proof_ns is None or now_ns - proof_ns > data_age_ns_max:
            return _BLIND
        return None


class ExecutorParts(NamedTuple):
    """What every part of one account's executor works on."""

    table: OrderTable
    blocks: Blocks
    outbox: EffectOutbox
    settings: ExecutorSettings


# -- Markets: what the executor must know of instruments and their books ---------------------------


class Markets:
    """Marks and the life of instruments. `marks` are the latest of each instrument."""

    def __init__(
        self,
        table: OrderTable,
        blocks: Blocks,
        *,
        contradiction: Callable[[str], None],
        resolved: Callable[[InstrumentId, int], None],
    ) -> None:
        self._table = table
        self._blocks = blocks
        self._contradiction = contradiction
        self._paid_out = resolved
        self.marks: dict[InstrumentId, BookMarked] = {}
        buffers = table.exposure.buffers
        buffers.read(lambda: table.ledger.state, self._may_fill, self._proven_ns)

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which event."""
        return {
            BookMarked: self.marked,
            MarkPriced: self._priced,
            BookDistrusted: self._distrusted,
            FeedLost: self._feed_lost,
            InstrumentClosed: self._closed,
            InstrumentResolved: self._resolved,
        }

    def marked(self, mark: BookMarked, now_ns: int) -> None:
        """Take the state of a book; it is looked at where something is intended or works."""
        del now_ns
        table = self._table
        key = mark.instrument
        entry = table.instruments.get(key)
        if entry is None:
            return
        old = entry.mark
        entry.mark = self.marks[key] = mark
        if not entry.working and not entry.intended:
            return
        if old is None or old.best_bid != mark.best_bid or old.best_ask != mark.best_ask:
            table.dirty[key] = True
        else:
            table.dirty.setdefault(key, False)

    def _may_fill(self, key: InstrumentId) -> list[SidedOrder]:
        """Return what of an instrument's orders may still fill."""
        entry = self._table.instruments.get(key)
        return [
            SidedOrder(known.remaining if known.bid else -known.remaining, known.order.price)
            for known in (entry.working.values() if entry is not None else ())
        ]

    def _proven_ns(self, key: InstrumentId) -> int | None:
        mark = self.marks.get(key)
        return None if mark is None else mark.proof_ns

    def _priced(self, event: MarkPriced, now_ns: int) -> None:
        """Take the venue's own mark of a perpetual: risk counts its liquidation by it."""
        self._table.exposure.buffers.marked(event.instrument, event.mark_e8, now_ns)

    def _distrusted(self, event: BookDistrusted, now_ns: int) -> None:
        del now_ns
        self._distrust(event.instrument)

    def _feed_lost(self, event: FeedLost, now_ns: int) -> None:
        """Distrust what the feed showed: all of it, where it does not say what."""
        del now_ns
        for key in [event.instrument] if event.instrument else list(self.marks):
            self._distrust(key)

    def _distrust(self, key: InstrumentId) -> None:
        entry = self._table.instruments.get(key)
        mark = self.marks.get(key)
        if entry is not None and mark is not None:
            entry.mark = self.marks[key] = msgspec.structs.replace(mark, trusted=False)
            self._table.dirty[key] = True

    def _closed(self, event: InstrumentClosed, now_ns: int) -> None:
        del now_ns
        self._close(self._table.instruments.get(event.instrument))

    def _close(self, entry: InstrumentState | None) -> None:
        if entry is not None:
            entry.closed = True
            self._table.dirty[entry.instrument.id] = True

    def _resolved(self, event: InstrumentResolved, now_ns: int) -> None:
        """Take what it pays. A second, different payout stops the account until a person looked."""
        table = self._table
        entry = table.instruments.get(event.instrument)
        if entry is None:
            return
        self._close(entry)
        ledger = table.ledger
        paid = ledger.holding(event.instrument).payout_yes_micro
        if paid is not None and paid != event.payout_yes_micro:
            self._contradiction(
                f"{event.instrument} paid {money_text(paid)} per YES, and {event.source} says "
                f"{money_text(event.payout_yes_micro)}: what is not redeemed yet counts as that"
            )
        ledger.resolve(event.instrument, event.payout_yes_micro)
        self._paid_out(event.instrument, now_ns)
        table.moved(event.instrument, now_ns)

    def stale(self, now_ns: int, data_age_ns_max: int) -> None:
        """Mark instruments whose orders rest while their book is blind, or are to be renewed.

        Call every second.
        """
        table = self._table
        for key, entry in table.instruments.items():
            if entry.working and (
                self._blocked(entry, now_ns, data_age_ns_max)
                or any(ends_soon(known, now_ns) for known in entry.working.values())
            ):
                table.dirty[key] = True

    def _blocked(self, entry: InstrumentState, now_ns: int, data_age_ns_max: int) -> bool:
        """Say whether one of those who are here may place nothing here."""
        block = self._blocks.instrument_block
        return any(
            block(entry, now_ns, data_age_ns_max, owner) is not None for owner in entry.slots
        )

    def forget(self, instrument: InstrumentId) -> None:
        self.marks.pop(instrument, None)


# -- What stops and starts the whole account: health, latch, venue mode, cash and equity -----------

CLOCK = "clock"
"""Health source: wall and monotonic time have parted, so time may have leapt."""

EQUITY = "equity"
"""Health source: equity has not been judged since the start."""

KEEP_PEAK_NS = 1_000 * MS
KEEP_EQUITY_NS = 60_000 * MS
"""How old the journal's peak may be; and the last part of a UTC day, in which equity may be no
older either: after a death there it is the next day's anchor."""


class TradingHalts:
    """The account's switches. Every stop cancels all and begins the proof of zero (law O)."""

    def __init__(
        self,
        parts: ExecutorParts,
        breakers: Breakers,
        *,
        questions: Questions,
        proofs: ZeroProofs,
        markets: Markets,
        doubt: Callable[[int], None],
        wallet_goes_on: Callable[[LossAccepted, int], None],
        cash_marked: Callable[[int], None],
    ) -> None:
        self._table, self._blocks, self._outbox, settings = parts
        self._breakers = breakers
        self._questions = questions
        self._proofs = proofs
        self._markets = markets
        self._doubt = doubt
        self._wallet_goes_on = wallet_goes_on
        self._cash_marked = cash_marked
        self._marks_wait_ns = settings.marks_wait_ms_max * MS
        self._keep_ns = settings.budget_interval_ms * MS
        self._keep_peak_ns = settings.peak_interval_ms * MS
        self._waiting_since_ns: int | None = None
        self.judged = -1
        """The table's `moves` when equity was judged last."""
        self.equity_due = True
        self._durable: tuple[object, ...] = ()
        self._durable_peak = 0
        self._durable_ns = 0
        self._blocks.unhealthy[EQUITY] = "not judged since the start"

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which event."""
        return {
            HealthChanged: self._health,
            LatchSet: self._latch_set,
            LatchReleased: self._latch_released,
            ScopeLatched: self._scope_latched,
            ScopeReleased: self._scope_released,
            ModeChanged: self._mode,
            LossAccepted: self._loss_accepted,
        }

    def _everything_dirty(self) -> None:
        for instrument in self._table.instruments:
            self._table.dirty[instrument] = True

    # -- stops -------------------------------------------------------------------------------------

    def cancel_all(self, now_ns: int) -> None:
        """Cancel everything, known to us or not, and begin to prove that nothing is left."""
        table = self._table
        self._outbox.effects.append(CancelAll(account=table.account))
        for known in table.live():
            table.ask_cancel(known, now_ns, named=False)
        self._proofs.begin(None, now_ns)
        self._questions.request(AccountQuestion.LISTING, now_ns)
        self._everything_dirty()

    def _latch_set(self, event: LatchSet, now_ns: int) -> None:
        self._breakers.set_latch(event.who, event.reason)
        self.cancel_all(now_ns)

    def _latch_released(self, event: LatchReleased, now_ns: int) -> None:
        del now_ns
        self._breakers.release_latch(event.reason, kill_only=event.kill_only)
        if not event.kill_only:
            self._settled_by_a_person(whole=event.whole)
        self._everything_dirty()

    def _settled_by_a_person(self, *, whole: bool) -> None:
        """Let go of what the venue said that cannot be: a person has compared both.

        A journal that is behind stays so with a KILL's release: no release compares that account.
        """
        state = self._blocks.state
        behind = [text for text in state.contradictions if whole and LACKS in text]
        state.contradictions[:] = behind
        about = {one.about for one in state.differences}
        state.accepted = [one for one in state.accepted if one.about not in about]
        state.accepted += state.differences
        state.differences = []
        self._blocks.unhealthy.pop(ORDER_AUTH, None)
        if behind:
            return
        for number in state.unmade:
            self._table.numbers.answer_for(number)
        state.unmade.clear()

    def _scope_latched(self, event: ScopeLatched, now_ns: int) -> None:
        """Hold placing in a part of the account, cancel what is there, begin to prove it empty."""
        table, bot, instrument = self._table, event.bot, event.instrument
        made = Hold(
            bot=bot, instrument=instrument, who=event.who, reason=event.reason, at_ns=now_ns
        )
        holds = self._blocks.state.holds
        if all(hold.place != made.place for hold in holds):
            holds.append(made)
        scope = CancelScope(bot=bot, instrument=instrument)
        self._outbox.effects.append(CancelAll(account=table.account, scope=scope))
        for known in table.live():
            order = known.order
            if bot in (None, order.bot) and instrument in (None, order.instrument):
                table.ask_cancel(known, now_ns, named=False)
        self._proofs.begin(bot or instrument, now_ns)
        self._questions.request(AccountQuestion.LISTING, now_ns)
        self._everything_dirty()

    def _scope_released(self, event: ScopeReleased, now_ns: int) -> None:
        del now_ns
        state, place = self._blocks.state, (event.bot, event.instrument)
        state.holds = [hold for hold in state.holds if hold.place != place]
        self._everything_dirty()

    def _health(self, event: HealthChanged, now_ns: int) -> None:
        if event.account is not None and event.account != self._table.account:
            return
        if event.healthy:
            self._blocks.unhealthy.pop(event.source, None)
            if event.source == AUTH:
                self._blocks.unhealthy.pop(ORDER_AUTH, None)
        else:
            self._blocks.unhealthy[event.source] = event.reason
            if event.source == CLOCK:
                self._doubt(now_ns)
        self._everything_dirty()

    def _mode(self, event: ModeChanged, now_ns: int) -> None:
        self._blocks.take_mode(event, now_ns)
        self._everything_dirty()

    def age_mode(self, now_ns: int) -> None:
        """Try more of the venue where its last word is old: it opens without a person's word."""
        if self._blocks.age_mode(now_ns):
            self._everything_dirty()

    def _loss_accepted(self, event: LossAccepted, now_ns: int) -> None:
        """Go on behind lost records: no number is used again, fills are asked for since then."""
        table, questions, state = self._table, self._questions, self._blocks.state
        state.contradictions[:] = [one for one in state.contradictions if LACKS not in one]
        table.numbers.raise_floor(event.orders_until)
        reach_ns = questions.fills_reach_ns
        questions.fills_reach_ns = event.since_ns if reach_ns < 0 else min(reach_ns, event.since_ns)
        self._wallet_goes_on(event, now_ns)

    # -- money -------------------------------------------------------------------------------------

    def judge(self, now_ns: int, mark_age_ns_max: int) -> None:
        """Mark equity and let the breakers judge it, once everything held can be marked.

        Before the first mark of a holding it would look worthless and trip every stop; until then
        nothing is placed, for a limited time.
        """
        if self._blocks.recovering or not self._marked(now_ns):
            return
        self.equity_due = False
        self._cash_marked(now_ns)
        self.judged = self._table.moves
        if self._blocks.unhealthy.pop(EQUITY, None) is not None:
            self._everything_dirty()
        equity = self._table.ledger.equity_micro(
            self._markets.marks, now_ns=now_ns, mark_age_ns_max=mark_age_ns_max
        )
        stopped = self._breakers.stopped
        for trip in self._breakers.equity(equity, now_ns):
            kill = trip.kind is DenyReason.KILL_DRAWDOWN and self._breakers.latched
            figures = named_amounts(trip.numbers)
            self._outbox.alert(
                Severity.CRITICAL,
                "kill_latch" if kill else f"stop_{trip.kind}",
                ", ".join(f"{name} {figure}" for name, figure in figures.items()),
                numbers=figures,
            )
        if self._breakers.stopped is not stopped:
            if self._breakers.stopped is not None:
                self.cancel_all(now_ns)
            self._everything_dirty()
        self._keep_budget(now_ns)

    def _keep_budget(self, now_ns: int) -> None:
        """Have the journal keep what no restart may move: stops at once, the peak each second."""
        breakers, age_ns = self._breakers, now_ns - self._durable_ns
        durable, peak = breakers.durable, breakers.peak_equity_micro
        same = durable == self._durable and (
            peak == self._durable_peak or age_ns < self._keep_peak_ns
        )
        ends = now_ns % DAY_NS >= DAY_NS - KEEP_EQUITY_NS
        if same and age_ns < (KEEP_PEAK_NS if ends else self._keep_ns):
            return
        self._durable, self._durable_peak, self._durable_ns = durable, peak, now_ns
        keep = KeepBudget(account=self._table.account, breakers=breakers.state())
        self._outbox.effects.append(keep)

    def keeps_until_ns(self, now_ns: int) -> int:
        """Return when the journal is due to keep equity that moves no stop."""
        breakers = self._breakers
        ends_ns = now_ns - now_ns % DAY_NS + DAY_NS - KEEP_EQUITY_NS
        if breakers.durable != self._durable or breakers.durable[0] != now_ns // DAY_NS:
            return 0
        return min(ends_ns, self._durable_ns + min(self._keep_ns, self._keep_peak_ns))

    def _marked(self, now_ns: int) -> bool:
        if EQUITY not in self._blocks.unhealthy:
            return True
        if self._waiting_since_ns is None:
            self._waiting_since_ns = now_ns
        if now_ns - self._waiting_since_ns >= self._marks_wait_ns:
            return True
        marks, ledger = self._markets.marks, self._table.ledger
        return all(key in marks for key in ledger.held) and not unmarked(ledger.state.netted, marks)
