"""Who is signed in: a cookie signed with a secret of this home, believed while the user stands.

The secret is kept in a file of mode 0600, so that sign-ins outlive a restart. A new password or a
disabled user ends all sessions; a sign-out ends its own, in every tab that is open and for good:
which sessions have ended is kept beside the secret, where a locked database cannot hold it up.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
from itsdangerous import BadSignature, URLSafeTimedSerializer

from engine.config import Config
from engine.errors import StorageError
from pages.kit.home import now_ns
from storage.database import reading
from storage.files import write_whole
from storage.users import User, find_user

COOKIE = "pitboss_session"
AGE_S_MAX = 14 * 24 * 3600
"""How long a signature is believed."""

_last_known: dict[tuple[str, str], User | None] = {}
"""What the database said last, by its path and the name: for when it cannot answer."""

_ended: dict[Path, dict[str, int]] = {}
"""Sessions that were signed out, and when (ns), as known last: for when the file cannot answer."""


def secret(config: Config) -> str:
    """Return this home's secret, made at the first call. Raises OSError."""
    path = config.run_folder / "cookie.secret"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, secrets.token_urlsafe(48).encode(), once=True)
    return path.read_text(encoding="ascii")


def _signed_out(config: Config) -> dict[str, int]:
    """Return the sessions that were signed out, and when (ns).

    Where it is lost which ones ended, all end: the secret is renewed. Raises OSError
    where the file cannot be read and this process has never read it.
    """
    path = config.run_folder / "signed_out.json"
    found: dict[str, int] = {}
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        pass
    except msgspec.DecodeError:
        (config.run_folder / "cookie.secret").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError:
        if path not in _ended:
            raise
    known = _ended.setdefault(path, {})
    known.update(found)
    return known


def _serializer(config: Config) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret(config), salt="pitboss.session")


def sign(config: Config, user: User) -> str:
    # The last makes each sign-in its own: one that ends must not end another of the same second.
    return str(_serializer(config).dumps([user.name, user.fingerprint, secrets.token_hex(8)]))


def end(config: Config, token: str) -> None:
    """Believe a cookie no more. Raises OSError where that is forgotten with this process."""
    known, now = _signed_out(config), now_ns()
    known[str(_serializer(config).loads(token)[2])] = now
    for old in [one for one, at in known.items() if now - at > AGE_S_MAX * 10**9]:
        del known[old]
    write_whole(config.run_folder / "signed_out.json", msgspec.json.encode(known))


def signed_in(config: Config, token: str | None) -> str | None:
    """Return the name of whom a cookie belongs to, None where it is not believed.

    Where the database cannot answer, what it said last counts; where it never said anything, the
    signature alone does: KILL must not depend on SQLite, and no other program can sign.
    """
    if not token:
        return None
    try:
        ended = _signed_out(config)
        name, fingerprint, session = _serializer(config).loads(token, max_age=AGE_S_MAX)
    except (OSError, BadSignature, ValueError):
        return None
    if session in ended:
        return None
    key = (str(config.state_path), name)
    try:
        with reading(config.state_path) as connection:
            _last_known[key] = find_user(connection, name)
    except StorageError:
        if key not in _last_known:
            return str(name)
    user = _last_known[key]
    return user.name if user is not None and user.fingerprint == fingerprint else None
