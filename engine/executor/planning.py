"""Planning: once per turn, from wishes and facts to cancels and places, through risk.

Cancels come before places. Where the account or a book is blind nothing is placed and what rests is
cancelled; the planner without a wish says what that is.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.effects import CancelAll, CancelOrders, Effect, PlaceOrder, Severity
from engine.domain.instruments import BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.intents import Basket, Quotes, ResidualReason
from engine.domain.orders import Order, OrderId
from engine.executor.halts import Sight
from engine.executor.levels import NO_PLAN, Draft, Plan, Residual
from engine.executor.orders import (
    EffectOutbox,
    InstrumentState,
    LiveOrder,
    OrderTable,
    Wish,
    left_of,
)
from engine.executor.planner import plan
from engine.executor.proof import ZeroProofs
from engine.executor.settings import NEVER, ExecutorSettings
from engine.risk.gate import Denied, Proposal, RiskGate
from engine.risk.reasons import DenyReason

# Cut: what rests and is over limits that have just been lowered goes; only less is placed again.
# A limit is asked when an order is placed. An order that rests was placed under the old ones and
# may still fill, so it counts as exposure that the new ones do not allow.


class LimitsApplied:
    """Looks, once after each change of the limits, at the instruments in which orders work."""

    __slots__ = ("_gate", "_table", "due")

    def __init__(self, table: OrderTable, gate: RiskGate) -> None:
        self._table = table
        self._gate = gate
        self.due: tuple[InstrumentId, ...] = ()
        """Instruments that have not been looked at under the limits in force."""

    def look(self) -> None:
        """See, with the next plan, to what rests: limits have changed."""
        table = self._table
        self.due = tuple(key for key, post in table.posts.items() if post.working)
        for key in self.due:
            table.dirty[key] = True

    def orders(self) -> tuple[OrderId, ...]:
        """Return, once, what must be cancelled; what is wished is then planned under the limits."""
        due, self.due = self.due, ()
        posts = self._table.posts
        return tuple(
            number
            for post in (posts[key] for key in due if key in posts)
            if self._exceeds(post)
            for number, known in post.working.items()
            if not known.cancel_asked
        )

    def _exceeds(self, post: InstrumentState) -> bool:
        gate, count = self._gate, self._table.live_count
        return gate.exceeded(post.instrument.id, count) or any(
            gate.too_large(known.order.price * known.remaining, post.instrument)
            for known in post.working.values()
        )


# -- Planning: once per turn, from wishes and facts to cancels and places, through risk ------------

_BUY, _SELL = Side.BUY, Side.SELL
_NO = Leg.NO
_COOLDOWN = ResidualReason.COOLDOWN
_EXPIRED = ResidualReason.EXPIRED_INTENT
_RISK = ResidualReason.RISK
_BELOW_MIN = ResidualReason.BELOW_MIN
_CLOSED = ResidualReason.MARKET_CLOSED
_WAITING = ResidualReason.WAITING_CANCEL


class Planning:
    """Plans the dirty instruments of one account."""

    def __init__(
        self,
        table: OrderTable,
        sight: Sight,
        gate: RiskGate,
        outbox: EffectOutbox,
        *,
        settings: ExecutorSettings,
        proofs: ZeroProofs,
    ) -> None:
        self._table = table
        self._sight = sight
        self._gate = gate
        self._outbox = outbox
        self._settings = settings
        self._proofs = proofs
        self.limits_applied = LimitsApplied(table, gate)
        self._cancels: list[OrderId] = []
        self._places: list[Effect] = []
        self.residuals: Counter[ResidualReason] = Counter()
        self.denials: Counter[DenyReason] = Counter()
        self.orders_placed = 0
        self.cancels_asked = 0
        self.order: tuple[InstrumentId, ...] = ()
        """What the last run looked at, in its order."""

    def expire(self, life_ms: int | None) -> None:
        """Let what rests end by itself after so long; None = good till cancelled."""
        self._settings = self._settings.model_copy(update={"gtd_ms": life_ms})
        for key, post in self._table.posts.items():
            if post.working:
                self._table.dirty[key] = True

    def run(self, now_ns: int, data_age_ns_max: int) -> None:
        """Plan everything that is dirty and hand out cancels, then places."""
        table = self._table
        block = self._sight.account_block()
        baskets: list[Basket] = []
        if self.limits_applied.due:
            self._cancel(self.limits_applied.orders(), now_ns)
        for key, news in list(table.dirty.items()):
            post = table.posts.get(key)
            if post is None:
                continue
            basket = post.basket
            if basket is None:
                post.still = post.still and not news
                self._plan_one(post, block, now_ns, data_age_ns_max)
            elif not any(known is basket for known in baskets):
                baskets.append(basket)
                self._plan_basket(basket, block, now_ns, data_age_ns_max)
        if self._cancels or self._places:
            self._hand_out(block)
        self.order = tuple(table.dirty)
        table.dirty.clear()  # what is dirty now is so by our own doing

    def _hand_out(self, block: ResidualReason | None) -> None:
        cancels, effects = self._cancels, self._outbox.effects
        account = self._table.account
        if cancels:
            self.cancels_asked += len(cancels)
            if block is not None:
                effects.append(CancelAll(account=account))
            else:
                effects.append(CancelOrders(account=account, orders=tuple(cancels)))
            self._cancels = []
        if self._places:
            effects += self._places
            self._places = []

    # -- one instrument ----------------------------------------------------------------------------

    def _plan_one(
        self, post: InstrumentState, block: ResidualReason | None, now_ns: int, data_age_ns_max: int
    ) -> None:
        if post.wish is None and not post.working:
            post.residuals = ()
            return
        post.denied = None
        reason = block or self._sight.post_block(post, now_ns, data_age_ns_max)
        wish = post.wish
        if reason is None and wish is not None and wish.valid_until_ns <= now_ns:
            reason = _EXPIRED
            post.wish = None
        if reason is None and wish is not None and post.cleared_for != post.bot:
            # What another bot left would be kept for this wish, and that one never proven (law O).
            reason = None if post.cleared() else _WAITING
        if reason is not None:
            self._blind(post, reason, now_ns)
            return
        if post.still:
            return  # the same wish and facts as in a plan that had nothing to do
        if wish is None and post.bot == MANUAL and post.by_hand:
            # Nobody wishes for what a person placed; a bot's order found here again goes.
            strays = (key for key, known in post.working.items() if known.order.bot != MANUAL)
            self._cancel(tuple(key for key in strays if not post.working[key].cancel_asked), now_ns)
            self._leave(post, ())
            return
        made = self._made(post, now_ns)
        if made is NO_PLAN:
            post.still = True
            post.residuals = ()
            return
        left: list[Residual] = []
        for draft in self._allowed_now(post, made, left, now_ns) if made.places else ():
            self._place(post, draft, left, now_ns)
        self._leave(post, (*made.residuals, *left) if left else made.residuals)

    def _made(self, post: InstrumentState, now_ns: int) -> Plan:
        """Plan one instrument and note what is to be cancelled."""
        ledger, instrument = self._table.ledger, post.instrument
        made = plan(
            post.wish,
            instrument=instrument,
            holding=ledger.holding(instrument.id),
            working=post.working.values(),
            cash_free_micro=ledger.cash_free_micro,
            mark=post.mark,
            settings=self._settings,
            now_ns=now_ns,
        )
        if made.cancels:
            self._cancel(made.cancels, now_ns)
        return made

    def _cancel(self, cancels: tuple[OrderId, ...], now_ns: int) -> None:
        table = self._table
        for number in cancels:
            table.ask_cancel(table.orders[number], now_ns)
            self._cancels.append(number)

    def _blind(self, post: InstrumentState, reason: ResidualReason, now_ns: int) -> None:
        """Place nothing and cancel what rests, unless the venue would not even hear a cancel."""
        post.still = False
        if post.working and self._sight.cancels_work:
            wish, post.wish = post.wish, None
            self._made(post, now_ns)
            post.wish = wish
        wish = post.wish
        # A wish for nothing leaves nothing over.
        nothing = wish is None or (type(wish) is Quotes and not wish.bids and not wish.asks)
        wished = reason is _EXPIRED or not nothing
        self._leave(post, (Residual(reason, _BUY, 0, 0),) if wished else ())

    def _leave(self, post: InstrumentState, residuals: tuple[Residual, ...]) -> None:
        post.residuals = residuals
        for residual in residuals:
            self.residuals[residual.reason] += 1

    def _allowed_now(
        self, post: InstrumentState, made: Plan, left: list[Residual], now_ns: int
    ) -> tuple[Draft, ...]:
        """Return the drafts that may be placed at this moment; the others are left over."""
        places = made.places
        if now_ns < post.cooldown_ns:
            left += [left_of(post, draft, _COOLDOWN, draft.size) for draft in places]
            return ()
        if self._sight.rests_only and not places[0].post_only:
            left += [left_of(post, draft, _CLOSED, draft.size) for draft in places]
            return ()
        return places

    def _place(
        self, post: InstrumentState, draft: Draft, left: list[Residual], now_ns: int
    ) -> LiveOrder | None:
        """Ask risk and make the order, as large as risk allows."""
        mark, bot, table = post.mark, post.bot, self._table
        if bot is None or mark is None or mark.proof_ns is None:
            return None
        order = table.make(draft, bot, post, now_ns)
        size = self._judged(post, order, left, now_ns - mark.proof_ns, now_ns)
        if not size:
            return None
        if size != order.size:
            order = msgspec.structs.replace(order, size=size)
        known = table.take(order, post)
        self._places.append(PlaceOrder(order=order))
        self.orders_placed += 1
        self._proofs.placed(bot, order.instrument)
        return known

    def _judged(
        self, post: InstrumentState, order: Order, left: list[Residual], age_ns: int, now_ns: int
    ) -> int:
        """Return how much of an order risk allows; 0 = nothing. Notes what is left."""
        instrument, leg, side = post.instrument, order.leg, order.side
        answer = self._gate.check(
            Proposal(
                bot=order.bot,
                instrument=instrument,
                leg=leg,
                side=side,
                price=order.price,
                size=order.size,
                reducing=reduces(self._table, instrument, leg, side),
                post_only=order.post_only,
            ),
            mark_age_ns=age_ns,
            open_orders=self._table.live_count,
            now_ns=now_ns,
        )
        if isinstance(answer, Denied):
            self.denials[answer.reason] += 1
            post.denied = answer
            left.append(left_of(post, order, _RISK, order.size))
            return 0
        size = answer.size
        if size != order.size:
            left.append(left_of(post, order, _RISK, order.size - size))
            value = instrument.proceeds_micro(order.price, size)
            if not order.post_only and value < instrument.notional_min_micro:
                left.append(left_of(post, order, _BELOW_MIN, size))
                return 0
        return size

    # -- a basket ----------------------------------------------------------------------------------

    def _plan_basket(
        self, basket: Basket, block: ResidualReason | None, now_ns: int, data_age_ns_max: int
    ) -> None:
        """Plan all targets together: every placement of them is made, or none."""
        posts = [self._table.posts.get(target.instrument) for target in basket.targets]
        members = [post for post in posts if post is not None and post.basket is basket]
        reason = block
        if len(members) < len(basket.targets) or basket.valid_until_ns <= now_ns:
            reason = reason or _EXPIRED
        for post in members:
            reason = reason or self._sight.post_block(post, now_ns, data_age_ns_max)
            if reason is None and post.cleared_for != post.bot and not post.cleared():
                reason = _WAITING
        if reason is not None:
            for post in members:
                if reason is _EXPIRED:
                    post.wish = post.basket = None
                post.denied = None
                self._blind(post, reason, now_ns)
            return
        before = len(self._places)
        created: list[LiveOrder] = []
        possible = True
        for post in members:
            post.denied = None
            post.still = False
            made = self._made(post, now_ns)
            left: list[Residual] = []
            may = possible and made.places
            for draft in self._allowed_now(post, made, left, now_ns) if may else ():
                known = self._place(post, draft, left, now_ns)
                if known is not None:
                    created.append(known)
            self._leave(post, (*made.residuals, *left))
            possible = possible and not post.residuals
        if not possible:
            for known in reversed(created):
                self._table.undo(known)
            self.orders_placed -= len(created)
            del self._places[before:]


def reduces(table: OrderTable, instrument: Instrument, leg: Leg, side: Side) -> bool:
    """Say whether an order leads towards a position of zero.

    A SELL of what is held does, and so does a BUY of a binary's other leg: the way out while
    tokens are pending, which cannot be sold yet.
    """
    if side is _SELL:
        return True
    position = table.ledger.holding(instrument.id).position
    return position < 0 if leg is Leg.YES else position > 0 and leg is _NO


# -- The mailbox: one slot per bot and instrument, the latest wish wins (law I) --------------------
# Until rules for conflicts exist, a second bot on the same instrument and account is refused.

REFUSED_MAX = 1_000
"""Refused (bot, instrument) pairs that are remembered as already told."""


class Mailbox:
    """The wishes of one account, kept on the posts."""

    def __init__(self, table: OrderTable, outbox: EffectOutbox) -> None:
        self._table = table
        self._outbox = outbox
        self._refused: dict[tuple[BotId, InstrumentId], None] = {}

    def wish(self, wish: Wish, now_ns: int) -> None:
        """Take quotes or a target that stand alone."""
        del now_ns
        post = self._slot(wish.bot, wish.instrument)
        if post is not None:
            self._put(post, wish, None)

    def basket(self, basket: Basket, now_ns: int) -> None:
        """Take targets that only make sense together: all slots, or none."""
        del now_ns
        posts = [self._slot(basket.bot, target.instrument) for target in basket.targets]
        for post, target in zip(posts, basket.targets, strict=True):
            if post is None:
                return
            if target.bot != basket.bot:
                self._refuse(target.bot, target.instrument, f"is not {basket.bot}, its basket's")
                return
        for post, target in zip(posts, basket.targets, strict=True):
            if post is not None:
                self._put(post, target, basket)

    def _slot(self, bot: BotId, instrument: InstrumentId) -> InstrumentState | None:
        post = self._table.posts.get(instrument)
        if post is None:
            self._refuse(bot, instrument, "wishes for an instrument that was never listed")
            return None
        if post.bot != bot:
            if post.wish is not None or post.by_hand:
                self._refuse(bot, instrument, f"is the second one here, {post.bot} was first")
                return None
            post.bot = bot
            self._table.exposure.assign(instrument, bot)
        return post

    def _refuse(self, bot: BotId, instrument: InstrumentId, why: str) -> None:
        if (bot, instrument) in self._refused:
            return
        if len(self._refused) >= REFUSED_MAX:
            self._refused.clear()
        self._refused[bot, instrument] = None
        self._outbox.alert(
            Severity.WARNING,
            "wish_refused",
            f"bot {bot} {why}; its wishes for {instrument} are ignored",
            instrument=instrument,
            bot=bot,
        )

    def _put(self, post: InstrumentState, wish: Wish, basket: Basket | None) -> None:
        table, old = self._table, post.wish
        if post.basket is not None:
            self._break_up(post.basket)
        post.wish = wish
        post.basket = basket
        if basket is None and _alike(wish, old):
            table.dirty.setdefault(wish.instrument, False)
        else:
            table.dirty[wish.instrument] = True
        until_ns = wish.valid_until_ns if basket is None else basket.valid_until_ns
        table.wake_ns = min(table.wake_ns, until_ns)

    def _break_up(self, basket: Basket) -> None:
        """See that the rest of a basket that lost a part is looked at: it is over."""
        for target in basket.targets:
            self._table.dirty[target.instrument] = True

    def withdraw(self, bot: BotId, instrument: InstrumentId | None) -> None:
        """Forget a bot's wishes, of one instrument or all; what rests goes with the next plan."""
        table = self._table
        posts = table.posts
        chosen = list(posts) if instrument is None else [instrument]
        for key in chosen:
            post = posts.get(key)
            if post is not None and post.bot == bot:
                if post.basket is not None:
                    self._break_up(post.basket)
                post.wish = post.basket = None
                table.dirty[key] = True
        self._refused = {pair: None for pair in self._refused if pair[1] not in chosen}

    def withdraw_all(self) -> None:
        """Forget every wish."""
        for key, post in self._table.posts.items():
            post.wish = post.basket = None
            self._table.dirty[key] = True

    def wake(self, now_ns: int) -> None:
        """Mark what time has changed: expired wishes, ended pauses. Sets the next such time."""
        table = self._table
        wake_ns = NEVER
        for key, post in table.posts.items():
            wish = post.wish
            if wish is None:
                continue
            until_ns = wish.valid_until_ns if post.basket is None else post.basket.valid_until_ns
            if until_ns <= now_ns or 0 < post.cooldown_ns <= now_ns:
                table.dirty[key] = True
                if until_ns <= now_ns:
                    continue
                post.cooldown_ns = 0
            wake_ns = min(wake_ns, until_ns, post.cooldown_ns or NEVER)
        table.wake_ns = wake_ns


def _alike(wish: Wish, old: Wish | None) -> bool:
    """Say whether a wish asks for the same orders as the one before it."""
    return (
        isinstance(wish, Quotes)
        and isinstance(old, Quotes)
        and wish.bids == old.bids
        and wish.asks == old.asks
    )
