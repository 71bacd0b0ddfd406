"""What was last found about each live account: by its doctor, and by its self-test.

The latest verdict stands in a row, every one of them in the audit. A finding says what was found
and the sentence that mends it; none holds a secret.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum

import msgspec

from engine.domain.catalog import Finding, Grade
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


def put_examination(connection: sqlite3.Connection, engine_id: str, found: Examination) -> None:
    """Keep a verdict in place of the one before it, inside the caller's transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO live_examinations (engine_id, account, examiner, wallet, at_ns, "
        "who, findings) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (engine_id, found.account, found.examiner, found.wallet.lower(), found.at_ns, found.who,
         msgspec.json.encode(found.findings).decode()),
    )  # fmt: skip
    note(
        connection,
        engine_id=engine_id,
        at_ns=found.at_ns,
        who=found.who,
        what=EXAMINED,
        detail={
            "account": found.account,
            "examiner": found.examiner,
            "green": found.green,
            "failed": [one.name for one in found.failures],
        },
    )


def examinations(
    connection: sqlite3.Connection, engine_id: str
) -> dict[tuple[str, Examiner], Examination]:
    """Return the latest verdicts by account and examiner."""
    rows = connection.execute(
        "SELECT account, examiner, wallet, at_ns, who, findings FROM live_examinations "
        "WHERE engine_id = ?",
        (engine_id,),
    )
    return {
        (account, Examiner(examiner)): Examination(
            account=account,
            examiner=Examiner(examiner),
            wallet=wallet,
            at_ns=at_ns,
            who=who,
            findings=msgspec.json.decode(findings, type=tuple[Finding, ...]),
        )
        for account, examiner, wallet, at_ns, who, findings in rows
    }
