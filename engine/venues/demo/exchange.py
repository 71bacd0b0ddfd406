"""The demo exchange's front door: customers, questions, and time.

`now_ns` arrives with each call and never runs backwards; what was due before it happens first.
Answers are values; VenueClosed is raised where the mode forbids the request (it had no effect),
AuthRefused for an unknown customer, BadInput for a request no customer could mean. What happens
otherwise is collected: take it with `take_public` and `take`. Markets are opened and ended through
`listing`, modes and heartbeats live in `guard`, the whole as bytes in `snapshot`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

import msgspec

from engine.domain import events as ev
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Kind, Leg
from engine.domain.orders import CancelReason, Identity, OrderState
from engine.errors import AuthRefused, BadInput, BrokenInvariant, ConfigError, VenueClosed
from engine.runtime import refusals
from engine.venues.demo.accounts import Account, ExchangeMarket, Rules
from engine.venues.demo.clearing import Clearing, Settlement, SettlementRules
from engine.venues.demo.ledger import ExchangeWallet, LedgerSums
from engine.venues.demo.order_entry import OrderEntry
from engine.venues.demo.orders import (
    CancelAnswer,
    Converted,
    Fill,
    HeartbeatAnswer,
    ModeSwitched,
    OrderReceipt,
    Redeemed,
    RestingOrder,
    Ticket,
)
from engine.venues.demo.timeline import (
    ExchangeOutbox,
    Stamped,
    StampedReport,
    Timeline,
    TimelineEntry,
)

# -- The lifecycle of a market: listed, its strike proven, closed, resolved, forgotten -------------

MARKET_KEPT_NS = 3_600_000_000_000
"""How long a resolved market is remembered."""
HERE_NS = 3_000_000_000_000
"""A customer that has asked within this time is here: shorter than a market is kept, so that it was
here after the result."""
MARKETS_MAX = 2_000
PAYOUTS_MICRO = (0, 500_000, 1_000_000)


class MarketLifecycle:
    """Opens and ends markets at the timeline's present moment."""

    def __init__(self, order_entry: OrderEntry) -> None:
        self._order_entry = order_entry
        self._outbox = order_entry.outbox

    def market(self, instrument: InstrumentId) -> ExchangeMarket:
        """Return a market. Raises BadInput where there is none."""
        market = self._order_entry.markets.get(instrument)
        if market is None:
            raise BadInput(f"{instrument} is not listed on the demo exchange")
        return market

    def add(self, instrument: Instrument) -> None:
        """Open a market for trading. Raises BadInput where it cannot be one."""
        if instrument.id in self._order_entry.markets:
            raise BadInput(f"{instrument.id} is listed already")
        if len(self._order_entry.markets) >= MARKETS_MAX:
            raise BrokenInvariant(f"more than {MARKETS_MAX} markets on the demo exchange")
        perpetuals = self._order_entry.margins.ledger.perpetuals
        if instrument.kind is Kind.PERPETUAL and instrument.id not in perpetuals:
            raise BadInput(f"{instrument.id} has no tiers and no mark: the margin desk adds them")
        market = self._order_entry.markets[instrument.id] = ExchangeMarket(instrument)
        self._outbox.publish(ev.InstrumentListed(instrument=instrument))
        self._outbox.publish(self.snapshot(market))
        if market.margined:
            self._outbox.publish(self._order_entry.margins.marked(instrument.id))

    def snapshot(self, market: ExchangeMarket) -> ev.BookReplaced:
        bids, asks = market.book.depth()
        now_ns = self._order_entry.timeline.now_ns
        return ev.BookReplaced(
            instrument=market.instrument.id, bids=bids, asks=asks, exchange_ns=now_ns
        )

    def opening(self) -> list[ev.Event]:
        """Return what a newcomer must receive to know every market as it operation."""
        events: list[ev.Event] = []
        for name, market in self._order_entry.markets.items():
            events.append(ev.InstrumentListed(instrument=market.instrument))
            if market.proof:
                events.append(_strike(market))
            if market.margined:
                events.append(self._order_entry.margins.marked(name))
            if market.accepting:
                events.append(self.snapshot(market))
            else:
                events.append(ev.InstrumentClosed(instrument=name))
            if market.payout is not None:
                events.append(_resolved(market, market.payout))
        return events

    def prove_strike(self, instrument: InstrumentId, strike_e8: int, proof: str) -> None:
        """Set a market's strike, once, and say where it comes from."""
        market = self.market(instrument)
        if market.proof:
            raise BrokenInvariant(f"{instrument}: its strike is proven already")
        market.instrument = msgspec.structs.replace(market.instrument, strike_e8=strike_e8)
        market.proof = proof
        self._outbox.publish(_strike(market))

    def change_tick(self, instrument: InstrumentId, tick: int) -> None:
        """Change a market's grid; what rests off the new one is cancelled."""
        market = self.market(instrument)
        changed = msgspec.structs.replace(market.instrument, tick=tick)
        ExchangeMarket(changed)  # refuses a grid that could not be traded
        market.instrument = changed
        self._outbox.publish(ev.InstrumentListed(instrument=changed))
        off = [order for order in market.book.resting() if order.level % tick]
        self._order_entry.withdraw(off, CancelReason.TICK_CHANGED)
        self._outbox.publish(self.snapshot(market))

    def close(self, instrument: InstrumentId) -> None:
        """End trading: every order of the market is cancelled, held ones too."""
        market = self.market(instrument)
        if not market.accepting:
            return
        market.accepting = False
        orders = [
            order for order in self._order_entry.orders.values() if order.instrument == instrument
        ]
        self._order_entry.withdraw(orders, CancelReason.MARKET_CLOSED)
        self._outbox.publish(ev.InstrumentClosed(instrument=instrument))

    def resolve(self, instrument: InstrumentId, payout_yes_micro: int, source: str) -> None:
        """Say what a market pays: 1, 0 or 50-50, once."""
        market = self.market(instrument)
        if market.payout is not None or payout_yes_micro not in PAYOUTS_MICRO:
            raise BadInput(f"{instrument} cannot pay {payout_yes_micro} micro now")
        self.close(instrument)
        self._outbox.publish(_resolved(market, payout_yes_micro, source))
        self._order_entry.clearing.pay(market, payout_yes_micro)
        now_ns = self._order_entry.timeline.now_ns
        self._order_entry.timeline.set(now_ns + MARKET_KEPT_NS, TimelineEntry.FORGET, instrument)

    def forget(self, instrument: InstrumentId) -> None:
        """Drop a resolved market whose last transaction has ended; else try again later.

        One whose winners somebody still holds stays: they are worth their payout for ever. So does
        one of which a customer holds anything that has not been here since: it must learn the end.
        """
        clearing = self._order_entry.clearing
        pending = clearing.settlement.pending.values()
        if (
            any(fill.instrument == instrument for item in pending for fill in item.fills)
            or any(one.instrument == instrument for one in clearing.redeeming.pending.values())
            or clearing.ledger.collateral.get(instrument)
            or self._awaited(instrument)
        ):
            at_ns = self._order_entry.timeline.now_ns + MARKET_KEPT_NS
            self._order_entry.timeline.set(at_ns, TimelineEntry.FORGET, instrument)
            return
        ledger = self._order_entry.ledger
        if ledger.collateral.pop(instrument, 0):
            raise BrokenInvariant(f"{instrument} would be forgotten with collateral inside")
        for wallet in ledger.wallets.values():
            wallet.yes.pop(instrument, None)
            wallet.no.pop(instrument, None)
        del self._order_entry.markets[instrument]

    def _awaited(self, instrument: InstrumentId) -> bool:
        """Say whether a customer that holds tokens of a market has been away since its result."""
        entry = self._order_entry
        since_ns = entry.timeline.now_ns - HERE_NS
        return any(
            account.listening and account.asked_ns < since_ns
            for name, account in entry.accounts.items()
            for held in (entry.ledger.wallets[name].yes, entry.ledger.wallets[name].no)
            if instrument in held and held[instrument].settled
        )


