"""The long proofs, behind `make soak`: ten minutes in step, and the older SDK's life cycle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from engine.domain.events import VenueMode
from tests.fakes.polymarket.crowd import Crowd
from tests.fakes.polymarket.server import serving
from tests.venues.polymarket.follower import Follower
from tests.venues.polymarket.kit import BRIDGE, CUP, RAIN, Trader, by_slug, quick, signer

SECONDS = float(os.environ.get("PITBOSS_FAKE_SOAK_S", "600"))
OLD_SDK = "py-clob-client-v2==1.2.1"
LIFE = Path(__file__).with_name("old_sdk_life.py")


@pytest.mark.soak
async def test_plain_client_stays_in_step_for_ten_minutes() -> None:
    async with serving(quick(mined_ms=(500, 1_500), retry_ppm=50_000, fail_ppm=50_000)) as served:
        follower = Follower(list(served.venue.by_condition.values()))
        Crowd(served.venue, per_s=120).start()
        ends = time.monotonic() + SECONDS
        # One loop plays both sides: the library's own ping would only measure how busy that is.
        plain = connect(f"{served.ws}/ws/market", ping_interval=None)
        async with Trader(served) as trader, plain as socket:
            await follower.subscribe(socket)
            reading = asyncio.ensure_future(_read(follower, socket))
            while time.monotonic() < ends and not reading.done():
                market = by_slug(served, RAIN)
                answer = await trader.place(market, "BUY", "0.05", "10")
                await asyncio.sleep(0.05)
                await trader.fetch("DELETE", "/order", {"orderID": answer["orderID"]})
            served.venue.exchange.guard.switch(VenueMode.CANCEL_ONLY)  # the crowd rests
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            await follower.drain(socket, 1)
        sums = follower.sums()
        print(f"{follower.frames} frames, {sums}, {follower.kinds}")
        assert sums.pop("proofs") > SECONDS * 20
        assert sums == {"torn": 0, "books_wrong": 0, "tops_wrong": 0}
        assert served.venue.invariants()["problems"] == []


async def _read(follower: Follower, socket: ClientConnection) -> None:
    """Take what comes, while others trade."""
    while True:
        follower.take(str(await socket.recv()))


@pytest.mark.soak
async def test_older_sdk_lives_its_life_in_an_environment_of_its_own(tmp_path: Path) -> None:
    python = await asyncio.to_thread(_environment, tmp_path / "old")
    async with serving(quick()) as served:
        for kind in (0, 1, 2, 3):
            known = Trader(served, 20 + kind, kind)
            await known.http.aclose()
            program = await asyncio.create_subprocess_exec(
                python,
                str(LIFE),
                served.url,
                "0x" + signer(20 + kind).key.hex().removeprefix("0x"),
                str(kind),
                known.wallet,
                *(by_slug(served, slug).tokens[0] for slug in (RAIN, CUP, BRIDGE)),
                *(by_slug(served, slug).tokens[1] for slug in (RAIN, CUP, BRIDGE)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            answer, _ = await program.communicate()
            assert program.returncode == 0, answer.decode()
        assert served.venue.invariants()["problems"] == []
        assert served.venue.auth.verified["orders"] >= 4 * 12


def _environment(folder: Path) -> str:
    """Make an environment with the older SDK, or skip with the sentence that says why."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", OLD_SDK], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{OLD_SDK} can not be installed here: {done.stderr.strip()[-200:]}")
    return python
