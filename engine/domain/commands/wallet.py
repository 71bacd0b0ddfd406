"""What a person asks of an account's wallet."""

from __future__ import annotations

from engine.domain.commands import Command, Whole
from engine.domain.instruments import AccountId, InstrumentId


class Redeem(Command, frozen=True, kw_only=True):
    """Turn the tokens of a resolved instrument into cash."""

    account: AccountId
    instrument: InstrumentId


class Merge(Command, frozen=True, kw_only=True):
    """Turn pairs of YES and NO into cash: so many of each; None = all that are free."""

    account: AccountId
    instrument: InstrumentId
    size: Whole | None = None


class Split(Command, frozen=True, kw_only=True):
    """Turn cash into so many pairs of YES and NO."""

    account: AccountId
    instrument: InstrumentId
    size: Whole


class Approve(Command, frozen=True, kw_only=True):
    """Let the venue's contracts move the wallet's cash and tokens, where that is missing."""

    account: AccountId
