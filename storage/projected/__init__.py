"""What is folded from the journal into the state file: every noun that a file here declares.

A noun is a file with a `NOUN`: its tables, and what each message means to them. A new file makes a
new table in every home, filled from the whole journal, at the next start.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Mapping
from sqlite3 import Connection

import msgspec

from engine.domain.instruments import Mode
from storage.fold import Fold, Noun, NounHandler, ProjectedTable, Rows

NOUNS: dict[str, Noun] = {
    found.name: importlib.import_module(f"{__name__}.{found.name}").NOUN
    for found in pkgutil.iter_modules(__path__)
}
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
