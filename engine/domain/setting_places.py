"""Where a setting stands in words: what it is part of, and the title of its field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.domain.labels import readable
from engine.domain.limits import LIMITS
from engine.domain.settings import (
    AccountSettings,
    AlertRule,
    AlertSettings,
    BotSettings,
    Limit,
    MarketFilter,
    PriceAlert,
    RiskLimits,
    ScheduleEntry,
    Settings,
    SettingsDocument,
)
from engine.domain.strategy_settings import StrategySettings

HEADS: Mapping[str, tuple[str, type[Settings]]] = {
    "accounts": ("Account", AccountSettings),
    "bots": ("Bot", BotSettings),
    "filters": ("Filter", MarketFilter),
    "strategies": ("Strategy", StrategySettings),
    "schedule": ("Schedule", ScheduleEntry),
    "alerts.rules": ("Alert rule", AlertRule),
    "alerts.prices": ("Price alert", PriceAlert),
}
"""What an entry of a part of the settings is called, and its fields."""


class SettingPlace(NamedTuple):
    """Where a setting stands: what it is part of in words, and the names of it in `fields`."""

    part: str
    fields: type[Settings]
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        return _title(self.fields, self.names)


def place_of(way: Sequence[str]) -> SettingPlace:
    """Return where a setting stands, of the names on the way to it."""
    for depth in (2, 1):
        head = HEADS.get(".".join(way[:depth]))
        if head is not None and len(way) > depth:
            return SettingPlace(f"{head[0]} {way[depth]}", head[1], tuple(way[depth + 1 :]))
    if way and way[0] == "alerts":
        return SettingPlace("Alerts", AlertSettings, tuple(way[1:]))
    return SettingPlace("Settings", SettingsDocument, tuple(way))


def _title(fields: type[Settings], way: Sequence[str]) -> str:
    """Return the title of a field; of a limit also which of its two forms is meant."""
    if not way:
        return "All of it"
    first, *rest = way
    field = fields.model_fields.get(first)
    if field is None:
        return readable(" ".join(way))
    inner = field.annotation
    if rest and isinstance(inner, type) and issubclass(inner, Settings) and inner is not Limit:
        return _title(inner, rest)
    row = LIMITS.get(first) if fields is RiskLimits else None
    title = row.title if row else field.title or readable(first)
    if not rest:
        return title
    if inner is Limit:
        return f"{title}, {'percent' if rest[0] == 'percent' else 'amount'}"
    return readable(" ".join(rest))
