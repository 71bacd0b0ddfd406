"""`python -m engine doctor`: examine this machine and this installation. Changes nothing.

Every check says what it found and, unless all is well, the sentence that mends it. No network: how
far the clock is from a venue's is not known here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path

import msgspec
import psutil
from packaging.requirements import Requirement

from engine.cli.arguments import REPOSITORY, findings_text, say
from engine.cli.network import problems
from engine.config import Config
from engine.domain.catalog import Finding, Grade
from engine.errors import BadInput, StorageError
from engine.log import iso
from engine.watch.dispatch import PingSeen
from engine.watch.program import Beat
from storage.channels import read_channels
from storage.commands import many
from storage.database import primary_code, reading, sentence
from storage.files import said_bytes
from storage.projection import check_new
from storage.retention import survey
from storage.schema import check_schema, head
from storage.watch import meta, reading_watch

HELP = "examine this machine and this installation"

PYTHON_MIN = (3, 11)
GB = 1_000_000_000
DISK_FREE_BYTES_MIN = 1 * GB
DISK_FREE_BYTES_GOOD = 5 * GB
"""Half of the disk budget as it is by default."""

MEMORY_FREE_BYTES_MIN = GB // 4
MEMORY_FREE_BYTES_GOOD = 1 * GB
CLOCK_WATCH_S = 0.25
CLOCK_DRIFT_NS_MAX = 20_000_000
WRITE_LOCK_WAIT_S = 1.0
WATCH_SILENT_NS = 30_000_000_000
PING_SILENT_NS = 180_000_000_000
"""Nanoseconds without a word of the watch, and without a call of the dead man's switch."""
OTHERS = 0o077
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments: everything is examined."""


def run(args: argparse.Namespace, config: Config) -> int:
    """Examine and tell. Gives 1 where any check fails; warnings alone give 0."""
    checks = list(examine(config))
    failed = sum(check.grade is Grade.FAIL for check in checks)
    warned = sum(check.grade is Grade.WARN for check in checks)
    found = {"failed": failed, "warned": warned, "checks": msgspec.to_builtins(checks)}
    counts = f"{len(checks)} checks: {failed} failed, {warned} warned"
    say(args, found, f"{findings_text(checks)}\n{counts}")
    return 1 if failed else 0


def examine(config: Config) -> Iterator[Finding]:
    """Give the findings one by one, cheapest first."""
    yield python()
    yield packages(REPOSITORY / "requirements.txt")
    yield memory(psutil.virtual_memory().available)
    yield disk(config.home)
    yield from history(config, time.time_ns())
    yield past(REPOSITORY)
    yield drift(time.time_ns, time.monotonic_ns, time.sleep)
    yield home(config.home)
    yield env_file(Path(".env"))
    yield network(os.environ)
    yield latch(config.kill_path)
    yield reach(config.home, time.time_ns())
    yield schema(config.state_path, config.journal_path)
    for path in (config.state_path, config.journal_path, config.decisions_path):
        if path.is_file():
            yield integrity(path)
            yield lock(path)


# -- the installation ------------------------------------------------------------------------------


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    text = ".".join(map(str, version))
    if version < PYTHON_MIN:
        return Finding(
            "python", Grade.FAIL, f"Python {text} is too old", "use Python 3.11 or newer"
        )
    return Finding("python", Grade.OK, f"Python {text}")


def packages(pinned: Path) -> Finding:
    wrong, right = [], 0
    for line in pinned.read_text(encoding="utf-8").splitlines():
        if line.startswith((" ", "#")) or "==" not in line:
            continue
        required = Requirement(line.removesuffix("\\").strip())
        if required.marker is not None and not required.marker.evaluate():
            continue
        installed = _installed(required.name)
        if installed is not None and required.specifier.contains(installed, prereleases=True):
            right += 1
        else:
            wrong.append(f"{required.name} is {installed or 'missing'}, not {required.specifier}")
    if wrong:
        text = "; ".join(wrong[:5]) + ("; …" if len(wrong) > 5 else "")
        return Finding("packages", Grade.FAIL, text, "run `make venv` and use .venv/bin/python")
    return Finding("packages", Grade.OK, f"{right} packages, all at their pinned versions")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


# -- the machine -----------------------------------------------------------------------------------


def _level(name: str, free: int, *, least: int, good: int, where: str, fix: str) -> Finding:
    said = f"{said_bytes(free)} free{where}"
    if free < least:
        return Finding(name, Grade.FAIL, said, fix)
    if free < good:
        return Finding(name, Grade.WARN, said, fix)
    return Finding(name, Grade.OK, said)


def memory(free: int) -> Finding:
    """Judge the memory that is still available, in bytes."""
    fix = "close other programs: the engine and its pages want a gigabyte"
    least, good = MEMORY_FREE_BYTES_MIN, MEMORY_FREE_BYTES_GOOD
    return _level("memory", free, least=least, good=good, where="", fix=fix)


def disk(folder: Path) -> Finding:
    """Judge the free space where the state lies or will lie."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    fix = "free some space: a full disk halts trading"
    return _level(
        "disk",
        shutil.disk_usage(there).free,
        least=DISK_FREE_BYTES_MIN,
        good=DISK_FREE_BYTES_GOOD,
        where=f" at {there}",
        fix=fix,
    )


