"""Wallets: tokens of a resolved market become cash, pairs become cash, cash becomes pairs.

Asked for, the transaction is submitted, mined and confirmed in turn, and pays when it is confirmed:
all that is settled then. The crowd's wallets are paid with the resolution; a customer's hold their
tokens until it asks, unless the exchange redeems for everybody (`Rules.auto_redeem`). A merge or a
split of what is not there when it is confirmed has no effect.
"""

from __future__ import annotations

import msgspec

from engine.domain.events import OperationState
from engine.domain.instruments import AccountId, InstrumentId
from engine.venues.demo.accounts import Account, ExchangeMarket
from engine.venues.demo.ledger import ExchangeLedger
from engine.venues.demo.orders import Converted, OperationReport, Redeemed
from engine.venues.demo.outbox import ExchangeOutbox
from engine.venues.demo.refusals import Rules
from engine.venues.demo.timeline import Timeline, TimelineEntry


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

    __slots__ = ("_accounts", "_ledger", "_markets", "_outbox", "count", "pending", "rules")

    def __init__(
        self,
        ledger: ExchangeLedger,
        outbox: ExchangeOutbox,
        rules: Rules,
        accounts: dict[AccountId, Account],
        markets: dict[InstrumentId, ExchangeMarket],
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self.rules = rules
        self._accounts = accounts
        self._markets = markets
        self.count = 0
        self.pending: dict[int, RedeemTransaction] = {}

    @property
    def _timeline(self) -> Timeline:
        return self._outbox.timeline

    def resolved(self, customer: AccountId, market: ExchangeMarket) -> None:
        """Pay whoever does not redeem for itself; call it whenever its tokens have settled."""
        if not self._accounts[customer].listening:
            self._pay(customer, market)
        elif self.rules.auto_redeem and self._holds(customer, market.instrument.id):
            self.ask(customer, 0, market.instrument.id)

    def _holds(self, customer: AccountId, instrument: InstrumentId) -> bool:
        wallet = self._ledger.wallets[customer]
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
            number=self.count, customer=customer, operation=operation, instrument=instrument,
            size=size,
        )  # fmt: skip
        self.pending[made.number] = made
        self._wait(made, self.rules.redeem_mined_ns)
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
            self._wait(made, self.rules.redeem_confirmed_ns)
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
        return self._accounts[customer].operations.get(operation)

    def _convert(self, made: RedeemTransaction) -> bool:
        market = self._markets[made.instrument]
        amount = made.size * market.one // market.divisor
        if market.payout is not None or made.size % market.instrument.lot:
            return False
        if not self._ledger.convert(made.customer, made.instrument, made.size, amount):
            return False
        report = Converted(
            instrument=made.instrument, size=made.size, amount_micro=abs(amount),
            transaction=made.name, at_ns=self._timeline.now_ns,
        )  # fmt: skip
        self._accounts[made.customer].conversions.append(report)
        self._outbox.send(made.customer, report)
        return True

    def confirm(self, customer: AccountId, instrument: InstrumentId, name: str) -> None:
        """Pay what is settled of a resolved market by the transaction `name`, and tell it."""
        paid = self._pay(customer, self._markets[instrument], name)
        if paid is not None:
            self._accounts[customer].redemptions.append(paid)
            self._outbox.send(customer, paid)

    def _report(self, made: RedeemTransaction, state: OperationState, reason: str = "") -> None:
        if made.operation:
            report = OperationReport(
                operation=made.operation, state=state, transaction=made.name, reason=reason
            )
            self._outbox.send(made.customer, report)
            if state is not OperationState.MINED:
                self._accounts[made.customer].over(made.operation, state, made.name)

    def _pay(self, customer: AccountId, market: ExchangeMarket, name: str = "") -> Redeemed | None:
        """Burn what is settled and pay it; None = there was nothing."""
        if market.payout is None:
            return None
        instrument = market.instrument.id
        yes, no, amount = self._ledger.redeem(customer, instrument, market.payout, market.share)
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
