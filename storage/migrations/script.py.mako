"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}. There is no way down: restore the backup that `migrate` made.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op
${imports if imports else ""}
revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
