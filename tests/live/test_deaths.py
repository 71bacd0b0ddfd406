"""Two hundred deaths: `kill -9` of the engine, while the exchange it trades on lives on beside it.

The exchange's own ledger is the judge at the end; the journal alone, read between two lives, is the
judge of what no restart may move: the day's anchor and the peak of the loss budget. And a hundred
deaths on the desk that a first start makes, whose supervisor starts the engine again.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.domain.commands import StartBot
from engine.domain.events import FillsListed, OrderFilled
from engine.domain.instruments import BotId, InstrumentId, Leg
from engine.domain.orders import ORDER_ENDS
from engine.runtime.first_settings import DOCUMENT, first_settings
from engine.venues.demo.client import DemoVenue
from storage.commands import STOP_PROOF, CommandState
from storage.database import connect_writer
from storage.journal import decode, load
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.live.programs import ACCOUNT, BOT, LONG_S, Programs, check_books, ours, prepare
from tests.live.test_soak import pid_of, up
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


# -- the desk of a first start -----------------------------------------------------------------

DESK_DEATHS = 100
DESK_LIFE_S = 6.0
DESK_BACK_S_MAX = 240.0
"""Beside other work a bot's volatility may be measured anew, too."""

QUOTES_ON = {"parameters": {"rest_when_losing": False}}
"""Its makers lose at a hundred restarts; one that rests then would not show that a desk trades."""

WARM_S = 60.0
"""How long the desk trades before the first death: a first start measures volatility first."""

DIES_STARTING = 0.25
CENT = 10_000


@pytest.fixture
def first_desk() -> Iterator[Programs]:
    """A home as a first start makes it; its name is short, as the supervisor's socket is in it."""
    home = Path(tempfile.mkdtemp(prefix="pb"))
    made = Programs(home, free_port())
    migrate(made.state)
    with closing(connect_writer(made.state)) as connection:
        assert first_settings(connection, ENGINE_ID, 1)
        diff = {"bots": dict.fromkeys(("demo-updown", "demo-events"), QUOTES_ON)}
        saved = save(
            connection, engine_id=ENGINE_ID, who="test", diff=diff, base_version=1, now_ns=2
        )
        assert isinstance(saved, Saved)
        applied(connection, ENGINE_ID, saved.version, 2)
    yield made
    for program in made.running:
        if "up" in list(program.args) and program.poll() is None:  # type: ignore[arg-type]
            program.terminate()  # it ends its programs
            program.wait(LONG_S)
    made.end()
    shutil.rmtree(home)


def killed(desk: Programs) -> float:
    """Kill the engine as soon as there is one; return when, by the machine's monotonic clock."""
    desk.until(lambda: pid_of(desk, "engine"), "the engine runs")
    os.kill(pid_of(desk, "engine"), signal.SIGKILL)
    return time.monotonic()


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_a_hundred_deaths_on_the_desk_of_a_first_start_lose_nothing(first_desk: Programs) -> None:
    desk, chance = first_desk, random.Random(DESK_DEATHS)
    whole = up(desk, free_port())
    for bot in DOCUMENT["bots"]:
        start = StartBot(bot=BotId(bot))  # refused until the account's cash was listed
        desk.until(lambda start=start: desk.command(start).state is CommandState.DONE, bot)
    desk.until(lambda: desk.live() > 0, "an order rests")
    time.sleep(WARM_S)
    back_s: list[float] = []
    deaths, began_ns = 0, 0
    while deaths < DESK_DEATHS:
        time.sleep(chance.uniform(0.0, DESK_LIFE_S))
        began_s, began_ns = killed(desk), time.time_ns()
        deaths += 1
        if chance.random() < DIES_STARTING:
            continue  # the next one comes while it starts
        desk.until(
            lambda began=began_ns: placed_since(desk, began), "it trades again", DESK_BACK_S_MAX
        )
        back_s.append(time.monotonic() - began_s)
        load = os.getloadavg()[0]
        print(f"{deaths}: an order {back_s[-1]:.2f} s after the kill, load {load:.1f}", flush=True)
    desk.until(lambda: placed_since(desk, began_ns), "the last one trades", DESK_BACK_S_MAX)
    time.sleep(8)  # settlements end
    whole.terminate()
    assert whole.wait(LONG_S) == 0
    receipt = desk.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    desk.demo()
    desk.until(lambda: not differences(desk), f"books are alike: {differences(desk)}")
    assert desk.rows("SELECT kind, text FROM alerts WHERE kind LIKE '%differs'") == []
    back_s.sort()
    print(
        f"{deaths} x kill -9 on a demo desk: {desk.count('orders')} orders, {desk.count('fills')}"
        f" fills; from kill to the first new order, {len(back_s)} times: median"
        f" {back_s[len(back_s) // 2]:.2f} s, worst {back_s[-1]:.2f} s"
    )


def differences(desk: Programs) -> list[str]:
    """Return in what the exchange's ledger and what the journal alone says differ.

    A winner that was asked for at the last moment is paid after the engine's end.
    """
    resting, fills, held, cash = asyncio.run(listed(desk.port))
    ledger = ours(desk.home).ledger
    booked = set[object]()
    for said in map(decode, load(desk.home / "journal.db")):
        listed_ones = said.fills if isinstance(said, FillsListed) else (said,)
        booked |= {one.fill for one in listed_ones if isinstance(one, OrderFilled)}
    found = [f"{number} rests" for number in resting]
    found += [f"fill {one} lacks" for one in fills - booked]
    found += [f"fill {one} was never made there" for one in booked - fills]
    unpaid = {market for market, _ in held}
    paid = sum(one.redeemable_micro for key, one in ledger.redeemable.items() if key not in unpaid)
    for key, terms in ledger.state.instruments.items():
        holding = ledger.holding(key)
        if key in ledger.redeemable and key not in unpaid:
            continue
        for leg in filter(holding.pays, terms.product.legs):
            mine = holding.leg(leg)
            size, theirs = mine.settled + mine.pending + mine.redeemable, held.get((key, leg), 0)
            found += [f"{leg} of {key}: {size} here, {theirs} there"] if size != theirs else []
    expected = ledger.state.cash_settled_micro + ledger.state.cash_pending_micro + paid
    apart = abs(expected - cash) > CENT
    return found + ([f"cash: {expected} here, {cash} there"] if apart else [])


async def listed(
    port: int,
) -> tuple[list[object], set[object], dict[tuple[InstrumentId, Leg], int], int]:
    """Return what the exchange has: open orders, all fills, holdings and cash."""
    venue = DemoVenue(f"http://127.0.0.1:{port}", ACCOUNT)
    try:
        still_open = [one.order for one in (await venue.open_orders()).orders]
        fills = {one.fill for one in (await venue.fills(0)).fills}
        held = {(key, leg): size for key, leg, size in (await venue.positions()).holdings}
        return still_open, fills, held, (await venue.balances()).cash_micro["pUSD"]
    finally:
        await venue.close()
