"""The suite's workers: every test is run once and reported, and nothing that ends one is green."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forks on Linux")

REPOSITORY = Path(__file__).resolve().parents[1]
CONFTEST = """
import os
import pytest

@pytest.fixture(scope="session", autouse=True)
def whole_worker():
    yield
    with open(os.environ["ENDED"], "a") as ended:
        print(os.getpid(), file=ended)
"""
PASSES = """
import os

def test_has_a_folder_of_its_own(tmp_path):
    (tmp_path / "kept").touch()

def test_is_in_the_same_worker(tmp_path):
    assert not (tmp_path / "kept").exists()
"""
LASTS = """
import time

def test_takes_longer_than_a_word_to_the_process_that_prints():
    time.sleep(0.1)
"""
PAGE = """
import gc
from pathlib import Path
from streamlit.testing.v1 import app_test

OF_ALL = app_test.TMP_DIR.name

def test_its_pages_are_written_where_no_other_worker_writes(tmp_path_factory):
    assert Path(app_test.TMP_DIR.name).parent == tmp_path_factory.getbasetemp()
    gc.collect()
    assert Path(OF_ALL).is_dir(), "the other workers' is not removed by this one"
"""
FAILS = """
import pytest

def test_differs():
    print("what it printed")
    assert 1 + 1 == 3

@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail():
    assert False
"""
DIES = """
import os

def test_passes():
    pass

def test_ends_its_process():
    os._exit(7)

def test_is_not_come_to():
    pass
"""


def run(folder: Path, *arguments: str, **files: str) -> tuple[int, str]:
    """Run a suite of these files with two workers; return its exit code and what it printed."""
    for name, source in {"conftest": CONFTEST, **files}.items():
        (folder / f"{name}.py").write_text(source)
    command = (sys.executable, "-m", "pytest", "-p", "tests.workers", "-p", "no:randomly")
    ended = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", folder, "--workers", "2", *arguments, folder],
        cwd=REPOSITORY,
        env={**os.environ, "ENDED": str(folder / "ended"), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.long
def test_each_test_is_run_once_and_a_failure_is_shown_with_what_it_printed(tmp_path: Path) -> None:
    code, said = run(tmp_path, test_one=PASSES, test_two=PASSES, test_three=FAILS)
    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert re.search(r"1 failed, 4 passed, 1 xfailed in", said), said
    assert "assert (1 + 1) == 3" in said
    assert "what it printed" in said


@pytest.mark.long
def test_each_worker_ends_what_it_began(tmp_path: Path) -> None:
    code, said = run(tmp_path, test_one=PASSES, test_two=PASSES)
    assert code == pytest.ExitCode.OK, said
    ended = (tmp_path / "ended").read_text().split()
    assert 1 <= len(ended) == len(set(ended)) <= 2, "once in each worker that had a test"


def test_no_two_workers_write_the_page_under_test_to_one_file(tmp_path: Path) -> None:
    code, said = run(tmp_path, test_one=PAGE, test_two=PAGE)
    assert code == pytest.ExitCode.OK, said


@pytest.mark.long
def test_a_worker_that_dies_is_a_failure_and_never_green(tmp_path: Path) -> None:
    code, said = run(tmp_path, test_one=DIES, test_two=PASSES)
    assert code == pytest.ExitCode.INTERRUPTED, said
    assert "a worker ended with 7 in" in said
    assert re.search(r"FAILED .*test_ends_its_process", said), said
    assert "1 failed, 3 passed" in said, said


@pytest.mark.long
def test_with_x_no_file_is_begun_after_a_failure(tmp_path: Path) -> None:
    later = {f"test_z{number}": LASTS for number in range(60)}
    code, said = run(tmp_path, "-x", test_a=FAILS, **later)
    assert code == pytest.ExitCode.TESTS_FAILED, said
    passed = re.search(r"1 failed, (\d+) passed", said)
    assert passed is None or int(passed[1]) < 60, said
