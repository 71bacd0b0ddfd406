"""`python -m bench --only feed`: 20,000 frames a second for a minute into the whole engine.

One process holds REST of the fake venue, one sends frames made beforehand at an even rate over
loopback, and the engine is a program of its own: a paper account over the public feed, a market
maker in every market, journal, decisions and tape on. What it says of itself is read each second
from its heartbeat; how late each frame was comes from its tape, which has every frame with the
time when it was taken, laid beside the sender's own times.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import msgspec

from bench.market_frames import MovingMarket, listed, write
from bench.sender import send
from engine.domain.commands import StartBot
from engine.domain.instruments import BotId
from engine.runtime.tape import read
from storage.database import connect_writer
from storage.schema import migrate
from storage.settings import applied, save
from storage.users import ENGINE_ID
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.server import Served, serving
from tests.live.programs import Programs
from tests.ports import free_port

MARKETS = 50
RATE = 20_000
SECONDS = 60
SEED = 3
FRAME = "polymarket.market"
HERTZ = os.sysconf("SC_CLK_TCK")
PARAMETERS = {
    "fair": "microprice",
    "sigma_warm_s": 0.5,
    "event_jump_ticks": 0.0,
    "price_min": 0.01,
    "price_max": 0.99,
    "size_shares": 10.0,
}
Row = tuple[str, str, str, str, str]
Result = dict[str, Any]


# -- the engine ------------------------------------------------------------------------------------


class Watched:
    """The engine's process as the system counts it."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its threads."""
        return _ticks(self._folder / "stat") / HERTZ

    def loop_cpu_s(self) -> float:
        """Return the CPU seconds of its first thread: the loop's."""
        return _ticks(self._folder / "task" / self._folder.name / "stat") / HERTZ

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Return its memory."""
        status = (self._folder / "status").read_text(encoding="ascii")
        return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def _ticks(path: Path) -> int:
    words = path.read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def prepare(home: Path, markets: list[Listed]) -> None:
    """Make a home with a paper account and one market maker in every market."""
    bot = {
        "name": "maker",
        "strategy": "market_maker",
        "account": "pm",
        "capital": 8_000.0,
        "parameters": PARAMETERS,
        "instruments": [one.instrument for one in markets],
    }
    account = {"name": "pm", "venue": "polymarket", "mode": "paper", "starting_cash": 10_000.0}
    document = {"accounts": {"pm": account}, "bots": {"maker": bot}}
    migrate(home / "pitboss.db")
    with contextlib.closing(connect_writer(home / "pitboss.db")) as connection:
        save(connection, engine_id=ENGINE_ID, who="bench", diff=document, base_version=0, now_ns=1)
        applied(connection, ENGINE_ID, 1, 1)


@contextlib.contextmanager
def addressed(rest: Served, feed: int) -> Iterator[None]:
    """Point an engine started meanwhile at the fake and at the sender."""
    hosts = {
        "POLYMARKET_CLOB": rest.url,
        "POLYMARKET_GAMMA": rest.url,
        "POLYMARKET_WS": f"ws://127.0.0.1:{feed}",
        "POLYMARKET_RTDS": f"{rest.ws}/ws/rtds",
        "POLYMARKET_POLYBOLT": f"{rest.ws}/ws/rt",
        "BINANCE_WS": f"{rest.ws}/ws/binance",
        "COINBASE_WS": f"{rest.ws}/ws/coinbase",
    }
    given = {f"PITBOSS_{name}_URL": url for name, url in hosts.items()}
    before = dict(os.environ)
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def heartbeat(programs: Programs) -> dict[str, Any]:
    """Return what the engine last told of itself."""
    found = programs.rows("SELECT detail FROM engine_state")
    return json.loads(str(found[0][0])) if found else {}


def feed_of(programs: Programs) -> dict[str, Any]:
    """Return what it told of the feed."""
    found = heartbeat(programs).get("feeds", {}).get("polymarket", {})
    return dict(found)


# -- one run ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def resting(markets: list[Listed], books: list[MovingMarket], begin_ms: int) -> Iterator[Served]:
    """Serve REST with the books the frames begin with, on a loop of its own."""
    ready: Future[Served] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with serving(markets=[msgspec.structs.replace(one) for one in markets]) as served:
            for market, moving in zip(markets, books, strict=True):
                wire = served.venue.books[market.instrument]
                wire.book.replace(*moving.levels)
                wire.said_ms = str(begin_ms)
            ready.set_result(served)
            while not over.is_set():  # noqa: ASYNC110 another thread sets it
                await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield ready.result(30)
    finally:
        over.set()
        thread.join(30)


def measure(seconds: int = SECONDS, rate: int = RATE, home: Path | None = None) -> Result:
    """Make the frames, start everything, let it run, and return the figures."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        path, begin_ms = Path(folder) / "frames", time.time_ns() // 1_000_000
        markets = listed(MARKETS, time.time_ns())
        rng = Random(SEED)
        books = [MovingMarket(market, rng) for market in markets]
        write(path, books, rate * seconds, begin_ms)
        prepare(Path(folder), markets)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        sender = context.Process(target=send, args=(path, theirs, 2 * MARKETS, rate), daemon=True)
        sender.start()
        programs = Programs(Path(folder), free_port())
        try:
            with resting(markets, books, begin_ms) as rest, addressed(rest, ours.recv()):
                return _run(programs, ours)
        finally:
            programs.end()
            sender.terminate()
            sender.join()


