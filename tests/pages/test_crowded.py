"""Fifty accounts of twenty markets each, five open tabs, two busy loops: KILL from its button.

An exchange of its own lists the markets. The engine has no supervisor here: a timer that ends it
ends the test. `CROWDED_MINUTES` is how long everything trades before the KILL.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from sqlite3 import Connection

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect

from engine.domain.commands import StartBot
from engine.domain.instruments import BotId, InstrumentId
from storage.commands import (
    ENDS,
    KILL_PROOF,
    CommandState,
    Receipt,
    find,
    latest_receipt,
    leave,
)
from storage.database import reading, writing
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.lab.conftest import QUOTING
from tests.pages.desks import CHROMIUM, REPOSITORY, LiveDesk, opened, press_until, sign_in

ACCOUNTS, MARKETS, TABS, BUSY = 50, 20, 5, 2
MINUTES = float(os.environ.get("CROWDED_MINUTES", "15"))
TRADING_S = 600.0
"""How long all accounts may take until each has an order: the machine is full."""

PROVEN_S = 10.0
"""From the second click to the receipt."""

LIVE_S = 30.0
"""The longest a tab's clock may stand still beside an engine and two loops that are busy."""

LOOK_S = 5.0
PATHS = ("", "risk", "positions", "bots", "orders")
MISS = "ForwardMsg MISS"
TICK = "document.querySelector('.pb-tick')?.innerText ?? ''"
SAYS = "document.body.innerText.slice(0, 300)"
NAMES = [f"demo-{number:02}" for number in range(ACCOUNTS)]
KEYS = [InstrumentId(f"demo:crowded-{number:02}-1") for number in range(MARKETS)]

WIDE_EXCHANGE = f"""
import sys
from msgspec.structs import replace
from engine.cli import demo
from engine.venues.demo.profiles import EventSpec
events = tuple(
    EventSpec(name=f"crowded-{{number:02}}", days=60.0, chance=0.2 + 0.03 * number)
    for number in range({MARKETS})
)
demo.PROFILES["thin"] = replace(demo.THIN, events=events)
from engine.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class CrowdedDesk(LiveDesk):
    """A dashboard and an engine of fifty accounts at an exchange of twenty events."""

    fork = False

    def prepare(self) -> None:
        """Save fifty accounts, a market maker in all markets at each, and put them in force."""
        accounts = {
            name: {"name": name, "venue": "demo", "mode": "demo", "starting_cash": 10_000.0}
            for name in NAMES
        }
        bots = {
            f"maker-{name}": {
                "name": f"maker-{name}", "strategy": "market_maker", "account": name,
                "capital": 5_000.0, "instruments": KEYS, "parameters": QUOTING,
            }
            for name in NAMES
        }  # fmt: skip
        with writing(self.config.state_path) as connection:
            made = save(
                connection, engine_id=ENGINE_ID, who="test",
                diff={"accounts": accounts, "bots": bots}, base_version=0, now_ns=time.time_ns(),
            )  # fmt: skip
            assert isinstance(made, Saved), made
            applied(connection, ENGINE_ID, made.version, time.time_ns())

    def program(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a program as an operator does; the exchange is the wide one."""
        if words[0] != "demo":
            return super().program(*words)
        command = [sys.executable, "-c", WIDE_EXCHANGE, *words, "--profile", "thin"]
        environment = {**os.environ, "PITBOSS_HOME": str(self.config.home)}
        with (self.config.home / "demo.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log
            )

    @property
    def engine(self) -> subprocess.Popen[bytes]:
        """The engine's process."""
        return self.programs[1]

    def trading(self) -> int:
        """Return how many accounts have had an order that rested."""
        sql = "SELECT count(DISTINCT account) FROM orders WHERE state IN ('open', 'cancelled')"
        with reading(self.config.state_path) as connection:
            return int(connection.execute(sql).fetchone()[0])

    def receipt(self) -> Receipt | None:
        """Return the newest proof of a KILL."""
        with reading(self.config.state_path) as connection:
            return latest_receipt(connection, ENGINE_ID, KILL_PROOF)

    def start_bots(self, until_s: float) -> None:
        """Have every bot run; a start is refused until its account's cash was listed."""
        left = {f"maker-{name}" for name in NAMES}
        turn = 0
        with writing(self.config.state_path) as connection:
            while left:
                assert time.monotonic() < until_s, f"{len(left)} bots do not start"
                turn += 1
                asked = {name: f"start-{turn}-{name}" for name in sorted(left)}
                for name, id_ in asked.items():
                    leave(
                        connection, engine_id=ENGINE_ID, id=id_, command=StartBot(bot=BotId(name)),
                        who="test", now_ns=time.time_ns(),
                    )  # fmt: skip
                while any(_state(connection, id_) not in ENDS for id_ in asked.values()):
                    self.lives()
                    time.sleep(0.1)
                left = {
                    name
                    for name, id_ in asked.items()
                    if _state(connection, id_) is not CommandState.DONE
                }

    def lives(self) -> None:
        """Fail with the log of a program that ended."""
        for name, program in zip(("demo", "run"), self.programs, strict=True):
            log = (self.config.home / f"{name}.log").read_text(errors="replace")[-3_000:]
            assert program.poll() is None, f"{name} ended with {program.returncode}\n{log}"


