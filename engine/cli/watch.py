"""`python -m engine watch`: the small program that reaches a person; supervisor keeps it alive.

Reads the configuration, then becomes `engine.watch`, which needs a third of the memory and has an
environment without a key.
"""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from engine.cli.arguments import PORT_MAX, whole
from engine.config import Config
from engine.watch.desk import DeskPlace
from engine.watch.sender import REPOSITORY, clean_environment

HELP = "watch the desk and send its alerts through channels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=whole(1, PORT_MAX), help="of the dashboard, whose health is asked for"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Become the watch."""
    place = DeskPlace(folder=str(config.home), state=str(config.state_path), port=args.port)
    words = [sys.executable, "-m", "engine.watch", msgspec.json.encode(place).decode()]
    os.chdir(REPOSITORY)
    os.execve(sys.executable, words, clean_environment())  # noqa: S606 our own interpreter
