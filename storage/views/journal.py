"""Search of a journal for the dashboard: backwards, bounded, and saying how far it looked."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec

from storage.database import reading
from storage.journal import LAST_SEQ, Record, decode, rows_backwards
from storage.views import Row

SCANNED_MAX = 20_000
"""Most records one search reads: bodies are packed, so a text is only found by unpacking."""

ROWS_MAX = 500


class JournalPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a search of a journal found, and how far back it looked."""

    records: list[Row]
    """seq, at_ns, account, kind, body (JSON)."""
    scanned: int
    first_seq: int | None
    """The oldest record looked at; None = the journal is empty."""
    complete: bool
    """True = looked at all records up to the oldest, or enough were found."""


def search_journal(
    path: Path,
    *,
    kind: str = "",
    text: str = "",
    before_seq: int | None = None,
    limit: int = ROWS_MAX,
) -> JournalPage:
    """Search a journal backwards from `before_seq`: records of a kind whose JSON holds `text`.

    Raises StorageError where the file cannot be read, JournalCorrupt for an unreadable record.
    """
    found: list[Row] = []
    scanned, first = 0, None
    with reading(path) as connection:
        before = LAST_SEQ if before_seq is None else before_seq
        source = islice(rows_backwards(connection, path, before, kind), SCANNED_MAX)
        for seq, at_ns, account, its_kind, body, _, tape in source:
            scanned, first = scanned + 1, seq
            record = Record(
                seq=seq, at_ns=at_ns, account=account, kind=its_kind, body=body, tape=tape
            )
            told = msgspec.json.encode(decode(record)).decode()
            if text.lower() in told.lower():
                found.append(
                    {"seq": seq, "at_ns": at_ns, "account": account, "kind": its_kind, "body": told}
                )
            if len(found) == limit:
                break
    complete = scanned < SCANNED_MAX or len(found) == limit
    return JournalPage(records=found, scanned=scanned, first_seq=first, complete=complete)
