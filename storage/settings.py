"""Settings in versions: a page saves a diff against the version it showed; the engine applies it.

Saving is not applying: the new version waits until the engine has answered `ApplySettings`. An
edit made from an older version than the latest is stale and refused, with both shown.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from engine.domain.settings import SettingsDocument
from engine.errors import BadInput
from storage.audit import note
from storage.database import transaction


class SettingsVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One saved version. Version 0 is the empty document nobody saved."""

    version: int
    base_version: int
    at_ns: int
    who: str
    document: SettingsDocument
    applied_ns: int | None
    """None = the engine has not applied it."""


class Change(msgspec.Struct, frozen=True):
    """One value that differs. None on a side = not there."""

    path: str
    before: Any
    after: Any


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The edit is saved as `version`; it is in force when the engine has applied it."""

    version: int
    changes: tuple[Change, ...]


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """The edit was refused: somebody saved since. Show both and let the author decide."""

    base: SettingsVersion
    latest: SettingsVersion
    changes_since: tuple[Change, ...]
    """From `base` to `latest`."""


def latest(connection: sqlite3.Connection, engine_id: str) -> SettingsVersion:
    """Return the newest saved version."""
    row = connection.execute(
        "SELECT max(version) FROM settings WHERE engine_id = ?", (engine_id,)
    ).fetchone()
    return read(connection, engine_id, row[0] or 0)


def in_force(connection: sqlite3.Connection, engine_id: str) -> SettingsVersion:
    """Return the version the engine applied last."""
    row = connection.execute(
        "SELECT version FROM settings WHERE engine_id = ? AND applied_ns IS NOT NULL "
        "ORDER BY applied_ns DESC, version DESC LIMIT 1",
        (engine_id,),
    ).fetchone()
    return read(connection, engine_id, row[0] if row else 0)


def force_history(connection: sqlite3.Connection, engine_id: str) -> list[SettingsVersion]:
    """Return every version the engine applied, in the order in which each came into force last."""
    rows = connection.execute(
        "SELECT version FROM settings WHERE engine_id = ? AND applied_ns IS NOT NULL "
        "ORDER BY applied_ns, version",
        (engine_id,),
    ).fetchall()
    return [read(connection, engine_id, version) for (version,) in rows]


def read(connection: sqlite3.Connection, engine_id: str, version: int) -> SettingsVersion:
    """Return a version. Raises BadInput where it does not exist or is not valid any more."""
    if version == 0:
        return SettingsVersion(
            version=0,
            base_version=0,
            at_ns=0,
            who="",
            document=SettingsDocument(),
            applied_ns=None,
        )
    row = connection.execute(
        "SELECT base_version, at_ns, who, body, applied_ns FROM settings "
        "WHERE engine_id = ? AND version = ?",
        (engine_id, version),
    ).fetchone()
    if row is None:
        raise BadInput(f"there is no version {version} of the settings")
    base, at_ns, who, body, applied_ns = row
    return SettingsVersion(
        version=version,
        base_version=base,
        at_ns=at_ns,
        who=who,
        document=_valid(json.loads(body)),
        applied_ns=applied_ns,
    )


def save(
    connection: sqlite3.Connection,
    *,
    engine_id: str,
    who: str,
    diff: Mapping[str, Any],
    base_version: int,
    now_ns: int,
) -> Saved | Stale:
    """Save `diff` (a JSON merge patch, RFC 7396: null removes) on top of `base_version`.

    The audit row is in the same transaction. Raises BadInput where the result is not valid, having
    changed nothing.
    """
    with transaction(connection):
        newest = latest(connection, engine_id)
        base = read(connection, engine_id, base_version)
        if base.version != newest.version:
            since = changes(base.document, newest.document)
            return Stale(base=base, latest=newest, changes_since=since)
        document = _valid(merged(base.document.model_dump(mode="json"), diff))
        differs = changes(base.document, document)
        if not differs:
            return Saved(version=newest.version, changes=())
        version = newest.version + 1
        connection.execute(
            "INSERT INTO settings (engine_id, version, base_version, at_ns, who, body) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (engine_id, version, base_version, now_ns, who, document.model_dump_json()),
        )
        note(
            connection,
            engine_id=engine_id,
            at_ns=now_ns,
            who=who,
            what=f"settings {version} saved",
            detail={"base": base_version, "changes": differs},
        )
    return Saved(version=version, changes=differs)


def applied(connection: sqlite3.Connection, engine_id: str, version: int, now_ns: int) -> None:
    """Note that the engine works by `version` from now on. Raises BadInput for an unknown one.

    The version applied last must stand last, also where the clock went back between two starts.
    """
    with transaction(connection):
        last = connection.execute(
            "SELECT max(applied_ns) FROM settings WHERE engine_id = ?", (engine_id,)
        ).fetchone()[0]
        at_ns = now_ns if last is None else max(now_ns, last + 1)
        noted = connection.execute(
            "UPDATE settings SET applied_ns = ? WHERE engine_id = ? AND version = ?",
            (at_ns, engine_id, version),
        )
        if noted.rowcount != 1:
            raise BadInput(f"there is no version {version} of the settings")


def _valid(document: Mapping[str, Any]) -> SettingsDocument:
    try:
        return SettingsDocument.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'together'}: {one['msg']}"
            for one in error.errors(include_url=False)
        )
        raise BadInput(f"the settings are not valid: {wrong}; nothing was saved") from error


def merged(document: Any, diff: Any) -> Any:
    """Return `document` with a merge patch applied: objects merge, null removes, all else wins."""
    if not isinstance(diff, Mapping):
        return diff
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in diff.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def changes(before: SettingsDocument, after: SettingsDocument) -> tuple[Change, ...]:
    """Return every single value that differs, by path, in order."""
    old = dict(_leaves("", before.model_dump(mode="json")))
    new = dict(_leaves("", after.model_dump(mode="json")))
    return tuple(
        Change(path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [
            leaf
            for name, inner in value.items()
            for leaf in _leaves(f"{path}.{name}" if path else name, inner)
        ]
    return [(path, value)]
