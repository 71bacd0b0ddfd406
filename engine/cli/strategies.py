"""`python -m engine strategies`: what strategies there are, what each takes, and a new one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.cli.arguments import say, who_types
from engine.cli.command import WAIT_S, leave_and_wait
from engine.clock import WallClock
from engine.config import Config
from engine.domain.commands import ApplySettings
from engine.domain.evidence import OTHER_CODE, Edge, EvidenceRow, holding_in_words, verdict_of
from engine.domain.settings import SettingsDocument
from engine.domain.strategy_settings import StrategySettings
from engine.errors import BadInput, NoEngine, StorageError, os_sentence
from engine.log import iso
from engine.plugins import KINDS, NAME, NAME_RULE, folders, why_missing
from engine.strategies.registry import STRATEGIES, idea_of
from storage.commands import CommandState
from storage.database import reading, writing
from storage.evidence import ship_evidence
from storage.schema import check_schema
from storage.settings import Stale, StrategyChange, latest, read, save, strategy_changes
from storage.users import ENGINE_ID

PRODUCT = "engine."
HELP = "list, show, check, prove, enable, disable or remove strategies; write a new one"

SKELETONS = Path(__file__).resolve().parents[1] / "contracts" / "skeletons"


TURNS: dict[str, tuple[dict[str, bool], str]] = {
    "enable": ({"enabled": True}, "let new bots run one again"),
    "disable": ({"enabled": False}, "let no new bot run one; those that run it go on"),
    "remove": ({"removed": True}, "take one off all lists; its file, bots and evidence stay"),
    "restore": ({"removed": False}, "put one that was removed on the lists again"),
}
"""What each verb keeps of a strategy, and what that means."""
VERBS = f"list | show | check | prove | {' | '.join(TURNS)} | history | new"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parsers = parser.add_subparsers(dest="verb", metavar=VERBS)
    parsers.add_parser("list", help="name and idea of each; what is done without a word, too")
    sub = parsers.add_parser("show", help="what one is, and every parameter with default and why")
    sub.add_argument("name", metavar="NAME", help="of a strategy")
    sub = parsers.add_parser("check", help="hold one or all to the contract; 1 = one breaks it")
    sub.add_argument("name", metavar="NAME", nargs="?", help="of a strategy")
    sub = parsers.add_parser("prove", help="compute what recorded data shows; takes minutes")
    sub.add_argument("names", metavar="NAME", nargs="*", default=[], help="of strategies; all")
    sub.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        default=[],
        help="a recording or file of bars; 'A + B' = files of bars played at the same time",
    )
    sub.add_argument("--beside", action="store_true", help="a column for each recording or file")
    sub.add_argument(
        "--ship",
        action="store_true",
        help="write it to the evidence that comes with the program",
    )
    for verb, (_, about) in TURNS.items():
        sub = parsers.add_parser(verb, help=about)
        sub.add_argument("name", metavar="NAME", help="of a strategy")
    sub = parsers.add_parser("history", help="what was changed of one's row, by whom and when")
    sub.add_argument("name", metavar="NAME", help="of a strategy")
    sub = parsers.add_parser("new", help="write a documented skeleton and its test as a plug-in")
    sub.add_argument("name", metavar="NAME", help="small letters, digits and _")


def run(args: argparse.Namespace, config: Config) -> int:
    if args.verb == "prove":
        return prove(args, config)
    if args.verb == "show":
        return show(args)
    if args.verb == "check":
        return check(args)
    if args.verb == "new":
        return new(args)
    if args.verb in TURNS:
        return turn(args, config)
    return history(args, config) if args.verb == "history" else list_all(args, config)


def list_all(args: argparse.Namespace, config: Config) -> int:
    """List every strategy with what a person keeps of it."""
    document = _settings(config)
    rows: list[dict[str, object]] = [
        {
            "name": name,
            "about": document.strategy(name).description or _about(kind),
            "state": _state(document.strategy(name)),
            "parameters": list(kind.parameters_type.model_fields),
        }
        for name, kind in sorted(STRATEGIES.items())
    ]
    said = {"enabled": "", "disabled": "(disabled) ", "removed": "(removed) "}
    lines = [f"{row['name']!s:22}{said[str(row['state'])]}{row['about']}" for row in rows]
    say(args, {"strategies": rows}, "\n".join(lines))
    return 0


def _state(kept: StrategySettings) -> str:
    return "removed" if kept.removed else "enabled" if kept.enabled else "disabled"


def _settings(config: Config) -> SettingsDocument:
    """Return the newest saved settings; where there is no home yet, those of a new one."""
    if not config.state_path.is_file():
        return SettingsDocument()
    with reading(config.state_path) as connection:
        return latest(connection, ENGINE_ID).document


def turn(args: argparse.Namespace, config: Config) -> int:
    """Enable, disable, remove or restore one. 0 = in force, 1 = saved alone, or refused by it.

    It is saved as settings are, and put in force; bots that have it go on as they are.
    """
    name, (kept, _) = args.name, TURNS[args.verb]
    _kind(name)
    check_schema(config.state_path)
    with writing(config.state_path) as connection:
        newest = latest(connection, ENGINE_ID)
        saved = save(
            connection,
            engine_id=ENGINE_ID,
            who=who_types(),
            diff={"strategies": {name: kept}},
            base_version=newest.version,
            now_ns=WallClock().now_ns(),
        )
        if isinstance(saved, Stale):
            raise BadInput("somebody else saved settings at the same moment: try again")
        try:
            left = leave_and_wait(config, connection, ApplySettings(version=saved.version), WAIT_S)
            done, text = left.state == CommandState.DONE, left.answer or "not answered yet"
        except NoEngine as error:
            done, text = False, str(error)
        document = read(connection, ENGINE_ID, saved.version).document
    bots = sorted(bot for bot, one in document.bots.items() if one.strategy == name)
    state = _state(document.strategy(name))
    lines = [f"{name} is {state}", f"version {saved.version}: {text}"]
    if not done:
        lines[1] = f"saved as version {saved.version} and NOT in force: {text}"
    if bots:
        lines.append(f"bots that have it go on as they are: {', '.join(bots)}")
    answer = {"name": name, "state": state, "version": saved.version, "in_force": done}
    say(args, answer | {"bots": bots, "text": text}, "\n".join(lines))
    return 0 if done else 1


def history(args: argparse.Namespace, config: Config) -> int:
    """List what was changed of a strategy's row, the newest first."""
    _kind(args.name)
    found: list[StrategyChange] = []
    if config.state_path.is_file():
        with reading(config.state_path) as connection:
            found = strategy_changes(connection, ENGINE_ID, args.name)
    lines = [
        f"{iso(one.at_ns)} version {one.version} by {one.who}: "
        + "; ".join(f"{part.path}: {part.before!r} → {part.after!r}" for part in one.changes)
        for one in found
    ]
    text = "\n".join(lines) or f"nothing of {args.name} was ever changed"
    say(args, {"history": [msgspec.to_builtins(one) for one in found]}, text)
    return 0


