"""A rule: conditions under which a position is entered and left, as a versioned JSON document.

`read_rule` is the one check of it: pages, command line and engine call it, and a document that it
refuses is refused everywhere with the same sentence. A price is in the instrument's currency, a
size in the thing itself; times are UTC. What is not known yet makes a condition false.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engine.domain.bars import DEPTH_MAX, bar_spec
from engine.domain.catalog import IndicatorEntry
from engine.errors import BadInput

VERSION: Literal[1] = 1
"""The format this program reads and writes."""
CONDITIONS_MAX = 20
DEPTH_OF_GROUPS_MAX = 4
HOLD_S_MAX = 86_400.0
NAME = "^[a-z][a-z0-9_]{0,47}$"

Seconds = Annotated[float, Meta(ge=0.0, le=HOLD_S_MAX)]
Comparison = Literal[">", ">=", "<", "<=", "crosses above", "crosses below"]


class FixedNumber(
    msgspec.Struct, frozen=True, tag="number", tag_field="of", forbid_unknown_fields=True
):
    """A number that was typed."""

    value: float


class IndicatorNumber(
    msgspec.Struct, frozen=True, tag="indicator", tag_field="of", forbid_unknown_fields=True
):
    """The number of an indicator of the library."""

    name: str
    settings: dict[str, int | float | str] = {}
    """Those that differ from its defaults."""
    bars: str = ""
    """The bars it is fed with, where it is fed with bars."""
    mids: bool = False
    """True = fed with mids instead of trades, where it is fed with prices."""
    other: str = ""
    """The instrument or reference it is compared with, where it is fed with pairs."""


class BarNumber(msgspec.Struct, frozen=True, tag="bar", tag_field="of", forbid_unknown_fields=True):
    """A number of a closed bar; `ago` 0 = the last one."""

    field: Literal["open", "high", "low", "close", "volume"]
    bars: str
    ago: Annotated[int, Meta(ge=0, lt=DEPTH_MAX)] = 0


class BookNumber(
    msgspec.Struct, frozen=True, tag="book", tag_field="of", forbid_unknown_fields=True
):
    """A number of the book as it stands."""

    field: Literal["bid", "ask", "mid", "spread", "bid size", "ask size", "imbalance"]


class PositionNumber(
    msgspec.Struct, frozen=True, tag="position", tag_field="of", forbid_unknown_fields=True
):
    """A number of what the bot holds in this instrument; profit is not realised, before fees."""

    field: Literal["size", "average price", "profit", "profit %", "seconds held"]


class TimeNumber(
    msgspec.Struct, frozen=True, tag="time", tag_field="of", forbid_unknown_fields=True
):
    """A number of the clock (UTC); weekday 0 = Monday; `seconds to close` of the instrument."""

    field: Literal["hour", "minute", "weekday", "seconds to close"]


Operand = FixedNumber | IndicatorNumber | BarNumber | BookNumber | PositionNumber | TimeNumber


class RuleCondition(
    msgspec.Struct, frozen=True, tag="condition", tag_field="of", forbid_unknown_fields=True
):
    """Compares two numbers. A cross is true in the one evaluation in which the sides change."""

    left: Operand
    compare: Comparison
    right: Operand
    for_s: Seconds = 0.0
    """How long it must have been true without a break."""


class AllOf(msgspec.Struct, frozen=True, tag="all", tag_field="of", forbid_unknown_fields=True):
    """True where every part is."""

    parts: tuple[RuleCondition | AllOf | AnyOf, ...]


class AnyOf(msgspec.Struct, frozen=True, tag="any", tag_field="of", forbid_unknown_fields=True):
    """True where one part is."""

    parts: tuple[RuleCondition | AllOf | AnyOf, ...]


RulePart = RuleCondition | AllOf | AnyOf


class RuleDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule as it is stored and exchanged."""

    version: Literal[1]
    name: Annotated[str, Meta(pattern=NAME)]
    title: Annotated[str, Meta(min_length=1, max_length=120)]
    about: Annotated[str, Meta(max_length=2_000)] = ""
    direction: Literal["long", "short"] = "long"
    share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    """Part of the bot's capital that a position takes."""
    slippage_bps_max: Annotated[float, Meta(ge=0.0, le=1_000.0)] = 100.0
    """Basis points: how much worse than the touch a fill may be."""
    entry: RulePart
    exit: RulePart | None = None
    """A signal that the reason is gone."""
    close: RulePart | None = None
    """A state of the position: profit taken, loss stopped, held too long."""
    emergency: RulePart | None = None
    """Leaves the position and opens nothing for `emergency_rest_s`."""
    emergency_rest_s: Annotated[float, Meta(ge=1.0, le=30 * 86_400.0)] = 3_600.0
    cool_down_s: Seconds = 0.0
    """After a position was left nothing is opened for so long."""

    @property
    def sections(self) -> dict[str, RulePart]:
        """The groups of conditions there are, by name."""
        named = {
            "entry": self.entry,
            "exit": self.exit,
            "close": self.close,
            "emergency": self.emergency,
        }
        return {name: part for name, part in named.items() if part is not None}

    @property
    def conditions(self) -> list[RuleCondition]:
        """All conditions in the order of the document: number 1 is the first."""
        return [one for part in self.sections.values() for one in conditions_of(part)]


