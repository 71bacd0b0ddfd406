"""What the dashboard's frame shows besides `storage.views`: engine and accounts at a glance.

Everything here takes a reader's connection (`storage.database.reading`) and changes nothing. What
is not there is None or an empty list, and the page says so; nothing is filled in. Sums stay within
one mode and one currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from sqlite3 import Connection
from typing import Any

import msgspec

from engine.domain.alerts import Severity
from engine.domain.instruments import Mode
from engine.domain.orders import OrderState
from engine.domain.settings import RiskLimits
from engine.domain.telemetry import EngineStatus
from engine.errors import StorageError
from storage.database import dicts
from storage.live import engine_status, latest_equity
from storage.live_accounts import VenueHeartbeat, heartbeats
from storage.projected.orders import LIVE
from storage.seen import seen_waiting
from storage.settings import in_force
from storage.users import ENGINE_ID
from storage.views import Row

SECOND_NS = 1_000_000_000
NEWEST_MAX = 3
"""So many of the newest unseen alerts are shown on every page."""

HEARTBEAT_AGE_NS_MAX = 10 * SECOND_NS
"""An engine writes its heartbeat each second; one this old has stopped or hangs."""


class EngineSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine last wrote of itself."""

    engine_id: str
    state: str
    heartbeat_ns: int
    started_ns: int
    pid: int
    version: str
    latched: bool


class AccountSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its latest equity. Money in micro-units; None = never reported."""

    account: str
    mode: Mode
    venue: str
    currency: str
    equity_ns: int | None = None
    equity_micro: int | None = None
    cash_micro: int | None = None
    redeemable_micro: int | None = None
    day_start_micro: int | None = None
    peak_micro: int | None = None
    loss_micro: int | None = None
    """Lost since the day's start, ≥ 0."""
    loss_max_micro: int | None = None
    """The day's budget by the limits in force."""


class OrdersSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of one mode that have not ended, and those of which we do not know whether."""

    mode: Mode
    live: int
    unknown: int
    unknown_since_ns: int | None
    """When the oldest UNKNOWN was last heard of."""


class AlertSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that no person has seen."""

    severity: Severity
    kind: str
    text: str
    last_ns: int


class UnseenAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """How many alerts no person has seen, of those a person should, and the newest of them."""

    critical: int = 0
    warning: int = 0
    newest: tuple[AlertSeen, ...] = ()


class FrameSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the status bar shows. `engine` None = no engine has ever written here."""

    engine: EngineSeen | None
    accounts: tuple[AccountSeen, ...]
    orders: tuple[OrdersSeen, ...]
    beats: tuple[VenueHeartbeat, ...] = ()
    status: EngineStatus = EngineStatus()
    """What the engine as a whole says of itself; where it cannot be read, nothing."""
    unseen: UnseenAlerts = UnseenAlerts()


def engine_seen(connection: Connection) -> EngineSeen | None:
    """Return the engine with the latest heartbeat."""
    found = dicts(
        connection,
        "SELECT engine_id, state, heartbeat_ns, started_ns, pid, version, latched "
        "FROM engine_state ORDER BY heartbeat_ns DESC LIMIT 1",
    )
    return EngineSeen(**{**found[0], "latched": bool(found[0]["latched"])}) if found else None


def engine_of(connection: Connection) -> str:
    """Return whose settings, commands and orders the pages show."""
    seen = engine_seen(connection)
    return seen.engine_id if seen else ENGINE_ID


def snapshot(connection: Connection) -> FrameSnapshot:
    """Return everything the status bar shows, of one moment."""
    engine = engine_seen(connection)
    engine_id = engine.engine_id if engine else ENGINE_ID
    return FrameSnapshot(
        engine=engine,
        accounts=accounts(connection, engine_id),
        orders=live_orders(connection, engine_id),
        beats=heartbeats(connection, engine_id),
        status=_status(connection, engine_id),
        unseen=unseen_alerts(connection, engine_id),
    )


def unseen_alerts(connection: Connection, engine_id: str) -> UnseenAlerts:
    """Return the engine's unseen alerts; what the watch found itself stands in its own file."""
    which = "FROM alerts WHERE engine_id = ? AND acked_ns IS NULL AND severity IN (?, ?)"
    if seen := seen_waiting(connection, engine_id):
        which += f" AND id NOT IN ({', '.join(map(str, seen))})"
    asked = (engine_id, Severity.CRITICAL, Severity.WARNING)
    counted: dict[str, int] = dict(
        connection.execute(f"SELECT severity, count(*) {which} GROUP BY severity", asked).fetchall()
    )
    newest = dicts(
        connection,
        f"SELECT severity, kind, text, last_ns {which} ORDER BY last_ns DESC LIMIT ?",
        (*asked, NEWEST_MAX),
    )
    return UnseenAlerts(
        critical=counted.get(Severity.CRITICAL, 0),
        warning=counted.get(Severity.WARNING, 0),
        newest=msgspec.convert(newest, tuple[AlertSeen, ...]),
    )


