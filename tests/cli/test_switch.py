"""The engine's own switch: started and stopped through the supervisor, with the stop's receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from engine.__main__ import main
from engine.cli import switch
from engine.clock import WallClock
from storage.commands import STOP_PROOF, Receipt, keep_receipt
from storage.database import transaction, writing
from storage.schema import migrate
from storage.users import ENGINE_ID

NOT_RUNNING = 70
ABNORMAL_TERMINATION = 40


class Supervisor:
    """Answers as supervisord does for one program; a stop leaves the receipt it is given."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runs = True
        self.starts = True
        self.proven: bool | None = True
        """Of the receipt a stop leaves; None = it leaves none."""

    def __call__(self, method: str, name: str, wait: bool = True) -> Any:
        assert (name, wait) == ("engine", True)
        found: Any = getattr(self, method)()
        return found

    def getProcessInfo(self) -> dict[str, Any]:  # noqa: N802 supervisor's name
        return {"statename": "RUNNING" if self.runs else "STOPPED", "pid": 7 * self.runs}

    def startProcess(self) -> bool:  # noqa: N802 supervisor's name
        if not self.starts:
            raise Fault(ABNORMAL_TERMINATION, "ABNORMAL_TERMINATION: engine")
        self.runs = True
        return True

    def stopProcess(self) -> bool:  # noqa: N802 supervisor's name
        if not self.runs:
            raise Fault(NOT_RUNNING, "NOT_RUNNING: engine")
        self.runs, now_ns = False, WallClock().now_ns()
        if self.proven is not None:
            receipt = Receipt(
                id="stop-1", who="engine", reason="engine stops", latched_ns=now_ns,
                first_cancel_ns=None, reported_ns=now_ns, proven=self.proven, accounts=(),
            )  # fmt: skip
            with writing(self.home / "pitboss.db") as connection, transaction(connection):
                keep_receipt(connection, ENGINE_ID, STOP_PROOF, receipt)
        return True


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    migrate(tmp_path / "pitboss.db")
    (tmp_path / "run").mkdir()
    made = Supervisor(tmp_path)
    monkeypatch.setattr(switch, "supervisor", lambda _: made)
    return made


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["switch", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_stop_gives_its_receipt(desk: Supervisor, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = said(capsys, "stop")
    assert (code, answer["proven"], desk.runs) == (0, True, False)
    assert answer["text"].startswith("PROVEN: nothing of ours is open at 0 accounts; ")
    assert answer["text"].endswith(" s; stopped")
    code, answer = said(capsys, "stop")
    assert (code, answer["ran"], answer["text"]) == (0, False, "the engine was not running")


@pytest.mark.parametrize("proven", [False, None])
def test_a_stop_without_a_proof_is_never_called_one(
    desk: Supervisor, capsys: pytest.CaptureFixture[str], proven: bool | None
) -> None:
    assert said(capsys, "stop")[0] == 0  # the receipt of an earlier stop proves nothing of this one
    desk.runs, desk.proven = True, proven
    code, answer = said(capsys, "stop")
    assert (code, answer["proven"]) == (1, False)
    assert "NOT PROVEN" in answer["text"]


def test_a_restart_stops_with_its_proof_and_starts_paused_where_asked(
    desk: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = said(capsys, "restart", "--paused")
    assert (code, answer["proven"], answer["paused"], desk.runs) == (0, True, True, True)
    assert (desk.home / "run" / "start_paused").is_file()


def test_an_engine_that_runs_is_not_started_again_nor_paused(
    desk: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = said(capsys, "start", "--paused")
    assert (code, answer["reason"]) == (3, "already_runs")
    assert not (desk.home / "run" / "start_paused").exists()


def test_an_engine_that_does_not_start_says_why(
    desk: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.runs = desk.starts = False
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
