"""What an incident reads: the journal's span, decisions and plans of a time in the order they came.

Reads what `storage.journal` and `storage.decisions` keep; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import msgspec

from engine.errors import BadInput
from storage.database import reading
from storage.decisions import StoredDecision, StoredPlan, decisions_of, kept, take_longer
from storage.journal import LAST_SEQ, blocks, gone_words, owner, rows_backwards, rows_of, thinned_to
from storage.journal_writer import last_of


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The first and the last record of a journal, with their times."""

    first_seq: int
    first_ns: int
    last_seq: int
    last_ns: int
    gone: str = ""
    """Which records before it were let go, and why."""


def journal_span(path: Path) -> Span:
    """Return what time a journal tells of. Raises BadInput where it is missing or empty.

    A start may append records of its own time behind later ones only where a clock was set; the
    span is that of the first and last record.
    """
    if not path.exists():
        raise BadInput(f"there is no journal at {path}: nothing has traded in this PITBOSS_HOME")
    owner(path)
    with reading(path) as connection:
        (thinned, _), gone = thinned_to(connection), gone_words(connection)
        first = next((r for r in rows_of(connection, path, thinned + 1) if r[1] > 0), None)
        last = next((r for r in rows_backwards(connection, path, LAST_SEQ) if r[1] > 0), None)
    if first is None or last is None:
        raise BadInput(f"the journal {path} is empty: nothing has traded in this PITBOSS_HOME")
    return Span(first_seq=first[0], first_ns=first[1], last_seq=last[0], last_ns=last[1], gone=gone)


def journaled_accounts(path: Path) -> list[str]:
    with reading(path) as connection:
        rows = connection.execute("SELECT DISTINCT account FROM records WHERE account != ''")
        names = {str(name) for (name,) in rows}
        return sorted(names.union(*(one.accounts for one in blocks(connection, path))))


def seq_before(path: Path, at_ns: int) -> int:
    """Return the last record before the first one at or after a time, 0 = none is before."""
    with reading(path) as connection:
        archived = blocks(connection, path, "last_ns >= ? ORDER BY first", (at_ns,))
        found = next((row for one in archived for row in one.rows if row[1] >= at_ns), None)
        if found is not None:
            return found[0] - 1
        row = connection.execute(
            "SELECT coalesce(min(seq), 0) FROM records WHERE at_ns >= ?", (at_ns,)
        ).fetchone()
        return int(row[0]) - 1 if row[0] else last_of(connection)


def decision_rows(path: Path, from_ns: int, until_ns: int) -> Generator[StoredDecision, None, None]:
    """Give the rows begun in a time, `until_ns` not included, in the order they were begun.

    A row that stands in two files is given once, with the larger count.
    """
    found: dict[int, StoredDecision] = {}
    for rows in kept(path, "last_ns >= ? AND first_ns < ?", (from_ns, until_ns)):
        begun = (one for one in decisions_of(rows) if from_ns <= one.at_ns < until_ns)
        take_longer(found, begun)
    for row in sorted(found):
        yield found.pop(row)


def log_end_ns(path: Path, until_ns: int) -> int:
    """Return when the last of the rows begun before a time was counted, the time itself at most."""
    for rows in kept(path, "first_ns < ?", (until_ns,)):
        found = [one.last_ns for one in decisions_of(rows) if one.at_ns < until_ns]
        if found:
            return min(max(found), until_ns)
    return 0


def plan_bodies(path: Path, from_ns: int, until_ns: int) -> Generator[bytes, None, None]:
    """Give the bytes of the plans made in a time, `until_ns` not included, in order."""
    which, values = "last_ns >= ? AND first_ns < ?", (from_ns, until_ns)
    for rows in kept(path, which, values, oldest_first=True):
        for one in rows:
            if type(one) is StoredPlan and from_ns <= one.at_ns < until_ns:
                yield one.body
