"""Alerts seen by a person."""

from __future__ import annotations

from sqlite3 import Connection

from engine.domain.commands import AckAlert
from engine.errors import BadInput
from engine.live.commands.registry import Pending, command, where_files_are_written
from engine.live.engine import Engine
from storage.alerts import see_alert
from storage.database import transaction


@command(AckAlert)
def acknowledge(engine: Engine, command: AckAlert, who: str) -> Pending:
    """Mark an alert as seen; answered when its row says so."""
    now_ns = engine.clock.now_ns()

    def see(connection: Connection) -> str:
        with transaction(connection):
            if not see_alert(connection, engine.engine_id, command.alert, who, now_ns):
                raise BadInput("no such alert")
        return "seen"

    return where_files_are_written(engine, see)