def _run(programs: Programs, sender: Connection) -> Result:
    """Let the engine quote everywhere, then send; give the figures."""
    engine = programs.engine()
    done = programs.command(StartBot(bot=BotId("maker")))
    assert done.answer is not None
    programs.until(lambda: programs.live() >= MARKETS, "it quotes in the markets")
    watched = Watched(engine.pid)
    before = (watched.cpu_s(), watched.loop_cpu_s(), watched.memory_mb())
    sender.send("go")
    seen: list[dict[str, object]] = []
    while not sender.poll(1.0):
        seen.append(heartbeat(programs))
    sent = sender.recv()
    programs.until(lambda: feed_of(programs)["frames"] >= sent["frames"], "every frame is received")
    after = (watched.cpu_s(), watched.loop_cpu_s(), watched.memory_mb())
    programs.until(lambda: not feed_of(programs)["waiting"], "nothing waits")
    feed, orders = feed_of(programs), programs.count("orders")
    engine.send_signal(signal.SIGTERM)
    engine.wait(60)
    seconds = sent["seconds"]
    return {
        "seconds": seconds,
        "sent": sent["frames"],
        "received": feed["frames"],
        "rate": (sent["frames"] - sent["first"]) / seconds,
        "orders": orders,
        "sender_cpu": sent["cpu_s"] / seconds,
        "sender_backlog_kb": sent["backlog"] / 1024,
        "engine_cpu": (after[0] - before[0]) / seconds,
        "loop_cpu": (after[1] - before[1]) / seconds,
        "memory_mb": (before[2], after[2]),
        "hash_checked": feed["hash_checked"],
        "hash_mismatched": feed["hash_mismatched"],
        "gaps": feed["gaps"],
        "late": lateness(programs.home / "tape", sent),
        **inside(seen),
    }


def inside(seen: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up what the engine said of itself each second."""
    feeds = [one["feeds"]["polymarket"] for one in seen if one.get("feeds", {}).get("polymarket")]
    lags = [lag for feed in feeds for lag in feed["lags"] if lag["p50_ms"] is not None]
    turns = [one for one in seen if one.get("turn_p99_us")]
    return {
        "waiting_max": max((feed["waiting"] for feed in feeds), default=0),
        "lag_p50_ms": median([lag["p50_ms"] for lag in lags]),
        "lag_p99_ms": median([lag["p99_ms"] for lag in lags]),
        "lag_max_ms": max(lag["max_ms"] for lag in lags),
        "turn_p99_us": median([one["turn_p99_us"] for one in turns]) if turns else None,
        "turn_p99_worst_us": max((one["turn_p99_us"] for one in turns), default=None),
    }


def lateness(folder: Path, sent: dict[str, Any]) -> dict[str, Any]:
    """Lay the tape beside the sender's times: ms from the send call until a frame was taken."""
    taken = [one.at_ns for one in read(folder, warn=lambda _: None) if one.kind == FRAME]
    lags: list[int] = []
    number = sent["first"]
    for due, at_ns in sent["steps"]:
        lags += [taken_ns - at_ns for taken_ns in taken[number:due]]
        number = due
    lags.sort()
    return {
        "taped": len(taken),
        "p50_ms": lags[len(lags) // 2] / 1e6,
        "p99_ms": lags[int(len(lags) * 0.99)] / 1e6,
        "max_ms": lags[-1] / 1e6,
        "least_ms": lags[0] / 1e6,
    }


def rows(seconds: int = SECONDS) -> list[Row]:
    """Return the rows of the table."""
    run = measure(seconds)
    late, lost = run["late"], run["sent"] - run["late"]["taped"]
    before, after = run["memory_mb"]
    turn_ms = run["turn_p99_us"] / 1e3
    lags = f"{run['lag_p50_ms']:.2f} / {run['lag_p99_ms']:.2f} ms"
    return [
        ("frames/s taken, for so long", f"{run['rate']:,.0f}", f"{run['seconds']:.0f} s", "",
         ">= 20,000"),
        ("frames lost", f"{lost}", f"{run['sent']:,} sent", "", "0"),
        ("hashes unequal", f"{run['hash_mismatched']}", f"{run['hash_checked']:,} checked", "",
         "0"),
        ("lag, sent to taken, p50 / p99", f"{late['p50_ms']:.2f} / {late['p99_ms']:.2f} ms",
         f"{late['max_ms']:.1f} ms longest", "", "shown"),
        ("lag, socket to applied, median second", lags, f"{run['lag_max_ms']:.1f} ms longest", "",
         "shown"),
        ("most frames that waited", f"{run['waiting_max']}",
         f"{run['sender_backlog_kb']:.0f} kB unsent", "", "0"),
        ("CPU of the engine, of its loop", f"{100 * run['engine_cpu']:.0f} %",
         f"{100 * run['loop_cpu']:.0f} % loop", "", "<= 100 %"),
        ("memory at the end, at the start", f"{after:.0f} MB", f"{before:.0f} MB",
         f"{after / before:.2f}", "flat"),
        (f"turn p99, {run['orders']} orders meanwhile", f"{turn_ms:.2f} ms",
         f"{run['turn_p99_worst_us'] / 1e3:.2f} ms worst s", f"{turn_ms:.2f}", "<= 1 ms"),
    ]  # fmt: skip


if __name__ == "__main__":
    given = argparse.ArgumentParser(prog="python -m bench.sustained")
    given.add_argument("--seconds", type=int, default=SECONDS)
    given.add_argument("--rate", type=int, default=RATE)
    options = given.parse_args()
    print(json.dumps(measure(options.seconds, options.rate), indent=1))
