"""The sealed channels: made, sealed and opened. Only programs that end at once import this.

HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM), as the vault; the private key lies in
`channels.key`, mode 0600, so that the watch can send at night without a person.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from engine.errors import BadInput, StorageError
from storage.channels import (
    KEY_NAME,
    VERSION,
    ChannelEntry,
    ChannelsFile,
    bound_to,
    read_channels,
    write_channels,
)
from storage.files import write_whole

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
OTHERS = 0o077
FINGERPRINT_CHARACTERS = 12


def make_key(home: Path) -> ChannelsFile:
    """Make key and file where they are missing; return the file. Raises StorageError, BadInput."""
    found, path = read_channels(home), home / KEY_NAME
    if found is not None and path.is_file():
        return found
    if found is not None and found.entries:
        raise StorageError(
            f"{KEY_NAME} is gone, so the channels in channels.json cannot be opened: put the key "
            "back, or remove channels.json and add the channels again"
        )
    if not path.is_file():
        private = X25519PrivateKey.generate()
        try:
            write_whole(path, base64.b64encode(private.private_bytes_raw()), once=True)
        except OSError as error:
            raise StorageError(f"{KEY_NAME} could not be written ({error.strerror})") from None
    made = ChannelsFile(version=VERSION, public_key=_private(home).public_key().public_bytes_raw())
    write_channels(home, made)
    return made


def _private(home: Path) -> X25519PrivateKey:
    path = home / KEY_NAME
    try:
        if path.stat().st_mode & OTHERS:
            raise StorageError(f"{path} may be read by others: chmod 600 {path}")
        return X25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes()))
    except OSError as error:
        raise StorageError(f"{KEY_NAME} cannot be read ({error.strerror}): put it back") from None
    except ValueError:
        raise StorageError(f"{KEY_NAME} is damaged: put it back from where you keep it") from None


def seal(
    file: ChannelsFile,
    name: str,
    fields: Mapping[str, str],
    *,
    kind: str,
    label: str,
    now_ns: int,
) -> ChannelEntry:
    """Return a channel sealed for this machine."""
    public = X25519PublicKey.from_public_bytes(file.public_key)
    sealed = SUITE.encrypt(
        msgspec.json.encode(dict(fields)), public, info=bound_to(name, kind, label)
    )
    first = next(iter(fields.values()), "").strip().lower().encode()
    return ChannelEntry(
        kind=kind,
        label=label,
        added_ns=now_ns,
        sealed=sealed,
        fingerprint=hashlib.sha256(first).hexdigest()[:FINGERPRINT_CHARACTERS],
    )


def opened(home: Path, name: str) -> tuple[ChannelEntry, dict[str, str]]:
    """Return a channel and its fields. Raises BadInput, StorageError with a sentence."""
    file = read_channels(home)
    entry = file.entries.get(name) if file else None
    if entry is None:
        raise BadInput(f"there is no channel {name!r}")
    try:
        plain = SUITE.decrypt(
            entry.sealed, _private(home), info=bound_to(name, entry.kind, entry.label)
        )
        return entry, msgspec.json.decode(plain, type=dict[str, str])
    except (InvalidTag, ValueError, msgspec.MsgspecError):
        raise BadInput(
            f"the channel {name!r} was not sealed with this machine's {KEY_NAME}: add it again"
        ) from None


def ack_secret(home: Path) -> bytes:
    """Return the secret that signs links which acknowledge, made of the machine's key."""
    private = _private(home).private_bytes_raw()
    return hmac.new(private, b"pitboss acknowledge 1", hashlib.sha256).digest()
