"""How markets are called in words, and when a feed was not heard.

Revision ID: 0006
Revises: 0005. There is no way down: restore the backup that `migrate` made.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.create_table(
        "titles",
        *[sa.Column(name, sa.String(), nullable=False) for name in ("engine_id", "instrument")],
        *[sa.Column(name, sa.String(), nullable=False) for name in ("title", "slug")],
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("engine_id", "instrument", name=op.f("pk_titles")),
    )
    op.create_table(
        "feed_gaps",
        *[sa.Column(name, sa.String(), nullable=False) for name in ("engine_id", "feed")],
        sa.Column("instrument", sa.String(), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint(
            "engine_id", "feed", "instrument", "since_ns", name=op.f("pk_feed_gaps")
        ),
    )
