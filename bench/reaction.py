"""`python -m bench --only reaction`: from a frame of the market to the bytes of an order.

An engine with a live account trades at the fake venue: signing on, every record journaled. A
customer of the fake moves one market's touch by single frames, so that the market maker's fair
value leaves the prices it may quote at (its quotes must go: a cancel, which waits for nothing), and
comes back (two quotes must be placed: named, signed, journaled, and sent when the journal is on the
disk). Both ends are times of the fake's one clock: just before it sends the frame, and when the
request's head was read from its socket.

Measured twice: with the journal on the disk (`synchronous=FULL`, an fsync for each commit), and
with the file `journal.db` alone in memory (`/dev/shm`), where an fsync costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from engine.domain.commands import StartBot
from engine.domain.events import LatchSet
from engine.domain.instruments import AccountId, BotId, Leg, Side
from engine.domain.orders import CancelReason, Identity, OrderType
from engine.venues.demo.orders import RestingOrder, Ticket
from storage.journal import take_lease
from storage.journal_writer import JournalWriter
from storage.users import ENGINE_ID
from tests.fakes.polymarket.listing import SHARE, Listed
from tests.fakes.polymarket.server import Served, serving
from tests.live.polymarket_programs import BOT, PARAMETERS, SIGNER, LivePrograms
from tests.venues.polymarket.adapter import adapter, order
from tests.venues.polymarket.kit import RAIN, by_slug, signer

SAMPLES = 300
MEMORY = Path("/dev/shm")
RICH_MICRO = 10_000_000 * 1_000_000
BID, ASK, OVER = 4_800, 5_200, 5_100
"""What always rests, and the bid that moves the fair value out of where it may be quoted."""

PINNED = {"price_max": 0.505, "replan_ms_min": 0}
"""It quotes up to a price, and looks at every change at once: the coalescing of 50 ms is off."""

PATIENCE_S = 30.0
Result = dict[str, Any]
Row = tuple[str, str, str, str, str]


class Mover:
    """A customer of the fake who moves one market; all on the fake's loop."""

    def __init__(self, served: Served) -> None:
        self.venue = served.venue
        self.market: Listed = by_slug(served, RAIN)
        self._served = served
        self._rng = Random(5)
        self._numbers = itertools.count(1)
        self._name = AccountId("mover")
        exchange = self.venue.exchange
        exchange.open_account(self._name, RICH_MICRO, listening=False)
        exchange.convert(self._name, self.market.instrument, 100_000 * SHARE, exchange.now_ns)
        self._rest(Side.BUY, BID)
        self._rest(Side.SELL, ASK)
        self._over: RestingOrder | None = None
        self.sent_ns = 0
        """When the first frame left since `armed`."""
        self.armed = False

    def _rest(self, side: Side, price: int) -> Identity:
        exchange, name = self.venue.exchange, Identity(f"mover-{next(self._numbers)}")
        ticket = Ticket(
            identity=name,
            instrument=self.market.instrument,
            leg=Leg.YES,
            side=side,
            price=price,
            size=5_000 * SHARE,
            type=OrderType.GTC,
        )
        self.venue.pump()
        receipt = exchange.submit(self._name, ticket, exchange.now_ns)
        assert not receipt.reason, receipt
        self.venue.drain()
        return name

    def listen(self) -> None:
        """Note when frames leave for the engine's socket."""
        (socket,) = self._served.hubs.market.sockets
        send = socket.ws.send_str

        async def noted(text: str) -> None:
            if self.armed and '"price_change"' in text:
                self.armed, self.sent_ns = False, time.time_ns()
            await send(text)

        socket.ws.send_str = noted  # type: ignore[method-assign,assignment]

    def ours(self) -> int:
        """Return how many orders of the engine rest."""
        return sum(1 for _ in self.venue.open_orders(signer(SIGNER).address))

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Wait for something of the venue."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > end:
                raise SystemExit(f"not within {PATIENCE_S} s: {what}")
            await asyncio.sleep(0.002)

    async def moved(self, move: Callable[[], object], method: str, rest: int) -> float:
        """Move the market; return ms from its frame to the engine's first request."""
        await asyncio.sleep(0.15 + 0.1 * self._rng.random())
        rows = self.venue.journal
        self.armed, self.sent_ns, before = True, 0, time.time_ns()
        move()
        await self.until(lambda: self.ours() == rest, f"{rest} quotes rest")
        asked = [
            row["at_ns"]
            for row in itertools.islice(reversed(rows), 200)
            if row.get("method") == method
            and row["path"].startswith("/order")
            and row["at_ns"] > before
        ]
        return float(min(asked) - self.sent_ns) / 1e6

    def out(self) -> None:
        """Move the fair value out of where it may be quoted, by one frame."""
        name = self._rest(Side.BUY, OVER)
        self._over = self.venue.exchange.account(self._name).open[name]

    def back(self) -> None:
        """Move it back, by one frame."""
        assert self._over is not None
        self.venue.pump()
        self.venue.exchange.order_entry.withdraw([self._over], CancelReason.ASKED)
        self.venue.drain()

    async def samples(self, count: int) -> Result:
        """Return ms from frame to cancel and from frame to place."""
        await self.until(lambda: self.ours() == 2, "it quotes")
        self.listen()
        cancels, places = [], []
        for _ in range(count):
            cancels.append(await self.moved(self.out, "DELETE", 0))
            places.append(await self.moved(self.back, "POST", 2))
        return {"cancel": cancels, "place": places}


