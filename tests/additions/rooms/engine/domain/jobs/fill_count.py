"""A job that a file adds: what it takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.domain.jobs import JobArguments


class FillCountJob(JobArguments):
    """Count the fills of an account."""

    account: Annotated[str, Field(min_length=1, description="whose fills")] = "demo"
