"""`python -m engine canary`: compare each venue with what this program was proven with.

Public questions alone: nothing is signed, placed or changed. Gives 1 where anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json

import msgspec

from engine.config import Config
from engine.domain.catalog import Grade
from engine.venues.registry import drifted

HELP = "compare each venue's answers with the recorded contract; name what changed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments: every venue that can be compared is asked."""


def run(args: argparse.Namespace, config: Config) -> int:
    found = asyncio.run(drifted(config))
    if args.json:
        rows = {venue: [msgspec.to_builtins(one) for one in all_] for venue, all_ in found.items()}
        print(json.dumps(rows))
    else:
        for venue, findings in found.items():
            print(venue)
            for one in findings:
                print(f"  {one.grade.upper():4}  {one.name:13}  {one.said}")
                if one.fix:
                    print(f"        {'':13}  → {one.fix}")
    return int(any(one.grade is not Grade.OK for all_ in found.values() for one in all_))