@contextlib.contextmanager
def venue() -> Iterator[tuple[Served, asyncio.AbstractEventLoop]]:
    """Serve the fake on a loop of its own."""
    ready: Future[tuple[Served, asyncio.AbstractEventLoop]] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with serving() as served:
            ready.set_result((served, asyncio.get_running_loop()))
            while not over.is_set():  # noqa: ASYNC110 another thread sets it
                await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    try:
        yield ready.result(30)
    finally:
        over.set()
        thread.join(30)


class Quoting(LivePrograms):
    """An engine with a live account that quotes one market of a fake in this process."""

    def __init__(self, home: Path, served: Served) -> None:
        super().__init__(home)
        self.port, self.venue = served.port, served.url


def react(count: int, *, memory: bool) -> Result:
    """Start everything, move the market `count` times each way, and return the figures."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if memory:
            shm = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
            (home / "journal.db").symlink_to(shm / "journal.db")
        served, loop = stack.enter_context(venue())
        programs = Quoting(home, served)
        stack.callback(programs.end)
        mover = asyncio.run_coroutine_threadsafe(_mover(served), loop).result(30)
        programs.prepare(slugs=(RAIN,), parameters=PARAMETERS | PINNED)
        programs.engine()
        done = programs.command(StartBot(bot=BotId(BOT)))
        assert done.answer is not None
        return asyncio.run_coroutine_threadsafe(mover.samples(count), loop).result()


async def _mover(served: Served) -> Mover:
    return Mover(served)


def signing(count: int = 2_000) -> list[float]:
    """Return ms to name, sign and serialise an order, for each of many."""

    async def timed() -> list[float]:
        async with serving() as served, adapter(served) as (door, instrument):
            took = []
            for number in range(count):
                one = order(instrument, 10 + number % 80)
                started = time.perf_counter()
                door.prepare(one)
                took.append((time.perf_counter() - started) * 1e3)
            return took

    return asyncio.run(timed())


def quantiles(samples: list[float]) -> tuple[float, float, float]:
    """Return p50, p99 and the largest."""
    ordered = sorted(samples)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1]


def rows(samples: int = SAMPLES) -> list[Row]:
    """Return the rows of the table."""
    disk, memory = react(samples, memory=False), react(samples, memory=True)
    commits = fsyncs(samples)
    p50, p99, longest = quantiles(commits)
    return [
        _row("frame to a cancel's bytes", disk["cancel"], (2, 10)),
        _row("frame to an order's bytes", disk["place"], (2 + p50, 10 + p99)),
        _row("the same, journal.db in memory", memory["place"], (2, 10)),
        (
            "one commit of the journal, p50 / p99",
            f"{p50:.2f} / {p99:.2f} ms",
            f"{longest:.1f} ms longest",
            "",
            "one fsync, added above",
        ),
        _row("naming, signing one order", signing(), (0.5, 0.5)),
    ]


def _row(name: str, samples: list[float], limits: tuple[float, float]) -> Row:
    """Return p50 and p99 beside their limits, and the worse ratio of the two."""
    p50, p99, _ = quantiles(samples)
    limit = f"{limits[0]:.2g} / {limits[1]:.2g} ms"
    ratio = max(p50 / limits[0], p99 / limits[1])
    return (f"{name}, p50 / p99", f"{p50:.2f} / {p99:.2f} ms", limit, f"{ratio:.2f}", f"<= {limit}")


def fsyncs(count: int) -> list[float]:
    """Return ms of a commit of one record to a journal on this disk, for each of many."""
    with tempfile.TemporaryDirectory() as home:
        take_lease(Path(home) / "journal.db", ENGINE_ID)
        writer = JournalWriter(Path(home) / "journal.db", engine_id=ENGINE_ID)
        took = []
        for number in range(count):
            writer.append("", LatchSet(who="bench", reason=str(number)), number)
            started = time.perf_counter()
            writer.commit().result()
            took.append((time.perf_counter() - started) * 1e3)
        writer.close()
    return took


if __name__ == "__main__":
    given = argparse.ArgumentParser(prog="python -m bench.reaction")
    given.add_argument("--samples", type=int, default=SAMPLES)
    given.add_argument("--memory", action="store_true", help="the journal's file in /dev/shm")
    options = given.parse_args()
    found = react(options.samples, memory=options.memory)
    found |= {"sign": signing(), "commit": fsyncs(options.samples)}
    result = {name: [round(one, 3) for one in quantiles(took)] for name, took in found.items()}
    print(json.dumps(result))
