"""Planning: once per turn, from intents and facts to cancels and places, through risk.

Cancels come before places. Where the account or a book is blind nothing is placed and what rests is
cancelled; the planner without an intent says what that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.effects import CancelAll, CancelOrders, PlaceOrder, Severity
from engine.domain.instruments import BotId, InstrumentId, Side, is_bid
from engine.domain.intents import Basket, Quotes, ResidualReason, Target
from engine.domain.orders import Order, OrderId
from engine.executor.halts import ExecutorParts
from engine.executor.orders import (
    InstrumentIntent,
    InstrumentState,
    LiveOrder,
    OrderTable,
    OwnerSlot,
)
from engine.executor.outbox import EffectOutbox
from engine.executor.plan import (
    NO_LEVELS,
    NO_PLAN,
    NOTHING_AHEAD,
    Ahead,
    Draft,
    Plan,
    Residual,
    crumb,
    reducing,
)
from engine.executor.planner import behind, plan, target_levels
from engine.executor.proof import ZeroProofs
from engine.executor.settings import NEVER
from engine.executor.whole_close import judged_again
from engine.risk.gate import Denied, RiskGate
from engine.risk.reasons import DenyReason

# -- Planning: once per turn, from intents and facts to cancels and places, through risk -----------

_BUY, _SELL = Side.BUY, Side.SELL
_COOLDOWN = ResidualReason.COOLDOWN
_EXPIRED = ResidualReason.EXPIRED_INTENT
_RISK = ResidualReason.RISK
_BELOW_MIN = ResidualReason.BELOW_MIN
_NETTED = ResidualReason.NETTED
_DUST = ResidualReason.DUST
_CLOSED = ResidualReason.MARKET_CLOSED


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
        self.only: Mapping[tuple[InstrumentId, BotId], Ahead] | None = None
        """Whose parts alone are planned, behind what, where a past is repeated; None = all."""
        self.orders_placed = 0
        self.cancels_asked = 0
        self.order: tuple[InstrumentId, ...] = ()
        """What the last run looked at, in its order."""
        self.ranked: dict[InstrumentId, list[OwnerSlot]] = {}
        """Where several owners are: who went first in the last run."""

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
        dirty, table.dirty, self.ranked = table.dirty, {}, {}
        for key, changed in dirty.items():
            entry = table.instruments.get(key)
            if entry is None:
                continue
            slots = entry.slots
            if changed:
                for slot in slots.values():
                    slot.unchanged = False
            ahead = NOTHING_AHEAD
            for slot in slots.values() if len(slots) == 1 else self._ranked(entry):
                if self.only is not None:
                    if (key, slot.owner) not in self.only:
                        continue
                    ahead = self.only[key, slot.owner]
                basket = slot.basket
                if basket is None:
                    self._plan_one(entry, slot, ahead, block, now_ns)
                elif not any(known is basket for known in baskets):
                    baskets.append(basket)
                    self._plan_basket(basket, block, now_ns)
                if len(slots) > 1:
                    ahead = _with(ahead, entry, slot)
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

    # -- one owner in one instrument ---------------------------------------------------------------

    def _ranked(self, entry: InstrumentState) -> list[OwnerSlot]:
        """Return the slots, who goes first first: by hand, then priority, confidence and age.

        Forget the slots of those who want nothing here and have no order left.
        """
        working = {known.order.bot for known in entry.working.values()}
        for owner, slot in list(entry.slots.items()):
            if slot.intent is None and slot.room is None and owner not in working:
                del entry.slots[owner]
        priorities = self._table.priorities
        found = self.ranked[entry.instrument.id] = sorted(
            entry.slots.values(),
            key=lambda slot: (
                slot.room is None and slot.owner != MANUAL,
                -priorities.get(slot.owner, 0),
                -(slot.intent.confidence if slot.intent is not None else 0.0),
                slot.number,
            ),
        )
        return found

    def _plan_one(
        self,
        entry: InstrumentState,
        slot: OwnerSlot,
        ahead: Ahead,
        block: ResidualReason | None,
        now_ns: int,
    ) -> None:
        intent = slot.intent
        if intent is None and not entry.working:
            slot.residuals = ()
            return
        slot.denied = None
        reason = block or self._blocks.instrument_block(
            entry, now_ns, self._gate.age_ns_max, slot.owner
        )
        if reason is None and intent is not None and intent.valid_until_ns <= now_ns:
            reason = _EXPIRED
            slot.intent = None
        if reason is not None:
            self._blind(entry, slot, reason, now_ns)
            return
        if slot.unchanged:
            return  # the same intent and facts as in a plan that had nothing to do
        if intent is None and slot.owner == MANUAL:
            self._leave(slot, ())  # no bot intends what a person placed: it rests
            return
        made = self._made(entry, slot, ahead, now_ns)
        if made is NO_PLAN:
            slot.unchanged = True
            slot.residuals = ()
            return
        left: list[Residual] = []
        if made.places:
            for draft in self._allowed_now(entry, made, left, now_ns):
                self._place(entry, slot, draft, left, now_ns)
        self._leave(slot, (*made.residuals, *left) if left else made.residuals)

    def _made(self, entry: InstrumentState, slot: OwnerSlot, ahead: Ahead, now_ns: int) -> Plan:
        """Plan one owner's part of an instrument and note what is to be cancelled.

        What it wants at a price at which it would meet those `ahead` of it is left over; what they
        and all others have resting is never met.
        """
        ledger, instrument, intent = self._table.ledger, entry.instrument, slot.intent
        state = ledger.state
        holding = ledger.owned(instrument.id, slot.owner)
        position = 0
        if type(intent) is not Quotes:
            position = holding.position
            if type(intent) is Target and intent.position == position and not entry.working:
                slot.levels, slot.levels_key, slot.ahead = NO_LEVELS, (), ahead
                return NO_PLAN  # it is held already, and nothing of anybody rests
        asked = (intent, instrument, position, entry.mark, self._settings)
        most = holding.position if self._blocks.reduces_only else None
        if slot.levels_key != (*asked, most):
            slot.levels, slot.levels_key = target_levels(*asked), (*asked, most)
            if most is not None:
                slot.levels = reducing(slot.levels, most, instrument.lot)
        levels, working, others = slot.levels, entry.working, NOTHING_AHEAD
        slot.ahead = ahead
        if len(entry.slots) > 1 or ahead is not others:
            levels, working = behind(levels, ahead), entry.working_of(slot.owner)
            for known in entry.working.values():
                if known.order.bot != slot.owner:
                    others = others.joined(known.bid, known.level)
        made = plan(
            levels,
            instrument=instrument,
            holding=holding,
            working=working.values(),
            cash_free_micro=state.cash_settled_micro - state.cash_reserved_micro,
            now_ns=now_ns,
            others=others,
        )
        if made.cancels:
            self._cancel(made.cancels, now_ns)
        return made

    def _cancel(self, cancels: tuple[OrderId, ...], now_ns: int) -> None:
        table = self._table
        for number in cancels:
            table.ask_cancel(table.orders[number], now_ns, named=self._named)
        self._cancels += cancels

    def _blind(
        self, entry: InstrumentState, slot: OwnerSlot, reason: ResidualReason, now_ns: int
    ) -> None:
        """Place nothing and cancel what rests, unless the venue would not even receive a cancel."""
        slot.unchanged, slot.ahead = False, NOTHING_AHEAD
        if entry.working and self._blocks.cancels_work:
            intent, slot.intent = slot.intent, None
            self._made(entry, slot, NOTHING_AHEAD, now_ns)
            slot.intent = intent
        intent = slot.intent
        # An intent for nothing leaves nothing over.
        nothing = intent is None or (type(intent) is Quotes and not intent.bids and not intent.asks)
        intended = reason is _EXPIRED or not nothing
        self._leave(slot, (Residual(reason, _BUY, 0, 0),) if intended else ())

    def _leave(self, slot: OwnerSlot, residuals: tuple[Residual, ...]) -> None:
        slot.residuals = residuals
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
        self,
        entry: InstrumentState,
        slot: OwnerSlot,
        draft: Draft,
        left: list[Residual],
        now_ns: int,
    ) -> LiveOrder | None:
        """Ask risk and make the order, as large as risk allows."""
        mark, intent, table = entry.mark, slot.intent, self._table
        if intent is None or mark is None or mark.proof_ns is None:
            return None
        order = table.make(draft, slot.owner, entry, now_ns, intent.decision)
        if draft.reduce_only:
            why = _BELOW_MIN if draft.size > reduces(table, order) else _NETTED
            if draft.size > min(reduces(table, order), netted_against(table, entry, draft.side)):
                left.append(left_of(entry, draft, why, draft.size))
                return None
            order = msgspec.structs.replace(order, reduce_only=True)
        answer = self._gate.check(
            counted(order, entry) if not draft.post_only else order,
            reduces=self._reduces,
            mark_age_ns=now_ns - mark.proof_ns,
            open_orders=table.live_count,
        )
        if isinstance(answer, Denied):
            age_ns = now_ns - mark.proof_ns
            answer = judged_again(self._gate, table, order, answer, age_ns)
            if isinstance(answer, Denied):
                self.denials[answer.reason] += 1
                slot.denied = answer
                left.append(left_of(entry, order, _RISK, order.size))
                return None
        size = answer.size
        if size != order.size:
            left.append(left_of(entry, order, _RISK, order.size - size))
            small = entry.instrument.worth_too_little(order.price, size, rests=order.post_only)
            if small and not order.reduce_only:
                left.append(left_of(entry, order, _BELOW_MIN, size))
                return None
            if self._is_crumb(entry, order, size):
                left.append(left_of(entry, order, _DUST, size))
                return None
            order = msgspec.structs.replace(order, size=size)
        known = table.take(order, entry)
        self._places.append(PlaceOrder(order=order))
        return known

    def _is_crumb(self, entry: InstrumentState, order: Order, size: int) -> bool:
        """Say whether exposure limits cut an order to almost nothing beside what stands of it.

        One that the largest order value cuts is a slice of what is wanted: the next one follows.
        """
        instrument = entry.instrument
        if self._gate.too_large(order.price * (size + instrument.lot), instrument):
            return False
        bid = is_bid(order.side, order.leg)
        position = self._table.ledger.owned(instrument.id, order.bot).position
        alive = entry.working_of(order.bot).values()
        works = sum(one.remaining for one in alive if one.bid is bid)
        return crumb(instrument, size, works + max(0, position if bid else -position))

    # -- a basket ----------------------------------------------------------------------------------

    def _plan_basket(self, basket: Basket, block: ResidualReason | None, now_ns: int) -> None:
        """Plan all targets together: every placement of them is made, or none."""
        members = [
            (entry, slot)
            for target in basket.targets
            if (entry := self._table.instruments.get(target.instrument)) is not None
            and (slot := entry.slots.get(basket.bot)) is not None
            and slot.basket is basket
        ]
        reason = block
        if len(members) < len(basket.targets) or basket.valid_until_ns <= now_ns:
            reason = reason or _EXPIRED
        for entry, slot in members:
            reason = reason or self._blocks.instrument_block(
                entry, now_ns, self._gate.age_ns_max, slot.owner
            )
        if reason is not None:
            for entry, slot in members:
                if reason is _EXPIRED:
                    slot.intent = slot.basket = None
                slot.denied = None
                self._blind(entry, slot, reason, now_ns)
            return
        before = len(self._places)
        created: list[LiveOrder] = []
        possible = True
        for entry, slot in members:
            slot.denied = None
            slot.unchanged = False
            made = self._made(entry, slot, self._ahead_of(entry, slot), now_ns)
            left: list[Residual] = []
            may = possible and made.places
            for draft in self._allowed_now(entry, made, left, now_ns) if may else ():
                known = self._place(entry, slot, draft, left, now_ns)
                if known is not None:
                    created.append(known)
            self._leave(slot, (*made.residuals, *left))
            possible = possible and not slot.residuals
        if not possible:
            for known in reversed(created):
                self._table.undo(known)
            del self._places[before:]

    def _ahead_of(self, entry: InstrumentState, slot: OwnerSlot) -> Ahead:
        """Return what those who go before an owner want, as they were planned last."""
        if self.only is not None:
            return self.only[entry.instrument.id, slot.owner]
        ahead = NOTHING_AHEAD
        if len(entry.slots) > 1:
            for other in self._ranked(entry):
                if other is slot:
                    break
                ahead = _with(ahead, entry, other)
        return ahead


def _with(ahead: Ahead, entry: InstrumentState, slot: OwnerSlot) -> Ahead:
    """Return what lies ahead of the next owner: what this one wants and has resting, too."""
    if slot.intent is not None:
        for bid, levels in ((True, slot.levels.bids), (False, slot.levels.asks)):
            for level, _ in levels:
                ahead = ahead.joined(bid, level)
    if slot.room is not None:
        ahead = ahead.joined(slot.room.bid, slot.room.level)
    for known in entry.working_of(slot.owner).values():
        ahead = ahead.joined(known.bid, known.level)
    return ahead


def left_of(
    entry: InstrumentState, draft: Draft | Order, reason: ResidualReason, size: int
) -> Residual:
    """Return what is left of a draft, in YES-space."""
    level = entry.instrument.product.level(draft.leg, draft.price)
    side = _BUY if is_bid(draft.side, draft.leg) else _SELL
    return Residual(reason, side, level, size)


def counted(order: Order, entry: InstrumentState) -> Order:
    """Return an order that takes as risk counts it: what opens a short, at the bid it meets.

    The limit of a sale is the least it takes. Counted at that, a short sold at any price would be
    almost none.
    """
    mark = entry.mark
    if order.side is not _SELL or mark is None or mark.best_bid is None:
        return order
    if mark.best_bid <= order.price or not entry.instrument.product.signed:
        return order
    return msgspec.structs.replace(order, price=mark.best_bid)


def reduces(table: OrderTable, order: Order) -> int:
    """Return how much of an order leads towards a position of zero: all of a SELL of what is held.

    Of a perpetual that is what goes against the position. A BUY of a binary's other leg does, too:
    the way out while tokens are pending, which cannot be sold yet. It leads there no further than
    what works on that side leaves of the position: beyond zero a position grows.
    """
    entry = table.instruments[order.instrument]
    product = entry.instrument.product
    if order.side is _SELL and not product.signed:
        return order.size
    holding = table.ledger.owned(order.instrument, order.bot)
    if product.second is None and not product.signed:
        return 0
    bid = order.leg is not product.second if not product.signed else order.side is _BUY
    left = -holding.position if bid else holding.position
    alive = entry.working_of(order.bot).values()
    return max(0, left - sum(one.remaining for one in alive if one.bid is bid))


def netted_against(table: OrderTable, entry: InstrumentState, side: Side) -> int:
    """Return how much of the account's position in a signed instrument a side could still close.

    The venue nets the owners, and what may fill already of any of them on that side goes first: a
    reduce-only order beyond it would be refused, or would end (Binance -2022, OKX 51169, 51148).
    """
    netted, bid = table.ledger.state.netted.get(entry.instrument.id), side is _BUY
    if netted is None:
        return 0
    works = sum(known.remaining for known in entry.working.values() if known.bid is bid)
    return (-netted.size if bid else netted.size) - works


# -- The mailbox: one slot per owner and instrument, the latest intent wins (law I) ----------------

REFUSED_MAX = 1_000
"""Refused (bot, instrument) pairs that are remembered as already reported."""


class Mailbox:
    """The intents of one account, kept on the instruments."""

    def __init__(self, table: OrderTable, outbox: EffectOutbox) -> None:
        self._table = table
        self._outbox = outbox

    def intent(self, intent: InstrumentIntent, now_ns: int) -> None:
        """Take quotes or a target that stand alone."""
        del now_ns
        entry = self._entry(intent.bot, intent.instrument)
        if entry is not None:
            self._put(entry, intent, None)

    def basket(self, basket: Basket, now_ns: int) -> None:
        """Take targets that only make sense together: all slots, or none."""
        del now_ns
        instruments = [self._entry(basket.bot, target.instrument) for target in basket.targets]
        for entry, target in zip(instruments, basket.targets, strict=True):
            if entry is None:
                return
            if target.bot != basket.bot:
                self._refuse(target.bot, target.instrument, f"is not {basket.bot}, its basket's")
                return
        for entry, target in zip(instruments, basket.targets, strict=True):
            if entry is not None:
                self._put(entry, target, basket)

    def _entry(self, bot: BotId, instrument: InstrumentId) -> InstrumentState | None:
        entry = self._table.instruments.get(instrument)
        if entry is None:
            self._refuse(bot, instrument, "intents for an instrument that was never listed")
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
        table, slot = self._table, entry.slots.get(intent.bot)
        if slot is None:
            slot = entry.slot(intent.bot)
        old = slot.intent
        if slot.basket is not None:
            table.break_up(slot.basket)
        slot.intent = intent
        slot.basket = basket
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
            paused = False
            for slot in entry.slots.values():
                if slot.room is not None:
                    wake_ns = min(wake_ns, self._made_room(slot, key, now_ns))
                intent = slot.intent
                if intent is None:
                    continue
                basket = slot.basket
                until_ns = intent.valid_until_ns if basket is None else basket.valid_until_ns
                if until_ns <= now_ns:
                    table.dirty[key] = True
                    continue
                paused = True
                if until_ns < wake_ns:
                    wake_ns = until_ns
            if paused and entry.cooldown_ns:
                if entry.cooldown_ns <= now_ns:
                    table.dirty[key] = True
                    entry.cooldown_ns = 0
                elif entry.cooldown_ns < wake_ns:
                    wake_ns = entry.cooldown_ns
        table.wake_ns = wake_ns

    def _made_room(self, slot: OwnerSlot, key: InstrumentId, now_ns: int) -> int:
        """Give others their levels back when an order by hand has not come; return when to look."""
        assert slot.room is not None
        if slot.room.until_ns > now_ns:
            return slot.room.until_ns
        slot.room = None
        self._table.dirty[key] = True
        return NEVER
