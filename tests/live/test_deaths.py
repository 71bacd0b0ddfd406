"""Two hundred deaths: `kill -9` of the engine, while the exchange it trades on lives on beside it.

The exchange's own ledger is the judge at the end; the journal alone, read between two lives, is the
judge of what no restart may move: the day's anchor and the peak of the loss budget.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.commands import StartBot
from engine.domain.orders import ORDER_ENDS
from storage.commands import STOP_PROOF, CommandState
from tests.live.programs import BOT, LONG_S, Programs, check_books, ours, prepare
from tests.ports import free_port

DEATHS = 200
LIFE_S = 2.5
"""The longest time an engine lives after it trades; the shortest is none."""

BACK_S_MAX = 90.0
DAY_NS = 86_400 * 1_000_000_000
STARTING_CASH = 10_000 * 1_000_000


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


def placed_since(programs: Programs, began_ns: int) -> bool:
    """Say whether an order made after this moment is at the exchange, or has been."""
    unsure = "'pending', 'sent', 'unknown', 'rejected'"
    sql = f"SELECT 1 FROM orders WHERE created_ns > {began_ns} AND state NOT IN ({unsure}) LIMIT 1"
    return bool(programs.rows(sql))


class Budget:
    """Anchor and peak as the journal alone has them, over many lives."""

    def __init__(self) -> None:
        self.day = 0
        self.anchor = 0
        self.peak = 0
        self.looks = 0

    def look(self, home: Path, at_ns: int) -> None:
        anchor, peak = ours(home).anchors_micro
        if at_ns // DAY_NS == self.day:
            assert anchor == self.anchor, f"the day's anchor {self.anchor} became {anchor}"
        elif self.day == 0:
            assert anchor in (0, STARTING_CASH)  # 0: nothing had been judged yet
        self.day, self.anchor = (at_ns // DAY_NS if anchor else 0), anchor
        assert peak >= self.peak, f"the peak fell from {self.peak} to {peak}"
        self.peak = peak
        self.looks += 1


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_two_hundred_deaths_lose_double_and_leave_nothing(programs: Programs) -> None:
    chance, budget = random.Random(DEATHS), Budget()
    exchange, engine = programs.demo(), programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")
    back_s: list[float] = []
    began_ns = 0
    for death in range(DEATHS):
        # One in four dies in the middle of its start: while it recovers or asks the exchange.
        time.sleep(chance.uniform(0.0, LIFE_S))
        engine.kill()
        engine.wait(150)
        budget.look(programs.home, time.time_ns())
        began_ns = time.time_ns()
        engine = programs.engine()
        if chance.random() < 0.25:
            continue
        programs.until(
            lambda began=began_ns: placed_since(programs, began), "it trades again", BACK_S_MAX
        )
        back_s.append((time.time_ns() - began_ns) / 1e9)
        if death % 20 == 0:
            print(
                f"\n{death} deaths, back to trading after {max(back_s):.1f} s at most", flush=True
            )
        assert exchange.poll() is None
    programs.until(lambda: placed_since(programs, began_ns), "the last one trades", BACK_S_MAX)
    stop(programs, engine)
    budget.look(programs.home, time.time_ns())
    assert exchange.poll() is None
    back_s.sort()
    print(
        f"\n{DEATHS} x kill -9: {programs.count('orders')} orders, {programs.count('fills')} fills,"
        f" back to trading {back_s[len(back_s) // 2]:.1f} s median, {back_s[-1]:.1f} s worst;"
        f" anchor {budget.anchor} micro and a peak that never fell, looked at {budget.looks} times"
    )


def stop(programs: Programs, last: subprocess.Popen[bytes]) -> None:
    """Stop the last life in order; its proof and the exchange's ledger must agree with ours."""
    last.terminate()
    assert last.wait(LONG_S) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    ends = ", ".join(f"'{end}'" for end in ORDER_ENDS)
    assert programs.rows(f"SELECT id, state FROM orders WHERE state NOT IN ({ends})") == []
    time.sleep(8)  # the exchange settles the last fills
    check_books(programs)
