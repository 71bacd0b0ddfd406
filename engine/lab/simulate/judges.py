"""Judges: of single orders, what an engine may decide and what may leave it; and of its lives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.effects import AnyWalletEffect, KeepBudget
from engine.domain.events import OpenOrdersListed, OrderReported, VenueMode
from engine.domain.instruments import UNASSIGNED, BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.intents import Quotes, Target
from engine.domain.money import MICRO
from engine.domain.orders import ORDER_ENDS, Order, OrderId, OrderState
from engine.errors import BrokenInvariant
from engine.executor.fills import Holding
from engine.executor.proof import within
from engine.lab.simulate.accounts import CAPITAL_MICRO
from engine.lab.simulate.bench import Evidence
from engine.lab.simulate.engine_run import EngineRun
from engine.live.commands.kill import KillScope
from engine.risk.gate import DAY_NS
from engine.risk.reasons import DenyReason

# -- The planner in ten lines: how much of an order an intent allows, given what may still fill
# ------- Slow truth beside fast code: it knows nothing of legs, minimums, cash or queue positions,
# only that per direction no more may be alive than is wanted, and at no better price than that.


def bid_and_level(order: Order, one: int) -> tuple[bool, int]:
    """Return an order's direction and price in YES-space."""
    yes = order.leg is not Leg.NO
    return (order.side is Side.BUY) is yes, order.price if yes else one - order.price


def room(intent: Quotes | Target, *, bid: bool, level: int, position: int, alive: int) -> int:
    """Return how large an order at this level may be. `alive` is what may fill in its direction."""
    if isinstance(intent, Target):
        missing = intent.position - position if bid else position - intent.position
        fair = level <= intent.limit_price if bid else level >= intent.limit_price
        return missing - alive if fair else 0
    quotes = intent.bids if bid else intent.asks
    total = sum(size for _, size in quotes)
    at_level = sum(size for price, size in quotes if (price >= level if bid else price <= level))
    return min(total - alive, at_level)


# -- Judges of single orders: what an engine may decide, and what may leave it ---------------------

MS = 1_000_000
SECOND = 1_000 * MS
OLD_NEWS_NS = 30 * SECOND
"""How long a venue's word that it is closed holds; as long again, only what rests may be tried."""


def may_place(order: Order, seen: Evidence) -> str:
    """No PLACE while blind, latched, stopped, closed or not reconciled (laws M, N, O)."""
    facts = seen.facts
    if facts.latched:
        return "it was placed under the KILL latch"
    if seen.halted:
        return f"it was placed after a stop: {seen.halted}"
    if facts.unwell:
        return f"it was placed although {facts.unwell}"
    if facts.mode is not VenueMode.OPEN and not _may_probe(order, seen):
        return f"it was placed although the venue is {facts.mode}"
    if not facts.listings or not facts.fill_listings:
        return "it was placed before the venue had said what is open and what was filled"
    key = order.instrument
    if key in facts.closed:
        return "its market is closed"
    if key in seen.books.distrusted:
        return f"its book is not to be trusted: {seen.books.distrusted[key]}"
    proof_ns = seen.books.proof_ns.get(key)
    if proof_ns is None or seen.now_ns - proof_ns > seen.limits.data_age_ms_max * MS:
        return f"the last proof of its book is of {proof_ns}, now is {seen.now_ns}"
    return ""


def _may_probe(order: Order, seen: Evidence) -> bool:
    """Say whether a venue that was closed takes this, or may be asked anew by trying it."""
    age_ns = seen.now_ns - seen.mode_reported_ns
    if seen.facts.mode is VenueMode.POST_ONLY:
        return order.post_only or age_ns >= OLD_NEWS_NS
    return age_ns >= 2 * OLD_NEWS_NS or (order.post_only and age_ns >= OLD_NEWS_NS)


def behind(order: Order, seen: Evidence) -> str:
    """No PLACE on a journal that lacks a fill of before its engine's start (law N)."""
    del order
    seen.lacking -= seen.facts.fills.keys()
    lacking = sorted(seen.lacking)
    return f"the exchange had {lacking} before the start, the journal lacks them" * bool(lacking)


