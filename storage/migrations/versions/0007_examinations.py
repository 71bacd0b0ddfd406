"""What was last found about each live account.

Revision ID: 0007
Revises: 0006. There is no way down: restore the backup that `migrate` made.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    op.create_table(
        "live_examinations",
        *[
            sa.Column(name, sa.String(), nullable=False)
            for name in ("engine_id", "account", "examiner", "wallet")
        ],
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        *[sa.Column(name, sa.String(), nullable=False) for name in ("who", "findings")],
        sa.PrimaryKeyConstraint(
            "engine_id", "account", "examiner", name=op.f("pk_live_examinations")
        ),
    )
