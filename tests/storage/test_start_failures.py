from __future__ import annotations

from pathlib import Path

from storage.supervisor import ProgramStatus, failures


def demo(state: str, *, stop_s: int = 0, spawn_error: str = "") -> dict[str, ProgramStatus]:
    return {"demo": ProgramStatus(state=state, stop_s=stop_s, spawn_error=spawn_error)}


def test_what_starts_and_what_runs_is_no_failure(tmp_path: Path) -> None:
    assert failures(demo("STARTING") | {"worker": demo("RUNNING")["demo"]}, tmp_path) == {}


def test_a_program_without_a_log_is_named_with_what_the_supervisor_says(tmp_path: Path) -> None:
    found = failures(demo("FATAL", spawn_error="can't find command '/My'"), tmp_path)["demo"]
    assert found.startswith("DEMO DOES NOT START: can't find command '/My'; it is not tried again")


def test_a_program_that_was_started_again_is_named_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "demo.log").write_text("one\nport 8611 cannot be used\n")
    found = failures(demo("RUNNING", stop_s=7), tmp_path)["demo"]
    assert found.startswith("DEMO DOES NOT START: port 8611 cannot be used; it is tried again.")


def test_what_is_logged_while_all_is_well_is_no_reason(tmp_path: Path) -> None:
    """A program that was killed has told none."""
    log = tmp_path / "demo.log"
    log.write_text('one\n{"time":"now","level":"info","event":"account.open"}\n')
    found = failures(demo("EXITED"), tmp_path)["demo"]
    assert found.startswith("DEMO DOES NOT START; it is not tried again.")
    log.write_text('{"level":"error","event":"journal refused"}\n')
    assert "journal refused" in failures(demo("EXITED"), tmp_path)["demo"]
