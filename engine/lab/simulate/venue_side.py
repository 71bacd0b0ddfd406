"""One account's side of the exchange: what is on its way there, what is done, what it reports.

The exchange itself stays as it is; only what it answers is bent here, where a real venue has been
seen to bend: listings that are empty or cut although they succeeded, refusals of every kind.
"""

from __future__ import annotations

from random import Random

import msgspec

from engine.domain.effects import Effect, PlaceOrder, QueryFills, QueryOpenOrders
from engine.domain.events import (
    FillSettled,
    FillsListed,
    FillVoided,
    OpenOrdersListed,
    OrderFilled,
    OrderRejected,
    TokensRedeemed,
    VenueEvent,
)
from engine.domain.instruments import AccountId, InstrumentId, Kind, Leg
from engine.domain.orders import Order, OrderId, OrderType, RejectReason
from engine.lab.simulate.faults import Fault, Faults
from engine.lab.simulate.fee_assets import FeesIn, TakenFees, with_fee
from engine.lab.simulate.outages import Outage
from engine.lab.simulate.venue_truth import VenueTruth
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import KEY, RestingOrder

CURRENCY = "pUSD"
REFUSALS = (
    RejectReason.WOULD_CROSS,
    RejectReason.BELOW_MIN,
    RejectReason.OFF_TICK,
    RejectReason.NO_FUNDS,
    RejectReason.MARKET_CLOSED,
    RejectReason.EXPIRY,
    RejectReason.AUTH,
    RejectReason.OTHER,
)


GIVER, GIVER_MICRO = AccountId("stranger"), 1_000_000_000_000
"""Who sends tokens from outside, and what it buys their pairs with; fees in tokens go there."""


