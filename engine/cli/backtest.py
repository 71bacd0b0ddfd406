"""`python -m engine backtest`: play the document of a backtest, as the page and a job do.

The document is what the job `replay` takes: a recording, its bots or one strategy, money, span,
costs, latency, how paper fills.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engine.cli.arguments import say, short
from engine.cli.replay_words import ReplayProgress, describe, describe_sets, exit_code
from engine.clock import WallClock
from engine.config import Config
from engine.domain.backtests import document_of_bots, read_document
from engine.errors import BadInput, ConfigError, os_sentence
from engine.lab.replay.document import options_of_document
from engine.lab.replay.sets import band_of, play_sets
from storage.database import reading
from storage.settings import in_force
from storage.users import ENGINE_ID

HELP = "play the document of a backtest: several bots at one account; or print one of these bots"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="FILE", help="the document, JSON; - = standard input")
    parser.add_argument(
        "--of-bot",
        action="append",
        default=[],
        metavar="NAME",
        help="print the document that plays this bot of the settings over the recording FILE, and "
        "play nothing; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. Raises BadInput, ConfigError, StorageError."""
    if args.of_bot:
        return _print_document(args, config)
    document = read_document(_text(args.path))
    options = options_of_document(document, config.recording)
    sets = band_of(options, WallClock().now_ns()) if document.band else {"": options}
    progress = ReplayProgress(shown=not args.json)
    try:
        summaries = play_sets(list(sets.values()), config, processes=1, progress=progress)
    finally:
        progress.end()
    if not document.band:
        print(json.dumps(summaries[0]) if args.json else describe(summaries[0]))
    else:
        named = [{"set": name} | one for name, one in zip(sets, summaries, strict=True)]
        print(json.dumps(named) if args.json else describe_sets(named))
    return exit_code(summaries)


def _text(path: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {os_sentence(error)}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no text: a document is JSON in UTF-8") from None


def _print_document(args: argparse.Namespace, config: Config) -> int:
    with reading(config.state_path) as connection:
        settings = in_force(connection, ENGINE_ID).document
    unknown = [name for name in args.of_bot if name not in settings.bots]
    if unknown:
        known = ", ".join(settings.bots) or "none"
        raise BadInput(f"there is no bot {short(unknown[0])}; these are: {known}")
    document = document_of_bots(settings, tuple(args.of_bot), args.path)
    say(args, document, json.dumps(document, indent=2))
    return 0
