"""The tables of accounts that trade real money: what unlocked them, and their dead man's switch."""

from __future__ import annotations

from sqlmodel import Field, SQLModel

from storage.columns import whole


class LiveUnlockRow(SQLModel, table=True):
    """That a person unlocked an account for a wallet, after its doctor had found nothing wrong."""

    __tablename__ = "live_unlocks"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    wallet: str
    """The trading wallet the doctor looked at; another one needs another look."""
    doctor_ns: int = whole()
    """When the doctor was green."""
    phrase_ns: int = whole()
    """When the phrase was typed."""
    who: str


class VenueHeartbeatRow(SQLModel, table=True):
    """An account's heartbeat at a venue that cancels everything when it stops."""

    __tablename__ = "venue_heartbeats"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    mode: str
    beating: bool
    reason: str
    """Why it stands still; empty while it beats."""
    armed_ns: int | None = whole(default=None)
    """When the venue took the first beat; None = it cancels nothing by itself."""
    beat_ns: int | None = whole(default=None)
    cancels_ns: int | None = whole(default=None)
    """When the venue will have cancelled everything unless another beat arrives."""
    updated_ns: int = whole()


class LiveExaminationRow(SQLModel, table=True):
    """What the doctor, or the self-test, last found about an account."""

    __tablename__ = "live_examinations"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    examiner: str = Field(primary_key=True)
    wallet: str
    """The trading wallet it looked at; empty where no connection could be opened."""
    at_ns: int = whole()
    who: str
    findings: str
    """JSON: name, grade, said, fix."""