class VenueSide:
    """What the exchange knows of one account, and what judges may know: the truth."""

    def __init__(
        self,
        exchange: DemoExchange,
        account: AccountId,
        faults: Faults,
        random: Random,
        *,
        fees_in: FeesIn,
    ) -> None:
        self.exchange = exchange
        self.account = account
        self.waiting: dict[OrderId, Order] = {}
        """Orders an engine has decided on that may still leave it."""
        self.in_flight: dict[OrderId, Order] = {}
        """Orders whose request has left an engine and has not arrived."""
        self.arrived: dict[OrderId, Order] = {}
        self._answers = Answers(exchange, account, key=KEY, currency=CURRENCY)
        self._faults = faults
        self._random = random
        self._bent = False
        """The last listing was bent: the next one is not, or no engine could be right."""
        self._token = ""
        self.outage = Outage(faults)
        self.truth = VenueTruth(exchange, account)
        self.fees = TakenFees()
        self._fees_in = fees_in
        self.prepare = self._answers.prepare

    # -- requests ----------------------------------------------------------------------------------

    def do(self, effect: Effect, now_ns: int) -> list[VenueEvent]:
        """Do what is asked at the exchange. Raises VenueClosed."""
        if isinstance(effect, PlaceOrder):
            return self._place(effect.order, now_ns)
        said = self._answers.do(effect, now_ns)
        if isinstance(effect, QueryOpenOrders):
            return [self._bend(event) for event in said]
        if isinstance(effect, QueryFills) and self._fees_in is not FeesIn.QUOTE:
            return [self._with_fees(event) for event in said]
        return said

    def _place(self, order: Order, now_ns: int) -> list[VenueEvent]:
        self.arrived[order.id] = order
        if self._faults.hit(Fault.REJECTED):
            taking = order.type in {OrderType.FAK, OrderType.FOK}
            reason = RejectReason.NOT_FILLED if taking else self._random.choice(REFUSALS)
            self._faults.seen(f"rejected_{reason}")
            refused = OrderRejected(account=self.account, order=order.id, reason=reason)
            return [msgspec.structs.replace(refused, venue_text="refused by the simulation")]
        return self._answers.place(order, now_ns)

    def _bend(self, event: VenueEvent) -> VenueEvent:
        """Empty or cut a listing now and then, never two in a row."""
        if self._bent or not isinstance(event, OpenOrdersListed) or not event.orders:
            self._bent = False
            return event
        if self._faults.hit(Fault.LISTING_EMPTY):
            self._bent = True
            return msgspec.structs.replace(event, orders=())
        if len(event.orders) > 1 and self._faults.hit(Fault.LISTING_CUT):
            self._bent = True
            return msgspec.structs.replace(event, orders=event.orders[: len(event.orders) // 2])
        return event

    def _with_fees(self, event: VenueEvent) -> VenueEvent:
        if not isinstance(event, FillsListed):
            return event
        return msgspec.structs.replace(event, fills=tuple(map(self._with_fee, event.fills)))

    def _with_fee(self, fill: OrderFilled) -> OrderFilled:
        """Return a fill of a pair with its fee in what the exchange takes them in."""
        order = self.arrived[fill.order]
        terms = self.exchange.order_entry.markets[order.instrument].instrument
        if terms.kind is not Kind.SPOT:
            return fill
        return with_fee(fill, terms, order.side, self._fees_in)

    def _take_fee(self, fill: OrderFilled) -> OrderFilled:
        """Return a fill as it is reported, what its fee took having left the wallet."""
        fill, order = self._with_fee(fill), self.arrived[fill.order]
        terms = self.exchange.order_entry.markets[order.instrument].instrument
        if gone := self.fees.take(fill, terms):
            self._move(order.instrument, order.leg, gone, self.account, self._stranger())
        return fill

    def heartbeat(self, now_ns: int) -> None:
        """Take a heartbeat; the first one arms the exchange's dead-man switch."""
        answer = self.exchange.heartbeat(self.account, KEY, self._token, now_ns)
        if not answer.valid:
            answer = self.exchange.heartbeat(self.account, KEY, answer.token, now_ns)
        self._token = answer.token

    def redeem_for(self) -> None:
        """Redeem what the account could redeem, as the venue does it for its customers."""
        worker = self.exchange.clearing.redeeming
        held = dict.fromkeys(key for key, _, _ in self.exchange.positions(self.account))
        for key in held:
            if self.exchange.listing.market(key).payout is not None:
                worker.ask(self.account, 0, key)

    def convert_for(self, random: Random) -> None:
        """Split a little cash, or merge pairs, as a person does it at the venue."""
        exchange = self.exchange
        open_ = [key for key, one in exchange.order_entry.markets.items() if one.payout is None]
        if open_:
            size = random.choice((2, 1, -1)) * 1_000_000
            exchange.clearing.redeeming.ask(self.account, 0, random.choice(open_), size)

    def give(self, key: InstrumentId, leg: Leg, size: int) -> bool:
        """Have a stranger send tokens of one leg; False = the market makes no pairs any more."""
        giver = self._stranger()
        if self.exchange.clearing.convert(giver, key, size) is None:
            return False
        self._move(key, leg, size, giver, self.account)
        return True

    def _stranger(self) -> AccountId:
        if GIVER not in self.exchange.order_entry.ledger.wallets:
            self.exchange.open_account(GIVER, GIVER_MICRO, listening=False)
        return GIVER

    def _move(
        self, key: InstrumentId, leg: Leg, size: int, giver: AccountId, taker: AccountId
    ) -> None:
        wallets = self.exchange.order_entry.ledger.wallets
        wallets[giver].tokens(key, leg).settled -= size
        wallets[taker].tokens(key, leg).settled += size

    # -- reports -----------------------------------------------------------------------------------

    def take(self) -> list[VenueEvent]:
        """Return what the exchange has to tell the account since the last call."""
        events: list[VenueEvent] = []
        for _, report in self.exchange.take(self.account):
            self.truth.take(report)
            event = self._answers.received(report)
            if event is not None:
                if isinstance(event, OrderFilled) and self._fees_in is not FeesIn.QUOTE:
                    event = self._take_fee(event)
                events.append(event)
                if isinstance(event, FillVoided):
                    self._faults.seen("settlement_failed")
                elif isinstance(event, FillSettled):
                    self._faults.seen("settlement_confirmed")
                elif isinstance(event, TokensRedeemed):
                    self._faults.seen("redeemed")
        return events

    # -- the truth ---------------------------------------------------------------------------------

    def live(self) -> list[RestingOrder]:
        orders = self.exchange.account(self.account).open.values()
        return [order for order in orders if order.key == KEY]

    def number(self, order: RestingOrder) -> OrderId | None:
        return self._answers.known(order.identity)
