"""Checks of equity, markouts of fills, cash moves, and fills by what is settled of them.

Revision ID: 0004
Revises: 0003. There is no way down: restore the backup that `migrate` made.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"

WHOLE, TEXT = sa.BigInteger(), sa.String()


def _columns(kind: Any, *names: str, null: bool = False) -> list[Any]:
    return [sa.Column(name, kind, nullable=null) for name in names]


def upgrade() -> None:
    op.create_table(
        "cash_moves",
        *_columns(TEXT, "engine_id", "account"),
        *_columns(WHOLE, "seq"),
        *_columns(TEXT, "mode", "currency"),
        *_columns(WHOLE, "amount_micro", "at_ns"),
        sa.PrimaryKeyConstraint("engine_id", "account", "seq", name=op.f("pk_cash_moves")),
    )
    op.create_table(
        "equity_checks",
        *_columns(TEXT, "engine_id", "account", "mode", "currency"),
        *_columns(WHOLE, "at_ns", "seq", "cash_micro", "pending_micro", "inventory_micro"),
        *_columns(WHOLE, "equity_micro", "journal_cash_micro", "journal_inventory_micro"),
        *_columns(WHOLE, "journal_equity_micro", "difference_micro"),
        sa.Column("judged", sa.Boolean(), nullable=False),
        *_columns(TEXT, "text"),
        *_columns(WHOLE, "checks", "differed"),
        *_columns(WHOLE, "differed_ns", null=True),
        sa.PrimaryKeyConstraint("engine_id", "account", name=op.f("pk_equity_checks")),
    )
    op.create_table(
        "markouts",
        *_columns(TEXT, "engine_id", "account", "fill"),
        *_columns(WHOLE, "horizon_ms"),
        *_columns(TEXT, "mode", "bot", "instrument", "liquidity", "leg"),
        sa.Column("sign", sa.Integer(), nullable=False),
        *_columns(WHOLE, "price_micro"),
        *_columns(WHOLE, "due_ns", null=True),
        *_columns(TEXT, "state"),
        *_columns(WHOLE, "markout_micro", null=True),
        sa.PrimaryKeyConstraint(
            "engine_id", "account", "fill", "horizon_ms", name=op.f("pk_markouts")
        ),
    )
    op.create_table(
        "markout_sums",
        *_columns(TEXT, "engine_id", "account", "bot", "liquidity"),
        *_columns(WHOLE, "horizon_ms"),
        *_columns(TEXT, "mode"),
        *_columns(WHOLE, "known", "unknown", "sum_micro"),
        sa.Column("squares", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint(
            "engine_id", "account", "bot", "liquidity", "horizon_ms", name=op.f("pk_markout_sums")
        ),
    )
    op.create_index(
        op.f("ix_markouts_engine_id_state_instrument"),
        "markouts",
        ["engine_id", "state", "instrument"],
    )
    op.create_index(
        op.f("ix_fills_engine_id_account_state"), "fills", ["engine_id", "account", "state"]
    )
