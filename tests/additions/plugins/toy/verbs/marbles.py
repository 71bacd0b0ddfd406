"""A command of the command line that a file adds: `python -m engine marbles`."""

from __future__ import annotations

import argparse
import json

from engine.config import Config

HELP = "say how many marbles the toy venue has"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a colour."""
    parser.add_argument("--colour", default="blue", help="of the marbles; blue where not given")


def run(args: argparse.Namespace, config: Config) -> int:
    """Print it. 0 = there are some."""
    del config
    found = {"colour": args.colour, "marbles": 1}
    print(json.dumps(found) if args.json else f"1 {args.colour} marble")
    return 0
