"""`python -m engine replay`: a recording through the engine, described in words or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from engine.cli.arguments import add_trading_arguments, options_of, whole
from engine.cli.replay_words import ReplayProgress, describe, describe_sets, exit_code
from engine.clock import WallClock
from engine.config import Config
from engine.errors import ConfigError
from engine.lab.replay.sets import band_of, play_sets, read_sets
from engine.lab.replay.setup import ReplayOptions, prepare

HELP = "play a recording through the same executor, risk and planner that trade"
JOBS_MAX = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="a recording: a file or a folder")
    add_trading_arguments(parser)
    parser.add_argument(
        "--outcomes",
        type=Path,
        metavar="FILE",
        help="CSV of market and paid (1, 0 or 0.5 per YES) for a recording without outcomes",
    )
    parser.add_argument(
        "--funding",
        type=Path,
        help="imported rates of a perpetual's bars, trades or quotes; without it none is counted",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="JSON with parameters, limits, bot, model or latency_ms of one set, repeatable: all "
        "of them in one pass, each its own run",
    )
    parser.add_argument(
        "--band",
        action="store_true",
        help="pessimistic, realistic and optimistic fills in one pass: a band in place of a number",
    )
    parser.add_argument(
        "--jobs",
        type=whole(0, JOBS_MAX),
        default=1,
        help="processes to spread the sets over; 0 = one per core (default: 1)",
    )
    parser.add_argument(
        "--decisions",
        choices=("on", "off"),
        help="keep a record per evaluation (default: on; off with --set)",
    )
    parser.add_argument(
        "--journal",
        choices=("full", "digest"),
        help="keep every record, or only their digest (default: full; digest with --set)",
    )
    parser.add_argument(
        "--no-import",
        action="store_true",
        help="read the raw file itself, and store no import of it for the next time",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, config: Config) -> int:
    alone = not args.set
    options = options_of(
        args,
        args.path,
        decisions=args.decisions == "on" if args.decisions else alone,
        journal_full=args.journal == "full" if args.journal else alone,
    )
    progress = ReplayProgress(shown=not args.json)
    if args.band and not alone:
        raise ConfigError("--band and --set: a set states its own model; give one of them")
    if args.band:
        return _run_sets(args, band_of(options, WallClock().now_ns()), config, progress)
    if not alone:
        sets = read_sets(args.set, options, WallClock().now_ns())
        return _run_sets(args, sets, config, progress)
    with prepare(options, config) as prepared:
        try:
            result = prepared.run(partial(progress, prepared.recording))
        finally:
            progress.end()
        summary = prepared.store(result)
    print(json.dumps(summary) if args.json else describe(summary))
    return exit_code([summary])


def _run_sets(
    args: argparse.Namespace,
    sets: Mapping[str, ReplayOptions],
    config: Config,
    progress: ReplayProgress,
) -> int:
    try:
        summaries = play_sets(list(sets.values()), config, processes=args.jobs, progress=progress)
    finally:
        progress.end()
    named = [{"set": name} | summary for name, summary in zip(sets, summaries, strict=True)]
    print(json.dumps(named) if args.json else describe_sets(named))
    return exit_code(summaries)
