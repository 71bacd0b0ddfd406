"""One instrument as the paper venue sees it: the recorded book, and our orders beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from engine.domain.books import Book
from engine.domain.events import BookChanged, TradePrinted
from engine.domain.instruments import Instrument, Leg, Side
from engine.domain.orders import AT_ONCE, Identity, Order, RejectReason
from engine.errors import BadInput
from engine.runtime import refusals
from engine.runtime.refusals import Refusal
from engine.venues.paper.account import LegFunds, PaperHolding, Wallet
from engine.venues.paper.queue import OwnLevel, QueuedOrder

_BUY, _SELL = Side.BUY, Side.SELL


class PaperMarket:
    """The recorded book of one instrument, what we took from it, and where our orders stand.

    The book is the venue's own, or one that somebody else keeps and has brought up to date before
    an event arrives here. `taken` holds per side and level what is displayed but gone: our own
    taker fills and printed volume, until any event sets the level's size again. Its keys are levels
    of the book.
    """

    def __init__(self, instrument: Instrument, wallet: Wallet, book: Book | None = None) -> None:
        self.instrument = instrument
        self.wallet = wallet
        legs = instrument.product.legs
        self.funds = {leg: LegFunds(instrument, wallet, PaperHolding()) for leg in legs}
        self.book = Book() if book is None else book
        self.bids: dict[int, OwnLevel] = {}
        self.asks: dict[int, OwnLevel] = {}
        self.taken_bids: dict[int, int] = {}
        self.taken_asks: dict[int, int] = {}
        self.snapshot = False
        self.torn = False
        self.closed = False
        self.payout_yes_micro: int | None = None

    def relist(self, instrument: Instrument) -> None:
        """Take new metadata (tick, fees); units and currency never change."""
        self.instrument = instrument
        for funds in self.funds.values():
            funds.relist(instrument)

    @property
    def idle(self) -> bool:
        """True where trading is over, nothing is open and nothing is held."""
        if not self.closed or self.bids or self.asks:
            return False
        return all(funds.holding.empty for funds in self.funds.values())

    @property
    def ready(self) -> bool:
        """True where there is a book to stand in: a snapshot, or changes, and nothing torn."""
        if self.torn:
            return False
        return self.snapshot or bool(self.book.bid_prices or self.book.ask_prices)

    # -- pairs -------------------------------------------------------------------------------------

    def pairs_micro(self, size: int) -> int:
        """Return what so many pairs of both legs are worth in micro-units."""
        return self.instrument.product.pair_micro(size) or 0

    def convert(self, size: int) -> bool:
        """Split cash into `size` pairs, or merge −`size` pairs. False = not enough is free."""
        wallet = self.wallet
        holdings = [funds.holding for funds in self.funds.values()]
        if self.payout_yes_micro is not None or wallet.free < self.pairs_micro(size):
            return False
        if any(held.settled - held.reserved + size < 0 for held in holdings):
            return False
        wallet.cash += self.pairs_micro(-size) if size < 0 else -self.pairs_micro(size)
        for held in holdings:
            held.settled += size
        return True

    # -- our orders in the book --------------------------------------------------------------------

    def enqueue(self, resting: QueuedOrder) -> None:
        """Put an order into its level, behind everything displayed there now."""
        price, book = resting.price, self.book
        levels, shown = (self.bids, book.bids) if resting.bid else (self.asks, book.asks)
        level = levels.get(price)
        if level is None:
            level = levels[price] = OwnLevel(displayed=shown.get(price, 0))
        resting.ahead = level.displayed
        level.orders.append(resting)

    def dequeue(self, resting: QueuedOrder) -> None:
        levels, price = self.bids if resting.bid else self.asks, resting.price
        level = levels.get(price)
        if level is None or resting not in level.orders:
            return
        orders = level.orders
        orders.remove(resting)
        if not orders:
            del levels[price]

    # -- the opposite side -------------------------------------------------------------------------

    def crosses(self, resting: QueuedOrder) -> bool:
        """Say whether the order's price reaches the best displayed opposite price."""
        prices = self.book.ask_prices if resting.bid else self.book.bid_prices
        if not prices:
            return False
        return prices[0] <= resting.price if resting.bid else prices[-1] >= resting.price

    def takeable(self, resting: QueuedOrder) -> list[tuple[int, int]]:
        """Return the (YES-space price, size) fills a taker would get now, best price first.

        None of a torn book, on which an order may come that the venue had held back: what it still
        displays may not be there.
        """
        if self.torn:
            return []
        book = self.book
        if resting.bid:
            levels, prices, taken = book.asks, book.ask_prices, self.taken_asks
        else:
            levels, prices, taken = book.bids, book.bid_prices[::-1], self.taken_bids
        fills = []
        left = resting.remaining
        for price in prices:
            if not left or (price > resting.price if resting.bid else price < resting.price):
                break
            size = min(left, levels[price] - taken.get(price, 0))
            if size > 0:
                fills.append((price, size))
                left -= size
        return fills

    def take(self, resting: QueuedOrder, price: int, size: int) -> None:
        taken = self.taken_asks if resting.bid else self.taken_bids
        taken[price] = taken.get(price, 0) + size

    # -- the feed ----------------------------------------------------------------------------------

    def changed(self, event: BookChanged, percent: int, now_ns: int) -> None:
        """Take level changes: queues move where we stand, taken size is refreshed."""
        bids, asks = self.bids, self.asks
        taken = self.taken_bids or self.taken_asks
        for side, price, size in event.changes:
            own = bids if side is _BUY else asks
            if price in own:
                own[price].shown(size, percent, now_ns)
            if taken:
                (self.taken_bids if side is _BUY else self.taken_asks).pop(price, None)

    def replaced(self, percent: int, now_ns: int) -> None:
        """Take a snapshot: for our levels it is one more change; all taken size is refreshed."""
        for own, levels in ((self.bids, self.book.bids), (self.asks, self.book.asks)):
            for price, level in own.items():
                level.shown(levels.get(price, 0), percent, now_ns)
        self.taken_bids.clear()
        self.taken_asks.clear()
        self.snapshot = True
        self.torn = False

    def clear(self) -> None:
        self.book = Book()
        self.taken_bids.clear()
        self.taken_asks.clear()

    def printed(self, side_hit: Side, price: int, size: int) -> None:
        """Note that printed volume is gone from a displayed level until the level is refreshed."""
        book = self.book
        if side_hit is _BUY:
            levels, taken = book.bids, self.taken_bids
        else:
            levels, taken = book.asks, self.taken_asks
        if price in levels:
            taken[price] = taken.get(price, 0) + size

    def overtaken(self, side_hit: Side, price: int) -> dict[int, OwnLevel] | None:
        """Return our levels on the other side, where a displayed level was hit that crosses them.

        Almost always None, and then it costs one comparison.
        """
        if side_hit is Side.BUY:
            own, shown, crossed = self.asks, self.book.bids, self.asks and min(self.asks) <= price
        else:
            own, shown, crossed = self.bids, self.book.asks, self.bids and max(self.bids) >= price
        return own if crossed and price in shown else None

    def side_hit(self, event: TradePrinted) -> Side | None:
        """Return the side of the book a print hit; None = it is unknown.

        With a known aggressor it is the other side. Without one, the evidence is where a level
        stood before the print (the print precedes the change it caused): only a bid at the price
        means that a seller hit it, only an ask that a buyer lifted it. Our own level counts as
        evidence like a displayed one: a trade at our price, with nothing displayed against us
        there, needs somebody who arrived later on the other side, and he would have met us first.
        Both sides, or neither, prove nothing.
        """
        if event.aggressor is not None:
            return _SELL if event.aggressor is _BUY else _BUY
        price = event.price
        bid = price in self.book.bids or price in self.bids
        ask = price in self.book.asks or price in self.asks
        if bid == ask:
            return None
        return Side.BUY if bid else Side.SELL