def _status(connection: Connection, engine_id: str) -> EngineStatus:
    # What another program wrote must not take the bar away: the parts that need it say so.
    with suppress(StorageError):
        return engine_status(connection, engine_id) or EngineStatus()
    return EngineStatus()


def accounts(connection: Connection, engine_id: str) -> tuple[AccountSeen, ...]:
    """Return the accounts the engine registered, each with its latest equity and its budget.

    One that the settings in force name no more is left out: its money is in no sum of now.
    """
    force = in_force(connection, engine_id)
    known = force.document.accounts
    return tuple(
        _account(connection, engine_id, row, known.get(row["account"]))
        for row in dicts(
            connection,
            "SELECT account, mode, venue, currency FROM accounts WHERE engine_id = ? "
            "ORDER BY mode, account",
            (engine_id,),
        )
        if not force.version or row["account"] in known
    )


def _account(connection: Connection, engine_id: str, row: Row, set_as: Any) -> AccountSeen:
    mode = Mode(row.pop("mode"))
    latest = latest_equity(connection, engine_id, str(row["account"]))
    if latest is None:
        return AccountSeen(**row, mode=mode)
    limits = set_as.limits if set_as is not None else RiskLimits()
    day_start = latest.day_start_micro
    return AccountSeen(
        **row,
        mode=mode,
        equity_ns=latest.at_ns,
        equity_micro=latest.equity_micro,
        cash_micro=latest.cash_micro,
        redeemable_micro=latest.redeemable_micro,
        day_start_micro=day_start,
        peak_micro=latest.peak_micro,
        loss_micro=max(0, day_start - latest.equity_micro),
        loss_max_micro=limits.daily_loss_max.micro(day_start),
    )


def live_orders(connection: Connection, engine_id: str) -> tuple[OrdersSeen, ...]:
    found = dicts(
        connection,
        "SELECT mode, count(*) AS live, sum(state = ?1) AS unknown, "  # noqa: S608 our own words
        "min(CASE WHEN state = ?1 THEN updated_ns END) AS unknown_since_ns FROM orders "
        f"WHERE engine_id = ?2 AND {LIVE} GROUP BY mode ORDER BY mode",
        (OrderState.UNKNOWN, engine_id),
    )
    return tuple(OrdersSeen(**{**row, "mode": Mode(row["mode"])}) for row in found)


def live_orders_of(connection: Connection, engine_id: str) -> dict[str, int]:
    sql = f"SELECT bot, count(*) FROM orders WHERE engine_id = ? AND {LIVE} GROUP BY bot"  # noqa: S608 our own words
    return dict(connection.execute(sql, (engine_id,)).fetchall())


def run_engines(connection: Connection) -> list[str]:
    found = connection.execute("SELECT DISTINCT engine_id FROM runs ORDER BY engine_id")
    return [engine_id for (engine_id,) in found]


def listings_of(
    connection: Connection, engine_id: str, instruments: Sequence[str]
) -> dict[str, Row]:
    """Return what instruments are counted in and what YES pays, by name; unlisted ones lack."""
    marks = ", ".join("?" * len(instruments))
    found = dicts(
        connection,
        "SELECT id, price_decimals, size_decimals, kind AS listed_kind, currency, "  # noqa: S608 our own marks
        "payout_yes_micro FROM instruments "
        f"WHERE engine_id = ? AND id IN ({marks})",
        (engine_id, *instruments),
    )
    return {row.pop("id"): row for row in found}


def tradable(connection: Connection, engine_id: str, now_ns: int) -> tuple[list[str], list[str]]:
    """Return markets that stand alone and are open, and series that roll; by name."""
    found = _open(connection, engine_id, now_ns)
    alone = [name for name, series in found if not series]
    return alone, sorted({series for _, series in found if series})


def open_markets(connection: Connection, engine_id: str, now_ns: int) -> list[str]:
    return [name for name, _ in _open(connection, engine_id, now_ns)]


def _open(connection: Connection, engine_id: str, now_ns: int) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT id, series FROM instruments WHERE engine_id = ? AND payout_yes_micro IS NULL "
        "AND (closes_ns IS NULL OR closes_ns > ?) ORDER BY id LIMIT 2000",
        (engine_id, now_ns),
    ).fetchall()


def live_orders_in(
    connection: Connection,
    engine_id: str,
    *,
    account: str | None = None,
    bot: str | None = None,
    instrument: str | None = None,
) -> int:
    """Return how many orders of a part have not ended; None = any."""
    (found,) = connection.execute(
        f"SELECT count(*) FROM orders WHERE engine_id = ? AND {LIVE} "  # noqa: S608 our own words
        "AND account = coalesce(?, account) AND bot = coalesce(?, bot) "
        "AND instrument = coalesce(?, instrument)",
        (engine_id, account, bot, instrument),
    ).fetchone()
    return int(found)
