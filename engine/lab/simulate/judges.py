"""Judges of lives: states that never go back, stops that stay, proofs that are true, the end."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from engine.domain.effects import AnyWalletEffect, KeepBudget
from engine.domain.events import OpenOrdersListed, OrderReported
from engine.domain.instruments import (
    UNASSIGNED,
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Leg,
    Mode,
)
from engine.domain.money import MICRO
from engine.domain.orders import ORDER_ENDS, OrderId, OrderState
from engine.errors import BrokenInvariant
from engine.executor.executor import Executor
from engine.executor.fills import Holding, LegHolding
from engine.executor.proof import within
from engine.lab.simulate.bench import Evidence
from engine.lab.simulate.disk import Disk
from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.fee_assets import THIRD
from engine.lab.simulate.perpetual_judges import judge_perpetuals, opened_micro
from engine.lab.simulate.venue_side import CURRENCY
from engine.lab.simulate.venue_truth import Speak
from engine.live.commands.kill import KillScope
from engine.risk.gate import DAY_NS
from engine.risk.reasons import DenyReason
from engine.runtime.recovery import ENGINE_WIDE
from storage.database import RowType
from storage.fold import Fold, Rows
from storage.projected import HANDLERS, PROJECTED
from storage.projected.orders import OrderRow

S = OrderState
EARLY = {S.PENDING: 0, S.SENT: 1}
"""States an order never returns to."""

BACK = {
    (S.CANCELLED, S.UNKNOWN),
    (S.CANCELLED, S.FILLED),
    (S.EXPIRED, S.UNKNOWN),
    (S.EXPIRED, S.FILLED),
    (S.REJECTED, S.UNKNOWN),
    (S.REJECTED, S.FILLED),
}
"""The annotated ways back: a venue that contradicts itself, a fill that was overtaken."""


def orders_of(message: Any) -> tuple[OrderId, ...]:
    """Return the orders of ours a record is about: its own, its report's, or all it lists."""
    if isinstance(message, OpenOrdersListed):
        found = [report.order for report in message.orders]
    elif isinstance(message, OrderReported):
        found = [message.report.order]
    else:
        found = [getattr(message, "order", None)]
    return tuple(OrderId(number) for number in found if isinstance(number, int))


class Day(msgspec.Struct, frozen=True):
    """What a record of the journal says of a UTC day; the anchor without what was deposited."""

    seq: int
    day: int
    anchor_micro: int
    stopped: bool


class Budget:
    """What must survive every restart, as it was after some record of the journal.

    `day` is the one the engine holds the anchor for: at midnight its clock is ahead of that until
    its next equity report.
    """

    def __init__(self, run: EngineRun, seq: int, shifts: int) -> None:
        executor = run.executor
        self.seq = seq
        self.day = executor.gate.breakers.day
        self.shifts = shifts
        self.start_micro, self.peak_micro = executor.anchors_micro
        self.stopped = executor.stopped
        self.latched = executor.latched


