"""Observed: outside information that is no price, as a signal, news, a poll, a wallet's trade.

Who sends it names a key, when it was so, how far it can be trusted, and who says it. `observed`
refuses, in a sentence, what cannot be one: a text too long, a number that is none, a time to come.
"""

from __future__ import annotations

import re
from math import isfinite

from engine.domain.event_bases import Event
from engine.errors import BadInput

KEY = re.compile(r"[a-z0-9][a-z0-9_.:/-]{0,99}")
SOURCE_LENGTH_MAX = 100
TEXT_LENGTH_MAX = 2_000
FIELDS_MAX = 20
FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}")
OBSERVED_AT_NS_MIN = 946_684_800 * 1_000_000_000
"""The year 2000: a smaller number is one in another unit."""

ObservedValue = float | str | dict[str, float | str]


class Observed(Event, frozen=True, kw_only=True):
    """Somebody outside said something that is no price."""

    key: str
    """What it is about, as a strategy declares it: `signal:eth`, `poll:senate`."""
    value: ObservedValue
    """A number, a text, or some of them by name."""
    at_ns: int
    """When it was so, as its source says; never later than it was received."""
    trust: float
    """How far its sender trusts it, 0 to 1."""
    source: str
    """Who says it."""

    def number(self, name: str) -> float | None:
        """Return a number of the value by its name; None = there is none of this name."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        return None if found is None or isinstance(found, str) else found

    def text(self, name: str) -> str | None:
        """Return a text of the value by its name; None = there is none of this name."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        return found if isinstance(found, str) else None


def observed(
    key: str, value: ObservedValue, *, at_ns: int, trust: float, source: str, now_ns: int
) -> Observed:
    """Return what was observed. Raises BadInput with the sentence that mends it."""
    if not KEY.fullmatch(key):
        raise BadInput(
            f"key {key[:100]!r}: lower-case letters, digits and _ . : / - alone, at most 100"
        )
    if not 0.0 <= trust <= 1.0:
        raise BadInput(f"trust {trust} is not from 0 to 1")
    if not source.strip() or len(source) > SOURCE_LENGTH_MAX:
        raise BadInput(f"source: say who says it, in at most {SOURCE_LENGTH_MAX} characters")
    if at_ns > now_ns:
        ahead_s = (at_ns - now_ns) / 1e9
        raise BadInput(
            f"at lies {ahead_s:.3f} s in the future: it says when something was seen; leave it "
            "out for now, or set the sender's clock"
        )
    if at_ns < OBSERVED_AT_NS_MIN:
        raise BadInput("at lies before the year 2000: it is a time in UTC, or seconds since 1970")
    _check_value(value)
    return Observed(key=key, value=value, at_ns=at_ns, trust=float(trust), source=source)


def _check_value(value: ObservedValue) -> None:
    """Raise BadInput for a value that is too large or holds what is no number."""
    fields = value if isinstance(value, dict) else {"value": value}
    if not fields or len(fields) > FIELDS_MAX:
        raise BadInput(f"value has {len(fields)} fields: 1 to {FIELDS_MAX} are taken")
    for name, one in fields.items():
        if not FIELD.fullmatch(name):
            raise BadInput(f"value: {name[:40]!r} is no name: a-z first, then a-z, 0-9 and _")
        if isinstance(one, str) and len(one) > TEXT_LENGTH_MAX:
            raise BadInput(f"{name} has {len(one):,} characters: at most {TEXT_LENGTH_MAX:,}")
        if not isinstance(one, str) and not isfinite(one):
            raise BadInput(f"{name} is {one}: a finite number is needed")
