"""Accounts that trade real money: what unlocked them, their heartbeat at the venue, ghost fills.

Every writing function works inside the caller's transaction; a doctor's verdict and the typed
phrase are stored together, so that there is no half of an unlocked account.
"""

from __future__ import annotations

from enum import StrEnum
from sqlite3 import Connection

import msgspec

from engine.domain.catalog import Finding, Grade
from engine.domain.fills import FillState
from engine.domain.instruments import Mode
from storage.database import Table, note

UNLOCKED = "live unlocked"
LOCKED = "live locked"


class Unlock(msgspec.Struct, frozen=True, kw_only=True):
    """Who unlocked an account, for which wallet, and when its doctor had been green."""

    account: str
    wallet: str
    doctor_ns: int
    phrase_ns: int
    who: str


class VenueHeartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """How an account's heartbeat at its venue stands; the fields are the table's."""

    account: str
    mode: Mode
    beating: bool
    reason: str
    armed_ns: int | None
    """When the venue took the first beat; None = it cancels nothing by itself."""
    beat_ns: int | None
    cancels_ns: int | None
    """When the venue will have cancelled everything unless another beat arrives."""


_UNLOCKS = Table(Unlock, "live_unlocks")
_HEARTBEATS = Table(VenueHeartbeat, "venue_heartbeats")


class GhostFills(msgspec.Struct, frozen=True, kw_only=True):
    """How many fills of an account there were, and how many failed to settle."""

    account: str
    matched: int
    voided: int

    @property
    def rate(self) -> float | None:
        """Return voided / matched; None = there was no fill."""
        return self.voided / self.matched if self.matched else None


def unlock(connection: Connection, engine_id: str, given: Unlock) -> None:
    """Unlock an account. The caller has had the doctor look, and the phrase typed."""
    small = msgspec.structs.replace(given, wallet=given.wallet.lower())
    _UNLOCKS.put(connection, engine_id, [small])
    note(
        connection,
        engine_id,
        given.phrase_ns,
        given.who,
        UNLOCKED,
        account=given.account,
        wallet=given.wallet,
        doctor_ns=given.doctor_ns,
    )


def lock(connection: Connection, engine_id: str, account: str, *, who: str, now_ns: int) -> None:
    """Take an account's unlocking back; it takes effect at the engine's next start."""
    connection.execute(
        "DELETE FROM live_unlocks WHERE engine_id = ? AND account = ?", (engine_id, account)
    )
    note(connection, engine_id, now_ns, who, LOCKED, account=account)


def unlocks(connection: Connection, engine_id: str) -> dict[str, Unlock]:
    return {one.account: one for one in _UNLOCKS.all(connection, "engine_id = ?", (engine_id,))}


def funded_wallet(connection: Connection, engine_id: str, account: str) -> str | None:
    """Return whose cash was an account's first, in small letters; None = it was never funded.

    An account is opened for the wallet it is unlocked for: its past is that wallet's.
    """
    found = connection.execute(
        "SELECT json_extract(detail, '$.wallet') FROM audit WHERE engine_id = ? AND what = ? AND "
        "CASE WHEN json_valid(detail) THEN json_extract(detail, '$.account') END = ? "
        "AND at_ns <= (SELECT min(at_ns) FROM cash_moves "
        "WHERE engine_id = ? AND account = ?) ORDER BY at_ns DESC, id DESC LIMIT 1",
        (engine_id, UNLOCKED, account, engine_id, account),
    ).fetchone()
    return None if found is None else str(found[0]).lower()


def identities(connection: Connection, engine_id: str, account: str) -> frozenset[str]:
    found = connection.execute(
        "SELECT identity FROM orders WHERE engine_id = ? AND account = ? AND identity IS NOT NULL",
        (engine_id, account),
    )
    return frozenset(name for (name,) in found)


def put_heartbeat(
    connection: Connection, engine_id: str, seen: VenueHeartbeat, now_ns: int
) -> None:
    _HEARTBEATS.put(connection, engine_id, [seen], updated_ns=now_ns)


def heartbeats(connection: Connection, engine_id: str) -> tuple[VenueHeartbeat, ...]:
    return tuple(_HEARTBEATS.all(connection, "engine_id = ? ORDER BY account", (engine_id,)))


def ghost_fills(connection: Connection, engine_id: str, account: str) -> GhostFills:
    matched, voided = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE state = ?) FROM fills "
        "WHERE engine_id = ? AND account = ?",
        (FillState.FAILED, engine_id, account),
    ).fetchone()
    return GhostFills(account=account, matched=matched, voided=voided)


# -- What was last found about each live account: by its doctor, and by its self-test --------------

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


def put_examination(connection: Connection, engine_id: str, found: Examination) -> None:
    """Keep a verdict in place of the one before it, inside the caller's transaction."""
    small = msgspec.structs.replace(found, wallet=found.wallet.lower())
    _EXAMINATIONS.put(connection, engine_id, [small])
    note(
        connection,
        engine_id,
        found.at_ns,
        found.who,
        EXAMINED,
        account=found.account,
        examiner=found.examiner,
        green=found.green,
        failed=[one.name for one in found.failures],
    )


def examinations(connection: Connection, engine_id: str) -> dict[tuple[str, Examiner], Examination]:
    """Return the latest verdicts by account and examiner."""
    found = _EXAMINATIONS.all(connection, "engine_id = ?", (engine_id,))
    return {(one.account, one.examiner): one for one in found}
