"""What was last found about each live account: by its doctor, and by its self-test.

The latest verdict stands in a row, every one of them in the audit. A finding says what was found
and the sentence that mends it; none holds a secret.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum

import msgspec

from engine.domain.catalog import Finding, Grade
from storage.rows import Table
from storage.users import note

EXAMINED = "live examined"


class Examiner(StrEnum):
    """Who looked at the account."""

    DOCTOR = "doctor"
    """Asks the venue and changes nothing."""
    SELFTEST = "selftest"
    """Places one order far from the touch and cancels it."""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about an account, for which wallet, when, and who asked for it."""

    account: str
    examiner: Examiner
    wallet: str
    at_ns: int
    who: str
    findings: tuple[Finding, ...]

    @property
    def green(self) -> bool:
        """True where something was found and nothing of it is a failure."""
        return bool(self.findings) and not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.grade is Grade.FAIL)


_EXAMINATIONS = Table(Examination, "live_examinations")


def put_examination(connection: sqlite3.Connection, engine_id: str, found: Examination) -> None:
    """Keep a verdict in place of the one before it, inside the caller's transaction."""
    small = msgspec.structs.replace(found, wallet=found.wallet.lower())
    _EXAMINATIONS.put(connection, engine_id, [small])
    note(
        connection, engine_id, found.at_ns, found.who, EXAMINED,
        account=found.account, examiner=found.examiner, green=found.green,
        failed=[one.name for one in found.failures],
    )  # fmt: skip


def examinations(
    connection: sqlite3.Connection, engine_id: str
) -> dict[tuple[str, Examiner], Examination]:
    """Return the latest verdicts by account and examiner."""
    found = _EXAMINATIONS.all(connection, "engine_id = ?", (engine_id,))
    return {(one.account, one.examiner): one for one in found}
