"""Computes an indicator, or a rule's conditions, over past bars: for the charts of their pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.domain.jobs.probe import ProbeJob
from engine.errors import BadInput
from engine.jobs.run import JobContext, job
from engine.lab.probe import bars_of, probe_indicator, probe_rule


@job(ProbeJob)
def probe(job: ProbeJob, context: JobContext) -> Mapping[str, object]:
    """Return series of numbers with the closes beside them; `told` says it in a sentence."""
    if not (job.rule or job.indicator):
        raise BadInput("name an indicator, or give a rule")
    with _bars(job, context) as path:
        if job.rule:
            found = probe_rule(path, job.rule)
            told = f"{found['fills']} fills over {found['count']:,} bars of {found['bars']}"
        else:
            found = probe_indicator(path, job.number())
            told = f"{job.indicator} over {found['count']:,} bars of {found['bars']}"
    return {"told": told, **found, "of": job.instrument or job.path}


@contextmanager
def _bars(job: ProbeJob, context: JobContext) -> Iterator[Path]:
    if job.instrument:
        with bars_of(context.config, job.instrument, job.hours, context.now_ns()) as path:
            yield path
        return
    if not job.path:
        raise BadInput("name a file of bars, or a market")
    yield context.recording(job.path)
