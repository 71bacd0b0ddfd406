"""Settings in versions: a page saves a diff against the version it showed; the engine applies it.

Saving is not applying: the new version waits until the engine has answered `ApplySettings`. An
edit made from an older version than the latest is stale and refused, with both shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import groupby
from sqlite3 import Connection
from typing import Any

import msgspec
from pydantic import ValidationError

from engine.domain.instruments import Mode
from engine.domain.settings import (
    AccountSettings,
    SettingsDocument,
    capitals_refusal,
    first_equity_micro,
)
from engine.errors import BadInput, ConfigError
from storage import alert_rules
from storage.database import WHY_LENGTH_MAX, Table, dicts, insert, note, transaction, update
from storage.listed_markets import markets_judged, price_alerts_refusal
from storage.live import latest_equity


class SettingsVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One saved version. Version 0 is the empty document before the first save."""

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
    note: str = ""
    """What is not known of it yet; empty = nothing."""


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """The edit was refused: somebody saved since. Show both and let the author decide."""

    base: SettingsVersion
    latest: SettingsVersion
    changes_since: tuple[Change, ...]
    """From `base` to `latest`."""


class _Row(msgspec.Struct, frozen=True):
    """A row as it must be to be read."""

    base_version: int
    at_ns: int
    who: str
    body: str
    applied_ns: int | None


_SETTINGS = Table(_Row, "settings")

_SOUND = f"typeof(version) = 'integer' AND version BETWEEN 1 AND {2**53}"
"""Versions that are numbers, with room for the next one."""

_SOUND_APPLIED = f"{_SOUND} AND typeof(applied_ns) = 'integer' AND applied_ns BETWEEN 0 AND {2**62}"
_IN_FORCE = f"{_SOUND_APPLIED} ORDER BY applied_ns, version"
"""Those that were applied, the last one last."""

Judge = Callable[[SettingsDocument], object]
"""Raises BadInput or ConfigError where a valid document cannot be worked by all the same."""


def latest(connection: Connection, engine_id: str) -> SettingsVersion:
    for version in _versions(connection, engine_id):
        with suppress(BadInput):
            return read(connection, engine_id, version)
    return read(connection, engine_id, 0)


def _versions(
    connection: Connection, engine_id: str, which: str = f"{_SOUND} ORDER BY version DESC"
) -> list[int]:
    """Return the numbers of saved versions; of all of them, the newest first, by default."""
    query = f"SELECT version FROM settings WHERE engine_id = ? AND {which}"  # noqa: S608 our own words
    return [version for (version,) in connection.execute(query, (engine_id,))]


def any_saved(connection: Connection, engine_id: str) -> bool:
    """Say whether there is any row of settings, be it one that cannot be read."""
    query = "SELECT 1 FROM settings WHERE engine_id = ? LIMIT 1"
    return connection.execute(query, (engine_id,)).fetchone() is not None


def begun_ns(connection: Connection, engine_id: str) -> int:
    """Return when the home's first settings were saved; no account was here before. 0 = none."""
    query = "SELECT min(at_ns) FROM settings WHERE engine_id = ?"
    return int(connection.execute(query, (engine_id,)).fetchone()[0] or 0)


def in_force(connection: Connection, engine_id: str) -> SettingsVersion:
    return last_in_force(connection, engine_id)[0]


def last_in_force(
    connection: Connection, engine_id: str, judge: Judge = lambda _: None
) -> tuple[SettingsVersion, tuple[str, ...]]:
    """Return the version applied last that can be worked by, and why each later one cannot."""
    aside: list[str] = []
    for version in reversed(_versions(connection, engine_id, _IN_FORCE)):
        try:
            found = read(connection, engine_id, version)
            judge(found.document)
        except (BadInput, ConfigError) as error:
            aside.append(f"version {version}: {error}")
            continue
        return found, tuple(aside)
    return read(connection, engine_id, 0), tuple(aside)


def force_history(connection: Connection, engine_id: str) -> list[SettingsVersion]:
    """Return every version the engine applied, in the order in which each came into force last."""
    applied = _versions(connection, engine_id, _IN_FORCE)
    return [read(connection, engine_id, version) for version in applied]


