"""The vault's file: what is sealed, for whom, how its key is wrapped. No secret is readable here.

Everything in it is public or encrypted: the dashboard may read it, and seals a new credential for
the public key it finds. Only `engine.live.vault` can open what is sealed. The file is replaced
whole, is on the disk when a write returns, and belongs to its owner alone (mode 0600).
"""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

from engine.errors import BadInput, StorageError
from storage.files import write_whole

VERSION = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,39}$"
ENTRIES_MAX = 100


class Wrapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vault's private key under AES-256-GCM, and how Argon2id makes its key (RFC 9106)."""

    salt: bytes
    iterations: int
    lanes: int
    memory_kib: int
    nonce: bytes
    key: bytes


class VaultEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account's credential. `sealed` is HPKE, bound to the three names beside it."""

    venue: str
    wallet: str
    fingerprint: str
    added_ns: int
    sealed: bytes


class VaultFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `public_key` is X25519, 32 bytes."""

    version: int
    public_key: bytes
    wrapped: Wrapped
    entries: dict[str, VaultEntry] = {}


def context(account: str, venue: str, wallet: str) -> bytes:
    """Return what a sealed credential is bound to: moved to another account it does not open."""
    return f"pitboss vault 1\0{account}\0{venue}\0{wallet.lower()}".encode()


def unlock_context(public_key: bytes) -> bytes:
    """Return what a sealed passphrase is bound to: the key that one start of an engine made."""
    return b"pitboss unlock 1\0" + base64.b64encode(public_key)


def read_vault(path: Path) -> VaultFile | None:
    """Return the vault's file, or None where there is none. Raises BadInput where it is torn."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=VaultFile)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"the vault cannot be read ({error.strerror}): see to its folder"
        ) from None
    except msgspec.MsgspecError:
        raise BadInput(
            f"{path.name} is no longer a vault: restore it from a backup, or remove it and set the "
            "credentials again"
        ) from None
    if found.version != VERSION:
        raise BadInput(
            f"{path.name} has version {found.version}, this program knows {VERSION}: use the "
            "program that wrote it"
        )
    return found


def write_vault(path: Path, vault: VaultFile) -> None:
    """Replace the file, on the disk when this returns. Raises StorageError: it is as it was."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(vault), indent=1))
    except OSError as error:
        raise StorageError(
            f"the vault could not be written ({error.strerror}): it is as it was; make room and "
            "try again"
        ) from None
