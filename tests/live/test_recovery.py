"""What a start does with a damaged journal: mended, or refused with a sentence; never skipped."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from engine.__main__ import STORAGE_REFUSED
from engine.cli.doctor import schema
from engine.cli.status import describe, read
from engine.config import load
from engine.domain.catalog import Grade
from engine.domain.commands import StartBot
from engine.domain.events import CashMoved, ModeChanged, VenueMode
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import AccountSettings
from engine.errors import JournalCorrupt, StorageError
from engine.executor.executor import Executor
from engine.live.main import live
from engine.runtime.recovery import BOTS, executor_of, recover
from storage.backup import back_up, backup_of
from storage.commands import latest_receipt
from storage.database import connect_reader, writing
from storage.journal import Record, decode, take_lease
from storage.journal_writer import JournalWriter
from storage.latch import read_latch
from storage.projection import bring_up_to_date, project, register_account
from storage.schema import migrate
from tests.live.programs import (
    BOT,
    LONG_S,
    Programs,
    check_books,
    ledger_of_the_exchange,
    prepare,
)
from tests.ports import free_port

DEMO = AccountId("demo")
RECORDS = 40


def fresh() -> Executor:
    return executor_of(AccountSettings(name="demo", venue="demo", mode=Mode.DEMO), 1)[0]


def deposit(amount: int, account: AccountId = DEMO) -> CashMoved:
    return CashMoved(account=account, currency="pUSD", amount_micro=amount)


def written(path: Path, *, snapshot: bool = False, account: AccountId = DEMO) -> None:
    """Write deposits of 1, one commit each."""
    take_lease(path, "pitboss")
    lived = fresh()
    writer = JournalWriter(path, engine_id="pitboss")
    try:
        for number in range(1, RECORDS + 1):
            writer.append(account, deposit(1, account), number)
            lived.receive(deposit(1), number)
            if snapshot and number == RECORDS // 2:
                writer.snapshot(f"executor:{DEMO}", lived.snapshot(), number)
                writer.snapshot(BOTS, msgspec.msgpack.encode({}), number)
            writer.flush()
    finally:
        writer.close()


def cash(path: Path) -> int:
    executor = fresh()
    recover(path, {DEMO: executor})
    return executor.ledger.cash_free_micro


@pytest.mark.parametrize("torn", [1, 100, 4_000, 9_000])
def test_a_torn_last_record_is_cut_off_and_every_one_before_it_is_there(
    tmp_path: Path, torn: int
) -> None:
    """As a power cut in the middle of a write leaves it: the last commits are torn."""
    live, path = tmp_path / "live.db", tmp_path / "journal.db"
    take_lease(live, "pitboss")
    writer = JournalWriter(live, engine_id="pitboss")
    for number in range(1, RECORDS + 1):
        writer.append(DEMO, deposit(1), number)
        writer.flush()
    for suffix in ("", "-wal"):
        shutil.copy(f"{live}{suffix}", f"{path}{suffix}")
    writer.close()
    log = path.with_name("journal.db-wal")
    whole = log.read_bytes()
    log.write_bytes(whole[:-torn])

    kept = cash(path)

    assert RECORDS - 1 - torn // 4_096 <= kept < RECORDS
    writer = JournalWriter(path, engine_id="pitboss")
    assert writer.append(DEMO, deposit(1), RECORDS + 1) == kept + 1
    writer.close()
    assert cash(path) == kept + 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE records SET body = x'00' WHERE seq = 30", "record 30 does not match its checksum"),
        ("UPDATE records SET at_ns = 7 WHERE seq = 30", "record 30 does not match its checksum"),
        ("DELETE FROM records WHERE seq = 30", "lacks record 30"),
    ],
)
def test_a_damaged_record_stops_the_start_with_its_number(
    tmp_path: Path, change: str, sentence: str
) -> None:
    path = tmp_path / "journal.db"
    written(path, snapshot=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    with pytest.raises(JournalCorrupt, match=f"{sentence}.*restore the latest backup"):
        cash(path)


def test_a_damaged_record_behind_a_snapshot_is_not_needed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    written(path, snapshot=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE records SET body = x'00' WHERE seq = 3")
    assert cash(path) == RECORDS


def test_a_damaged_snapshot_is_told_and_the_journal_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    written(path, snapshot=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE snapshots SET body = x'00' WHERE name LIKE 'executor%'")
    executor = fresh()
    found = recover(path, {DEMO: executor})
    assert executor.ledger.cash_free_micro == RECORDS
    assert found.records == RECORDS
    assert found.told == [
        f"snapshot 'executor:demo' at record {RECORDS // 2} does not match its checksum"
    ]


@pytest.mark.parametrize("version", [0, 99])
def test_a_journal_of_another_version_is_refused_with_what_to_do(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "journal.db"
    written(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StorageError, match=f"version {version}.*start the version that wrote it"):
        cash(path)


def test_a_record_from_before_a_field_was_added_is_read_with_its_default() -> None:
    body = msgspec.msgpack.encode({"type": "ModeChanged", "account": "demo", "mode": "disabled"})
    record = Record(seq=1, at_ns=1, account="demo", kind="ModeChanged", body=body)
    assert decode(record) == ModeChanged(account=DEMO, mode=VenueMode.DISABLED)


@pytest.mark.parametrize("left", [None, b""])
def test_a_journal_that_is_gone_beside_its_projections_stops_the_start(
    tmp_path: Path, left: bytes | None
) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    migrate(config.state_path)
    written(config.journal_path)
    with writing(config.state_path) as connection:
        register_account(
            connection, engine_id="pitboss", account=DEMO, mode=Mode.DEMO, venue="demo",
            currency="pUSD",
        )  # fmt: skip
    project(config.journal_path, config.state_path)
    config.journal_path.unlink()
    if left is not None:
        config.journal_path.write_bytes(left)
    with pytest.raises(JournalCorrupt, match=f"up to record {RECORDS}"):
        asyncio.run(asyncio.wait_for(live(config, "http://127.0.0.1:1", kill_only=False), 30))
    with closing(connect_reader(config.state_path)) as connection:
        assert connection.execute("SELECT seq FROM projection").fetchone() == (RECORDS,)
    assert not config.journal_path.exists() or config.journal_path.stat().st_size == 0


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a new one"])
@pytest.mark.parametrize("kill_only", [False, True])
def test_a_new_state_beside_a_journal_with_a_past_stops_the_start_and_a_kill(
    tmp_path: Path, left: str, *, kill_only: bool
) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    written(config.journal_path)
    if left == "an empty file":
        config.state_path.touch()
    elif left == "a new one":
        migrate(config.state_path)
    else:
        with pytest.raises(StorageError, match="is missing or empty"):
            bring_up_to_date(config.state_path, config.journal_path)
        assert not config.state_path.exists()
        assert "is missing, but journal.db is here" in "".join(describe(read(config, 1)))
        assert schema(config.state_path, config.journal_path).grade is Grade.FAIL
    with pytest.raises(StorageError, match=f"has {RECORDS} records: put it back"):
        asyncio.run(live(config, "http://127.0.0.1:1", kill_only=kill_only))


@pytest.mark.parametrize("kill_only", [False, True])
def test_a_state_older_than_an_account_of_the_journal_stops_the_start_and_a_proof(
    tmp_path: Path, *, kill_only: bool
) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    migrate(config.state_path)
    written(config.journal_path, account=AccountId("later"))
    with writing(config.state_path) as connection:
        register_account(
            connection, engine_id="pitboss", account=DEMO, mode=Mode.DEMO, venue="demo",
            currency="pUSD",
        )  # fmt: skip
    with pytest.raises(StorageError, match=r"records of 'later', and pitboss\.db knows no such"):
        asyncio.run(asyncio.wait_for(live(config, "http://127.0.0.1:1", kill_only=kill_only), 30))
    with closing(connect_reader(config.state_path)) as connection:
        receipt = latest_receipt(connection, "pitboss")
    if kill_only:  # it cancelled what it knows all the same, and proved nothing
        assert receipt is not None
        assert not receipt.proven
    else:
        assert receipt is None


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


@pytest.mark.long
def test_a_damaged_state_file_is_restored_alone_and_its_orders_come_from_the_journal(
    programs: Programs,
) -> None:
    programs.demo()
    engine = programs.engine()
    programs.command(StartBot(bot=BOT))
    programs.until(programs.live, "an order rests")
    backup = programs.home / "backup.db"
    with closing(sqlite3.connect(programs.state)) as kept, closing(sqlite3.connect(backup)) as copy:
        kept.backup(copy)
    kept_orders = programs.count("orders")
    programs.until(lambda: programs.count("orders") > kept_orders, "it trades on")
    engine.kill()
    engine.wait(150)
    orders = programs.rows("SELECT id FROM orders ORDER BY id")
    for suffix in ("-wal", "-shm"):
        Path(f"{programs.state}{suffix}").unlink(missing_ok=True)
    programs.state.write_bytes(b"damaged" * 1_000)
    assert programs.engine().wait(30) == STORAGE_REFUSED
    told = (programs.home / "run.log").read_text().splitlines()[-1]
    assert "restore it from the latest backup as README's Recovery says" in told

    shutil.copy(backup, programs.state)
    engine = programs.engine()
    programs.until(lambda: programs.count("orders") > len(orders), "it trades again by itself")
    assert orders == programs.rows("SELECT id FROM orders ORDER BY id")[: len(orders)]
    engine.terminate()
    assert engine.wait(LONG_S) == 0
    check_books(programs)


def test_a_backup_put_back_by_hand_is_cancelled_refused_and_led_to_recover(
    programs: Programs,
) -> None:
    programs.demo()
    engine = programs.engine()
    programs.command(StartBot(bot=BOT))
    programs.until(programs.live, "an order rests")
    journal = programs.home / "journal.db"
    files = {path.name: path for path in (programs.state, journal)}
    back_up(files, programs.home / "backups", name="then", on_progress=lambda *_: None)
    orders = programs.count("orders")
    programs.until(lambda: programs.count("orders") > orders, "it trades on")
    engine.kill()
    engine.wait(150)
    for name, path in files.items():
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        shutil.copy(programs.home / "backups" / "then" / name, path)

    assert programs.engine().wait(150) == STORAGE_REFUSED
    said = (programs.home / "run" / "last_error").read_text()
    assert "is the backup of then" in said
    assert "python -m engine recover" in said
    latch = read_latch(programs.home / "KILL")
    assert latch is not None
    assert latch.who == "the start from the backup of then"
    _, _, still_open = asyncio.run(ledger_of_the_exchange(programs.port))
    assert still_open == 0
    assert backup_of(journal) == "then"  # until a recovery has been accepted
