"""An engine that is asked to end while it still starts ends in order, with a receipt."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.commands import STOP_PROOF
from tests.live.programs import Programs, prepare
from tests.ports import free_port


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    made.fork = False  # as an operator's: it imports what it needs
    prepare(made.state)
    made.demo()
    yield made
    made.end()


def holds(program: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Say whether a program lets a signal wait (`SigBlk` of proc_pid_status(5))."""
    status = Path("/proc") / str(program.pid) / "status"
    (blocked,) = (
        line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigBlk")
    )
    return bool(int(blocked, 16) >> (number - 1) & 1)


def test_what_asks_it_to_end_during_its_imports_waits_for_its_proof(programs: Programs) -> None:
    engine = programs.engine()
    both = (signal.SIGTERM, signal.SIGINT)
    programs.until(lambda: all(holds(engine, one) for one in both), "its imports have begun")
    assert programs.rows("SELECT 1 FROM engine_phases") == [], "it has not begun to trade"
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(60) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    phases = [phase for (phase,) in programs.rows("SELECT phase FROM engine_phases ORDER BY at_ns")]
    assert phases[-1] == "STOPPED"
