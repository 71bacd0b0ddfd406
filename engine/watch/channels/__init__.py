"""Channels: how a message leaves the desk. One file a channel, found by scan.

A file says `CHANNEL = Channel(…)`. Its `deliver(fields, message)` returns when the message was
accepted and raises `Undelivered` with a sentence otherwise. It runs in a program of its own that
lives for one message; it imports its library when it delivers, because the watch itself imports
every file of this folder to know which channels there are.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from engine.domain.catalog import CredentialField
from engine.errors import ConfigError, PitbossError

if TYPE_CHECKING:
    from engine.watch.messages import AlertMessage

LABEL = CredentialField(
    name="label",
    title="Label",
    pattern=r".{1,60}",
    hint="what you recognise it by, e.g. my phone; not secret",
    wrong="give the channel a label of 1 to 60 characters",
    secret=False,
)
"""The one field of every channel that is not sealed."""


class Undelivered(PitbossError):
    """A channel did not take a message. `permanent`: a person must change something first."""

    def __init__(
        self, text: str, *, retry_after_s: float | None = None, permanent: bool = False
    ) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
        self.permanent = permanent


Delivers = Callable[[Mapping[str, str], "AlertMessage"], None]


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of channel."""

    name: str
    title: str
    fields: tuple[CredentialField, ...]
    """What a person gives; everything is sealed, fields with `shown` may be read while typed."""
    deliver: Delivers
    help: str = ""
    """How a person gets what the fields ask for, a sentence."""
    example: Mapping[str, str]
    """Values that look right, for the form's check and the contract's test."""
    pings: bool = False
    """True = no message leaves by it: it is called each minute while all is well."""

    def check(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the fields, judged one by one. Raises ConfigError, which repeats no value."""
        known = {one.name: one for one in self.fields}
        unknown = given.keys() - known.keys()
        if unknown:
            raise ConfigError(f"{self.title} has no field {min(unknown)!r}")
        return {name: one.check(given.get(name, "").strip()) for name, one in known.items()}


@cache
def channels() -> dict[str, Channel]:
    """Return every kind of channel by its name."""
    found = {}
    for file in pkgutil.iter_modules(__path__):
        channel = getattr(importlib.import_module(f"{__name__}.{file.name}"), "CHANNEL", None)
        if isinstance(channel, Channel):
            found[channel.name] = channel
    return found
