"""The log of ticks: what the engine appends in batches, until a job makes Parquet of it.

A segment is a file of records; a record is one batch: its length and checksum, whose ticks stand
where in it, and their columns, compressed instrument by instrument: one of them is read without
the others. A record that a kill cut off fails its checksum: reading ends before it.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

from engine.domain.instruments import InstrumentId
from engine.errors import StorageError

COLUMNS = ("at_ns", "bid", "ask", "last", "volume")
"""Of a tick: when it was received (ns UTC), best prices, last traded price, size traded in it."""

NONE = -(1 << 63)
"""Stands in a column where there is nothing: no bid, no ask, no trade yet, none in this tick."""

MAGIC = b"PBTICKS1"
END = ".ticks"
DIGITS = 15
NUMBER_MAX = 100_000_000_000_000
"""Segments are numbered by milliseconds since 1970; a larger one is of no year that will come."""

_HEAD = struct.Struct("<III")
TickPlaces = dict[str, "array[int]"]
"""Instrument → where in a segment its columns lie: byte and bytes, one batch after another."""


def pack(batch: Mapping[InstrumentId, array[int]]) -> bytes:
    """Return a batch as a record; an instrument's ticks are given one after another."""
    width, at = len(COLUMNS), 0
    whose: dict[str, tuple[int, int]] = {}
    bodies: list[bytes] = []
    for name, ticks in batch.items():
        columns = b"".join(ticks[number::width].tobytes() for number in range(width))
        body = zlib.compress(columns, 1)
        whose[name] = at, len(body)
        bodies.append(body)
        at += len(body)
    index, body = msgspec.msgpack.encode(whose), b"".join(bodies)
    return _HEAD.pack(len(index), len(body), zlib.crc32(index + body)) + index + body


def unpack(body: bytes) -> list[array[int]]:
    """Return the columns of some ticks."""
    columns = zlib.decompress(body)
    size = len(columns) // len(COLUMNS)
    return [
        array("q", columns[number * size : (number + 1) * size]) for number in range(len(COLUMNS))
    ]


def segments(folder: Path) -> list[Path]:
    """Return the segments, oldest first; the last one may still be written.

    A file of another name is not ours: it is left where it is.
    """
    found = sorted((folder / "log").glob("[0-9]" * DIGITS + END))
    return [path for path in found if number_of(path) < NUMBER_MAX and path.is_file()]


def number_of(segment: Path) -> int:
    """Return a segment's number: later ones have higher ones, and none is used twice."""
    return int(segment.stem)


@lru_cache(maxsize=64)
def _places(segment: Path, size: int) -> tuple[TickPlaces, int]:
    data = segment.read_bytes()[:size]
    places: TickPlaces = {}
    at = len(MAGIC) if data.startswith(MAGIC) else size
    while at + _HEAD.size <= len(data):
        index, body, checksum = _HEAD.unpack_from(data, at)
        begins, ends = at + _HEAD.size, at + _HEAD.size + index + body
        chunk = data[begins:ends]
        if len(chunk) < index + body or zlib.crc32(chunk) != checksum:
            break
        for name, (offset, length) in msgspec.msgpack.decode(chunk[:index], type=_INDEX).items():
            places.setdefault(name, array("q")).extend((begins + index + offset, length))
        at = ends
    return places, size - at if data.startswith(MAGIC) else size


_INDEX = dict[str, tuple[int, int]]


def look(segment: Path) -> tuple[TickPlaces, int]:
    """Return whose ticks stand where, and how many bytes at the end are no whole record.

    Raises StorageError.
    """
    try:
        return _places(segment, segment.stat().st_size)
    except FileNotFoundError:
        return {}, 0  # made into Parquet since it was listed
    except (OSError, msgspec.DecodeError) as error:
        raise StorageError(f"the ticks in {segment} cannot be read: {error}") from error


def ticks_in(segment: Path, name: str) -> list[array[int]]:
    """Return the columns of an instrument's ticks in a segment, empty where it has none.

    Raises StorageError.
    """
    places = look(segment)[0].get(name, array("q"))
    found = [array("q") for _ in COLUMNS]
    try:
        with segment.open("rb") as file:
            for at, length in zip(places[::2], places[1::2], strict=True):
                file.seek(at)
                for column, more in zip(found, unpack(file.read(length)), strict=True):
                    column.extend(more)
    except FileNotFoundError:
        return [array("q") for _ in COLUMNS]
    except (OSError, zlib.error) as error:
        raise StorageError(f"the ticks in {segment} cannot be read: {error}") from error
    return found
