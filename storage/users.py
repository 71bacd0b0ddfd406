"""Users: who may sign in to the dashboard. Passwords are kept as Argon2id hashes alone."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from sqlite3 import Connection

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from engine.errors import BadInput
from storage.database import insert, note, transaction, upsert, writing

ENGINE_ID = "pitboss"
"""The engine of a home whose engine has not named itself yet; users always belong to this one."""

OPERATOR = "operator"
PASSWORD_LENGTH_MIN = 12
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that look alike: the first password is read from a terminal."""

ENTRY_BUSY_MS = 1_000
"""How long the trace of a sign-in waits for another writer; the log has it where it must."""

_hasher = PasswordHasher()
"""Argon2id with the parameters of RFC 9106 for little memory: 64 MiB, about 0.1 s a guess."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in. `fingerprint` changes with the password: it ends old sessions."""

    name: str
    fingerprint: str


@cache
def _nobody() -> str:
    """Return a hash to check where there is no user: an unknown name takes as long as a known."""
    return _hasher.hash("nobody")


def find_user(connection: Connection, name: str) -> User | None:
    """Return a user who may sign in, None where there is none or he is disabled."""
    row = _row(connection, name)
    return None if row is None else _user(name, row)


def check_password(connection: Connection, name: str, password: str) -> User | None:
    """Return the user where the password is right, None otherwise. Takes about 0.1 s of a core."""
    row = _row(connection, name)
    try:
        _hasher.verify(row[0] if row is not None else _nobody(), password)
    except (VerificationError, InvalidHashError):
        return None
    return None if row is None else _user(name, row)


def ensure_operator(state: Path, now_ns: int) -> str | None:
    """Make the operator where there is no user yet; give the password, once, else None.

    The state file must have been migrated. Show the password and forget it: no program can read it
    back. Raises StorageError.
    """
    password = _made()
    hashed = _hasher.hash(password)
    with writing(state) as connection, transaction(connection):
        if connection.execute("SELECT count(*) FROM users").fetchone()[0]:
            return None
        _store(connection, OPERATOR, hashed, now_ns)
    return password


def renew_password(state: Path, now_ns: int) -> str:
    """Give the operator a new password, which ends all sessions. Raises StorageError."""
    password = _made()
    hashed = _hasher.hash(password)
    with writing(state) as connection, transaction(connection):
        _store(connection, OPERATOR, hashed, now_ns)
    return password


def change_password(connection: Connection, *, name: str, old: str, new: str, now_ns: int) -> None:
    """Change a password by its owner. Raises BadInput where the old one is wrong or the new weak.

    All his sessions end.
    """
    if len(new) < PASSWORD_LENGTH_MIN:
        raise BadInput(f"the new password needs at least {PASSWORD_LENGTH_MIN} characters")
    if check_password(connection, name, old) is None:
        raise BadInput("the current password is wrong")
    hashed = _hasher.hash(new)
    with transaction(connection):
        _store(connection, name, hashed, now_ns)


def note_entry(
    state: Path, *, at_ns: int, who: str, what: str, detail: Mapping[str, str | int]
) -> None:
    """Add to the audit that somebody came, was refused or went. Raises StorageError.

    `detail` never holds what was typed: a password may stand in the field of the name.
    """
    with writing(state, busy_ms=ENTRY_BUSY_MS) as connection, transaction(connection):
        note(connection, ENGINE_ID, at_ns, who, what, **detail)


def _made() -> str:
    """Return 20 random characters in four groups: 99 bits."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))


def _row(connection: Connection, name: str) -> tuple[str] | None:
    row: tuple[str] | None = connection.execute(
        "SELECT password_hash FROM users WHERE engine_id = ? AND name = ? AND NOT disabled",
        (ENGINE_ID, name),
    ).fetchone()
    return row


def _user(name: str, row: tuple[str]) -> User:
    fingerprint = hashlib.blake2b(row[0].encode(), digest_size=12).hexdigest()
    return User(name=name, fingerprint=fingerprint)


def _store(connection: Connection, name: str, hashed: str, now_ns: int) -> None:
    insert(
        connection,
        "users",
        ends=upsert(["name"], ["password_hash", "disabled"]),
        engine_id=ENGINE_ID,
        name=name,
        password_hash=hashed,
        created_ns=now_ns,
        disabled=False,
    )
    note(connection, ENGINE_ID, now_ns, name, "password set", user=name)
