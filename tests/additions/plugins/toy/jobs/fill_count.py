"""A job that a file adds: what it takes, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from engine.domain.jobs import JobArguments

if TYPE_CHECKING:
    from engine.jobs.run import JobContext


class FillCountJob(JobArguments):
    """Count the fills of an account."""

    account: Annotated[str, Field(min_length=1, description="whose fills")] = "demo"


def run(job: FillCountJob, context: JobContext) -> Mapping[str, Any]:
    """Count them in the state."""
    from storage.database import reading

    with reading(context.config.state_path) as connection:
        query = "SELECT count(*) FROM fills WHERE account = ?"
        return {"fills": connection.execute(query, (job.account,)).fetchone()[0]}
