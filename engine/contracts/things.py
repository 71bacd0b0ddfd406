"""Everything that is installed, with the check of what it is.

Below the list stand the checks of what a thing declares; `strategy.py` holds the checks that run
strategies and indicators.
"""

from __future__ import annotations

import argparse
import importlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from os import environ
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from engine.__main__ import commands
from engine.contracts.imports import heavy
from engine.contracts.strategy import check_indicator, check_strategy
from engine.domain.alerts import ALERT_KINDS, AlertKind
from engine.domain.commands import COMMANDS, Command
from engine.domain.decisions import Unit
from engine.domain.instruments import Mode
from engine.domain.jobs import JOB_KINDS, JobArguments
from engine.domain.limits import LIMITS, LimitRow
from engine.domain.settings import Limit, RiskLimits
from engine.errors import BadInput, ConfigError
from engine.indicators.library import INDICATORS
from engine.jobs.run import works
from engine.lab.formats.door import ROLES, Format
from engine.lab.formats.importing import ImportRequest, formats, import_files
from engine.lab.formats.tables import opened
from engine.live.commands.registry import handlers
from engine.plugins import NAME, found, installed
from engine.risk.reasons import DenyReason
from engine.runtime.credentials import Credential, environment_names
from engine.runtime.venue_plugin import AccountSpec, VenuePlugin
from engine.strategies.registry import STRATEGIES
from engine.venues.registry import plugins
from engine.watch.channels import Channel, channels
from storage.channels import LABEL
from storage.fold import Noun
from storage.projected import NOUNS
from storage.schema import migrate

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


CHANGES = re.compile(r"^Changes: .+\.$", re.MULTILINE)
PATIENCE_S = 150.0


def check_page(name: str, page: Any, about: str) -> Iterator[str]:
    """Give a sentence for everything a page owes; `page` is its `PAGE`, `about` its docstring."""
    if not about or not about.partition("\n")[0].endswith("."):
        yield "the first line of its docstring says what it shows, as a sentence"
    if "Changes:" in about and CHANGES.search(about) is None:
        yield "the line `Changes: …` of its docstring says what a person changes, as a sentence"
    for field in ("title", "group"):
        if not getattr(page, field):
            yield f"its PAGE has no {field}"
    if not re.fullmatch(r":material/[a-z0-9_]+:", page.icon):
        yield f"its icon is {page.icon!r}: one of Streamlit's, as :material/circle:"
    with empty_home():
        yield from _drawn(name)


