"""A live account at Polymarket as processes, against the venue's fake: the account's whole life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.commands import OpenVault, PlaceManual, StartBot, StopBot
from engine.domain.instruments import BotId, InstrumentId, Leg, Side
from engine.domain.settings import AccountSettings
from engine.live import vault
from engine.runtime.recovery import executor_of, recover
from storage.commands import KILL_PROOF, STOP_PROOF, CommandState
from tests.live.polymarket_programs import ACCOUNT, BOT, SIGNER, LivePrograms
from tests.live.programs import LONG_S, REPOSITORY
from tests.venues.polymarket.kit import RAIN, signer, wallet

RESTING = 20
SHARE = 1_000_000
PASSPHRASE = "correct horse battery staple"
CASH_MICRO_MAX = 10_000
"""What rounding of single fills may add up to: a cent."""
RETRYING = "SELECT id FROM fills WHERE state = 'retrying'"
LIVE = {"name": ACCOUNT, "venue": "polymarket", "mode": "live"}
WRONG = {"contradiction", "unrecognised_order", "second_writer", "revived_order", "overfilled"}


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[LivePrograms]:
    made = LivePrograms(tmp_path)
    made.fake()
    yield made
    made.end()


def quotes(programs: LivePrograms) -> int:
    """How many orders the venue has ever taken."""
    sql = "SELECT count(*) FROM orders WHERE state NOT IN ('pending', 'sent', 'rejected')"
    return int(str(programs.rows(sql)[0][0]))


def resumes(programs: LivePrograms, after: str, seconds: float = 120.0) -> None:
    before = quotes(programs)
    programs.until(lambda: quotes(programs) > before, f"it quotes again after {after}", seconds)


def started(programs: LivePrograms) -> None:
    left = programs.command(StartBot(bot=BotId(BOT)))
    assert left.state is CommandState.DONE, left.answer
    resumes(programs, "its start")


def stopped(programs: LivePrograms, engine: subprocess.Popen[bytes]) -> None:
    """Stop the engine; nothing may be left, and the venue's judges must have been silent."""
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(LONG_S) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    assert programs.open_orders() == 0
    assert programs.problems() == []
    assert not WRONG & {str(kind) for (kind,) in programs.rows("SELECT kind FROM alerts")}


def rest(programs: LivePrograms, count: int) -> None:
    """Place orders by hand, far from the touch, until so many of them rest.

    A beat proves no book: what is asked for before the market was received is refused, and what
    rests while a book is doubted is cancelled, and rightly. The crowd sells to whoever bids, fifty
    shares at most: each order is worth thirty of them, or none would last.
    """
    (rain,) = (InstrumentId(name) for name in programs.conditions(RAIN))
    end = time.monotonic() + 120
    while missing := count - programs.open_orders():
        assert missing > 0, "more rest than were asked for"
        stored = programs.rows("SELECT state, answer FROM commands")
        assert time.monotonic() < end, f"{missing} do not rest: {stored}"
        for number in range(missing):
            programs.command(
                PlaceManual(
                    account=ACCOUNT, instrument=rain, leg=Leg.YES, side=Side.BUY,
                    price=100 * (1 + number % 5), size=1_500 * SHARE,
                )
            )  # fmt: skip


def test_locked_account_stays_closed_in_words(programs: LivePrograms) -> None:
    programs.prepare(unlocked=False)
    programs.engine()
    programs.until(lambda: programs.rows("SELECT kind FROM alerts"), "a person is told")
    log = (programs.home / "run.log").read_text()
    assert "is live and locked: its doctor must be green and its phrase typed" in log
    assert programs.hand("/invariants")["verified"].get("l1", 0) == 0


