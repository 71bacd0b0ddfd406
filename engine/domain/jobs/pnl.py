"""The arguments of the job that keeps each day's PnL."""

from __future__ import annotations

from engine.domain.jobs import JobArguments


class PnlJob(JobArguments):
    """Keep what each owner made on the last whole day, from 00:00 to 00:00 UTC.

    It stands under Reports. Made again it stands in the place of the first.
    """

    housekeeping = True
