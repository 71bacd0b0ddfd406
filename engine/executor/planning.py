"""Planning: once per turn, from intents and facts to cancels and places, through risk.

Cancels come before places. Where the account or a book is blind nothing is placed and what rests is
cancelled; the planner without an intent says what that is.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.effects import CancelAll, CancelOrders, PlaceOrder, Severity
from engine.domain.instruments import BotId, InstrumentId, Side, is_bid
from engine.domain.intents import Basket, Quotes, ResidualReason
from engine.domain.orders import Order, OrderId
from engine.executor.halts import ExecutorParts
from engine.executor.orders import (
    EffectOutbox,
    InstrumentIntent,
    InstrumentState,
    LiveOrder,
    OrderTable,
)
from engine.executor.plan import NO_PLAN, Draft, Plan, Residual
from engine.executor.planner import plan, reducing, target_levels
from engine.executor.proof import ZeroProofs
from engine.executor.settings import NEVER
from engine.risk.gate import Denied, RiskGate
from engine.risk.reasons import DenyReason

# -- Planning: once per turn, from intents and facts to cancels and places, through risk -----------

_BUY, _SELL = Side.BUY, Side.SELL
_COOLDOWN = ResidualReason.COOLDOWN
_EXPIRED = ResidualReason.EXPIRED_INTENT
_RISK = ResidualReason.RISK
_BELOW_MIN = ResidualReason.BELOW_MIN
_CLOSED = ResidualReason.MARKET_CLOSED
_WAITING = ResidualReason.WAITING_CANCEL


class Planning:
    """Plans the dirty instruments of one account."""

    def __init__(self, parts: ExecutorParts, gate: RiskGate, proofs: ZeroProofs) -> None:
        self._table, self._blocks, self._outbox, self._settings = parts
        self._gate = gate
        self._proofs = proofs
        self._reduces = partial(reduces, parts.table)
        self._limits = gate.limits
        """Those in force when it was last looked at what rests."""
        self._named = True
        """This run's cancels leave by their numbers, and not as a CANCEL_ALL."""
        self._cancels: list[OrderId] = []
        self._places: list[PlaceOrder] = []
        self.residuals: Counter[ResidualReason] = Counter()
        self.denials: Counter[DenyReason] = Counter()
        self.orders_placed = 0
        self.cancels_asked = 0
        self.order: tuple[InstrumentId, ...] = ()
        """What the last run looked at, in its order."""

    def expire(self, life_ms: int | None) -> None:
        """Let what rests end by itself after so long; None = good till cancelled."""
        self._settings = self._settings.model_copy(update={"gtd_ms": life_ms})

    def run(self, now_ns: int) -> None:
        """Plan everything that is dirty and hand out cancels, then places."""
        table = self._table
        block = self._blocks.account_block()
        self._named = block is None
        baskets: list[Basket] = []
        if self._gate.limits is not self._limits:
            self._cancel_over_limits(now_ns)
        dirty, table.dirty = table.dirty, {}
        for key, changed in dirty.items():
            entry = table.instruments.get(key)
            if entry is None:
                continue
            basket = entry.basket
            if basket is None:
                if changed:
                    entry.unchanged = False
                self._plan_one(entry, block, now_ns)
            elif not any(known is basket for known in baskets):
                baskets.append(basket)
                self._plan_basket(basket, block, now_ns)
        self.order = tuple(dirty)
        table.dirty = {}  # what is dirty now is so by our own doing
        effects = self._outbox.effects
        if cancels := self._cancels:
            self.cancels_asked += len(cancels)
            if block is not None:
                effects.append(CancelAll(account=table.account))
            else:
                effects.append(CancelOrders(account=table.account, orders=tuple(cancels)))
            self._cancels = []
        if self._places:
            self.orders_placed += len(self._places)
            self._proofs.placed(self._places)
            effects += self._places
            self._places = []

    def _cancel_over_limits(self, now_ns: int) -> None:
        """Cancel what rests over new limits; its intents are then planned under them.

        A limit is asked when an order is placed. One that rests was placed under the old limits and
        may still fill, so it counts as exposure that the new ones do not allow.
        """
        self._limits = self._gate.limits
        over = (entry for entry in self._table.instruments.values() if self._exceeds(entry))
        orders = (pair for entry in over for pair in entry.working.items())
        self._cancel(tuple(number for number, known in orders if not known.cancel_asked), now_ns)

    def _exceeds(self, entry: InstrumentState) -> bool:
        gate, working = self._gate, entry.working
        return bool(working) and (
            gate.exceeded(entry.instrument.id, self._table.live_count)
            or any(
                gate.too_large(known.order.price * known.remaining, entry.instrument)
                for known in working.values()
            )
        )

    # -- one instrument ----------------------------------------------------------------------------

    def _plan_one(self, entry: InstrumentState, block: ResidualReason | None, now_ns: int) -> None:
        intent = entry.intent
        if intent is None and not entry.working:
            entry.residuals = ()
            return
        entry.denied = None
        reason = block or self._blocks.instrument_block(entry, now_ns, self._gate.age_ns_max)
        if reason is None and intent is not None:
            if intent.valid_until_ns <= now_ns:
                reason = _EXPIRED
                entry.intent = None
            elif entry.cleared_for != entry.bot and not entry.cleared():
                # What another bot left would be kept for this intent, and never proven (law O).
                reason = _WAITING
        if reason is not None:
            self._blind(entry, reason, now_ns)
            return
        if entry.unchanged:
            return  # the same intent and facts as in a plan that had nothing to do
        if intent is None and entry.bot == MANUAL and entry.by_hand:
            # Nobody intents for what a person placed; a bot's order found here again goes.
            others = (key for key, known in entry.working.items() if known.order.bot != MANUAL)
            self._cancel(
                tuple(key for key in others if not entry.working[key].cancel_asked), now_ns
            )
            self._leave(entry, ())
            return
        made = self._made(entry, now_ns)
        if made is NO_PLAN:
            entry.unchanged = True
            entry.residuals = ()
            return
        left: list[Residual] = []
        if made.places:
            for draft in self._allowed_now(entry, made, left, now_ns):
                self._place(entry, draft, left, now_ns)
        self._leave(entry, (*made.residuals, *left) if left else made.residuals)

    def _made(self, entry: InstrumentState, now_ns: int) -> Plan:
        """Plan one instrument and note what is to be cancelled."""
        ledger, instrument, intent = self._table.ledger, entry.instrument, entry.intent
        state = ledger.state
        holding = ledger.holding(instrument.id)
        position = 0 if type(intent) is Quotes else holding.position
        asked = (intent, instrument, position, entry.mark, self._settings)
        most = holding.position if self._blocks.reduces_only else None
        if entry.levels_key != (*asked, most):
            entry.levels, entry.levels_key = target_levels(*asked), (*asked, most)
            if most is not None:
                entry.levels = reducing(entry.levels, most, instrument.lot)
        made = plan(
            entry.levels,
            instrument=instrument,
            holding=holding,
            working=entry.working.values(),
            cash_free_micro=state.cash_settled_micro - state.cash_reserved_micro,
            now_ns=now_ns,
        )
        if made.cancels:
            self._cancel(made.cancels, now_ns)
        return made

    def _cancel(self, cancels: tuple[OrderId, ...], now_ns: int) -> None:
        table = self._table
        for number in cancels:
            table.ask_cancel(table.orders[number], now_ns, named=self._named)
        self._cancels += cancels

    def _blind(self, entry: InstrumentState, reason: ResidualReason, now_ns: int) -> None:
        """Place nothing and cancel what rests, unless the venue would not even receive a cancel."""
        entry.unchanged = False
        if entry.working and self._blocks.cancels_work:
            intent, entry.intent = entry.intent, None
            self._made(entry, now_ns)
            entry.intent = intent
        intent = entry.intent
        # An intent for nothing leaves nothing over.
        nothing = intent is None or (type(intent) is Quotes and not intent.bids and not intent.asks)
        intended = reason is _EXPIRED or not nothing
        self._leave(entry, (Residual(reason, _BUY, 0, 0),) if intended else ())

    def _leave(self, entry: InstrumentState, residuals: tuple[Residual, ...]) -> None:
        entry.residuals = residuals
        for residual in residuals:
            self.residuals[residual.reason] += 1

    def _allowed_now(
        self, entry: InstrumentState, made: Plan, left: list[Residual], now_ns: int
    ) -> tuple[Draft, ...]:
        """Return the drafts that may be placed at this moment; the others are left over."""
        places = made.places
        if now_ns < entry.cooldown_ns:
            left += [left_of(entry, draft, _COOLDOWN, draft.size) for draft in places]
            return ()
        if not places[0].post_only and self._blocks.rests_only:
            left += [left_of(entry, draft, _CLOSED, draft.size) for draft in places]
            return ()
        return places

    def _place(
        self, entry: InstrumentState, draft: Draft, left: list[Residual], now_ns: int
    ) -> LiveOrder | None:
        """Ask risk and make the order, as large as risk allows."""
        mark, bot, table = entry.mark, entry.bot, self._table
        if bot is None or mark is None or mark.proof_ns is None:
            return None
        order = table.make(draft, bot, entry, now_ns)
        answer = self._gate.check(
            order,
            reduces=self._reduces,
            mark_age_ns=now_ns - mark.proof_ns,
            open_orders=table.live_count,
        )
        if isinstance(answer, Denied):
            self.denials[answer.reason] += 1
            entry.denied = answer
            left.append(left_of(entry, order, _RISK, order.size))
            return None
        size = answer.size
        if size != order.size:
            left.append(left_of(entry, order, _RISK, order.size - size))
            value = entry.instrument.proceeds_micro(order.price, size)
            if not order.post_only and value < entry.instrument.notional_min_micro:
                left.append(left_of(entry, order, _BELOW_MIN, size))
                return None
            order = msgspec.structs.replace(order, size=size)
        known = table.take(order, entry)
        self._places.append(PlaceOrder(order=order))
        return known

    # -- a basket ----------------------------------------------------------------------------------

    def _plan_basket(self, basket: Basket, block: ResidualReason | None, now_ns: int) -> None:
        """Plan all targets together: every placement of them is made, or none."""
        instruments = [self._table.instruments.get(target.instrument) for target in basket.targets]
        members = [entry for entry in instruments if entry is not None and entry.basket is basket]
        reason = block
        if len(members) < len(basket.targets) or basket.valid_until_ns <= now_ns:
            reason = reason or _EXPIRED
        for entry in members:
            reason = reason or self._blocks.instrument_block(entry, now_ns, self._gate.age_ns_max)
            if reason is None and entry.cleared_for != entry.bot and not entry.cleared():
                reason = _WAITING
        if reason is not None:
            for entry in members:
                if reason is _EXPIRED:
                    entry.intent = entry.basket = None
                entry.denied = None
                self._blind(entry, reason, now_ns)
            return
        before = len(self._places)
        created: list[LiveOrder] = []
        possible = True
        for entry in members:
            entry.denied = None
            entry.unchanged = False
            made = self._made(entry, now_ns)
            left: list[Residual] = []
            may = possible and made.places
            for draft in self._allowed_now(entry, made, left, now_ns) if may else ():
                known = self._place(entry, draft, left, now_ns)
                if known is not None:
                    created.append(known)
            self._leave(entry, (*made.residuals, *left))
            possible = possible and not entry.residuals
        if not possible:
            for known in reversed(created):
                self._table.undo(known)
            del self._places[before:]


