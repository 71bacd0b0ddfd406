"""Conditions: what is found in the state the engine wrote. One file a condition, found by scan.

A file says `CONDITION = Name`, a class with `every_s` and `find(seen)`, which gives the trouble
there is at this moment, or what happened since the last look. It reads the state database alone and
may remember things in `seen.meta`. While the engine does not report, what it found last stands.
"""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from collections.abc import Callable, Collection, Iterable, MutableMapping
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import msgspec

from engine.domain.plain import PlainDict
from engine.watch.desk import EVENT, Trouble
from engine.watch.rules import AlertsRead

MICRO_DECIMALS = 6
UNREADABLE_MAX = 20
"""Most rows of one look of which it is said that they cannot be read; the others are counted."""

Judged = TypeVar("Judged")


class StateSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition looks at: one snapshot of the state database."""

    state: sqlite3.Connection
    engine_id: str
    detail: dict[str, Any]
    """What the engine said of itself with its heartbeat."""
    alerts: AlertsRead
    meta: MutableMapping[str, str]
    now_ns: int
    standing: frozenset[tuple[str, str]] = frozenset()
    """Kind and subject of what stood after the turn before, also that of a former watch."""

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Return a query's rows by the names of its columns; its first mark is the engine."""
        cursor = self.state.execute(query, (self.engine_id, *values))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def stood(self, *kinds: str) -> set[str]:
        """Return the subjects of trouble of these kinds that stood after the turn before."""
        return {subject for kind, subject in self.standing if kind in kinds}


class Condition(Protocol):
    """Finds one kind of thing."""

    every_s: float
    kinds: tuple[str, ...]
    """The kinds of trouble it gives, beside rows that cannot be read."""

    def find(self, seen: StateSeen) -> Iterable[Trouble]: ...


def conditions() -> dict[str, Condition]:
    """Return every condition, new, by the name of its file."""
    found = {}
    for file in pkgutil.iter_modules(__path__):
        made = getattr(importlib.import_module(f"{__name__}.{file.name}"), "CONDITION", None)
        if made is not None:
            found[file.name] = made()
    return found


def event(subject: str) -> str:
    """Return the subject of what happened once."""
    return EVENT + subject


def unreadable(
    what: str, error: Exception, *, lasts: bool = False, instead_of: tuple[str, ...] = ()
) -> Trouble:
    """Return the trouble of one row that cannot be judged: the others go on.

    `lasts`: it is looked at again each time, and may be well by then. Meanwhile trouble of the
    subjects `instead_of` stands as it was: that it is over is not known.
    """
    text = f"{what} cannot be read: {type(error).__name__}: {error}"[:400]
    subject = what if lasts else event(what)
    return Trouble(kind="watch_part", subject=subject, text=text, instead_of=instead_of)


def judged(
    what: str,
    rows: Iterable[PlainDict],
    key: Callable[[PlainDict], str],
    judge: Callable[[PlainDict], Judged | None],
) -> tuple[dict[str, Judged], list[Trouble]]:
    """Judge rows one by one: one that cannot be read hides no other.

    `key` names a row, `judge` gives what was found of it, None = nothing. Return what was found by
    the rows' names, and the trouble of those that cannot be read.
    """
    found: dict[str, Judged] = {}
    unread: list[Trouble] = []
    for row in rows:
        name = key(row)
        try:
            made = judge(row)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
            one = unreadable(f"{what} {name}".strip(), error, lasts=True, instead_of=(name,))
            unread.append(one)
            continue
        if made is not None:
            found[name] = made
    more = unread[UNREADABLE_MAX:]
    if more:
        names = tuple(name for one in more for name in one.instead_of)
        text = f"{len(more):,} more of {what} cannot be read"
        last = Trouble(kind="watch_part", subject=f"more {what}", text=text, instead_of=names)
        unread[UNREADABLE_MAX:] = [last]
    return found, unread


def amount(micro: int, currency: str) -> str:
    """Return micro-units as a person reads them."""
    return f"{Decimal(micro).scaleb(-MICRO_DECIMALS):,.2f} {currency}"


class Since:
    """Remembers since when each of several things has been so without a break."""

    def __init__(self) -> None:
        self._since_ns: dict[str, int] = {}

    def longer(
        self, found: Iterable[str], for_ns: int, now_ns: int, stood: Collection[str] = ()
    ) -> set[str]:
        """Return which of those found have been found for so long; the others are forgotten.

        Those that `stood` were found long enough by a watch before this one.
        """
        # One later than now was noted before the clock went back.
        self._since_ns = {name: min(self._since_ns.get(name, now_ns), now_ns) for name in found}
        return {
            name
            for name, since_ns in self._since_ns.items()
            if now_ns - since_ns >= for_ns or name in stood
        }
