"""KILL over a damaged home: a credential and a venue are enough, and no proof covers a hole.

Every file of the home in every kind of damage. The exchange is the judge: nothing of ours is open,
and PROVEN is said only where that is so and every source could be read.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, nullcontext
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryFile
from typing import Any, NoReturn

import pytest

from engine.__main__ import BROKEN, code_of
from engine.cli.kill import run
from engine.clock import WallClock
from engine.config import Config
from engine.domain.commands import Kill
from engine.errors import StorageError
from engine.live import lifecycle
from engine.live.accounts import Accounts
from engine.live.engine import Engine
from engine.live.kill import block_signal
from engine.live.main import engine_lock, start
from engine.live.proof import ProofRun
from storage.commands import STOP_PROOF, Receipt, latest_receipt, leave
from storage.database import connect_writer, reading
from storage.journal import last_seq
from storage.users import ENGINE_ID
from tests import forked
from tests.kit.permissions import OBEYS, anybody
from tests.live.desk import found_at_start
from tests.live.homes import Exchange, Template, a_home, exchange
from tests.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(Random(path.name).randbytes(max(path.stat().st_size, 4096)))


def one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    data[Random(path.name).randrange(len(data))] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.commit()


def unreadable(path: Path) -> None:
    """A folder in the place of the file: nobody can open that, root neither."""
    path.unlink()
    path.mkdir()


def read_only(path: Path) -> None:
    """Only together with `anybody`: root may write it all the same."""
    path.chmod(0o444)


DAMAGES = (missing, empty, garbage, one_bit, cut, foreign, unreadable, read_only)
FILES = ("journal.db", "pitboss.db", "vault.json", "run/engine.lock", "run/last_error", "KILL",
         "decisions.db", "journal.db-wal", "pitboss.db-wal", "decisions.db-wal", "tape", "ticks",
         "KILL.spare", "run/signalled", "run/deaf")  # fmt: skip
AIDS = (
    "decisions.db", "decisions.db-wal", "decisions.000001.db", "tape",
    "tape/00000000000000000007.tape", "tape/99999999999999999999.tape", "ticks", "ticks/log",
    "ticks/log/odd.ticks", "ticks/raw/2026-01-01-odd.parquet", "imports", "exports", "backups",
    "backups/2026-01-01T00-00-00Z", "runs", "recordings", "incidents", "markets.db",
)  # fmt: skip
"""What is kept beside trading: its damage ends no start, run or KILL, and spoils no proof."""

FILES += tuple(one for one in AIDS if one not in FILES)
HARMLESS = ("KILL", "run/last_error", *AIDS)
"""What no proof is read from."""


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with exchange(tmp_path_factory.mktemp("exchange")) as made:
        yield made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("template"))


@pytest.fixture(autouse=True)
def one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a program of its own would leave behind at its end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("engine.live.venue_sweep.APART_S", 0.05)
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what an engine held is garbage after it
    switch, mask = sys.getswitchinterval(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    sys.setswitchinterval(switch)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


names = (f"demo-{number}" for number in count(1))


@pytest.fixture
def home(tmp_path: Path, template: Template, venue: Exchange) -> Config:
    name = next(names)
    return a_home(tmp_path / "home", template, venue, name, (f"{name}-gone",))


def kill(config: Config, venue: Exchange, wait_s: float = 1.0) -> int:
    """As `python -m engine kill`: its exit code."""
    try:
        return run(argparse.Namespace(demo=venue.url, wait=wait_s), config)
    except StorageError as error:
        print(error)
        return 4


def stored_receipt(config: Config) -> Receipt | None:
    try:
        with reading(config.state_path) as connection:
            return latest_receipt(connection, ENGINE_ID)
    except (StorageError, sqlite3.Error):
        return None


def test_whole_home_is_proven_with_the_account_that_the_settings_name_no_more(
    home: Config, venue: Exchange, capsys: pytest.CaptureFixture[str]
) -> None:
    name = next(iter(open_orders(home)))
    assert kill(home, venue) == 0
    receipt = stored_receipt(home)
    assert receipt is not None
    assert receipt.proven
    assert {one.account for one in receipt.accounts} == {name, f"{name}-gone"}
    assert venue.open_at(name) == venue.open_at(f"{name}-gone") == 0


def open_orders(config: Config) -> list[str]:
    """The accounts of a home that is whole."""
    with reading(config.state_path) as connection:
        found = connection.execute("SELECT account FROM accounts ORDER BY account").fetchall()
    return [account for (account,) in found]


@pytest.fixture
def as_anybody() -> Iterator[None]:
    with anybody():
        yield


NORMAL = {("journal.db", one) for one in DAMAGES} | {("pitboss.db", one) for one in DAMAGES} | {
    ("vault.json", garbage), ("vault.json", unreadable), ("run/engine.lock", missing),
    ("run/engine.lock", unreadable), ("KILL", unreadable), ("run/last_error", unreadable),
    ("decisions.db", garbage), ("journal.db-wal", garbage), ("pitboss.db-wal", unreadable),
    ("run/engine.lock", read_only), ("KILL", read_only), ("ticks", garbage), ("tape", garbage),
    ("ticks/log", garbage), ("ticks/log/odd.ticks", garbage), ("decisions.000001.db", garbage),
    ("tape/99999999999999999999.tape", garbage), ("decisions.db", unreadable),
    ("backups/2026-01-01T00-00-00Z", garbage), ("imports", garbage), ("markets.db", garbage),
}  # fmt: skip


def cells() -> Iterator[object]:
    for file in FILES:
        for damage in DAMAGES:
            marks = () if (file, damage) in NORMAL else (pytest.mark.soak,)
            yield pytest.param(file, damage, marks=marks, id=f"{file}-{damage.__name__}")


def spoil(path: Path, damage: Callable[[Path], None]) -> None:
    """Damage a file; one that the home has not is made for it, also in the place of a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    for folder in reversed(path.parents):
        if folder.is_file():  # a folder that an earlier damage made a file
            folder.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"\0" * 64)
    damage(path)