def _strike(market: ExchangeMarket) -> ev.StrikeProven:
    strike = market.instrument.strike_e8
    if strike is None:
        raise BrokenInvariant(f"{market.instrument.id}: a proof without a strike")
    return ev.StrikeProven(
        instrument=market.instrument.id, strike_e8=strike, provenance=market.proof
    )


def _resolved(
    market: ExchangeMarket, payout_yes_micro: int, source: str = "demo"
) -> ev.InstrumentResolved:
    return ev.InstrumentResolved(
        instrument=market.instrument.id, payout_yes_micro=payout_yes_micro, source=source
    )


# -- The guard: what the exchange takes at the moment, and whose heartbeat has stopped -------------
# Modes and their texts: polymarket.md §5.8 and §3.3; heartbeats: §5.6. A key is armed by its
# first beat and can not be disarmed; when it falls silent, every order of the key is cancelled.

DROP_ORDERS = 1
"""Number of a mode's timer that loses all resting orders, as a restart may."""
PLACES_CLOSED = {
    ev.VenueMode.RESTARTING: refusals.RESTARTING,
    ev.VenueMode.CANCEL_ONLY: refusals.CANCEL_ONLY_MODE,
    ev.VenueMode.DISABLED: refusals.DISABLED_MODE,
}
CANCELS_CLOSED = {
    ev.VenueMode.RESTARTING: refusals.RESTARTING,
    ev.VenueMode.DISABLED: refusals.DISABLED_MODE,
}


