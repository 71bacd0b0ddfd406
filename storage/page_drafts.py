"""What a person is making on a page: one draft each, kept in the home until saved or thrown away.

A tab that closes, a reload or a restart of the dashboard loses nothing of it. Whoever writes says
which draft was seen, so that two tabs never write over each other unseen.
"""

from __future__ import annotations

from sqlite3 import Connection
from typing import Generic, TypeVar

import msgspec

from engine.errors import BadInput
from storage.database import Table, transaction

DraftType = TypeVar("DraftType", bound=msgspec.Struct)


class StoredDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft as it is kept."""

    who: str
    body: str
    at_ns: int


class PageDrafts(Generic[DraftType]):
    """The drafts of one page: a table of `StoredDraft`, and what a body is."""

    def __init__(self, table: str, kind: type[DraftType], what: str) -> None:
        self.table = table
        self._kind = kind
        self._what = what
        self._rows = Table(StoredDraft, table)

    def of(self, connection: Connection, engine_id: str, who: str) -> tuple[DraftType, int] | None:
        """Return a person's draft and when it was written, ns UTC; None = there is none.

        Raises BadInput where it cannot be read.
        """
        mine = "engine_id = ? AND who = ?", (engine_id, who)
        kept = self._rows.one(connection, *mine, "the draft")
        if kept is None:
            return None
        try:
            return msgspec.json.decode(kept.body, type=self._kind), kept.at_ns
        except msgspec.DecodeError as error:
            raise BadInput(
                f"the draft of the {self._what} cannot be read: {error}; throw it away"
            ) from None

    def put(
        self,
        connection: Connection,
        engine_id: str,
        draft: DraftType,
        *,
        who: str,
        now_ns: int,
        seen_ns: int | None = None,
    ) -> int:
        """Keep a draft in the place of the person's one before; give when it was written.

        `seen_ns` = when the draft was written that the writer saw, 0 = saw none; None = whatever
        there is. Raises BadInput where another tab wrote meanwhile; then nothing was changed.
        """
        with transaction(connection):
            row = connection.execute(
                f"SELECT at_ns FROM {self.table} "  # noqa: S608 our own words
                "WHERE engine_id = ? AND who = ?",
                (engine_id, who),
            ).fetchone()
            before = int(row[0]) if row else 0
            if seen_ns is not None and before != seen_ns:
                raise BadInput(f"another tab changed the draft of the {self._what} meanwhile")
            body = msgspec.json.encode(draft).decode()
            made = StoredDraft(who=who, body=body, at_ns=max(now_ns, before + 1))
            self._rows.put(connection, engine_id, [made])
        return made.at_ns

    def drop(self, connection: Connection, engine_id: str, who: str) -> None:
        """Throw a person's draft away; without one nothing happens."""
        with transaction(connection):
            connection.execute(
                f"DELETE FROM {self.table} "  # noqa: S608 our own words
                "WHERE engine_id = ? AND who = ?",
                (engine_id, who),
            )
