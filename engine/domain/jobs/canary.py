"""The arguments of the job that compares venues with what this program was proven with."""

from __future__ import annotations

from engine.domain.jobs import JobArguments


class CanaryJob(JobArguments):
    """Ask each venue public questions and compare the answers with the recorded contract.

    What changed (fields, ticks, fees, book hashes, the SDK) is named and raises an alert.
    """

    housekeeping = True