def _about(kind: type[Any]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _kind(name: str) -> type[Any]:
    """Return the strategy of this name. Raises BadInput with those there are."""
    kind = STRATEGIES.get(name)
    if kind is None:
        why = why_missing("strategies", name) or f"known: {', '.join(sorted(STRATEGIES))}"
        raise BadInput(f"there is no strategy {name!r}; {why}")
    return kind


def show(args: argparse.Namespace) -> int:
    """Show what a strategy says of itself and of each parameter."""
    kind = _kind(args.name)
    rows = [
        {
            "name": name,
            "default": field.get_default(call_default_factory=True),
            "help": " ".join((field.description or "").split()),
        }
        for name, field in kind.parameters_type.model_fields.items()
    ]
    idea = idea_of(kind)
    lines = [f"{row['name']} = {row['default']}\n    {row['help']}" for row in rows]
    text = "\n\n".join([f"{kind.name}: {_about(kind)}", idea, *lines])
    say(args, {"name": kind.name, "idea": idea, "parameters": rows}, text)
    return 0


def check(args: argparse.Namespace) -> int:
    """Hold strategies to their contract, those of plug-ins included. 1 = one breaks it."""
    from engine.contracts.things import things  # noqa: PLC0415 the list does without

    if args.name is not None:
        _kind(args.name)
    wanted = [one for one in things() if one.kind == "strategies" and args.name in {None, one.name}]
    rows = [{"name": one.name, "plugin": one.plugin, "wrong": list(one.check())} for one in wanted]
    text = "\n".join(
        f"{'wrong' if row['wrong'] else 'ok':6}{row['name']}"
        + "".join(f"\n      {one}" for one in row["wrong"])
        for row in rows
    )
    say(args, {"checked": rows}, text)
    return int(any(row["wrong"] for row in rows))


def prove(args: argparse.Namespace, config: Config) -> int:
    """Compute the evidence of strategies over the data that is here, and print a table of it."""
    from engine.lab import evidence  # noqa: PLC0415 the list does without
    from engine.lab.progress import ProgressLine  # noqa: PLC0415

    if args.ship and (foreign := sorted({*args.names} - {*_own()})):
        raise BadInput(f"{', '.join(foreign)}: the program brings evidence of its own alone")
    data, left = evidence.data_here(config, args.data)
    for one in left:
        print(f"left out: {one}", file=sys.stderr)
    if not data:
        raise BadInput(evidence.NOTHING_HERE)
    lines = {one.name: ProgressLine(shown=not args.json) for one in data}

    def progress(done: int, total: int, note: str) -> None:
        lines[note](done, total or 1, note)

    names = args.names or (_own() if args.ship else ())
    rows = evidence.prove(config, names, data, WallClock().now_ns(), progress)
    if args.ship:
        file = ship_evidence(rows, beside=bool(args.names or args.data))
        print(f"written: {file}", file=sys.stderr)
    for line in lines.values():
        line.end()
    found = [
        msgspec.structs.asdict(row) | {"verdict": verdict, "why": why}
        for row in rows
        for verdict, why in [verdict_of(row)]
    ]
    text = "\n".join(
        f"| `{one['strategy']}` | {one['data']} | {one['verdict']} | {one['why']} |"
        for one in sorted(found, key=lambda one: (one["strategy"], one["data"]))
    )
    head = "| strategy | data | verdict | why |\n|---|---|---|---|\n"
    say(args, {"evidence": found}, beside(rows) if args.beside else head + text)
    return 0


def _own() -> list[str]:
    """Return the strategies of the product, without those of plug-ins."""
    return [name for name, kind in STRATEGIES.items() if kind.__module__.startswith(PRODUCT)]


def beside(rows: Sequence[EvidenceRow], digests: Mapping[str, str] | None = None) -> str:
    """Return a table of strategies by data: verdict, mean and interval, and over holding.

    With the digests of the code that is here, a row of other code says that it is that.
    """
    data = sorted({row.data for row in rows})
    cells: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: row.strategy):
        other = digests is not None and digests[row.strategy] != row.digest
        cells.setdefault(row.strategy, {})[row.data] = OTHER_CODE if other else _cell(row)
    lines = [
        f"| `{name}` | {' | '.join(given.get(one, 'not played') for one in data)} |"
        for name, given in cells.items()
    ]
    return "\n".join([f"| strategy | {' | '.join(data)} |", "|---" * (len(data) + 1) + "|", *lines])


