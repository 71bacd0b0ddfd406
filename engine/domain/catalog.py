"""What venues declare, as every room reads it: forms, selectors, vault, doctor and pages."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from engine.domain.instruments import Mode
from engine.errors import ConfigError

ANY = ".+"
"""The pattern of a value that may look like anything."""


class CredentialField(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a credential, as a form asks for it."""

    name: str
    title: str
    pattern: str = ANY
    """What the whole value looks like: a regular expression both Python and browsers read."""
    hint: str = ""
    wrong: str = ""
    """The sentence for a value that does not look like it; never repeats the value."""
    secret: bool = True
    """False = what a person knows the account by at its venue; each credential has one."""
    asked: bool = True
    """False = no form asks for it: the venue gives it, or the environment alone names it."""

    def check(self, value: str) -> str:
        """Return a value that looks right. Raises ConfigError, which does not repeat it."""
        if re.fullmatch(self.pattern, value) is None:
            raise ConfigError(self.wrong or f"the {self.title.lower()} does not look right")
        return value


class ModeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What accounts of one mode at a venue need."""

    mode: Mode
    credential_fields: tuple[CredentialField, ...] = ()
    """Empty = an account of this mode needs no credential."""
    quotes_expire: bool = False
    """True where the venue takes orders that end by themselves."""


class VenueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One venue this installation knows, as its plug-in declares it."""

    id: str
    title: str
    about: str
    """What an account there is connected to, in a few words."""
    currency: str
    """What its markets are counted in."""
    modes: tuple[ModeEntry, ...]

    def mode(self, mode: Mode) -> ModeEntry | None:
        """Return what accounts of a mode need; None = there are none."""
        return next((one for one in self.modes if one.mode is mode), None)


class Grade(StrEnum):
    """How bad a finding is. Only FAIL keeps an account locked."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What was found about an account. `fix` is the sentence that mends it, empty = all is well."""

    name: str
    grade: Grade
    said: str
    fix: str = ""
