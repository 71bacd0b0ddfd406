"""A live account at Polymarket as processes, against the venue's fake: the account's whole life."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.commands import PlaceManual, StartBot
from engine.domain.instruments import BotId, InstrumentId, Leg, Side
from storage.commands import CommandState
from storage.live import KILL_PROOF, STOP_PROOF
from tests.live_polymarket_programs import ACCOUNT, BOT, LivePrograms
from tests.venues.polymarket.kit import RAIN

RESTING = 20
LAPSE_NS = 15 * 10**9
"""Ten silent seconds, looked for every five."""
WRONG = {"contradiction", "stranger_order", "second_writer", "zombie_order", "overfilled"}


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
    assert engine.wait(60) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    assert programs.open_orders() == 0
    assert programs.problems() == []
    assert not WRONG & {str(kind) for (kind,) in programs.rows("SELECT kind FROM alerts")}


def test_locked_account_stays_closed_in_words(programs: LivePrograms) -> None:
    programs.prepare(unlocked=False)
    programs.engine()
    programs.until(lambda: programs.rows("SELECT kind FROM alerts"), "a person is told")
    told = (programs.home / "run.log").read_text()
    assert "is live and locked: its doctor must be green and its phrase typed" in told
    assert programs.hand("/invariants")["verified"].get("l1", 0) == 0


def test_account_trades_through_trouble_and_proves_its_kill(programs: LivePrograms) -> None:
    programs.prepare()
    engine = programs.engine()
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
    why = "no beat is sent: the KILL latch is set"
    programs.until(lambda: (beat := programs.heartbeat()) and beat.reason == why, "no more beats")
    stopped(programs, engine)


def test_killed_engine_leaves_nothing_and_recovers(programs: LivePrograms) -> None:
    programs.prepare()
    engine = programs.engine()
    programs.until(lambda: (one := programs.heartbeat()) and one.beat_ns, "it beats", 120.0)
    (rain,) = (InstrumentId(name) for name in programs.conditions(RAIN))
    programs.leave(
        PlaceManual(
            account=ACCOUNT, instrument=rain, leg=Leg.YES, side=Side.BUY,
            price=100 * (1 + number % 5), size=10_000_000,
        )
        for number in range(RESTING)
    )  # fmt: skip
    # Not each at the same moment: the crowd may take one before the last one rests.
    programs.until(lambda: programs.open_orders() > RESTING // 2 + 4, "they rest", 120.0)
    programs.until(lambda: (one := programs.heartbeat()) and not one.reason, "it still beats")

    engine.kill()
    engine.wait(10)
    died_ns = time.time_ns()
    programs.until(lambda: programs.hand()["lapsed"], "the venue cancelled them")
    ((_, at_ns, cancelled),) = programs.hand()["lapsed"]
    assert RESTING // 2 < cancelled <= RESTING, "the crowd may have taken some meanwhile"
    assert at_ns - died_ns < LAPSE_NS
    assert programs.open_orders() == 0

    engine = programs.engine()
    programs.until(lambda: programs.live() == 0, "every order has its end", 120.0)
    started(programs)
    stopped(programs, engine)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_storm_of_every_fault_leaves_the_judges_silent(programs: LivePrograms) -> None:
    minutes = float(os.environ.get("SOAK_MINUTES", "30"))
    programs.prepare()
    engine = programs.engine()
    started(programs)
    programs.hand("/storm", {"every_s": 30, "for_s": 8})
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        time.sleep(5)
        assert engine.poll() is None
        assert programs.problems() == []
    programs.hand("/storm", {"stop": True})
    resumes(programs, "the storm", 400.0)
    stopped(programs, engine)
