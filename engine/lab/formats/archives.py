"""Packed files: gzip, and archives (zip, tar, tar.gz) of one text or of many JSON documents."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from engine.errors import BadInput

TARS = (".tar", ".tar.gz", ".tgz")
UNREADABLE = (
    OSError,
    EOFError,
    UnicodeDecodeError,
    csv.Error,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)
"""What a damaged or torn file raises while it is read."""
OF_ARCHIVES = "an archive of one text, or of JSON documents, is read"
MEMBERS_MAX = 100_000


def is_tar(path: Path) -> bool:
    """Say whether a file is a tar by its name."""
    return path.name.lower().endswith(TARS)


def names_in(path: Path) -> list[str]:
    """Return the names of the files in an archive; of a file that is none its own.

    Raises BadInput for too many of them, and what `UNREADABLE` names.
    """
    if path.suffix.lower() == ".zip":
        names = zipfile.ZipFile(path).namelist()
    elif is_tar(path):
        with tarfile.open(path) as archive:
            names = [one.name for one in archive if one.isfile()]
    else:
        return [path.name]
    if len(names) > MEMBERS_MAX:
        raise BadInput(f"{path.name} holds more than {MEMBERS_MAX:,} files")
    return names


def text_of(path: Path) -> IO[str]:
    """Open a text that may be packed as gzip, or as the only file of an archive.

    Raises BadInput for an archive of several.
    """
    return io.TextIOWrapper(bytes_of(path), encoding="utf-8-sig", newline="")


def bytes_of(path: Path) -> IO[bytes]:
    """Open what `text_of` opens, as bytes. Raises BadInput, OSError."""
    if path.suffix.lower() == ".zip":
        archive = zipfile.ZipFile(path)
        return archive.open(_only(path, archive.namelist()))
    if is_tar(path):
        return _OfTar(path)
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


class _OfTar(io.BufferedReader):
    """The only file of a tar, which is closed with it."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises BadInput where the tar holds another number of files."""
        self._tar = tarfile.open(path)  # noqa: SIM115 `close` closes it
        try:
            found = self._tar.extractfile(
                _only(path, [one.name for one in self._tar if one.isfile()])
            )
            assert found is not None, "only a file was named"
            super().__init__(found)  # type: ignore[arg-type]
        except BaseException:
            self._tar.close()
            raise

    def close(self) -> None:
        """Close the file and its tar."""
        super().close()
        self._tar.close()


def _only(path: Path, names: list[str]) -> str:
    if len(names) != 1:
        raise BadInput(f"{path.name} holds {len(names)} files: {OF_ARCHIVES}")
    return names[0]


def documents_in(path: Path, bytes_max: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of an archive, in its order.

    Raises BadInput for one larger than `bytes_max`, and what `UNREADABLE` names.
    """
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    yield name, _whole(path, name, file, bytes_max)
        return
    with tarfile.open(path) as packed:
        for one in packed:
            found = packed.extractfile(one) if one.isfile() else None
            if found is not None:
                yield one.name, _whole(path, one.name, found, bytes_max)


def _whole(path: Path, name: str, file: IO[bytes], bytes_max: int) -> bytes:
    read = file.read(bytes_max + 1)
    if len(read) > bytes_max:
        raise BadInput(f"{path.name}: {name} is larger than {bytes_max >> 30} GB")
    return read
