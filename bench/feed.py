"""`python -m bench.feed`: frames a second of the live market channel over a real socket.

Another process sends batches of changes whose hashes are right, as fast as they are taken; here
they pass the reconnecting socket, the core with both tokens' hashes, and the tape. Figures are by
CPU time too, which a busy machine does not falsify.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection, serve

from engine.domain.instruments import Leg, Side
from engine.feeds.counts import FeedCounts
from engine.runtime.tape import Tape
from engine.venues.polymarket.market.channel import MarketChannel
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.rest import PublicRest
from tests.fakes.polymarket.books import WireBook
from tests.fakes.polymarket.listing import Listed, identify, instrument_of

MARKETS = 50
LEVELS = 20
NOW_MS = 1_795_000_000_000
OnEvents = Callable[[list[Any], int], None]
Taped = Callable[[str, bytes, int], None]


def made(frames: int) -> tuple[list[Listed], list[str]]:
    """Return markets, and the frames of their life: whole books, then change after change."""
    rng = Random(3)
    markets = [identify(Listed(slug=f"m{n}", last="0.500"), 1, n) for n in range(MARKETS)]
    books = [WireBook(market) for market in markets]
    texts: list[str] = []
    for book in books:
        first = [(Side.BUY, 5_000 - 100 * n, 10_000_000) for n in range(1, LEVELS)]
        first += [(Side.SELL, 5_000 + 100 * n, 10_000_000) for n in range(1, LEVELS)]
        book.changed(tuple(first), str(NOW_MS))
        texts += [_text(book.frame(leg, str(NOW_MS), full=True)) for leg in (Leg.YES, Leg.NO)]
    for number in range(frames):
        book = books[number % MARKETS]
        side, away = rng.choice((Side.BUY, Side.SELL)), 100 * rng.randint(1, LEVELS)
        price = 5_000 - away if side is Side.BUY else 5_000 + away
        change = (side, price, rng.randint(1, 10_000) * 10_000)
        texts += [_text(frame) for frame in book.changed((change,), str(NOW_MS + 1 + number))]
    return markets, texts


def _text(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))


def flood(ports: Queue[int], frames: list[str]) -> None:
    """Serve the frames to whoever subscribes."""

    async def serving() -> None:
        async def venue(ws: ServerConnection) -> None:
            await ws.recv()
            for frame in frames:
                await ws.send(frame)
            await ws.wait_closed()

        async with serve(venue, "127.0.0.1", 0, compression=None) as server:
            ports.put(next(iter(server.sockets)).getsockname()[1])
            await asyncio.Event().wait()

    uvloop.run(serving())


def following(
    port: int, markets: list[Listed], counts: FeedCounts, publish: OnEvents, taped: Taped
) -> tuple[MarketChannel, PublicRest]:
    """Return a channel that follows the markets."""
    nowhere = f"http://127.0.0.1:{port}"
    rest = PublicRest(dict.fromkeys(("clob", "gamma", "data"), nowhere), counts)
    channel = MarketChannel(
        f"ws://127.0.0.1:{port}",
        rest=rest,
        counts=counts,
        now_ns=time.time_ns,
        publish=publish,
        tape=taped,
    )
    for market in markets:
        instrument = instrument_of(market)
        channel.watch(
            Listing(
                instrument=instrument,
                tick=market.tick,
                min_order_size=str(market.size_min),
                neg_risk=market.neg_risk,
                slug="",
                title="",
                accepting=True,
            )
        )
    return channel, rest


def figures(frames: int, elapsed: float, cpu: float, lags: list[float]) -> dict[str, Any]:
    """Return how fast frames were taken, and how late the loop was."""
    lags.sort()
    return {
        "frames": frames,
        "seconds": round(elapsed, 2),
        "frames_per_s": round(frames / elapsed),
        "cpu_us_per_frame": round(cpu / frames * 1e6, 1),
        "frames_per_cpu_s": round(frames / cpu),
        "loop_lag_ms_p50": round(lags[len(lags) // 2] * 1e3, 2),
        "loop_lag_ms_p99": round(lags[int(len(lags) * 0.99)] * 1e3, 2),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def checked(counts: FeedCounts) -> dict[str, object]:
    """Return what the hashes said."""
    return {
        "hash_checked": counts.hash_checked,
        "hash_mismatched": counts.hash_mismatched,
        "anomalies": dict(counts.anomalies),
    }


async def receive(port: int, markets: list[Listed], total: int, folder: Path) -> dict[str, Any]:
    """Receive all frames; give the figures."""
    counts, received, lags, events = FeedCounts(), [0], [0.0], [0]
    tape = Tape(folder)

    def taped(kind: str, frame: bytes, at_ns: int) -> None:
        received[0] += kind == "polymarket.market"
        tape.append(kind, frame, at_ns)

    def publish(batch: list[object], _at_ns: int) -> None:
        events[0] += len(batch)

    channel, rest = following(port, markets, counts, publish, taped)
    shard = channel.shards[0]
    while shard.held_back is None:  # noqa: ASYNC110 the socket has no event to wait for
        await asyncio.sleep(0.001)
    shard.release()  # the server has no REST: its first frames are the books
    started, cpu = time.perf_counter(), time.process_time()
    before = received[0]
    while received[0] < total:
        due = time.perf_counter() + 0.005
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - due)
        channel.advance(time.time_ns())
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    frames = received[0] - before
    for name in channel.watched:
        channel.unwatch(name)
    await asyncio.sleep(0.1)
    tape.close()
    await rest.close()
    return figures(frames, elapsed, cpu, lags) | {"events": events[0]} | checked(counts)


def main() -> None:
    """Make the frames, serve them, receive them, print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.feed", description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    frames = parser.parse_args().frames
    markets, texts = made(frames)
    context = multiprocessing.get_context("fork")
    ports: Queue[int] = context.Queue()
    sender = context.Process(target=flood, args=(ports, texts), daemon=True)
    sender.start()
    total, texts = len(texts), []
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(uvloop.run(receive(ports.get(), markets, total, Path(folder))), indent=1))
    sender.terminate()


if __name__ == "__main__":
    main()
