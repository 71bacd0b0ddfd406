"""The arguments of the job that computes what recorded data shows of the strategies."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.domain.jobs import JobArguments


class ProveJob(JobArguments):
    """Play strategies with their defaults over the data that is here, and judge them by rule.

    After fees, with latency, at quoted sizes where the data has them. It takes minutes for each day
    of books, and replaces what was proven before of the same strategy and data.
    """

    strategy: Annotated[
        str, Field(max_length=64, title="Strategy", description="a name; empty = all of them")
    ] = ""
    path: Annotated[
        str,
        Field(
            max_length=1_000,
            title="Data",
            description="a recording or a file of bars; A + B = files of bars played at the same "
            "time; empty = all that is here",
        ),
    ] = ""
