"""`python -m engine rules`: rules built of conditions, checked, kept, exchanged."""

from __future__ import annotations

import argparse
import getpass
import json
from contextlib import closing
from pathlib import Path

import msgspec

from engine.cli.arguments import say
from engine.clock import WallClock
from engine.config import Config
from engine.domain.rules import RuleDocument, rule_json
from engine.domain.rules.templates import TEMPLATES
from engine.domain.rules.words import rule_words
from engine.errors import BadInput, os_sentence
from engine.lab.replay.setup import make_ready
from engine.strategies.rules import runnable
from storage.database import connect_writer, reading
from storage.rules import SavedRule, newest_of, save_rule, saved_rules
from storage.users import ENGINE_ID

HELP = "rules built of conditions: check a file, list, show, import, export, remove, restore"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = "list | check | show | import | export | remove | restore | schema"
    parsers = parser.add_subparsers(dest="verb", metavar=verbs)
    parsers.add_parser("list", help="saved rules and templates; what is done without a word, too")
    sub = parsers.add_parser("check", help="say what a file's rule does, or what is wrong with it")
    sub.add_argument("file", metavar="FILE", type=Path, help="a rule as JSON")
    sub = parsers.add_parser("import", help="check a file's rule and keep it as its newest version")
    sub.add_argument("file", metavar="FILE", type=Path, help="a rule as JSON")
    for verb, about in (
        ("show", "what a saved rule or a template does, in words"),
        ("export", "print a saved rule or a template as JSON"),
        ("remove", "remove a saved rule; bots that run it keep what they started with"),
        ("restore", "bring a removed rule back"),
    ):
        sub = parsers.add_parser(verb, help=about)
        sub.add_argument("name", metavar="NAME", help="of a rule")
    parsers.add_parser("schema", help="print the JSON schema of a rule")


def run(args: argparse.Namespace, config: Config) -> int:
    match args.verb:
        case "check":
            document = _of_file(args.file)
            say(args, {"name": document.name, "words": rule_words(document)}, rule_words(document))
        case "import":
            _keep(args, config, _of_file(args.file))
        case "show":
            document = _known(config, args.name)
            say(args, msgspec.to_builtins(document), f"{document.title}\n{rule_words(document)}")
        case "export":
            print(rule_json(_known(config, args.name)))
        case "remove" | "restore":
            _turn(args, config)
        case "schema":
            print(json.dumps(msgspec.json.schema(RuleDocument), indent=2))
        case _:
            _list(args, config)
    return 0


def _of_file(file: Path) -> RuleDocument:
    """Return the rule of a file. Raises BadInput with one sentence."""
    try:
        return runnable(file.read_bytes())
    except OSError as error:
        raise BadInput(f"{file}: {os_sentence(error)}") from None
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from None


def _saved(config: Config, *, removed: bool = False) -> list[SavedRule]:
    if not config.state_path.is_file():
        return []
    with reading(config.state_path) as connection:
        return saved_rules(connection, ENGINE_ID, removed=removed)


def _known(config: Config, name: str) -> RuleDocument:
    """Return a saved rule, else a template. Raises BadInput with those there are."""
    saved = _saved(config)
    if found := newest_of(saved, name):
        return runnable(found.document)
    if name in TEMPLATES:
        return TEMPLATES[name]
    known = ", ".join([*(one.name for one in saved), *TEMPLATES])
    raise BadInput(f"there is no rule {name!r}; known: {known}")


def _keep(args: argparse.Namespace, config: Config, document: RuleDocument) -> None:
    made = _save(config, document.name, document.title, rule_json(document))
    said = f"rule {made.name} was kept as version {made.version}\n{rule_words(document)}"
    say(args, {"name": made.name, "version": made.version}, said)


def _save(config: Config, name: str, title: str, text: str, *, removed: bool = False) -> SavedRule:
    make_ready(config)
    with closing(connect_writer(config.state_path)) as connection:
        return save_rule(
            connection,
            ENGINE_ID,
            name=name,
            title=title,
            document=text,
            who=f"{getpass.getuser()} (command line)",
            now_ns=WallClock().now_ns(),
            removed=removed,
        )


def _turn(args: argparse.Namespace, config: Config) -> None:
    """Remove a rule, or bring it back; its document stays as it was."""
    removes = args.verb == "remove"
    saved = _saved(config, removed=not removes)
    found = newest_of(saved, args.name)
    if found is None:
        known = ", ".join(one.name for one in saved) or "none"
        raise BadInput(f"there is no rule {args.name!r} to {args.verb}; there are: {known}")
    made = _save(config, found.name, found.title, found.document, removed=removes)
    done = "removed" if removes else "there again"
    said = f"rule {made.name} is {done}, as version {made.version}"
    say(args, {"name": made.name, "version": made.version, "removed": removes}, said)


def _list(args: argparse.Namespace, config: Config) -> None:
    rows = [
        {"name": one.name, "version": one.version, "title": one.title, "of": "saved"}
        for one in _saved(config)
    ]
    rows += [
        {"name": name, "version": 0, "title": one.title, "of": "template"}
        for name, one in TEMPLATES.items()
    ]
    text = "\n".join(f"{row['name']:22}{row['of']:10}{row['title']}" for row in rows)
    say(args, {"rules": rows}, text)
