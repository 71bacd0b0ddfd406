"""Computes the evidence of strategies: the verdicts on the Strategies page come from here alone."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.evidence import verdict_of
from engine.domain.jobs.prove import ProveJob
from engine.errors import BadInput
from engine.jobs.run import JobContext, job
from engine.lab.evidence import NOTHING_HERE, data_here, prove


@job(ProveJob)
def evidence(job: ProveJob, context: JobContext) -> Mapping[str, object]:
    """Prove one strategy or all over the data that is here; give the verdict of each row."""
    named = [job.path] if job.path else []
    data, left = data_here(context.config, named)
    if not data:
        raise BadInput("; ".join([NOTHING_HERE, *left]))
    wanted = [job.strategy] if job.strategy else []

    def progress(done: int, total: int, note: str) -> None:
        context.progress(done, total, "bytes", note)

    rows = prove(context.config, wanted, data, context.now_ns(), progress)
    return {
        "verdicts": {f"{row.strategy} · {row.data}": verdict_of(row)[0] for row in rows},
        "left_out": left,
    }