def held(order: Order, seen: Evidence) -> str:
    """No PLACE in a part of the account that was killed and not released (law O)."""
    for bot, key in seen.facts.holds:
        if bot in (None, order.bot) and key in (None, order.instrument):
            return f"it was placed under the KILL of {bot or key or 'the account'}"
    return ""


def slot(order: Order, seen: Evidence) -> str:
    """No two live orders for one intent beyond plan: the naive planner's word."""
    intent = seen.intents.get((order.bot, order.instrument))
    if intent is None:
        return "nobody wants it"
    if intent.valid_until_ns <= seen.now_ns:
        return f"its intent ended at {intent.valid_until_ns}"
    one = seen.facts.instruments[order.instrument].one
    bid, level = bid_and_level(order, one)
    alive = sum(
        left
        for other, left in seen.alive(order.instrument)
        if other.id != order.id and other.bot == order.bot and bid_and_level(other, one)[0] is bid
    )
    if isinstance(intent, Target) and seen.facts.converted(order.instrument):
        return ""  # somebody merged pairs of several owners: whose position moved is not told
    position = seen.facts.position(order.instrument, order.bot)
    most = room(intent, bid=bid, level=level, position=position, alive=alive)
    if order.size > most:
        return f"size {order.size}, where {intent} allows {most} beside {alive} alive at {position}"
    return ""


def sells(order: Order, seen: Evidence) -> str:
    """No SELL above what its owner has settled minus reserved (laws E, H)."""
    if order.side is not Side.SELL:
        return ""
    key, facts, selling = order.instrument, seen.facts, 0
    settled, _ = facts.owned.get((order.bot, key, order.leg), (0, 0))
    if facts.converted(key):  # whose pairs they were is not told: the account's bound it
        settled, _ = facts.tokens(key, order.leg)
    for other, left in seen.alive(key):
        ours = facts.converted(key) or other.bot == order.bot
        if other.side is Side.SELL and other.leg is order.leg and other.id != order.id and ours:
            # What has been filled and not been told is neither held nor resting for the engine.
            selling += min(left, other.size - facts.filled.get(other.id, 0))
    if order.size > settled - selling:
        return f"it sells {order.size} of {settled} settled, {selling} of them reserved"
    return ""


def buys(order: Order, seen: Evidence) -> str:
    """No BUY above settled cash minus what the buys that may fill have reserved (law G)."""
    if order.side is not Side.BUY:
        return ""
    facts = seen.facts
    reserved = needed = 0
    for other, left in [*seen.alive(None), (order, order.size)]:
        if other.side is Side.BUY:
            unreported = min(left, other.size - facts.filled.get(other.id, 0))
            needed = other.price * unreported // facts.instruments[other.instrument].value_divisor
            reserved += needed
    free = facts.cash(promised=False) - reserved + needed
    return f"it needs {needed} micro, {free} are free" if needed > free else ""


def legal(order: Order, seen: Evidence) -> str:
    """Legal: on tick, inside the range, not too small, never against our own (law F)."""
    terms = seen.facts.instruments[order.instrument]
    if order.price % terms.tick or not terms.tick <= order.price <= terms.one - terms.tick:
        return f"price {order.price} is off the grid of {terms.tick}"
    if order.size < terms.size_min or order.size % terms.lot:
        return f"size {order.size} is below {terms.size_min} or no multiple of {terms.lot}"
    return _own_cross(order, seen, terms)


def _own_cross(order: Order, seen: Evidence, terms: Instrument) -> str:
    bid, level = bid_and_level(order, terms.one)
    for other, left in seen.alive(order.instrument):
        if other.id == order.id or not left:
            continue
        other_bid, other_level = bid_and_level(other, terms.one)
        if other_bid is not bid and (level >= other_level if bid else level <= other_level):
            return f"it meets our own order {other.id} at {other_level}"
    return ""


