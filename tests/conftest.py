"""What every test may rely on: the recordings' folder, and examples that are the same each time."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import structlog
from httpx._transports import default
from hypothesis import HealthCheck, settings

# What is imported lives to the end: searching it for garbage while it grows is a tenth of a start.
gc.set_threshold(200_000, 100, 100)

# Hundreds of programs are started here: each would compile all of its sources anew, for more time
# than the tests themselves take.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The homes of tests lie in memory where there is room: a disk takes milliseconds for each of the
# thousands of commits; no test pulls the plug.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

REPOSITORY = Path(__file__).resolve().parents[1]
NO_RECORDINGS = "no recordings"
"""How every skip for lack of recordings begins; the closing summary counts by it."""
TO_INSTALL = "apt-get install"
"""Stands in every skip for lack of a program; the closing summary says what was not shown."""

# The same examples in every run, here and in CI. `pytest --hypothesis-profile=explore` looks for
# new ones; what it finds goes into the test as an @example.
settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=2_000)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    """A command that ran in a test logs to that test's stream, which is closed after it.

    An engine that ran in it tuned the process for its loop: tests after it would take longer.
    """
    before, collects, switches = structlog.get_config(), gc.get_threshold(), sys.getswitchinterval()
    yield
    structlog.configure(**before)
    if gc.get_threshold() != collects:
        gc.set_threshold(*collects)
    if sys.getswitchinterval() != switches:
        sys.setswitchinterval(switches)


@pytest.fixture(scope="session", autouse=True)
def vault_work() -> Iterator[tuple[int, int, int]]:
    """Argon2id with next to no work for every vault that is made; return what is shipped.

    How much a vault took stands in its file: programs open it as quickly.
    """
    from engine.live import vault

    names = ("ITERATIONS", "LANES", "MEMORY_KIB")
    shipped = vault.ITERATIONS, vault.LANES, vault.MEMORY_KIB
    with pytest.MonkeyPatch.context() as patch:
        for name, little in zip(names, (1, 1, 8), strict=True):
            patch.setattr(vault, name, little)
        yield shipped


CACHES = ("__pycache__/", ".hypothesis/", "_cache/", ".coverage", ".venv/", ".egg-info/")
"""What tools keep in the clone."""


def desk_runs(home: Path) -> bool:
    """Say whether a person's desk runs on this home: what changes in it is none of the tests'."""
    try:
        pid = int((home / "run" / "supervisord.pid").read_text(encoding="ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError, OverflowError):
        return False
    return True


def ignored_files() -> dict[str, int]:
    """Return what git ignores in the clone but caches, with the time of its last change in ns."""
    command = ["git", "status", "--porcelain", "--ignored", "-z"]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    names = [line[3:] for line in answer.stdout.split("\0") if line.startswith("!! ")]
    kept = [
        name
        for name in names
        if not any(cache in name for cache in CACHES) and not desk_runs(REPOSITORY / name)
    ]
    found = {}
    for name in kept:
        with suppress(FileNotFoundError):  # gone since it was listed
            found[name] = (REPOSITORY / name).stat().st_mtime_ns
    return found


@pytest.fixture(scope="session", autouse=True)
def _clone_is_left_alone() -> Iterator[None]:
    """Tests write to homes of their own: what git ignores would never be seen to have changed."""
    before = ignored_files()
    yield
    written = sorted(name for name, at_ns in ignored_files().items() if before.get(name) != at_ns)
    assert written == [], "a test wrote to the clone"


@pytest.fixture(scope="session", autouse=True)
def _trust_is_read_once() -> Iterator[None]:
    """Every client of httpx reads all certificates anew, 20 ms of CPU; here none is ever needed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", cache(default.create_ssl_context))
        yield


def recordings_folder() -> Path:
    """Return where the recorded market data should be: PITBOSS_DATA, else ../shared/data."""
    named = os.environ.get("PITBOSS_DATA")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"


def _skip_without_recordings(what: str) -> Path:
    folder = recordings_folder()
    if not folder.is_dir():
        pytest.skip(f"{NO_RECORDINGS}: {what} needs {folder}; set PITBOSS_DATA to read another")
    return folder


@pytest.fixture(scope="session")
def recordings(request: pytest.FixtureRequest) -> Path:
    """Return the folder of recorded market data, or skip with the sentence that says why."""
    return _skip_without_recordings(request.node.name or "this session")


STARTS_PROGRAMS = re.compile(
    r"^(import subprocess|from (tests\.live\.(polymarket_)?programs|tests\.pages\.desks) import)",
    re.MULTILINE,
)
"""What stands in a file whose tests start programs of their own, or a browser."""

STARTING = frozenset({"played"})
"""Fixtures of whole folders that start programs for the few tests that take them."""


@cache
def _starts_programs(path: Path) -> bool:
    return STARTS_PROGRAMS.search(path.read_text(encoding="utf-8")) is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make quick` leaves out, by what their file imports and they take.

    They come first: a long file that began last would be waited for alone. Of a function marked
    `sampled(n)` the first n cases run in `make test`, the others are long.
    """
    cases = Counter[str]()
    for item in items:
        if (sampled := item.get_closest_marker("sampled")) is not None:
            function = item.nodeid.partition("[")[0]
            cases[function] += item.get_closest_marker("soak") is None
            if cases[function] > sampled.args[0]:
                item.add_marker(pytest.mark.long)
        names = getattr(item, "fixturenames", ())
        if _starts_programs(item.path) or not STARTING.isdisjoint(names):
            item.add_marker(pytest.mark.programs)
    items.sort(key=lambda item: not _starts_programs(item.path))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take the million objects that the imports made out of every later search for garbage.

    So are the trees of the sources, where files of tests are handed to workers and more than one
    reads them: they are parsed once, and each worker has them.
    """
    trees = sys.modules.get("tests.kit.trees")
    if trees is not None and session.config.getoption("workers", 0):
        modules = {getattr(item, "module", None) for item in session.items}
        readers = [one for one in modules if hasattr(one, "tree_of") or hasattr(one, "parsed")]
        if len(readers) > 1:
            for room in ("engine", "storage", "pages"):
                for file in REPOSITORY.joinpath(room).rglob("*.py"):
                    trees.tree_of(file)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("recordings"):
        _skip_without_recordings(item.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if NO_RECORDINGS in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests skipped for lack of recordings: {recordings_folder()} is not "
            "there. Set PITBOSS_DATA to the folder that holds them."
        )
    lacking = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and TO_INSTALL in str(report.longrepr[2])
    )
    if lacking:
        terminalreporter.section("NOT SHOWN ON THIS MACHINE", sep="!", red=True, bold=True)
        for reason, number in sorted(lacking.items()):
            terminalreporter.write_line(f"{number} tests skipped: {reason}", red=True)
