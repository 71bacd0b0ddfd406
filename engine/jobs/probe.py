"""Computes an indicator, a rule or a strategy's picture over bars: for the charts of pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.domain.jobs.probe import ProbeJob
from engine.errors import BadInput
from engine.jobs.run import JobContext, job
from engine.lab.probe import bars_of, probe_indicator, probe_rule, probe_strategy


@job(ProbeJob)
def probe(job: ProbeJob, context: JobContext) -> Mapping[str, object]:
    """Return series of numbers with the closes beside them; `told` says it in a sentence."""
    if job.strategy:
        found = probe_strategy(job.strategy)
        words = f"{job.strategy}: {found['fills']} fills on a made-up path of {found['bars']}"
        return {**found, "told": words, "of": "a made-up path"}
    if not (job.rule or job.indicator):
        raise BadInput("name an indicator, or give a rule or a strategy")
    with _bars(job, context) as path:
        if job.rule:
            found = probe_rule(path, job.rule)
            words = str(found["summary"])
        else:
            found = probe_indicator(path, job.number())
            words = f"{job.indicator} over {found['count']:,} bars of {found['bars']}"
    return {"told": words, **found, "of": job.instrument or job.path}


@contextmanager
def _bars(job: ProbeJob, context: JobContext) -> Iterator[Path]:
    if job.instrument:
        with bars_of(context.config, job.instrument, job.hours, context.now_ns()) as path:
            yield path
        return
    if not job.path:
        raise BadInput("name a file of bars, or a market")
    yield context.recording(job.path)