@pytest.mark.sampled(6)
@pytest.mark.usefixtures("as_anybody")
@pytest.mark.parametrize(("file", "damage"), list(cells()))
@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_kill_over_a_damaged_home(
    home: Config,
    venue: Exchange,
    capsys: pytest.CaptureFixture[str],
    file: str,
    damage: Callable[[Path], None],
    *,
    frozen: bool,
) -> None:
    """Of a dead engine's home, and of one whose engine holds the lock and receives nothing."""
    accounts = open_orders(home)
    with engine_lock(home, 0.0) if frozen else nullcontext():
        spoil(home.home / file, damage)
        code = kill(home, venue, wait_s=0.2 if frozen else 1.0)
    said = capsys.readouterr().out
    assert [venue.open_at(account) for account in accounts] == [0, 0], said
    receipt = stored_receipt(home)
    if code == 0:
        assert receipt is not None
        assert receipt.proven
        assert {one.account for one in receipt.accounts} == set(accounts)
    else:
        assert "NOT PROVEN" in said
        assert receipt is None or not receipt.proven
    if file in HARMLESS:
        assert code == (4 if frozen else 0), said


# -- a home that nobody may write ------------------------------------------------------------------


@pytest.mark.usefixtures("as_anybody")
@pytest.mark.parametrize("mode", [0o555, 0o000], ids=["read-only", "unreadable"])
def test_kill_over_a_home_that_cannot_be_written(
    home: Config, venue: Exchange, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    accounts = open_orders(home)
    for folder in (home.run_folder, home.home):
        folder.chmod(mode)
    try:
        code = kill(home, venue)
    finally:
        for folder in (home.home, home.run_folder):
            folder.chmod(0o755)
    said = capsys.readouterr().out
    assert code == 4, said
    assert "the KILL latch could NOT be set" in said
    # Files that stand there can be written: only what would be made anew (decisions) is refused.
    assert ("PROVEN" if mode else "NOT PROVEN") in said
    if mode:
        assert [venue.open_at(account) for account in accounts] == [0, 0], said
    else:
        assert "journal.db cannot be read" in said, "it knows no account, and says why"


# -- damage inside a file --------------------------------------------------------------------------


def write(path: Path, sql: str, *given: object) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(sql, given).rowcount > 0
        connection.commit()


INSIDE = (
    ("pitboss.db", "UPDATE settings SET body = '{not json'", "the settings"),
    ("pitboss.db", "UPDATE settings SET body = replace(body, 'venue', 'venum')", "the settings"),
    ("pitboss.db", "UPDATE settings SET body = CAST(x'ff00' AS TEXT)", "the settings"),
    ("pitboss.db", "UPDATE accounts SET venue = CAST(x'ff00' AS TEXT)", "a row of accounts"),
    ("pitboss.db", "UPDATE accounts SET mode = 'demn'", "demn"),
    ("pitboss.db", "UPDATE alembic_version SET version_num = '9999'", "newer"),
    ("pitboss.db", "DELETE FROM accounts", "knows no such account"),
    ("journal.db", "UPDATE records SET crc = crc + 1 WHERE seq = 3", "record 3 does not match"),
    ("journal.db", "UPDATE records SET account = 'x' WHERE seq = 4", "does not match"),
    ("journal.db", "UPDATE meta SET value = 'other' WHERE key = 'engine_id'", "belongs to engine"),
    ("journal.db", "DELETE FROM records WHERE seq > 14", "ends at record 14, but"),
)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("file", "sql", "why"), INSIDE, ids=[sql for _, sql, _ in INSIDE])
def test_kill_over_a_damaged_row(
    home: Config,
    venue: Exchange,
    capsys: pytest.CaptureFixture[str],
    file: str,
    sql: str,
    why: str,
) -> None:
    accounts = open_orders(home)
    write(home.home / file, sql)
    assert kill(home, venue) != 0
    said = capsys.readouterr().out
    assert [venue.open_at(account) for account in accounts] == [0, 0], said
    assert "NOT PROVEN" in said
    assert why in said
    assert (home.home / "KILL").exists()


