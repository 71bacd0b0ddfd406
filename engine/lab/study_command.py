"""`python -m engine study`: how good the fair value's forecasts were on recorded markets."""

from __future__ import annotations

import argparse

from engine.config import Config
from engine.lab import fair_value_study

NAME = "study"
HELP = fair_value_study.HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the study's arguments."""
    fair_value_study.add_arguments(parser)


def run(args: argparse.Namespace, _config: Config) -> int:
    """Run the study; it reads files and touches no state. Raises BadInput."""
    return fair_value_study.run(args)
