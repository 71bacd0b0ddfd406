"""Alembic's scripts for the state file; `storage.schema` runs them."""