@pytest.mark.parametrize("left", [14, 5, 0])
def test_kill_beside_a_journal_behind_its_projection_names_both_and_writes_nothing_to_it(
    home: Config, venue: Exchange, capsys: pytest.CaptureFixture[str], left: int
) -> None:
    accounts = open_orders(home)
    read = last_seq(home.journal_path)
    write(home.journal_path, "DELETE FROM records WHERE seq > ?", left)
    assert kill(home, venue) == 4
    said = capsys.readouterr().out
    assert [venue.open_at(account) for account in accounts] == [0, 0], said
    receipt = stored_receipt(home)
    assert receipt is not None
    assert receipt.sentence().startswith("NOT PROVEN")
    assert f"has read it up to record {read}" in receipt.sentence()
    assert f"ends at record {left}" in receipt.sentence() or not left
    assert last_seq(home.journal_path) == left


def by_file(config: Config) -> bool:
    (config.home / "KILL").touch()
    return True


def by_signal(_: Config) -> bool:
    """To this thread alone, which has it blocked as an engine does from its first moment."""
    block_signal()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    return True


def by_row(config: Config) -> bool:
    """As a page does; False where pitboss.db takes none."""
    try:
        with closing(connect_writer(config.state_path)) as connection:
            now_ns = WallClock().now_ns()
            leave(
                connection, engine_id=ENGINE_ID, id="kill", command=Kill(), who="ann", now_ns=now_ns
            )
    except (StorageError, sqlite3.Error):
        return False
    return True


@pytest.mark.sampled(3)
@pytest.mark.parametrize("asked", [by_file, by_signal])
@pytest.mark.parametrize(("file", "sql", "why"), INSIDE, ids=[sql for _, sql, _ in INSIDE])
def test_start_with_a_kill_cancels_everything_where_it_cannot_recover(
    home: Config,
    venue: Exchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[Config], bool],
    file: str,
    sql: str,
    why: str,
) -> None:
    accounts = open_orders(home)
    write(home.home / file, sql)
    asked(home)
    error = started(home, venue, monkeypatch)
    signal.sigtimedwait({signal.SIGUSR1}, 0)
    said = capsys.readouterr().out
    assert (home.home / "KILL").exists()
    assert error is None or code_of(error) == 4
    if error is not None:
        assert why in said
        assert [venue.open_at(account) for account in accounts] == [0, 0], said
    receipt = stored_receipt(home)
    if [venue.open_at(account) for account in accounts] != [0, 0] or error is not None:
        assert "NOT PROVEN" in said
        assert receipt is None or not receipt.proven


