"""Clearing: what a match means for the ledger, how it settles, and what wallets do on the chain.

Gets matches from the desk, gives prints and reports. Form of settlement by who met whom
(polymarket.md §5.1): BUY and SELL of one leg transfer, two BUYs of both legs mint a pair, two SELLs
merge one; the ledger books each side alone and the form follows. Fills of a spot pair are final at
once.
"""

from __future__ import annotations

from random import Random

import msgspec

from engine.domain.events import OperationState, TradePrinted
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, InstrumentId, Side
from engine.errors import BrokenInvariant
from engine.venues.demo.accounts import Account, ExchangeMarket, Rules
from engine.venues.demo.ledger import ExchangeLedger
from engine.venues.demo.margin_ledger import MarginLedger
from engine.venues.demo.matching import Match, yes_level
from engine.venues.demo.orders import (
    Converted,
    Fill,
    Filled,
    FillMoved,
    OperationReport,
    Redeemed,
    RestingOrder,
)
from engine.venues.demo.timeline import ExchangeOutbox, Timeline, TimelineEntry

# -- The settlement worker: MATCHED → MINED → CONFIRMED, sometimes RETRYING, sometimes FAILED ------
# Everything one taker order matched at once is one transaction and shares one fate
# (polymarket.md §4.3, §5.2). Its path is drawn when it is made, from the worker's own generator.

MS = 1_000_000


class SettlementRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long settlement takes and how often it goes wrong.

    The defaults are the venue's "a few seconds"; failures are off unless asked for.
    """

    mined_ns: tuple[int, int] = (1_500 * MS, 4_000 * MS)
    """Shortest and longest time from the match to MINED."""
    confirmed_ns: tuple[int, int] = (500 * MS, 2_500 * MS)
    """Shortest and longest time from MINED to CONFIRMED."""
    retry_ppm: int = 0
    """How many transactions in a million are tried again once before they are mined."""
    fail_ppm: int = 0
    """How many transactions in a million fail after a try."""


class Transaction(msgspec.Struct, kw_only=True):
    """Fills that share one fate. `path` is what still happens: (delay, state)."""

    number: int
    fills: list[Fill]
    path: list[tuple[int, FillState]]


class Settlement:
    """Transactions under way. The desk opens them and books what `step` says."""

    __slots__ = ("_rng", "_rules", "_timeline", "forced", "pending")

    def __init__(self, rules: SettlementRules, rng: Random, timeline: Timeline) -> None:
        self._rules = rules
        self._rng = rng
        self._timeline = timeline
        self.pending: dict[int, Transaction] = {}
        self.forced: list[FillState] = []
        """Ends of the next transactions, for scenarios: RETRYING, FAILED or CONFIRMED."""

    def open(self, number: int, fills: list[Fill], *, watched: bool) -> None:
        """Begin to settle. `watched` False = the same end at the same time, in one step."""
        path = self._path()
        if not watched:
            path = [(sum(delay for delay, _ in path), path[-1][1])]
        self.pending[number] = Transaction(number=number, fills=fills, path=path)
        self._timeline.set(self._timeline.now_ns + path[0][0], TimelineEntry.SETTLE, number=number)

    def step(self, number: int) -> tuple[Transaction, FillState]:
        """Move a transaction to its next state; an ended one is no longer pending."""
        transaction = self.pending[number]
        _, state = transaction.path.pop(0)
        for fill in transaction.fills:
            if fill.state is FillState.CONFIRMED or fill.state is FillState.FAILED:
                raise BrokenInvariant(f"fill {fill.id} ended twice")
            fill.state = state
        if transaction.path:
            at_ns = self._timeline.now_ns + transaction.path[0][0]
            self._timeline.set(at_ns, TimelineEntry.SETTLE, number=number)
        else:
            del self.pending[number]
        return transaction, state

    def _path(self) -> list[tuple[int, FillState]]:
        rules, uniform = self._rules, self._rng.random
        mined = _between(rules.mined_ns, uniform())
        confirmed = _between(rules.confirmed_ns, uniform())
        chance = uniform() * 1_000_000
        if self.forced:
            end = self.forced.pop(0)
        elif chance < rules.fail_ppm:
            end = FillState.FAILED
        elif chance < rules.fail_ppm + rules.retry_ppm:
            end = FillState.RETRYING
        else:
            end = FillState.CONFIRMED
        if end is FillState.FAILED:
            return [(mined, FillState.RETRYING), (confirmed, FillState.FAILED)]
        plain = [(mined, FillState.MINED), (confirmed, FillState.CONFIRMED)]
        return [(mined, FillState.RETRYING), *plain] if end is FillState.RETRYING else plain


def _between(span: tuple[int, int], share: float) -> int:
    return span[0] + int((span[1] - span[0]) * share)


# -- Wallets: tokens of a resolved market become cash, pairs become cash, cash becomes pairs -------
# Asked for, the transaction is submitted, mined and confirmed in turn, and pays when it is
# confirmed: all that is settled then. The crowd's wallets are paid with the resolution; a
# customer's hold their tokens until it asks, unless the exchange redeems for everybody
# (`Rules.auto_redeem`). A merge or a split of what is not there when it is confirmed has no effect.


class RedeemTransaction(msgspec.Struct, kw_only=True):
    """A transaction under way. `operation` is its customer's number; 0 = the exchange's own."""

    number: int
    customer: AccountId
    operation: int
    instrument: InstrumentId
    mined: bool = False
    size: int = 0
    """Pairs to split, below zero to merge; 0 = a redemption."""

    @property
    def name(self) -> str:
        """Return what the chain calls it."""
        return f"demo-redeem-{self.number}"


class RedeemWorker:
    """Redemptions of all wallets. `payout` of a market must be set before anything is asked."""

    def __init__(self, clearing: Clearing) -> None:
        self._clearing = clearing
        self._timeline = clearing.outbox.timeline
        self.count = 0
        self.pending: dict[int, RedeemTransaction] = {}

    def resolved(self, customer: AccountId, market: ExchangeMarket) -> None:
        """Pay whoever does not redeem for itself; call it whenever its tokens have settled."""
        if not self._clearing.accounts[customer].listening:
            self._pay(customer, market)
        elif self._clearing.rules.auto_redeem and self._holds(customer, market.instrument.id):
            self.ask(customer, 0, market.instrument.id)

    def _holds(self, customer: AccountId, instrument: InstrumentId) -> bool:
        wallet = self._clearing.ledger.wallets[customer]
        return any(
            tokens is not None and tokens.settled
            for tokens in (wallet.yes.get(instrument), wallet.no.get(instrument))
        )

    def ask(
        self, customer: AccountId, operation: int, instrument: InstrumentId, size: int = 0
    ) -> str:
        """Submit a transaction; return what the chain calls it."""
        self.count += 1
        made = RedeemTransaction(
            number=self.count,
            customer=customer,
            operation=operation,
            instrument=instrument,
            size=size,
        )
        self.pending[made.number] = made
        self._wait(made, self._clearing.rules.redeem_mined_ns)
        return made.name

    def _wait(self, made: RedeemTransaction, delay_ns: int) -> None:
        at_ns = self._timeline.now_ns + delay_ns
        self._timeline.set(at_ns, TimelineEntry.REDEEM, number=made.number)

    def step(self, number: int) -> None:
        """Mine a transaction, or confirm it: then it pays."""
        made = self.pending[number]
        if not made.mined:
            made.mined = True
            self._report(made, OperationState.MINED)
            self._wait(made, self._clearing.rules.redeem_confirmed_ns)
            return
        del self.pending[number]
        if made.size and not self._convert(made):
            self._report(made, OperationState.FAILED, "there is not enough, or it is resolved")
            return
        if not made.size:
            self.confirm(made.customer, made.instrument, made.name)
        self._report(made, OperationState.CONFIRMED)

    def operation(self, customer: AccountId, operation: int) -> tuple[OperationState, str] | None:
        """Return how far a customer's operation is and its name; None = it never came here."""
        for made in self.pending.values():
            if (made.customer, made.operation) == (customer, operation):
                state = OperationState.MINED if made.mined else OperationState.SUBMITTED
                return state, made.name
        return self._clearing.accounts[customer].operations.get(operation)

    def _convert(self, made: RedeemTransaction) -> bool:
        amount = self._clearing.convert(made.customer, made.instrument, made.size)
        if amount is None:
            return False
        report = Converted(
            instrument=made.instrument,
            size=made.size,
            amount_micro=abs(amount),
            transaction=made.name,
            at_ns=self._timeline.now_ns,
        )
        self._clearing.accounts[made.customer].conversions.append(report)
        self._clearing.outbox.send(made.customer, report)
        return True

    def confirm(
        self,
        customer: AccountId,
        instrument: InstrumentId,
        name: str,
        asked: tuple[int, int] | None = None,
    ) -> None:
        """Pay what is settled of a resolved market by the transaction `name`, and tell it.

        `asked` = at most so many of (YES, NO); None = all.
        """
        paid = self._pay(customer, self._clearing.markets[instrument], name, asked)
        if paid is not None:
            self._clearing.accounts[customer].redemptions.append(paid)
            self._clearing.outbox.send(customer, paid)

    def _report(self, made: RedeemTransaction, state: OperationState, reason: str = "") -> None:
        if made.operation:
            report = OperationReport(
                operation=made.operation, state=state, transaction=made.name, reason=reason
            )
            self._clearing.outbox.send(made.customer, report)
            if state is not OperationState.MINED:
                self._clearing.accounts[made.customer].over(made.operation, state, made.name)

    def _pay(
        self,
        customer: AccountId,
        market: ExchangeMarket,
        name: str = "",
        asked: tuple[int, int] | None = None,
    ) -> Redeemed | None:
        """Burn what is settled, or the part of it that was asked, and pay it; None = nothing."""
        if market.payout is None:
            return None
        instrument = market.instrument.id
        yes, no, amount = self._clearing.ledger.redeem(
            customer, instrument, market.payout, market.share, asked
        )
        if not (yes or no):
            return None
        return Redeemed(
            transaction=name,
            instrument=instrument,
            yes=yes,
            no=no,
            amount_micro=amount,
            at_ns=self._timeline.now_ns,
        )


