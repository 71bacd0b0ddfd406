"""`python -m engine restore BACKUP`: put a backup back, and make good what it lacks.

The way of `recover` with a command: what stood is kept aside, the venues are asked what was ordered
and filled since the backup, that is booked, and order numbers go on above everything either side
knows. Everything is written to copies first; a restore that was ended is finished by the next one.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from engine.cli.arguments import add_demo_argument, say, who_types
from engine.clock import WallClock
from engine.config import Config
from engine.errors import BadInput, StorageError, os_sentence
from engine.live.lost_records import described, examine, go_on
from engine.live.venues import venues_of
from engine.locks import locked
from storage import schema
from storage.database import filled
from storage.files import BEFORE, under_way
from storage.latch import set_latch
from storage.restore import checked, mark, staged, swap

HELP = "put a backup back and have the venues asked what it lacks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", help="name of a backup in PITBOSS_HOME/backups, or its folder")
    parser.add_argument("--show", action="store_true", help="only say what the backup lacks")
    parser.add_argument("--who", default="", help="name of who restores it; kept in the audit")
    add_demo_argument(parser)


def run(args: argparse.Namespace, config: Config) -> int:
    """Check, stage, ask, write, swap. 0 = the home is the backup's, under the KILL latch."""
    home = config.home
    with (
        locked(config.run_folder / "engine.lock", "engine"),
        locked(config.run_folder / "worker.lock", "worker"),
    ):
        if found := under_way(home):
            aside = _swapped(config)
            text = f"the restore of {found['backup']} that was ended is finished; what stood is in"
            say(args, {"restored": found["backup"], "aside": str(aside)}, f"{text} {aside}")
            return 0
        backup = _folder(config, args.backup)
        files = checked(backup)
        shown = _stage(args, config, files)
        if args.show:
            say(args, shown | {"restored": ""}, f"{described(shown)}\nNothing was changed")
            return 0
        now = dt.datetime.fromtimestamp(WallClock().now_ns() // 1_000_000_000, dt.UTC)
        mark(home, backup.name, f"{BEFORE}{now:%Y-%m-%dT%H-%M-%SZ}")
        aside = _swapped(config)
    done = (
        f"{described(shown)}\n{backup.name} is put back; what stood is in {aside}. The KILL latch "
        "is set: start the engine, compare each account with its venue, then release the latch "
        "with a reason"
    )
    say(args, shown | {"restored": backup.name, "aside": str(aside)}, done)
    return 0


def _folder(config: Config, name: str) -> Path:
    """Return the folder of a backup. Raises BadInput where there is none."""
    for folder in (config.backups_folder / name, Path(name)):
        if folder.is_dir():
            return folder.absolute()
    raise BadInput(f"there is no backup {name!r} in {config.backups_folder}, nor a folder of it")


def _targets(config: Config) -> Sequence[Path]:
    return config.state_path, config.decisions_path, config.vault_path, config.journal_path


def _stage(args: argparse.Namespace, config: Config, files: dict[str, Path]) -> dict[str, object]:
    """Write what the backup lacks behind a copy of it; return what that was."""
    needed = config.journal_path.name, config.state_path.name
    if lacking := [name for name in needed if name not in files]:
        raise BadInput(f"the backup has no {' and no '.join(lacking)}: it restores no desk")
    folder = staged(config.home, files)
    journal, state = (folder / name for name in needed)
    schema.migrate(state)
    aside = config.state_path if filled(config.state_path) else None
    venues = venues_of(config, args.demo)
    found = examine(journal, state, venues, aside)
    if not args.show:
        who = args.who or who_types()
        set_latch(config.kill_path, f"{who}, who restored a backup", WallClock().now_ns())
        go_on(found, journal, state, who)
    return found.shown


def _swapped(config: Config) -> Path:
    try:
        return swap(config.home, _targets(config))
    except OSError as error:
        raise StorageError(
            "the backup is half put back and nothing starts before it is whole: "
            f"{os_sentence(error)}. Mend that and run the same command again"
        ) from error
