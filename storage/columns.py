"""What all tables share: names of constraints, and the column of a 64-bit whole number."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

# Constraint names must be fixed: batch migrations can only change what has a name.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def whole(**options: Any) -> Any:
    """Return a 64-bit whole number column."""
    return Field(sa_type=BigInteger, **options)
