"""Kinds of alerts: how severe each is, its title, and what a person does about it.

One row a kind, in a file of this folder or of a plug-in's `alerts`: a venue, a strategy or a job
adds kinds in a file of its own. Severity belongs to the kind, never to the call that raises it. The
kind groups repeats (`storage.alerts`); the sentence of an alert says what happened this time.
`engine.watch` sends alerts away from the desk by the rules of the settings.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.plugins import found


class Severity(StrEnum):
    """How urgent a kind of alert is."""

    INFO = "info"
    """News: shown on the page."""
    WARNING = "warning"
    """A person looks at it today: by default in a digest."""
    CRITICAL = "critical"
    """A person looks at it now: by default every channel at once."""


SEVERITIES = tuple(Severity)
"""From the least to the most urgent."""


class AlertGroup(StrEnum):
    """What a kind is about; a rule may name a whole group."""

    ORDERS = "orders"
    MONEY = "money"
    STOPS = "stops"
    BOTS = "bots"
    VENUES = "venues"
    MARKETS = "markets"
    FILES = "files"
    PROGRAMS = "programs"
    MACHINE = "machine"
    OTHER = "other"


class Repeat(StrEnum):
    """Which alerts of a kind are one alert that is counted: the key of its deduplication."""

    WORDS = "words"
    """Those of one place (account, bot, instrument) whose texts differ by numbers alone."""
    PLACE = "place"
    """Those of one place, whatever their texts say."""


class Sent(StrEnum):
    """How a kind is sent where no rule names the kind or its group."""

    AS_SEVERE = "as severe"
    """By the rule of its severity."""
    AT_ONCE = "at once"
    """By the rule of its severity, never in a digest."""
    NOT = "not"
    """Shown on the page alone."""


class AlertKind(msgspec.Struct, frozen=True):
    """One kind of alert."""

    name: str
    """As it is raised and stored."""
    title: str
    advice: str
    """What to do about it, a sentence; empty = nothing, it is news."""
    severity: Severity = Severity.WARNING
    group: AlertGroup = AlertGroup.OTHER
    page: str = "alerts"
    """The page that shows more of it, by its address."""
    repeat: Repeat = Repeat.WORDS
    sent: Sent = Sent.AS_SEVERE


def _found() -> dict[str, AlertKind]:
    made: dict[str, AlertKind] = {}
    for one in found("alerts", __name__):
        rows = [value for value in vars(one.module).values() if isinstance(value, AlertKind)]
        for row in (*rows, *getattr(one.module, "ROWS", ())):
            if row.name in made and one.plugin:
                one.refuse(f"there is a kind of alert {row.name!r} already")
            else:
                made[row.name] = row
    return made


ALERT_KINDS = _found()
"""Every kind by its name, of every file in this folder and of plug-ins."""


def numbers_of(cell: str | None) -> dict[str, str]:
    """Return the figures of a stored alert, by their names. Raises ValueError for what is none."""
    return msgspec.json.decode(cell, type=dict[str, str]) if cell else {}


def described(name: str) -> AlertKind:
    """Return a kind; one that an older version stored is called as it was stored."""
    return ALERT_KINDS.get(name) or AlertKind(name, name.replace("_", " ").capitalize(), "")
