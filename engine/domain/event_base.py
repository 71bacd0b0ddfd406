"""The base of all events, apart so that each kind of event may have a file of its own."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Base of everything that happened. A frozen value closes no circle: nothing to collect."""
