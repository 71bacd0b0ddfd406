"""The baseline: every table as `storage.tables` declares it.

It is made from the declarations while no released version has to be brought up to date; version
0.2 writes it out, and every change after that is a migration of its own.
"""

from alembic import op

from storage.schema import BASELINE
from storage.tables import METADATA

revision: str = BASELINE
down_revision: str | None = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind(), checkfirst=False)
    # Audit is insert-only: whoever holds the file open, a row is never changed or deleted.
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'audit is insert-only'); END"
        )