def opened(programs: LivePrograms) -> None:
    """Open the vault of the engine that runs: until then the account stands blind."""
    locked = "SELECT text FROM alerts WHERE kind = 'vault_locked'"
    programs.until(lambda: programs.rows(locked), "it says that its vault is locked")
    assert "account.open" not in (programs.home / "run.log").read_text()
    wrong = programs.open_vault("not the passphrase at all")
    assert wrong.state is CommandState.FAILED
    assert "does not open the vault" in wrong.answer
    other = OpenVault(sealed=vault.sealed_passphrase(PASSPHRASE, bytes(range(1, 33))))
    assert "not sealed for this start" in programs.command(other).answer
    typed = subprocess.run(
        [sys.executable, "-m", "engine", "credentials", "open"],
        cwd=REPOSITORY,
        env={**os.environ, "PITBOSS_HOME": str(programs.home)},
        input=PASSPHRASE.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert typed.stdout.decode().strip() == "the vault is open: real connects"
    assert "open already" in programs.open_vault(PASSPHRASE).answer


@pytest.mark.long
def test_account_trades_through_trouble_and_proves_its_kill(programs: LivePrograms) -> None:
    programs.prepare()
    programs.keep_in_vault(PASSPHRASE)
    engine = programs.engine(secret=False)
    opened(programs)
    started(programs)
    programs.hand("/sockets", {"channel": "user", "do": "abort"})
    resumes(programs, "a cut of the user channel")
    programs.hand("/mode", {"restart": True, "down_s": 2, "post_only_s": 2})
    resumes(programs, "a restart of the venue")
    for script in ("rate_limited", "lost_order_500", "not_ready"):
        programs.hand("/faults", {"script": script, "for_s": 2})
        resumes(programs, script)

    engine.send_signal(signal.SIGUSR1)
    programs.until(
        lambda: (receipt := programs.receipt(KILL_PROOF)) and receipt.proven, "the KILL is proven"
    )
    assert programs.open_orders() == 0
    why = "no heartbeat is sent: the KILL latch is set"
    programs.until(lambda: (beat := programs.heartbeat()) and beat.reason == why, "no more beats")
    stopped(programs, engine)


@pytest.mark.long
def test_killed_engine_leaves_nothing_and_recovers(programs: LivePrograms) -> None:
    programs.fork = False  # one desk takes its key out of a program's own environment
    programs.prepare()
    engine = programs.engine()
    programs.until(lambda: (one := programs.heartbeat()) and one.beat_ns, "it beats")
    rest(programs, RESTING)
    programs.until(lambda: (one := programs.heartbeat()) and not one.reason, "it still beats")

    engine.kill()
    engine.wait(150)
    programs.until(lambda: programs.hand()["lapsed"], "the venue cancelled them")
    ((_, _, cancelled),) = programs.hand()["lapsed"]
    assert cancelled == RESTING
    assert programs.open_orders() == 0

    engine = programs.engine()
    programs.until(lambda: programs.live() == 0, "every order has its end")
    started(programs)
    stopped(programs, engine)


def dies_with_a_fill_under_way(programs: LivePrograms, engine: subprocess.Popen[bytes]) -> str:
    """End the engine while one of its fills is about to fail; give the fill."""
    programs.hand("/settings", {"mined_ms": [1_000, 2_000], "confirmed_ms": [8_000, 9_000]})
    programs.hand("/settle", {"next": ["FAILED"] * 3, "customers": True})
    doomed: list[str] = []

    def one_is_doomed() -> bool:
        # The storm lets others retry, and those are confirmed: the venue knows which is which.
        failing = tuple(programs.hand()["failing"])
        retrying = (str(fill) for (fill,) in programs.rows(RETRYING))
        doomed[:] = [fill for fill in retrying if fill.startswith(failing)]
        return bool(doomed)

    programs.until(one_is_doomed, "a fill of ours is about to fail", 300.0)
    engine.kill()
    engine.wait(150)
    programs.hand("/settings", {"mined_ms": [1_500, 4_000], "confirmed_ms": [500, 2_500]})
    return doomed[0]


def books_agree(programs: LivePrograms) -> dict[str, int]:
    """The venue's ledger is the judge of ours, in the journal and in the state; what ended how."""
    served = programs.hand()
    tokens = {
        token: (InstrumentId(f"polymarket:{market['condition']}"), leg)
        for market in served["markets"]
        for token, leg in zip(market["tokens"], (Leg.YES, Leg.NO), strict=True)
    }
    address = wallet(signer(SIGNER), 0)
    held = programs.hand("/wallet", {"wallet": address, "signer": signer(SIGNER).address})
    executor, _ = executor_of(AccountSettings.model_validate(LIVE), 0)
    recover(programs.home / "journal.db", {ACCOUNT: executor})
    mine = {
        (key, leg): size
        for key, holding in executor.ledger.held.items()
        for leg, size in ((Leg.YES, holding.yes_settled), (Leg.NO, holding.no_settled))
        if size
    }
    assert mine == {tokens[token]: size for token, size in held["tokens"].items() if size}
    state = executor.ledger.state
    assert (state.cash_pending_micro, held["cash"]["pending"]) == (0, 0)
    assert abs(state.cash_settled_micro - held["cash"]["settled"]) <= CASH_MICRO_MAX
    sql = "SELECT state, count(*) FROM fills GROUP BY state"
    ends = {str(end): int(str(count)) for end, count in programs.rows(sql)}
    assert ends == served["settled"], "each end was told once, and each was received"
    return ends


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_storm_of_every_fault_leaves_the_judges_silent(programs: LivePrograms) -> None:
    minutes = float(os.environ.get("SOAK_MINUTES", "30"))
    programs.prepare()
    engine = programs.engine()
    started(programs)
    programs.hand("/storm", {"every_s": 30, "for_s": 8})
    end = time.monotonic() + 60 * minutes
    died_s, void = time.monotonic() + 30 * minutes, ""
    while time.monotonic() < end:
        time.sleep(5)
        assert engine.poll() is None
        assert programs.problems() == []
        if not void and time.monotonic() > died_s:
            void = dies_with_a_fill_under_way(programs, engine)
            engine = programs.engine()
            resumes(programs, "its death", 400.0)
    programs.hand("/storm", {"stop": True})
    resumes(programs, "the storm", 400.0)
    programs.command(StopBot(bot=BotId(BOT)))
    under_way = "SELECT 1 FROM fills WHERE state NOT IN ('confirmed', 'failed')"
    programs.until(
        lambda: not programs.hand()["settling"] and not programs.rows(under_way), "all is settled"
    )
    stopped(programs, engine)
    ends = books_agree(programs)
    assert programs.rows(f"SELECT state FROM fills WHERE id = '{void}'") == [("failed",)]
    assert programs.rows("SELECT 1 FROM alerts WHERE kind = 'equity_differs'") == []
    struck = programs.hand("/storm", {"stop": True})["struck"]
    print(f"{minutes} minutes, {len(struck)} strikes, our fills by end: {ends}")
    assert ends["failed"] >= minutes / 3


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_quotes_of_a_dead_engine_end_by_themselves_without_the_heartbeat(
    programs: LivePrograms,
) -> None:
    programs.prepare(quote_life_s=240)
    programs.hand("/settings", {"beat_timeout_s": 1e6})
    engine = programs.engine()
    started(programs)
    minutes = "SELECT count(DISTINCT created_ns / 60000000000) FROM orders WHERE type = 'gtd'"
    programs.until(lambda: programs.rows(minutes)[0][0] == 5, "they are renewed", 400.0)
    assert programs.rows("SELECT 1 FROM orders WHERE type != 'gtd' OR state = 'expired'") == []
    owner = {"wallet": wallet(signer(SIGNER), 0), "signer": signer(SIGNER).address}
    programs.until(lambda: programs.hand("/wallet", owner)["cash"]["reserved"], "some rest")
    engine.kill()
    engine.wait(150)
    for skip_ms in (120_000, 65_000):
        programs.hand("/clock", {"skip_ms": skip_ms})
    assert programs.hand("/wallet", owner)["cash"]["reserved"] == 0
    assert programs.hand()["lapsed"] == []
