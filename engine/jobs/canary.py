"""The daily look at whether a venue still is what this program was proven with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from engine.domain.alerts import AlertKind
from engine.domain.alerts.canary import BROKEN, CHANGED, UNASKED
from engine.domain.catalog import Finding, Grade
from engine.domain.effects import caution
from engine.domain.jobs.canary import CanaryJob
from engine.jobs.run import JobContext, job
from engine.venues.registry import drifted
from storage.alerts import raise_alert
from storage.database import transaction, writing
from storage.users import ENGINE_ID


@job(CanaryJob)
def canary(job: CanaryJob, context: JobContext) -> Mapping[str, object]:
    """Compare every venue with its contract; an alert for each that changed."""
    del job
    config = context.config
    texts: dict[str, object] = {}
    for venue, findings in asyncio.run(drifted(config)).items():
        odd = [one for one in findings if one.grade is not Grade.OK]
        texts[venue] = "; ".join(one.said for one in odd) or f"{len(findings)} checks, as recorded"
        if not odd:
            continue
        alert = caution(_kind_of(odd).name, f"{venue}: {texts[venue]}")
        with writing(config.state_path) as connection, transaction(connection):
            raise_alert(connection, ENGINE_ID, alert, None, context.now_ns())
    return texts


def _kind_of(odd: Sequence[Finding]) -> AlertKind:
    """Return the kind of alert of findings that are not as recorded, the worst of them."""
    if any(one.grade is Grade.FAIL for one in odd):
        return BROKEN
    return CHANGED if any(one.asked for one in odd) else UNASKED
