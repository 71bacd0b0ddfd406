"""Frames of Binance's streams, as recorders write them: a time of receipt, then the frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    a: str | list[object] = ""
    A: str = ""


class StreamFrame(msgspec.Struct):
    """A frame of a combined stream; an answer of REST beside it has no stream."""

    stream: str = ""
    data: StreamData | None = None


_DECODE = msgspec.json.Decoder(StreamFrame).decode
NAMES = {"time": (STAMPED[0],), "frame": (STAMPED[1],)}
"""The columns of these files."""


def holds(head: FileHead, stream: str) -> bool:
    """Say whether a file of stamped frames begins with some of this stream."""
    return head.header == STAMPED and any(f"@{stream}" in row[1] for row in head.rows)


class FrameFold:
    """Makes a row of each frame of one stream. Implements `RowFold`."""

    single = True

    def __init__(self, stream: str, row: Callable[[str, StreamData], Cells]) -> None:
        """`row` takes the time of receipt and a frame's fields."""
        self._stream, self._row = f"@{stream}", row

    def take(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Return the row of a frame; None = it is of another stream. Raises BadInput."""
        try:
            frame = _DECODE(cells[places["frame"]])
        except msgspec.MsgspecError as error:
            raise BadInput(f"has a frame that cannot be read: {error}") from None
        if frame.data is None or not frame.stream.endswith(self._stream):
            return None
        return self._row(cells[places["time"]], frame.data)

    def rest(self) -> Cells | None:
        """Return nothing: each frame's row was returned with it."""
        return None
