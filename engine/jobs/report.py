"""Makes the flight report: reads its figures, keeps it, and says so in an alert."""

from __future__ import annotations

from engine.domain.alerts.reports import REPORT
from engine.domain.effects import caution
from engine.domain.jobs.report import ReportJob
from engine.domain.plain import PlainView
from engine.jobs.run import JobContext, job
from storage.alerts import raise_alert
from storage.database import reading, transaction, writing
from storage.report_figures import made_report
from storage.reports import put_report
from storage.users import ENGINE_ID


@job(ReportJob)
def report(job: ReportJob, context: JobContext) -> PlainView:
    """Make the report of the last whole period; made again it stands in the place of the first."""
    path = context.config.state_path
    with reading(path) as connection:
        made = made_report(connection, ENGINE_ID, job.period, context.now_ns(), context.config.home)
    alert = caution(REPORT.name, made.text())
    with writing(path) as connection, transaction(connection):
        put_report(connection, ENGINE_ID, made)
        raise_alert(connection, ENGINE_ID, alert, None, made.made_ns)
    return {"report": made.name, "headline": " ".join(made.headline)}