def left_of(
    entry: InstrumentState, draft: Draft | Order, reason: ResidualReason, size: int
) -> Residual:
    """Return what is left of a draft, in YES-space."""
    level = entry.instrument.product.level(draft.leg, draft.price)
    side = _BUY if is_bid(draft.side, draft.leg) else _SELL
    return Residual(reason, side, level, size)


def reduces(table: OrderTable, order: Order) -> int:
    """Return how much of an order leads towards a position of zero: all of a SELL of what is held.

    A BUY of a binary's other leg does, too: the way out while tokens are pending, which cannot be
    sold yet. It leads there no further than what works on that side leaves of the position: beyond
    zero a position grows.
    """
    if order.side is _SELL:
        return order.size
    entry = table.instruments[order.instrument]
    holding = table.ledger.state.holdings.get(order.instrument)
    product = entry.instrument.product
    if holding is None or product.second is None:
        return 0
    bid = order.leg is not product.second
    left = -holding.position if bid else holding.position
    return max(0, left - sum(one.remaining for one in entry.working.values() if one.bid is bid))


# -- The mailbox: one slot per bot and instrument, the latest intent wins (law I) ------------------
# Until rules for conflicts exist, a second bot on the same instrument and account is refused.

REFUSED_MAX = 1_000
"""Refused (bot, instrument) pairs that are remembered as already told."""


