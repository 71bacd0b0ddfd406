"""The daily look at whether a venue still is what this program was proven with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from engine.domain.alerts.canary import DRIFT
from engine.domain.catalog import Grade
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.jobs.canary import CanaryJob
from engine.jobs.run import JobContext, job
from engine.venues.registry import drifted
from storage.alerts import raise_alert
from storage.database import transaction, writing
from storage.users import ENGINE_ID


@job(CanaryJob)
def canary(job: CanaryJob, context: JobContext) -> Mapping[str, Any]:
    """Compare every venue with its contract; an alert for each that changed."""
    del job
    config = context.config
    texts: dict[str, Any] = {}
    for venue, findings in asyncio.run(drifted(config)).items():
        odd = [one for one in findings if one.grade is not Grade.OK]
        texts[venue] = "; ".join(one.said for one in odd) or f"{len(findings)} checks, as recorded"
        if not odd:
            continue
        bad = any(one.grade is Grade.FAIL for one in odd)
        severity = Severity.CRITICAL if bad else Severity.WARNING
        alert = RaiseAlert(severity=severity, kind=DRIFT.name, text=f"{venue}: {texts[venue]}")
        with writing(config.state_path) as connection, transaction(connection):
            raise_alert(connection, ENGINE_ID, alert, None, context.now_ns())
    return texts
