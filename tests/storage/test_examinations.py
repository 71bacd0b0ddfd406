"""Verdicts about live accounts: the latest one stands, every one leaves a trace."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from engine.domain.catalog import Finding, Grade
from engine.errors import BrokenInvariant
from storage.database import transaction
from storage.live_accounts import Examination, Examiner, examinations, put_examination

BAD = Finding("clock", Grade.FAIL, "20 s off", "let the system keep its time by NTP")
GOOD = Finding("key", Grade.OK, "the venue knows our API key")
FOUND = Examination(
    account="real", examiner=Examiner.DOCTOR, wallet="0xAB", at_ns=5, who="me", findings=(GOOD, BAD)
)


def test_latest_verdict_of_each_examiner_stands(connection: sqlite3.Connection) -> None:
    tested = msgspec.structs.replace(FOUND, examiner=Examiner.SELFTEST, at_ns=6)
    mended = msgspec.structs.replace(FOUND, at_ns=7, findings=(GOOD,))
    with transaction(connection):
        for found in (FOUND, tested, mended):
            put_examination(connection, "e1", found)
    kept = examinations(connection, "e1")
    assert {key: (one.at_ns, one.green) for key, one in kept.items()} == {
        ("real", Examiner.DOCTOR): (7, True),
        ("real", Examiner.SELFTEST): (6, False),
    }
    assert kept["real", Examiner.SELFTEST].failures == (BAD,)
    assert kept["real", Examiner.DOCTOR].wallet == "0xab"
    assert examinations(connection, "e2") == {}
    audit = connection.execute("SELECT what, detail FROM audit ORDER BY at_ns").fetchall()
    assert [what for what, _ in audit] == ["live examined"] * 3
    assert '"failed":["clock"]' in audit[0][1]


def test_verdict_without_a_finding_is_not_green() -> None:
    assert not msgspec.structs.replace(FOUND, findings=()).green


def test_verdict_outside_a_transaction_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(BrokenInvariant):
        put_examination(connection, "e1", FOUND)
