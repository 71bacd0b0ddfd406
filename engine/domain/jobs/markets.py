"""The arguments of the job that fetches a venue's listing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.domain.jobs import JobArguments


class MarketsJob(JobArguments):
    """Fetch the list of all markets of a venue, so that they can be searched on the Markets page.

    Only what changed is written. An interrupted fetch continues where it stopped. Where no venue is
    named and no account is at Polymarket, the venue of the accounts is asked.
    """

    housekeeping = True

    venue: Annotated[
        str,
        Field(
            min_length=1, max_length=64, title="Listed by", description="whose markets are listed"
        ),
    ] = "polymarket"
