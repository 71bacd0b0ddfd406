"""Rules: which channel hears of a notice, when, and how often; and how they are read.

The settings are read here as msgspec structs with the fields of `engine.domain.settings`
(`AlertSettings`; a test holds the two equal): pydantic would cost the watch a third of its memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from engine.domain.alerts import SEVERITIES, AlertKind, Sent, Severity

EVERY = "*"
"""A rule's word for every channel."""

ADDRESS = "http://127.0.0.1:8501"
"""Where the dashboard is unless the settings say otherwise; there the port is the desk's own."""

QUIET = r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$"
"""What quiet hours look like."""

MINUTE_NS = 60 * 1_000_000_000
HOUR_NS = 60 * MINUTE_NS


class RuleRead(msgspec.Struct, frozen=True, kw_only=True):
    """One rule; `engine.domain.settings.AlertRule` says what each field means."""

    kinds: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    severity_min: Severity = Severity.WARNING
    channels: tuple[str, ...] = (EVERY,)
    mute: bool = False
    digest_min: int = 0
    quiet: Annotated[str, msgspec.Meta(pattern=QUIET)] = ""
    quiet_unless: Severity = Severity.CRITICAL
    again_min: int = 60
    per_hour_max: Annotated[int, msgspec.Meta(ge=1)] = 30
    escalate_min: int = 0
    escalate_to: tuple[str, ...] = ()
    on: bool = True


class PriceRule(msgspec.Struct, frozen=True, kw_only=True):
    """One price alert; see `engine.domain.settings.PriceAlert`."""

    instrument: str
    account: str = ""
    above: float | None = None
    below: float | None = None
    moves: float | None = None
    within_min: int = 60
    repeats: bool = False
    note: str = ""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a condition is an alert; see `engine.domain.settings.AlertThresholds`."""

    large_fill: float = 500.0
    balance_low: float = 100.0
    limit_near_percent: float = 80.0
    closes_within_min: int = 60
    connection_s: int = 60
    bot_idle_min: int = 30
    turn_ms: float = 50.0
    answer_ms: float = 1_000.0
    memory_free_mb: int = 250


def default_rules() -> dict[str, RuleRead]:
    return {
        "critical": RuleRead(severity_min=Severity.CRITICAL),
        "warning": RuleRead(severity_min=Severity.WARNING, digest_min=15),
    }


class AlertsRead(msgspec.Struct, frozen=True, kw_only=True):
    """The part `alerts` of a settings document."""

    rules: dict[str, RuleRead] = msgspec.field(default_factory=default_rules)
    prices: dict[str, PriceRule] = {}
    thresholds: Thresholds = Thresholds()
    zone: str = "UTC"
    address: str = ADDRESS
    ack_links: bool = False
    ack_hours: int = 24


class Route(NamedTuple):
    """By which rule a channel hears of a notice."""

    channel: str
    name: str
    rule: RuleRead


def routes(kind: AlertKind, channels: Iterable[str], rules: Mapping[str, RuleRead]) -> list[Route]:
    """Return by which rule each channel hears of a kind, channels that do not left out.

    Of the rules that name a channel the most specific decides: one that names the kind before one
    that names its group; among equals the one with the higher minimum severity, then by name.
    """
    found = []
    for channel in channels:
        named = [
            (rank, SEVERITIES.index(rule.severity_min), name)
            for name, rule in rules.items()
            if (EVERY in rule.channels or channel in rule.channels)
            and (rank := _rank(rule, kind)) is not None
        ]
        if not named:
            continue
        rank, _, name = max(named)
        rule = rules[name]
        if rule.mute or (rank == 0 and kind.sent is Sent.NOT):
            continue
        if rank == 0 and kind.sent is Sent.AT_ONCE:
            rule = msgspec.structs.replace(rule, digest_min=0)
        found.append(Route(channel, name, rule))
    return found


def _rank(rule: RuleRead, kind: AlertKind) -> int | None:
    """Return how specifically a rule fits a kind; None = it does not."""
    if not rule.on or SEVERITIES.index(kind.severity) < SEVERITIES.index(rule.severity_min):
        return None
    if kind.name in rule.kinds:
        return 2
    if kind.group in rule.groups:
        return 1
    return None if rule.kinds or rule.groups else 0


def quiet_until_ns(rule: RuleRead, kind: AlertKind, zone: str, now_ns: int) -> int:
    """Return the end of the quiet hours that hold a kind back now; 0 = none do."""
    if not rule.quiet or SEVERITIES.index(kind.severity) >= SEVERITIES.index(rule.quiet_unless):
        return 0
    begins, ends = (_minutes(text) for text in rule.quiet.split("-"))
    local = datetime.fromtimestamp(now_ns // 10**9, UTC).astimezone(zone_of(zone))
    minute = local.hour * 60 + local.minute
    within = begins <= minute < ends if begins <= ends else minute >= begins or minute < ends
    if not within:
        return 0
    until = local.replace(hour=ends // 60, minute=ends % 60, second=0, microsecond=0)
    if until <= local:
        until += timedelta(days=1)
    return int(until.astimezone(UTC).timestamp()) * 10**9


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name, UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


# -- What is in force: the newest saved version, or the last readable one --------------------------

_NEWEST = (
    "SELECT version, body FROM settings WHERE engine_id = ? AND typeof(version) = 'integer' "
    "ORDER BY version DESC LIMIT 1"
)


class _Document(msgspec.Struct):
    """The part of a settings document that concerns the watch."""

    alerts: AlertsRead = msgspec.field(default_factory=AlertsRead)


class SettingsReader:
    """The alert settings in force; those that can be read last stay where newer cannot."""

    def __init__(self, kept: str | None, port: int | None = None) -> None:
        self._own = f"http://127.0.0.1:{port}" if port else ADDRESS
        self._now = AlertsRead()
        self.error = ""
        """Why the newest cannot be read; empty = it can."""
        self._version = -1
        if kept:
            try:
                self._now = msgspec.json.decode(kept, type=AlertsRead)
            except msgspec.MsgspecError:
                self.error = "the kept copy of the alert settings is of another version"

    @property
    def now(self) -> AlertsRead:
        """The settings in force; an address that was left as shipped is this desk's own."""
        if self._now.address != ADDRESS:
            return self._now
        return msgspec.structs.replace(self._now, address=self._own)

    def read(self, state: sqlite3.Connection, engine_id: str) -> None:
        """Read the newest saved version; it needs no engine to be in force here."""
        row = state.execute(_NEWEST, (engine_id,)).fetchone()
        if row is None or row[0] == self._version:
            return
        self._version = row[0]
        try:
            self._now, self.error = msgspec.json.decode(row[1], type=_Document).alerts, ""
        except (msgspec.MsgspecError, TypeError) as error:
            self.error = f"version {row[0]} of the settings: {error}"

    def kept(self) -> str:
        """Return them as they are kept for a time without a state database."""
        return msgspec.json.encode(self._now).decode()