def read(connection: Connection, engine_id: str, version: int) -> SettingsVersion:
    """Return a version. Raises BadInput where it does not exist or is not valid any more."""
    if version == 0:
        return SettingsVersion(
            version=0, base_version=0, at_ns=0, who="", document=SettingsDocument(), applied_ns=None
        )
    what = f"version {version} of the settings"
    which = (engine_id, version)
    known = _SETTINGS.one(connection, "engine_id = ? AND version = ?", which, what)
    if known is None:
        raise BadInput(f"there is no {what}")
    try:
        document = json.loads(known.body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{what} cannot be read: {str(error)[:WHY_LENGTH_MAX]}") from error
    return SettingsVersion(
        version=version,
        base_version=known.base_version,
        at_ns=known.at_ns,
        who=known.who,
        document=_valid(document, f"{what} is not valid"),
        applied_ns=known.applied_ns,
    )


def save(
    connection: Connection,
    *,
    engine_id: str,
    who: str,
    diff: Mapping[str, object],
    base_version: int,
    now_ns: int,
) -> Saved | Stale:
    """Save `diff` (a JSON merge patch, RFC 7396: null removes) on top of `base_version`.

    The audit row is in the same transaction. Raises BadInput where the result is not valid, or
    where `edit_refusal` says why not, having changed nothing.
    """
    with transaction(connection):
        newest = latest(connection, engine_id)
        base = read(connection, engine_id, base_version)
        if base.version != newest.version:
            since = changes(base.document, newest.document)
            return Stale(base=base, latest=newest, changes_since=since)
        merge = merged(base.document.model_dump(mode="json"), diff)
        document = _valid(merge, "the settings are not valid", "; nothing was saved")
        differs = changes(base.document, document)
        if not differs:
            return Saved(version=newest.version, changes=())
        why = edit_refusal(
            connection, engine_id, before=base.document, after=document, now_ns=now_ns
        )
        if why:
            raise BadInput(f"{why}; nothing was saved")
        version = max(_versions(connection, engine_id), default=0) + 1
        insert(
            connection,
            "settings",
            engine_id=engine_id,
            version=version,
            base_version=base_version,
            at_ns=now_ns,
            who=who,
            body=document.model_dump_json(),
        )
        what = f"settings {version} saved"
        note(connection, engine_id, now_ns, who, what, base=base_version, changes=differs)
        saved = Saved(version=version, changes=differs)
        if base.document.bots == document.bots:
            return saved
        judged = markets_judged(connection, engine_id, base.document, document, now_ns)
    return msgspec.structs.replace(saved, note=judged.note)


def save_in_force(
    connection: Connection,
    engine_id: str,
    diff_of: Callable[[SettingsDocument], Mapping[str, object]],
    who: str,
    now_ns: int,
) -> SettingsVersion:
    """Save a change of the version in force. Raises BadInput, having saved nothing."""
    newest = latest(connection, engine_id)
    base = newest.version
    if base != in_force(connection, engine_id).version:
        raise BadInput(f"version {base} is saved and not applied: apply it first")
    diff = diff_of(newest.document)
    saved = save(
        connection, engine_id=engine_id, who=who, diff=diff, base_version=base, now_ns=now_ns
    )
    if isinstance(saved, Stale):
        raise BadInput("somebody else saved settings at the same moment: try again")
    return read(connection, engine_id, saved.version)


def applied(connection: Connection, engine_id: str, version: int, now_ns: int) -> None:
    """Note that the engine works by `version` from now on. Raises BadInput for an unknown one.

    The version applied last must stand last, also where the clock went back between two starts.
    """
    with transaction(connection):
        last = connection.execute(
            f"SELECT max(applied_ns) FROM settings WHERE engine_id = ? AND {_SOUND_APPLIED}",  # noqa: S608 our own words
            (engine_id,),
        ).fetchone()[0]
        at_ns = now_ns if last is None else max(now_ns, last + 1)
        which = {"engine_id": engine_id, "version": version}
        if not update(connection, "settings", which, applied_ns=at_ns):
            raise BadInput(f"there is no version {version} of the settings")


def _valid(document: object, what: str, end: str = "") -> SettingsDocument:
    try:
        return SettingsDocument.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'together'}: {one['msg']}"
            for one in error.errors(include_url=False)
        )
        raise BadInput(f"{what}: {wrong}{end}") from error


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


