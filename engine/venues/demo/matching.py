"""Price-time matching of one market: one book of levels, mirrored for NO where there is one.

A bid is BUY YES at p or SELL NO at 1 − p; an ask is SELL YES at p or BUY NO at 1 − p. Who meets
whom decides the form of settlement (transfer, mint, merge), which is the ledger's affair: here
only levels and turns count. Matches happen at the resting order's price, so that an improvement is
the taker's (polymarket.md §5.1). A customer may meet itself: the venue documents no prevention.

Work per resting, removed or matched order: O(log levels), plus moving a short array of prices.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict

from engine.domain.books import Level
from engine.domain.instruments import Leg, Side
from engine.errors import BrokenInvariant
from engine.venues.demo.orders import RestingOrder

Match = tuple[RestingOrder, int]
"""(resting order, size) in the order in which they matched."""


def yes_level(leg: Leg, price: int, one: int) -> int:
    """Return an order's price as a level: in YES-space, or as it is where there is one leg."""
    return one - price if leg is Leg.NO else price


class Queue:
    """The orders of one level, oldest first, and their total size."""

    __slots__ = ("orders", "size")

    def __init__(self) -> None:
        # An OrderedDict gives the oldest in O(1) after any number of removals at the front;
        # a plain dict would walk over the holes they leave.
        self.orders: OrderedDict[int, RestingOrder] = OrderedDict()
        self.size = 0


class MatchingBook:
    """One market's resting orders. `changes` collects touched levels until somebody takes them."""

    __slots__ = ("ask_prices", "asks", "bid_prices", "bids", "changes", "count", "turn")

    def __init__(self) -> None:
        self.bids: dict[int, Queue] = {}
        self.asks: dict[int, Queue] = {}
        self.bid_prices: list[int] = []
        self.ask_prices: list[int] = []
        self.changes: list[tuple[Side, int, int]] = []
        self.count = 0
        self.turn = 0

    @property
    def best_bid(self) -> int | None:
        """Highest bid in YES-space, None where there is none."""
        return self.bid_prices[-1] if self.bid_prices else None

    @property
    def best_ask(self) -> int | None:
        """Lowest ask in YES-space, None where there is none."""
        return self.ask_prices[0] if self.ask_prices else None

    def crosses(self, bid: bool, level: int) -> bool:
        """Say whether an order at this level would match at once."""
        if bid:
            return bool(self.ask_prices) and level >= self.ask_prices[0]
        return bool(self.bid_prices) and level <= self.bid_prices[-1]

    def available(self, bid: bool, level: int, size: int) -> int:
        """Return how much of `size` would match at once. Changes nothing."""
        found = 0
        levels = self.asks if bid else self.bids
        for price in self.ask_prices if bid else reversed(self.bid_prices):
            if found >= size or ((price > level) if bid else (price < level)):
                break
            found += levels[price].size
        return min(found, size)

    def preview(self, bid: bool, level: int, size: int) -> list[Level]:
        """Return the (price, size) matches an order would have, one per resting order."""
        found: list[Level] = []
        levels = self.asks if bid else self.bids
        for price in self.ask_prices if bid else reversed(self.bid_prices):
            if (price > level) if bid else (price < level):
                break
            for order in levels[price].orders.values():
                if size <= 0:
                    return found
                found.append((price, min(size, order.remaining)))
                size -= order.remaining
        return found

    def match(self, taker: RestingOrder) -> list[Match]:
        """Match an incoming order against the book, best price and oldest order first."""
        matches: list[Match] = []
        bid, limit = taker.bid, taker.level
        if bid:
            side, levels, prices, best = Side.SELL, self.asks, self.ask_prices, 0
        else:
            side, levels, prices, best = Side.BUY, self.bids, self.bid_prices, -1
        while taker.remaining and prices:
            price = prices[best]
            if (price > limit) if bid else (price < limit):
                break
            queue = levels[price]
            self._consume(taker, queue, matches)
            self.changes.append((side, price, queue.size))
            if not queue.size:
                del levels[price]
                del prices[best]
        return matches

    def _consume(self, taker: RestingOrder, queue: Queue, matches: list[Match]) -> None:
        orders = queue.orders
        wanted = taker.remaining
        while wanted and orders:
            maker = next(iter(orders.values()))
            size = min(maker.remaining, wanted)
            wanted -= size
            queue.size -= size
            maker.remaining -= size
            if not maker.remaining:
                orders.popitem(last=False)
                self.count -= 1
            matches.append((maker, size))
        taker.remaining = wanted

    def rest(self, order: RestingOrder) -> None:
        """Queue an order at its level, behind those already there. It must not cross."""
        if self.crosses(order.bid, order.level):
            raise BrokenInvariant(f"order {order.identity} would cross the book it is to rest in")
        self.turn += 1
        order.priority = self.turn
        self._queue(order)

    def _queue(self, order: RestingOrder) -> None:
        if order.bid:
            side, levels, prices = Side.BUY, self.bids, self.bid_prices
        else:
            side, levels, prices = Side.SELL, self.asks, self.ask_prices
        level = order.level
        queue = levels.get(level)
        if queue is None:
            queue = levels[level] = Queue()
            insort(prices, level)
        queue.orders[order.number] = order
        queue.size += order.remaining
        self.count += 1
        self.changes.append((side, level, queue.size))

    def remove(self, order: RestingOrder) -> None:
        if order.bid:
            side, levels, prices = Side.BUY, self.bids, self.bid_prices
        else:
            side, levels, prices = Side.SELL, self.asks, self.ask_prices
        level = order.level
        queue = levels[level]
        del queue.orders[order.number]
        queue.size -= order.remaining
        self.count -= 1
        self.changes.append((side, level, queue.size))
        if not queue.orders:
            del levels[level]
            del prices[bisect_left(prices, level)]

    def take_changes(self) -> tuple[tuple[Side, int, int], ...]:
        """Return the levels touched since the last call, with their sizes now."""
        changes = tuple(self.changes)
        self.changes.clear()
        return changes

    def depth(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Return all bids and all asks as (price, size), best first."""
        bids = tuple((price, self.bids[price].size) for price in reversed(self.bid_prices))
        return bids, tuple((price, self.asks[price].size) for price in self.ask_prices)

    def resting(self) -> list[RestingOrder]:
        """Return every resting order in the order of their turns."""
        orders = [
            order
            for levels in (self.bids, self.asks)
            for queue in levels.values()
            for order in queue.orders.values()
        ]
        orders.sort(key=lambda order: order.priority)
        return orders

    def load(self, orders: list[RestingOrder], turn: int) -> None:
        """Take back what `resting` gave, and the last turn."""
        for order in orders:
            self._queue(order)
        self.changes.clear()
        self.turn = turn
