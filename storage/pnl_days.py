"""What each owner made on a day, from 00:00 to 00:00 UTC: kept once the day is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from sqlite3 import Connection

import msgspec

from engine.domain.instruments import Mode
from engine.domain.jobs.report import ReportPeriod
from storage.database import Table
from storage.report_figures import Figures
from storage.reports import SECOND_NS, span_of

DAYS_SHOWN = 400


class PnlDay(msgspec.Struct, frozen=True, kw_only=True):
    """One owner's day. PnL = realised + funding + change of unrealised, less fees, at mid."""

    day: str
    """`2026-03-01`, UTC."""
    account: str
    bot: str
    mode: Mode
    currency: str
    realised_micro: int
    unrealised_micro: int
    """What it changed by."""
    fees_micro: int
    funding_micro: int = 0
    """A day that was kept before funding was part of PnL has none."""
    pnl_micro: int
    made_ns: int


_DAYS = Table(PnlDay, "pnl_days")


def last_day(connection: Connection, engine_id: str, now_ns: int) -> list[PnlDay]:
    """Return what each owner made on the last whole day before `now_ns`; nothing is written."""
    span = span_of(ReportPeriod.DAILY, "UTC", now_ns)
    day = f"{datetime.fromtimestamp(span.since_ns // SECOND_NS, UTC):%Y-%m-%d}"
    figures = Figures(connection, engine_id, span, "UTC", now_ns)
    return [
        PnlDay(
            day=day,
            account=row["account"],
            bot=row["bot"],
            mode=Mode(row["mode"]),
            currency=row["currency"],
            realised_micro=row["realised"],
            unrealised_micro=row["unrealised"],
            fees_micro=row["fees"],
            funding_micro=row["funding"],
            pnl_micro=row["made"],
            made_ns=now_ns,
        )
        for row in figures.made_by
    ]


def put_days(connection: Connection, engine_id: str, days: Sequence[PnlDay]) -> None:
    """Keep days inside the caller's transaction, each in the place of one kept before."""
    _DAYS.put(connection, engine_id, days)


def pnl_days(connection: Connection, engine_id: str) -> list[PnlDay]:
    """Return the kept days, the newest first. Raises BadInput for a damaged row."""
    where = "engine_id = ? ORDER BY day DESC, mode, account, bot LIMIT ?"
    return _DAYS.all(connection, where, (engine_id, DAYS_SHOWN))