class EngineRuns:
    """Watches an account's engines over their lives."""

    def __init__(self, seen: Evidence) -> None:
        self._seen = seen
        self._states: dict[OrderId, OrderState] = {}
        self._last: tuple[OrderId, ...] = ()
        self._budgets: deque[Budget] = deque(maxlen=90)
        self._before: Budget | None = None
        self._days: deque[Day] = deque(maxlen=1_000)

    # -- lives -------------------------------------------------------------------------------------

    def started(self) -> None:
        """Begin to watch a life."""
        self._states.clear()
        self._last = ()

    def died(self) -> None:
        """End a life: what must survive is what it had when its journal had been written."""
        known = [*([self._before] if self._before else []), *self._budgets]
        durable = [one for one in known if one.seq < self._seen.disk.durable]
        self._before = durable[-1] if durable else None
        self._budgets.clear()
        while self._days and self._days[-1].seq > len(self._seen.disk.rows):
            self._days.pop()  # lost with the power: nothing ever came of it

    # -- statuses ----------------------------------------------------------------------------------

    def received(self, message: Any, run: EngineRun, speak: Speak) -> None:
        """Take a record that was written: look what the one before did to its orders."""
        if isinstance(message, KeepBudget):
            self._judge_day(message, speak)
        last, self._last = self._last, orders_of(message)
        for number in last:
            known = run.executor.record(number)
            if known is None:
                continue
            after, before = known.state, self._states.get(number)
            if before is not None and before is not after:
                revived = before in ORDER_ENDS and (before, after) not in BACK
                early = after in EARLY and EARLY[after] < EARLY.get(before, 9)
                if revived or early:
                    speak("status", f"order {number} was {before} and is {after}")
            self._states[number] = after

    # -- stops -------------------------------------------------------------------------------------

    def watch(self, run: EngineRun, speak: Speak) -> None:
        """Once a second: see that what must survive a restart has, and what was paid."""
        self._judge_budget(run, speak)
        self._judge_redemptions(run, speak)
        self._judge_owners(run, speak)
        self._judge_fees(run, speak)
        if odd := self._seen.facts.odd_shift:
            speak("adopted", odd)
        sums = self._seen.side.exchange.invariants()
        margined = self._seen.side.exchange.clearing.margin.perpetuals
        if margined:
            self._seen.side.truth.look(speak)
            judge_perpetuals(run, self._seen.facts, speak)
        if sums.base or margined:  # worlds without either are seen at their end
            for problem in sums.problems:
                speak("exchange", problem)

    def _judge_budget(self, run: EngineRun, speak: Speak) -> None:
        if run.executor.recovering or "equity" in run.executor.unhealthy:
            return
        seen = self._seen
        budget = Budget(run, len(seen.disk.rows), seen.facts.shifts)
        before, self._before = self._before, None
        if before is not None:
            today = before.day == budget.day
            same = before.start_micro == budget.start_micro
            if today and before.shifts == budget.shifts and not same:
                speak("budget", f"the day's anchor {before.start_micro} is {budget.start_micro}")
            unreleased = before.seq > seen.released_seq
            lasts = before.stopped is not None and (
                today or before.stopped is not DenyReason.DAILY_LOSS
            )
            if unreleased and lasts and budget.stopped is None:
                speak("budget", f"the stop {before.stopped} did not survive a restart")
            if unreleased and before.latched and not budget.latched:
                speak("budget", "the latch did not survive a restart")
        self._budgets.append(budget)

    # -- redemptions -------------------------------------------------------------------------------

    def asked_of_wallet(self, asked: AnyWalletEffect, speak: Speak) -> None:
        """See that nothing is asked for again of which nothing has been learned (law J)."""
        about = getattr(asked, "instrument", None)
        for number, other in self._seen.facts.operations.items():
            if type(other) is type(asked) and getattr(other, "instrument", None) == about:
                speak("redemption", f"{asked} is asked for again, and {number} is unknown")

    def _judge_redemptions(self, run: EngineRun, speak: Speak) -> None:
        """Compare cash and winners with the naive sum of the reports: each payment counts once.

        A winner is neither cash nor a token to sell, a loser is nothing, and what is still to be
        paid is what the winners are worth.
        """
        facts, state = self._seen.facts, run.executor.ledger.state
        ours = {
            (key, leg): of.redeemable
            for key, held in state.holdings.items()
            for leg, of in ((Leg.YES, held.yes), (Leg.NO, held.no))
            if of.redeemable
        }
        winners, cash = facts.redeemable(), facts.cash(promised=False)
        if ours != winners:
            speak("redemption", f"redeemable are {ours}, by the journal {winners}")
        mine = state.cash_settled_micro - opened_micro(state.netted.values())
        if mine != cash:
            speak("redemption", f"settled cash is {mine} micro, by the journal {cash}")
        worth = sum(
            size
            * (MICRO - facts.payouts[key] if leg is Leg.NO else facts.payouts[key])
            // 10 ** facts.instruments[key].size_decimals
            for (key, leg), size in winners.items()
        )
        if state.redeemable_micro != worth:
            due = state.redeemable_micro
            speak("redemption", f"{due} micro are to be paid, the winners are worth {worth}")

    # -- owners ------------------------------------------------------------------------------------

    def _judge_owners(self, run: EngineRun, speak: Speak) -> None:
        """See that every owner has what its own fills made, and that they sum to the account.

        Whose pairs were merged no fill tells: such markets count in the sum alone.
        """
        facts, ledger = self._seen.facts, run.executor.ledger
        try:
            ledger.check()
        except BrokenInvariant as broken:
            speak("owners", str(broken))
        owners = {owner for owner, _ in facts.flows}
        for key in ledger.state.owned:
            if key not in facts.instruments or facts.converted(key):
                continue
            there = ledger.holders(key).keys()
            # Of what is over the engine may have forgotten what was made, and heard of it again.
            for owner in there - {UNASSIGNED} if key in facts.payouts else owners | there:
                self._judge_owner(ledger.owned(key, owner), key, owner, speak)

    def _judge_fees(self, run: EngineRun, speak: Speak) -> None:
        """See that what fees took of a third asset is noted, and by whom it was paid."""
        facts, state = self._seen.facts, run.executor.ledger.state
        noted = state.assets.get(THIRD.id)
        had = noted.fees if noted is not None else 0
        if had != facts.fees.third:
            speak("fees", f"{had} of {THIRD.id} are noted, fills took {facts.fees.third}")
        for owner, paid in facts.third_fees.items():
            totals = state.owners.get(owner)
            own = totals.asset_fees.get(THIRD.id, 0) if totals is not None else 0
            if own != paid:
                speak("fees", f"{owner} paid {own} of {THIRD.id}, its fills took {paid}")

    def _judge_owner(self, held: Holding, key: InstrumentId, owner: BotId, speak: Speak) -> None:
        facts, worth, fills = self._seen.facts, 0, 1
        payout = facts.payouts.get(key)
        for leg, of in _legs(held, facts.instruments[key]):
            settled, pending = facts.owned.get((owner, key, leg), (0, 0))
            if payout is None and (of.settled, of.pending) != (settled, pending):
                has = f"{of.settled} + {of.pending} {leg} of {key}"
                speak("owners", f"{owner} has {has}, its fills make {settled} + {pending}")
            if payout is not None:
                pays = MICRO - payout if leg is Leg.NO else payout
                unit = 10 ** facts.instruments[key].size_decimals
                worth += (settled + pending) * pays // unit
                fills += len(facts.fills)  # each may round by itself
        made = held.realised_micro - held.fees_micro - held.yes.cost_micro - held.no.cost_micro
        flow = facts.flows.get((owner, key), 0) + worth
        if abs(made - flow) > (0 if payout is None else fills):
            speak("owners", f"{owner} made {made} micro in {key}, its fills make {flow}")

    def _judge_day(self, message: KeepBudget, speak: Speak) -> None:
        """Compare what the journal says of a day with what it said before, by whatever life."""
        seen, said = self._seen, msgspec.json.decode(message.breakers)
        anchor_micro = said["day_start_equity_micro"] - seen.facts.shifts
        now = Day(len(seen.disk.rows), said["day"], anchor_micro, said["daily_loss"])
        if self._days:
            self._judge_turn(self._days[-1], now, speak)
        self._days.append(now)

    def _judge_turn(self, last: Day, now: Day, speak: Speak) -> None:
        """See that a day goes back with the clock alone, and finds what it had when it was left."""
        today = self._seen.now_ns // DAY_NS
        left = next((one for one in reversed(self._days) if one.day != last.day), None)
        known = left if left is not None and left.day == now.day else None
        if now.day < last.day:
            if now.day < today:
                speak("day", f"day {last.day} is followed by {now.day}, and it is {today}")
            before = known or last
            if now.anchor_micro != before.anchor_micro:
                speak("day", f"a clock set back finds another anchor: {before} is {now}")
            if not now.stopped and (before.stopped or last.stopped):
                speak("day", f"a clock set back lifts the daily stop of day {last.day}")
        elif now.day > last.day:
            if now.day > today:
                speak("day", f"day {now.day} begins before its midnight")
            if known and (now.anchor_micro < known.anchor_micro or known.stopped > now.stopped):
                speak("day", f"a clock set forward again forgets {known}: {now}")
        elif now.anchor_micro != last.anchor_micro:
            speak("day", f"the anchor of day {now.day} is set twice: {last} and {now}")
        elif last.stopped and not now.stopped:
            speak("day", f"the daily stop of day {now.day} lifts within the day")

    # -- proofs ------------------------------------------------------------------------------------

    def judge_proof(self, speak: Speak) -> None:
        """See that a proof is true: nothing of ours rests or flies. Call it as it is proven."""
        side = self._seen.side
        if side.live() or side.in_flight:
            live = [(order.identity, order.remaining) for order in side.live()]
            speak("proof", f"zero is proven, and {live} rest, {list(side.in_flight)} fly")

    def judge_part(self, scope: KillScope, speak: Speak) -> None:
        """See that a proof is true: nothing of the part may still fill."""
        part = scope.bot or scope.instrument
        left = [order.id for order, left in self._seen.alive(None) if left and within(part, order)]
        if left:
            speak("scope", f"zero is proven for {scope}, and {left} may still fill")

    def judge_awake(self, run: EngineRun, speak: Speak) -> None:
        """See that an engine trades again once everything is well and no person has stopped it."""
        executor = run.executor
        reasons = executor.reasons
        if executor.stopped is None and not executor.latched and reasons:
            speak("awake", f"everything is well, and it still does not trade: {reasons}")

    # -- the end -----------------------------------------------------------------------------------

    def settled(self, run: EngineRun) -> bool:
        """Say whether every settlement and redemption has ended and reached the engine."""
        side, facts = self._seen.side, self._seen.facts
        exchange, account = side.exchange, run.account
        pending = exchange.clearing.settlement.pending.values()
        ours = any(fill.customer == account for item in pending for fill in item.fills)
        made = {fill.id for fill in exchange.account(account).fills}
        over = {key for key, m in exchange.order_entry.markets.items() if m.payout is not None}
        paid = over & facts.instruments.keys() <= facts.payouts.keys()
        unsettled = run.executor.ledger.state.fills.unsettled
        redeeming = any(
            one.customer == account for one in exchange.clearing.redeeming.pending.values()
        )
        redeemed = {
            (one.transaction, one.instrument)
            for one in exchange.account(account).redemptions
            if one.amount_micro  # losers paid nothing: no engine has to receive that
        }
        converted = {
            (one.transaction, one.instrument) for one in exchange.account(account).conversions
        }
        if redeeming or not redeemed <= facts.redemptions.keys():
            return False
        if run.executor.wallet.state.operations:
            return False  # what was never heard of is asked about until its end is believed
        if not converted <= facts.conversions.keys():
            return False
        if not side.truth.moves <= facts.perpetuals.names:
            return False
        return not ours and not unsettled and paid and made <= facts.fills.keys()

    def rest(self, run: EngineRun, speak: Speak) -> None:
        """Compare at rest: exchange, journal and the engine's own books must say the same."""
        seen, executor = self._seen, run.executor
        facts, side = seen.facts, seen.side
        exchange, account = side.exchange, run.account
        listed = exchange.positions(account)
        theirs = {(key, leg): size for key, leg, size in listed if facts.pays(key, leg)}
        wallet = exchange.wallet(account)
        margin = exchange.clearing.margin.accounts.get(account)
        cash = wallet.cash + wallet.pending
        cash -= opened_micro(margin.positions.values() if margin is not None else ())
        for problem in exchange.invariants().problems:
            speak("exchange", problem)
        _same(speak, "inventory", "journal's tokens", facts.holdings(), theirs)
        _same(speak, "inventory", "journal's cash", facts.cash(), cash)
        _same(speak, "fees", "journal's fees", facts.fees.third, side.fees.third)
        state = executor.ledger.state
        ours: dict[tuple[InstrumentId, Leg], int] = {}
        for key, held in state.holdings.items():
            for leg, of in _legs(held, state.instruments[key]):
                if size := of.settled + of.pending + of.redeemable:
                    ours[key, leg] = size
        _same(speak, "inventory", "engine's tokens", ours, theirs)
        paid = {
            (one.transaction, one.instrument): one for one in exchange.account(account).redemptions
        }
        received = {
            name: (one.yes, one.no, one.amount_micro)
            for name, one in facts.redemptions.items()
            if one.amount_micro
        }
        made = {
            name: (one.yes, one.no, one.amount_micro)
            for name, one in paid.items()
            if one.amount_micro
        }
        _same(speak, "redemption", "journal's redemptions", received, made)
        mine = state.cash_settled_micro + state.cash_pending_micro
        mine -= opened_micro(state.netted.values())
        _same(speak, "inventory", "engine's cash", mine, cash)
        executor.ledger.check()
        if state.reservations or state.cash_reserved_micro != state.margin_micro:
            speak("reservations", f"at rest {dict(state.reservations)} are still reserved")
        if executor.open_and_unknown != (0, 0):
            speak("ends", f"at rest {executor.open_and_unknown} orders live or are unknown")
        for number in facts.orders:
            known = executor.record(number)
            if known is not None and not known.state.ended:
                speak("ends", f"order {number} has no end: {known.state}")


