"""`python -m engine recover`: show what the journal lacks, and go on without it if asked to.

The one way on where `journal.db` is behind: it ends before what `pitboss.db` has read of it, it is
a backup, or the venues know orders that it lacks (a copy of the home put back). What `pitboss.db`
and the venues know is written behind what the journal has; order numbers go on above all of it.
Afterwards every start is recovery as ever, under the KILL latch. `restore` goes the same way.
"""

from __future__ import annotations

import argparse

from engine.cli.arguments import add_demo_argument, say, who_types
from engine.clock import WallClock
from engine.config import Config
from engine.live.lost_records import described, examine, go_on
from engine.live.venues import venues_of
from engine.locks import locked
from storage.files import check_swapped
from storage.latch import set_latch
from storage.schema import check_schema

HELP = "show what the journal lacks; with --accept-loss go on without it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-loss", action="store_true", help="go on without the records that are lost"
    )
    parser.add_argument("--who", default="", help="name of who accepts it; kept in the audit")
    add_demo_argument(parser)


def run(args: argparse.Namespace, config: Config) -> int:
    """Show the loss; accept it where that is asked for. 0 = none, or accepted; 1 = it stands.

    Raises ConfigError where no account ever traded from this home.
    """
    check_schema(config.state_path)
    with locked(config.run_folder / "engine.lock", "engine"):
        check_swapped(config.home)
        found = examine(config.journal_path, config.state_path, venues_of(config, args.demo))
        if not found.behind:
            say(args, {"lost": False}, "nothing is lost: the journal has all that was read of it")
            return 0
        shown = found.shown
        if not args.accept_loss:
            hint = "Nothing was changed. To go on without the lost records: --accept-loss"
            say(args, shown | {"lost": True, "accepted": False}, f"{described(shown)}\n{hint}")
            return 1
        found.require_account()
        who = args.who or who_types()
        set_latch(config.kill_path, who, WallClock().now_ns())
        go_on(found, config.journal_path, config.state_path, who)
    done = (
        f"{described(shown)}\n{who} accepts the loss. The KILL latch is set: start the engine, "
        "compare each account with its venue, then release the latch with a reason"
    )
    say(args, shown | {"lost": True, "accepted": True, "who": who}, done)
    return 0
