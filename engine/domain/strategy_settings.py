"""What a person keeps of a strategy beside its file: whether new bots may run it, and its row.

A bot that runs the strategy goes on as it is, whatever is said here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.domain.settings_base import Settings

Tag = Annotated[str, Field(min_length=1, max_length=40)]


class StrategySettings(Settings):
    """One strategy's row; empty words are those of its file."""

    enabled: bool = Field(True, title="Enabled", description="off = no new bot may run it")
    removed: bool = Field(
        False,
        title="Removed",
        description="on = it is on no list, and no new bot may run it; restore brings it back",
    )
    description: str = Field(
        "", max_length=500, title="Description", description="in your words; empty = its file's"
    )
    direction: str = Field(
        "",
        pattern=r"^(long|short|both|neutral)?$",
        title="Direction",
        description="long, short, both or neutral; empty = not said",
    )
    category: str = Field(
        "", max_length=40, title="Category", description="in your words; empty = its file's"
    )
    tags: tuple[Tag, ...] = Field(
        (), max_length=20, title="Tags", description="besides those of its file"
    )
    template: str = Field(
        "", max_length=64, title="Made from", description="the strategy or rule it was made from"
    )


USUAL_STRATEGY = StrategySettings()
"""Of a strategy of which nothing was kept."""
