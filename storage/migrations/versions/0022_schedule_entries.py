"""Schema 0022: homes from before have the schedule entries that were added since.

A new version of the settings, put in force, gives a home the entries that none of its versions ever
had; one that a person took out stays out. The list of markets is on by itself where it stood as it
was made. A home whose newest version is not in force is left as it is.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from alembic import op
from sqlalchemy import Connection

revision: str = "0022"
down_revision: str | None = "0021"

WHO = "upgrade"
ADDED = {
    "report": {"cron": "0 8 * * *", "job": "report", "local": True},
    "report-weekly": {
        "cron": "5 8 * * mon",
        "job": "report",
        "arguments": {"period": "weekly"},
        "local": True,
    },
    "report-monthly": {
        "cron": "10 8 1 * *",
        "job": "report",
        "arguments": {"period": "monthly"},
        "local": True,
    },
    "pnl": {"cron": "0 0 * * *", "job": "pnl"},
}
MARKETS = {"cron": "*/5 * * * *", "job": "markets", "on": False}


def upgrade() -> None:
    connection = op.get_bind()
    found = connection.exec_driver_sql(
        "SELECT engine_id, version, body, applied_ns FROM settings ORDER BY engine_id, version"
    ).fetchall()
    for engine_id in sorted({row[0] for row in found}):
        versions = [Version(*row[1:]) for row in found if row[0] == engine_id]
        _one(connection, engine_id, versions)


class Version(NamedTuple):
    """A saved version of the settings."""

    version: int
    body: str
    applied_ns: int | None


def _one(connection: Connection, engine_id: str, versions: Sequence[Version]) -> None:
    version, body, applied_ns = versions[-1]
    if applied_ns is None or applied_ns != max(one.applied_ns or 0 for one in versions):
        return
    had = {name for one in versions for name in _schedule(one.body)}
    schedule = _schedule(body)
    added = {name: entry for name, entry in ADDED.items() if name not in had}
    markets = schedule.get("markets")
    if markets and all(markets.get(name) == value for name, value in MARKETS.items()):
        added["markets"] = {**markets, "by_itself": True}
    if not schedule or not added:
        return
    document = json.loads(body)
    document["schedule"] = {**schedule, **added}
    (now_s,) = connection.exec_driver_sql("SELECT CAST(strftime('%s', 'now') AS INTEGER)").one()
    now_ns = now_s * 1_000_000_000
    connection.exec_driver_sql(
        "INSERT INTO settings (engine_id, version, base_version, at_ns, who, body, applied_ns) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            engine_id,
            version + 1,
            version,
            now_ns,
            WHO,
            json.dumps(document),
            max(now_ns, applied_ns + 1),
        ),
    )
    detail = {"base": version, "schedule": sorted(added)}
    connection.exec_driver_sql(
        "INSERT INTO audit (engine_id, at_ns, who, what, detail) VALUES (?, ?, ?, ?, ?)",
        (engine_id, now_ns, WHO, f"settings {version + 1} saved", json.dumps(detail)),
    )


def _schedule(body: str) -> dict[str, dict[str, object]]:
    """Return the schedule of a version; empty where it has none or cannot be read."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    schedule = document.get("schedule") if isinstance(document, dict) else None
    return schedule if isinstance(schedule, dict) else {}