def limits(order: Order, seen: Evidence) -> str:
    """Over no limit: value of the order, number of orders, worst case of account and market."""
    terms = seen.facts.instruments[order.instrument]
    most = seen.limits.order_value_max.absolute
    value = order.price * order.size // terms.value_divisor
    if most is not None and value > most * 1_000_000:
        return f"its value {value} micro is over {most}"
    alive = len(seen.side.live()) + len(seen.side.in_flight) + len(seen.side.waiting)
    if alive >= seen.limits.open_orders_max:
        return f"{alive} orders are alive, {seen.limits.open_orders_max} are allowed"
    most = seen.limits.exposure_instrument_max.absolute
    others = [(one, left) for one, left in seen.alive(order.instrument) if one.id != order.id]
    worst = _worst([*others, (order, order.size)], seen, terms)
    if order.side is not Side.BUY or worst <= max(0, _worst(others, seen, terms)):
        return ""  # it adds nothing to what could be lost, however much that is by now
    if most is not None and worst > most * 1_000_000:
        return f"{worst} micro could be lost in {order.instrument}, {most} are allowed"
    return _sums(order, seen, worst)


def _sums(order: Order, seen: Evidence, worst: int) -> str:
    """See that a market's instruments together, and a bot's, keep their bounds."""
    terms, facts = seen.facts.instruments[order.instrument], seen.facts
    alive = {other.instrument for other, left in seen.alive(None) if left} - {order.instrument}
    market, own = worst, [(order, order.size)]
    beside = [one for one in seen.alive(order.instrument) if one[0].id != order.id]
    own += [one for one in beside if one[0].bot == order.bot]
    bot = _worst(own, seen, terms, order.bot)
    for key in sorted(alive):
        there = facts.instruments[key]
        if there.exposure_key == terms.exposure_key:
            market += _worst(seen.alive(key), seen, there)
        mine = [one for one in seen.alive(key) if one[0].bot == order.bot]
        bot += _worst(mine, seen, there, order.bot)
    most = seen.limits.exposure_market_max.absolute
    if most is not None and market > most * 1_000_000:
        return f"{market} micro could be lost in {terms.exposure_key}, {most} are allowed"
    if bot > CAPITAL_MICRO:
        return f"{bot} micro could be lost by {order.bot}, its capital is {CAPITAL_MICRO}"
    return ""


def _worst(
    alive: list[tuple[Order, int]], seen: Evidence, terms: Instrument, owner: BotId | None = None
) -> int:
    """Return what the buys among orders that may fill can lose beyond what is held.

    Of one owner, who holds what its own fills brought, or of the account.

    A lower bound of the true worst case: what is held can only be gained back by the tokens that
    pay in the same outcome, so they are counted in full.
    """
    losses = {Leg.YES: 0, Leg.NO: 0}
    for other, left in alive:
        if other.side is Side.BUY:
            # A buy of one leg is lost where the other one wins.
            losses[other.leg] += other.price * left // terms.value_divisor
    unit = 10**terms.size_decimals
    worst = 0
    for leg, winner in ((Leg.YES, Leg.NO), (Leg.NO, Leg.YES)):
        held = seen.facts.tokens(terms.id, winner)
        if owner is not None and not seen.facts.converted(terms.id):
            held = seen.facts.owned.get((owner, terms.id, winner), (0, 0))
        paying = sum(held) * 1_000_000 // unit
        worst = max(worst, losses[leg] - max(0, paying))
    return worst


def named(order: Order, seen: Evidence) -> str:
    """Named before sent: its identity is durable before its first byte leaves (law K)."""
    number = seen.named.get(order.id)
    if number is None:
        return "its identity is not in the journal"
    if number > seen.disk.durable:
        return f"record {number} names it, only {seen.disk.durable} records are durable"
    return ""


def veto(order: Order, seen: Evidence) -> str:
    """No byte of a place leaves under the KILL latch: the gateway's one veto (law C)."""
    del order
    return "it leaves under the KILL latch" if seen.facts.latched else ""