@pytest.mark.soak
@pytest.mark.usefixtures("as_anybody")
@pytest.mark.parametrize("asked", [by_file, by_signal, by_row])
@pytest.mark.parametrize(("file", "damage"), list(cells()))
def test_successor_of_a_frozen_engine_carries_out_its_kill_over_a_damaged_home(
    home: Config,
    venue: Exchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[Config], bool],
    file: str,
    damage: Callable[[Path], None],
) -> None:
    """What was asked of an engine that received nothing stands at the start of the next one."""
    accounts = open_orders(home)
    spoil(home.home / file, damage)
    received = asked(home)
    monkeypatch.setattr("engine.live.kill.rewind_hang_timer", lambda _: None)
    error = started(home, venue, monkeypatch)
    signal.sigtimedwait({signal.SIGUSR1}, 0)
    said = capsys.readouterr().out
    rest, receipt = [venue.open_at(account) for account in accounts], stored_receipt(home)
    assert error is None or code_of(error) != BROKEN, repr(error)
    if error is None or (received and asked is not by_row):
        assert rest == [0, 0], said
    if receipt is not None and receipt.proven:
        assert rest == [0, 0], said
    assert error is None or "NOT PROVEN" in said or asked is by_row, said


def test_start_with_a_kill_whose_lock_cannot_be_held_cancels_everything(
    home: Config,
    venue: Exchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts = open_orders(home)
    unreadable(home.run_folder / "engine.lock")
    refused = started(home, venue, monkeypatch)
    assert [venue.open_at(account) for account in accounts] == [2, 1], "nobody asked for a KILL"
    by_file(home)
    again = started(home, venue, monkeypatch)
    said = capsys.readouterr().out
    assert refused is not None
    assert code_of(refused) == 4
    assert "the lock of the engine cannot be held" in str(again)
    assert "NOT PROVEN" in said
    assert [venue.open_at(account) for account in accounts] == [0, 0], said


@pytest.mark.long
def test_kill_beside_a_locked_journal(
    home: Config, venue: Exchange, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = open_orders(home)
    with closing(sqlite3.connect(home.journal_path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert kill(home, venue) == 4
    said = capsys.readouterr().out
    assert "is locked by another process" in said
    assert [venue.open_at(account) for account in accounts] == [0, 0], said
    assert kill(home, venue) == 0, "the lock is gone, and a second KILL proves it"


def test_kill_where_a_silent_engine_holds_the_lock(
    home: Config, venue: Exchange, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = open_orders(home)
    with engine_lock(home, 0.0):  # as an engine does that is frozen
        assert kill(home, venue, wait_s=0.2) == 4
    said = capsys.readouterr().out
    assert "it may be frozen" in said
    assert [venue.open_at(account) for account in accounts] == [0, 0], said


def test_kill_whose_latch_cannot_be_set_cancels_and_says_so(
    home: Config,
    venue: Exchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts = open_orders(home)

    def refuse(path: Path, who: str, now_ns: int) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("engine.cli.kill.set_latch", refuse)
    monkeypatch.setattr("engine.live.engine.set_latch", refuse)
    assert kill(home, venue) == 4
    said = capsys.readouterr().out
    assert "the KILL latch could NOT be set" in said
    assert "the disk is read-only; mount it writable" in said
    assert "supervisorctl signal USR1 engine" in said
    assert [venue.open_at(account) for account in accounts] == [0, 0], said


def test_venue_that_does_not_answer_is_named(
    home: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.live.kill_bare.PATIENCE_S", 0.5)
    garbage(home.journal_path)
    args = argparse.Namespace(demo=f"http://127.0.0.1:{free_port()}", wait=0.0)
    with pytest.raises(StorageError, match="nothing is proven"):
        run(args, home)
    said = capsys.readouterr().out
    assert said.count("no two complete listings in a row without an open order: http") == 4


@pytest.mark.long
def test_account_at_a_venue_nobody_can_ask_is_never_called_proven(
    home: Config, venue: Exchange, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in journal and table, with an order that has no end; the settings do not name it."""
    name = open_orders(home)[0]
    write(
        home.state_path,
        "UPDATE accounts SET venue = 'gone', mode = 'live' WHERE account != ?",
        name,
    )
    assert kill(home, venue) == 1
    said = capsys.readouterr().out
    assert "no account of 'gone' (live) can be asked here" in said
    assert venue.open_at(name) == 0
    assert venue.open_at(f"{name}-gone") == 1


def test_proof_that_leaves_out_whom_the_settings_forgot_is_caught_by_the_exchange(
    home: Config, venue: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is wrong on purpose: the judge of the others must see it."""
    accounts = open_orders(home)
    monkeypatch.setattr(Accounts, "outside", lambda *_: {})
    assert kill(home, venue) == 0
    assert [venue.open_at(account) for account in accounts] == [0, 1], "PROVEN, and one is open"


# -- a start ---------------------------------------------------------------------------------------


def started(config: Config, venue: Exchange, patch: pytest.MonkeyPatch) -> Exception | None:
    """Start, stop as soon as it trades, and give what it ended with; None = in order."""

    async def trade(engine: Engine, streams: Any, *, kill_only: bool) -> None:
        engine.watchers.append(lambda _: engine.end() if engine.phase == "RUNNING" else None)
        await lifecycle.trade(engine, streams, kill_only=kill_only)

    patch.setattr("engine.live.main.trade", trade)
    try:
        start(config, venue.url, kill_only=False)
    except Exception as error:  # noqa: BLE001 as the command line does
        return error
    return None


@pytest.mark.sampled(4)
@pytest.mark.usefixtures("as_anybody")
@pytest.mark.parametrize(("file", "damage"), list(cells()))
def test_start_over_a_damaged_home_runs_exact_or_stops_in_a_sentence(
    home: Config,
    venue: Exchange,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    damage: Callable[[Path], None],
) -> None:
    accounts = open_orders(home)
    spoil(home.home / file, damage)
    monkeypatch.setattr("engine.live.kill.rewind_hang_timer", lambda _: None)
    monkeypatch.setattr("engine.runtime.ticks.LINGER_NS", 1)
    why = started(home, venue, monkeypatch)
    if why is not None:
        assert file not in AIDS, f"what is kept beside trading refused the start: {why!r}"
        assert code_of(why) != BROKEN, repr(why)
        assert len(str(why)) > 20, "a sentence says what to do"
        return
    with reading(home.state_path) as connection:
        stopped = latest_receipt(connection, ENGINE_ID, STOP_PROOF)
        found = found_at_start(connection)
    assert found is not None
    assert found["orders_adopted"] == 3, "nothing the journal knew is lost"
    assert stopped is not None
    assert stopped.proven, stopped.sentence()
    assert [venue.open_at(account) for account in accounts] == [0, 0]


# -- an engine that lives --------------------------------------------------------------------------


def signalled(_: Config) -> bool:
    os.kill(os.getpid(), signal.SIGUSR1)
    return True


def from_the_command_line(config: Config, venue: Exchange) -> tuple[int, str]:
    """As a program of its own beside the engine: its exit code, and what it said."""
    words = ["kill", "--demo", venue.url, "--wait", "4"]
    environment = {**os.environ, "PITBOSS_HOME": str(config.home), OBEYS: "1"}
    with TemporaryFile() as log:
        code = forked.start("engine", words, environment, log).wait(120)
        log.seek(0)
        return code, log.read().decode()


OFTEN = {
    ("journal.db", garbage, "signalled"),
    ("journal.db", garbage, "by_file"),
    ("pitboss.db", missing, "signalled"),
    ("run/engine.lock", missing, "signalled"),
    ("journal.db-wal", empty, "by_row"),
    ("vault.json", garbage, "by_row"),
    ("tape", garbage, "by_file"),
    ("ticks/log", garbage, "by_file"),
    ("decisions.db", garbage, "by_row"),
}


def living() -> Iterator[object]:
    for ask in (signalled, by_file, by_row):
        for file in FILES:
            for damage in DAMAGES:
                name = ask.__name__
                marks = () if (file, damage, name) in OFTEN else (pytest.mark.soak,)
                yield pytest.param(
                    file, damage, ask, marks=marks, id=f"{file}-{damage.__name__}-{name}"
                )


def lived(
    config: Config,
    venue: Exchange,
    patch: pytest.MonkeyPatch,
    story: Callable[[Engine], Coroutine[Any, Any, None]],
) -> Exception | None:
    """Start an engine, let a story happen once it trades, and give what it ended with."""

    async def bring_up_late(engine: Engine) -> None:
        while engine.phase != "RUNNING":  # noqa: ASYNC110 nobody sets an event for a test
            await asyncio.sleep(0.02)
        await story(engine)
        engine.end()

    async def trade(engine: Engine, streams: Any, *, kill_only: bool) -> None:
        task = asyncio.ensure_future(bring_up_late(engine))
        try:
            await lifecycle.trade(engine, streams, kill_only=kill_only)
        finally:
            task.cancel()

    patch.setattr("engine.live.main.trade", trade)
    patch.setattr("engine.live.kill.TAKEN_S", 60.0)  # it would end this very process
    patch.setattr("engine.live.main.loop_closes", lambda: None)  # and this
    patch.setattr("engine.live.lifecycle.STOP_S", 0.05)  # the proof of KILL is what counts
    patch.setattr("engine.live.kill.rewind_hang_timer", lambda _: None)
    patch.setattr("engine.runtime.ticks.LINGER_NS", 1)
    try:
        start(config, venue.url, kill_only=False)
    except Exception as raised:  # noqa: BLE001 as the command line does
        return raised
    return None


@pytest.mark.sampled(2)
@pytest.mark.usefixtures("as_anybody")
@pytest.mark.parametrize(("file", "damage", "ask"), list(living()))
def test_kill_of_a_living_engine_over_a_damaged_home(
    home: Config,
    venue: Exchange,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    damage: Callable[[Path], None],
    ask: Callable[[Config], bool],
) -> None:
    """It trades when the file is damaged; then KILL. The venue judges what it says."""
    accounts, path = open_orders(home), home.home / file
    lost = ask is by_row and file.startswith(home.state_path.name)  # with its row, perhaps
    asked, receipts = [False], list[Receipt | None]()

    async def story(engine: Engine) -> None:
        spoil(path, damage)
        asked[0] = ask(home)
        for _ in range(200 if lost else 3_000):
            await asyncio.sleep(0.02)
            if not asked[0] or (engine.receipt and engine.receipt.proven):
                break
        receipts.append(engine.receipt if engine.killed.is_set() else None)

    error = lived(home, venue, monkeypatch, story)
    said = f"{error!r}, asked: {asked[0]}\n{capsys.readouterr().out}"
    rest = [venue.open_at(account) for account in accounts]
    assert error is None or code_of(error) != BROKEN, repr(error)
    assert error is None or file not in AIDS, repr(error)
    if file in AIDS:
        assert receipts, said
        assert receipts[0], said
        assert receipts[0].proven, said
    proven = receipts and receipts[0] and receipts[0].proven
    if proven or ask is not by_row:
        assert rest == [0, 0], said
    if sum(rest):
        assert not asked[0] or "NOT PROVEN" in said or error is not None, said


@pytest.mark.soak
@pytest.mark.usefixtures("as_anybody")
@pytest.mark.parametrize(("file", "damage"), list(cells()))
def test_kill_from_the_command_line_beside_a_living_engine_over_a_damaged_home(
    home: Config,
    venue: Exchange,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    damage: Callable[[Path], None],
) -> None:
    accounts = open_orders(home)
    code, said, rest = -1, "", list[int]()

    def beside() -> None:
        nonlocal code, said
        spoil(home.home / file, damage)
        code, said = from_the_command_line(home, venue)
        # Before a stop, which cancels there, too.
        rest.extend(venue.open_at(account) for account in accounts)

    async def story(_: Engine) -> None:
        await asyncio.to_thread(beside)  # goes on where an engine ends that was fenced

    error = lived(home, venue, monkeypatch, story)
    assert error is None or code_of(error) != BROKEN, repr(error)
    assert code in (0, 1, 4), said
    assert "PROVEN" in said
    assert (code == 0) is ("NOT PROVEN" not in said), said
    if code == 0 or error is None:
        assert rest == [0, 0], said


@pytest.mark.long
@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong on purpose"])
def test_kill_of_a_market_is_never_proven_over_an_account_that_is_closed(
    home: Config, venue: Exchange, monkeypatch: pytest.MonkeyPatch, *, wrong: bool
) -> None:
    """One order of it rests where the settings name nobody; an engine that forgets it is caught."""
    accounts = open_orders(home)
    proven, rest = list[bool](), list[int]()

    def received(run: ProofRun, _: object, receipt: Receipt) -> None:
        proven.append(receipt.proven)

    async def story(engine: Engine) -> None:
        with closing(connect_writer(home.state_path)) as connection:
            part, now_ns = Kill(instrument=venue.instrument), WallClock().now_ns()
            leave(
                connection, engine_id=ENGINE_ID, id="part", command=part, who="ann", now_ns=now_ns
            )
        for _ in range(300):
            await asyncio.sleep(0.02)
            if proven:
                break
        for account in accounts:  # before the stop, which cancels there, too
            rest.append(await asyncio.to_thread(venue.open_at, account))

    monkeypatch.setattr(ProofRun, "report", received)
    if wrong:
        monkeypatch.setattr(Accounts, "resting_outside", lambda *_: ())
    assert lived(home, venue, monkeypatch, story) is None
    assert rest == [0, 1]
    assert proven[0] is wrong, "the venue shows one order of that market"