def _cell(row: EvidenceRow) -> str:
    verdict, why = verdict_of(row)
    if verdict is Edge.NO_DATA or row.mean is None or row.low is None or row.high is None:
        return f"{verdict}: {why}"
    said = f"{verdict} {row.mean:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
    return said + "".join(f"; {words}" for words in [holding_in_words(row)] if words)


def new(args: argparse.Namespace) -> int:
    """Write the skeleton of a strategy and its test. Raises BadInput, StorageError."""
    name = args.name
    if NAME.fullmatch(name) is None or name in KINDS:
        raise BadInput(f"{name!r} cannot be the name of a strategy: {NAME_RULE}")
    # PITBOSS_PLUGINS says where its user keeps plug-ins: beside the program only without it.
    beside, *given = (place / name for place in folders())
    folder = given[0] if given else beside
    taken = [place for place in (*given, beside) if place.exists()]
    if name in STRATEGIES or taken:
        where = taken[0] if taken else STRATEGIES[name].__module__
        raise BadInput(f"there is a {name!r} already, {where}: nothing was written")
    files = {
        folder / "strategies" / f"{name}.py": SKELETONS / "strategy.txt",
        folder / "tests" / f"test_{name}.py": SKELETONS / "strategy_test.txt",
    }
    title = "".join(part.capitalize() for part in name.split("_"))
    try:
        for file, skeleton in files.items():
            file.parent.mkdir(parents=True)
            text = skeleton.read_text(encoding="utf-8")
            file.write_text(text.replace("CLASS", title).replace("NAME", name), encoding="utf-8")
    except OSError as error:
        raise StorageError(os_sentence(error)) from error
    written = [str(file) for file in files]
    text = "\n".join(
        [
            *(f"written: {one}" for one in written),
            f"next: python -m engine strategies check {name}; docs/extend says what it may do",
        ]
    )
    say(args, {"written": written}, text)
    return 0
