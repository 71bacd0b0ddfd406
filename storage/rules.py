"""Saved rules: every version of each is kept; the newest one counts. Removed ones come back."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

import msgspec

from storage.database import Table, insert, transaction

TABLE = "rules"


class SavedRule(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a rule. `document` is its JSON, as it was checked when it was saved."""

    name: str
    version: int
    title: str
    document: str
    who: str
    at_ns: int
    removed: bool = False
    """This version says that the rule is removed; its document is that of the version before."""


_ROWS = Table(SavedRule, TABLE)
_NEWEST = (
    "engine_id = ? AND version = (SELECT max(version) FROM rules AS newer "
    "WHERE newer.engine_id = rules.engine_id AND newer.name = rules.name)"
)


def save_rule(
    connection: Connection,
    engine_id: str,
    *,
    name: str,
    title: str,
    document: str,
    who: str,
    now_ns: int,
    removed: bool = False,
) -> SavedRule:
    """Keep a rule as its newest version and give that; the versions before stay."""
    with transaction(connection):
        row = connection.execute(
            "SELECT coalesce(max(version), 0) FROM rules WHERE engine_id = ? AND name = ?",
            (engine_id, name),
        ).fetchone()
        made = SavedRule(
            name=name,
            version=int(row[0]) + 1,
            title=title,
            document=document,
            who=who,
            at_ns=now_ns,
            removed=removed,
        )
        insert(connection, TABLE, engine_id=engine_id, **msgspec.structs.asdict(made))
    return made


def saved_rules(
    connection: Connection, engine_id: str, *, removed: bool = False
) -> list[SavedRule]:
    """Return the newest version of every rule by name: those that stand, or the removed ones."""
    where = f"{_NEWEST} AND removed = ? ORDER BY name"
    return _ROWS.all(connection, where, (engine_id, removed))


def rule_versions(connection: Connection, engine_id: str, name: str) -> list[SavedRule]:
    """Return every version of a rule, the newest first."""
    where = "engine_id = ? AND name = ? ORDER BY version DESC"
    return _ROWS.all(connection, where, (engine_id, name))


def newest_of(rules: Iterable[SavedRule], name: str) -> SavedRule | None:
    """Return the rule of this name, None where there is none."""
    return next((one for one in rules if one.name == name), None)