def lease(order: Order, seen: Evidence) -> str:
    """No byte of a place leaves an engine whose lease another one has taken."""
    fence = seen.disk.fence
    return f"start {order.fence} made it, {fence} has the lease" if order.fence != fence else ""


DECIDED = {
    "sight": may_place,
    "held": held,
    "behind": behind,
    "slot": slot,
    "sells": sells,
    "buys": buys,
    "legal": legal,
    "limits": limits,
}
"""Judges of a decision, asked as the journal takes the PlaceOrder."""

LEAVING = {"named": named, "veto": veto, "lease": lease}
"""Judges of bytes, asked as they leave."""


# -- Judges of lives: states that never go back, stops that stay, proofs that are true, the end ----

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

    def __init__(self, run: EngineRun, seq: int, deposits: int) -> None:
        executor = run.executor
        self.seq = seq
        self.day = executor.gate.breakers.day
        self.deposits = deposits
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

    def _judge_budget(self, run: EngineRun, speak: Speak) -> None:
        if run.executor.recovering or "equity" in run.executor.unhealthy:
            return
        seen = self._seen
        budget = Budget(run, len(seen.disk.rows), seen.facts.deposits)
        before, self._before = self._before, None
        if before is not None:
            today = before.day == budget.day
            same = before.start_micro == budget.start_micro
            if today and before.deposits == budget.deposits and not same:
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
        """Compare cash and winners with the naive sum of what was told: each payment counts once.

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
        if state.cash_settled_micro != cash:
            mine = state.cash_settled_micro
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

    def _judge_owner(self, held: Holding, key: InstrumentId, owner: BotId, speak: Speak) -> None:
        facts, worth, fills = self._seen.facts, 0, 1
        payout = facts.payouts.get(key)
        for leg, of in ((Leg.YES, held.yes), (Leg.NO, held.no)):
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
        anchor_micro = said["day_start_equity_micro"] - seen.facts.deposits
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
        """See that an engine trades again once everything is well and nobody has stopped it."""
        executor = run.executor
        reasons = executor.reasons
        if executor.stopped is None and not executor.latched and reasons:
            speak("awake", f"everything is well, and it still does not trade: {reasons}")

    # -- the end -----------------------------------------------------------------------------------

    def settled(self, run: EngineRun) -> bool:
        """Say whether every settlement and redemption has ended and been told."""
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
            if one.amount_micro  # of losers that paid nothing nobody has to receive
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
        return not ours and not unsettled and paid and made <= facts.fills.keys()

    def rest(self, run: EngineRun, speak: Speak) -> None:
        """Compare at rest: exchange, journal and the engine's own books must say the same."""
        seen, executor = self._seen, run.executor
        facts, side = seen.facts, seen.side
        exchange, account = side.exchange, run.account
        listed = exchange.positions(account)
        theirs = {(key, leg): size for key, leg, size in listed if facts.pays(key, leg)}
        wallet = exchange.wallet(account)
        cash = wallet.cash + wallet.pending
        _same(speak, "inventory", "journal's tokens", facts.holdings(), theirs)
        _same(speak, "inventory", "journal's cash", facts.cash(), cash)
        state = executor.ledger.state
        ours: dict[tuple[InstrumentId, Leg], int] = {}
        for key, held in state.holdings.items():
            for leg, of in ((Leg.YES, held.yes), (Leg.NO, held.no)):
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
        _same(speak, "inventory", "engine's cash", mine, cash)
        executor.ledger.check()
        if state.reservations or state.cash_reserved_micro:
            speak("reservations", f"at rest {dict(state.reservations)} are still reserved")
        if executor.open_and_unknown != (0, 0):
            speak("ends", f"at rest {executor.open_and_unknown} orders live or are unknown")
        for number in facts.orders:
            known = executor.record(number)
            if known is not None and not known.state.ended:
                speak("ends", f"order {number} has no end: {known.state}")


def _same(speak: Speak, judge: str, what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        speak(judge, f"the {what}: {ours}; the exchange has {theirs}")
