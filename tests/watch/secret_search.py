"""`python -m tests.watch.secret_search HOME`: looks for channels' secrets where none may be.

In every file of a home (databases, logs, backups, exports, recordings), also in what is packed
inside, and in the environments and command lines of the programs that use the home. Opens the
channels with the machine's key to know what to look for; prints names, never a secret. The exit
code is 1 where one was found.
"""

from __future__ import annotations

import base64
import os
import re
import sqlite3
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
import zstandard

from engine.watch import sealed
from engine.watch.channels import channels
from storage.channels import KEY_NAME, read_channels

CHARACTERS_MIN = 8
"""A shorter secret stands somewhere by chance."""

PACKED_BYTES_MAX, UNPACKED_BYTES_MAX = 4 << 20, 64 << 20
"""Of one packed part: what this desk packs is less."""

SQLITE, ZSTD = b"SQLite format 3\0", b"\x28\xb5\x2f\xfd"
_PACKED = re.compile(re.escape(ZSTD) + rb"|\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_GZIP_IN_TEXT = re.compile(rb"H4sI[A-Za-z0-9+/]{16,}={0,2}")


class Searched(msgspec.Struct):
    """What was looked through, and where which secret stands."""

    files: int = 0
    file_bytes: int = 0
    unpacked_bytes: int = 0
    programs: int = 0
    secrets: int = 0
    found: list[str] = []

    def words(self) -> str:
        looked = (
            f"{self.files:,} files, {self.file_bytes / 1e6:,.1f} MB, with "
            f"{self.unpacked_bytes / 1e6:,.1f} MB packed in them; {self.programs} programs; "
            f"{self.secrets} secrets"
        )
        return "\n".join([*self.found, f"{looked}: {len(self.found) or 'none'} found"])


def secrets_of(home: Path) -> dict[str, str]:
    """Return each secret of each channel, and the machine's key, by what it is."""
    file = read_channels(home)
    if file is None:
        return {}
    secrets = {"the machine's key": (home / KEY_NAME).read_text().strip()}
    for name in file.entries:
        entry, fields = sealed.opened(home, name)
        secret = {one.name for one in channels()[entry.kind].fields if not one.shown}
        secrets |= {
            f"{key} of channel {name}": value
            for key, value in fields.items()
            if key in secret and len(value) >= CHARACTERS_MIN
        }
    return secrets


def forms(secret: str) -> set[bytes]:
    """Return a text as files hold one: as it is, wide, quoted, in hex, in base64 at each offset."""
    raw = secret.encode()
    found = {raw, secret.encode("utf-16-le"), quote(secret, safe="").encode()}
    found |= {raw.hex().encode(), raw.hex().upper().encode()}
    for offset in range(3):
        packed = base64.b64encode(b"\0" * offset + raw)
        # The characters at both ends hold bits of what stands beside the secret.
        inner = packed[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def unpacked(data: bytes) -> Iterator[bytes]:
    """Give what is packed anywhere in bytes: zlib, gzip, zstd, and gzip in the base64 of a page."""
    for match in _PACKED.finditer(data):
        part = data[match.start() : match.start() + PACKED_BYTES_MAX]
        with suppress(zlib.error, zstandard.ZstdError):
            if match[0] == ZSTD:
                made = zstandard.ZstdDecompressor().decompressobj().decompress(part)
            else:
                made = zlib.decompressobj(47).decompress(part, UNPACKED_BYTES_MAX)
            if made:
                yield made
    for match in _GZIP_IN_TEXT.finditer(data):
        with suppress(zlib.error, ValueError):
            yield zlib.decompressobj(47).decompress(base64.b64decode(match[0]), UNPACKED_BYTES_MAX)


class Search:
    """Looks for the secrets of a home."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._forms = {name: forms(secret) for name, secret in secrets.items()}
        self.done = Searched(secrets=len(secrets))

    def files(self, home: Path) -> None:
        """Read every file; the machine's key may stand in its own file alone."""
        for path in sorted(one for one in home.rglob("*") if one.is_file()):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue  # a program took it away
            self.done.files += 1
            self.done.file_bytes += len(data)
            own = "the machine's key" if path == home / KEY_NAME else ""
            self._look(data, str(path.relative_to(home)), but=own)
            if data.startswith(SQLITE):
                for cell in cells(path):
                    self._look(cell, f"{path.relative_to(home)}, a cell")

    def programs(self, home: Path) -> None:
        """Read environment and command line of each program that names the home in one."""
        for folder in Path("/proc").glob("[0-9]*"):
            if folder.name == str(os.getpid()):
                continue
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
                if str(home).encode() in words + environment:
                    self.done.programs += 1
                    self._look(words, f"the command line of process {folder.name}")
                    self._look(environment, f"the environment of process {folder.name}")

    def _look(self, data: bytes, where: str, *, but: str = "") -> None:
        self._match(data, where, but)
        for part in unpacked(data):
            self.done.unpacked_bytes += len(part)
            self._match(part, f"{where}, packed", but)

    def _match(self, data: bytes, where: str, but: str) -> None:
        for name, shapes in self._forms.items():
            said = f"{name}: {where}"
            if name != but and said not in self.done.found and any(one in data for one in shapes):
                self.done.found.append(said)


def cells(path: Path) -> Iterator[bytes]:
    """Give every text and blob of a database: a large one lies scattered over its pages."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        with suppress(sqlite3.DatabaseError):
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                for row in connection.execute(f'SELECT * FROM "{name.decode()}"'):
                    yield from (one for one in row if isinstance(one, bytes))


def search(home: Path) -> Searched:
    """Look for every secret of a home's channels in its files and programs."""
    looking = Search(secrets_of(home))
    looking.files(home)
    looking.programs(home)
    return looking.done


if __name__ == "__main__":
    done = search(Path(sys.argv[1]).absolute())
    print(done.words())
    sys.exit(1 if done.found else 0)
