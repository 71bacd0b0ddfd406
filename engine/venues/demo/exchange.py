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

from engine.domain.events import Event, VenueMode
from engine.domain.instruments import AccountId, InstrumentId, Leg
from engine.domain.orders import CancelReason, Identity, OrderState
from engine.errors import AuthRefused, BadInput, BrokenInvariant
from engine.venues.demo import refusals
from engine.venues.demo.accounts import Account
from engine.venues.demo.clearing import Clearing
from engine.venues.demo.guard import DROP_ORDERS, Guard
from engine.venues.demo.ledger import LedgerSums
from engine.venues.demo.listing import MarketLife
from engine.venues.demo.order_entry import OrderEntry
from engine.venues.demo.orders import (
    Balance,
    BeatAnswer,
    CancelAnswer,
    Fill,
    LiveOrder,
    OrderReceipt,
    Ticket,
)
from engine.venues.demo.outbox import ExchangeOutbox, Stamped, StampedReport
from engine.venues.demo.refusals import Rules
from engine.venues.demo.settlement import Settlement, SettlementRules
from engine.venues.demo.timeline import Timeline, TimelineEntry


class Actor(Protocol):
    """Somebody of the exchange's own world: wakes by timers, survives in its state."""

    name: str

    def wake(self, topic: int, now_ns: int) -> None:
        """Do what is due. `topic` is the number the timer was set with."""
        ...

    def state(self) -> bytes:
        """Return everything that must survive."""
        ...

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
        self.desk = OrderEntry(self.timeline, self.clearing)
        self.guard = Guard(self.desk)
        self.listing = MarketLife(self.desk)
        self.actors: dict[str, Actor] = {}
        self._busy = False
        self._handlers: dict[int, Callable[[str, int], None]] = {
            TimelineEntry.SETTLE: lambda _, number: self.clearing.settle(number),
            TimelineEntry.EXPIRE: lambda _, number: self.desk.expire(number),
            TimelineEntry.RELEASE: lambda _, number: self.desk.release(number),
            TimelineEntry.HEARTBEAT: lambda _, __: self.guard.check_beats(),
            TimelineEntry.MODE: lambda mode, number: self.guard.switch(
                VenueMode(mode), drop_orders=number == DROP_ORDERS
            ),
            TimelineEntry.ACTOR: lambda name, topic: self.actors[name].wake(
                topic, self.timeline.now_ns
            ),
            TimelineEntry.FORGET: lambda name, _: self.listing.forget(InstrumentId(name)),
        }

    # -- time --------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Return the present moment of the exchange."""
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

    def join(self, actor: Actor) -> None:
        """Let an actor live here."""
        self.actors[actor.name] = actor

    # -- customers ---------------------------------------------------------------------------------

    def open_account(self, customer: AccountId, cash_micro: int, *, listening: bool = True) -> None:
        """Open an account. `listening` False = nobody will take its reports."""
        if customer in self.desk.accounts:
            raise BadInput(f"{customer} has an account already")
        self.desk.accounts[customer] = Account(customer, listening=listening)
        self.desk.ledger.open(customer)
        self.desk.ledger.move_cash(customer, cash_micro)
        if listening:
            self.outbox.listen(customer)

    def account(self, customer: AccountId) -> Account:
        """Return a customer's record. Raises AuthRefused where there is none."""
        account = self.desk.accounts.get(customer)
        if account is None:
            raise AuthRefused(refusals.BAD_KEY)
        return account

    def deposit(self, customer: AccountId, amount_micro: int) -> None:
        """Move cash in (+) or out (−)."""
        self.account(customer)
        self.desk.ledger.move_cash(customer, amount_micro)

    def convert(
        self, customer: AccountId, instrument: InstrumentId, size: int, now_ns: int
    ) -> bool:
        """Split cash into `size` pairs of YES and NO, or merge −`size` pairs into cash.

        False = the customer has not enough, or the market cannot do it now.
        """
        self._reach(now_ns)
        self.account(customer)
        market = self.desk.markets.get(instrument)
        if market is None or market.payout is not None or size % market.instrument.lot:
            return False
        amount = size * market.one // market.divisor
        return self.desk.ledger.convert(customer, instrument, size, amount)

    # -- orders ------------------------------------------------------------------------------------

    def submit(self, customer: AccountId, ticket: Ticket, now_ns: int) -> OrderReceipt:
        """Hand in a ticket."""
        self._reach(now_ns)
        account = self.account(customer)
        self.guard.check_place(ticket)
        return self.desk.place(account, ticket)

    def cancel(self, customer: AccountId, identity: Identity, now_ns: int) -> CancelAnswer:
        """Cancel one order."""
        self._reach(now_ns)
        account = self.account(customer)
        self.guard.check_cancel()
        return self.desk.cancel(account, identity)

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
        self.desk.withdraw(free, CancelReason.ASKED)
        text = refusals.CANCEL_DELAYED
        return [CancelAnswer(identity=order.identity, cancelled=True) for order in free] + [
            CancelAnswer(identity=order.identity, cancelled=False, text=text) for order in held
        ]

    def beat(self, customer: AccountId, key: str, token: str, now_ns: int) -> BeatAnswer:
        """Take a heartbeat of one of a customer's keys; the first one arms it."""
        self._reach(now_ns)
        return self.guard.beat(self.account(customer), key, token)

    # -- questions ---------------------------------------------------------------------------------

    def open_orders(self, customer: AccountId) -> list[LiveOrder]:
        """Return every live order of a customer, oldest first."""
        account = self.account(customer)
        self.guard.check_question()
        return list(account.open.values())

    def order(self, customer: AccountId, identity: Identity) -> LiveOrder | None:
        """Return an order, live or ended; None = never heard of, or long forgotten."""
        account = self.account(customer)
        self.guard.check_question()
        return account.open.get(identity) or account.ended.get(identity)

    def fills(self, customer: AccountId, since_ns: int) -> list[Fill]:
        """Return a customer's fills since a time. Raises BadInput where some are forgotten."""
        account = self.account(customer)
        self.guard.check_question()
        return account.fills_since(since_ns)

    def balance(self, customer: AccountId) -> Balance:
        """Return a customer's cash."""
        self.account(customer)
        wallet = self.desk.ledger.wallets[customer]
        return Balance(settled=wallet.cash, reserved=wallet.reserved, pending=wallet.pending)

    def positions(self, customer: AccountId) -> list[tuple[InstrumentId, Leg, int]]:
        """Return a customer's settled tokens."""
        self.account(customer)
        wallet = self.desk.ledger.wallets[customer]
        return [
            (instrument, leg, tokens.settled)
            for leg, held in ((Leg.YES, wallet.yes), (Leg.NO, wallet.no))
            for instrument, tokens in held.items()
            if tokens.settled
        ]

    def free_tokens(self, customer: AccountId, instrument: InstrumentId, leg: Leg) -> int:
        """Return the settled tokens of one leg that no open sale of the customer holds."""
        self.account(customer)
        return self.desk.ledger.wallets[customer].free_tokens(instrument, leg)

    # -- what is said ------------------------------------------------------------------------------

    def opening(self) -> list[Event]:
        """Return what a new listener must hear to know every market as it stands."""
        return self.listing.opening()

    def take_public(self) -> list[Stamped]:
        """Return (time, public event) since the last call, in order."""
        return self.outbox.take_public()

    def take(self, customer: AccountId) -> list[StampedReport]:
        """Return a listening customer's (time, report) since the last call, in order."""
        return self.outbox.take(customer)

    def invariants(self) -> LedgerSums:
        """Return the ledger in sums with every rule that does not hold."""
        sums = self.desk.ledger.sums()
        problems = [*sums.problems, *self.clearing.problems()]
        for name, market in self.desk.markets.items():
            bid, ask = market.book.best_bid, market.book.best_ask
            if bid is not None and ask is not None and bid >= ask:
                problems.append(f"{name}: the book is crossed")
        return msgspec.structs.replace(sums, problems=tuple(problems))
