"""Kill -9 at random moments while trading: the exchange's own ledger is the judge."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.commands import StartBot
from storage.commands import CommandState
from storage.live import STOP_PROOF
from tests.live_programs import BOT, Programs, check_books, free_port, prepare

KILLS = 20


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_left_behind(programs: Programs, seed: int) -> None:
    chance = random.Random(seed)
    demo, engine = programs.demo(), programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
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
