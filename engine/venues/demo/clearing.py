"""Clearing: what a match means for the ledger, its settlement, and what a resolution pays.

Gets matches from the desk, gives prints and reports. Form of settlement by who met whom
(polymarket.md §5.1): BUY and SELL of one leg transfer, two BUYs of both legs mint a pair, two SELLs
merge one; the ledger books each side alone and the form follows.
"""

from __future__ import annotations

import msgspec

from engine.domain.events import TradePrinted
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, InstrumentId, Side
from engine.venues.demo.accounts import Account, ExchangeMarket
from engine.venues.demo.ledger import ExchangeLedger
from engine.venues.demo.matching import Match, yes_level
from engine.venues.demo.orders import Fill, Filled, FillMoved, RestingOrder
from engine.venues.demo.outbox import ExchangeOutbox
from engine.venues.demo.redemption import RedeemWorker
from engine.venues.demo.refusals import Rules
from engine.venues.demo.settlement import Settlement


class Clearing:
    """Books matches into the ledger and follows them until they are settled, void or redeemed."""

    def __init__(self, outbox: ExchangeOutbox, settlement: Settlement, rules: Rules) -> None:
        self.outbox = outbox
        self.settlement = settlement
        self.rules = rules
        self.ledger = ExchangeLedger()
        self.accounts: dict[AccountId, Account] = {}
        self.markets: dict[InstrumentId, ExchangeMarket] = {}
        self.redeeming = RedeemWorker(self.ledger, outbox, rules, self.accounts, self.markets)
        self.trade_count = 0
        self.transaction_count = 0
        self.self_trades = 0
        """Matches of a customer with itself: the venue allows them, a person should know."""

    def book(
        self, market: ExchangeMarket, order: RestingOrder, matches: list[Match], now_ns: int
    ) -> tuple[FillId, ...]:
        """Book every match, print it, and begin the settlement of them all as one."""
        fills: list[Fill] = []
        watched = self.accounts[order.customer].listening
        for maker, size in matches:
            self.trade_count += 1
            theirs = self._fill(market, maker, (maker.level, size, now_ns), Liquidity.MAKER)
            ours = self._fill(market, order, (maker.level, size, now_ns), Liquidity.TAKER)
            self.ledger.book(theirs, reserved=True)
            self.ledger.book(ours, reserved=False)
            self._report(theirs)
            self._report(ours)
            fills += (ours, theirs)
            watched = watched or self.accounts[maker.customer].listening
            self.self_trades += maker.customer == order.customer
        self._print(market, order, matches, now_ns)
        self.transaction_count += 1
        self.settlement.open(self.transaction_count, fills, watched=watched)
        return tuple(fill.id for fill in fills[::2])

    def _fill(
        self,
        market: ExchangeMarket,
        order: RestingOrder,
        match: tuple[int, int, int],
        liquidity: Liquidity,
    ) -> Fill:
        level, size, now_ns = match
        price = yes_level(order.leg, level, market.one)
        taker = liquidity is Liquidity.TAKER
        return Fill(
            id=FillId(f"demo-{self.trade_count}{'t' if taker else 'm'}"),
            trade=self.trade_count,
            customer=order.customer,
            identity=order.identity,
            key=order.key,
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=price,
            size=size,
            amount_micro=price * size // market.divisor,
            fee_micro=market.instrument.taker_fee_micro(price, size) if taker else 0,
            liquidity=liquidity,
            at_ns=now_ns,
        )

    def _report(self, fill: Fill) -> None:
        account = self.accounts[fill.customer]
        if not account.listening:
            return
        account.log(fill, self.rules.fills_kept_max)
        self.outbox.send(fill.customer, msgspec.convert(fill, Filled, from_attributes=True))

    def _print(
        self, market: ExchangeMarket, order: RestingOrder, matches: list[Match], now_ns: int
    ) -> None:
        """Print one trade per level, as the tape of a venue does."""
        if not self.outbox.publishing:
            return
        sizes: dict[int, int] = {}
        for maker, size in matches:
            sizes[maker.level] = sizes.get(maker.level, 0) + size
        for level, size in sizes.items():
            self.outbox.publish(
                TradePrinted(
                    instrument=market.instrument.id,
                    price=level,
                    size=size,
                    aggressor=Side.BUY if order.bid else Side.SELL,
                    exchange_ns=now_ns,
                )
            )

    def settle(self, number: int) -> None:
        """Let a transaction take its next step; its end settles or reverses every side, once."""
        transaction, state = self.settlement.step(number)
        for fill in transaction.fills:
            if state is FillState.CONFIRMED:
                self.ledger.confirm(fill)
            elif state is FillState.FAILED:
                self.ledger.void(fill)
            if self.accounts[fill.customer].listening:
                self.outbox.send(fill.customer, FillMoved(id=fill.id, key=fill.key, state=state))
        if transaction.path:
            return
        for fill in transaction.fills:
            # What settles or comes back after the resolution is redeemed like the rest.
            market = self.markets[fill.instrument]
            if market.payout is not None:
                self.redeeming.resolved(fill.customer, market)

    def pay(self, market: ExchangeMarket, payout_yes_micro: int) -> None:
        """Set what a market's tokens pay; who redeems for itself holds them until it asks."""
        market.payout = payout_yes_micro
        for customer in self.accounts:
            self.redeeming.resolved(customer, market)

    def problems(self) -> list[str]:
        """Name every market whose collateral is not what its tokens are worth."""
        found = []
        sets = self.ledger.sums().sets
        for instrument, collateral in self.ledger.collateral.items():
            yes, no = sets.get(instrument, (0, 0))
            market = self.markets[instrument]
            if market.payout is None:
                if yes != no:
                    found.append(f"{instrument}: {yes} YES and {no} NO are not pairs")
                worth = yes * market.one // market.divisor
            else:
                payout = market.payout
                worth = (yes * payout + no * (10**6 - payout)) // market.share
            if worth != collateral:
                found.append(f"{instrument}: collateral {collateral} is not {worth}")
        return found
