"""The Engine page: stopped, started and restarted through supervisor, with proof and phases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from pages import engine as page_module
from pages.kit.words import NOTHING
from storage.commands import STOP_PROOF, Receipt, keep_receipt
from storage.database import transaction, writing
from storage.phases import EnginePhase, put_phase
from storage.users import ENGINE_ID
from storage.views import audit
from tests.fakes.supervisor import FakeSupervisor
from tests.pages.conftest import Supervise
from tests.pages.seen import texts
from tests.pages.test_asking import desk, press

__all__ = ["desk"]

Opened = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = page_module.SwitchWork()
    monkeypatch.setattr(page_module, "WORK", made)
    yield made
    done(made)


def done(work: Any) -> None:
    end = time.monotonic() + 20
    while work.what:
        assert time.monotonic() < end, work.what
        time.sleep(0.01)


def leaves_proof(config: Config, supervisor: FakeSupervisor, *, proven: bool) -> None:
    """Let a stop leave the receipt an engine would."""

    def stop() -> None:
        now_ns = time.time_ns()
        receipt = Receipt(
            id="stop-1", who="engine", reason="engine stops", latched_ns=now_ns,
            first_cancel_ns=None, reported_ns=now_ns, proven=proven, accounts=(),
        )  # fmt: skip
        with writing(config.state_path) as connection, transaction(connection):
            keep_receipt(connection, ENGINE_ID, STOP_PROOF, receipt)

    supervisor.on_stop = stop


def test_without_a_desk_it_says_what_starts_one(opened: Opened) -> None:
    shown = texts(opened("engine"))
    assert "NO DESK IS RUNNING HERE" in shown
    assert "No engine has run here yet" in shown


def test_an_engine_without_a_supervisor_is_stopped_where_it_was_started(
    opened: Opened, desk: Config
) -> None:
    page = opened("engine")
    assert "stopped where it was started" in texts(page)
    assert not page.button


@pytest.mark.parametrize("proven", [True, False])
def test_a_stop_asks_first_and_shows_its_proof(
    opened: Opened, desk: Config, supervise: Supervise, work: Any, proven: bool
) -> None:
    supervisor = supervise("RUNNING")
    leaves_proof(desk, supervisor, proven=proven)
    page = press(opened("engine"), "Stop the engine")
    assert supervisor.programs["engine"] == "RUNNING"
    assert "Cancels 0 open orders of all accounts, proves it and ends the engine" in texts(page)
    press(page, "CONFIRM STOP")
    done(work)
    shown = texts(page.run())
    assert supervisor.programs["engine"] == "STOPPED"
    assert ("NOT PROVEN: " in shown) is not proven
    assert "is open at 0 accounts" in shown if proven else True
    assert [one.label for one in page.error] == [] if proven else len(page.error) == 1
    with writing(desk.state_path) as connection:
        (row,) = (one for one in audit(connection, ENGINE_ID) if one["what"] == "engine stop")
    assert row["who"] == "operator"


def test_it_is_kept_as_it_is_where_the_question_is_declined(
    opened: Opened, desk: Config, supervise: Supervise
) -> None:
    supervisor = supervise("RUNNING")
    page = press(press(opened("engine"), "Stop the engine"), "Leave it as it is")
    assert supervisor.programs["engine"] == "RUNNING"
    assert [one.label for one in page.button] == ["Stop the engine", "Restart the engine"]


def test_a_restart_may_pause_every_bot_and_another_page_sees_it_under_way(
    opened: Opened, desk: Config, supervise: Supervise, work: Any
) -> None:
    supervisor, goes_on = supervise("RUNNING"), threading.Event()
    supervisor.on_stop = lambda: goes_on.wait(20) and None
    page = opened("engine")
    page.toggle[0].set_value(True).run()
    page = press(page, "Restart the engine").run().run()  # as each refresh draws it
    assert "then starts it with every bot paused" in texts(page)
    page = press(page, "Leave it as it is").run()
    assert page.toggle[0].value is True
    press(press(page, "Restart the engine").run(), "CONFIRM RESTART")
    assert work.what == "restart"
    supervisor.programs["engine"] = "RUNNING"
    goes_on.set()
    done(work)
    shown = texts(page.run())
    assert "this stop left no receipt" in shown
    assert "started; every bot that would trade is paused" in shown
    assert desk.start_paused_path.is_file()
    assert supervisor.programs["engine"] == "RUNNING"


def test_a_start_that_fails_says_why(
    opened: Opened, desk: Config, supervise: Supervise, work: Any
) -> None:
    supervise("FATAL")
    (desk.run_folder / "last_error").write_text("the vault is locked\n")
    page = press(press(opened("engine"), "Start the engine"), "CONFIRM START")
    done(work)
    (error,) = page.run().error
    assert error.value == "the engine does not start: the vault is locked"


def test_phases_say_how_long_each_lasted_where_its_end_is_kept(
    opened: Opened, desk: Config
) -> None:
    second = 1_000_000_000
    kept = ((0, "INIT", 7), (5, "RUNNING", 7), (60, "INIT", 8), (62, "STOPPING", 8),
            (63, "STOPPED", 8))  # fmt: skip
    with writing(desk.state_path) as connection, transaction(connection):
        for at_s, phase, pid in kept:
            one = EnginePhase(at_ns=(1_000 + at_s) * second, phase=phase, reason="", pid=pid)
            put_phase(connection, ENGINE_ID, one)
    (frame,) = (one.value for one in opened("engine").dataframe)
    assert list(frame["lasted"]) == [NOTHING, "1.0 s", "2.0 s", NOTHING, "5.0 s"]
    assert frame["phase"].iloc[0] == "STOPPED"
    assert frame["reason"].iloc[2] == "the engine before it ended in RUNNING, without a stop"