def conditions_of(part: RulePart) -> Iterator[RuleCondition]:
    """Give the conditions of a part in order."""
    if isinstance(part, RuleCondition):
        yield part
        return
    for one in part.parts:
        yield from conditions_of(one)


def read_rule(text: str | bytes, indicators: Mapping[str, IndicatorEntry]) -> RuleDocument:
    """Return a rule from its JSON. Raises BadInput with one sentence for what is wrong with it."""
    try:
        document = msgspec.json.decode(text, type=RuleDocument)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadInput(f"this is no rule: {error}") from None
    check_rule(document, indicators)
    return document


def rule_json(document: RuleDocument) -> str:
    """Return a rule as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def check_rule(document: RuleDocument, indicators: Mapping[str, IndicatorEntry]) -> None:
    """Raise BadInput with one sentence where a rule cannot be run."""
    if document.exit is None and document.close is None:
        raise BadInput("the rule never leaves a position: give it an exit or a close condition")
    count = len(document.conditions)
    if count > CONDITIONS_MAX:
        raise BadInput(f"the rule has {count} conditions: {CONDITIONS_MAX} are the most")
    for name, part in document.sections.items():
        _check_part(part, name, indicators, 1)


def _check_part(
    part: RulePart, where: str, indicators: Mapping[str, IndicatorEntry], depth: int
) -> None:
    if isinstance(part, RuleCondition):
        _check_condition(part, where, indicators)
        return
    if depth > DEPTH_OF_GROUPS_MAX:
        raise BadInput(f"{where}: groups stand {DEPTH_OF_GROUPS_MAX} deep at most")
    if not part.parts:
        raise BadInput(f"{where}: a group is empty: give it a condition, or remove it")
    for number, one in enumerate(part.parts, 1):
        _check_part(one, f"{where}, part {number}", indicators, depth + 1)


def _check_condition(
    condition: RuleCondition, where: str, indicators: Mapping[str, IndicatorEntry]
) -> None:
    sides = (condition.left, condition.right)
    if all(isinstance(side, FixedNumber) for side in sides):
        raise BadInput(f"{where}: both sides are numbers: compare something that moves")
    if condition.compare.startswith("crosses") and condition.for_s:
        raise BadInput(f"{where}: a cross lasts one moment: it cannot hold for seconds")
    if where.startswith("entry") and any(isinstance(side, PositionNumber) for side in sides):
        raise BadInput(f"{where}: before a position is entered there is none to look at")
    for side in sides:
        if isinstance(side, IndicatorNumber):
            _check_indicator(side, where, indicators)
        elif isinstance(side, BarNumber):
            _check_bars(side.bars, where)


def _check_bars(bars: str, where: str) -> None:
    try:
        plain = bar_spec(bars).text
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None
    if plain != bars:
        raise BadInput(f"{where}: bars {bars} are named {plain}")


def _check_indicator(
    used: IndicatorNumber, where: str, indicators: Mapping[str, IndicatorEntry]
) -> None:
    entry = indicators.get(used.name)
    if entry is None:
        known = ", ".join(sorted(indicators))
        raise BadInput(f"{where}: there is no indicator {used.name!r}; there are: {known}")
    if (entry.feed == "bars") is not bool(used.bars):
        needs = "say which bars, for example 5m" if entry.feed == "bars" else "leave bars empty"
        raise BadInput(f"{where}: {used.name} is fed with {entry.feed}: {needs}")
    if (entry.feed == "pairs") is not bool(used.other):
        needs = "say what with in `other`" if entry.feed == "pairs" else "leave `other` empty"
        raise BadInput(f"{where}: {used.name} is fed with {entry.feed}: {needs}")
    if used.mids and entry.feed not in ("prices", "pairs"):
        raise BadInput(f"{where}: {used.name} is fed with {entry.feed}, never with mids")
    if used.bars:
        _check_bars(used.bars, where)
    for name, value in used.settings.items():
        setting = entry.settings.get(name)
        if setting is None:
            known = ", ".join(entry.settings) or "none"
            raise BadInput(f"{where}: {used.name} has no setting {name!r}; there are: {known}")
        if wrong := setting.refusal(value):
            raise BadInput(f"{where}: {used.name}, {name} = {value!r}: {wrong}")
    given = {name: one.default for name, one in entry.settings.items()} | used.settings
    for less, more in (("to_s", "from_s"), ("fast", "slow")):
        if less in given and more in given and not _below(given[less], given[more]):
            raise BadInput(f"{where}: {used.name}: {less} must be less than {more}")


def _below(low: float | str, high: float | str) -> bool:
    return not isinstance(low, str) and not isinstance(high, str) and low < high
