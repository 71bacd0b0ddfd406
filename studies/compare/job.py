"""The comparison as a job of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from engine.domain.jobs import CompareJob
from engine.jobs.run import JobContext, job
from storage.database import connect_reader
from storage.runs import run_of_job
from studies.compare.run import CompareRequest, compare, store


@job(CompareJob)
def work(job: CompareJob, context: JobContext) -> Mapping[str, Any]:
    """Lay paper trading beside the truth; the report is stored as a run."""
    config, number = context.config, context.job.id
    if config.state_path.is_file():
        with closing(connect_reader(config.state_path)) as connection:
            known = run_of_job(connection, number)
        if known is not None:
            return {"run": known, "note": "an earlier attempt had stored it already"}
    asked = CompareRequest(days=job.days, hours=job.hours, seed=job.seed, job=number)
    started_ns = context.now_ns()

    def tell(done: float, total: float, note: str) -> None:
        # Whole minutes of simulated time: progress is counted in integers.
        context.progress(round(60 * done), round(60 * total), "simulated minutes", note)

    found = compare(asked, tell)
    run = store(config, asked, found, (started_ns, context.now_ns()))
    return {"run": run, "days": job.days, "digest": found["digest"]}
