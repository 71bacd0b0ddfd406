"""What the added job does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.domain.jobs.fill_count import FillCountJob

from engine.jobs.run import JobContext, job
from storage.database import reading


@job(FillCountJob)
def fill_count(job: FillCountJob, context: JobContext) -> Mapping[str, Any]:
    """Count them in the state."""
    with reading(context.config.state_path) as connection:
        query = "SELECT count(*) FROM fills WHERE account = ?"
        return {"fills": connection.execute(query, (job.account,)).fetchone()[0]}
