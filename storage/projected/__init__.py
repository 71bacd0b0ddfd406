"""What is folded from the journal into the state file: every noun that a file here declares.

A noun is a file with a `NOUN`: its tables, and what each message means to them. A new file, here or
in `projected` of a plug-in, makes a new table in every home, filled from the whole journal, at the
next start. A plug-in's tables begin with its name and `__`; where its handler fails, the problem
names the record, and the others are folded.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from sqlite3 import Connection

import msgspec

from engine.domain.instruments import Mode
from engine.errors import PluginFailed
from engine.plugins import Found, found
from storage.fold import Fold, Noun, NounHandler, ProjectedTable, Rows
from storage.journal import Record


def _found() -> dict[str, Noun]:
    made: dict[str, Noun] = {}
    for one in found("projected", __name__):
        noun = getattr(one.module, "NOUN", None)
        if why := _refusal(one, noun, made):
            one.refuse(why)
        else:
            made[one.name] = _sparing(one, one.module.NOUN)
    return made


def _refusal(one: Found, noun: object, made: dict[str, Noun]) -> str:
    """Return why a file declares no noun that can be folded; empty = it does."""
    if not isinstance(noun, Noun):
        return "it declares no NOUN of type Noun"
    if one.name in made:
        return f"there is a noun {one.name!r} already"
    for table in noun.tables if one.plugin else ():
        if not table.name.startswith(f"{one.plugin}__"):
            return f"call its table {one.plugin}__{table.name}: a home knows by it whose it is"
    wrong = one.tried(lambda: noun.mark)
    return f"its tables cannot be made: {wrong}" if wrong else ""


def _sparing(one: Found, noun: Noun) -> Noun:
    """Return a noun; a plug-in's whose handlers report what they fail on, and let the rest fold."""
    if not one.plugin:
        return noun

    def sparing(handler: NounHandler) -> NounHandler:
        guarded = one.guarded(handler, sqlite3.Error)

        def handle(fold: Fold, message: msgspec.Struct, record: Record) -> None:
            try:
                guarded(fold, message, record)
            except PluginFailed as error:
                fold.report(f"record {record.seq} is not in the tables of {one.name}: {error}")

        return handle

    return noun._replace(handlers={kind: sparing(one) for kind, one in noun.handlers.items()})


NOUNS = _found()
"""Every noun by the name of its file."""

PROJECTED: dict[type[msgspec.Struct], ProjectedTable] = {
    table.kind: table for noun in NOUNS.values() for table in noun.tables
}
"""Every table of the projection by what its rows are."""

TABLES = tuple(table.name for table in PROJECTED.values())
"""What is deleted before a rebuild."""

HANDLERS: dict[str, list[NounHandler]] = defaultdict(list)
"""What the nouns do with a message, by the name of its kind."""

for _noun in NOUNS.values():
    for _kind, _handler in _noun.handlers.items():
        HANDLERS[_kind.__name__].append(_handler)

MARKS = frozenset(f"{name}:{noun.mark}" for name, noun in NOUNS.items())
"""What the rows of this version were made by: other ones are built anew."""


def fold_into(connection: Connection, engine_id: str, modes: Mapping[str, Mode]) -> Fold:
    """Return a fold into the tables of an engine in a state file."""
    return Fold(Rows(connection, engine_id, modes, PROJECTED), HANDLERS)
