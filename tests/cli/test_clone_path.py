"""A clone in a folder as people name them: spaces, quotes, per cent, other letters, a link."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from storage.supervisor import FAILURES, programs, socket_in
from tests.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = 'My 100% "Pro\'jects" ; %(here)s ü'
LONG_S = 150
PROGRAMS = {"engine": "RUNNING", "demo": "RUNNING", "worker": "RUNNING", "dashboard": "RUNNING"}


@pytest.fixture
def clone() -> Iterator[Path]:
    """Return a link to a copy of the sources, with the packages that are here.

    Its path is short in all: a socket's name has about a hundred bytes.
    """
    top = Path(tempfile.mkdtemp(prefix="pb"))
    copied = top / FOLDER / "p"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if not name.startswith("tests/") and (REPOSITORY / name).is_file():
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, copied / name)
    for compiled in REPOSITORY.rglob("__pycache__"):  # what is proven is the path, not a compiler
        place = copied / compiled.relative_to(REPOSITORY)
        if place.parent.is_dir() and ".venv" not in compiled.parts:
            shutil.copytree(compiled, place)
    (copied / ".venv").symlink_to(Path(sys.prefix))
    link = top / FOLDER / "a link"
    link.symlink_to(copied)
    yield link
    shutil.rmtree(top)


def states(home: Path) -> dict[str, str]:
    try:
        found = programs(socket_in(home / "run"))
    except FAILURES:
        return {}
    return {name: one.state for name, one in found.items() if name in PROGRAMS}


@contextmanager
def started(clone: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the desk as an operator does; what it says stands in `told`."""
    environment = {name: text for name, text in os.environ.items() if name != "PITBOSS_HOME"}
    ports = f"ARGS=--port {free_port()} --demo-port {free_port()}"
    with (clone / "told").open("wb") as told:
        desk = subprocess.Popen(
            ["make", "run", ports],
            cwd=clone,
            env={**environment, "PWD": str(clone)},
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    try:
        yield desk
    finally:
        with suppress(ProcessLookupError):
            os.killpg(desk.pid, signal.SIGTERM)
        desk.wait(LONG_S)


@pytest.mark.long
def test_make_run_starts_the_desk_wherever_the_clone_lies_and_says_what_does_not_start(
    clone: Path,
) -> None:
    lock = clone / "var/demo/lock"
    lock.mkdir(parents=True)
    with started(clone) as desk:
        end = time.monotonic() + LONG_S
        while "DEMO DOES NOT START" not in (said := (clone / "told").read_text()):
            assert desk.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.1)
        assert "lock" in said
        assert "tried again. More in " in said
        lock.rmdir()
        while (found := states(clone / "var")) != PROGRAMS:
            said = (clone / "told").read_text()
            assert desk.poll() is None, said
            assert time.monotonic() < end, found
            time.sleep(0.1)
    assert (clone / "told").read_text().count("DOES NOT START") == said.count("DOES NOT START")
