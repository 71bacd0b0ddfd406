"""Judges of lives: states that never go back, stops that stay, proofs that are true, the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.effects import AnyWalletEffect, KeepBudget
from engine.domain.events import OpenOrdersListed, OrderReported
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.money import MICRO
from engine.domain.orders import ORDER_ENDS, OrderId, OrderState
from engine.executor.proof import within
from engine.lab.simulate.bench import Evidence
from engine.lab.simulate.engine_run import EngineRun
from engine.live.commands.kill import KillScope
from engine.risk.breakers import DAY_NS
from engine.risk.reasons import DenyReason

Speak = Callable[[str, str], None]

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
    equity is next told.
    """

    def __init__(self, life: EngineRun, seq: int, deposits: int) -> None:
        executor = life.executor
        self.seq = seq
        self.day = executor.gate.breakers.day
        self.deposits = deposits
        self.start_micro, self.peak_micro = executor.anchors_micro
        self.stopped = executor.stopped
        self.latched = executor.latched


class Lives:
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
        kept = [one for one in known if one.seq < self._seen.disk.durable]
        self._before = kept[-1] if kept else None
        self._budgets.clear()
        while self._days and self._days[-1].seq > len(self._seen.disk.rows):
            self._days.pop()  # lost with the power: nothing ever came of it

    # -- statuses ----------------------------------------------------------------------------------

    def heard(self, message: Any, life: EngineRun, speak: Speak) -> None:
        """Take a record that was written: look what the one before did to its orders."""
        if isinstance(message, KeepBudget):
            self._day_kept(message, speak)
        last, self._last = self._last, orders_of(message)
        for number in last:
            known = life.executor.record(number)
            if known is None:
                continue
            after, before = known.state, self._states.get(number)
            if before is not None and before is not after:
                again = before in ORDER_ENDS and (before, after) not in BACK
                early = after in EARLY and EARLY[after] < EARLY.get(before, 9)
                if again or early:
                    speak("status", f"order {number} was {before} and is {after}")
            self._states[number] = after

    # -- stops -------------------------------------------------------------------------------------

    def watch(self, life: EngineRun, speak: Speak) -> None:
        """Once a second: see that what must survive a restart has, and what was paid."""
        self._judge_budget(life, speak)
        self._judge_redemptions(life, speak)

    def _judge_budget(self, life: EngineRun, speak: Speak) -> None:
        if life.executor.recovering or "equity" in life.executor.unhealthy:
            return
        seen = self._seen
        budget = Budget(life, len(seen.disk.rows), seen.told.deposits)
        before, self._before = self._before, None
        if before is not None:
            today = before.day == budget.day
            same = before.start_micro == budget.start_micro
            if today and before.deposits == budget.deposits and not same:
                speak("budget", f"the day's anchor {before.start_micro} is {budget.start_micro}")
            stands = before.seq > seen.released_seq
            lasts = before.stopped is not None and (
                today or before.stopped is not DenyReason.DAILY_LOSS
            )
            if stands and lasts and budget.stopped is None:
                speak("budget", f"the stop {before.stopped} did not survive a restart")
            if stands and before.latched and not budget.latched:
                speak("budget", "the latch did not survive a restart")
        self._budgets.append(budget)

    # -- redemptions -------------------------------------------------------------------------------

    def asked_of_wallet(self, asked: AnyWalletEffect, speak: Speak) -> None:
        """See that nothing is asked for again of which nothing has been learned (law J)."""
        about = getattr(asked, "instrument", None)
        for number, other in self._seen.told.operations.items():
            if type(other) is type(asked) and getattr(other, "instrument", None) == about:
                speak("redemption", f"{asked} is asked for again, and {number} is unknown")

    def _judge_redemptions(self, life: EngineRun, speak: Speak) -> None:
        """Compare cash and winners with the naive sum of what was told: each payment counts once.

        A winner is neither cash nor a token to sell, a loser is nothing, and what is still to be
        paid is what the winners are worth.
        """
        told, state = self._seen.told, life.executor.ledger.state
        ours = {
            (key, leg): of.redeemable
            for key, held in state.holdings.items()
            for leg, of in ((Leg.YES, held.yes), (Leg.NO, held.no))
            if of.redeemable
        }
        winners, cash = told.redeemable(), told.cash(promised=False)
        if ours != winners:
            speak("redemption", f"redeemable are {ours}, by the journal {winners}")
        if state.cash_settled_micro != cash:
            mine = state.cash_settled_micro
            speak("redemption", f"settled cash is {mine} micro, by the journal {cash}")
        worth = sum(
            size
            * (MICRO - told.payouts[key] if leg is Leg.NO else told.payouts[key])
            // 10 ** told.instruments[key].size_decimals
            for (key, leg), size in winners.items()
        )
        if state.redeemable_micro != worth:
            due = state.redeemable_micro
            speak("redemption", f"{due} micro are to be paid, the winners are worth {worth}")

    def _day_kept(self, message: KeepBudget, speak: Speak) -> None:
        """Compare what the journal says of a day with what it said before, by whatever life."""
        seen, said = self._seen, msgspec.json.decode(message.breakers)
        anchor_micro = said["day_start_equity_micro"] - seen.told.deposits
        now = Day(len(seen.disk.rows), said["day"], anchor_micro, said["daily_loss"])
        last = self._days[-1] if self._days else None
        self._days.append(now)
        if last is None:
            return
        if now.day < last.day:
            speak("day", f"day {last.day} of the journal is followed by {now.day}")
        elif now.day > last.day:
            if now.day > seen.now_ns // DAY_NS:
                speak("day", f"day {now.day} begins before its midnight")
        elif now.anchor_micro != last.anchor_micro:
            speak("day", f"the anchor of day {now.day} is set twice: {last} and {now}")
        elif last.stopped and not now.stopped:
            speak("day", f"the daily stop of day {now.day} lifts within the day")

    # -- proofs ------------------------------------------------------------------------------------

    def judge_proof(self, speak: Speak) -> None:
        """See that a proof is true: nothing of ours rests or flies. Call it as it is proven."""
        side = self._seen.side
        if side.live() or side.flying:
            live = [(order.identity, order.remaining) for order in side.live()]
            speak("proof", f"zero is proven, and {live} rest, {list(side.flying)} fly")

    def judge_part(self, scope: KillScope, speak: Speak) -> None:
        """See that a proof is true: nothing of the part may still fill."""
        part = scope.bot or scope.instrument
        left = [order.id for order, left in self._seen.alive(None) if left and within(part, order)]
        if left:
            speak("scope", f"zero is proven for {scope}, and {left} may still fill")

    def judge_awake(self, life: EngineRun, speak: Speak) -> None:
        """See that an engine trades again once everything is well and nobody has stopped it."""
        executor = life.executor
        reasons = executor.reasons
        if executor.stopped is None and not executor.latched and reasons:
            speak("awake", f"everything is well, and it still does not trade: {reasons}")

    # -- the end -----------------------------------------------------------------------------------

    def settled(self, life: EngineRun) -> bool:
        """Say whether every settlement and redemption has ended and been told."""
        side, told = self._seen.side, self._seen.told
        exchange, account = side.exchange, life.account
        pending = exchange.clearing.settlement.pending.values()
        ours = any(fill.customer == account for item in pending for fill in item.fills)
        made = {fill.id for fill in exchange.account(account).fills}
        over = {key for key, m in exchange.desk.markets.items() if m.payout is not None}
        paid = over & told.instruments.keys() <= told.payouts.keys()
        unsettled = life.executor.ledger.state.fills.unsettled
        redeeming = any(
            one.customer == account for one in exchange.clearing.redeeming.pending.values()
        )
        redeemed = {
            (one.transaction, one.instrument)
            for one in exchange.account(account).redemptions
            if one.amount_micro  # of losers that paid nothing nobody has to hear
        }
        converted = {
            (one.transaction, one.instrument) for one in exchange.account(account).conversions
        }
        if redeeming or not redeemed <= told.redemptions.keys():
            return False
        if not converted <= told.conversions.keys():
            return False
        return not ours and not unsettled and paid and made <= told.fills.keys()

    def rest(self, life: EngineRun, speak: Speak) -> None:
        """Compare at rest: exchange, journal and the engine's own books must say the same."""
        seen, executor = self._seen, life.executor
        told, side = seen.told, seen.side
        exchange, account = side.exchange, life.account
        listed = exchange.positions(account)
        theirs = {(key, leg): size for key, leg, size in listed if told.pays(key, leg)}
        balance = exchange.balance(account)
        cash = balance.settled + balance.pending
        _same(speak, "inventory", "journal's tokens", told.holdings(), theirs)
        _same(speak, "inventory", "journal's cash", told.cash(), cash)
        state = executor.ledger.state
        home: dict[tuple[InstrumentId, Leg], int] = {}
        for key, held in state.holdings.items():
            for leg, of in ((Leg.YES, held.yes), (Leg.NO, held.no)):
                if size := of.settled + of.pending + of.redeemable:
                    home[key, leg] = size
        _same(speak, "inventory", "engine's tokens", home, theirs)
        paid = {
            (one.transaction, one.instrument): one for one in exchange.account(account).redemptions
        }
        heard = {
            name: (one.yes, one.no, one.amount_micro)
            for name, one in told.redemptions.items()
            if one.amount_micro
        }
        made = {
            name: (one.yes, one.no, one.amount_micro)
            for name, one in paid.items()
            if one.amount_micro
        }
        _same(speak, "redemption", "journal's redemptions", heard, made)
        mine = state.cash_settled_micro + state.cash_pending_micro
        _same(speak, "inventory", "engine's cash", mine, cash)
        executor.ledger.check()
        if state.reservations or state.cash_reserved_micro:
            speak("reservations", f"at rest {dict(state.reservations)} are still reserved")
        if executor.open_and_unknown != (0, 0):
            speak("ends", f"at rest {executor.open_and_unknown} orders live or are unknown")
        for number in told.orders:
            known = executor.record(number)
            if known is not None and not known.state.ended:
                speak("ends", f"order {number} has no end: {known.state}")


def _same(speak: Speak, judge: str, what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        speak(judge, f"the {what}: {ours}; the exchange has {theirs}")
