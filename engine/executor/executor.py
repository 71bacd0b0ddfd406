"""The executor: the single writer of one account's orders, inventory and reservations (law A).

Takes events, intents and time; gives effects. Sans I/O, no clock, nothing random: the same messages
give the same effects. Call `receive` with every message and journal and do what it returns; then
call `plan` once per turn and do the same. After a restart: `restore` the snapshot, give it what the
journal holds since (`adopt` for each PlaceOrder, `receive` for each event, effects ignored), then
`recover`. An executor that was never recovered does so by itself at its first `plan`: nothing is
placed before the venue has said what is open and what was filled (law N).
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.domain.commands import PlaceManual
from engine.domain.effects import CancelOrders, Effect, OrderChanged, SetTimer, Severity
from engine.domain.events import (
    CashMoved,
    Event,
    InstrumentListed,
    LossAccepted,
    ScopeLatched,
    ScopeReleased,
    TimerFired,
    VenueEvent,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.intents import Basket, Intent, Quotes, Target
from engine.domain.order_life import Happened
from engine.domain.orders import Order, OrderId, OrderState
from engine.errors import BrokenInvariant
from engine.executor.halts import Hold, Markets, Sight, TradingHalts
from engine.executor.ledger import Ledger
from engine.executor.manual import ByHand, Refused
from engine.executor.orders import EffectOutbox, InstrumentState, LiveOrder, OrderTable, Wish
from engine.executor.planning import Planning
from engine.executor.proof import Scope, ZeroProof, within
from engine.executor.queries import Readings
from engine.executor.questions import NEVER, Question
from engine.executor.settings import ExecutorSettings
from engine.executor.snapshot import decode, encode
from engine.executor.venue_reports import Handler, VenueReports
from engine.risk.gate import RiskGate

__all__ = ["Executor", "ExecutorSettings"]

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


# -- The executor: the single writer of one account's orders, inventory and reservations (law A) ---

_UNKNOWN = OrderState.UNKNOWN
_ANEW = "everything is asked anew: whether it still stands is not proven"
_BOUND = frozenset({*VenueEvent.__args__, CashMoved, LossAccepted, ScopeLatched, ScopeReleased})
"""Events that belong to one account; those of another are not ours to hear."""


class Executor(Readings):
    """One account's executor."""

    def __init__(
        self,
        *,
        account: AccountId,
        mode: Mode,
        currency: str,
        ledger: Ledger,
        gate: RiskGate,
        settings: ExecutorSettings,
    ) -> None:
        if ledger.state.currency != currency:
            raise BrokenInvariant(f"{account}: a ledger in {ledger.state.currency}, not {currency}")
        self.account = account
        self.mode = mode
        self.currency = currency
        self.ledger = ledger
        self._gate = gate
        self._breakers = gate.breakers
        self._settings = settings
        self._outbox = EffectOutbox(account)
        exposure = gate.exposure
        self._table = OrderTable(account, ledger, exposure, settings)
        self._sight = Sight(self._breakers, recovering=not settings.starts_reconciled)
        self._started = settings.starts_reconciled
        self._restored_seq = 0
        self._timer = f"executor:{account}"
        self._timer_ns = NEVER
        self._bound: dict[type, Handler] = {}
        self._free: dict[type, Handler] = {}
        self._wire()

    def _wire(self) -> None:
        """Put the parts together in the order of the flow, and say who takes what."""
        table, sight, out, settings = self._table, self._sight, self._outbox, self._settings
        hearing = VenueReports(table, sight, out, settings)
        self._reconciler = hearing.reconciler
        self._mailbox = Mailbox(table, out)
        self._markets = Markets(table, sight, contradiction=hearing.contradiction)
        self._halts = TradingHalts(
            table, sight, out, self._breakers, settings=settings,
            questions=self._reconciler.questions, proofs=self._reconciler.proofs,
            markets=self._markets,
        )  # fmt: skip
        proofs = self._reconciler.proofs
        self._planning = Planning(table, sight, self._gate, out, settings=settings, proofs=proofs)
        self.expire_quotes = self._planning.expire
        self._by_hand = ByHand(table, sight, self._gate, out, proofs)
        own: dict[type, Handler] = {
            Quotes: self._mailbox.wish,
            Target: self._mailbox.wish,
            Basket: self._mailbox.basket,
            TimerFired: self._timer_fired,
            InstrumentListed: self._listed,
        }
        rooms = (hearing, self._reconciler, self._markets, self._halts)
        for handlers in (own, *(room.handlers() for room in rooms)):
            for kind, take in handlers.items():
                (self._bound if kind in _BOUND else self._free)[kind] = take

    # -- the turn ----------------------------------------------------------------------------------

    def receive(self, message: Event | Intent, now_ns: int) -> list[Effect]:
        """Take one message. `plan` must follow once per turn.

        Events of other accounts, and kinds that do not concern an executor, are ignored.
        """
        kind = type(message)
        take = self._bound.get(kind)
        if take is None:
            take = self._free.get(kind)
            if take is None:
                return []
        elif message.account != self.account:  # type: ignore[union-attr]
            return []
        take(message, now_ns)
        return self._outbox.take() if self._outbox.effects else []

    def plan(self, now_ns: int) -> list[Effect]:
        """Plan what is dirty, ask what is due, and return what must be journaled and done."""
        if not self._started:
            self._recover(now_ns)
        table, halts, questions = self._table, self._halts, self._reconciler.questions
        if table.wake_ns <= now_ns:
            self._mailbox.wake(now_ns)
        if halts.equity_due or halts.judged != table.moves:
            halts.judge(now_ns, self._ages_ns_max()[1])
        if table.dirty:
            self._planning.run(now_ns, self._ages_ns_max()[0])
        if table.unknown:
            self._reconciler.watch(now_ns)
        if questions.due_ns <= now_ns:
            self._reconciler.advance(now_ns)
        if table.untold:
            self._outbox.effects += table.tell_changes()
        due_ns = min(table.wake_ns, questions.due_ns)
        if due_ns < self._timer_ns or self._timer_ns <= now_ns:
            self._timer_ns = due_ns
            if due_ns != NEVER:
                self._outbox.effects.append(SetTimer(at_ns=due_ns, name=self._timer))
        return self._outbox.take() if self._outbox.effects else []

    def _timer_fired(self, event: TimerFired, now_ns: int) -> None:
        if event.name == self._timer:
            self._timer_ns = NEVER
        elif event.name == "second":
            self._reconciler.overdue(now_ns)
            self._markets.stale(now_ns, self._ages_ns_max()[0])
            self._halts.age_mode(now_ns)
            self._halts.equity_due = True

    # -- starting ----------------------------------------------------------------------------------

    def adopt(self, order: Order, now_ns: int) -> None:
        """Take a journaled PlaceOrder of an earlier life, before the events that followed it."""
        table = self._table
        if order.account != self.account or order.id in table.orders:
            return
        if order.instrument in table.posts:
            table.adopt(order, now_ns)
        elif order.id > table.known_until:
            table.homeless[order.id] = order  # it waits for its instrument, and the start for it
            table.last_id = max(table.last_id, order.id)

    def recover(self, orders: Iterable[Order], now_ns: int) -> list[Effect]:
        """Begin a life: what has no end is UNKNOWN, everything is asked, nothing is placed.

        `orders` are the journaled ones, ended or not, that neither snapshot nor `adopt` brought.
        """
        for order in sorted(orders, key=lambda order: order.id):
            self.adopt(order, now_ns)
        self._recover(now_ns)
        return self._outbox.take()

    def _recover(self, now_ns: int) -> None:
        self._started = True
        self._outbox.start(self._settings.fence, self._restored_seq)
        self._sight.recovering = True
        for known in self._table.live():
            self._table.happen(known, Happened.NO_ANSWER, now_ns, _ANEW)
            if known.state is not _UNKNOWN:
                self._table.happen(known, Happened.NOT_LISTED, now_ns, _ANEW)
            known.ask_ns = now_ns
        self._reconciler.waiting = bool(self._table.homeless)
        self._reconciler.begin(now_ns)

    def _listed(self, event: InstrumentListed, now_ns: int) -> None:
        """Learn an instrument; orders that waited for it are taken in as UNKNOWN."""
        self._table.listed(event.instrument)
        homeless = self._table.homeless
        found = [o for o in homeless.values() if o.instrument == event.instrument.id]
        for order in sorted(found, key=lambda order: order.id):
            known = self._table.adopt(order, now_ns)
            if known is not None and self._started:
                self._table.happen(known, Happened.NO_ANSWER, now_ns, _ANEW)
                known.ask_ns = now_ns
        if found and not homeless and self._started:
            self._reconciler.waiting = False
            self._reconciler.begin(now_ns)

    def snapshot(self) -> bytes:
        """Return everything that must survive: ledger, orders, stops, pauses. Wishes do not."""
        return encode(self._table, self._sight, self._breakers, self._markets, self._reconciler)

    def restore(self, state: bytes, seq: int = 0) -> None:
        """Take back what `snapshot` gave behind a record, first of all. Raises BadInput."""
        markets, reconciler = self._markets, self._reconciler
        decode(
            state, self._table, self._sight, self._breakers, markets=markets, reconciler=reconciler
        )
        self._restored_seq = seq

    def restore_change(self, change: OrderChanged) -> None:
        """Take a journaled `OrderChanged` of an earlier life, in the order of the journal."""
        self._table.was_told(change)

    def restore_budget(self, breakers: bytes) -> None:
        """Take back a journaled `KeepBudget` of an earlier life, in the order of the journal."""
        self._breakers.restore(breakers)

    # -- commands ----------------------------------------------------------------------------------

    def withdraw(self, bot: BotId, instrument: InstrumentId | None, now_ns: int) -> list[Effect]:
        """Forget a bot's wishes; `plan` then cancels what rests. All of them: prove zero, too."""
        self._mailbox.withdraw(bot, instrument)
        if instrument is None:
            self._reconciler.proofs.begin(bot, now_ns)
            self._reconciler.questions.want(Question.LISTING, now_ns)
        return []

    def cancel(self, order: OrderId, now_ns: int) -> list[Effect]:
        """Cancel one order by hand; a wish that stands may place it anew."""
        known = self._table.orders.get(order)
        if known is None or known.state.ended:
            return []
        self._table.ask_cancel(known, now_ns)
        return [CancelOrders(account=self.account, orders=(order,))]

    def place(
        self, asked: PlaceManual, now_ns: int
    ) -> tuple[list[Effect], tuple[LiveOrder, int] | Refused]:
        """Place one order by hand; say which and what risk cut off, or why nothing was placed."""
        made = self._by_hand.place(asked, now_ns, self._ages_ns_max()[0])
        return self._outbox.take(), made

    def stop_all(self, reason: str, now_ns: int) -> list[Effect]:
        """Forget all wishes, cancel everything, place nothing until `resume`, prove zero."""
        self._sight.state.halted = reason
        self._mailbox.withdraw_all()
        self._halts.cancel_all(now_ns)
        return self._outbox.take()

    def resume(self) -> None:
        """Allow placing again after `stop_all`; the latch and risk's stops stay as they are."""
        self._sight.state.halted = ""

    def owner(self, instrument: InstrumentId) -> BotId | None:
        """Return who wished or placed by hand in an instrument last; None = nobody."""
        post = self._table.posts.get(instrument)
        return None if post is None else post.bot

    # -- scoped KILLs ------------------------------------------------------------------------------

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Scoped KILLs that nobody has released yet."""
        return tuple(self._sight.state.holds)

    def live_in(self, scope: Scope) -> list[LiveOrder]:
        """Return the orders of a bot or an instrument that may still fill (read only)."""
        return [known for known in self._table.live() if within(scope, known.order)]

    def may_rest(self, scope: Scope) -> int:
        """Return how many orders in scope may rest, those that await their listing among them."""
        awaited = sum(within(scope, order) for order in self._table.homeless.values())
        return len(self.live_in(scope)) + awaited

    def prove(self, scope: Scope, now_ns: int) -> None:
        """Begin to prove that nothing in scope is open; `proven` says when it is."""
        self._reconciler.proofs.begin(scope, now_ns)
        self._reconciler.questions.want(Question.LISTING, now_ns)

    def proven(self, scope: Scope) -> ZeroProof | None:
        """Return the proof that nothing in scope is open; None = not yet."""
        return self._reconciler.proofs.proven(scope)

    def forget(self, instrument: InstrumentId) -> bool:
        """Drop an instrument that is over; False while an order or a holding still needs it."""
        gone = self._table.forget(instrument)
        if gone:
            self._markets.forget(instrument)
        return gone