class Owned(NamedTuple):
    """What an account's own books say it holds in one instrument, everything settled."""

    instrument: Instrument
    payout_yes_micro: int | None
    """None = not resolved."""
    tokens: Mapping[Leg, int]
    """By leg."""
    dust: int = 0
    """In units of the traded asset, as fees in it left them."""
    cost: int = 0
    """What a signed position was opened for, as the venue nets it."""


def restored_market(one: Owned, wallet: Wallet) -> PaperMarket:
    """Return a market with what is owned there. Raises BadInput for a short of what is paid for."""
    signed = one.instrument.product.signed
    if not signed and min(one.tokens.values(), default=0) < 0:
        raise BadInput(
            f"{one.instrument.id}: a short of what is paid for cannot be brought back by a paper "
            "account; close it by an account of its own"
        )
    market = PaperMarket(one.instrument, wallet)
    market.payout_yes_micro = one.payout_yes_micro
    market.closed = one.payout_yes_micro is not None
    for leg, funds in market.funds.items():
        funds.holding.settled = one.tokens[leg]
        funds.holding.dust = one.dust
        if signed:
            funds.restore(one.cost)
    return market


# -- The venue's own rejections, with Polymarket's exact texts -------------------------------------
# Checked in the venue's order: market, payload, tick, minimum, amounts, marketable minimum, expiry,
# duplicate, balance, crossing. Linear venues are answered with the same sentences.

