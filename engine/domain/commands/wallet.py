"""What a person asks of an account's wallet."""

from __future__ import annotations

from engine.domain.commands import MANUAL, Command, Whole
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg
from engine.domain.orders import Identity


class Redeem(Command, frozen=True, kw_only=True):
    """Turn the tokens of a resolved instrument into cash."""

    account: AccountId
    instrument: InstrumentId


class Merge(Command, frozen=True, kw_only=True):
    """Turn pairs of YES and NO into cash: so many of each; None = all that are free."""

    account: AccountId
    instrument: InstrumentId
    size: Whole | None = None
    owner: BotId = MANUAL
    """Whose pairs they are."""


class Split(Command, frozen=True, kw_only=True):
    """Turn cash into so many pairs of YES and NO."""

    account: AccountId
    instrument: InstrumentId
    size: Whole
    owner: BotId = MANUAL
    """Whose pairs they become."""


class Approve(Command, frozen=True, kw_only=True):
    """Let the venue's contracts move the wallet's cash and tokens, where that is missing."""

    account: AccountId


class AdoptTokens(Command, frozen=True, kw_only=True):
    """Take in what the wallet holds of a leg and was not bought here, as a deposit of its cost."""

    account: AccountId
    instrument: InstrumentId
    leg: Leg
    cost: Whole | None = None
    """Of all of them, in micro-units; None = unknown: their worth at mid when they come."""
    owner: BotId = MANUAL
    """Who they are given to."""


class CancelForeign(Command, frozen=True, kw_only=True):
    """Cancel an order of another key in the wallet, as far as the venue lets this one."""

    account: AccountId
    order: Identity


class IgnoreForeign(Command, frozen=True, kw_only=True):
    """Know an order or tokens of others as such: no alert tells of them again; or undo that."""

    account: AccountId
    subject: str
    """The order's name at the venue; of tokens the market's id, a space and the leg."""
    on: bool = True
