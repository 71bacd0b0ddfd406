"""A command that a file adds: what it takes, and what the engine does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.domain.commands import Command
from engine.domain.instruments import AccountId
from engine.errors import BadInput

if TYPE_CHECKING:
    from engine.live.engine import Engine


class CountOpenOrders(Command, frozen=True, kw_only=True):
    """Say how many orders of an account are open."""

    account: AccountId


def run(engine: Engine, command: CountOpenOrders, who: str) -> str:
    """Count them in the executor. Raises BadInput where there is no such account: a refusal."""
    runner = engine.runners.get(command.account)
    if runner is None:
        raise BadInput(f"there is no account {command.account!r} here")
    open_orders, unknown = runner.core.executor.open_and_unknown
    return f"{open_orders} open and {unknown} unknown at {command.account}, {who}"
