"""`python -m engine selftest ACCOUNT --live`: one real order, placed, seen, cancelled, proven gone.

It holds the engine's lock, so that no engine trades the account meanwhile. The order's identity
is on the disk before it is sent: after a crash the next self-test cancels that order first, the
engine's start cancels whatever its key has open and its journal does not know (law N), and the
venue itself ends it after five minutes, because it is good till a time.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import msgspec

from engine.cli.arguments import findings_text, say
from engine.cli.credentials import credential_of, keep_verdict
from engine.clock import WallClock
from engine.config import Config
from engine.domain.catalog import Finding, Grade
from engine.domain.instruments import AccountId, Mode
from engine.errors import BadInput, ConfigError, StorageError
from engine.locks import locked
from engine.runtime.credentials import Credential, unlocked
from engine.runtime.venue_plugin import SelfTesting
from engine.venues.registry import credential_spec, plugins
from storage.database import reading
from storage.files import forget_trace, read_trace, write_trace
from storage.latch import read_latch
from storage.live_accounts import Examiner, unlocks
from storage.schema import check_schema
from storage.settings import latest
from storage.users import ENGINE_ID

HELP = "place one small order far from the touch at a live account, cancel it and prove it is gone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("account", help="name of an unlocked account of mode live")
    parser.add_argument("--live", action="store_true", help="yes, place a real order")
    parser.add_argument(
        "--market", default="", metavar="CONDITION", help="condition id; default: a suitable one"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Test the account. 0 = all well and nothing open, 1 = a step failed, and which one."""
    if not args.live:
        raise ConfigError("this places a real order with real money: confirm it with --live")
    check_schema(config.state_path)
    try:
        lock = locked(config.run_folder / "engine.lock", "engine")
    except StorageError:
        raise ConfigError(
            "an engine is running here, and two programs must not trade one account: stop it, then "
            "test"
        ) from None
    with lock:
        if read_latch(config.kill_path) is not None:
            raise ConfigError("the KILL latch is set and nothing is placed: release it first")
        _require_live(config, args.account)
        credentials = credential_of(config, args.account)
        with reading(config.state_path) as connection:
            closed = unlocked(args.account, credentials.wallet, unlocks(connection, ENGINE_ID))
        if closed:
            raise ConfigError(f"{closed}: `python -m engine unlock {args.account}`")
        try:
            findings = asyncio.run(_run_selftest(args, config, credentials))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        keep_verdict(config, Examiner.SELFTEST, args.account, credentials.wallet, findings)
    green = all(one.grade is not Grade.FAIL for one in findings)
    answer = {"account": args.account, "green": green, "findings": msgspec.to_builtins(findings)}
    say(args, answer, f"{args.account}: the self-test is {'green' if green else 'NOT green'}")
    return 0 if green else 1


async def _run_selftest(
    args: argparse.Namespace, config: Config, credential: Credential
) -> list[Finding]:
    plugin, spec = plugins()[credential.venue], credential_spec(credential.venue)
    if spec is None or spec.selftest is None:
        raise BadInput(f"{plugin.title} has no self-test: there is nothing to place")
    _cancel_on_signals()
    path = config.home / f"selftest-{args.account}.json"
    left = read_trace(path)

    def keep(identity: str) -> None:
        write_trace(path, identity=identity, account=args.account, at_ns=WallClock().now_ns())

    testing = SelfTesting(
        account=AccountId(args.account),
        credential=credential,
        market=args.market,
        report=_print,
        left=left.identity if left else None,
        keep=keep,
        forget=lambda: forget_trace(path),
    )
    return await spec.selftest(plugin.setup(config), testing)


def _cancel_on_signals() -> None:
    """Let a closed terminal and a plain `kill` end it as Ctrl-C does: with cancel and proof."""
    task = asyncio.current_task()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if task is not None and signal.getsignal(ending) is signal.SIG_DFL:
            asyncio.get_running_loop().add_signal_handler(ending, task.cancel)


def _require_live(config: Config, account: str) -> None:
    with reading(config.state_path) as connection:
        one = latest(connection, ENGINE_ID).document.accounts.get(account)
    if one is None or one.mode is not Mode.LIVE:
        raise BadInput(f"{account!r} is not a live account: there is nothing to test")


def _print(found: Finding) -> Finding:
    print(findings_text([found], 8), file=sys.stderr, flush=True)
    return found