class Guard:
    """Mode and heartbeats of the exchange."""

    def __init__(self, order_entry: OrderEntry) -> None:
        rules = order_entry.rules
        if rules.beat_check_ns < 1 or rules.gtd_min_ns < rules.gtd_early_ns:
            raise ConfigError("demo exchange: heartbeat checks or GTD times make no sense")
        self._order_entry = order_entry
        self.mode = ev.VenueMode.OPEN
        self.heartbeat_count = 0
        """Heartbeats answered; makes their tokens."""

    # -- modes -------------------------------------------------------------------------------------

    def check_place(self, ticket: Ticket) -> None:
        """Raise VenueClosed where the mode does not take this ticket."""
        text = PLACES_CLOSED.get(self.mode)
        if text is None and self.mode is ev.VenueMode.POST_ONLY and not ticket.post_only:
            text = refusals.POST_ONLY_MODE
        if text is not None:
            raise VenueClosed(text, self.mode)

    def check_cancel(self) -> None:
        text = CANCELS_CLOSED.get(self.mode)
        if text is not None:
            raise VenueClosed(text, self.mode)

    def check_question(self) -> None:
        """Raise VenueClosed while the exchange answers no questions about orders."""
        if self.mode is ev.VenueMode.RESTARTING:
            raise VenueClosed(refusals.RESTARTING, self.mode)

    def switch(self, mode: ev.VenueMode, *, drop_orders: bool = False) -> None:
        """Change the mode now, tell everybody; a restart may lose what rests."""
        if drop_orders:
            orders = sorted(self._order_entry.orders.values(), key=lambda order: order.number)
            self._order_entry.withdraw(orders, CancelReason.VENUE, refusals.RESTARTING)
        if mode is not self.mode:
            self.mode = mode
            self._order_entry.outbox.send_all(ModeSwitched(mode=mode))

    def plan(self, mode: ev.VenueMode, at_ns: int, *, drop_orders: bool = False) -> None:
        number = DROP_ORDERS if drop_orders else 0
        self._order_entry.timeline.set(at_ns, TimelineEntry.MODE, mode.value, number)

    def plan_restart(
        self, at_ns: int, *, down_ns: int, post_only_ns: int, drop_orders: bool = False
    ) -> None:
        """Plan the venue's restart: nothing for a while, then post-only, then open."""
        self.plan(ev.VenueMode.RESTARTING, at_ns, drop_orders=drop_orders)
        self.plan(ev.VenueMode.POST_ONLY, at_ns + down_ns)
        self.plan(ev.VenueMode.OPEN, at_ns + down_ns + post_only_ns)

    # -- heartbeats --------------------------------------------------------------------------------

    def heartbeat(self, account: Account, key: str, token: str) -> HeartbeatAnswer:
        """Take a heartbeat. The first of a key carries an empty token and arms it."""
        known = account.beats.get(key)
        if token != ("" if known is None else known[0]):
            return HeartbeatAnswer(token="" if known is None else known[0], valid=False)
        self.heartbeat_count += 1
        if self.heartbeat_count == 1:
            self._plan_check()
        renewed = f"{account.id}-beat-{self.heartbeat_count}"
        account.beats[key] = (renewed, self._order_entry.timeline.now_ns)
        return HeartbeatAnswer(token=renewed, valid=True)

    def check_heartbeats(self) -> None:
        """Cancel everything of every key that fell silent; look again later."""
        self._plan_check()
        latest = self._order_entry.timeline.now_ns - self._order_entry.rules.beat_timeout_ns
        for account in self._order_entry.accounts.values():
            for key, (_, at_ns) in account.beats.items():
                if at_ns < latest:
                    orders = [order for order in account.open.values() if order.key == key]
                    self._order_entry.withdraw(orders, CancelReason.HEARTBEAT)

    def _plan_check(self) -> None:
        timeline = self._order_entry.timeline
        timeline.set(
            timeline.now_ns + self._order_entry.rules.beat_check_ns, TimelineEntry.HEARTBEAT
        )


