"""Who takes the added command."""

from __future__ import annotations

from engine.domain.commands.open_orders import CountOpenOrders

from engine.errors import BadInput
from engine.live.commands.registry import Done, command
from engine.live.engine import Engine


@command(CountOpenOrders)
def count(engine: Engine, command: CountOpenOrders, who: str) -> Done:
    """Count them in the executor."""
    runner = engine.runners.get(command.account)
    if runner is None:
        raise BadInput(f"there is no account {command.account!r} here")
    open_orders, unknown = runner.core.executor.open_and_unknown
    return Done(f"{open_orders} open and {unknown} unknown at {command.account}, {who}")
