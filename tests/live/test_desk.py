"""The live desk as processes: demo exchange and engine on a port of their own, KILL and crashes."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.cli.explain import verify_home, words
from engine.config import Config
from engine.domain.commands import PlaceManual, ReleaseLatch, ResumeBot, StartBot
from engine.domain.inputs import KIND
from engine.domain.instruments import Leg, Side
from engine.lab.explain.plans import PlanVerification
from engine.runtime.tape import read
from storage.commands import KILL_PROOF, STOP_PROOF, CommandState
from storage.decisions import StoredPlan, kept
from tests.live.desk import found_at_start
from tests.live.programs import (
    ACCOUNT,
    APART,
    BOT,
    LONG_S,
    Programs,
    ledger_of_the_exchange,
    prepare,
)
from tests.ports import free_port
from tests.storage.kept import rewrite


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    made.fork = False
    prepare(made.state)
    yield made
    made.end()


def test_desk_trades_survives_a_crash_and_proves_its_kill(programs: Programs) -> None:
    programs.demo()
    engine = programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")

    engine.kill()
    engine.wait(150)
    before = programs.count("orders")
    engine = programs.engine()
    programs.until(lambda: programs.count("orders") > before, "it trades again by itself")
    connection = sqlite3.connect(programs.state)
    found = found_at_start(connection)
    told = "SELECT count FROM alerts WHERE kind = 'ended_without_stop'"
    assert connection.execute(told).fetchall() == [(1,)]
    connection.close()
    assert found["bots"] == {BOT: "starting"}
    assert found["records"] > 0
    programs.until(lambda: programs.live() > 0, "an order rests")

    engine.send_signal(signal.SIGUSR1)
    programs.until(lambda: programs.receipt(KILL_PROOF), "a receipt of the KILL")
    programs.until(
        lambda: (receipt := programs.receipt(KILL_PROOF)) and receipt.proven, "the KILL is proven"
    )
    proven = programs.receipt(KILL_PROOF)
    assert proven is not None
    assert proven.first_cancel_ns is not None
    assert proven.latched_ns <= proven.first_cancel_ns < proven.reported_ns
    assert asyncio.run(ledger_of_the_exchange(programs.port))[2] == 0
    assert (programs.home / "KILL").exists()
    raised = (
        "SELECT severity, count FROM alerts WHERE kind = 'kill' AND text LIKE 'KILL by signal: %'"
    )
    assert programs.rows(raised) == [("critical", 1)]
    programs.until(lambda: programs.live() == 0, "every order has its end in the projection")
    refused = programs.command(ResumeBot(bot=BOT))
    assert (refused.state, "latch is set" in refused.answer) == (CommandState.REFUSED, True)
    assert programs.command(ReleaseLatch(reason=" ")).state is CommandState.REFUSED
    assert programs.start("command", "release-latch", "reason=tested").wait(LONG_S) == 0
    assert not (programs.home / "KILL").exists()
    assert programs.command(ResumeBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests again")
    by_hand = PlaceManual(
        account=ACCOUNT, instrument=APART, leg=Leg.YES, side=Side.BUY, price=1_000, size=20_000_000
    )
    assert "is accepted and rests" in programs.command(by_hand).answer

    engine.send_signal(signal.SIGTERM)
    assert engine.wait(LONG_S) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven
    assert programs.live() == 0
    config = Config(home=programs.home)
    assert check_explained(config).by_hand == 1
    assert {entry.kind for entry in read(config.tape_folder, warn=print)} == {KIND}


def check_explained(config: Config) -> PlanVerification:
    """Every plan follows from the journal byte for byte, and a planted lie in one is found."""
    found = verify_home(config)
    assert (found.different, found.untold, found.beyond, found.unreached) == ([], 0, 0, 0)
    assert found.same + found.cut == found.plans, "what died with its engine is counted as such"
    assert found.same > 0
    rows = (one for rows in kept(config.decisions_path, oldest_first=True) for one in rows)
    row, plan = next(
        (one, one.plan)
        for one in rows
        if isinstance(one, StoredPlan) and one.plan.places and one.plan.bot == BOT
    )
    lie = msgspec.structs.replace(plan.places[0], price=plan.places[0].price + 100)
    told = msgspec.structs.replace(plan, places=(lie, *plan.places[1:]))
    rewrite(config.decisions_path, msgspec.structs.replace(row, body=msgspec.msgpack.encode(told)))
    lied = verify_home(config)
    assert [one.kept.places[0].price for one in lied.different] == [lie.price]
    assert "DIFFERENT" in words(lied)
    return found
