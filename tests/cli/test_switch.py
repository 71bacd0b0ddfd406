"""The engine's own switch: started and stopped through the supervisor, with the stop's receipt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xmlrpc.client import Fault

import pytest

from engine.__main__ import main
from engine.cli.start_watch import ended
from engine.clock import WallClock
from storage import switch
from storage.commands import STOP_PROOF, Receipt, keep_receipt
from storage.database import reading, transaction, writing
from storage.phases import EnginePhase, put_phase
from storage.schema import check_schema, migrate
from storage.supervisor import SHUTTING_DOWN, socket_in
from storage.users import ENGINE_ID
from storage.views import audit
from tests.fakes.supervisor import FakeSupervisor, supervised


class SwitchedDesk:
    """A desk whose supervisor is the fake one; a stop leaves the receipt it is given."""

    def __init__(self, home: Path, supervisor: FakeSupervisor) -> None:
        self.home = home
        self.supervisor = supervisor
        self.proven: bool | None = True
        """Of the receipt a stop leaves; None = it leaves none."""
        supervisor.on_stop = self._leave_receipt

    @property
    def runs(self) -> bool:
        return self.supervisor.programs["engine"] == "RUNNING"

    def _leave_receipt(self) -> None:
        if self.proven is None:
            return
        now_ns = WallClock().now_ns()
        receipt = Receipt(
            id="stop-1", who="engine", reason="engine stops", latched_ns=now_ns,
            first_cancel_ns=None, reported_ns=now_ns, proven=self.proven, accounts=(),
        )  # fmt: skip
        with writing(self.home / "pitboss.db") as connection, transaction(connection):
            keep_receipt(connection, ENGINE_ID, STOP_PROOF, receipt)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SwitchedDesk]:
    with TemporaryDirectory(prefix="pb") as folder:  # a socket's name has about a hundred bytes
        home = Path(folder)
        monkeypatch.setenv("PITBOSS_HOME", folder)
        migrate(home / "pitboss.db")
        with supervised(socket_in(home / "run"), engine="RUNNING") as supervisor:
            yield SwitchedDesk(home, supervisor)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["switch", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_stop_gives_its_receipt(desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = said(capsys, "stop")
    assert (code, answer["proven"], desk.runs) == (0, True, False)
    assert answer["text"].startswith("PROVEN: nothing of ours is open at 0 accounts; ")
    assert answer["text"].endswith(" s; stopped")
    code, answer = said(capsys, "stop")
    assert (code, answer["ran"], answer["text"]) == (0, False, "the engine was not running")


@pytest.mark.parametrize("proven", [False, None])
def test_a_stop_without_a_proof_is_never_called_one(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str], proven: bool | None
) -> None:
    assert said(capsys, "stop")[0] == 0  # the receipt of an earlier stop proves nothing of this one
    desk.supervisor.programs["engine"], desk.proven = "RUNNING", proven
    code, answer = said(capsys, "stop")
    assert (code, answer["proven"]) == (1, False)
    assert "NOT PROVEN" in answer["text"]


@pytest.mark.parametrize(
    ("since", "proven"),
    [((), True), (("INIT", "LOADING"), True), (("INIT", "LOADING", "RECONCILING"), False)],
)
def test_a_stop_before_any_account_was_opened_stands_by_the_proof_before_it(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str], since: tuple[str, ...], proven: bool
) -> None:
    assert said(capsys, "stop")[0] == 0
    with writing(desk.home / "pitboss.db") as connection, transaction(connection):
        for phase in ("STOPPED", *since):
            entered = EnginePhase(at_ns=WallClock().now_ns(), phase=phase, reason="", pid=7)
            put_phase(connection, ENGINE_ID, entered)
    desk.supervisor.programs["engine"], desk.proven = "RUNNING", None
    code, answer = said(capsys, "stop")
    assert (code, answer["proven"]) == (int(not proven), proven)
    before = "before it had opened an account. Of the stop before it: PROVEN: nothing of ours"
    assert (before in answer["text"]) is proven
    assert ("left no receipt" in answer["text"]) is not proven


def test_a_restart_stops_with_its_proof_and_starts_paused_where_asked(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = said(capsys, "restart", "--paused")
    assert (code, answer["proven"], answer["paused"], desk.runs) == (0, True, True, True)
    assert (desk.home / "run" / "start_paused").is_file()


def test_an_engine_that_runs_is_not_started_again_nor_paused(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = said(capsys, "start", "--paused")
    assert (code, answer["reason"]) == (3, "already_runs")
    assert not (desk.home / "run" / "start_paused").exists()


def test_a_start_brings_an_older_state_up_to_date_and_keeps_the_one_before(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    state = desk.home / "pitboss.db"
    with writing(state) as connection:
        connection.execute("DROP TABLE run_notes")
    desk.supervisor.programs |= {"engine": "STOPPED", "worker": "RUNNING", "watch": "STOPPED"}
    code, answer = said(capsys, "start")
    assert (code, desk.runs) == (0, True)
    check_schema(state)
    (kept,) = desk.home.glob("pitboss.was-*.db")
    assert f"worker started again with it, the one before is kept in {kept}" in answer["text"]
    moved = [one[:2] for one in desk.supervisor.asked if one[0] in ("stopProcess", "startProcess")]
    assert moved == [("stopProcess", "worker"), ("startProcess", "worker"),
                     ("startProcess", "engine")]  # fmt: skip
    assert said(capsys, "restart")[1]["text"].count("up to date") == 0


def test_an_engine_that_does_not_start_says_why(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.supervisor.programs["engine"] = "FATAL"
    (desk.home / "run" / "last_error").write_text("the vault is locked\n")
    code, answer = said(capsys, "start")
    assert (code, answer["reason"]) == (3, "not_started")
    assert answer["text"] == "the engine does not start: the vault is locked"


def test_without_a_desk_it_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    code, answer = said(capsys, "start")
    assert (code, answer["reason"]) == (1, "no_engine")
    assert "start it with `make run`" in answer["text"]


def test_down_stops_the_engine_with_its_proof_then_the_supervisor(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    def shutdown() -> bool:
        assert not desk.runs
        socket_in(desk.home / "run").unlink()
        return True

    desk.supervisor.register_function(shutdown, "supervisor.shutdown")
    assert main(["down"]) == 0
    assert capsys.readouterr().out.startswith("PROVEN: nothing of ours is open at 0 accounts")
    assert main(["down"]) == 1
    assert "start it with `make run`" in capsys.readouterr().err


@pytest.mark.parametrize("proven", [True, False, None])
def test_the_end_of_a_desk_says_what_its_stop_has_proven(
    desk: SwitchedDesk, proven: bool | None
) -> None:
    desk.proven = proven
    desk.supervisor.on_stop()
    desk.supervisor.programs["engine"] = "EXITED"
    said = ended(desk.home, desk.home / "pitboss.db", WallClock().now_ns)
    begins = {True: "PROVEN: nothing of ours", False: "NOT PROVEN: ", None: ""}
    assert said.startswith(begins[proven])
    assert bool(said) is (proven is not None)


def test_the_end_of_a_desk_without_a_proof_of_an_engine_that_ran_says_so(
    desk: SwitchedDesk,
) -> None:
    said = ended(desk.home, desk.home / "pitboss.db", WallClock().now_ns, end_s=0.2)
    assert "NOT PROVEN: this stop left no receipt" in said


def test_each_step_stands_in_the_audit_with_who_typed_it(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "restart", "--paused")[0] == 0
    with reading(desk.home / "pitboss.db") as connection:
        rows = [row for row in audit(connection, ENGINE_ID) if row["what"].startswith("engine ")]
    steps = {row["what"]: (row["who"], json.loads(row["detail"])["said"]) for row in rows}
    assert steps.keys() == {"engine stop", "engine start"}
    assert all(who.startswith("cli:") for who, _ in steps.values())
    assert steps["engine stop"][1].endswith("; stopped")
    assert "every bot that would trade is paused" in steps["engine start"][1]


def test_a_step_that_the_audit_cannot_take_is_done_and_says_so(
    desk: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.supervisor.programs["engine"] = "STOPPED"
    (desk.home / "pitboss.db").unlink()
    code, answer = said(capsys, "start")
    assert code == 0
    assert "the audit could not take it" in answer["text"]
    assert desk.runs


def phase(desk: SwitchedDesk, name: str) -> None:
    entered = EnginePhase(at_ns=WallClock().now_ns(), phase=name, reason="", pid=7)
    with writing(desk.home / "pitboss.db") as connection, transaction(connection):
        put_phase(connection, ENGINE_ID, entered)


@pytest.fixture
def ending(desk: SwitchedDesk, monkeypatch: pytest.MonkeyPatch) -> SwitchedDesk:
    """A desk all of which ends: supervisor answers nothing else, its engine stops in a second."""
    desk.supervisor.fault = Fault(SHUTTING_DOWN, "SHUTDOWN_STATE")
    phase(desk, "RUNNING")

    left = iter(range(3, -1, -1))

    def sleep(_seconds: float) -> None:
        if next(left, None) == 0:
            desk.supervisor.on_stop()
            phase(desk, "STOPPED")

    monkeypatch.setattr(switch.time, "sleep", sleep)
    return desk


@pytest.mark.parametrize("proven", [True, False, None])
def test_the_proof_is_waited_for_while_supervisor_ends_all_programs(
    ending: SwitchedDesk, proven: bool | None
) -> None:
    ending.proven = proven
    said = ended(ending.home, ending.home / "pitboss.db", WallClock().now_ns)
    begins = {True: "PROVEN: nothing of ours", False: "NOT PROVEN: ", None: "stopped after"}
    assert said.startswith(begins[proven])
    assert ("NOT PROVEN: this stop left no receipt" in said) is (proven is None)


def test_down_beside_a_ctrl_c_waits_for_its_proof(
    ending: SwitchedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    ending.supervisor.register_function(
        lambda: socket_in(ending.home / "run").unlink() or True, "supervisor.shutdown"
    )
    code, answer = said(capsys, "stop")
    assert (code, answer["reason"]) == (3, "stopping")
    assert main(["down"]) == 0
    assert capsys.readouterr().out.startswith("PROVEN: nothing of ours")


def test_an_engine_stopped_long_before_the_desk_ends_is_no_stop_of_this_end(
    ending: SwitchedDesk,
) -> None:
    phase(ending, "STOPPED")
    assert ended(ending.home, ending.home / "pitboss.db", WallClock().now_ns) == ""
