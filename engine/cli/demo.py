"""`python -m engine demo`: the demo exchange as a program of its own, on a local socket.

It outlives the engine and knows nothing of it. Its world stands in `PITBOSS_HOME/demo`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
from pathlib import Path

from aiohttp import web

from engine import log
from engine.cli.arguments import DEMO_PORT, PORT_MAX, WHOLE_MAX, whole
from engine.clock import WallClock
from engine.config import Config
from engine.errors import PitbossError
from engine.locks import locked
from engine.runtime.loop import run as run_loop
from engine.venues.demo.host import DemoHost
from engine.venues.demo.profiles import FULL, THIN
from engine.venues.demo.server import DemoServer

HELP = "run the demo exchange until it is stopped"

SEED = 20_26
PROFILES = {"full": FULL, "thin": THIN}
PARENT_EVERY_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=whole(1, PORT_MAX), default=DEMO_PORT, help="on 127.0.0.1")
    parser.add_argument(
        "--profile", choices=sorted(PROFILES), default="full", help="how busy the market is"
    )
    parser.add_argument("--seed", type=whole(0, WHOLE_MAX), default=SEED, help="of a new world")


def run(args: argparse.Namespace, config: Config) -> int:
    """Host it until SIGTERM, SIGINT or the end of the parent."""
    folder = config.home / "demo"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / "lock", "demo exchange"):
        run_loop(_serve(args, folder))
    return 0


async def _serve(args: argparse.Namespace, folder: Path) -> None:
    logger = log.get("demo")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)  # before it listens: who it answers may end it
    clock = WallClock()
    host = DemoHost(folder, PROFILES[args.profile], seed=args.seed, now_ns=clock.now_ns())
    server = DemoServer(host, clock)
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", args.port).start()
    except OSError as error:
        raise PitbossError(f"port {args.port} cannot be used: {error}") from error
    gc.collect()
    gc.freeze()
    logger.info("demo.open", port=args.port, markets=len(host.exchange.order_entry.markets))
    tasks = {
        asyncio.create_task(server.live()),
        asyncio.create_task(ended.wait()),
        asyncio.create_task(orphaned(os.getppid())),
    }
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()
    host.close()
    for task in done:
        task.result()
    logger.info("demo.closed")


async def orphaned(parent: int) -> None:
    """Return when the parent is gone; a program started by init has none to lose."""
    while parent == 1 or os.getppid() == parent:  # noqa: ASYNC110 nobody tells us but the system
        await asyncio.sleep(PARENT_EVERY_S)