def _leaves(path: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [
            leaf
            for name, inner in value.items()
            for leaf in _leaves(f"{path}.{name}" if path else name, inner)
        ]
    return [(path, value)]


# -- What became of each bot -----------------------------------------------------------------------

BOT_VERSIONS_MAX = 500
"""Versions of the settings that are looked through for what became of a bot, the newest."""


class BotChange(msgspec.Struct, frozen=True, kw_only=True):
    """A saved version that made, changed or removed a bot, whose settings are JSON."""

    bot: str
    version: int
    previous: int
    """The version saved before it; 0 = it is the first that is looked at."""
    at_ns: int
    who: str
    applied_ns: int | None
    before: str
    after: str
    """Empty = there was no such bot."""


def bot_changes(connection: Connection, engine_id: str) -> list[BotChange]:
    """Return what the newest versions changed of each bot, in order; the first makes all it has."""
    newest = max(_versions(connection, engine_id), default=0)
    query = (
        "SELECT s.version, s.at_ns, s.who, s.applied_ns, b.key AS bot, b.value AS settings "  # noqa: S608 our own words
        "FROM settings s LEFT JOIN json_each(CASE WHEN json_valid(s.body) THEN s.body "
        f"ELSE '{{}}' END, '$.bots') b WHERE s.engine_id = ? AND {_SOUND} AND s.version > ? "
        "AND json_valid(s.body) ORDER BY s.version, b.key"
    )
    known: dict[str, str] = {}
    made: list[BotChange] = []
    previous = 0
    which = (engine_id, newest - BOT_VERSIONS_MAX)
    for version, rows in groupby(dicts(connection, query, which), lambda row: row["version"]):
        found = list(rows)
        now = {row["bot"]: row["settings"] for row in found if row["bot"] is not None}
        head = {name: found[0][name] for name in ("at_ns", "who", "applied_ns")}
        for bot in sorted(known.keys() | now.keys()):
            before, after = known.get(bot, ""), now.get(bot, "")
            if before != after:
                made.append(
                    BotChange(
                        bot=bot,
                        version=version,
                        previous=previous,
                        before=before,
                        after=after,
                        **head,
                    )
                )
        known, previous = now, version
    return made


def removed_bots(connection: Connection, engine_id: str) -> dict[str, BotChange]:
    """Return the bots that were there and are not, by name, each with its removal."""
    last = {one.bot: one for one in bot_changes(connection, engine_id)}
    return {name: one for name, one in sorted(last.items()) if not one.after}


# -- What became of each strategy's row ------------------------------------------------------------


class StrategyChange(msgspec.Struct, frozen=True, kw_only=True):
    """A saved version that changed what is kept of a strategy."""

    version: int
    at_ns: int
    who: str
    changes: tuple[Change, ...]


def strategy_changes(connection: Connection, engine_id: str, name: str) -> list[StrategyChange]:
    """Return what the newest versions changed of a strategy's row, the newest first."""
    query = (
        "SELECT version, at_ns, who, json_extract(body, '$.strategies') AS kept FROM settings "  # noqa: S608 our own words
        f"WHERE engine_id = ? AND {_SOUND} AND json_valid(body) ORDER BY version DESC LIMIT ?"
    )
    before: Mapping[str, object] = {}
    made: list[StrategyChange] = []
    for row in reversed(list(dicts(connection, query, (engine_id, BOT_VERSIONS_MAX)))):
        kept = json.loads(row["kept"] or "{}").get(name, {})
        now = dict(_leaves("", kept))
        differs = tuple(
            Change(field, before.get(field), now.get(field))
            for field in sorted(before.keys() | now.keys())
            if before.get(field) != now.get(field)
        )
        if differs:
            made.append(
                StrategyChange(
                    version=row["version"], at_ns=row["at_ns"], who=row["who"], changes=differs
                )
            )
        before = now
    return made[::-1]


# -- What the accounts are worth, for settings that give capital to bots ---------------------------

SEEN_NS_MAX = 3_600 * 1_000_000_000
"""How old the equity of a live account may be: a deposit is seen by a running engine alone."""


def edit_refusal(
    connection: Connection,
    engine_id: str,
    *,
    before: SettingsDocument,
    after: SettingsDocument,
    now_ns: int,
) -> str:
    """Return why a valid version is not saved; empty = it is.

    It names in its alerts what cannot be, a price alert's market or account among it, has a new
    bot of a strategy that is disabled or of a market that its venue does not list, or gives an
    account's bots more than the account has.
    """
    if why := alert_rules.refusal(before.alerts, after.alerts) or after.strategies_refusal(before):
        return why
    if before.bots != after.bots:
        judged = markets_judged(connection, engine_id, before, after, now_ns)
        if judged.refusal:
            return judged.refusal
    if before.alerts.prices != after.alerts.prices:
        why = price_alerts_refusal(connection, engine_id, before, after, now_ns)
        if why:
            return why

    def equity_micro(account: AccountSettings) -> int | None:
        seen = latest_equity(connection, engine_id, account.name)
        if seen is None:
            return first_equity_micro(account)
        if account.mode is Mode.LIVE and abs(now_ns - seen.at_ns) > SEEN_NS_MAX:
            return None
        return seen.equity_micro

    return capitals_refusal(before, after, equity_micro)
