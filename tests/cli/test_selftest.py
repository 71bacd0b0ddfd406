"""`selftest --live`: who may be tested, what is told, and what a crash leaves to the next one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.__main__ import main
from engine.domain.instruments import Leg, Mode
from engine.locks import locked
from engine.venues.polymarket.account.venue import PolymarketVenue
from engine.venues.polymarket.checks import selftest as selftest_market
from storage.database import connect_writer, reading, transaction, writing
from storage.files import read_trace
from storage.live_accounts import Examination, Examiner, Unlock, examinations, lock, unlock
from storage.schema import migrate
from storage.settings import save
from storage.users import ENGINE_ID
from tests.fakes.polymarket.listing import Listed, instrument_of
from tests.fakes.polymarket.server import Served, serving
from tests.live.polymarket_programs import LivePrograms
from tests.live.programs import REPOSITORY
from tests.venues.polymarket.adapter import adapter, order
from tests.venues.polymarket.kit import CUP, RAIN, by_slug, quick, signer, wallet

KEY = signer(1).key.hex()
WALLET = wallet(signer(1), 3)
WAIT_S = 150.0


async def _quoted(served: Served) -> None:
    """Let somebody else quote one market at 40 / 50, another at 5 / 50."""
    for slug, cents in ((RAIN, 40), (CUP, 5)):
        async with adapter(served, number=2, slug=slug) as (venue, instrument):
            for leg, price in ((Leg.YES, cents), (Leg.NO, 50)):
                await venue.send(venue.prepare(order(instrument, cents=price, leg=leg)))


@pytest.fixture(scope="module")
def venue() -> Iterator[Served]:
    """The fake venue on a loop of its own: the command brings its own loop."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    held: list[Served] = []

    async def serve() -> None:
        async with serving(quick()) as served:
            await _quoted(served)
            held.append(served)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(WAIT_S)
    yield held[0]
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