@contextmanager
def empty_home() -> Iterator[Path]:
    """Let the dashboard of this process look at a new home, whose tables hold nothing."""
    before = environ.get("PITBOSS_HOME")
    with tempfile.TemporaryDirectory() as folder:
        migrate(Path(folder) / "pitboss.db")
        environ["PITBOSS_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del environ["PITBOSS_HOME"]
            else:
                environ["PITBOSS_HOME"] = before


def _drawn(name: str) -> Iterator[str]:
    """Give what is wrong with a page as it is drawn."""
    from streamlit.testing.v1 import AppTest  # noqa: PLC0415 only a page needs it

    found = "next(one for one in pages.found_pages() if one.name == NAME)"
    script = f"import pages\n{found}.draw()\n".replace("NAME", repr(name))
    test = AppTest.from_string(script, default_timeout=PATIENCE_S).run()
    for error in test.exception:
        place = " ".join(list(error.stack_trace)[-1].split()) if error.stack_trace else ""
        yield f"over an empty home it raises {error.message}: {place}"
    shown: Callable[[], Any] = lambda: [*test.header, *test.title]  # noqa: E731 both are headings
    if not test.exception and not shown():
        yield "it draws no heading"


WRONG_VALUE = "S3CRET!"


def check_venue(plugin: VenuePlugin) -> Iterator[str]:
    """Give a sentence for everything a venue's declaration lacks; nothing is connected."""
    for name in ("title", "about", "modes"):
        if not getattr(plugin, name):
            yield f"its {name} is empty"
    if plugin.market is not None and not plugin.currency:
        yield "it has a market and no currency"
    for mode, spec in plugin.modes.items():
        yield from _account_spec(plugin, mode, spec)
    for name, address in plugin.urls.items():
        if "://" not in address.url:
            yield f"address {name}: {address.url!r} has no scheme"
        for given in ("ftp://127.0.0.1", "nonsense"):
            try:
                plugin.setup(_no_config(), {name: given})
            except ConfigError:
                continue
            yield f"address {name}: it takes {given}"


def _no_config() -> Any:
    from engine.config import Config  # noqa: PLC0415 a bare one, that reads nothing

    return Config()


def _account_spec(plugin: VenuePlugin, mode: Mode, spec: AccountSpec) -> Iterator[str]:
    """Give what accounts of one mode lack."""
    if mode is Mode.LIVE:
        if not spec.credential_fields:
            yield "live: an account that trades real money has a credential"
        if spec.examine is None or spec.selftest is None:
            yield "live: an account is examined and tests itself before it trades"
    if spec.link is None and mode is Mode.LIVE:
        yield "live: it has no link"
    if spec.link is not None and mode is not Mode.PAPER and spec.door is None:
        yield f"{mode}: it has no door, so a KILL without an engine cannot reach it"
    if not spec.credential_fields:
        return
    if sum(not one.secret for one in spec.credential_fields) != 1:
        yield f"{mode}: a credential has one field that is not secret, by which it is known"
    secrets = {one.name: f"s3cret-{one.name}" for one in spec.credential_fields if one.secret}
    if "s3cret" in repr(Credential(plugin.id, "who", secrets)):
        yield f"{mode}: its credential shows a secret"
    if not environment_names(plugin.id, spec.credential_fields):
        yield f"{mode}: its credential has no names for the environment"
    for field in spec.credential_fields:
        if not field.wrong:
            yield f"{mode}: field {field.name} has no sentence for a wrong value"
        try:
            if field.needed and re.fullmatch(field.pattern, WRONG_VALUE) is None:
                field.check(WRONG_VALUE)
        except ConfigError as error:
            if WRONG_VALUE in str(error):
                yield f"{mode}: field {field.name} repeats a wrong value"


def check_job(model: type[JobArguments], work: object, file: Path | None = None) -> Iterator[str]:
    """Give a sentence for everything a kind of job owes; `work` is the function that does it."""
    if not callable(work):
        yield "no function does it: declare one in engine/jobs, or `run` in a plug-in's file"
    if not (model.__doc__ or "").strip():
        yield "it has no docstring, which the form shows"
    for name, field in model.model_fields.items():
        if not field.description:
            yield f"argument {name} has no description"
    if file is not None:
        yield from heavy(file)


def check_command(kind: type[Command], handler: object, file: Path | None = None) -> Iterator[str]:
    """Give a sentence for everything a command owes; `handler` is who takes it."""
    if handler is None:
        yield "nothing takes it: declare a function with @command, or `run` in a plug-in's file"
    if not kind.__doc__ or kind.__doc__.startswith(f"{kind.__name__}("):
        yield "it has no docstring, which help and the documents show"
    config = kind.__struct_config__
    if not config.frozen or config.tag != kind.__name__:
        yield "it is frozen and keyword-only: class X(Command, frozen=True, kw_only=True)"
    schema = msgspec.json.schema(kind)
    if not schema:
        yield "its fields have no schema"
    if file is not None:
        yield from heavy(file)


def check_alert_kind(kind: AlertKind) -> Iterator[str]:
    """Give a sentence for everything a row of an alert kind owes."""
    if NAME.fullmatch(kind.name) is None:
        yield f"its name {kind.name!r}: small letters, digits and _"
    if not kind.title or kind.title[-1] in ".!":
        yield f"its title {kind.title!r}: a few words without a full stop"
    if kind.title[:1] != kind.title[:1].upper():
        yield f"its title {kind.title!r} begins with a capital letter"
    if kind.advice and not kind.advice.endswith("."):
        yield f"its advice {kind.advice!r} is no sentence: it says what to do, and ends"


CHANNEL_LINES_MAX = 120


def check_channel(channel: Channel, file: Path) -> Iterator[str]:
    """Give a sentence for everything a channel owes: words, sealed fields, refusals that help."""
    lines = len(file.read_text(encoding="utf-8").splitlines())
    if lines > CHANNEL_LINES_MAX:
        yield f"its file has {lines} lines: {CHANNEL_LINES_MAX} at most, one file a channel"
    if not channel.title or not channel.help.endswith("."):
        yield "it has a title, and a help that says in a sentence how to get what it asks for"
    names = [one.name for one in channel.fields]
    if len(set(names)) < len(names) or LABEL.name in names:
        yield f"its fields {names} have names of their own, and none is called {LABEL.name!r}"
    if not all(one.secret for one in channel.fields):
        yield "everything a channel holds is sealed: declare each of its fields so"
    if not channel.pings and all(one.shown for one in channel.fields):
        yield "none of its fields is hidden while it is typed: what keeps others from using it?"
    try:
        given = channel.check(channel.example)
    except ConfigError as error:
        yield f"its own example is refused: {error}"
        return
    if given != {**dict.fromkeys(names, ""), **channel.example}:
        yield "its example comes back changed"
    yield from _refusals(channel)


def _refusals(channel: Channel) -> Iterator[str]:
    """Give a sentence where a missing field, or one too many, is taken or refused without words."""
    needed = [one for one in channel.fields if one.needed]
    tries = [({**channel.example, one.name: ""}, one.wrong, one.name) for one in needed]
    for wrong, words, name in [*tries, ({**channel.example, "nonsense": "x"}, "", "nonsense")]:
        try:
            channel.check(wrong)
        except ConfigError as error:
            if words and str(error) != words:
                yield f"without {name} it says {str(error)!r} and not {words!r}"
        else:
            yield f"it takes a wrong {name} without a word"


def check_verb(module: ModuleType) -> Iterator[str]:
    """Give a sentence for everything a command of the command line owes."""
    said = getattr(module, "HELP", "")
    if not said or said.endswith(".") or said[:1] != said[:1].lower():
        yield f"its HELP is {said!r}: a line in the imperative, as `show what state it has`"
    if not module.__doc__:
        yield "it has no docstring"
    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    module.add_arguments(parser)
    for action in parser._actions:  # noqa: SLF001 argparse has no other list of them
        if action.option_strings and not action.help and action.help is not argparse.SUPPRESS:
            yield f"option {action.option_strings[0]} has no help"


def check_limit(row: LimitRow) -> Iterator[str]:
    """Give a sentence for everything a limit's row owes, and its field in the settings."""
    field = RiskLimits.model_fields.get(row.name)
    if field is None:
        yield f"RiskLimits has no field {row.name}"
        return
    amount = field.annotation is Limit
    if amount is not (row.unit is Unit.MICRO):
        yield f"it counts in {row.unit}, and its field is {field.annotation}"
    if not amount and len(field.metadata) < 2:
        yield "its field has no lowest and highest value"
    if not row.title or row.title.endswith("."):
        yield f"its title {row.title!r}: a few words without a full stop"
    if bool(row.reason) is not bool(row.sentence):
        yield "a limit that denies has a reason and a sentence; one that does not has neither"
    if row.reason and row.reason not in set(DenyReason):
        yield f"the gate has no reason {row.reason!r}"
    if row.sentence and not row.sentence.endswith("."):
        yield f"its sentence {row.sentence!r} has no end"


def check_noun(noun: Noun) -> Iterator[str]:
    """Give a sentence for everything a projected noun owes."""
    if not noun.handlers:
        yield "it handles no message: nothing is ever in its tables"
    for table in noun.tables:
        fields = set(table.kind.__struct_fields__)
        for name in table.key:
            if name not in fields:
                yield f"{table.name}: its key {name} is no field of {table.kind.__name__}"
        for index in table.indexes:
            for name in index:
                if name not in fields:
                    yield f"{table.name}: an index over {name}, which is no field"
        if not table.kind.__doc__:
            yield f"{table.kind.__name__} has no docstring"
    if not noun.mark:
        yield "it has no mark"


def check_format(name: str, one: Format) -> Iterator[str]:
    """Give a sentence for everything a format owes; its example is imported in a folder apart."""
    for word in ("title", "source", "example"):
        if not getattr(one, word, ""):
            yield f"its {word} is empty"
    if not (type(one).__doc__ or "").strip():
        yield "it has no docstring"
    file, _, text = getattr(one, "example", "").partition("\n")
    if Path(file).name != file or not text.strip():
        yield "its example: the name of a file, a new line, and what stands in it"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(text, encoding="utf-8")
        yield from _read(name, one, path)


def _read(name: str, one: Format, path: Path) -> Iterator[str]:
    """Read an example by its format, and by whichever format takes it first."""
    head = opened(path).head()
    if not one.fits(head):
        yield "it does not read its own example"
        return
    splits = type(one).rows_in is not Format.rows_in
    folds = splits or one.folding() is not None
    named = (one.folds or ROLES[one.kind]) if folds else one.places(head)
    lacks = [role for role in ROLES[one.kind] if role not in named]
    if lacks:
        yield f"it says no column for {', '.join(lacks)}"
        return
    takers = [
        other for other, known in formats().items() if known.kind is one.kind and known.fits(head)
    ]
    if takers[0] != name:
        yield f"{takers[0]} reads its example before it does"
    data = path.parent / "data"

    def asked(files: Path, named: str) -> ImportRequest:
        return ImportRequest(files=(files,), instrument="toy:A/B", name=named, format=name)

    try:
        made = import_files(asked(path, "whole"), data, 1, lambda *_: None)
    except BadInput as error:
        yield f"its example is refused: {error}"
        return
    if made.rows < 2:
        yield f"its example holds {made.rows} rows: two at least"
    torn = path.with_name(f"torn-{path.name}")
    torn.write_text(path.read_text(encoding="utf-8")[:-12], encoding="utf-8")
    try:
        import_files(asked(torn, "torn"), data, 1, lambda *_: None)
    except BadInput as error:
        if torn.name not in str(error):
            yield f"a torn file is refused without its name: {error}"
    if (data / "torn").exists() and made.rows <= len(list(data.glob("torn/*"))):
        yield "a torn file leaves something behind"
