"""A command that a file adds."""

from __future__ import annotations

from engine.domain.commands import Command
from engine.domain.instruments import AccountId


class CountOpenOrders(Command, frozen=True, kw_only=True):
    """Say how many orders of an account are open."""

    account: AccountId
