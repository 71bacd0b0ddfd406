"""The bot a person is making: one draft each, kept in the home until it is saved or thrown away.

A tab that closes, a reload or a restart of the dashboard loses nothing of it. Whoever writes says
which draft was seen, so that two tabs never write over each other unseen.
"""

from __future__ import annotations

from sqlite3 import Connection

import msgspec

from engine.errors import BadInput
from storage.database import Table, transaction

TABLE = "bot_drafts"


class BotDraft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was typed so far. An empty text = not chosen yet."""

    step: int = 0
    """The step that is open, the first is 0."""
    origin: str = ""
    """What it began with, in words: a bot that is duplicated, a backtest; empty = nothing."""
    account: str = ""
    instruments: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    follows: str = ""
    strategy: str = ""
    parameters: dict[str, object] = {}
    """Where they differ from the strategy's defaults."""
    capital: float = 100.0
    """In the account's currency."""
    own: dict[str, object] = {}
    """Further fields of the bot's settings, where they differ from their defaults."""
    sizing: dict[str, object] = {}
    data: str = ""
    """The recording or file of the preview."""
    cash: float = 1_000.0
    """Starting cash of the preview."""
    command: str = ""
    """Id of the command that asked for the preview; empty = none was asked for."""
    played: str = ""
    """What that preview is of: the arguments of its job as JSON."""
    name: str = ""
    turn: int = 0
    """How often its fields were filled anew, from a preset."""


class StoredDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft as it is kept."""

    who: str
    body: str
    at_ns: int


_DRAFTS = Table(StoredDraft, TABLE)


def draft_of(connection: Connection, engine_id: str, who: str) -> tuple[BotDraft, int] | None:
    """Return a person's draft and when it was written, ns UTC; None = there is none.

    Raises BadInput where it cannot be read.
    """
    kept = _DRAFTS.one(connection, "engine_id = ? AND who = ?", (engine_id, who), "the draft")
    if kept is None:
        return None
    try:
        return msgspec.json.decode(kept.body, type=BotDraft), kept.at_ns
    except msgspec.DecodeError as error:
        raise BadInput(f"the draft of the bot cannot be read: {error}; throw it away") from None


def put_draft(
    connection: Connection,
    engine_id: str,
    draft: BotDraft,
    *,
    who: str,
    now_ns: int,
    seen_ns: int | None = None,
) -> int:
    """Keep a draft in the place of the person's one before; give when it was written.

    `seen_ns` = when the draft was written that the writer saw, 0 = saw none; None = whatever there
    is. Raises BadInput where another tab wrote meanwhile; then nothing was changed.
    """
    with transaction(connection):
        row = connection.execute(
            f"SELECT at_ns FROM {TABLE} WHERE engine_id = ? AND who = ?",  # noqa: S608 our own words
            (engine_id, who),
        ).fetchone()
        before = int(row[0]) if row else 0
        if seen_ns is not None and before != seen_ns:
            raise BadInput("another tab changed the draft of the bot meanwhile")
        body = msgspec.json.encode(draft).decode()
        made = StoredDraft(who=who, body=body, at_ns=max(now_ns, before + 1))
        _DRAFTS.put(connection, engine_id, [made])
    return made.at_ns


def drop_draft(connection: Connection, engine_id: str, who: str) -> None:
    """Throw a person's draft away; without one nothing happens."""
    with transaction(connection):
        connection.execute(
            f"DELETE FROM {TABLE} WHERE engine_id = ? AND who = ?",  # noqa: S608 our own words
            (engine_id, who),
        )
