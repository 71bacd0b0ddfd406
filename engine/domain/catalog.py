"""What the desk is made of: what venues and strategies declare, as every room reads it.

Forms, selectors, vault, doctor and pages are drawn from it, so that a plug-in brings its own and
edits no other's file. An engine writes it once, at its start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from engine.domain.instruments import Mode
from engine.domain.plain import PlainDict
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
    wrong: str = "it does not look right: copy it again, in full"
    """The sentence for a value that does not look like it; never repeats the value."""
    secret: bool = True
    """False = what a person knows the account by at its venue; each credential has one."""
    asked: bool = True
    """False = no form asks for it: the venue gives it, or the environment alone names it."""
    shown: bool = False
    """True = sealed, and readable while it is typed: an address, no password."""

    @property
    def needed(self) -> bool:
        """True where it may not be left empty."""
        return self.asked and re.fullmatch(self.pattern, "") is None

    def check(self, value: str) -> str:
        """Return a value that looks right. Raises ConfigError, which does not repeat it."""
        if re.fullmatch(self.pattern, value) is None:
            raise ConfigError(self.wrong)
        return value


EXPIRY_MARGIN_S = 60
"""A quote has its way to the venue before it expires, and the two clocks may differ."""


class QuoteExpiry(msgspec.Struct, frozen=True, kw_only=True):
    """How orders that end by themselves do so at a venue, in seconds."""

    least_s: int
    """It refuses an expiry sooner than this."""
    early_s: int = 0
    """It takes the order away so long before its time."""

    @property
    def life_s_min(self) -> int:
        return self.least_s + EXPIRY_MARGIN_S

    def refusal(self, life_s: int | None) -> str:
        """Return why quotes cannot live so long, as a sentence; empty = they can."""
        if life_s is None or life_s >= self.life_s_min:
            return ""
        return (
            f"{life_s} s are too few, nothing was changed: the venue refuses an expiry of less "
            f"than {self.least_s} s and takes the order away {self.early_s} s early; at least "
            f"{self.life_s_min} are asked"
        )


class ModeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What accounts of one mode at a venue need."""

    mode: Mode
    credential_fields: tuple[CredentialField, ...] = ()
    """Empty = an account of this mode needs no credential."""
    expiry: QuoteExpiry | None = None
    """None = the venue takes no orders that end by themselves."""


class VenueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One venue this installation knows, as its plug-in declares it."""

    id: str
    title: str
    about: str
    """What an account there is connected to, in a few words."""
    currency: str
    """What its markets are counted in."""
    modes: tuple[ModeEntry, ...]
    lists: bool = False
    """Whether all its markets can be listed."""

    def mode(self, mode: Mode) -> ModeEntry | None:
        """Return what accounts of a mode need; None = there are none."""
        return next((one for one in self.modes if one.mode is mode), None)


def mode_of(venues: Mapping[str, VenueEntry], venue: str, mode: Mode) -> ModeEntry:
    """Return what accounts of a venue and mode need; of an unknown one: nothing."""
    known = venues.get(venue)
    return (known and known.mode(mode)) or ModeEntry(mode=mode)


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
    asked: bool = True
    """False = no usable answer came: what was to be compared is not known."""


class ValueUnit(StrEnum):
    """What a number of a decision is an amount of."""

    PLAIN = ""
    PRICE = "price"
    """A price of the instrument, shown as its venue quotes it."""
    PRICE_PART = "part of a price"
    """A width or a shift of a price: it keeps the digits of a part of a cent."""
    SIZE = "size"
    """So much of it, in what its product is counted in: shares, or what a pair trades."""
    MONEY = "money"
    """In the account's currency."""
    SECONDS = "s"
    MILLISECONDS = "ms"


class ValueWords(msgspec.Struct, frozen=True):
    """A number of a decision for people. `after` stands behind it, for example ` shares`."""

    label: str
    unit: ValueUnit = ValueUnit.PLAIN
    after: str = ""


class GateWords(msgspec.Struct, frozen=True):
    """A gate for people."""

    holds: str
    """What is true where it passes."""
    would: str
    """What must become true where it does not: `would trade if …`."""
    broken: str = ""
    """How value and limit stand when it fails, of `{value}`, `{limit}`, `{missing}`; empty = it
    holds or it does not."""
    unit: ValueUnit = ValueUnit.PLAIN
    sign: str = ""
    """Between value and limit in the list of gates; empty = neither is shown."""
    needed: bool = False
    """True = where it fails, the strategy lacks what it decides on: such data is no evidence."""


class StrategyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy: the JSON schema of its parameters, and words for what its decisions hold."""

    parameters: PlainDict
    gates: dict[str, GateWords]
    values: dict[str, ValueWords]
    """Of `Decision.inputs` and `Decision.build_up`, by name."""
    about: str = ""
    """What it does, in a sentence."""
    idea: str = ""
    """Its idea, the idea's source, and when it loses."""
    digest: str = ""
    """Of its code: evidence of other code is none."""
    category: str = ""
    """What family it is of: bars, binaries, several instruments, composed, other."""
    tags: tuple[str, ...] = ()
    author: str = ""
    """The plug-in it comes from; of the product's own: Pitboss."""

    @property
    def version(self) -> str:
        """Return how people tell its code from other code: a digest in short."""
        return self.digest[:8]


class SettingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of an indicator: what it takes."""

    default: int | float | str
    description: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    """It must be more than this."""
    below: float | None = None
    """It must be less than this."""
    pattern: str = ""
    """A regular expression a text matches."""

    def refusal(self, value: float | str) -> str:
        """Return why it does not take a value, as a clause; empty = it does."""
        if isinstance(self.default, str):
            fits = isinstance(value, str) and re.search(self.pattern, value) is not None
            return "" if fits else f"it takes {self.description or self.pattern}"
        if isinstance(value, str | bool):
            return "it takes a number"
        if isinstance(self.default, int) and not isinstance(value, int):
            return "it takes a whole number"
        if self.low is not None and value < self.low:
            return f"it takes at least {self.low:g}"
        if self.high is not None and value > self.high:
            return f"it takes at most {self.high:g}"
        if self.above is not None and value <= self.above:
            return f"it takes more than {self.above:g}"
        if self.below is not None and value >= self.below:
            return f"it takes less than {self.below:g}"
        return ""


class IndicatorEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An indicator: what it says of itself, and its settings by name."""

    title: str
    about: str
    formula: str
    source: str
    unit: str
    feed: str
    """What it is fed with: prices, trades, books, bars or pairs."""
    settings: dict[str, SettingEntry] = {}
