"""The desk: takes tickets and cancels, lets orders match, hands matches to clearing.

It works at the timeline's present moment; time itself, modes and heartbeats are `exchange`'s. Each
operation ends with one public batch of level changes, after the prints of what caused them.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import asdict

from engine.domain.events import BookChanged
from engine.domain.instruments import Leg, Side
from engine.domain.orders import CancelReason, Identity, OrderState, OrderType, RejectReason
from engine.runtime import refusals
from engine.runtime.refusals import Refusal
from engine.venues.demo.accounts import Account, ExchangeMarket, Rules
from engine.venues.demo.clearing import Clearing
from engine.venues.demo.margin_desk import MarginDesk
from engine.venues.demo.matching import yes_level
from engine.venues.demo.orders import (
    CancelAnswer,
    Ended,
    OrderReceipt,
    Placed,
    RestingOrder,
    StandingOrder,
    Ticket,
)
from engine.venues.demo.timeline import Timeline, TimelineEntry

FEE_ROUNDING_MICRO = 5
"""Most that rounding can add to the fee of one match: half of the venue's 10-micro step."""


class OrderEntry:
    """Orders in, matches out."""

    def __init__(self, timeline: Timeline, clearing: Clearing) -> None:
        self.timeline = timeline
        self.clearing = clearing
        self.outbox = clearing.outbox
        self.rules = clearing.rules
        self.ledger = clearing.ledger
        self.accounts = clearing.accounts
        self.markets = clearing.markets
        self.orders: dict[int, RestingOrder] = {}
        """Orders that live, resting or held back, by the exchange's number."""
        self.order_count = 0
        self.margins = MarginDesk(clearing, self.orders, self.withdraw)

    # -- tickets -----------------------------------------------------------------------------------

    def place(self, account: Account, ticket: Ticket) -> OrderReceipt:
        """Check a ticket, then reject it, hold it back, match it or rest it."""
        market = self.markets.get(ticket.instrument)
        if market is None or not market.accepting:
            return _rejected(ticket, (RejectReason.MARKET_CLOSED, refusals.NO_BOOK))
        refusal = _refuse_terms(ticket, market, self.rules, self.timeline.now_ns)
        if refusal is not None:
            return _rejected(ticket, refusal)
        if ticket.identity in account.open or ticket.identity in account.ended:
            return _rejected(ticket, refusals.duplicate(ticket.identity))
        order = self._draft(account, market, ticket)
        crossing = market.book.crosses(order.bid, order.level)
        refusal = self._refuse_money(market, order, crossing)
        if market.margined and refusal is None:
            if crossing and not order.post_only:
                self.margins.end_own(account, market, order)
            crossing = market.book.crosses(order.bid, order.level)
        if refusal is None:
            refusal = _refuse_match(market, order, crossing)
        if refusal is not None:
            return _rejected(ticket, refusal)
        self.order_count += 1
        order.number = self.order_count
        account.open[order.identity] = order
        self.orders[order.number] = order
        if crossing and market.instrument.taker_delay_ns:
            return self._hold(market, order)
        return self._run(market, order, held=False)

    def _draft(self, account: Account, market: ExchangeMarket, ticket: Ticket) -> RestingOrder:
        second = ticket.leg is Leg.NO
        return RestingOrder(
            **asdict(ticket),
            number=0,
            customer=account.id,
            remaining=ticket.size,
            placed_ns=self.timeline.now_ns,
            bid=(ticket.side is Side.BUY) is not second,
            level=yes_level(ticket.leg, ticket.price, market.one),
        )

    def _refuse_money(
        self, market: ExchangeMarket, order: RestingOrder, crossing: bool
    ) -> Refusal | None:
        if market.margined:
            return self.margins.refuse(market, order)
        amount = order.price * order.size // market.divisor
        if amount < market.instrument.resting_min_micro:
            return refusals.below_value(amount, market.instrument.resting_min_micro)
        wallet = self.ledger.wallets[order.customer]
        if order.side is Side.SELL:
            if wallet.free_tokens(order.instrument, order.leg) >= order.size:
                return None
            tokens = wallet.tokens(order.instrument, order.leg)
            return refusals.no_funds(tokens.settled, tokens.reserved, order.size)
        needed = market.hold_micro(order.price, order.size)
        free = self.clearing.free_micro(order.customer)
        short = free < needed
        if crossing and not order.post_only:
            if amount < market.instrument.notional_min_micro:
                return refusals.too_small(amount, market.instrument.notional_min_micro)
            needed = amount + market.instrument.taker_fee_micro(order.price, order.size)
            short = not self._affords(market, order, free, needed)
        return refusals.no_funds(wallet.cash, wallet.reserved, needed) if short else None

    def _affords(self, market: ExchangeMarket, order: RestingOrder, free: int, worst: int) -> bool:
        """Say whether free cash covers a crossing purchase to the micro.

        `worst` is cost plus fee at the limit price: they grow with the price while the rate is
        below one, so it is the worst case but for the rounding of each match's fee. Only near the
        edge the matches are walked.
        """
        if free < worst:
            return False
        if free >= worst + FEE_ROUNDING_MICRO * market.book.count:
            return True
        divisor, fee = market.divisor, market.instrument.taker_fee_micro
        needed, rest = 0, order.size
        for level, size in market.book.preview(order.bid, order.level, order.size):
            price = yes_level(order.leg, level, market.one)
            needed += price * size // divisor + fee(price, size)
            rest -= size
        return free >= needed + market.hold_micro(order.price, rest)

    # -- the taker delay (polymarket.md §5.3) ------------------------------------------------------

    def _hold(self, market: ExchangeMarket, order: RestingOrder) -> OrderReceipt:
        order.state = OrderState.DELAYED
        if order.side is Side.BUY:
            fee = market.instrument.taker_fee_micro(order.price, order.size)
            order.held_micro = order.price * order.size // market.divisor + fee
            self.ledger.reserve_cash(order.customer, order.held_micro)
        else:
            self.ledger.reserve_tokens(order.customer, order.instrument, order.leg, order.size)
        at_ns = self.timeline.now_ns + market.instrument.taker_delay_ns
        self.timeline.set(at_ns, TimelineEntry.RELEASE, number=order.number)
        return OrderReceipt(identity=order.identity, standing=StandingOrder.DELAYED)

    def release(self, number: int) -> None:
        """Look at a held order again and let it go: it matches, rests, or is killed."""
        order = self.orders.get(number)
        if order is None:
            return  # its market closed meanwhile
        market = self.markets[order.instrument]
        worst = order.held_micro
        self._unreserve(market, order)
        order.state = OrderState.OPEN
        crossing = market.book.crosses(order.bid, order.level)
        free = self.clearing.free_micro(order.customer)
        refusal = _refuse_match(market, order, crossing)
        if refusal is not None:
            self._end(order, OrderState.CANCELLED, CancelReason.KILLED_REST, refusal[1])
        elif order.side is Side.BUY and not self._affords(market, order, free, worst):
            self._end(order, OrderState.CANCELLED, CancelReason.NO_FUNDS, refusals.NOT_ENOUGH)
        else:
            self._run(market, order, held=True)

    # -- matching ----------------------------------------------------------------------------------

    def _run(self, market: ExchangeMarket, order: RestingOrder, *, held: bool) -> OrderReceipt:
        matches = market.book.match(order)
        fills = self.clearing.book(market, order, matches) if matches else ()
        for maker, _ in matches:
            if maker.remaining:
                maker.state = OrderState.PARTIAL
            else:
                self._end(maker, OrderState.FILLED)
        standing = StandingOrder.MATCHED
        if not order.remaining:
            self._end(order, OrderState.FILLED)
        elif order.type is OrderType.FAK:
            self._end(order, OrderState.CANCELLED, CancelReason.KILLED_REST)
        else:
            standing = StandingOrder.LIVE
            self._rest(market, order, held=held)
        self.publish_changes(market)
        if matches or market.margined:
            self.margins.settle(
                dict.fromkeys([order.customer, *(one.customer for one, _ in matches)])
            )
        return OrderReceipt(
            identity=order.identity, standing=standing, filled=order.filled, fills=fills
        )

    def _rest(self, market: ExchangeMarket, order: RestingOrder, *, held: bool) -> None:
        if order.remaining < order.size:
            order.state = OrderState.PARTIAL
        if market.margined:
            self.margins.ledger.hold(order.customer, order.instrument, order.signed_remaining)
        elif order.side is Side.BUY:
            amount = market.hold_micro(order.price, order.remaining)
            self.ledger.reserve_cash(order.customer, amount)
        else:
            self.ledger.reserve_tokens(order.customer, order.instrument, order.leg, order.remaining)
        market.book.rest(order)
        if order.expires_ns is not None:
            at_ns = order.expires_ns - self.rules.gtd_early_ns
            self.timeline.set(at_ns, TimelineEntry.EXPIRE, number=order.number)
        self.outbox.send(order.customer, Placed(identity=order.identity, key=order.key, held=held))

    def publish_changes(self, market: ExchangeMarket) -> None:
        """Publish the levels touched since the last batch, if any."""
        changes = market.book.take_changes()
        if changes and self.outbox.publishing:
            now_ns = self.timeline.now_ns
            self.outbox.publish(
                BookChanged(instrument=market.instrument.id, changes=changes, exchange_ns=now_ns)
            )

    # -- ends --------------------------------------------------------------------------------------

    def cancel(self, account: Account, identity: Identity) -> CancelAnswer:
        """Cancel one order, or say why not."""
        order = account.open.get(identity)
        if order is None:
            ended = account.ended.get(identity)
            matched = ended is not None and ended.state is OrderState.FILLED
            text = refusals.CANCEL_MATCHED if matched else refusals.CANCEL_GONE
            return CancelAnswer(identity=identity, cancelled=False, text=text)
        if order.state is OrderState.DELAYED:
            text = refusals.CANCEL_DELAYED
            return CancelAnswer(identity=identity, cancelled=False, text=text)
        self.withdraw([order], CancelReason.ASKED)
        return CancelAnswer(identity=identity, cancelled=True)

    def withdraw(
        self, orders: Iterable[RestingOrder], reason: CancelReason | None, text: str = ""
    ) -> None:
        """End live orders; `reason` None = they expired. One public batch per market."""
        state = OrderState.EXPIRED if reason is None else OrderState.CANCELLED
        touched: dict[str, ExchangeMarket] = {}
        for order in orders:
            market = self.markets[order.instrument]
            if order.state is not OrderState.DELAYED:
                market.book.remove(order)
                touched[order.instrument] = market
            self._unreserve(market, order)
            self._end(order, state, reason, text)
        for market in touched.values():
            self.publish_changes(market)

    def expire(self, number: int) -> None:
        """End a GTD order whose time has come, if it still lives."""
        order = self.orders.get(number)
        if order is not None:
            self.withdraw([order], None)

    def _unreserve(self, market: ExchangeMarket, order: RestingOrder) -> None:
        if market.margined:
            self.margins.ledger.release(order.customer, order.instrument, order.signed_remaining)
            return
        if order.side is Side.SELL:
            size = -order.remaining
            self.ledger.reserve_tokens(order.customer, order.instrument, order.leg, size)
            return
        held = order.held_micro or market.hold_micro(order.price, order.remaining)
        order.held_micro = 0
        self.ledger.reserve_cash(order.customer, -held)

    def _end(
        self,
        order: RestingOrder,
        state: OrderState,
        reason: CancelReason | None = None,
        text: str = "",
    ) -> None:
        order.state = state
        del self.orders[order.number]
        self.accounts[order.customer].remember(order, self.rules.ended_kept_max)
        if state is not OrderState.FILLED:
            report = Ended(
                identity=order.identity,
                key=order.key,
                reason=reason,
                filled=order.filled,
                text=text,
            )
            self.outbox.send(order.customer, report)


