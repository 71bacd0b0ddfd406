"""What every event is made from: `engine.domain.events` has them all."""

from __future__ import annotations

import msgspec

from engine.domain.fills import FillId
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.orders import OrderId


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Base of everything that happened. A frozen value closes no circle: nothing to collect."""


class AccountEvent(Event, frozen=True, kw_only=True):
    """Base of what happened to one account."""

    account: AccountId


class OrderUpdate(AccountEvent, frozen=True, kw_only=True):
    """Base of what happened to one order."""

    order: OrderId


class FillEvent(AccountEvent, frozen=True, kw_only=True):
    """Base of what happened to one fill after it was reported."""

    fill: FillId


class OperationEvent(AccountEvent, frozen=True, kw_only=True):
    """Base of what happened to one operation of the wallet."""

    operation: int


class ScopeEvent(AccountEvent, frozen=True, kw_only=True):
    """Base of a latch of an account's `bot` or `instrument`, or of all of it."""

    bot: BotId | None = None
    instrument: InstrumentId | None = None
    who: str
    reason: str
