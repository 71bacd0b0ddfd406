"""`python -m engine settings`: everything a page edits, without a browser.

Saving is not applying, as on the pages: `set`, `unset` and `import` save a version, `apply` has the
engine put it in force, `--apply` does both. A refusal is one sentence and, with `--json`, one of
the words of `REASONS`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec

from engine.cli.arguments import (
    WAIT_S_MAX,
    WHOLE_MAX,
    amount,
    say,
    short,
    unwritable,
    who_types,
    whole,
)
from engine.cli.command import WAIT_S, leave_and_wait
from engine.clock import WallClock
from engine.config import Config
from engine.domain.commands import ApplySettings
from engine.domain.instruments import BotId
from engine.domain.settings import SettingsDocument
from engine.errors import BadInput, BadRequest, ConfigError, NoEngine, os_sentence
from engine.log import iso
from engine.strategies.registry import build
from engine.venues.registry import expiry_refusal
from storage import alert_rules
from storage.commands import ENDS, CommandState
from storage.database import reading, writing
from storage.files import write_whole
from storage.listed_markets import markets_judged
from storage.schema import check_schema
from storage.settings import (
    Change,
    SettingsVersion,
    Stale,
    changes,
    in_force,
    latest,
    merged,
    read,
    save,
)
from storage.settings_paths import patch_between, value_at, with_value, without
from storage.users import ENGINE_ID

HELP = "show, change, apply, export or import the settings: accounts, bots, limits, schedule"

DONE, NOT_DONE = 0, 1
FORMAT = "pitboss settings 1"
"""What an exported file calls itself."""

REASONS = {
    "no_such_setting": "the path leads nowhere",
    "no_such_version": "that version was never saved",
    "invalid": "the settings would not be valid; nothing was saved",
    "unreadable_file": "the file cannot be read, or holds no settings",
    "stale": "somebody saved since the version named by --base; nothing was saved",
    "no_engine": "it is saved, and no engine runs that could apply it",
    "refused": "it is saved, and the engine refuses to apply it; the text says why",
    "failed": "it is saved, and applying it failed",
    "unanswered": "it is saved, and the engine has not answered; it may still apply it",
}
"""The word of each refusal, and what it means."""

Document = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="print the settings and which version is in force")
    get = verbs.add_parser("get", help="print one value, e.g. bots.maker.capital")
    get.add_argument("path")
    for one in (show, get):
        _add_version(one, "--version", "N of a version (default: the newest)")
    put = verbs.add_parser("set", help="change values, e.g. bots.maker.capital=250")
    put.add_argument(
        "values", nargs="+", metavar="PATH=VALUE", help="VALUE is JSON; what is no JSON is text"
    )
    put.add_argument(
        "--unset", action="append", default=[], metavar="PATH", help="removed first, repeatable"
    )
    unset = verbs.add_parser("unset", help="remove values, bots, accounts")
    unset.add_argument("unset", nargs="+", metavar="PATH")
    diff = verbs.add_parser("diff", help="compare versions; exit code 1 = they differ")
    _add_version(diff, "before", "N of a version (default: the one in force)", nargs="?")
    _add_version(diff, "after", "N of a version (default: the newest)", nargs="?")
    apply = verbs.add_parser("apply", help="have the engine put a saved version in force")
    _add_version(apply, "version", "N of a version (default: the newest)", nargs="?")
    apply.add_argument(
        "--abandon",
        default="",
        metavar="REASON",
        help="why an account that cannot be opened is removed with what stands there",
    )
    export = verbs.add_parser("export", help="write the settings to a file, without secrets")
    export.add_argument("file", nargs="?", default="-", help="- = standard output")
    _add_version(export, "--version", "N of a version (default: the newest)")
    bring = verbs.add_parser("import", help="change the settings to what a file says")
    bring.add_argument("file", help="of `export`, or a part of one; - = standard input")
    bring.add_argument(
        "--replace", action="store_true", help="remove what the file does not name, too"
    )
    for one in (put, unset, bring):
        one.add_argument(
            "--dry-run", action="store_true", help="say what would change; save nothing"
        )
        one.add_argument("--apply", action="store_true", help="put it in force, too")
        _add_version(one, "--base", "refuse unless N is the newest version")
    for one in (put, unset, bring, apply):
        one.add_argument(
            "--wait", type=amount(0, WAIT_S_MAX), default=WAIT_S, help="s: for the engine's answer"
        )


def _add_version(
    parser: argparse.ArgumentParser, name: str, about: str, nargs: str | None = None
) -> None:
    parser.add_argument(name, type=whole(0, WHOLE_MAX), metavar="N", nargs=nargs, help=about)


def run(args: argparse.Namespace, config: Config) -> int:
    """Do one verb. 0 = done, 1 = saved and not in force, stale, or versions differ.

    Raises BadRequest, BadInput, StorageError, having changed nothing.
    """
    check_schema(config.state_path)
    return _VERBS[args.verb](args, config)


# -- Reading ---------------------------------------------------------------------------------------


def _show(args: argparse.Namespace, config: Config) -> int:
    with reading(config.state_path) as connection:
        found, force = _version(connection, args.version), in_force(connection, ENGINE_ID)
    document = _json(found)
    said = f"version {found.version}, {_force(found, force)}"
    answer = {
        "version": found.version,
        "in_force": force.version,
        "saved_by": found.who,
        "saved": iso(found.at_ns) if found.at_ns else None,
        "document": document,
    }
    say(args, answer, f"{json.dumps(document, indent=2)}\n# {said}")
    return DONE


def _get(args: argparse.Namespace, config: Config) -> int:
    with reading(config.state_path) as connection:
        found = _version(connection, args.version)
    value = value_at(_json(found), args.path)
    text = value if isinstance(value, str) else json.dumps(value, indent=2)
    say(args, {"version": found.version, "path": args.path, "value": value}, text)
    return DONE


def _diff(args: argparse.Namespace, config: Config) -> int:
    with reading(config.state_path) as connection:
        force = in_force(connection, ENGINE_ID)
        before = force if args.before is None else _version(connection, args.before)
        after = _version(connection, args.after)
    differs = changes(before.document, after.document)
    answer = {"before": before.version, "after": after.version, "changes": _rows(differs)}
    head = f"version {before.version} → version {after.version}, {_force(after, force)}"
    say(args, answer, "\n".join((head, *_lines(differs))))
    return NOT_DONE if differs else DONE


def _export(args: argparse.Namespace, config: Config) -> int:
    with reading(config.state_path) as connection:
        found = _version(connection, args.version)
    body = {"format": FORMAT, "version": found.version, "document": _json(found)}
    text = json.dumps(body, indent=2) + "\n"
    if args.file == "-":
        print(text, end="")
        return DONE
    try:
        write_whole(Path(args.file), text.encode())
    except OSError as error:
        raise unwritable(Path(args.file), error) from error
    answer = {"version": found.version, "file": args.file}
    say(args, answer, f"version {found.version} is written to {args.file}")
    return DONE


def _version(connection: Connection, number: int | None) -> SettingsVersion:
    if number is None:
        return latest(connection, ENGINE_ID)
    try:
        return read(connection, ENGINE_ID, number)
    except BadInput as error:
        raise BadRequest(str(error), "no_such_version") from None


def _json(version: SettingsVersion) -> Document:
    found: Document = version.document.model_dump(mode="json")
    return found


def _force(found: SettingsVersion, force: SettingsVersion) -> str:
    if found.version == force.version:
        return "in force"
    return f"NOT in force: version {force.version} is" if force.version else "NOT in force"


# -- Changing --------------------------------------------------------------------------------------


def _set(args: argparse.Namespace, config: Config) -> int:
    given = [_assignment(text) for text in getattr(args, "values", ())]

    def changed(document: Document) -> Document:
        for path in args.unset:
            document = without(document, path)
        for path, value in given:
            document = with_value(document, path, value)
        return document

    return _save(args, config, changed)


def _import(args: argparse.Namespace, config: Config) -> int:
    given = _file_document(args.file)

    def changed(document: Document) -> Document:
        result: Document = given if args.replace else merged(document, given)
        return result

    return _save(args, config, changed)


def _save(args: argparse.Namespace, config: Config, changed: Callable[[Document], Document]) -> int:
    """Save what `changed` makes of the newest version; apply it where that is asked."""
    with writing(config.state_path) as connection:
        newest = latest(connection, ENGINE_ID)
        base = newest if args.base is None else _version(connection, args.base)
        now = _json(base)
        then = changed(now)
        document = _valid(then)
        now_ns = WallClock().now_ns()
        _judge(base.document, document)
        judged = markets_judged(connection, ENGINE_ID, base.document, document, now_ns)
        if judged.refusal:
            raise BadRequest(f"{judged.refusal}; nothing was saved", "invalid")
        differs = changes(base.document, document)
        answer = {"version": newest.version, "saved": False, "changes": _rows(differs)}
        if base.version != newest.version:
            since = changes(base.document, newest.document)
            return _stale(args, newest, since)
        if not differs or args.dry_run:
            text = "nothing differs" if not differs else "would change; nothing was saved"
            say(args, answer, "\n".join((f"version {newest.version}: {text}", *_lines(differs))))
            return DONE
        saved = save(
            connection,
            engine_id=ENGINE_ID,
            who=who_types(),
            diff=patch_between(now, then),
            base_version=base.version,
            now_ns=now_ns,
        )
        if isinstance(saved, Stale):
            return _stale(args, saved.latest, saved.changes_since)
        answer |= {"version": saved.version, "saved": True, "changes": _rows(saved.changes)}
        answer |= {"note": saved.note} if saved.note else {}
        lines = [*_lines(saved.changes), *([saved.note] if saved.note else [])]
        if args.apply:
            return _apply_saved(
                args, config, connection, ApplySettings(version=saved.version), (answer, lines)
            )
    done = f"saved as version {saved.version}, NOT in force: python -m engine settings apply"
    say(args, answer | {"in_force": False}, "\n".join((*lines, done)))
    return DONE


def _apply(args: argparse.Namespace, config: Config) -> int:
    with writing(config.state_path) as connection:
        version = _version(connection, args.version).version
        command = ApplySettings(version=version, abandon=args.abandon)
        return _apply_saved(args, config, connection, command, ({"version": version}, []))


def _apply_saved(
    args: argparse.Namespace,
    config: Config,
    connection: Connection,
    command: ApplySettings,
    said: tuple[Document, list[str]],
) -> int:
    """Have the engine put a version in force; `said` is what is answered beside that."""
    answer, lines = said
    try:
        left = leave_and_wait(config, connection, command, args.wait)
    except NoEngine as error:
        reason, text = "no_engine", str(error)
    else:
        reason = str(left.state) if left.state in ENDS else "unanswered"
        text = left.answer or f"the engine has not answered within {args.wait:g} s"
    if reason == CommandState.DONE:
        say(args, answer | {"in_force": True, "text": text}, "\n".join((*lines, text)))
        return DONE
    text = f"version {command.version} is saved and NOT in force: {text}"
    answer |= {"in_force": False, "reason": reason, "text": text}
    say(args, answer, "\n".join((*lines, text)))
    return NOT_DONE


def _stale(args: argparse.Namespace, newest: SettingsVersion, since: tuple[Change, ...]) -> int:
    text = (
        f"nothing was saved: {newest.who} saved version {newest.version} after version "
        f"{args.base}; since then changed:"
    )
    answer = {"saved": False, "reason": "stale", "text": text, "version": newest.version}
    say(args, answer | {"changes_since": _rows(since)}, "\n".join((text, *_lines(since))))
    return NOT_DONE


# -- What a person typed ---------------------------------------------------------------------------


def _assignment(text: str) -> tuple[str, object]:
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{short(text)}: write it as path=value")
    try:
        return path.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return path.strip(), value


def _file_document(name: str) -> Document:
    """Return the document, or the part of one, of a file. Raises BadRequest."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise BadRequest(f"{name}: {os_sentence(error)}", "unreadable_file") from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is no JSON: {error}", "unreadable_file") from None
    if isinstance(found, dict) and "format" in found:
        if found["format"] != FORMAT:
            text = f"{name} is {short(str(found['format']))}; this version reads {FORMAT!r}"
            raise BadRequest(text, "unreadable_file")
        found = found.get("document")
    if not isinstance(found, dict):
        raise BadRequest(f"{name} holds no settings: export shows the form", "unreadable_file")
    return found


