"""Keeps the PnL of each owner's last whole day."""

from __future__ import annotations

from engine.domain.jobs.pnl import PnlJob
from engine.domain.plain import PlainView
from engine.jobs.run import JobContext, job
from storage.database import reading, transaction, writing
from storage.pnl_days import last_day, put_days
from storage.users import ENGINE_ID


@job(PnlJob)
def pnl(job: PnlJob, context: JobContext) -> PlainView:
    """Keep the day; the result says whose."""
    del job
    path = context.config.state_path
    with reading(path) as connection:
        days = last_day(connection, ENGINE_ID, context.now_ns())
    with writing(path) as connection, transaction(connection):
        put_days(connection, ENGINE_ID, days)
    kept = sorted({one.day for one in days})
    return {"owners": len(days), "day": kept[0] if kept else "no owner had any PnL before its end"}