def history(config: Config, now_ns: int) -> Iterator[Finding]:
    """Say of each kind of history what it takes of the disk budget, and how long that lasts."""
    try:
        found = survey(config.history, config.share, now_ns)
    except StorageError as error:
        fix = "see the findings about that file below"
        yield Finding("history", Grade.WARN, f"its size cannot be read: {error}", fix)
        return
    for one in found:
        said = f"{said_bytes(one.bytes)} of {said_bytes(one.bytes_max)}"
        if one.since_ns is not None:
            said += f", complete since {iso(one.since_ns)[:16]}"
        if one.per_day is not None and one.days_left is not None:
            said += f"; {said_bytes(one.per_day)} per day, pruning in {one.days_left:,.0f} days"
        said += f"; {one.words}" * bool(one.words)
        over = one.bytes > one.bytes_max
        fix = "the worker's job retain makes room: start the worker; or raise PITBOSS_DISK_BUDGET"
        yield Finding(one.kind, Grade.WARN if over else Grade.OK, said, fix if over else "")


def past(repository: Path, now_ns: Callable[[], int] = time.time_ns) -> Finding:
    """Say whether the clock is before the moment this code was written to the disk."""
    written = (repository / "requirements.txt").stat().st_mtime_ns
    now = now_ns()
    if now < written:
        said = f"the clock shows {iso(now)}, but this code was installed at {iso(written)}"
        return Finding("clock", Grade.FAIL, said, "set the clock; turn time synchronisation on")
    return Finding("clock", Grade.OK, f"it is {iso(now)}; no venue was asked")


def drift(
    wall_ns: Callable[[], int], monotonic_ns: Callable[[], int], pause: Callable[[float], None]
) -> Finding:
    """Watch for a quarter of a second whether the wall clock keeps pace with the monotonic one."""
    before = wall_ns() - monotonic_ns()
    pause(CLOCK_WATCH_S)
    moved = wall_ns() - monotonic_ns() - before
    said = f"wall minus monotonic moved {moved / 1e6:+.3f} ms in {CLOCK_WATCH_S} s"
    if abs(moved) > CLOCK_DRIFT_NS_MAX:
        fix = "the clock is being set or the machine slept: wait until it is steady"
        return Finding("clock pace", Grade.WARN, said, fix)
    return Finding("clock pace", Grade.OK, said)


# -- the state -------------------------------------------------------------------------------------


def home(folder: Path) -> Finding:
    """Judge the folder of all state: there, writable, and its owner's alone."""
    if not folder.exists():
        fix = "run `python -m engine migrate`"
        return Finding("home", Grade.WARN, f"{folder} does not exist yet", fix)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        fix = f"give it to the user who runs Pitboss: chown -R $USER {folder}"
        return Finding("home", Grade.FAIL, f"{folder} cannot be written by this user", fix)
    return _private("home", folder, f"chmod 700 {folder}")


def env_file(file: Path) -> Finding:
    if not file.exists():
        return Finding(".env", Grade.OK, "no .env: the environment alone is used")
    return _private(".env", file, f"chmod 600 {file}")


def network(environment: Mapping[str, str]) -> Finding:
    """Judge what the environment asks of every connection."""
    for _, problem in problems(environment):
        said, _, fix = problem.partition(": ")
        return Finding("network", Grade.FAIL, said, fix)
    return Finding("network", Grade.OK, "proxies and certificates of the environment can be used")