class Mailbox:
    """The intents of one account, kept on the instruments."""

    def __init__(self, table: OrderTable, outbox: EffectOutbox) -> None:
        self._table = table
        self._outbox = outbox

    def intent(self, intent: InstrumentIntent, now_ns: int) -> None:
        """Take quotes or a target that stand alone."""
        del now_ns
        entry = self._slot(intent.bot, intent.instrument)
        if entry is not None:
            self._put(entry, intent, None)

    def basket(self, basket: Basket, now_ns: int) -> None:
        """Take targets that only make sense together: all slots, or none."""
        del now_ns
        instruments = [self._slot(basket.bot, target.instrument) for target in basket.targets]
        for entry, target in zip(instruments, basket.targets, strict=True):
            if entry is None:
                return
            if target.bot != basket.bot:
                self._refuse(target.bot, target.instrument, f"is not {basket.bot}, its basket's")
                return
        for entry, target in zip(instruments, basket.targets, strict=True):
            if entry is not None:
                self._put(entry, target, basket)

    def _slot(self, bot: BotId, instrument: InstrumentId) -> InstrumentState | None:
        entry = self._table.instruments.get(instrument)
        if entry is None:
            self._refuse(bot, instrument, "intents for an instrument that was never listed")
            return None
        if entry.bot != bot:
            if (first := entry.taken_from(bot)) is not None:
                self._refuse(bot, instrument, f"is the second one here, {first} was first")
                return None
            entry.bot = bot
            self._table.exposure.assign(instrument, bot)
        return entry

    def _refuse(self, bot: BotId, instrument: InstrumentId, why: str) -> None:
        refused = self._table.refused
        if (bot, instrument) in refused:
            return
        if len(refused) >= REFUSED_MAX:
            refused.clear()
        refused[bot, instrument] = None
        self._outbox.alert(
            Severity.WARNING,
            "intent_refused",
            f"bot {bot} {why}; it places nothing in {instrument}",
            instrument=instrument,
            bot=bot,
        )

    def _put(self, entry: InstrumentState, intent: InstrumentIntent, basket: Basket | None) -> None:
        table, old = self._table, entry.intent
        if entry.basket is not None:
            table.break_up(entry.basket)
        entry.intent = intent
        entry.basket = basket
        alike = (
            basket is None
            and type(intent) is Quotes
            and type(old) is Quotes
            and intent.bids == old.bids
            and intent.asks == old.asks
        )
        if alike:  # it asks for the same orders as the one before it
            table.dirty.setdefault(intent.instrument, False)
        else:
            table.dirty[intent.instrument] = True
        until_ns = intent.valid_until_ns if basket is None else basket.valid_until_ns
        if until_ns < table.wake_ns:
            table.wake_ns = until_ns

    def wake(self, now_ns: int) -> None:
        """Mark what time has changed: expired intents, ended pauses. Sets the next such time."""
        table = self._table
        wake_ns = NEVER
        for key, entry in table.instruments.items():
            intent = entry.intent
            if intent is None:
                continue
            until_ns = (
                intent.valid_until_ns if entry.basket is None else entry.basket.valid_until_ns
            )
            if until_ns <= now_ns or 0 < entry.cooldown_ns <= now_ns:
                table.dirty[key] = True
                if until_ns <= now_ns:
                    continue
                entry.cooldown_ns = 0
            wake_ns = min(wake_ns, until_ns, entry.cooldown_ns or NEVER)
        table.wake_ns = wake_ns
