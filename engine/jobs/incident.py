"""The worker's job of kind `incident`: a moment lived again, its page kept for the dashboard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.domain.jobs import IncidentJob
from engine.jobs.run import JobContext, job
from engine.lab.incident.moment import of_job
from engine.lab.incident.page import summary, write
from engine.lab.incident.run import incident
from engine.log import iso

FOLDER = "incidents"
KEPT_MAX = 200
"""Pages that are kept; the oldest goes first. Each can be made again as long as the tape lasts."""


@job(IncidentJob)
def relive(job: IncidentJob, context: JobContext) -> Mapping[str, Any]:
    """Write the page of a moment; say whether it is the same again."""
    at_ns, around_ns = of_job(job)
    found = incident(
        context.config, at_ns=at_ns, around_ns=around_ns, account=job.account,
        tell=lambda done, total: context.progress(done, total, "s of the past"),
    )  # fmt: skip
    folder = context.config.home / FOLDER
    stamp = re.sub(r"[^0-9TZ-]", "-", iso(at_ns))
    target = folder / f"incident-{stamp}-{context.job.id}.html"
    size = write(found, target)
    pages = sorted(folder.glob("incident-*.html"), key=lambda path: path.stat().st_mtime_ns)
    for old in pages[:-KEPT_MAX]:
        old.unlink(missing_ok=True)
    told = summary(found)
    return {
        "same": told["same"],
        "told": told["told"],
        "steps": told["steps"],
        "notes": told["notes"],
        "file": str(target),
        "bytes": size,
    }
