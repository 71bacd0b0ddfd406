"""What unlocked a live account, and its heartbeat at the venue.

Revision ID: 0005
Revises: 0004. There is no way down: restore the backup that `migrate` made.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"

WHOLE, TEXT = sa.BigInteger(), sa.String()


def _columns(kind: Any, *names: str, null: bool = False) -> list[Any]:
    return [sa.Column(name, kind, nullable=null) for name in names]


def upgrade() -> None:
    op.create_table(
        "live_unlocks",
        *_columns(TEXT, "engine_id", "account", "wallet"),
        *_columns(WHOLE, "doctor_ns", "phrase_ns"),
        *_columns(TEXT, "who"),
        sa.PrimaryKeyConstraint("engine_id", "account", name=op.f("pk_live_unlocks")),
    )
    op.create_table(
        "venue_heartbeats",
        *_columns(TEXT, "engine_id", "account", "mode"),
        sa.Column("beating", sa.Boolean(), nullable=False),
        *_columns(TEXT, "reason"),
        *_columns(WHOLE, "armed_ns", "beat_ns", "cancels_ns", null=True),
        *_columns(WHOLE, "updated_ns"),
        sa.PrimaryKeyConstraint("engine_id", "account", name=op.f("pk_venue_heartbeats")),
    )