# -- Clearing --------------------------------------------------------------------------------------


class Clearing:
    """Books matches into the ledger and follows them until they are settled, void or redeemed."""

    def __init__(self, outbox: ExchangeOutbox, settlement: Settlement, rules: Rules) -> None:
        self.outbox = outbox
        self.settlement = settlement
        self.rules = rules
        self.ledger = ExchangeLedger()
        self.margin = MarginLedger()
        self.accounts: dict[AccountId, Account] = {}
        self.markets: dict[InstrumentId, ExchangeMarket] = {}
        self.redeeming = RedeemWorker(self)
        self.trade_count = 0
        self.transaction_count = 0
        self.self_trades = 0
        """Matches of a customer with itself: the venue allows them, a person should know."""

    def book(
        self, market: ExchangeMarket, order: RestingOrder, matches: list[Match]
    ) -> tuple[FillId, ...]:
        """Book every match, print it, and begin the settlement of them all as one."""
        fills: list[Fill] = []
        watched = self.accounts[order.customer].listening
        for maker, size in matches:
            self.trade_count += 1
            theirs = self._fill(market, maker, maker.level, size=size, liquidity=Liquidity.MAKER)
            ours = self._fill(market, order, maker.level, size=size, liquidity=Liquidity.TAKER)
            if market.margined:
                self._book_margined(maker, theirs, ours)
            else:
                self.ledger.book(theirs, released=_released(market, maker, size))
                self.ledger.book(ours, released=0)
            if not market.chained and not market.margined:
                self.ledger.confirm(theirs)
                self.ledger.confirm(ours)
            self._report(theirs)
            self._report(ours)
            fills += (ours, theirs)
            watched = watched or self.accounts[maker.customer].listening
            self.self_trades += maker.customer == order.customer
        self._print(market, order, matches)
        if market.chained:
            self.transaction_count += 1
            self.settlement.open(self.transaction_count, fills, watched=watched)
        return tuple(fill.id for fill in fills[::2])

    def _book_margined(self, maker: RestingOrder, theirs: Fill, ours: Fill) -> None:
        """Move both positions; the maker's margin is let go of behind that."""
        buyer, seller = (theirs, ours) if maker.bid else (ours, theirs)
        key, size = theirs.instrument, theirs.size
        self.margin.match(key, buyer.customer, seller.customer, theirs.price, size)
        for side in (theirs, ours):
            self.margin.charge(side.customer, side.fee_micro)
        self.margin.release(theirs.customer, key, size if maker.bid else -size)

    def free_micro(self, customer: AccountId) -> int:
        """Return the cash that neither orders nor margins hold."""
        if customer in self.margin.accounts:
            return self.margin.free_micro(customer)
        wallet = self.ledger.wallets[customer]
        return wallet.cash - wallet.reserved

    def _fill(
        self,
        market: ExchangeMarket,
        order: RestingOrder,
        level: int,
        *,
        size: int,
        liquidity: Liquidity,
    ) -> Fill:
        price = yes_level(order.leg, level, market.one)
        taker = liquidity is Liquidity.TAKER
        amount = price * size // market.divisor
        fee = market.maker_fee_micro(amount)
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
            amount_micro=amount,
            fee_micro=market.instrument.taker_fee_micro(price, size) if taker else fee,
            liquidity=liquidity,
            at_ns=self.outbox.timeline.now_ns,
            state=FillState.MATCHED if market.chained else FillState.CONFIRMED,
        )

    def _report(self, fill: Fill) -> None:
        account = self.accounts[fill.customer]
        if not account.listening:
            return
        account.log(fill, self.rules.fills_kept_max)
        self.outbox.send(fill.customer, msgspec.convert(fill, Filled, from_attributes=True))

    def _print(self, market: ExchangeMarket, order: RestingOrder, matches: list[Match]) -> None:
        """Count what was traded, and print one trade per level, as the tape of a venue does."""
        sizes: dict[int, int] = {}
        for maker, size in matches:
            sizes[maker.level] = sizes.get(maker.level, 0) + size
        micro = sum(level * size for level, size in sizes.items()) // market.divisor
        market.traded.add(micro, self.outbox.timeline.now_ns)
        if not self.outbox.publishing:
            return
        for level, size in sizes.items():
            self.outbox.publish(
                TradePrinted(
                    instrument=market.instrument.id,
                    price=level,
                    size=size,
                    aggressor=Side.BUY if order.bid else Side.SELL,
                    exchange_ns=self.outbox.timeline.now_ns,
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

    def convert(self, customer: AccountId, instrument: InstrumentId, size: int) -> int | None:
        """Split cash into `size` pairs, or merge −`size` pairs into cash; give what they cost.

        None = the customer has not enough, or the market cannot do it now.
        """
        market = self.markets.get(instrument)
        if market is None or not market.chained or market.payout is not None:
            return None
        if size % market.instrument.lot:
            return None
        amount = size * market.one // market.divisor
        if amount > self.free_micro(customer):
            return None
        return amount if self.ledger.convert(customer, instrument, size, amount) else None

    def problems(self) -> list[str]:
        """Name every market whose collateral is not what its tokens are worth."""
        found = []
        sets = self.ledger.sums().sets
        for instrument, collateral in self.ledger.collateral.items():
            yes, no = sets.get(instrument, (0, 0))
            market = self.markets[instrument]
            if not market.chained:
                worth = 0
            elif market.payout is None:
                if yes != no:
                    found.append(f"{instrument}: {yes} YES and {no} NO are not pairs")
                worth = yes * market.one // market.divisor
            else:
                payout = market.payout
                worth = (yes * payout + no * (10**6 - payout)) // market.share
            if worth != collateral:
                found.append(f"{instrument}: collateral {collateral} is not {worth}")
        return found


def _released(market: ExchangeMarket, maker: RestingOrder, size: int) -> int:
    """Return what a maker had reserved for `size` that has just matched."""
    if maker.side is Side.SELL:
        return size
    left = market.hold_micro(maker.price, maker.remaining)
    return market.hold_micro(maker.price, maker.remaining + size) - left
