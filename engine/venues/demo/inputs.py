"""Everything that may come to the demo exchange from outside, as records that can be done again.

The exchange is deterministic: the same state and the same inputs at the same moments give the same
fills. So what customers were told survives a crash of the host if every input is kept before its
answer leaves, and so is the moment up to which something was told (`Reached`).
"""

from __future__ import annotations

import msgspec

from engine.domain.effects import AnyWalletEffect, CancelScope
from engine.domain.events import VenueEvent, VenueMode
from engine.domain.instruments import AccountId
from engine.domain.orders import OrderId
from engine.errors import VenueClosed
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.names import KEY
from engine.venues.demo.orders import Ticket

CURRENCY = "pUSD"


class ExchangeInput(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base: something at a moment."""

    at_ns: int


class Reached(ExchangeInput, frozen=True, kw_only=True):
    """Customers were told what happened up to here."""


class AccountOpened(ExchangeInput, frozen=True, kw_only=True):
    """A customer opened an account."""

    account: AccountId
    cash_micro: int


class TicketHandedIn(ExchangeInput, frozen=True, kw_only=True):
    """A customer placed an order."""

    account: AccountId
    order: OrderId
    ticket: Ticket


class CancelsAsked(ExchangeInput, frozen=True, kw_only=True):
    """A customer cancelled orders."""

    account: AccountId
    orders: tuple[OrderId, ...]


class CancelAllAsked(ExchangeInput, frozen=True, kw_only=True):
    """A customer cancelled everything in scope."""

    account: AccountId
    scope: CancelScope


class Beaten(ExchangeInput, frozen=True, kw_only=True):
    """A customer's heartbeat."""

    account: AccountId


class WalletAsked(ExchangeInput, frozen=True, kw_only=True):
    """A customer had its wallet do something."""

    account: AccountId
    operation: AnyWalletEffect


class ModePut(ExchangeInput, frozen=True, kw_only=True):
    """The host changed what the exchange takes."""

    mode: VenueMode


AnyExchangeInput = (
    Reached
    | AccountOpened
    | TicketHandedIn
    | CancelsAsked
    | CancelAllAsked
    | Beaten
    | WalletAsked
    | ModePut
)


class Inputs:
    """Does inputs at an exchange, the first time and every further time alike."""

    def __init__(self, exchange: DemoExchange) -> None:
        self._exchange = exchange
        self._answers: dict[AccountId, Answers] = {}

    def answers(self, account: AccountId) -> Answers:
        """Return an account's door. Raises AuthRefused where there is none."""
        found = self._answers.get(account)
        if found is None:
            self._exchange.account(account)
            found = self._answers[account] = Answers(
                self._exchange, account, key=KEY, currency=CURRENCY
            )
        return found

    def do(self, given: AnyExchangeInput) -> list[VenueEvent]:
        """Let time pass to the input's moment, do it, and return what is answered.

        Raises VenueClosed and AuthRefused; then it had no effect.
        """
        exchange, at_ns = self._exchange, given.at_ns
        if at_ns > exchange.now_ns:
            exchange.advance(at_ns)
        match given:
            case TicketHandedIn():
                answers = self.answers(given.account)
                return answers.hand_in(given.ticket, given.order, at_ns)
            case CancelsAsked():
                return self.answers(given.account).cancel(given.orders, at_ns)
            case CancelAllAsked():
                return self.answers(given.account).cancel_all(given.scope, at_ns)
            case WalletAsked():
                return self.answers(given.account).operate(given.operation, at_ns)
            case AccountOpened():
                if given.account not in exchange.order_entry.accounts:
                    exchange.open_account(given.account, given.cash_micro)
            case Beaten():
                self._heartbeat(given)
            case ModePut():
                exchange.guard.switch(given.mode)
            case Reached():
                pass
        return []

    def _heartbeat(self, given: Beaten) -> None:
        known = self._exchange.account(given.account).beats.get(KEY)
        token = "" if known is None else known[0]
        self._exchange.heartbeat(given.account, KEY, token, given.at_ns)

    def redo(self, given: AnyExchangeInput) -> None:
        """Do an input of an earlier run; what was refused then is refused now."""
        try:
            self.do(given)
        except VenueClosed:
            return
