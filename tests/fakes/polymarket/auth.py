"""API keys: made by a signature (L1), used with an HMAC (L2). polymarket.md §2.1, §2.2."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

import msgspec

from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.refusal import (
    BAD_KEY,
    BAD_L1,
    NO_CREATE,
    NO_DERIVE,
    Refused,
    banned,
)
from tests.fakes.polymarket.settings import Settings
from tests.fakes.polymarket.signing import address, auth_message, recover


class ApiKey(msgspec.Struct, kw_only=True):
    """One key of one signer."""

    key: str
    secret: str
    passphrase: str
    signer: str
    nonce: int
    made_s: float

    def credentials(self) -> dict[str, str]:
        """Return it as its owner gets it."""
        return {"apiKey": self.key, "secret": self.secret, "passphrase": self.passphrase}


class Auth:
    """Everybody's keys."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}
        self._of: dict[tuple[str, int], ApiKey] = {}
        self.banned: set[str] = set()
        self.closed_only: set[str] = set()
        self.verified = {"l1": 0, "l2": 0, "orders": 0}
        """How many signatures were checked and found good."""

    def key(self, name: str) -> ApiKey | None:
        """Return a key by its name."""
        return self._keys.get(name)

    def keys_of(self, signer: str) -> list[str]:
        """Return the names of a signer's keys."""
        return [key.key for key in self._keys.values() if key.signer == signer]

    # -- L1 ----------------------------------------------------------------------------------------

    def create(self, headers: Mapping[str, str]) -> ApiKey:
        """Make the key of (address, nonce). Raises Refused where there is one."""
        signer, nonce = self._prove(headers)
        if (signer, nonce) in self._of:
            raise Refused(NO_CREATE)
        root = hmac.digest(
            f"pitboss-fake/{self._settings.seed}".encode(), f"{signer}/{nonce}".encode(), "sha512"
        )
        made = ApiKey(
            key=str(UUID(bytes=root[:16], version=4)),
            secret=base64.urlsafe_b64encode(sha256(root + b"secret").digest()).decode(),
            passphrase=sha256(root + b"passphrase").hexdigest(),
            signer=signer,
            nonce=nonce,
            made_s=self._clock.server_s(),
        )
        self._keys[made.key] = self._of[signer, nonce] = made
        return made

    def derive(self, headers: Mapping[str, str]) -> ApiKey:
        """Return the key of (address, nonce) again. Raises Refused where there is none."""
        found = self._of.get(self._prove(headers))
        if found is None:
            raise Refused(NO_DERIVE)
        return found

    def drop(self, key: ApiKey) -> None:
        """Delete a key."""
        del self._keys[key.key]
        del self._of[key.signer, key.nonce]

    def _prove(self, headers: Mapping[str, str]) -> tuple[str, int]:
        try:
            claimed = address(headers["POLY_ADDRESS"])
            stamp, nonce = headers["POLY_TIMESTAMP"], int(headers["POLY_NONCE"])
            signature = bytes.fromhex(headers["POLY_SIGNATURE"].removeprefix("0x"))
            message = auth_message(claimed, stamp, nonce)
            signer = recover(message, signature)
        except (KeyError, ValueError, Refused):
            raise Refused(BAD_L1, 401) from None
        if signer != claimed or nonce < 0 or self._stale(stamp):
            raise Refused(BAD_L1, 401)
        self.verified["l1"] += 1
        return signer, nonce

    # -- L2 ----------------------------------------------------------------------------------------

    def check(self, headers: Mapping[str, str], method: str, path: str, body: bytes) -> ApiKey:
        """Return whose request this is. Raises Refused."""
        key = self._keys.get(headers.get("POLY_API_KEY", ""))
        stamp = headers.get("POLY_TIMESTAMP", "")
        if key is None or self._stale(stamp):
            raise Refused(BAD_KEY, 401)
        secret = base64.urlsafe_b64decode(key.secret)
        mac = hmac.new(secret, f"{stamp}{method}{path}".encode() + body, sha256)
        expected = base64.urlsafe_b64encode(mac.digest()).decode()
        same = hmac.compare_digest(expected, headers.get("POLY_SIGNATURE", ""))
        theirs = headers.get("POLY_PASSPHRASE", "") == key.passphrase
        if not (same and theirs) or headers.get("POLY_ADDRESS", "").lower() != key.signer.lower():
            raise Refused(BAD_KEY, 401)
        if self._clock.server_s() - key.made_s < self._settings.fresh_key_s:
            raise Refused(BAD_KEY, 401)
        if key.signer in self.banned:
            raise Refused(banned(key.signer))
        self.verified["l2"] += 1
        return key

    def check_socket(self, auth: object) -> ApiKey | None:
        """Return whose credentials a socket shows, None where they are wrong."""
        if not isinstance(auth, dict):
            return None
        key = self._keys.get(str(auth.get("apiKey", "")))
        if key is None or auth.get("secret") != key.secret:
            return None
        return key if auth.get("passphrase") == key.passphrase else None

    def _stale(self, stamp: str) -> bool:
        if not (stamp.isascii() and stamp.isdigit()):
            return True
        most = self._settings.skew_s_max
        return bool(most) and abs(self._clock.server_s() - int(stamp)) > most
