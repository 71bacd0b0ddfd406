"""A recording in our own format: a tape of its own, holding events instead of frames.

    segments   as the tape's (`engine/runtime/tape_format.py`): compressed blocks, each with its
    checksum entry      "recording": JSON of a `Begin`, at the start and after every gap "events":
    msgpack of the market events of one moment

Events do not depend on the venue's wire format: a recording stays readable when a feed's parser
changes. Entries are numbered without a hole; a missing segment is found.
"""

from __future__ import annotations

import msgspec

from engine.domain.events import MarketEvent

FORMAT = 1
BEGIN = "recording"
EVENTS = "events"


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a recording, and of every part after a gap."""

    format: int
    name: str
    instruments: tuple[str, ...]
    feed: str
    gap: str = ""
    """Why nothing was heard before this; empty = this is the beginning."""


pack_events = msgspec.msgpack.Encoder().encode
unpack_events = msgspec.msgpack.Decoder(tuple[MarketEvent, ...]).decode
pack_begin = msgspec.json.Encoder().encode
unpack_begin = msgspec.json.Decoder(Begin).decode