def _refuse_terms(
    ticket: Ticket, market: ExchangeMarket, rules: Rules, now_ns: int
) -> Refusal | None:
    """Check what depends on the ticket and the instrument alone, in the venue's own order."""
    instrument = market.instrument
    product = instrument.product
    if ticket.leg not in product.legs:
        return RejectReason.OTHER, refusals.BAD_PAYLOAD
    tick, price = instrument.tick, ticket.price
    if price % tick or not tick <= price <= product.top:
        return refusals.off_tick(ticket.identity, instrument, price)
    if ticket.size < (1 if ticket.reduce_only else max(instrument.size_min, 1)):
        return refusals.below_min(ticket.identity, instrument, ticket.size)
    if ticket.size % instrument.lot:
        return RejectReason.OTHER, refusals.BAD_DECIMALS
    if ticket.post_only and ticket.type in (OrderType.FAK, OrderType.FOK):
        return RejectReason.OTHER, refusals.BAD_PAYLOAD
    if (ticket.type is OrderType.GTD) is not (ticket.expires_ns is not None):
        return RejectReason.EXPIRY, refusals.BAD_EXPIRY
    if ticket.expires_ns is not None and ticket.expires_ns < now_ns + rules.gtd_min_ns:
        return RejectReason.EXPIRY, refusals.BAD_EXPIRY
    if ticket.reduce_only and not market.margined:
        return RejectReason.OTHER, refusals.BAD_PAYLOAD
    return None


def _refuse_match(market: ExchangeMarket, order: RestingOrder, crossing: bool) -> Refusal | None:
    """Check what depends on whom the order would meet."""
    if order.post_only:
        return (RejectReason.WOULD_CROSS, refusals.POST_ONLY_CROSSES) if crossing else None
    if order.type is OrderType.FOK:
        book, size = market.book, order.remaining
        if not crossing or book.available(order.bid, order.level, size) < size:
            return RejectReason.NOT_FILLED, refusals.FOK_KILLED
    elif order.type is OrderType.FAK and not crossing:
        return RejectReason.NOT_FILLED, refusals.FAK_KILLED
    return None


def _rejected(ticket: Ticket, refusal: Refusal) -> OrderReceipt:
    return OrderReceipt(
        identity=ticket.identity,
        standing=StandingOrder.REJECTED,
        reason=refusal[0],
        text=refusal[1],
    )
