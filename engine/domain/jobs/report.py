"""The arguments of the job that makes the flight report."""

from __future__ import annotations

from enum import StrEnum

from engine.domain.jobs import JobArguments, asked


class ReportPeriod(StrEnum):
    """What a report covers: the last whole one of the operator's zone, or the day so far."""

    TODAY = "today"
    """Since midnight; made again it stands in the place of the one before."""
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class ReportJob(JobArguments):
    """Write the flight report of the last whole day, week or month, or of today so far.

    Days are those of your time zone.

    It is kept under Reports, and an alert says so, which a rule may send.
    """

    housekeeping = True

    period: ReportPeriod = asked(
        "Period covered",
        "today so far, or the last whole day, week from Monday, or month",
        default=ReportPeriod.DAILY,
    )