def _legs(held: Holding, terms: Instrument) -> tuple[tuple[Leg, LegHolding], ...]:
    """Return what is held of each leg there is: YES and NO, or BASE."""
    return tuple((leg, held.leg(leg)) for leg in terms.product.legs)


def _same(speak: Speak, judge: str, what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        speak(judge, f"the {what}: {ours}; the exchange has {theirs}")


# -- The judge of rows: what a page shows of an order is what the engine itself holds of it --------
# Folds the journal as the state file's projection does, record by record, and compares every row
# it touched with the executor that trades: at each start with the whole past, each second, at the
# end.


class MemoryRows(Rows):
    """Rows without a state file; remembers which orders' rows were touched since it was asked."""

    def __init__(self) -> None:
        self._tables = PROJECTED
        self._found: dict[type[msgspec.Struct], dict[tuple[str | int, ...], Any]] = {}
        self.orders: dict[int, OrderRow] = {}
        self.touched: dict[int, OrderRow] = {}

    def mode(self, account: str) -> Mode:
        del account
        return Mode.DEMO

    def currency(self, account: str) -> str:
        del account
        return CURRENCY

    def find(self, kind: type[Any], *key: str | int) -> Any:
        """Return the row with this key, None where there is none."""
        return self._found.get(kind, {}).get(key)

    def put(self, row: msgspec.Struct) -> None:
        """Take a new or changed row."""
        self._found.setdefault(type(row), {})[self._key_of(row)] = row
        if isinstance(row, OrderRow):
            self.orders[row.id] = self.touched[row.id] = row

    def drop(self, row: msgspec.Struct) -> None:
        """Delete a row."""
        self._found[type(row)].pop(self._key_of(row), None)

    def matching(self, kind: type[RowType], **columns: str | int) -> list[RowType]:
        """Return the rows with these values, in the order of their key."""
        found = self._found.get(kind, {})
        return [
            found[key]
            for key in sorted(found)
            if all(getattr(found[key], name) == value for name, value in columns.items())
        ]


class RowsJudge:
    """Compares one account's rows with its engines, one after another."""

    def __init__(self, disk: Disk, account: AccountId) -> None:
        self._disk = disk
        self._ours = (ENGINE_WIDE, account)
        self.begin_run()

    def begin_run(self) -> None:
        """Begin a life: its rows are built anew from what the disk has."""
        self._rows = MemoryRows()
        self._fold = Fold(self._rows, HANDLERS)
        self._seq = 0

    def look(self, executor: Executor, speak: Speak, *, whole: bool = False) -> None:
        """Compare what the journal recorded since the last look; `whole` = every order there is.

        Call it where nothing is under way inside the engine: all it has decided is journaled.
        """
        for record in self._disk.rows[self._seq :]:
            if record.account in self._ours:  # others have orders of the same numbers
                self._fold.take(record)
        self._seq = len(self._disk.rows)
        touched, self._rows.touched = self._rows.touched, {}
        for number, row in (self._rows.orders if whole else touched).items():
            known = executor.record(number)  # type: ignore[arg-type]
            if known is None:
                continue  # it ended so long ago that the engine has forgotten it
            held, shown = (known.state, known.filled), (row.state, row.filled)
            if held != shown:
                speak("rows", f"order {number} is {held} in the engine, its row says {shown}")
