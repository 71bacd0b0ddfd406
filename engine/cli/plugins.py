"""`python -m engine plugins`: what is installed, what each plug-in brings, and what is wrong.

Every file of every plug-in is imported for that, as the programs of the desk import it. Gives 1
where something cannot be used. A plug-in is switched off and on by its name.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

from engine.__main__ import commands
from engine.cli.arguments import say
from engine.config import Config
from engine.domain.plain import PlainDict
from engine.errors import BadInput, StorageError, os_sentence
from engine.plugins import (
    FOLDERS_KEY,
    OFF_FILE,
    Found,
    Plugin,
    Problem,
    folders,
    found,
    installed,
    problems,
    switched_off,
)
from storage.files import write_whole

HELP = "list the plug-ins and what is wrong; check one; switch one off or on"

ALONE = "DESK_PLUGIN_ALONE"
"""Set for the program in which a folder is checked that is not installed."""

LOADERS = {
    "venue": ("engine.venues.registry", "found"),
    "strategies": ("engine.strategies.registry", ""),
    "indicators": ("engine.indicators.library", ""),
    "pages": ("pages", "found_pages"),
    "jobs": ("engine.jobs.run", "works"),
    "commands": ("engine.live.commands.registry", "handlers"),
    "alerts": ("engine.domain.alerts", ""),
    "projected": ("storage.projected", ""),
    "formats": ("engine.lab.formats.importing", "formats"),
}
"""Module and function that find what there is of a kind; empty = its import does. They are imported
by name: the dashboard's pages are no room of the command line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parsers = parser.add_subparsers(dest="verb", metavar="list | check | off | on")
    parsers.add_parser("list", help="list them; what is done without a word, too")
    sub = parsers.add_parser("check", help="hold everything a plug-in brings to its contract")
    sub.add_argument("path", metavar="PATH", help="the plug-in's folder, installed or not")
    for verb, meaning in (("off", "leave it out"), ("on", "take it in again")):
        sub = parsers.add_parser(verb, help=f"{meaning} from the next start of each program on")
        sub.add_argument("name", metavar="NAME", help="of an installed plug-in")


def run(args: argparse.Namespace, config: Config) -> int:
    if args.verb in ("off", "on"):
        return switch(args, config)
    if args.verb == "check":
        return check(args)
    load_all()
    wrong = problems()
    rows = [row_of(plugin, wrong) for plugin in installed()]
    elsewhere = [one.sentence for one in wrong if one.plugin not in {row["name"] for row in rows}]
    text = "\n".join([*map(_written, rows), *(f"wrong: {one}" for one in elsewhere)])
    say(args, {"plugins": rows, "wrong": elsewhere}, text or _none())
    return int(bool(wrong))


def load_all() -> None:
    """Import every file of every kind, so that `problems` is complete."""
    for module, name in LOADERS.values():
        found_by = importlib.import_module(module)
        if name:
            getattr(found_by, name)()
    for kind in ("channels",):
        list(found(kind))
    for one in found("verbs"):
        if why := _refusal(one):
            one.refuse(why)


def _refusal(one: Found) -> str:
    """Return why a file is no command of the command line; empty = it is one."""
    said = getattr(one.module, "HELP", None)
    if not isinstance(said, str) or one.name not in commands():
        return 'it has no line `HELP = "…"`, in one piece'
    if commands()[one.name] != said:
        return f"there is a command {one.name!r} already"
    for name in ("add_arguments", "run"):
        if not callable(getattr(one.module, name, None)):
            return f"it has no function {name}"
    return ""


def check(args: argparse.Namespace) -> int:
    """Hold everything a plug-in brings to its contract. 0 = it keeps it, 1 = it does not.

    Raises BadInput where the path is no plug-in's folder.
    """
    if not args.path.strip():
        raise BadInput("PATH is empty: name a plug-in's folder")
    folder = Path(args.path).absolute()
    plugin = next((one for one in installed() if one.folder.resolve() == folder.resolve()), None)
    if plugin is None:
        return _installed_and_checked(folder, args)
    if not plugin.brings:
        raise BadInput(f"{folder} brings nothing: docs/extend says which folders a plug-in has")
    load_all()
    from engine.contracts.things import things  # noqa: PLC0415 the list does without

    mine = [one for one in things() if one.plugin == plugin.name]
    rows = [{"kind": one.kind, "name": one.name, "wrong": list(one.check())} for one in mine]
    wrong = [one.sentence for one in problems() if one.plugin == plugin.name]
    lines = [
        f"{'wrong' if row['wrong'] else 'ok':6}{row['kind']} {row['name']}"
        + "".join(f"\n      {one}" for one in row["wrong"])
        for row in rows
    ]
    said = "\n".join([*lines, *(f"wrong {one}" for one in wrong)])
    say(args, {"plugin": plugin.name, "checked": rows, "wrong": wrong}, said)
    return int(bool(wrong) or any(row["wrong"] for row in rows))


def _installed_and_checked(folder: Path, args: argparse.Namespace) -> int:
    """Check a folder that is not installed, in a program where it alone is."""
    if not folder.is_dir() or ALONE in os.environ:
        raise BadInput(f"{folder} is no plug-in's folder; docs/extend says what one holds")
    words = [sys.executable, "-m", "engine", "plugins", *["--json"] * args.json]
    given = {FOLDERS_KEY: str(folder.parent), ALONE: "1"}
    asked = [*words, "check", str(folder)]
    done = subprocess.run(asked, env={**os.environ, **given}, check=False)  # noqa: S603 ourselves
    return done.returncode


def row_of(plugin: Plugin, wrong: list[Problem]) -> dict[str, object]:
    """Return what is known of a plug-in, as the command prints it."""
    return {
        "name": plugin.name,
        "version": plugin.version,
        "about": plugin.about,
        "hash": plugin.digest,
        "folder": str(plugin.folder),
        "on": not plugin.off,
        "brings": plugin.brings,
        "wrong": [one.sentence for one in wrong if one.plugin == plugin.name],
    }


def _written(row: PlainDict) -> str:
    version = f" {row['version']}" if row["version"] else ""
    off = "" if row["on"] else "  switched off"
    lines = [f"{row['name']}{version}  {row['hash']}{off}  {row['folder']}"]
    if row["about"]:
        lines.append(f"  {row['about']}")
    lines += [f"  {kind:12}{', '.join(names)}" for kind, names in row["brings"].items()]
    if not row["brings"]:
        lines.append("  it brings nothing")
    return "\n".join([*lines, *(f"  wrong: {one}" for one in row["wrong"])])


def _none() -> str:
    places = " or ".join(str(folder) for folder in folders())
    return f"no plug-in is installed: lay a folder into {places}; docs/extend says how"


def switch(args: argparse.Namespace, config: Config) -> int:
    """Switch a plug-in off or on. Raises BadInput for an unknown name, StorageError."""
    names = {plugin.name for plugin in installed()}
    off = set(switched_off())
    if args.name not in names | off:
        known = ", ".join(sorted(names)) or "none"
        raise BadInput(f"there is no plug-in {args.name!r}; installed: {known}")
    off = off | {args.name} if args.verb == "off" else off - {args.name}
    _write(config.home / OFF_FILE, "".join(f"{name}\n" for name in sorted(off)))
    text = f"{args.name} is switched {args.verb}, from the next start of each program on"
    say(args, {"plugin": args.name, "on": args.verb == "on"}, text)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise StorageError(os_sentence(error)) from error
