"""`python -m engine strategies`: what strategies there are, what each takes, and a new one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.cli.arguments import say
from engine.clock import WallClock
from engine.config import Config
from engine.domain.evidence import Edge, EvidenceRow, holding_in_words, verdict_of
from engine.errors import BadInput, StorageError, os_sentence
from engine.plugins import KINDS, NAME, NAME_RULE, folders, why_missing
from engine.strategies.registry import STRATEGIES, idea_of

HELP = "list, show, check or prove the strategies; write the skeleton of a new one"

SKELETONS = Path(__file__).resolve().parents[1] / "contracts" / "skeletons"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parsers = parser.add_subparsers(dest="verb", metavar="list | show | check | prove | new")
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
    rows = [
        {"name": name, "about": _about(kind), "parameters": list(kind.parameters_type.model_fields)}
        for name, kind in sorted(STRATEGIES.items())
    ]
    say(args, {"strategies": rows}, "\n".join(f"{row['name']:22}{row['about']}" for row in rows))
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

    data, left = evidence.data_here(config, args.data)
    for one in left:
        print(f"left out: {one}", file=sys.stderr)
    if not data:
        raise BadInput(evidence.NOTHING_HERE)
    lines = {one.name: ProgressLine(shown=not args.json) for one in data}

    def progress(done: int, total: int, note: str) -> None:
        lines[note](done, total or 1, note)

    rows = evidence.prove(config, args.names, data, WallClock().now_ns(), progress)
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
    say(args, {"evidence": found}, _beside(rows) if args.beside else head + text)
    return 0


def _beside(rows: Sequence[EvidenceRow]) -> str:
    """Return a table of strategies by data: verdict, mean and interval, and over holding."""
    data = list(dict.fromkeys(row.data for row in rows))
    cells: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: row.strategy):
        verdict, why = verdict_of(row)
        if verdict is Edge.NO_DATA or row.mean is None or row.low is None or row.high is None:
            said = f"{verdict}: {why}"
        else:
            said = f"{verdict} {row.mean:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
            said += "".join(f"; {words}" for words in [holding_in_words(row)] if words)
        cells.setdefault(row.strategy, {})[row.data] = said
    lines = [
        f"| `{name}` | {' | '.join(given.get(one, 'not played') for one in data)} |"
        for name, given in cells.items()
    ]
    return "\n".join([f"| strategy | {' | '.join(data)} |", "|---" * (len(data) + 1) + "|", *lines])


def new(args: argparse.Namespace) -> int:
    """Write the skeleton of a strategy and its test. Raises BadInput, StorageError."""
    name = args.name
    if NAME.fullmatch(name) is None or name in KINDS:
        raise BadInput(f"{name!r} cannot be the name of a strategy: {NAME_RULE}")
    folder = folders()[0] / name
    if name in STRATEGIES or folder.exists():
        where = folder if folder.exists() else STRATEGIES[name].__module__
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