def _valid(document: Document) -> SettingsDocument:
    try:
        return SettingsDocument.model_validate(document)
    except ValueError as error:
        wrong = "; ".join(_wrongs(error))
        raise BadRequest(f"not valid, nothing was saved: {wrong}", "invalid") from None


def _wrongs(error: ValueError) -> list[str]:
    from pydantic import ValidationError  # noqa: PLC0415 a refusal alone needs it

    if not isinstance(error, ValidationError):
        return [str(error)]
    found = error.errors(include_url=False)
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in found]


def _judge(before: SettingsDocument, after: SettingsDocument) -> None:
    """Refuse now what a save would, and the engine of bots and accounts. Raises BadRequest.

    A version that cannot be applied holds up every later one.
    """
    if why := alert_rules.refusal(before.alerts, after.alerts):
        raise BadRequest(f"{why}; nothing was saved", "invalid")
    if why := after.strategies_refusal(before):
        raise BadRequest(f"{why}; nothing was saved", "invalid")
    for name, bot in after.bots.items():
        if bot == before.bots.get(name):
            continue
        if not (bot.instruments or bot.series or bot.follows):
            text = f"bot {name} has nothing to trade: give it instruments, series or follows"
            raise BadRequest(f"{text}; nothing was saved", "invalid")
        try:
            build(bot.strategy, bot.parameters, BotId(name))
        except (BadInput, ConfigError) as error:
            raise BadRequest(f"bot {name}: {error}; nothing was saved", "invalid") from None
    for name, account in after.accounts.items():
        known = before.accounts.get(name)
        life_s = account.quote_life_s
        same = known is not None and known.quote_life_s == life_s
        if life_s and not same and (why := expiry_refusal(account, life_s)):
            raise BadRequest(f"account {name}: {why}; nothing was saved", "invalid")


def _rows(differs: tuple[Change, ...]) -> list[object]:
    found: list[object] = msgspec.to_builtins(differs)
    return found


def _lines(differs: tuple[Change, ...]) -> list[str]:
    return [f"  {one.path}: {_word(one.before)} → {_word(one.after)}" for one in differs]


def _word(value: object) -> str:
    return "nothing" if value is None else json.dumps(value)


_VERBS: Mapping[str, Callable[[argparse.Namespace, Config], int]] = {
    "show": _show,
    "get": _get,
    "set": _set,
    "unset": _set,
    "diff": _diff,
    "apply": _apply,
    "export": _export,
    "import": _import,
}
