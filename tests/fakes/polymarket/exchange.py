"""The demo exchange with this venue's differences: trades with ids, and orders by budget.

A market BUY spends an amount. Its ticket carries the size the amount buys now, and nothing of it
ever rests, so the money it needs is what the walk through the book costs, not its limit price.
"""

from __future__ import annotations

from random import Random

from engine.domain.instruments import Side
from engine.domain.orders import OrderType
from engine.runtime import refusals
from engine.venues.demo.accounts import ExchangeMarket, Rules
from engine.venues.demo.exchange import DemoExchange, Guard, MarketLifecycle
from engine.venues.demo.matching import yes_level
from engine.venues.demo.order_entry import OrderEntry
from engine.venues.demo.orders import RestingOrder
from tests.fakes.polymarket.settings import S, Settings
from tests.fakes.polymarket.settlement import SettlementWorker


class VenueOrderEntry(OrderEntry):
    """The desk, asking of an order that can not rest only what it will cost."""

    worker: SettlementWorker
    """Who writes the trades: a row of one has its taker's limit as its price."""

    def _refuse_money(
        self, market: ExchangeMarket, order: RestingOrder, crossing: bool
    ) -> refusals.Refusal | None:
        self.worker.limit(order.identity, order.price)
        immediate = order.type in {OrderType.FAK, OrderType.FOK}
        plain = order.side is Side.SELL or market.instrument.taker_delay_ns
        if plain or not immediate or not crossing:
            return super()._refuse_money(market, order, crossing)
        limit = order.price * order.size // market.divisor
        if limit < market.instrument.notional_min_micro:
            return refusals.too_small(limit, market.instrument.notional_min_micro)
        needed = self.walk_cost(market, order)
        wallet = self.ledger.wallets[order.customer]
        if wallet.cash - wallet.reserved >= needed:
            return None
        return refusals.no_funds(wallet.cash, wallet.reserved, needed)

    def walk_cost(self, market: ExchangeMarket, order: RestingOrder) -> int:
        """Return what an order would cost if it matched now, fees included, in micro-pUSD."""
        needed = 0
        for level, size in market.book.preview(order.bid, order.level, order.size):
            price = yes_level(order.leg, level, market.one)
            needed += price * size // market.divisor
            needed += market.instrument.taker_fee_micro(price, size)
        return needed


class VenueExchange(DemoExchange):
    """Matching, ledger and time of the venue."""

    def __init__(self, settings: Settings, now_ns: int) -> None:
        rng = Random(settings.seed)
        super().__init__(rng=rng, now_ns=now_ns, rules=_rules(settings))
        self._settings = settings
        self.worker = SettlementWorker(settings, self.settlement_rng, self.timeline, self.outbox)
        self.settlement = self.worker
        self.clearing.settlement = self.worker
        self.order_entry = entry = VenueOrderEntry(self.timeline, self.clearing)
        entry.worker = self.worker
        self.guard = Guard(self.order_entry)
        self.listing = MarketLifecycle(self.order_entry)

    def reread(self) -> None:
        """Take changed settings."""
        self.worker.reread()
        self.clearing.rules = _rules(self._settings)


def _rules(settings: Settings) -> Rules:
    step_ns = int(settings.relayer_s * S / 2)
    return Rules(
        gtd_min_ns=int(settings.gtd_min_s * S),
        gtd_early_ns=int(settings.gtd_early_s * S),
        redeem_mined_ns=step_ns,
        redeem_confirmed_ns=step_ns,
        auto_redeem=settings.auto_redeem,
    )
