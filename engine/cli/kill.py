"""`python -m engine kill`: KILL from outside, whether the engine lives or not.

Sets the latch. A living engine takes it by itself; where none lives, this program *is* the engine:
start-up recovery with the latch set, cancel, prove, exit. Where one holds the lock and is silent,
where the lock cannot be opened, or where journal, state or settings refuse, everything is cancelled
from beside: that needs a credential and a venue, nothing else, and it is never called a proof.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex

from engine.cli.arguments import WAIT_S_MAX, add_demo_argument, amount
from engine.cli.waiting import Patience
from engine.clock import WallClock
from engine.config import Config
from engine.errors import AlreadyRuns, ConfigError, StorageError, os_sentence
from engine.live.kill import block_signal
from engine.live.kill_bare import end_bare
from engine.live.main import start
from storage.commands import Receipt, latest_receipt
from storage.database import reading
from storage.latch import read_latch, set_latch
from storage.users import ENGINE_ID

HELP = "set the KILL latch, cancel everything and prove it; works without an engine"

WAIT_S = 30.0
LOOK_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_demo_argument(parser)
    parser.add_argument(
        "--wait", type=amount(0, WAIT_S_MAX), default=WAIT_S, help="s: for a running engine's proof"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Set the latch and see to it that it is carried out. 0 = PROVEN, 1 = not (yet)."""
    block_signal()
    require_home(config)
    now_ns = WallClock().now_ns()
    unlatched, since_ns = _latch(config, now_ns)
    receipt: Receipt | None
    try:
        start(config, args.demo, kill_only=True)
        receipt = _wait(config, now_ns, 1.0)
    except AlreadyRuns:
        print("an engine is running and takes the latch by itself", flush=True)
        receipt = _engine_receipt(args, config, since_ns)
    code = _print_receipt(receipt)
    if unlatched:
        raise unlatched
    return code


def _latch(config: Config, now_ns: int) -> tuple[StorageError | None, int]:
    """Set the latch; return what refused that, and since when a receipt is of this KILL."""
    try:
        new = set_latch(config.kill_path, "engine kill", now_ns)
    except OSError as error:
        home = shlex.quote(str(config.home))
        text = (
            f"the KILL latch could NOT be set: {os_sentence(error)}. A running desk still receives "
            f"the signal: DESK_HOME={home} .venv/bin/supervisorctl signal USR1 engine; an engine "
            "started later trades"
        )
        print(text, flush=True)
        return StorageError(text), now_ns
    how = "is set" if new else "was already set"
    print(f"{config.kill_path} {how}: no order is placed", flush=True)
    latch = None if new else read_latch(config.kill_path)
    return None, latch.at_ns if latch else now_ns


def _engine_receipt(args: argparse.Namespace, config: Config, since_ns: int) -> Receipt:
    """Return the receipt of the engine that holds the lock; where it tells none, cancel for it.

    Raises StorageError where there is none, or none can be read.
    """
    silent = "an engine holds the lock and has reported no receipt: it may be frozen"
    try:
        receipt = _wait(config, since_ns, args.wait)
        if receipt is not None:
            return receipt
    except StorageError as error:
        silent = str(error)
    asyncio.run(end_bare(config, args.demo, silent))
    raise StorageError(silent)


def require_home(config: Config) -> None:
    """Refuse a folder in which no desk ever lived: a KILL there would stop nobody.

    Whatever a desk leaves is enough, however damaged. Raises ConfigError.
    """
    left = {"journal.db", "pitboss.db", "vault.json", "KILL", "run"}
    try:
        found = left & {path.name for path in config.home.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        found = set()
    except OSError:
        return  # it is there and cannot be read: a KILL needs no more than that
    if not found:
        raise ConfigError(
            f"there is no desk in {config.home}, and NOTHING was killed: set PITBOSS_HOME to the "
            "desk you mean"
        )


def _wait(config: Config, since_ns: int, wait_s: float) -> Receipt | None:
    """Return the first receipt written since a time that is proven, or the latest after the wait.

    Raises StorageError where the state cannot be read by then.
    """
    fresh: Receipt | None = None
    refused: Exception | None = None
    for _ in Patience(wait_s).looks(LOOK_S):
        fresh = refused = None
        try:
            with reading(config.state_path) as connection:
                receipt = latest_receipt(connection, ENGINE_ID)
        except Exception as error:  # noqa: BLE001 it may be readable at the next look
            refused = error
            continue
        if receipt is not None and receipt.reported_ns >= since_ns:
            fresh = receipt
            if receipt.proven:
                break
    if refused is not None:
        raise StorageError(
            "the latch is set, but its proof cannot be read here; it is in "
            f"{config.home / 'log' / 'engine.log'}: {refused}"
        ) from refused
    return fresh


def _print_receipt(receipt: Receipt | None) -> int:
    if receipt is None:
        print("NOT PROVEN: no engine has reported a receipt yet; it keeps trying")
        return 1
    print(receipt.sentence())
    return 0 if receipt.proven else 1
