"""`python -m engine runs`: stored backtests, and the note and tags a person leaves on one.

A note and its tags stand on the page Backtests, in comparisons and in exports, and go with the run.
"""

from __future__ import annotations

import argparse

import msgspec

from engine.cli.arguments import WHOLE_MAX, say, who_types, whole
from engine.clock import WallClock
from engine.config import Config
from engine.domain.plain import PlainDict
from engine.log import iso
from storage.database import reading, writing
from storage.run_notes import NOTHING_LEFT, notes_of, put_note
from storage.schema import check_schema
from storage.views import runs
from storage.views.frame import run_engines

HELP = "list stored backtests, by tag; leave a note and tags on one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | note")
    listed = verbs.add_parser("list", help="list the newest runs with their tags and notes")
    listed.add_argument("--tag", default="", help="only runs with this tag")
    note = verbs.add_parser("note", help="write the note and the tags of a run; empty takes off")
    note.add_argument("run", type=whole(1, WHOLE_MAX), help="the run's number")
    note.add_argument("--text", help="the note, in the place of the one before")
    note.add_argument("--tag", action="append", help="a tag; all of them, in the place of those")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. Raises BadInput, StorageError."""
    check_schema(config.state_path)
    if args.verb == "list":
        return _list(args, config)
    with writing(config.state_path) as connection:
        made = put_note(
            connection,
            args.run,
            text=args.text,
            tags=args.tag,
            who=who_types(),
            now_ns=WallClock().now_ns(),
        )
    text = f"run {args.run}: tags {', '.join(made.tags) or 'none'}; note: {made.text or 'none'}"
    say(args, {"run": args.run} | msgspec.to_builtins(made), text)
    return 0


def _list(args: argparse.Namespace, config: Config) -> int:
    tag = args.tag.strip().lower()
    with reading(config.state_path) as connection:
        rows = [
            row for owner in run_engines(connection) for row in runs(connection, owner, tag=tag)
        ]
        left = notes_of(connection, [row["id"] for row in rows])
    rows.sort(key=lambda row: (row["started_ns"], row["id"]), reverse=True)
    found, lines = list[PlainDict](), list[str]()
    for row in rows:
        note = left.get(row["id"], NOTHING_LEFT)
        named = {name: row[name] for name in ("id", "mode", "strategy", "recording", "status")}
        found.append(named | {"tags": note.tags, "note": note.text, "pnl": str(row["pnl"])})
        lines.append(
            f"{row['id']:5}  {iso(row['started_ns'])}  {row['mode'].upper()}  {row['strategy']}  "
            f"PnL {row['pnl']:+.2f} {row['currency'] or ''}  {' '.join(note.tags)}".rstrip()
        )
        lines += [f"       {line}" for line in note.text.splitlines()]
    empty = f"no run has the tag {tag}" if tag else "no run is stored yet"
    say(args, {"runs": found}, "\n".join(lines) or empty)
    return 0
