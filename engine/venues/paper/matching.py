"""The matching of the paper venue: open orders, fills, settlement, markets that open and close.

Every method happens *now* at the venue and returns the events it caused, in order. The caller
(`core`) decides when a request arrives and when its events are received.

Where the book moves through a resting order without a print (best ask at or below our bid), nothing
fills: maker fills need taped volume at or through the price, whatever the model. The first print
there fills, whoever asked for it: `queue.overtaken`. Prints are facts
and fill resting orders even while the book is torn; new orders wait for a snapshot. Own orders do
not meet each other: they are not in the recorded book, and law F keeps them apart.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from itertools import islice

import msgspec
from msgspec import UNSET, UnsetType

from engine.domain.assets import Money
from engine.domain.books import Book
from engine.domain.effects import (
    AnyWalletEffect,
    ApproveTrading,
    QueryFills,
    RedeemTokens,
    SplitCash,
)
from engine.domain.events import (
    BalancesListed,
    FillSettled,
    FillsListed,
    OpenOrdersListed,
    OperationMoved,
    OperationState,
    OrderCancelled,
    OrderFilled,
    OrderNotFound,
    OrderReported,
    PairsConverted,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    TokensRedeemed,
    TradePrinted,
    VenueEvent,
)
from engine.domain.fills import FillId, FillState, Liquidity, SizeSource
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Side
from engine.domain.orders import CancelReason, Identity, Order, OrderId, OrderReport, OrderState
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.binary import pays_micro
from engine.errors import BrokenInvariant
from engine.runtime import refusals
from engine.venues.paper.account import LegFunds, Wallet
from engine.venues.paper.market import (
    MARKET_CLOSED,
    MARKET_RESOLVED,
    NO_BALANCE_LEFT,
    NOT_RESOLVED,
    TICK_CHANGED,
    PaperMarket,
)
from engine.venues.paper.queue import QueuedOrder, all_reached, allot, overtaken
from engine.venues.paper.settings import NS_PER_MS, FillModel, PaperSettings

# What is still to happen: a heap of moments, ties broken by the order in which they were made.

AGENDA_MAX = 200_000
"""Most things under way at once; more means that no caller lets time pass."""


class PaperDue(IntEnum):
    """What happens at a moment."""

    ARRIVES = 0
    """A request reaches the venue."""
    MATCHES = 1
    """A delayed marketable order is matched."""
    EXPIRES = 2
    """A GTD order reaches its end."""
    SETTLES = 3
    """A fill is confirmed."""
    DELIVERS = 4
    """An answer or event reaches us."""


class PaperAgenda:
    """Moments in time order; of equal moments, first made, first served."""

    __slots__ = ("_made", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, PaperDue, object]] = []
        self._made = 0

    def push(self, at_ns: int, due: PaperDue, what: object) -> None:
        if len(self.heap) >= AGENDA_MAX:
            raise BrokenInvariant(f"more than {AGENDA_MAX} things under way at the paper venue")
        self._made += 1
        heapq.heappush(self.heap, (at_ns, self._made, due, what))


# -- The matching of the paper venue: open orders, fills, settlement, markets that open and close --

_BUY = Side.BUY
_PARTIAL, _FILLED, _CANCELLED = OrderState.PARTIAL, OrderState.FILLED, OrderState.CANCELLED
_MAKER, _UNKNOWN = Liquidity.MAKER, SizeSource.UNKNOWN
_CONFIRMED = FillState.CONFIRMED

MARKETS_MAX = 20_000
ENDED_MAX = 10_000
"""How many ended orders the venue still knows; lower ids than the forgotten are duplicates."""
FILLS_MAX = 20_000
"""How many fills can still be asked for."""
REDEMPTIONS_MAX = 10_000
"""How many redemptions can still be asked for; each is also reported when it happens."""


class Matching:
    """One account's orders over the recorded books."""

    def __init__(
        self,
        account: AccountId,
        settings: PaperSettings,
        agenda: PaperAgenda,
        book_of: Callable[[InstrumentId], Book | None],
    ) -> None:
        self.account = account
        self._book_of = book_of
        self._model = settings.model
        self._settle_ns = settings.settle_delay_ms * NS_PER_MS
        self._agenda = agenda
        self.markets: dict[InstrumentId, PaperMarket] = {}
        self.wallets = {name: Wallet(cash) for name, cash in settings.starting_micro().items()}
        self.open: dict[OrderId, QueuedOrder] = {}
        self.ended: dict[OrderId, QueuedOrder] = {}
        self.forgotten_max = 0
        """Highest id among the ended orders that were forgotten."""
        self.fills: deque[tuple[int, OrderFilled]] = deque()
        """Each fill and when it matched."""
        self.fills_dropped_ns = -1
        """Time of the newest fill that can no longer be asked for; -1 = none was dropped."""
        self.fill_count = 0
        self.unsettled: dict[FillId, tuple[LegFunds, int, int]] = {}
        """What matched fills still bring: (to whom, tokens, cash in micro-units)."""
        self.redemptions: deque[TokensRedeemed] = deque(maxlen=REDEMPTIONS_MAX)
        self.conversions: deque[PairsConverted] = deque(maxlen=REDEMPTIONS_MAX)
        self.fundings: deque[FundingPaid] = deque(maxlen=REDEMPTIONS_MAX)
        self.liquidations: deque[PositionLiquidated] = deque(maxlen=REDEMPTIONS_MAX)

    def identity(self, order: OrderId) -> Identity:
        """Return the venue's name of an order: f(account, id), nothing else."""
        return Identity(f"paper-{self.account}-{order}")

    def funds(self, order: Order) -> LegFunds:
        return self.markets[order.instrument].funds[order.leg]

    # -- fills -------------------------------------------------------------------------------------

    def printed(self, market: PaperMarket, event: TradePrinted, now_ns: int) -> list[VenueEvent]:
        """Fill what a print reaches; the recorded book follows with its own change."""
        size = event.size
        if size is None or event.source is _UNKNOWN:
            return self._printed_unknown(market, event, now_ns)
        hit = market.side_hit(event)
        if hit is None:
            if self._model is not FillModel.OPTIMISTIC:
                return []
            fills = allot(market.bids, event.price, size, now_ns, bids=True)
            size -= sum(part for _, part in fills)
            fills += allot(market.asks, event.price, size, now_ns, bids=False)
            return self._make(market, fills, event.source, now_ns)
        # Looked up before the print is noted: what a print hit stood in the book until now.
        behind = market.overtaken(hit, event.price)
        market.printed(hit, event.price, size)
        bids = hit is _BUY
        own = market.bids if bids else market.asks
        fills = allot(own, event.price, size, now_ns, bids=bids) if own else []
        if behind:
            size -= sum(part for _, part in fills)
            fills += overtaken(behind, event.price, size, bids=not bids)
        return self._make(market, fills, event.source, now_ns) if fills else []

    def _printed_unknown(
        self, market: PaperMarket, event: TradePrinted, now_ns: int
    ) -> list[VenueEvent]:
        """Count nothing for a print of unknown size; the optimist fills all it reaches."""
        if self._model is not FillModel.OPTIMISTIC:
            return []
        hit = market.side_hit(event)
        fills: list[tuple[QueuedOrder, int]] = []
        if hit is not Side.SELL:
            fills += all_reached(market.bids, event.price, bids=True)
        if hit is not Side.BUY:
            fills += all_reached(market.asks, event.price, bids=False)
        return self._make(market, fills, SizeSource.UNKNOWN, now_ns)

    def _make(
        self,
        market: PaperMarket,
        fills: list[tuple[QueuedOrder, int]],
        source: SizeSource,
        now_ns: int,
    ) -> list[VenueEvent]:
        """Book maker fills at the orders' own prices."""
        events: list[VenueEvent] = []
        for resting, size in fills:
            order = resting.order
            funds = market.funds[order.leg]
            if order.reduce_only and size > funds.against(order.side):
                continue  # `end_opening` takes it away
            fee = market.instrument.maker_fee_micro(order.price, size)
            if not funds.affords(order.side, funds.money(order.side, order.price, size, fee)):
                events.append(self.cancel(resting, CancelReason.NO_FUNDS, NO_BALANCE_LEFT))
                continue
            funds.use(resting, size)
            events.append(
                self.fill(
                    resting,
                    now_ns,
                    price=order.price,
                    size=size,
                    fee_micro=fee,
                    liquidity=_MAKER,
                    source=source,
                )
            )
            if resting.remaining:
                resting.state = _PARTIAL
            else:
                self.finish(resting, _FILLED)
        return events + self.end_opening(market)

    def end_opening(self, market: PaperMarket) -> list[VenueEvent]:
        """End reduce-only orders that could open a signed position now."""
        if not market.instrument.product.signed:
            return []
        opening = [
            resting
            for resting in self._orders_of(market.instrument.id)
            if resting.order.reduce_only
            and resting.remaining > market.funds[resting.order.leg].against(resting.order.side)
        ]
        return [self.cancel(one, CancelReason.VENUE, refusals.WOULD_OPEN) for one in opening]

    def fill(
        self,
        resting: QueuedOrder,
        now_ns: int,
        *,
        price: int,
        size: int,
        fee_micro: int,
        liquidity: Liquidity,
        source: SizeSource,
    ) -> OrderFilled:
        """Book one fill at a price of the order's leg; holds were released before."""
        order = resting.order
        market = self.markets[order.instrument]
        funds = market.funds[order.leg]
        if size <= 0 or size > resting.remaining:
            raise BrokenInvariant(f"fill of {size} on {resting.remaining} open of order {order.id}")
        linear = market.instrument.product.second is None
        at_once = linear or not self._settle_ns
        fee: Money | UnsetType = UNSET
        moved = size
        if order.side is Side.BUY and market.instrument.fees.of_received is not UNSET:
            kind = market.instrument.fee_in_kind(size, maker=liquidity is _MAKER)
            if kind is not None:
                fee_micro, moved, fee = 0, funds.left(size, kind), kind
        money = funds.money(order.side, price, size, fee_micro)
        tokens, cash = funds.fill(order.side, moved, money, at_once=at_once, fee_micro=fee_micro)
        resting.remaining -= size
        self.fill_count += 1
        event = OrderFilled(
            account=self.account,
            order=order.id,
            fill=FillId(f"paper-{self.account}-f{self.fill_count}"),
            price=price,
            size=size,
            fee_micro=fee_micro,
            liquidity=liquidity,
            state=FillState.CONFIRMED if at_once else FillState.MATCHED,
            source=source,
            fee=fee,
            matched_ns=now_ns if linear and market.instrument.product.signed else UNSET,
        )
        if len(self.fills) >= FILLS_MAX:
            self.fills_dropped_ns, _ = self.fills.popleft()
        self.fills.append((now_ns, event))
        if not at_once:
            self.unsettled[event.fill] = funds, tokens, cash
            self._agenda.push(now_ns + self._settle_ns, PaperDue.SETTLES, event.fill)
        return event

    def settle(self, fill: FillId) -> FillSettled:
        funds, tokens, cash = self.unsettled.pop(fill)
        funds.settle(tokens, cash)
        return FillSettled(account=self.account, fill=fill)

    # -- ends --------------------------------------------------------------------------------------

    def finish(self, resting: QueuedOrder, state: OrderState) -> None:
        """End an order: out of the book, holds released, remembered for questions."""
        order = resting.order
        number, market = order.id, self.markets[order.instrument]
        market.dequeue(resting)
        market.funds[order.leg].release(resting)
        resting.state = state
        self.open.pop(number, None)
        self.ended[number] = resting
        if len(self.ended) > ENDED_MAX:
            self._forget_ended()

    def _forget_ended(self) -> None:
        """Forget the older half: one by one would search past every gap at the dict's front."""
        oldest = list(islice(self.ended, ENDED_MAX // 2))
        self.forgotten_max = max(self.forgotten_max, *oldest)
        for number in oldest:
            del self.ended[number]

    def cancel(self, resting: QueuedOrder, reason: CancelReason, text: str = "") -> OrderCancelled:
        self.finish(resting, _CANCELLED)
        return OrderCancelled(
            account=self.account, order=resting.order.id, reason=reason, venue_text=text
        )

    def knows(self, order: OrderId) -> bool:
        return order in self.open or order in self.ended or order <= self.forgotten_max

    # -- markets -----------------------------------------------------------------------------------

    def listed(self, instrument: Instrument) -> list[VenueEvent]:
        """Take an instrument, or its new metadata; orders off a new tick are cancelled."""
        market = self.markets.get(instrument.id)
        if market is None:
            if len(self.markets) >= MARKETS_MAX:
                self._forget_one()
            wallet = self.wallets.setdefault(instrument.currency, Wallet())
            book = self._book_of(instrument.id)
            self.markets[instrument.id] = PaperMarket(instrument, wallet, book)
            return []
        market.relist(instrument)
        return [
            self.cancel(resting, CancelReason.TICK_CHANGED, TICK_CHANGED)
            for resting in self._orders_of(instrument.id)
            if resting.order.price % instrument.tick
        ]

    def _forget_one(self) -> None:
        settling = {funds.instrument.id for funds, _, _ in self.unsettled.values()}
        for name, market in self.markets.items():
            if market.idle and name not in settling:
                del self.markets[name]
                for gone in [k for k, r in self.ended.items() if r.order.instrument == name]:
                    del self.ended[gone]
                    self.forgotten_max = max(self.forgotten_max, gone)
                return
        raise BrokenInvariant(f"more than {MARKETS_MAX} instruments are alive at the paper venue")

    def _orders_of(self, instrument: InstrumentId) -> list[QueuedOrder]:
        return [r for r in self.open.values() if r.order.instrument == instrument]

    def closed(
        self, market: PaperMarket, reason: CancelReason = CancelReason.MARKET_CLOSED
    ) -> list[VenueEvent]:
        """End trading in a market: everything open is cancelled, the book is dropped."""
        resolved = reason is CancelReason.MARKET_RESOLVED
        text = MARKET_RESOLVED if resolved else MARKET_CLOSED
        events: list[VenueEvent] = [
            self.cancel(resting, reason, text) for resting in self._orders_of(market.instrument.id)
        ]
        market.closed = True
        market.clear()
        return events

    def resolved(self, market: PaperMarket, payout_yes_micro: int) -> list[VenueEvent]:
        """Cancel what is open; tokens stay what they are until they are redeemed."""
        events = self.closed(market, CancelReason.MARKET_RESOLVED)
        if market.payout_yes_micro is not None and market.payout_yes_micro != payout_yes_micro:
            raise BrokenInvariant(f"{market.instrument.id} was resolved twice, differently")
        market.payout_yes_micro = payout_yes_micro
        return events

    def operate(self, asked: AnyWalletEffect, now_ns: int) -> list[VenueEvent]:
        """Do an operation of the wallet at once, as one transaction."""
        name = f"paper-{now_ns}-{asked.operation}"
        moved = OperationMoved(
            account=self.account,
            operation=asked.operation,
            state=OperationState.CONFIRMED,
            transaction=name,
            on_chain=name,
        )
        if isinstance(asked, ApproveTrading):
            return [moved]  # this venue needs no approval
        if isinstance(asked, RedeemTokens):
            return self._redeem(asked, moved, now_ns)
        market = self.markets.get(asked.instrument)
        size = asked.size if isinstance(asked, SplitCash) else -asked.size
        pairs = market is not None and market.instrument.product.second is not None
        if market is None or not pairs or not market.convert(size):
            reason = "there is not enough that is free, or the market is resolved"
            failed = OperationState.FAILED
            return [msgspec.structs.replace(moved, state=failed, reason=reason)]
        converted = PairsConverted(
            account=self.account,
            transaction=name,
            instrument=asked.instrument,
            size=size,
            amount_micro=market.pairs_micro(abs(size)),
            at_ns=now_ns,
        )
        self.conversions.append(converted)
        return [converted, moved]

    def _redeem(self, asked: RedeemTokens, moved: OperationMoved, now_ns: int) -> list[VenueEvent]:
        """Pay a resolved market's settled tokens."""
        market = self.markets.get(asked.instrument)
        payout = None if market is None else market.payout_yes_micro
        if market is None or payout is None or market.instrument.product.second is None:
            failed = OperationState.FAILED
            return [msgspec.structs.replace(moved, state=failed, reason=NOT_RESOLVED)]
        first, second = market.instrument.product.legs
        yes, paid_yes = market.funds[first].redeem(pays_micro(first, payout))
        no, paid_no = market.funds[second].redeem(pays_micro(second, payout))
        if not (yes or no):
            return [moved]
        redeemed = TokensRedeemed(
            account=self.account,
            transaction=moved.transaction,
            instrument=asked.instrument,
            yes=yes,
            no=no,
            amount_micro=paid_yes + paid_no,
            at_ns=now_ns,
        )
        self.redemptions.append(redeemed)
        return [redeemed]

    # -- answers to questions, as the venue would give them; nothing changes -----------------------

    def order_answer(self, asked: OrderId) -> OrderReported | OrderNotFound:
        """Report an order that lives or lived; a rejected or unarrived one is not found."""
        resting = self.open.get(asked) or self.ended.get(asked)
        if resting is None:
            return OrderNotFound(account=self.account, order=asked)
        return OrderReported(account=self.account, report=self._report(resting))

    def open_orders_answer(self) -> OpenOrdersListed:
        """List everything that lives, held marketable orders included, by id."""
        reports = tuple(self._report(self.open[order]) for order in sorted(self.open))
        return OpenOrdersListed(account=self.account, orders=reports)

    def fills_answer(self, since_ns: int) -> FillsListed | QueryFailed:
        """List the fills matched at or after a time, each with its present state.

        Where some of them are no longer kept, the question fails: a part is not an answer (law Q).
        """
        if since_ns <= self.fills_dropped_ns:
            return QueryFailed(
                account=self.account,
                question=QueryFills.__name__,
                order=None,
                reason=f"fills up to {self.fills_dropped_ns} ns are no longer kept",
            )
        found = []
        for at_ns, event in reversed(self.fills):
            if at_ns < since_ns:
                break
            if event.state is not _CONFIRMED and event.fill not in self.unsettled:
                found.append(msgspec.structs.replace(event, state=_CONFIRMED))
            else:
                found.append(event)
        return FillsListed(account=self.account, since_ns=since_ns, fills=tuple(reversed(found)))

    def balances_answer(self) -> list[VenueEvent]:
        """List cash and settled holdings; what open orders hold back still counts in both.

        Matched buys have left the cash, matched sells have left the holdings; what they bring is
        missing until it is confirmed.
        """
        cash = {currency: wallet.cash for currency, wallet in sorted(self.wallets.items())}
        holdings = tuple(
            (instrument, leg, funds.holding.settled)
            for instrument, market in self.markets.items()
            for leg, funds in market.funds.items()
            if funds.holding.settled
        )
        return [
            BalancesListed(account=self.account, cash_micro=cash),
            PositionsListed(account=self.account, holdings=holdings),
        ]

    def redemptions_answer(self, since_ns: int) -> RedemptionsListed:
        """List what the venue moved by itself or for the wallet's tokens at or after a time."""
        return RedemptionsListed(
            account=self.account,
            since_ns=since_ns,
            redemptions=tuple(one for one in self.redemptions if one.at_ns >= since_ns),
            conversions=tuple(one for one in self.conversions if one.at_ns >= since_ns),
            fundings=tuple(one for one in self.fundings if one.stamp_ns >= since_ns),
            liquidations=tuple(one for one in self.liquidations if one.at_ns >= since_ns),
        )

    def _report(self, resting: QueuedOrder) -> OrderReport:
        order = resting.order
        return OrderReport(
            identity=self.identity(order.id),
            order=order.id,
            ours=True,
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=order.price,
            size=order.size,
            filled=resting.filled,
            state=resting.state,
        )
