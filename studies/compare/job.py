"""The comparison as a job of the worker."""

from __future__ import annotations

from engine.domain.jobs import CompareJob
from engine.domain.plain import PlainView
from engine.jobs.run import JobContext, job
from studies.compare.run import CompareRequest, compare, store


@job(CompareJob)
def work(job: CompareJob, context: JobContext) -> PlainView:
    """Lay paper trading beside the truth; the report is stored as a run."""
    if known := context.stored():
        return known
    asked = CompareRequest(days=job.days, hours=job.hours, seed=job.seed, job=context.job.id)
    started_ns = context.now_ns()

    def progress(done: float, total: float, note: str) -> None:
        # Whole minutes of simulated time: progress is counted in integers.
        context.progress(round(60 * done), round(60 * total), "simulated minutes", note)

    found = compare(asked, progress)
    run = store(context.config, asked, found, (started_ns, context.now_ns()))
    return {"run": run, "days": job.days, "digest": found["digest"]}
