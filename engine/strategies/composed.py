"""Rules of bars made of other rules of bars: each keeps its own wish, one decides what is held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engine.domain.instruments import BotId
from engine.errors import BadInput
from engine.indicators.door import Variant
from engine.strategies.bar_rule import BarRule, Seen
from engine.strategies.door import Reads


class Member(NamedTuple):
    """A rule inside another one, with its defaults, on the bars of the whole."""

    rule: BarRule
    depth: int
    """How many bars must have closed before it is asked."""


def member_kinds() -> dict[str, type[BarRule]]:
    """Return the rules of the library that can be a member, by name: none that is composed."""
    kinds = [
        kind
        for kind in BarRule.__subclasses__()
        if kind.__module__.startswith("engine.strategies.") and hasattr(kind, "name")
    ]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}


def check_member(name: str) -> str:
    """Return the name. Raises ValueError where no rule of the library that can be one has it."""
    kinds = member_kinds()
    if name not in kinds:
        raise ValueError(f"{name!r} is no rule it can be made of: name some of {', '.join(kinds)}")
    return name


class ComposedRule(BarRule):
    """Base of a rule that is made of others; it calls `joined` in `reads_of`, `asked` in `wish`.

    A member of another module than the library's could change while the whole stays the same, so
    rules of plug-ins are none.
    """

    asked_from_first = True  # each member waits for its own bars, and follows the market from there
    _members: Mapping[str, Member] = {}

    @classmethod
    def made_of(cls) -> list[type[BarRule]]:
        """Return every rule that can be a member: evidence of other code of theirs is none."""
        return list(member_kinds().values())

    def joined(self, names: Iterable[str], bars: str, depth: int) -> Reads:
        """Make the members, and return what all of them read, and `depth` bars at least.

        Raises BadInput where a member cannot decide on these bars.
        """
        kinds, made = member_kinds(), {}
        indicators: dict[str, Variant] = {}
        series = {bars: depth}
        for name in names:
            rule = kinds[name](_defaults(name, bars), BotId(self._bot))
            made[name] = Member(rule, rule.reads.bars[bars])
            indicators |= {f"{name}.{key}": one for key, one in rule.reads.indicators.items()}
            for other, count in rule.reads.bars.items():
                series[other] = max(series.get(other, 1), count)
        self._members = made
        return Reads(bars=series, indicators=indicators)

    def asked(self, seen: Seen) -> dict[str, float]:
        """Ask every member at this close; return the part each wants, 0 of one not ready yet."""
        parts = {}
        for name, member in self._members.items():
            own = seen.member(name)
            if len(own.last(member.depth)) >= member.depth:
                wish = member.rule.wish(own)
                if wish is not None and wish.part is not None:
                    own.turn(wish.part)
            parts[name] = own.part
        return parts


def _defaults(name: str, bars: str) -> object:
    """Return the defaults of a rule on these bars."""
    try:
        return member_kinds()[name].parameters_type(bars=bars)
    except ValueError as error:
        raise BadInput(f"{name} cannot decide on {bars} bars: {error}") from None
