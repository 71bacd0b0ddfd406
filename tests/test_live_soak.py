"""Kill -9 at random moments while trading: the exchange's own ledger is the judge."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.domain.commands import StartBot
from engine.domain.instruments import AccountId, Leg, Mode
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.live_start import executor_of, recover
from engine.venues.demo.client import DemoVenue
from storage.commands import CommandState
from storage.live import STOP_PROOF

ACCOUNT = AccountId("demo")
KILLS = 20


def live_tests() -> ModuleType:
    """The helpers of the test beside this one: tests are no package."""
    path = Path(__file__).with_name("test_live.py")
    spec = importlib.util.spec_from_file_location("live_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LIVE = live_tests()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Any]:
    made = LIVE.Programs(tmp_path, LIVE.free_port())
    LIVE.prepare(made.state)
    yield made
    made.end()


async def ledger_of_the_exchange(port: int) -> tuple[int, dict[Any, int], int]:
    venue = DemoVenue(f"http://127.0.0.1:{port}", ACCOUNT)
    try:
        cash = (await venue.balances()).cash_micro["pUSD"]
        held = {(key, leg): size for key, leg, size in (await venue.positions()).holdings}
        return cash, held, len((await venue.open_orders()).orders)
    finally:
        await venue.close()


def ours(home: Path) -> Executor:
    """The executor as the journal alone gives it."""
    settings = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO)
    executor, _ = executor_of(settings, 0)
    recover(home / "journal.db", {ACCOUNT: executor})
    return executor


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_left_behind(programs: Any, seed: int) -> None:
    chance = random.Random(seed)
    demo, engine = programs.demo(), programs.engine()
    assert programs.command(StartBot(bot=LIVE.BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")
    for turn in range(KILLS):
        time.sleep(chance.uniform(0.2, 5.0))
        victim = engine if turn % 2 else demo
        victim.kill()
        victim.wait(10)
        if victim is engine:
            engine = programs.engine()
        else:
            demo = programs.demo()
        orders = programs.count("orders")
        programs.until(lambda seen=orders: programs.count("orders") > seen, "it trades again", 90.0)
    time.sleep(6)  # settlements end
    engine.terminate()
    assert engine.wait(60) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    time.sleep(8)  # the exchange settles the last fills
    check_books(programs)


def check_books(programs: Any) -> None:
    cash, theirs, still_open = asyncio.run(ledger_of_the_exchange(programs.port))
    assert still_open == 0
    executor = ours(programs.home)
    mine = {}
    for key, held in executor.ledger.held.items():
        for leg, size in (
            (Leg.YES, held.yes_settled + held.yes_pending),
            (Leg.NO, held.no_settled + held.no_pending),
        ):
            if size:
                mine[key, leg] = size
    assert programs.rows("SELECT kind, text FROM alerts WHERE kind LIKE '%differs'") == []
    assert mine == theirs
    state = executor.ledger.state
    assert abs(state.cash_settled_micro + state.cash_pending_micro - cash) <= 10_000
