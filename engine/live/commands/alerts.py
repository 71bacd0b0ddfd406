"""Alerts seen by a person."""

from __future__ import annotations

from typing import Any

from engine.domain.commands import AckAlert
from engine.live.commands.registry import Pending, command
from engine.live.engine import Engine
from storage.alerts import see_alert
from storage.database import transaction


@command(AckAlert)
def acknowledge(engine: Engine, command: AckAlert, who: str) -> Pending:
    """Mark an alert as seen; answered when its row says so."""
    pending, now_ns = Pending(), engine.clock.now_ns()
    soon = engine.ended.get_loop().call_soon_threadsafe

    def seen(connection: Any) -> None:
        with transaction(connection):
            found = see_alert(connection, engine.engine_id, command.alert, who, now_ns)
        soon(pending.done_or_refused, found, "seen" if found else "no such alert")

    engine.state.do(seen, refused=lambda why: soon(pending.done_or_refused, False, why))
    return pending
