"""Channels: how a message leaves the desk. One file a channel, found by scan, a plug-in's too.

A file says `CHANNEL = Channel(…)`. Its `deliver(fields, message)` returns when the message was
accepted and raises `Undelivered` with a sentence otherwise. It runs in a program of its own that
lives for one message; it imports its library when it delivers, because the watch itself imports
every file of this folder to know which channels there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from engine.domain.catalog import CredentialField
from engine.errors import ConfigError, PitbossError
from engine.plugins import found

if TYPE_CHECKING:
    from engine.watch.messages import AlertMessage


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
    takes_html: bool = False
    """True = a flight report leaves by it as a whole; others carry its short text."""
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
    made: dict[str, Channel] = {}
    for one in found("channels", __name__):
        channel = getattr(one.module, "CHANNEL", None)
        if channel is None and not one.plugin:
            continue  # what channels share
        if not isinstance(channel, Channel):
            one.refuse("it declares no CHANNEL of type Channel")
        elif channel.name in made:
            one.refuse(f"there is a channel {channel.name!r} already")
        else:
            made[channel.name] = channel
    return made
