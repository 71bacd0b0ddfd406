"""What a person or a program says of the world outside: no price, no order."""

from __future__ import annotations

from engine.domain.commands import Command, Whole
from engine.domain.observed_events import ObservedValue


class Observe(Command, frozen=True, kw_only=True):
    """Hand an observation to every bot that declares its key."""

    key: str
    value: ObservedValue
    at_ns: Whole = 0
    """When it was so; 0 = now."""
    trust: float = 1.0
    source: str = ""
    """Who says it; empty = who asks."""
