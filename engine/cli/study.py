"""`python -m engine study`: how good the fair value's forecasts were on recorded markets."""

from __future__ import annotations

import argparse

from engine.config import Config
from engine.lab.brier import study

NAME = "study"
HELP = study.HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the study's arguments."""
    study.add_arguments(parser)


def run(args: argparse.Namespace, _config: Config) -> int:
    """Run the study; it reads files and touches no state. Raises BadInput."""
    return study.run(args)
