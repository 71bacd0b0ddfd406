"""What venues, jobs, commands, alert kinds, channels, verbs, nouns and formats declare and owe."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from engine.contracts.imports import heavy
from engine.domain.alerts import AlertKind
from engine.domain.commands import Command
from engine.domain.decisions import Unit
from engine.domain.instruments import Mode
from engine.domain.jobs import JobArguments
from engine.domain.limits import LimitRow
from engine.domain.settings import Limit, RiskLimits
from engine.errors import BadInput, ConfigError
from engine.lab.formats.door import ROLES, Format
from engine.lab.formats.importing import ImportRequest, formats, import_files
from engine.lab.formats.tables import opened
from engine.plugins import NAME
from engine.risk.reasons import DenyReason
from engine.runtime.credentials import Credential, environment_names
from engine.runtime.venue_plugin import AccountSpec, VenuePlugin
from engine.watch.channels import Channel
from storage.channels import LABEL
from storage.fold import Noun

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
    lacks = [role for role in ROLES[one.kind] if role not in one.places(head)]
    if lacks:
        yield f"it says no column for {', '.join(lacks)}"
        return
    takers = [other for other, known in formats().items() if known.fits(head)]
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
