"""Receipts with real programs: PROVEN where it is, NOT PROVEN with what is missing until it is."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.commands import StartBot
from engine.errors import PitbossError
from storage.commands import KILL_PROOF, CommandState, Receipt
from tests.live.programs import BOT, LONG_S, Programs, ledger_of_the_exchange, prepare
from tests.ports import free_port

LISTINGS = "no two complete listings of open orders"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


def trading(programs: Programs, port: int) -> None:
    """Start an engine whose exchange is at a port; wait until an order of it rests."""
    programs.start("run", "--demo", f"http://127.0.0.1:{port}")
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")


def kill(programs: Programs) -> None:
    programs.running[-1].send_signal(signal.SIGUSR1)


def awaited_receipt(programs: Programs, *, proven: bool, within_s: float = LONG_S) -> Receipt:
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


@pytest.mark.long
def test_venue_that_is_down_proves_nothing_until_it_is_back(programs: Programs) -> None:
    exchange = programs.demo()
    trading(programs, programs.port)
    engine = programs.running[-1]
    exchange.kill()
    exchange.wait(10)
    engine.send_signal(signal.SIGUSR1)
    first = awaited_receipt(programs, proven=False)
    assert LISTINGS in first.sentence()
    assert first.accounts[0].live > 0
    programs.until(
        lambda: (
            (one := programs.receipt(KILL_PROOF))
            and one.reported_ns > first.reported_ns + 2 * 10**9
        ),
        "it keeps trying",
    )
    latest = programs.receipt(KILL_PROOF)
    assert latest is not None
    assert not latest.proven
    programs.demo()
    receipt = awaited_receipt(programs, proven=True)
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
    assert LISTINGS in awaited_receipt(programs, proven=False).sentence()
    assert killer.poll() is None
    with pytest.raises(PitbossError):
        open_at_the_exchange(programs.port)
    programs.demo()
    assert killer.wait(LONG_S) == 0
    assert awaited_receipt(programs, proven=True).accounts[0].live == 0
    assert open_at_the_exchange(programs.port) == 0
