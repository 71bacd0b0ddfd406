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


SAMPLED = """
import pytest

@pytest.mark.sampled(2)
@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.soak), 2, 3, 4])
def test_of_many(number):
    pass

@pytest.mark.long
def test_long():
    pass

def test_short():
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


MARKERS = "recordings: needs data", "long: .", "soak: .", "sampled(n): ."


def run(pytester: pytest.Pytester, tests: str = TESTS, *options: str) -> pytest.RunResult:
    pytester.makeini("\n    ".join(("[pytest]\nmarkers =", *MARKERS)))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(tests)
    plugins = ("-p", "no:randomly", "-p", "no:asyncio")
    return pytester.runpytest_inprocess(*plugins, "-rs", *options)


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


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("not soak and not long", ["test_of_many[0]", "test_of_many[2]", "test_short"]),
        ("long and not soak", ["test_of_many[3]", "test_of_many[4]", "test_long"]),
        ("soak", ["test_of_many[1]"]),
    ],
)
def test_of_a_sampled_function_the_first_cases_run_and_the_others_are_long(
    pytester: pytest.Pytester, chosen: str, names: list[str]
) -> None:
    result = run(pytester, SAMPLED, "-m", chosen, "-v")
    result.assert_outcomes(passed=len(names), deselected=6 - len(names) + 1)
    result.stdout.fnmatch_lines([f"*{name.replace('[', '[[]')} PASSED*" for name in names])


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
