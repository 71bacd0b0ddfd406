from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import desk_runs

pytest_plugins = ["pytester"]

CONFTEST = (Path(__file__).parent / "conftest.py").read_text(encoding="utf-8")
TESTS = """
import pytest

@pytest.mark.recordings
def test_reads_a_day(recordings):
    assert (recordings / "here").read_text() == "data"

@pytest.mark.recordings
def test_marked_only():
    pass

def test_needs_nothing():
    pass
"""


LACKING = """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_proxy(number):
    pytest.skip("this machine has no caddy: apt-get install caddy")

@pytest.mark.skipif(True, reason="these tests need Chromium: apt-get install chromium")
def test_page():
    pass

def test_else():
    pytest.skip("not now")
"""


def run(pytester: pytest.Pytester, tests: str = TESTS) -> pytest.RunResult:
    pytester.makeini("[pytest]\nmarkers =\n    recordings: needs data\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(tests)
    return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:asyncio", "-rs")


def test_missing_recordings_skip_with_a_sentence_and_are_counted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITBOSS_DATA", str(pytester.path / "nowhere"))
    result = run(pytester)
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*2 tests skipped for lack of recordings*nowhere*PITBOSS_DATA*"])
    result.stdout.fnmatch_lines(["*SKIPPED*no recordings: test_marked_only needs*nowhere*"])


def test_recordings_are_read_from_where_the_variable_says(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "data").mkdir()
    (pytester.path / "data" / "here").write_text("data")
    monkeypatch.setenv("PITBOSS_DATA", str(pytester.path / "data"))
    result = run(pytester)
    result.assert_outcomes(passed=3)
    assert "lack of recordings" not in result.stdout.str()


def test_what_a_missing_program_left_unshown_stands_at_the_end_of_a_green_run(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, LACKING)
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines(
        [
            "*!! NOT SHOWN ON THIS MACHINE !!*",
            "1 tests skipped: these tests need Chromium: apt-get install chromium",
            "2 tests skipped: this machine has no caddy: apt-get install caddy",
        ]
    )
    assert "tests skipped: not now" not in result.stdout.str()


@pytest.mark.parametrize(("pid", "runs"), [("ours", True), ("99999999", False), ("", False)])
def test_what_a_desk_writes_that_runs_from_the_clone_is_no_test_s(
    pid: str, runs: bool, tmp_path: Path
) -> None:
    home = tmp_path / "var"
    (home / "run").mkdir(parents=True)
    (home / "run" / "supervisord.pid").write_text(str(os.getpid()) if pid == "ours" else pid)
    assert desk_runs(home) is runs
    assert not desk_runs(tmp_path)
