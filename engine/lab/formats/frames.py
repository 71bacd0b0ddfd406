"""Frames of streams, as recorders write them: a time of receipt, then the frame as it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from engine.errors import BadInput
from engine.lab.formats.tables import STAMPED, Cells, FileHead


class StreamData(msgspec.Struct):
    """The fields of a trade or a book ticker; what a frame of another kind lacks is empty."""

    e: str = ""
    p: str = ""
    q: str = ""
    t: int = 0
    m: bool = False
    b: str | list[object] = ""
    B: str = ""
    a: str | int | list[object] = ""
    A: str = ""


class StreamFrame(msgspec.Struct):
    """A frame of a combined stream; an answer of REST beside it has no stream."""

    stream: str = ""
    data: StreamData | None = None


_DECODE = msgspec.json.Decoder(StreamFrame).decode
NAMES = {"time": (STAMPED[0],), "frame": (STAMPED[1],)}
"""The columns of these files."""
AnyFrame = TypeVar("AnyFrame")
TRADE = ("symbol", "time", "price", "size", "side")
"""What a trade of a frame says; some say an id besides."""


def holds(head: FileHead, stream: str) -> bool:
    """Say whether a file of stamped frames begins with some of this stream of Binance."""
    return head.header[:2] == STAMPED and any(f"@{stream}" in row[1] for row in head.rows)


def stream_of(
    cells: Cells, places: Mapping[str, int], stream: str
) -> tuple[str, StreamData] | None:
    """Return symbol and fields of a frame of this stream; None = it is of another one."""
    try:
        frame = _DECODE(cells[places["frame"]])
    except msgspec.MsgspecError as error:
        raise BadInput(f"has a frame that cannot be read: {error}") from None
    symbol, _, name = frame.stream.partition("@")
    return None if frame.data is None or name != stream else (symbol.upper(), frame.data)


def captured_at(head: FileHead, *addresses: str) -> bool:
    """Say whether a file is a capture of a socket at one of these addresses."""
    address = head.header[2] if len(head.header) > len(STAMPED) else ""
    return head.header[:2] == STAMPED and any(one in address for one in addresses)


def frame_of(cells: Cells, places: Mapping[str, int], model: type[AnyFrame]) -> AnyFrame | None:
    """Return a frame as its model has it; None = it is one of another kind, and no trade."""
    text = cells[places["frame"]]
    try:
        return msgspec.json.decode(text, type=model)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput(f"has a frame that cannot be read: {error}") from None
