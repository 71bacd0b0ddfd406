"""The arguments of the job that computes an indicator, a rule or a strategy's picture over bars."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.domain.jobs import JobArguments
from engine.domain.rules import IndicatorNumber

ProbeText = Annotated[str, Field(max_length=1_000)]


class ProbeJob(JobArguments):
    """Compute an indicator, or every condition of a rule, over a file of bars or a market.

    Of a market the bars are those of its mid that this desk received. Nothing is traded. Of a
    strategy it is what it does with its defaults on a made-up path.
    """

    path: Annotated[
        ProbeText,
        Field(title="File of bars", description="a name under data, or a path; or a market"),
    ] = ""
    instrument: Annotated[
        ProbeText, Field(title="Market", description="one this desk receives; empty = the file")
    ] = ""
    hours: Annotated[
        int,
        Field(ge=1, le=720, title="Hours back", description="of a market: how far back"),
    ] = 24
    rule: Annotated[
        str,
        Field(
            max_length=20_000,
            title="Rule of conditions",
            description="as JSON; empty = an indicator",
        ),
    ] = ""
    indicator: Annotated[
        str,
        Field(max_length=64, title="Name of the indicator", description="its name in the library"),
    ] = ""
    settings: dict[str, int | float | str] = Field(
        default_factory=dict,
        title="Settings of the indicator",
        description="where they differ from the defaults",
    )
    bars: Annotated[
        str,
        Field(max_length=32, title="Fed with bars", description="which it is fed with, e.g. 5m"),
    ] = ""
    mids: Annotated[
        bool, Field(title="Of mids", description="fed with mids, where it is fed with prices")
    ] = False

    strategy: Annotated[
        str,
        Field(max_length=64, title="Strategy", description="its picture on a made-up path; alone"),
    ] = ""

    def number(self) -> IndicatorNumber:
        """Return the indicator that is asked for."""
        return IndicatorNumber(self.indicator, dict(self.settings), self.bars, self.mids)