CANCEL_DELAYED = "order can't be found - already canceled or matched"
NO_BALANCE_LEFT = "CANCELED_NOT_ENOUGH_BALANCE"
NOT_RESOLVED = "the market is not resolved"
MARKET_RESOLVED = "CANCELED_MARKET_RESOLVED"
MARKET_CLOSED = "CANCELED_MARKET_NOT_FOUND"
TICK_CHANGED = "INVALID"


def refuse(order: Order, instrument: Instrument) -> RejectReason | None:
    """Return why the order's own fields are illegal, or None. `in_words` says it."""
    size, price, tick, product = order.size, order.price, instrument.tick, instrument.product
    if order.leg not in product.legs or size <= 0:
        return RejectReason.OTHER
    if order.type in AT_ONCE and order.post_only:
        return RejectReason.OTHER
    if price % tick or not tick <= price <= product.top:
        return RejectReason.OFF_TICK
    if size < instrument.size_min and not order.reduce_only:
        return RejectReason.BELOW_MIN
    return RejectReason.OTHER if size % instrument.lot else None


def in_words(
    reason: RejectReason | None, order: Order, identity: Identity, instrument: Instrument
) -> Refusal:
    """Return what `refuse` found, with the venue's sentence."""
    if reason is RejectReason.OFF_TICK:
        return refusals.off_tick(identity, instrument, order.price)
    if reason is RejectReason.BELOW_MIN:
        return refusals.below_min(identity, instrument, order.size)
    odd = order.size % instrument.lot
    return RejectReason.OTHER, refusals.BAD_DECIMALS if odd else refusals.BAD_PAYLOAD


def refuse_small(order: Order, instrument: Instrument, *, takes: bool) -> Refusal | None:
    """Return why a marketable BUY, or any order of a linear thing, is worth too little, or None.

    A reduce-only order may be worth anything (Binance -4164, linear.md §1.2).
    """
    if order.reduce_only:
        return None
    least = instrument.notional_min_micro
    if instrument.resting_min_micro:
        value = instrument.proceeds_micro(order.price, order.size)
        return refusals.below_value(value, least) if value < least else None
    if not least or not takes or order.side is Side.SELL:
        return None
    value = instrument.cost_micro(order.price, order.size)
    return refusals.too_small(value, least) if value < least else None
