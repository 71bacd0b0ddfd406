"""The tables of runs: replays, backtests and the points of a sweep."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from storage.columns import whole


class RunRow(SQLModel, table=True):
    """One run with everything needed to repeat it and what it brought."""

    __tablename__ = "runs"
    __table_args__ = (Index(None, "engine_id", "started_ns"),)

    id: int | None = Field(default=None, primary_key=True)
    engine_id: str
    mode: str
    account: str
    kind: str
    recording: str
    bot: str
    strategy: str
    parameters: str
    job: int | None = None
    started_ns: int = whole()
    finished_ns: int | None = whole(default=None)
    status: str
    error: str = ""
    digest: str = ""
    frames: int = whole(default=0)
    orders: int = whole(default=0)
    fills: int = whole(default=0)
    fees_micro: int = whole(default=0)
    pnl_micro: int = whole(default=0)
    events_per_s: float = 0.0
    peak_rss_mb: float = 0.0
    result: str = "{}"


class RunEquityRow(SQLModel, table=True):
    """The equity of a run over the recording's time, at mid."""

    __tablename__ = "run_equity"

    run: int = Field(primary_key=True, foreign_key="runs.id", ondelete="CASCADE")
    at_ns: int = whole(primary_key=True)
    engine_id: str
    mode: str
    account: str
    equity_micro: int = whole()


class RunMarketRow(SQLModel, table=True):
    """What one market brought in a run. `resolved` False = marked at the last mid."""

    __tablename__ = "run_markets"

    run: int = Field(primary_key=True, foreign_key="runs.id", ondelete="CASCADE")
    instrument: str = Field(primary_key=True)
    engine_id: str
    mode: str
    account: str
    orders: int = whole()
    fills: int = whole()
    fees_micro: int = whole()
    realised_micro: int = whole()
    unresolved_micro: int = whole()
    position_left: int = whole()
    resolved: bool
