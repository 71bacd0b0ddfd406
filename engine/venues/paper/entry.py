"""How an order comes in: refused, delayed, matched against what is displayed, or rested."""

from __future__ import annotations

from engine.domain.events import (
    OrderAccepted,
    OrderDelayed,
    OrderExpired,
    OrderRejected,
    VenueEvent,
)
from engine.domain.fills import Liquidity, SizeSource
from engine.domain.instruments import Kind, Leg
from engine.domain.orders import CancelReason, Order, OrderState, OrderType, RejectReason
from engine.errors import BrokenInvariant
from engine.venues.paper import rules
from engine.venues.paper.agenda import PaperAgenda, PaperDue
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.matching import Matching
from engine.venues.paper.queue import QueuedOrder
from engine.venues.paper.rules import Refusal
from engine.venues.paper.settings import NS_PER_MS, PaperSettings

_GTD = OrderType.GTD
_LASTING = frozenset({OrderType.GTC, _GTD})
_OPEN, _PARTIAL = OrderState.OPEN, OrderState.PARTIAL


class PaperOrderEntry:
    """The way into the floor. Each method returns the events it caused, in order."""

    def __init__(self, floor: Matching, settings: PaperSettings, agenda: PaperAgenda) -> None:
        self._floor = floor
        self._agenda = agenda
        self._taker_delay_ns = settings.taker_delay_ms * NS_PER_MS
        self._gtd_early_ns = settings.gtd_early_ms * NS_PER_MS

    def place(self, order: Order, now_ns: int) -> list[VenueEvent]:
        """Take an order that arrives at the venue now."""
        floor = self._floor
        market = floor.markets.get(order.instrument)
        if market is None:
            return self._reject(order, (RejectReason.OTHER, rules.NO_ORDERBOOK))
        refusal = self._refuse(market, order)
        if refusal is not None:
            return self._reject(order, refusal)
        resting = QueuedOrder(order, market.instrument)
        takes = market.crosses(resting)
        refusal = self._refuse_now(market, resting, now_ns, takes=takes)
        if refusal is not None:
            return self._reject(order, refusal)
        if not takes:
            if order.type not in _LASTING:
                return self._reject(order, _killed(order))
            if not market.pockets[order.leg].try_hold(resting):
                return self._reject(order, _no_funds(market, resting, []))
            self._rest(market, resting)
            return [OrderAccepted(account=floor.account, order=order.id)]
        delay_ns = market.instrument.taker_delay_ns + self._taker_delay_ns
        if not delay_ns:
            return self._take(market, resting, now_ns)
        if not market.pockets[order.leg].try_hold(resting):
            return self._reject(order, _no_funds(market, resting, []))
        resting.state = OrderState.DELAYED
        floor.open[order.id] = resting
        self._agenda.push(now_ns + delay_ns, PaperDue.MATCHES, resting)
        return [OrderDelayed(account=floor.account, order=order.id)]

    def match_delayed(self, resting: QueuedOrder, now_ns: int) -> list[VenueEvent]:
        """Match an order whose delay is over against the book of this moment.

        If nothing is left to take, a GTC or GTD rests (the venue's `unmatched`), others are killed.
        """
        floor, order = self._floor, resting.order
        if resting.state is not OrderState.DELAYED:
            return []
        market = floor.markets[order.instrument]
        market.pockets[order.leg].release(resting)
        del floor.open[order.id]
        if resting.ends_ns is not None and resting.ends_ns <= now_ns:
            floor.finish(resting, OrderState.EXPIRED)
            return [OrderExpired(account=floor.account, order=order.id)]
        return self._take(market, resting, now_ns)

    def expire(self, resting: QueuedOrder) -> list[VenueEvent]:
        """End a GTD order at its time, where it still lives."""
        floor, order = self._floor, resting.order
        if floor.open.get(order.id) is not resting:
            return []
        floor.finish(resting, OrderState.EXPIRED)
        return [OrderExpired(account=floor.account, order=order.id)]

    # -- refusals ----------------------------------------------------------------------------------

    def _reject(self, order: Order, refusal: Refusal) -> list[VenueEvent]:
        reason, text = refusal
        return [
            OrderRejected(
                account=self._floor.account, order=order.id, reason=reason, venue_text=text
            )
        ]

    def _refuse(self, market: PaperMarket, order: Order) -> Refusal | None:
        """Return why the market or the order's own fields forbid it."""
        if market.closed:
            return RejectReason.MARKET_CLOSED, rules.NO_ORDERBOOK
        if not market.ready:
            return RejectReason.OTHER, rules.NOT_READY
        reason = rules.refuse(order, market.instrument)
        if reason is None:
            return None
        identity = self._floor.identity(order.id)
        return reason, rules.text_of(reason, order, identity, market.instrument)

    def _refuse_now(
        self, market: PaperMarket, resting: QueuedOrder, now_ns: int, *, takes: bool
    ) -> Refusal | None:
        """Return why the moment forbids it: marketable minimum, expiry, twin, funds, crossing."""
        order = resting.order
        if takes and not order.post_only:
            refusal = rules.refuse_small_taker(order, market.instrument)
            if refusal is not None:
                return refusal
        if order.type is _GTD:
            if order.expires_ns is None:
                return RejectReason.EXPIRY, rules.BAD_EXPIRATION
            early_ns = self._gtd_early_ns if market.instrument.kind is Kind.BINARY else 0
            resting.ends_ns = order.expires_ns - early_ns
            if resting.ends_ns <= now_ns:
                return RejectReason.EXPIRY, rules.BAD_EXPIRATION
        if self._floor.knows(order.id):
            return rules.duplicate(self._floor.identity(order.id))
        if takes and order.post_only:
            if not _covered(market, resting, []):
                return _no_funds(market, resting, [])
            return RejectReason.WOULD_CROSS, rules.WOULD_CROSS
        return None

    # -- taking and resting ------------------------------------------------------------------------

    def _take(self, market: PaperMarket, resting: QueuedOrder, now_ns: int) -> list[VenueEvent]:
        """Match against displayed size less what we took; what is left rests or is killed."""
        floor, order, instrument = self._floor, resting.order, market.instrument
        plan = market.takeable(resting)
        missing = resting.remaining - sum(size for _, size in plan)
        if (missing and order.type is OrderType.FOK) or (not plan and order.type is OrderType.FAK):
            return self._reject(order, _killed(order))
        mirrored = order.leg is Leg.NO
        taking = [(instrument.one - at if mirrored else at, size) for at, size in plan]
        if not _covered(market, resting, taking):
            return self._reject(order, _no_funds(market, resting, taking))
        events: list[VenueEvent] = [OrderAccepted(account=floor.account, order=order.id)]
        floor.open[order.id] = resting
        for (at, size), (price, _) in zip(plan, taking, strict=True):
            market.take(resting, at, size)
            events.append(
                floor.fill(
                    resting,
                    now_ns,
                    price=price,
                    size=size,
                    fee_micro=instrument.taker_fee_micro(price, size),
                    liquidity=Liquidity.TAKER,
                    source=SizeSource.TAPED,
                )
            )
            floor.audit.taker_size += size
        if not resting.remaining:
            floor.finish(resting, OrderState.FILLED)
        elif order.type in _LASTING:
            if not market.pockets[order.leg].try_hold(resting):
                raise BrokenInvariant(f"order {order.id} was covered, and its rest is not")
            self._rest(market, resting)
        else:
            events.append(floor.cancel(resting, CancelReason.KILLED_REST))
        return events

    def _rest(self, market: PaperMarket, resting: QueuedOrder) -> None:
        order = resting.order
        resting.state = _OPEN if resting.remaining == order.size else _PARTIAL
        self._floor.open[order.id] = resting
        market.enqueue(resting)
        if resting.ends_ns is not None:
            self._agenda.push(resting.ends_ns, PaperDue.EXPIRES, resting)


def _killed(order: Order) -> Refusal:
    text = rules.FOK_KILLED if order.type is OrderType.FOK else rules.FAK_KILLED
    return RejectReason.NOT_FILLED, text


def _covered(market: PaperMarket, resting: QueuedOrder, taking: list[tuple[int, int]]) -> bool:
    """Say whether cash or tokens cover the order, with what it would take at once."""
    pocket = market.pockets[resting.order.leg]
    need = pocket.need(resting, taking)
    return need is not None and need <= pocket.purse.free


def _no_funds(market: PaperMarket, resting: QueuedOrder, taking: list[tuple[int, int]]) -> Refusal:
    """Return the refusal of an order that is not covered."""
    pocket = market.pockets[resting.order.leg]
    need = pocket.need(resting, taking)
    if need is None:
        held = pocket.holding
        return rules.no_tokens(held.settled, held.reserved, resting.order.size)
    return rules.no_cash(pocket.purse, need)