# -- The demo exchange's front door: customers, questions, and time --------------------------------


class Actor(Protocol):
    """Somebody of the exchange's own world: wakes by timers, survives in its state."""

    name: str

    def wake(self, topic: int, now_ns: int) -> None:
        """Do what is due. `topic` is the number the timer was set with."""
        ...

    def state(self) -> bytes: ...

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave."""
        ...


class DemoExchange:
    """One exchange, many customers, many markets."""

    def __init__(
        self,
        *,
        rng: Random,
        now_ns: int,
        rules: Rules | None = None,
        settlement: SettlementRules | None = None,
    ) -> None:
        rules = rules or Rules()
        self.timeline = Timeline(now_ns)
        self.outbox = ExchangeOutbox(self.timeline)
        self.settlement_rng = Random(rng.getrandbits(64))  # noqa: S311 - a model, not a secret
        self.settlement = Settlement(
            settlement or SettlementRules(), self.settlement_rng, self.timeline
        )
        self.clearing = Clearing(self.outbox, self.settlement, rules)
        self.order_entry = OrderEntry(self.timeline, self.clearing)
        self.guard = Guard(self.order_entry)
        self.listing = MarketLifecycle(self.order_entry)
        self.actors: dict[str, Actor] = {}
        self.begins: dict[str, Callable[[], None]] = {}
        """How the actors begin that a state of an earlier version may lack."""
        self.unbegun: list[str] = []
        """Those of them that the state it was restored from lacks."""
        self._busy = False
        self._handlers: dict[int, Callable[[str, int], None]] = {
            TimelineEntry.SETTLE: lambda _, number: self.clearing.settle(number),
            TimelineEntry.EXPIRE: lambda _, number: self.order_entry.expire(number),
            TimelineEntry.RELEASE: lambda _, number: self.order_entry.release(number),
            TimelineEntry.HEARTBEAT: lambda _, __: self.guard.check_heartbeats(),
            TimelineEntry.MODE: lambda mode, number: self.guard.switch(
                ev.VenueMode(mode), drop_orders=number == DROP_ORDERS
            ),
            TimelineEntry.ACTOR: lambda name, topic: self.actors[name].wake(
                topic, self.timeline.now_ns
            ),
            TimelineEntry.REDEEM: lambda _, number: self.clearing.redeeming.step(number),
            TimelineEntry.FORGET: lambda name, _: self.listing.forget(InstrumentId(name)),
        }

    # -- time --------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        return self.timeline.now_ns

    @property
    def due_ns(self) -> int | None:
        """Return when the next thing happens by itself, None = nothing will."""
        return self.timeline.due_ns

    def advance(self, now_ns: int) -> None:
        """Let everything happen that is due up to `now_ns`, in order."""
        if self._busy:
            raise BrokenInvariant("the demo exchange was advanced from within itself")
        self._busy = True
        try:
            while (timer := self.timeline.pop(now_ns)) is not None:
                self._handlers[timer[2]](timer[3], timer[4])
        finally:
            self._busy = False
        self.timeline.reach(now_ns)

    def _reach(self, now_ns: int) -> None:
        """Let what is due happen before a request; the world's own requests are in time already."""
        if not self._busy:
            self.advance(now_ns)

    def join(self, actor: Actor, begin: Callable[[], None] | None = None) -> None:
        """Take an actor in. `begin` = how it begins in a world whose state lacks it."""
        self.actors[actor.name] = actor
        if begin is not None:
            self.begins[actor.name] = begin

    def begin_new(self) -> None:
        """Begin the actors that the restored state lacks."""
        while self.unbegun:
            self.begins[self.unbegun.pop(0)]()

    # -- customers ---------------------------------------------------------------------------------

    def open_account(self, customer: AccountId, cash_micro: int, *, listening: bool = True) -> None:
        """Open an account. `listening` False = its reports are not kept."""
        if customer in self.order_entry.accounts:
            raise BadInput(f"{customer} has an account already")
        self.order_entry.accounts[customer] = Account(customer, listening=listening)
        self.order_entry.ledger.open(customer)
        self.order_entry.ledger.move_cash(customer, cash_micro)
        if listening:
            self.outbox.listen(customer)

    def account(self, customer: AccountId) -> Account:
        """Return a customer's record. Raises AuthRefused where there is none."""
        account = self.order_entry.accounts.get(customer)
        if account is None:
            raise AuthRefused(refusals.BAD_KEY)
        return account

    def deposit(self, customer: AccountId, amount_micro: int) -> None:
        self.account(customer)
        if -amount_micro > max(self.clearing.free_micro(customer), 0):
            raise BrokenInvariant(f"{customer} cannot withdraw more than its free cash")
        self.order_entry.ledger.move_cash(customer, amount_micro)

    def deposit_base(self, customer: AccountId, instrument: InstrumentId, size: int) -> None:
        """Bring (+) or take away (−) the base asset of a spot pair, in size increments."""
        self.account(customer)
        if self.listing.market(instrument).kind is not Kind.SPOT:
            raise BadInput(f"{instrument} is no spot pair")
        self.order_entry.ledger.move_base(customer, instrument, size)

    def convert(
        self, customer: AccountId, instrument: InstrumentId, size: int, now_ns: int
    ) -> bool:
        """Split cash into `size` pairs of YES and NO, or merge −`size` pairs into cash.

        False = the customer has not enough, or the market cannot do it now.
        """
        self._reach(now_ns)
        self.account(customer)
        return self.clearing.convert(customer, instrument, size) is not None

    def operate(
        self, customer: AccountId, operation: int, instrument: InstrumentId, size: int, now_ns: int
    ) -> str | None:
        """Submit a transaction of a wallet; return what the chain calls it.

        `size` pairs are split (+) or merged (−); 0 redeems a resolved market's tokens: None = it
        is not resolved.
        """
        self._reach(now_ns)
        self._asking(customer)
        market = self.order_entry.markets.get(instrument)
        if market is None or not market.chained or (market.payout is None and not size):
            return None
        return self.clearing.redeeming.ask(customer, operation, instrument, size)

    def operation(
        self, customer: AccountId, operation: int
    ) -> tuple[ev.OperationState, str] | None:
        """Return how far an operation of a wallet is, and its name; None = it never came here."""
        self._asking(customer)
        return self.clearing.redeeming.operation(customer, operation)

    # -- orders ------------------------------------------------------------------------------------

    def submit(self, customer: AccountId, ticket: Ticket, now_ns: int) -> OrderReceipt:
        self._reach(now_ns)
        account = self.account(customer)
        self.guard.check_place(ticket)
        return self.order_entry.place(account, ticket)

    def cancel(self, customer: AccountId, identity: Identity, now_ns: int) -> CancelAnswer:
        self._reach(now_ns)
        account = self.account(customer)
        self.guard.check_cancel()
        return self.order_entry.cancel(account, identity)

    def cancel_all(
        self,
        customer: AccountId,
        now_ns: int,
        *,
        key: str | None = None,
        instrument: InstrumentId | None = None,
        tag: str | None = None,
    ) -> list[CancelAnswer]:
        """Cancel every order in scope; None = any. Held orders are answered with a refusal."""
        self._reach(now_ns)
        account = self.account(customer)
        self.guard.check_cancel()
        chosen = [
            order
            for order in account.open.values()
            if (key is None or order.key == key)
            and (instrument is None or order.instrument == instrument)
            and (tag is None or order.tag == tag)
        ]
        held = [order for order in chosen if order.state is OrderState.DELAYED]
        free = [order for order in chosen if order.state is not OrderState.DELAYED]
        self.order_entry.withdraw(free, CancelReason.ASKED)
        text = refusals.CANCEL_DELAYED
        return [CancelAnswer(identity=order.identity, cancelled=True) for order in free] + [
            CancelAnswer(identity=order.identity, cancelled=False, text=text) for order in held
        ]

    def heartbeat(self, customer: AccountId, key: str, token: str, now_ns: int) -> HeartbeatAnswer:
        """Take a heartbeat of one of a customer's keys; the first one arms it."""
        self._reach(now_ns)
        return self.guard.heartbeat(self.account(customer), key, token)

    # -- questions ---------------------------------------------------------------------------------

    def _asking(self, customer: AccountId) -> Account:
        """Return who asks. Raises AuthRefused, and VenueClosed while the exchange is restarting."""
        account = self.account(customer)
        self.guard.check_question()
        account.asks(self.timeline.now_ns)
        return account

    def open_orders(self, customer: AccountId) -> list[RestingOrder]:
        """Return every live order of a customer, oldest first."""
        return list(self._asking(customer).open.values())

    def order(self, customer: AccountId, identity: Identity) -> RestingOrder | None:
        """Return an order, live or ended; None = never heard of, or long forgotten."""
        account = self._asking(customer)
        return account.open.get(identity) or account.ended.get(identity)

    def fills(self, customer: AccountId, since_ns: int) -> list[Fill]:
        """Return a customer's fills since a time. Raises BadInput where some are forgotten."""
        return self._asking(customer).fills_since(since_ns)

    def redemptions(self, customer: AccountId, since_ns: int) -> list[Redeemed]:
        """Return what was paid for a customer's tokens since a time."""
        return [one for one in self._asking(customer).redemptions if one.at_ns >= since_ns]

    def conversions(self, customer: AccountId, since_ns: int) -> list[Converted]:
        """Return the splits and merges of a wallet since a time."""
        return [one for one in self.account(customer).conversions if one.at_ns >= since_ns]

    def wallet(self, customer: AccountId) -> ExchangeWallet:
        """Return what a customer owns. Raises AuthRefused where there is none."""
        self.account(customer)
        return self.order_entry.ledger.wallets[customer]

    def positions(self, customer: AccountId) -> list[tuple[InstrumentId, Leg, int]]:
        """Return a customer's settled tokens, and its perpetuals: below 0 short."""
        wallet = self.wallet(customer)
        perpetuals = self.clearing.margin.sizes(customer)
        return [(instrument, Leg.BASE, size) for instrument, size in perpetuals] + [
            (instrument, leg, tokens.settled)
            for leg in (Leg.YES, Leg.NO, Leg.BASE)
            for held in (wallet.held(leg),)
            for instrument, tokens in held.items()
            if tokens.settled
        ]

    # -- what is said ------------------------------------------------------------------------------

    def opening(self) -> list[ev.Event]:
        """Return what a new listener must receive to know every market as it operation."""
        return self.listing.opening()

    def take_public(self) -> list[Stamped]:
        """Return (time, public event) since the last call, in order."""
        return self.outbox.take_public()

    def take(self, customer: AccountId) -> list[StampedReport]:
        """Return a listening customer's (time, report) since the last call, in order."""
        return self.outbox.take(customer)

    def invariants(self) -> LedgerSums:
        """Return the ledger in sums with every rule that does not hold."""
        margin = self.clearing.margin
        sums = self.order_entry.ledger.sums(margin.owed_micro(), margin.fees_micro)
        problems = [*sums.problems, *self.clearing.problems(), *self.order_entry.margins.problems()]
        for name, market in self.order_entry.markets.items():
            bid, ask = market.book.best_bid, market.book.best_ask
            if bid is not None and ask is not None and bid >= ask:
                problems.append(f"{name}: the book is crossed")
        return msgspec.structs.replace(sums, problems=tuple(problems))
