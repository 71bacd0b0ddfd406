"""Receipts with real programs: PROVEN where it is, NOT PROVEN with what is missing until it is."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from engine.domain.commands import StartBot
from engine.errors import PitbossError
from engine.venues.demo.wire import PLACE
from storage.commands import CommandState
from storage.live import KILL_PROOF, Receipt
from tests.live.programs import BOT, LONG_S, Programs, ledger_of_the_exchange, prepare
from tests.ports import free_port

LISTINGS = "no two complete listings of open orders"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


class Line:
    """The line between an engine and the exchange; it can swallow the answer to one place."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.armed = threading.Event()
        self.swallowed = threading.Event()
        self._beyond = port
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        self._over = asyncio.Event()
        joined: set[asyncio.Task[None]] = set()

        def join(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
            joined.add(asyncio.ensure_future(self._join(near, back)))

        server = await asyncio.start_server(join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)

    async def _join(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until either end closes."""
        far, there = await asyncio.open_connection("127.0.0.1", self._beyond)
        deaf = threading.Event()
        ways = [
            asyncio.ensure_future(self._carry(near, there, deaf, out=True)),
            asyncio.ensure_future(self._carry(far, back, deaf, out=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
            there.close()

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        deaf: threading.Event,
        *,
        out: bool,
    ) -> None:
        while data := await source.read(65_536):
            if out and self.armed.is_set() and data.startswith(f"POST {PLACE}".encode()):
                self.armed.clear()
                deaf.set()
            if not out and deaf.is_set():
                self.swallowed.set()
                continue
            target.write(data)
            await target.drain()


def trading(programs: Programs, port: int) -> None:
    """Start an engine whose exchange is at a port; wait until an order of it rests."""
    programs.start("run", "--demo", f"http://127.0.0.1:{port}")
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")


def kill(programs: Programs) -> None:
    programs.running[-1].send_signal(signal.SIGUSR1)


def told(programs: Programs, *, proven: bool, within_s: float = LONG_S) -> Receipt:
    """Return the latest receipt as soon as it is (not) proven."""
    found: list[Receipt] = []

    def is_so() -> bool:
        receipt = programs.receipt(KILL_PROOF)
        if receipt is not None and receipt.proven is proven:
            found.append(receipt)
        return bool(found)

    programs.until(is_so, f"a receipt says {'' if proven else 'NOT '}PROVEN", within_s)
    return found[0]


def open_at_the_exchange(port: int) -> int:
    return asyncio.run(ledger_of_the_exchange(port))[2]


def test_receipt_is_proven_with_its_times(programs: Programs) -> None:
    programs.demo()
    trading(programs, programs.port)
    kill(programs)
    receipt = told(programs, proven=True)
    (account,) = receipt.accounts
    assert receipt.first_cancel_ns is not None
    assert receipt.latched_ns <= receipt.first_cancel_ns < receipt.told_ns
    assert (account.live, account.unknown, account.missing) == (0, 0, ())
    assert account.listings >= 2
    assert receipt.sentence().startswith("PROVEN: nothing of ours is open at 1 account")
    assert open_at_the_exchange(programs.port) == 0


def test_swallowed_reply_is_not_proven_until_the_order_is_found_and_cancelled(
    programs: Programs,
) -> None:
    programs.demo()
    with Line(programs.port) as line:
        trading(programs, line.port)
        line.armed.set()
        programs.until(line.swallowed.is_set, "the exchange answered a place, and nobody heard")
        kill(programs)
        first = told(programs, proven=False)
        assert "1 place on the way without an answer" in first.sentence()
        receipt = told(programs, proven=True)
    (account,) = receipt.accounts
    assert receipt.told_ns > first.told_ns
    assert (account.live, account.unknown) == (0, 0)
    assert account.in_flight_waited_ms > 0
    assert open_at_the_exchange(programs.port) == 0
    programs.until(lambda: programs.live() == 0, "every order has its end in the projection")


def test_venue_that_is_down_proves_nothing_until_it_is_back(programs: Programs) -> None:
    exchange = programs.demo()
    trading(programs, programs.port)
    engine = programs.running[-1]
    exchange.kill()
    exchange.wait(10)
    engine.send_signal(signal.SIGUSR1)
    first = told(programs, proven=False)
    assert LISTINGS in first.sentence()
    assert first.accounts[0].live > 0
    programs.until(
        lambda: (one := programs.receipt(KILL_PROOF)) and one.told_ns > first.told_ns + 2 * 10**9,
        "it keeps trying",
    )
    latest = programs.receipt(KILL_PROOF)
    assert latest is not None
    assert not latest.proven
    programs.demo()
    receipt = told(programs, proven=True)
    assert receipt.accounts[0].live == 0
    assert open_at_the_exchange(programs.port) == 0
    assert engine.poll() is None


@pytest.mark.soak
def test_kill_without_engine_and_venue_waits_for_the_venue(programs: Programs) -> None:
    exchange = programs.demo()
    trading(programs, programs.port)
    for program in (programs.running[-1], exchange):
        program.kill()
        program.wait(150)
    killer = programs.start("kill", "--demo", f"http://127.0.0.1:{programs.port}")
    assert LISTINGS in told(programs, proven=False).sentence()
    assert killer.poll() is None
    with pytest.raises(PitbossError):
        open_at_the_exchange(programs.port)
    programs.demo()
    assert killer.wait(LONG_S) == 0
    assert told(programs, proven=True).accounts[0].live == 0
    assert open_at_the_exchange(programs.port) == 0