def _state(connection: Connection, name: str) -> CommandState:
    found = find(connection, ENGINE_ID, name)
    assert found is not None
    return found.state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[CrowdedDesk]:
    made = CrowdedDesk(tmp_path)
    yield made
    made.stop()


@contextmanager
def busy_loops() -> Iterator[None]:
    """Have two programs take all the time they get."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait(30)


class Tabs:
    """Open tabs, what their consoles said of messages they did not have, and whether they live."""

    def __init__(self, first: Page, desk: CrowdedDesk) -> None:
        sign_in(first, desk)
        self.missed: list[str] = []
        self.pages = [first, *(first.context.new_page() for _ in range(TABS - 1))]
        self._seen = [("", time.monotonic()) for _ in self.pages]
        self.still_s, self.stillest = 0.0, ""
        """The longest a tab's clock was seen to stand still, and what stood there."""
        for page, path in zip(self.pages, PATHS, strict=True):
            page.on("console", self._said)
            page.on("pageerror", lambda error: self._note(str(error)))
            page.goto(f"{desk.address}/{path}")
            page.wait_for_selector(".pb-tick")

    def _said(self, message: ConsoleMessage) -> None:
        self._note(message.text)

    def _note(self, text: str) -> None:
        if MISS in text:
            self.missed.append(text)

    def look(self) -> None:
        """Read each tab's clock, and note how long it has stood still or was not there."""
        for number, page in enumerate(self.pages):
            said, now_s = clock(page), time.monotonic()
            before, since_s = self._seen[number]
            if said and said != before:
                self._seen[number] = (said, now_s)
                continue
            if now_s - since_s > self.still_s:
                self.still_s = now_s - since_s
                self.stillest = f"/{PATHS[number]} at {said or 'no clock'}: {page.evaluate(SAYS)}"


def clock(page: Page) -> str:
    """Return what a tab's clock says; nothing while it loads itself anew, as a cut one does."""
    try:
        return str(page.evaluate(TICK))
    except Error:
        return ""


def trade(desk: CrowdedDesk, tabs: Tabs, minutes: float) -> None:
    """Let everything go on for a while; whatever ends or stands still fails."""
    until_s = time.monotonic() + 60 * minutes
    while time.monotonic() < until_s:
        tabs.pages[0].wait_for_timeout(1_000 * LOOK_S)
        tabs.look()
        desk.lives()


def killed(desk: CrowdedDesk, page: Page) -> float:
    """Press KILL and its confirmation; return the seconds from the second click to PROVEN."""
    confirm = page.get_by_role("button", name="CONFIRM KILL")
    press_until(page.locator(".st-key-killbutton button"), confirm)
    confirm.click()
    began_s = time.monotonic()
    while not ((receipt := desk.receipt()) and receipt.proven):
        assert time.monotonic() - began_s < 10 * PROVEN_S, receipt and receipt.sentence()
        time.sleep(0.05)
    took_s = time.monotonic() - began_s
    assert len(receipt.accounts) == ACCOUNTS, receipt.sentence()
    expect(page.get_by_text("PROVEN").first).to_be_visible()
    return took_s  # by the desk's own clock: the page shows it at its next second


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif(CHROMIUM is None, reason="it needs Chromium: apt-get install chromium")
def test_kill_of_a_thousand_bots_markets_beside_five_tabs_and_two_busy_loops(
    browser: Browser, desk: CrowdedDesk
) -> None:
    began_s = time.monotonic()
    desk.start_bots(began_s + TRADING_S)
    started_s = time.monotonic() - began_s
    while desk.trading() < ACCOUNTS:
        desk.lives()
        assert time.monotonic() - began_s < TRADING_S, f"{desk.trading()} accounts trade"
        time.sleep(1)
    trading_s = time.monotonic() - began_s
    with ExitStack() as stack:
        page = stack.enter_context(opened(browser))
        tabs = Tabs(page, desk)
        stack.enter_context(busy_loops())
        trade(desk, tabs, MINUTES)
        took_s = killed(desk, tabs.pages[0])
        tabs.look()
        desk.lives()  # no timer ended it
    print(
        f"{ACCOUNTS} accounts x {MARKETS} markets, {MINUTES:g} min: bots run after"
        f" {started_s:.0f} s, all trade after {trading_s:.0f} s, KILL proven {took_s:.2f} s after"
        f" the click, a tab's clock stood still for {tabs.still_s:.0f} s at most,"
        f" {len(tabs.missed)} MISS, load {os.getloadavg()[0]:.1f}"
    )
    assert took_s <= PROVEN_S
    assert tabs.missed == []
    assert tabs.still_s <= LIVE_S, tabs.stillest
