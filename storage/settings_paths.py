"""One value of the settings by its dotted path, and the merge patch between two documents.

A document is the JSON of a `SettingsDocument`. A path is the names on the way, with dots between:
`accounts.paper.limits.daily_loss_max`. A name that holds dots itself is found where it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.domain.plain import PlainDict, PlainView
from engine.errors import BadRequest

KNOWN_MAX = 12
"""Most names that a refusal lists."""

NAMED = ("accounts", "bots")
"""Parts of a document whose entries repeat their own name in a field `name`."""


def value_at(document: PlainView, path: str) -> Any:
    """Return the value at a path; the empty path is the whole. Raises BadRequest: what is known.

    >>> value_at({"bots": {"maker.1": {"capital": 5.0}}}, "bots.maker.1.capital")
    5.0
    """
    found: Any = document
    rest = path
    while rest:
        name = _known(found, rest)
        if name is None:
            raise _no_such(found, path, rest)
        found, rest = found[name], rest[len(name) + 1 :]
    return found


def with_value(document: PlainView, path: str, value: Any) -> PlainDict:
    """Return the document with the value at a path replaced whole; what leads there is made.

    A new account or bot is given its name. Raises BadRequest where a value stands in the way.

    >>> with_value({"bots": {}}, "bots.a.capital", 5)
    {'bots': {'a': {'name': 'a', 'capital': 5}}}
    """
    names = names_of(document, path)
    if names[0] in NAMED and len(names) > 1:
        entry = dict((document.get(names[0]) or {}).get(names[1]) or {"name": names[1]})
        if len(names) == 2:
            value = {"name": names[1], **value} if isinstance(value, Mapping) else value
        else:
            value = _set(entry, names[2:], value, path)
        names = names[:2]
    return _set(document, names, value, path)


def without(document: PlainView, path: str) -> PlainDict:
    """Return the document without what stands at a path. Raises BadRequest where nothing does."""
    value_at(document, path)
    names = names_of(document, path)
    kept = {
        key: one
        for key, one in value_at(document, ".".join(names[:-1])).items()
        if key != names[-1]
    }
    return _set(document, names[:-1], kept, path) if names[:-1] else kept


def patch_between(now: Mapping[str, object], then: Mapping[str, object]) -> dict[str, object]:
    """Return the merge patch (RFC 7396) that makes `then` of `now`.

    >>> patch_between({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
    {'a': None, 'b': {'c': 4, 'd': None}}
    """
    patch: dict[str, object] = {}
    for name in sorted(now.keys() | then.keys()):
        before, after = now.get(name), then.get(name)
        if before == after:
            continue
        if isinstance(after, Mapping):
            patch[name] = patch_between(before if isinstance(before, Mapping) else {}, after)
        else:
            patch[name] = after
    return patch


def names_of(document: PlainView, path: str) -> list[str]:
    """Return the names of a path: known ones as they are, the rest cut at its dots."""
    names: list[str] = []
    found: Any = document
    rest = path
    while rest:
        name = _known(found, rest)
        if name is None:
            names += rest.split(".")
            break
        names.append(name)
        found, rest = found[name], rest[len(name) + 1 :]
    if not names or not all(names):
        raise BadRequest(f"{path!r} is no path: write it as bots.NAME.capital", "no_such_setting")
    return names


def _known(found: object, rest: str) -> str | None:
    """Return the longest name in `found` that `rest` begins with."""
    if not isinstance(found, Mapping):
        return None
    fitting = [name for name in found if rest == name or rest.startswith(f"{name}.")]
    return max(fitting, key=len, default=None)


def _set(
    document: Mapping[str, object], names: list[str], value: object, path: str
) -> dict[str, object]:
    name, *rest = names
    if not rest:
        return {**document, name: value}
    inner = document.get(name)
    if inner is not None and not isinstance(inner, Mapping):
        text = f"{path}: {name} is the value {inner!r} and holds nothing named {rest[0]!r}"
        raise BadRequest(text, "no_such_setting")
    return {**document, name: _set(inner or {}, rest, value, path)}


def _no_such(found: object, path: str, rest: str) -> BadRequest:
    names = sorted(found) if isinstance(found, Mapping) else []
    more = f" and {len(names) - KNOWN_MAX} more" if len(names) > KNOWN_MAX else ""
    known = ", ".join(names[:KNOWN_MAX]) or "nothing"
    text = f"there is no setting {path!r}: {rest!r} is not known there; known: {known}{more}"
    return BadRequest(text, "no_such_setting")
