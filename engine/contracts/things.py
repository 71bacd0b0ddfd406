"""Everything that is installed, with the check of what it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from engine.__main__ import commands
from engine.contracts.declared import (
    check_alert_kind,
    check_channel,
    check_command,
    check_format,
    check_job,
    check_limit,
    check_noun,
    check_venue,
    check_verb,
)
from engine.contracts.indicator import check_indicator
from engine.contracts.page import check_page
from engine.contracts.strategy import check_strategy
from engine.domain.alerts import ALERT_KINDS
from engine.domain.commands import COMMANDS
from engine.domain.jobs import JOB_KINDS
from engine.domain.limits import LIMITS
from engine.indicators.library import INDICATORS
from engine.jobs.run import works
from engine.lab.formats.importing import formats
from engine.live.commands.registry import handlers
from engine.plugins import found, installed
from engine.strategies.registry import STRATEGIES
from engine.venues.registry import plugins
from engine.watch.channels import channels
from storage.projected import NOUNS

Check = Callable[[], Iterator[str]]
"""Gives a sentence for everything that is wrong with a thing."""


class Thing(NamedTuple):
    """One thing of a kind."""

    kind: str
    name: str
    plugin: str
    """Who brings it; empty = the product."""
    check: Check


def things() -> list[Thing]:
    """Return everything that is installed."""
    return [
        *_venues(),
        *_deciders(),
        *_pages(),
        *_asked(),
        *_kept(),
        *_verbs(),
        *_formats(),
        *_channels(),
    ]


def _plugin_of(module: str) -> str:
    """Return whose a module is."""
    owners = (one.name for one in installed() if module.startswith(f"{one.package}."))
    return next(owners, "")


def _file(kind: type[Any]) -> Path:
    return Path(str(importlib.import_module(kind.__module__).__file__))


def _file_of_plugin(kind: type[Any]) -> Path | None:
    return _file(kind) if _plugin_of(kind.__module__) else None


def _venues() -> Iterator[Thing]:
    for name, plugin in plugins().items():
        owner = next((one.name for one in installed() if name in one.files("venue")), "")
        yield Thing("venue", name, owner, partial(check_venue, plugin))


def _deciders() -> Iterator[Thing]:
    for name, strategy in STRATEGIES.items():
        owner = _plugin_of(strategy.__module__)
        check: Check = partial(check_strategy, strategy, _file(strategy))
        yield Thing("strategies", name, owner, check)
    for name, indicator in INDICATORS.items():
        owner = _plugin_of(indicator.__module__)
        check = partial(check_indicator, indicator, _file(indicator))
        yield Thing("indicators", name, owner, check)


def _pages() -> Iterator[Thing]:
    for one in importlib.import_module("pages").found_pages():
        owner = _plugin_of(one.draw.__module__)
        check = partial(check_page, one.name, one.page, one.about)
        yield Thing("pages", one.name, owner, check)


def _asked() -> Iterator[Thing]:
    for name, model in JOB_KINDS.items():
        check: Check = partial(check_job, model, works().get(name), _file_of_plugin(model))
        yield Thing("jobs", name, _plugin_of(model.__module__), check)
    for kind in COMMANDS:
        check = partial(check_command, kind, handlers().get(kind), _file_of_plugin(kind))
        yield Thing("commands", kind.__name__, _plugin_of(kind.__module__), check)


def _kept() -> Iterator[Thing]:
    owners = {
        id(row): one.plugin
        for one in found("alerts")
        for row in (*vars(one.module).values(), *getattr(one.module, "ROWS", ()))
    }
    for name, kind in ALERT_KINDS.items():
        owner = owners.get(id(kind), "")
        yield Thing("alerts", name, owner, partial(check_alert_kind, kind))
    for name, limit in LIMITS.items():
        yield Thing("limits", name, "", partial(check_limit, limit))
    nouns = {one.name: one.plugin for one in found("projected")}
    for name, noun in NOUNS.items():
        yield Thing("projected", name, nouns.get(name, ""), partial(check_noun, noun))


def _verbs() -> Iterator[Thing]:
    added = {one.name: one for one in found("verbs")}
    for name in commands():
        one = added.get(name)
        owner = "" if one is None else one.plugin
        module = importlib.import_module(f"engine.cli.{name}") if one is None else one.module
        yield Thing("verbs", name, owner, partial(check_verb, module))


def _formats() -> Iterator[Thing]:
    for name, one in formats().items():
        owner = _plugin_of(type(one).__module__)
        yield Thing("formats", name, owner, partial(check_format, name, one))


def _channels() -> Iterator[Thing]:
    for name, channel in channels().items():
        module = importlib.import_module(channel.deliver.__module__)
        check = partial(check_channel, channel, Path(str(module.__file__)))
        yield Thing("channels", name, _plugin_of(module.__name__), check)
