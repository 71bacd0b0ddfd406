"""`python -m engine migrate`: create the state database or bring it up to date."""

from __future__ import annotations

import argparse

from engine.cli.arguments import say
from engine.config import Config
from engine.live.handover import make_private
from storage import schema
from storage.projection import bring_up_to_date

HELP = "create the state database or bring it up to date"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments: what to do follows from the configuration."""


def run(args: argparse.Namespace, config: Config) -> int:
    """Migrate under an exclusive lock, with a backup before a change. Raises StorageError."""
    path = config.state_path
    # State is for its owner alone: orders and settings stand in it, and users' password hashes.
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private(config.home)
    backup = bring_up_to_date(path, config.journal_path)
    kept = f"; the previous state is kept in {backup}" if backup else ""
    found = {"path": str(path), "schema": schema.head(), "backup": backup}
    say(args, found, f"{path} has schema {schema.head()}{kept}")
    return 0
