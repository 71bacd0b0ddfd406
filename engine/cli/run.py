"""`python -m engine run`: the engine, on a market or on a recording."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.cli.arguments import add_demo_argument, add_trading_arguments, options_of, whole
from engine.clock import TapeClock, WallClock
from engine.config import Config
from engine.domain.instruments import Mode
from engine.errors import ConfigError
from engine.lab.replay.tape import FEED, TapeDecisionLog, TapeDeck, TapeOptions
from engine.live.accounts import Accounts
from engine.live.kill import block_signal
from engine.live.lifecycle import close, trade
from engine.live.main import LOCK_WAIT_S, Start, engine_lock, open_engine, run_held, start
from engine.live.venues import Venues
from engine.runtime.recovery import engine_started
from storage.journal import latest_snapshots, take_lease
from storage.phases import RUNNING
from storage.users import ENGINE_ID

HELP = "run the trading engine until it is stopped"
SPEED_MAX = 10_000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_demo_argument(parser)
    add_tape_arguments(parser)


def run(args: argparse.Namespace, config: Config) -> int:
    """Trade until SIGTERM, SIGINT, the end of the parent, or of the tape."""
    block_signal()
    tape = tape_options(args)
    if tape is None:
        return start(config, args.demo, kill_only=False)
    deck = TapeDeck(config, tape, TapeClock())
    run_held(config, engine_lock(config, LOCK_WAIT_S), lambda: play(config, deck))
    result = deck.judged()
    print(json.dumps(result) if args.json else describe(result))
    if deck.torn is not None:
        raise deck.torn
    return 0 if result.get("same_as_replay", True) else 1


async def play(config: Config, deck: TapeDeck) -> None:
    wall = WallClock()
    settings = deck.settings(wall.now_ns())
    take_lease(config.journal_path, ENGINE_ID)
    decisions = TapeDecisionLog(config.decisions_path, deck.decisions, engine_id=ENGINE_ID)
    accounts = Accounts(Venues(openers={(FEED, Mode.PAPER): deck}, markets={}), fence=0)
    begun = Start(accounts, settings, accounts.made(settings.document))
    engine = open_engine(config, wall, begun, tape=deck.clock, decisions=decisions)
    try:
        made = begun.made.values()
        opened, feed = (one[0] for one in made), str(deck.recording_path)
        past = latest_snapshots(config.journal_path)
        engine.record(engine_started(past, opened, fence=0, seq=0, feed=feed), 0)
        for one in made:
            accounts.wire(engine, *one)
        engine.enter(RUNNING, f"plays {feed}")
        engine.state.listen()
        await trade(engine, accounts.begin(engine, set()), kill_only=False)
    finally:
        await close(engine)


def add_tape_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "a recording in place of a market",
        "plays it to the live loop with one bot at a paper account, in a PITBOSS_HOME of its own",
    )
    group.add_argument("--feed", metavar="tape:PATH", help="a recording: a file or a folder")
    group.add_argument(
        "--speed", default="1", help="times real time, or max: as fast as it goes (default: 1)"
    )
    group.add_argument(
        "--events", type=whole(0, 10**12), default=0, help="stop after so many (default: all)"
    )
    group.add_argument(
        "--verify",
        action="store_true",
        help="afterwards replay the same and compare decisions and effects",
    )
    add_trading_arguments(group)


def tape_options(args: argparse.Namespace) -> TapeOptions | None:
    """Return how a tape is to be played; None = no tape. Raises ConfigError naming the flag."""
    if args.feed is None:
        return None
    kind, separator, path = args.feed.partition(":")
    if kind != FEED or not separator or not path:
        raise ConfigError(f"--feed {args.feed!r}: write it as tape:PATH")
    return TapeOptions(
        replay=options_of(args, Path(path), decisions=True, journal_full=True),
        speed=_speed(args.speed),
        events=args.events,
        verify=args.verify,
    )


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= SPEED_MAX:
        raise ConfigError(f"--speed {text!r}: write max or a number, at most {SPEED_MAX:g}")
    return speed


def describe(found: dict[str, object]) -> str:
    equity = "unknown" if found["equity"] is None else f"{found['equity']:.2f}"
    rows = [
        f"events {found['events']:,} of {found['recorded_s']:,.0f} s in {found['elapsed_s']:,.1f} s"
        f"   late by {found['late_ms_max']:,.0f} ms at most",
        f"orders {found['orders']:,}   fills {found['fills']:,}   equity {equity}",
        f"decisions {found['decisions']:,}   digest {found['decisions_digest']}",
        f"effects {found['effects']:,}   digest {found['effects_digest']}",
    ]
    if "same_as_replay" in found:
        rows.append(
            "the replay of the same events decided the same"
            if found["same_as_replay"]
            else f"THE REPLAY DECIDED DIFFERENTLY: decisions {found['replay_decisions_digest']}, "
            f"effects {found['replay_effects_digest']}"
        )
    return "\n".join(rows)
