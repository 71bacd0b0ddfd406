"""`channels.json`: the channels alerts leave by, their secrets sealed. No secret is readable here.

Everything in the file is public or encrypted: a page seals a channel's fields for the public key it
finds. The private key lies in `channels.key`, for the machine's user alone (mode 0600);
`engine.watch.sealed` opens what is sealed, in the short-lived program that sends.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.domain.catalog import CredentialField
from engine.errors import BadInput, StorageError
from storage.files import write_whole
from storage.vault import context

NAME = "channels.json"
KEY_NAME = "channels.key"
VERSION = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
CHANNELS_MAX = 30
SEALED_BYTES_MAX = 8_192

PROTECTION = (
    "Channel secrets are sealed with a key of this machine (channels.key, readable by its user "
    "alone): a copy of the database, a backup or an export gives nothing away, but whoever can "
    "read this user's files on this machine can open them."
)
"""What sealing protects against and what not, in one sentence, as pages say it."""


LABEL = CredentialField(
    name="label",
    title="Label",
    pattern=r".{1,60}",
    hint="what you recognise it by, e.g. my phone; not secret",
    wrong="give the channel a label of 1 to 60 characters",
    secret=False,
)
"""The one field of every channel that is not sealed."""


class ChannelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One channel. `sealed` is HPKE, bound to name, kind and label."""

    kind: str
    label: str
    """What a person recognises the channel by; not secret."""
    fingerprint: str
    """Twelve hex digits of the SHA-256 of its first secret."""
    added_ns: int
    sealed: bytes
    on: bool = True


class ChannelsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `public_key` is X25519, 32 bytes."""

    version: int
    public_key: bytes
    entries: dict[str, ChannelEntry] = {}


def sealing_names(name: str, kind: str) -> tuple[str, str]:
    """Return the two names a sealed channel is bound to beside its label."""
    return f"channel:{name}", kind


def bound_to(name: str, kind: str, label: str) -> bytes:
    """Return what the sealed fields are bound to: under another name they do not open."""
    return context(*sealing_names(name, kind), label)


def read_channels(home: Path) -> ChannelsFile | None:
    """Return the file, None where no watch has made it yet. Raises StorageError, BadInput."""
    path = home / NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=ChannelsFile)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"the channels cannot be read ({error.strerror}): see to {path}"
        ) from None
    except msgspec.MsgspecError:
        raise BadInput(
            f"{NAME} is damaged: restore it from a backup, or move it away and add the channels "
            "again"
        ) from None
    if found.version != VERSION:
        raise BadInput(
            f"{NAME} has version {found.version}, this program knows {VERSION}: use the program "
            "that wrote it"
        )
    return found


def write_channels(home: Path, given: ChannelsFile) -> None:
    """Replace the file, on the disk when this returns. Raises StorageError: it is as it was."""
    try:
        write_whole(home / NAME, msgspec.json.format(msgspec.json.encode(given), indent=1))
    except OSError as error:
        raise StorageError(
            f"the channels could not be written ({error.strerror}): they are as they were"
        ) from None


def put_channel(
    home: Path, name: str, entry: ChannelEntry, *, switches: Collection[str] = ()
) -> None:
    """Keep a sealed channel in the place of any before it. Raises BadInput, StorageError.

    `switches` names the kinds that are dead man's switches: of those a desk has one.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise BadInput("a channel's name takes a-z, 0-9, dash and underscore, at most 32")
    if not 0 < len(entry.sealed) <= SEALED_BYTES_MAX:
        raise BadInput("what was sent is not a sealed channel, so nothing was stored")
    with _alone(home):
        before = _there(home)
        if name not in before.entries and len(before.entries) >= CHANNELS_MAX:
            raise BadInput(f"there are {CHANNELS_MAX} channels, the maximum: remove one")
        _one_switch(before, name, entry, switches)
        write_channels(
            home, msgspec.structs.replace(before, entries={**before.entries, name: entry})
        )


def change_channel(
    home: Path, name: str, *, on: bool | None, switches: Collection[str] = ()
) -> None:
    """Turn a channel on or off; None = remove it. Raises BadInput where there is none.

    `switches` as `put_channel` has it: a second one is not turned on.
    """
    with _alone(home):
        before = _there(home)
        entry = before.entries.get(name)
        if entry is None:
            raise BadInput(f"there is no channel {name!r}: nothing was changed")
        kept = {one: known for one, known in before.entries.items() if one != name}
        if on is not None:
            kept[name] = msgspec.structs.replace(entry, on=on)
            _one_switch(before, name, kept[name], switches)
        write_channels(home, msgspec.structs.replace(before, entries=kept))


def _one_switch(
    before: ChannelsFile, name: str, entry: ChannelEntry, switches: Collection[str]
) -> None:
    """Refuse a second dead man's switch: the watch calls one."""
    if not entry.on or entry.kind not in switches:
        return
    for other, one in before.entries.items():
        if other != name and one.on and one.kind in switches:
            raise BadInput(
                f"a desk calls one dead man's switch, and {other} is one: remove it or turn it "
                "off first"
            )


def _there(home: Path) -> ChannelsFile:
    found = read_channels(home)
    if found is None:
        raise BadInput("there is no key to seal for yet: start the desk once, its watch makes one")
    return found


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one program at a time change the file: none may undo what another just wrote."""
    with (home / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
