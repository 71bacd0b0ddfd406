"""`python -m engine switch`: start, stop or restart the engine of a running desk.

The desk's other programs go on. A stop cancels every order and proves that none is left; its
receipt is printed. `--paused` starts with every bot paused that would trade: in the journal, before
the first order. A state file of an older version is brought up to date before it is started, with a
copy of what it was.
"""

from __future__ import annotations

import argparse

from engine.cli.arguments import say, who_types
from engine.clock import WallClock
from engine.config import Config
from storage.switch import EngineSwitch
from storage.users import ENGINE_ID

HELP = "start, stop or restart the engine of a running desk; a stop is proven"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="start | stop | restart")
    start = verbs.add_parser("start", help="start the engine")
    verbs.add_parser("stop", help="stop the engine; everything is cancelled, and that is proven")
    restart = verbs.add_parser("restart", help="stop it with its proof, then start it")
    for one in (start, restart):
        one.add_argument("--paused", action="store_true", help="pause every bot that would trade")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. 0 = done, a stop PROVEN; 1 = stopped and not proven. Raises NoEngine, BadRequest."""
    switch = EngineSwitch(
        run_folder=config.run_folder,
        state_path=config.state_path,
        start_paused_path=config.start_paused_path,
    )
    clock = WallClock()

    def noted(what: str, said: str) -> str:
        """Keep it in the audit, as the page Engine does."""
        return switch.noted(what, said, owner=ENGINE_ID, who=who_types(), now_ns=clock.now_ns())

    code, lines = 0, list[str]()
    answer: dict[str, object] = {}
    if args.verb != "start":
        stopped = switch.stop(clock.now_ns)
        lines.append(noted("stop", stopped.sentence()))
        answer |= {"stopped": True, "ran": stopped.ran, "proven": stopped.proven}
        code = int(stopped.ran and not stopped.proven)
    if args.verb != "stop":
        lines.append(noted("start", switch.start(config.journal_path, paused=args.paused)))
        answer |= {"started": True, "paused": args.paused}
    text = "\n".join(lines)
    say(args, answer | {"text": text}, text)
    return code
