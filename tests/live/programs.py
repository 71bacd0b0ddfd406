"""The programs of one desk as processes of a test: demo exchange, engine, commands, ledgers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands import AnyCommand, PlaceManual
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Mode, Side
from engine.domain.intents import Urgency
from engine.domain.orders import ORDER_ENDS
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.runtime.recovery import executor_of, recover
from engine.strategies.market_maker.parameters import EAGER
from engine.venues.demo.client import DemoVenue
from storage.commands import ENDS, CommandState, LeftCommand, Receipt, find, latest_receipt, leave
from storage.database import connect_writer
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests import forked

REPOSITORY = Path(__file__).resolve().parents[2]
ACCOUNT = AccountId("demo")
BOT = BotId("maker")
APART = InstrumentId("demo:comet-visible-this-month-1")
"""A market of the exchange that the bot does not trade."""
DOCUMENT = {
    "accounts": {
        "demo": {"name": "demo", "venue": "demo", "mode": "demo", "starting_cash": 10_000.0}
    },
    "bots": {
        BOT: {
            "name": BOT,
            "strategy": "market_maker",
            "account": "demo",
            "capital": 5_000.0,
            "series": ["btc-updown-5m"],
            "instruments": ["demo:rate-cut-by-march-1"],
            "parameters": {
                **EAGER,
                "fair": "microprice",
                "sigma_warm_s": 0.5,
                "stop_before_close_s": 0.0,
                "price_min": 0.01,
                "price_max": 0.99,
                "event_jump_ticks": 0.0,
                "size_shares": 10.0,
            },
        }
    },
}


LONG_S = 150.0
"""The end of patience on a machine under load; whoever waits goes on as soon as it is true."""


LATER = ("not_filled", "try again in", "places nothing now")
"""Why an order by hand is given again: others took what stood there, or a life has just begun."""


class Programs:
    """The programs of one home, each ended by its own process id."""

    fork = True
    """False = each starts as an operator's does, and imports for a second."""

    def __init__(self, home: Path, port: int, source: Path = REPOSITORY) -> None:
        self.home = home
        self.source = source
        """Whose code runs."""
        self.venue_home = home
        """Where the demo exchange keeps its own: another disk where the engine's is filled."""
        self.port = port
        self.state = home / "pitboss.db"
        self.commands = 0
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        home = self.venue_home if words[0] == "demo" else self.home
        module = "tests.whole_desk" if words[0] == "up" else "engine"
        environment = {**os.environ, "PITBOSS_HOME": str(home), **environment}
        with (home / f"{words[0]}.log").open("ab") as log:
            program = forked.start(
                module, words, environment, log, source=self.source, fork=self.fork
            )
        self.running.append(program)
        return program

    def demo(self) -> subprocess.Popen[bytes]:
        program = self.start("demo", "--port", str(self.port))
        self.until(lambda: answers(self.port), "the demo exchange listens")
        return program

    def engine(self) -> subprocess.Popen[bytes]:
        return self.start("run", "--demo", f"http://127.0.0.1:{self.port}")

    def command(self, command: AnyCommand) -> LeftCommand:
        """Leave a command as a page does, and wait for its answer."""
        connection = connect_writer(self.state)
        try:
            self.commands += 1
            left = leave(
                connection,
                engine_id=ENGINE_ID,
                id=f"test-{self.commands}",
                command=command,
                who="test",
                now_ns=time.time_ns(),
                ttl_ns=int(LONG_S * 1e9),
            )

            def answered() -> bool:
                nonlocal left
                left = find(connection, ENGINE_ID, left.id) or left
                return left.state in ENDS

            self.until(answered, f"{type(command).__name__} is answered")
            return left
        finally:
            connection.close()

    def filled(self, count: int) -> None:
        """Take by hand, in a market no bot trades, until so many fills are in the state."""
        by_hand = PlaceManual(
            account=ACCOUNT, instrument=APART, leg=Leg.YES, side=Side.BUY, price=9_000,
            size=20_000_000, urgency=Urgency.NOW,
        )  # fmt: skip

        def taken() -> bool:
            left = self.command(by_hand)
            if any(words in left.answer for words in LATER):
                return False
            assert left.state is CommandState.DONE, left.answer
            return True

        for _ in range(count):
            self.until(taken, "the book has enough to take")
        self.until(lambda: self.count("fills") >= count, "they are in the state")

    def until(self, true: Callable[[], object], what: str, seconds: float = LONG_S) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                logs = "\n".join(p.read_text()[-3_000:] for p in self.home.glob("*.log"))
                pytest.fail(f"not within {seconds} s: {what}\n{logs}")
            time.sleep(0.05)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(f"file:{self.state}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def receipt(self, what: str) -> Receipt | None:
        connection = sqlite3.connect(f"file:{self.state}?mode=ro", uri=True)
        try:
            return latest_receipt(connection, ENGINE_ID, what)
        finally:
            connection.close()

    def live(self) -> int:
        ends = ", ".join(f"'{end}'" for end in ORDER_ENDS)
        return int(str(self.rows(f"SELECT count(*) FROM orders WHERE state NOT IN ({ends})")[0][0]))

    def count(self, table: str) -> int:
        return int(str(self.rows(f"SELECT count(*) FROM {table}")[0][0]))

    def end(self) -> None:
        for program in reversed(self.running):
            if program.poll() is None:
                program.send_signal(signal.SIGKILL)
            program.wait(150)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def prepare(state: Path) -> None:
    """Migrate, save settings, and leave the start of the bot."""
    migrate(state)
    connection = connect_writer(state)
    try:
        saved = save(
            connection, engine_id=ENGINE_ID, who="test", diff=DOCUMENT, base_version=0, now_ns=1
        )
        assert isinstance(saved, Saved)
        applied(connection, ENGINE_ID, saved.version, 1)
    finally:
        connection.close()


async def ledger_of_the_exchange(port: int) -> tuple[int, dict[Any, int], int]:
    """Cash, tokens and open orders as the exchange has them."""
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


def check_books(programs: Programs) -> None:
    """The exchange's own ledger is the judge of ours: cash, tokens, open orders.

    It lists what has settled; what was bought at the last moment settles within seconds, and a
    winner that was asked for at the last moment is paid after the engine's end. Losers that nobody
    redeems stay listed there and are nothing here.
    """
    executor = ours(programs.home)
    redeemable, holdings = executor.ledger.redeemable, executor.ledger.state.holdings
    resolved = {key for key, one in holdings.items() if one.payout_yes_micro is not None}
    mine = {}
    for key, held in executor.ledger.held.items():
        for leg, size in (
            (Leg.YES, held.yes_settled + held.yes_pending),
            (Leg.NO, held.no_settled + held.no_pending),
        ):
            if size:
                mine[key, leg] = size
    assert programs.rows("SELECT kind, text FROM alerts WHERE kind LIKE '%differs'") == []

    def agrees() -> bool:
        cash, held, still_open = asyncio.run(ledger_of_the_exchange(programs.port))
        assert still_open == 0
        theirs = {key: size for key, size in held.items() if key[0] not in resolved}
        state, unpaid = executor.ledger.state, {market for market, _ in held}
        paid = sum(one.redeemable_micro for key, one in redeemable.items() if key not in unpaid)
        expected = state.cash_settled_micro + state.cash_pending_micro + paid
        return mine == theirs and abs(expected - cash) <= 10_000

    programs.until(agrees, f"the exchange holds {mine} and the cash of {executor.ledger.state}")
