"""A naive maker on the demo exchange: what resting at the touch earns when nobody thinks.

It keeps the smallest legal quote at best bid and best ask of the running market, renewed each
second. Its markouts tell whether the exchange punishes stale quotes as a real venue does: real
makers report them negative (adverse selection).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from engine.domain.instruments import AccountId, Leg, Side
from engine.domain.orders import Identity
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import Filled, StandingOrder, Ticket

NAIVE = AccountId("naive-maker")
CASH_MICRO = 1_000_000_000_000
MARKOUT_S = 5


class NaiveMaker:
    """Quotes at the touch; call `second` once per second of the exchange's time."""

    def __init__(self, exchange: DemoExchange) -> None:
        self._exchange = exchange
        self._count = 0
        self._orders: dict[Identity, tuple[ExchangeMarket, bool, int]] = {}
        """Ours → (market, bid, level)."""
        self._fills: deque[tuple[int, ExchangeMarket, bool, int]] = deque()
        self.markouts: list[float] = []
        """Mid after five seconds less the price paid, in cents a share; of sales the other way."""
        exchange.open_account(NAIVE, CASH_MICRO)

    def second(self, now_ns: int, second: int) -> None:
        """Look at what was filled, mark what is old enough, quote anew.

        A fill counts whether it took the quote in part or wholly: the whole ones are those that
        went on through it, and they are the bad ones.
        """
        filled = {
            report.identity: None
            for _, report in self._exchange.take(NAIVE)
            if isinstance(report, Filled)
        }
        self._fills.extend((second, *self._orders[identity]) for identity in filled)
        while self._fills and self._fills[0][0] <= second - MARKOUT_S:
            self._mark(*self._fills.popleft()[1:])
        self._exchange.cancel_all(NAIVE, now_ns)
        self._orders.clear()
        for market in list(self._exchange.desk.markets.values()):
            terms = market.instrument
            if market.accepting and terms.strike_e8 is not None:
                self._quote(market, now_ns)

    def _mark(self, market: ExchangeMarket, is_bid: bool, level: int) -> None:
        bid, ask = market.book.best_bid, market.book.best_ask
        if bid is not None and ask is not None:
            gain = (bid + ask) / 2 - level
            self.markouts.append((gain if is_bid else -gain) * 100 / market.one)

    def _quote(self, market: ExchangeMarket, now_ns: int) -> None:
        book = market.book
        for is_bid, level in ((True, book.best_bid), (False, book.best_ask)):
            if level is None:
                continue
            self._count += 1
            price = level if is_bid else market.one - level
            terms = market.instrument
            least = -(-terms.notional_min_micro * market.divisor // price)
            size = max(terms.size_min, -(-least // terms.lot) * terms.lot)
            ticket = Ticket(
                identity=Identity(f"{NAIVE}-{self._count}"),
                instrument=terms.id,
                leg=Leg.YES if is_bid else Leg.NO,
                side=Side.BUY,
                price=price,
                size=size,
                post_only=True,
            )
            if self._exchange.submit(NAIVE, ticket, now_ns).standing is StandingOrder.LIVE:
                self._orders[ticket.identity] = (market, is_bid, level)


def told(markouts: Sequence[float]) -> tuple[int, float, float]:
    """Return (fills marked, mean markout in cents, its standard error)."""
    count = len(markouts)
    if count < 2:
        return count, float("nan"), float("nan")
    found = np.array(markouts)
    return count, float(found.mean()), float(found.std(ddof=1) / count**0.5)
