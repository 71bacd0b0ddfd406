from __future__ import annotations

import sqlite3

import pytest

from engine.domain.instruments import Mode
from engine.errors import BrokenInvariant
from storage.database import transaction
from storage.live_accounts import (
    GhostFills,
    Unlock,
    VenueHeartbeat,
    ghost_fills,
    heartbeats,
    lock,
    put_heartbeat,
    unlock,
    unlocks,
)

GIVEN = Unlock(account="real", wallet="0xAB", doctor_ns=5, phrase_ns=7, who="operator")


def test_unlocking_is_kept_with_its_trace_and_taken_back(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        unlock(connection, "e1", GIVEN)
    (kept,) = unlocks(connection, "e1").values()
    assert (kept.account, kept.wallet, kept.who) == ("real", "0xab", "operator")
    assert unlocks(connection, "e2") == {}
    with transaction(connection):
        lock(connection, "e1", "real", who="operator", now_ns=9)
    assert unlocks(connection, "e1") == {}
    trail = [what for (what,) in connection.execute("SELECT what FROM audit ORDER BY at_ns")]
    assert trail == ["live unlocked", "live locked"]


def test_unlocking_outside_a_transaction_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(BrokenInvariant):
        lock(connection, "e1", "real", who="operator", now_ns=9)


def test_heartbeat_is_the_latest(connection: sqlite3.Connection) -> None:
    seen = VenueHeartbeat(
        account="real", mode=Mode.LIVE, beating=True, reason="", armed_ns=1, beat_ns=2, cancels_ns=3
    )
    put_heartbeat(connection, "e1", seen, 10)
    put_heartbeat(connection, "e1", seen, 11)
    assert heartbeats(connection, "e1") == (seen,)
    assert heartbeats(connection, "e2") == ()


def test_ghost_fills_of_nothing_have_no_rate(connection: sqlite3.Connection) -> None:
    assert ghost_fills(connection, "e1", "real").rate is None
    assert GhostFills(account="real", matched=8, voided=2).rate == 0.25