def _private(name: str, path: Path, fix: str) -> Finding:
    mode = path.stat().st_mode & 0o777
    if mode & OTHERS:
        return Finding(name, Grade.WARN, f"{path} is accessible to others (mode {mode:o})", fix)
    return Finding(name, Grade.OK, f"{path} is private to you (mode {mode:o})")


def latch(file: Path) -> Finding:
    if file.exists():
        fix = "no order is placed until it is released with a reason"
        return Finding("latch", Grade.WARN, f"KILL is set: {file} exists", fix)
    return Finding("latch", Grade.OK, "KILL is not set")


def reach(folder: Path, now_ns: int) -> Finding:
    """Say whether alerts can reach a person, and a missing desk would be noticed outside."""
    name = "reach"
    try:
        with reading_watch(folder) as connection:
            beat = meta(connection, "beat") if connection else None
            ping = meta(connection, "ping") if connection else None
        channels = read_channels(folder)
    except (StorageError, BadInput) as error:
        return Finding(name, Grade.WARN, str(error), "see to that file; the watch goes on")
    if channels is None or not channels.entries:
        fix = "add a channel and a dead man's switch by `engine alerts channel`"
        return Finding(name, Grade.WARN, "alerts stay on the Alerts page: no channel", fix)
    seen = msgspec.json.decode(ping, type=PingSeen) if ping else PingSeen()
    at_ns = msgspec.json.decode(beat, type=Beat).at_ns if beat else 0
    if now_ns - at_ns > WATCH_SILENT_NS:
        return Finding(name, Grade.WARN, "no watch runs: nothing is sent", "start the desk")
    if not seen.channel:
        fix = "add a channel of the kind dead_mans_switch: it tells of a machine that is gone"
        said = f"{many(len(channels.entries), 'channel')}, and no dead man's switch"
        return Finding(name, Grade.WARN, said, fix)
    if seen.error or now_ns - seen.sent_ns > PING_SILENT_NS:
        said = f"the dead man's switch was not reached: {seen.error or 'no call yet'}"
        return Finding(name, Grade.WARN, said, "look at the network, then at its address")
    called_s = (now_ns - seen.sent_ns) // 10**9
    had = many(len(channels.entries), "channel")
    said = f"{had}; the dead man's switch was called {called_s} s ago"
    return Finding(name, Grade.OK, said)


def schema(path: Path, journal: Path | None = None) -> Finding:
    """Compare the schema of the state database with the one this code needs."""
    try:
        if journal is not None and not path.is_file():
            check_new(journal, path)
    except StorageError as error:
        said, _, fix = str(error).partition(": ")
        return Finding("schema", Grade.FAIL, said, fix)
    if not path.is_file():
        fix = "run `python -m engine migrate`"
        return Finding("schema", Grade.WARN, f"{path} does not exist yet", fix)
    try:
        check_schema(path)
    except StorageError as error:
        said, _, fix = str(error).rpartition("; ")
        return Finding("schema", Grade.FAIL, said or str(error), fix)
    return Finding("schema", Grade.OK, f"{path.name} has schema {head()}")


def integrity(path: Path) -> Finding:
    """Let SQLite read every page of a database."""
    name = f"{path.name}"
    fix = "stop the programs and restore it from the latest backup as README's Recovery says"
    try:
        with reading(path) as connection:
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except StorageError as error:
        said, _, mend = str(error).partition("; ")
        cause = error.__cause__
        damaged = isinstance(cause, sqlite3.Error) and primary_code(cause) in DAMAGED
        return Finding(name, Grade.FAIL, str(error), fix if damaged else mend or said)
    if problems != ["ok"]:
        return Finding(name, Grade.FAIL, f"{path} is damaged: {'; '.join(problems)}", fix)
    return Finding(name, Grade.OK, f"whole, {said_bytes(path.stat().st_size)}")


def lock(path: Path) -> Finding:
    """Take the write lock for a moment and give it back; nothing is written."""
    name = f"{path.name}"
    uri = path.absolute().as_uri() + "?mode=rw"
    connect = sqlite3.connect(uri, uri=True, timeout=WRITE_LOCK_WAIT_S, isolation_level=None)
    with closing(connect) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_BUSY:
                said = f"another program holds the write lock for over {WRITE_LOCK_WAIT_S:g} s"
                return Finding(name, Grade.WARN, said, "find it with `lsof` and end it if it hangs")
            fix = "check the owner and permissions of file and folder"
            return Finding(name, Grade.FAIL, sentence(path, error), fix)
    return Finding(name, Grade.OK, "the write lock is free")
