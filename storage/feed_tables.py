"""The tables of what is heard: how markets are called in words, and when a feed was not heard."""

from __future__ import annotations

from sqlmodel import Field, SQLModel

from storage.columns import whole


class TitleRow(SQLModel, table=True):
    """An instrument's name in words, as its venue writes it."""

    __tablename__ = "titles"

    engine_id: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    title: str
    slug: str
    updated_ns: int = whole()


class FeedGapRow(SQLModel, table=True):
    """A time in which a feed, or the book of one instrument, was not to be trusted."""

    __tablename__ = "feed_gaps"

    engine_id: str = Field(primary_key=True)
    feed: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    since_ns: int = whole(primary_key=True)
    until_ns: int | None = whole(default=None)
    """None = it lasts, or the engine ended in it."""
    reason: str