@pytest.fixture
def home(tmp_path: Path, venue: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with an unlocked live account; its credential is in the environment."""
    for name in ("CLOB", "GAMMA", "DATA", "RELAYER"):
        monkeypatch.setenv(f"PITBOSS_POLYMARKET_{name}_URL", venue.url)
    monkeypatch.setenv("PITBOSS_POLYMARKET_WS_URL", venue.ws)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    monkeypatch.setenv("POLYMARKET_ACCOUNT", "mine")
    monkeypatch.setenv("POLYMARKET_PRIVATE_KEY", KEY)
    monkeypatch.setenv("POLYMARKET_WALLET", WALLET)
    monkeypatch.chdir(tmp_path)
    migrate(tmp_path / "pitboss.db")
    connection = connect_writer(tmp_path / "pitboss.db")
    account: dict[str, Any] = {"name": "mine", "venue": "polymarket", "mode": Mode.LIVE}
    save(
        connection,
        engine_id=ENGINE_ID,
        base_version=0,
        diff={"accounts": {"mine": account}},
        who="test",
        now_ns=time.time_ns(),
    )
    given = Unlock(account="mine", wallet=WALLET, doctor_ns=1, phrase_ns=2, who="test")
    with transaction(connection):
        unlock(connection, ENGINE_ID, given)
    connection.close()
    yield tmp_path
    venue.venue.faults.clear("")


def verdict(home: Path) -> Examination | None:
    with reading(home / "pitboss.db") as connection:
        return examinations(connection, ENGINE_ID).get(("mine", Examiner.SELFTEST))


def resting(venue: Served) -> int:
    """Return how many orders rest at the venue besides the four of somebody else."""
    exchange = venue.venue.exchange
    wallets = list(exchange.order_entry.ledger.wallets)
    return sum(len(exchange.account(account).open) for account in wallets) - 4


def test_unlocked_account_is_tested_and_the_verdict_kept(
    home: Path, venue: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["selftest", "mine", "--live", "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["green"], result["account"]) == (True, "mine")
    assert "YES 40¢ / 50¢" in err, "the market whose bid is far above the lowest price"
    assert KEY.removeprefix("0x") not in out + err
    found = verdict(home)
    assert found is not None
    assert (found.green, found.wallet) == (True, WALLET.lower())
    assert [one.name for one in found.findings][-1] == "proof"
    assert not list(home.glob("selftest-*"))
    assert resting(venue) == 0


def test_without_the_word_live_nothing_is_asked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["selftest", "mine"]) == 2
    assert "--live" in capsys.readouterr().err
    assert verdict(home) is None


def test_beside_a_running_engine_nothing_is_tested(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(home / "run" / "engine.lock", "engine"):
        assert main(["selftest", "mine", "--live"]) == 2
    assert "two programs must not trade one account" in capsys.readouterr().err


def test_locked_account_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with writing(home / "pitboss.db") as connection, transaction(connection):
        lock(connection, ENGINE_ID, "mine", who="test", now_ns=3)
    assert main(["selftest", "mine", "--live"]) == 2
    assert "engine unlock mine" in capsys.readouterr().err


def test_latch_is_obeyed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "KILL").touch()
    assert main(["selftest", "mine", "--live"]) == 2
    assert "KILL latch" in capsys.readouterr().err


def test_account_that_is_not_live_is_refused(home: Path) -> None:
    assert main(["selftest", "demo", "--live"]) == 3


def test_market_by_name_must_be_fit(
    home: Path, venue: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    near = by_slug(venue, CUP).condition
    assert main(["selftest", "mine", "--live", "--market", near]) == 1
    assert "less than ten cents above" in capsys.readouterr().err
    found = verdict(home)
    assert found is not None
    assert [one.name for one in found.failures] == ["market"]


def test_market_that_closes_soon_is_not_chosen(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest_market, "CLOSES_NS_MIN", 10**20)
    assert main(["selftest", "mine", "--live"]) == 1
    assert "name another market with --market" in capsys.readouterr().err


def placed(home: Path, venue: Served) -> subprocess.Popen[bytes]:
    """Start a self-test; give it when its order rests and the user channel says nothing."""
    venue.venue.faults.add({"kind": "ws_freeze", "path": "user", "name": "ice"}, 0)
    program = subprocess.Popen(
        [sys.executable, "-m", "engine", "selftest", "mine", "--live"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Who started the tests may ignore a closed terminal (`nohup`); a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert program.stderr is not None
    for line in program.stderr:
        if line.split()[1:2] == [b"place"]:
            break
    assert resting(venue) == 1
    return program


def ended(program: subprocess.Popen[bytes], by: signal.Signals) -> tuple[int, str]:
    """Send a signal; give the exit code and what was said since."""
    os.kill(program.pid, by)
    assert program.stderr is not None
    said = program.stderr.read().decode()
    program.stderr.close()
    return program.wait(WAIT_S), said


@pytest.mark.long
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_closed_terminal_leaves_no_order(home: Path, venue: Served, by: signal.Signals) -> None:
    code, said = ended(placed(home, venue), by)
    assert (code, resting(venue)) == (130, 0)
    assert "PROVEN: zero open orders" in said


@pytest.mark.long
def test_crash_leaves_a_trace_and_the_next_test_cancels_it(
    home: Path, venue: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed between the venue's yes and the cancel: the order rests, its name is on the disk."""
    ended(placed(home, venue), signal.SIGKILL)
    trace = read_trace(home / "selftest-mine.json")
    assert trace is not None
    assert resting(venue) == 1
    venue.venue.faults.clear("ice")
    assert main(["selftest", "mine", "--live"]) == 0
    assert capsys.readouterr().err.count("PROVEN: zero open orders") == 2
    assert resting(venue) == 0
    assert not list(home.glob("selftest-*"))


def test_engine_cancels_what_a_crashed_test_left(tmp_path: Path) -> None:
    """No journal knows the order, no bot receives its market: its owner is our key (law N)."""
    programs = LivePrograms(tmp_path)
    try:
        programs.fake(crowd=0.0)
        programs.prepare()
        market = next(
            one for one in programs.hand()["markets"] if one["slug"] == "free-geopolitics"
        )

        async def place(venue: PolymarketVenue) -> None:
            instrument = instrument_of(msgspec.convert(market, Listed))
            await venue.list_market(instrument)
            await venue.send(venue.prepare(order(instrument, cents=1, shares=5)))

        asyncio.run(programs._asked(place))
        assert programs.open_orders() == 1
        programs.engine()
        programs.until(lambda: programs.open_orders() == 0, "the engine's start cancels it", 120)
    finally:
        programs.end()
