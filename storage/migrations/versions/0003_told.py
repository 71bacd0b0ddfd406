"""What the engine tells of money, and the decision behind each order.

Revision ID: 0003
Revises: 0002. There is no way down: restore the backup that `migrate` made.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"

WHOLE, TEXT = sa.BigInteger(), sa.String()


def upgrade() -> None:
    with op.batch_alter_table("orders", schema=None) as batch_op:
        # Orders of before have none: the projection is rebuilt from the journal at the next start.
        batch_op.add_column(sa.Column("decision", WHOLE, nullable=False, server_default="0"))
    op.create_table(
        "holdings",
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in ("engine_id", "account", "instrument", "mode", "currency", "bot")
        ),
        *(
            sa.Column(name, WHOLE, nullable=False)
            for name in (
                "yes_settled",
                "yes_pending",
                "no_settled",
                "no_pending",
                "yes_cost_micro",
                "no_cost_micro",
                "value_micro",
            )
        ),
        sa.Column("mid2", WHOLE, nullable=True),
        sa.Column("marked_ns", WHOLE, nullable=True),
        sa.Column("realised_micro", WHOLE, nullable=False),
        sa.Column("fees_micro", WHOLE, nullable=False),
        sa.Column("payout_yes_micro", WHOLE, nullable=True),
        sa.Column("opened_ns", WHOLE, nullable=True),
        sa.Column("updated_ns", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("engine_id", "account", "instrument", name=op.f("pk_holdings")),
    )
    with op.batch_alter_table("holdings", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_holdings_engine_id_bot"), ["engine_id", "bot"], unique=False
        )
    op.create_table(
        "pnl",
        *(sa.Column(name, TEXT, nullable=False) for name in ("engine_id", "account", "bot")),
        sa.Column("at_ns", WHOLE, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("mode", "currency")),
        *(
            sa.Column(name, WHOLE, nullable=False)
            for name in ("realised_micro", "fees_micro", "unrealised_micro")
        ),
        sa.PrimaryKeyConstraint("engine_id", "account", "bot", "at_ns", name=op.f("pk_pnl")),
    )
    op.create_table(
        "limit_use",
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in ("engine_id", "account", "name", "subject", "mode", "currency")
        ),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("used", "limit_value")),
        sa.Column("unit", TEXT, nullable=False),
        sa.Column("updated_ns", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(
            "engine_id", "account", "name", "subject", name=op.f("pk_limit_use")
        ),
    )
