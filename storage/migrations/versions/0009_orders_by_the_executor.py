"""Where an order stands is the executor's word: no doubts are counted beside it any more.

Revision ID: 0009
Revises: 0008. There is no way down: restore the backup that `migrate` made.
"""

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    op.drop_column("orders", "doubts")
