"""The vault: credentials at rest, opened by a passphrase.

Each credential is sealed for the vault's public key by HPKE (RFC 9180: X25519, HKDF-SHA256,
AES-256-GCM), so that one can be set without the passphrase, by a page that can never read it back.
The private key is kept under AES-256-GCM with a key that Argon2id makes of the passphrase
(RFC 9106, its second recommended option: 3 passes, 4 lanes, 64 MiB).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from engine.errors import BadInput, ConfigError
from engine.runtime.credentials import Credential
from storage.vault import (
    ENTRIES_MAX,
    NAME_PATTERN,
    VERSION,
    VaultEntry,
    VaultFile,
    Wrapped,
    context,
    read_vault,
    unlock_context,
    write_vault,
)

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
ITERATIONS = 3
LANES = 4
MEMORY_KIB = 64 * 1024
PASSPHRASE_CHARS_MIN = 12
FINGERPRINT_CHARS = 12
SEALED_BYTES_MAX = 4096


def create(path: Path, passphrase: str) -> VaultFile:
    """Make an empty vault. Raises BadInput where there is one, ConfigError on a weak passphrase."""
    if read_vault(path) is not None:
        raise BadInput("there is a vault already: nothing was changed")
    check_passphrase(passphrase)
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    salt, nonce = os.urandom(16), os.urandom(12)
    key = _stretched(passphrase, salt, ITERATIONS, LANES, MEMORY_KIB)
    wrapped = Wrapped(
        salt=salt,
        iterations=ITERATIONS,
        lanes=LANES,
        memory_kib=MEMORY_KIB,
        nonce=nonce,
        key=AESGCM(key).encrypt(nonce, private.private_bytes_raw(), public),
    )
    vault = VaultFile(version=VERSION, public_key=public, wrapped=wrapped)
    write_vault(path, vault)
    return vault


def check_passphrase(passphrase: str) -> None:
    """Raise ConfigError where a passphrase is too short for a vault."""
    if len(passphrase) < PASSPHRASE_CHARS_MIN:
        raise ConfigError(f"the passphrase needs {PASSPHRASE_CHARS_MIN} characters or more")


def check_name(account: str) -> None:
    if not re.fullmatch(NAME_PATTERN, account):
        raise BadInput("the account's name takes a-z, 0-9, dot, dash and underscore")


def seal(vault: VaultFile, account: str, credential: Credential) -> VaultEntry:
    """Return the credential sealed for this vault; `added_ns` is set by `put`."""
    public = X25519PublicKey.from_public_bytes(vault.public_key)
    secrets, venue, wallet = credential.secrets(), credential.venue, credential.wallet
    sealed = SUITE.encrypt(
        msgspec.json.encode(secrets), public, info=context(account, venue, wallet)
    )
    return VaultEntry(
        venue=venue, wallet=wallet, fingerprint=fingerprint(secrets), added_ns=0, sealed=sealed
    )


def sealed_passphrase(passphrase: str, public_key: bytes) -> str:
    """Return a passphrase sealed for an engine's key, as a command carries it."""
    public = X25519PublicKey.from_public_bytes(public_key)
    sealed = SUITE.encrypt(passphrase.encode(), public, info=unlock_context(public_key))
    return base64.b64encode(sealed).decode()


def fingerprint(secrets: Mapping[str, str]) -> str:
    """Return by which a person tells two keys apart: twelve hex digits of the first's SHA-256."""
    digits = next(iter(secrets.values()), "").strip().lower().removeprefix("0x").encode()
    return hashlib.sha256(digits).hexdigest()[:FINGERPRINT_CHARS]


def put(path: Path, account: str, entry: VaultEntry, now_ns: int) -> None:
    """Keep a sealed credential in the place of any before it.

    Raises BadInput on a name or a size that cannot be right, where there is no vault, and where
    another account has this wallet or key.
    """
    check_name(account)
    if not 0 < len(entry.sealed) <= SEALED_BYTES_MAX:
        raise BadInput("what was sent is not a sealed credential, so nothing was stored")
    vault = _there(path)
    for name, other in vault.entries.items():
        same_key = other.fingerprint == entry.fingerprint
        if name != account and other.venue == entry.venue and (same_key or same(other, entry)):
            raise BadInput(shared(name, account))
    if account not in vault.entries and len(vault.entries) >= ENTRIES_MAX:
        raise BadInput(f"the vault holds {ENTRIES_MAX} credentials, its maximum: remove one")
    kept = {**vault.entries, account: msgspec.structs.replace(entry, added_ns=now_ns)}
    write_vault(path, msgspec.structs.replace(vault, entries=kept))


class _Owned(Protocol):
    """What names a wallet at a venue."""

    @property
    def venue(self) -> str: ...
    @property
    def wallet(self) -> str: ...


def same(one: _Owned, other: _Owned) -> bool:
    """Say whether two credentials are of one wallet."""
    return (one.venue, one.wallet.lower()) == (other.venue, other.wallet.lower())


def shared(one: str, other: str) -> str:
    """Return the refusal of two accounts with one wallet or key."""
    return (
        f"accounts {one!r} and {other!r} have the same wallet or key: their cash and tokens would "
        "be counted twice, and each would cancel the other's orders. Remove one of them"
    )


def remove(path: Path, account: str) -> None:
    """Forget an account's credential. Raises BadInput where there is none."""
    vault = _there(path)
    if account not in vault.entries:
        raise BadInput(f"the vault holds no credential of {account!r}: nothing was changed")
    kept = {name: entry for name, entry in vault.entries.items() if name != account}
    write_vault(path, msgspec.structs.replace(vault, entries=kept))


class Unlocked:
    """An open vault. It shows nothing of itself and is written nowhere."""

    __slots__ = ("_private",)

    def __init__(self, vault: VaultFile, passphrase: str) -> None:
        """Open the vault. Raises ConfigError where the passphrase is not its own."""
        wrapped = vault.wrapped
        key = _stretched(
            passphrase, wrapped.salt, wrapped.iterations, wrapped.lanes, wrapped.memory_kib
        )
        try:
            plain = AESGCM(key).decrypt(wrapped.nonce, wrapped.key, vault.public_key)
        except InvalidTag:
            raise ConfigError(
                "this passphrase does not open the vault: type it again; if it is lost, move the "
                "vault's file away and set the keys again in a new one"
            ) from None
        self._private = X25519PrivateKey.from_private_bytes(plain)

    def open(self, account: str, entry: VaultEntry) -> Credential:
        """Return an account's credential. Raises BadInput where it was not sealed for it."""
        try:
            plain = SUITE.decrypt(
                entry.sealed, self._private, info=context(account, entry.venue, entry.wallet)
            )
            secrets = msgspec.json.decode(plain, type=dict[str, str])
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            raise BadInput(
                f"the credential of {account!r} was not sealed for this vault, account and "
                "wallet: set it again"
            ) from None
        if fingerprint(secrets) != entry.fingerprint:
            raise BadInput(
                f"the credential of {account!r} is not the one it is shown as: set it again"
            )
        return Credential(entry.venue, entry.wallet, secrets)

    def __repr__(self) -> str:
        return "Unlocked(<hidden>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an open vault is not written anywhere")


def _there(path: Path) -> VaultFile:
    vault = read_vault(path)
    if vault is None:
        raise BadInput("there is no vault yet: `python -m engine credentials set` makes one")
    return vault


def _stretched(passphrase: str, salt: bytes, iterations: int, lanes: int, memory_kib: int) -> bytes:
    stretch = Argon2id(
        salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib
    )
    return stretch.derive(passphrase.encode())
