from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.decisions import Decision
from engine.domain.effects import CancelAll, PlaceOrder
from engine.domain.events import BalancesListed, OrderAccepted, OrderNamed
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.intents import Quotes
from engine.domain.orders import Identity, Order, OrderId
from engine.errors import BrokenInvariant, JournalCorrupt, LeaseLost, StorageError
from engine.runtime.journal import DigestRecorder, Recorder
from storage.journal import decode, last_seq, latest_snapshots, load, take_lease
from storage.journal_writer import JournalWriter
from tests.runtime.digests import digest_of

ACCOUNT = AccountId("paper")
AT_NS = 1_700_000_000_000_000_000


def place(number: int) -> PlaceOrder:
    order = Order(
        account=ACCOUNT,
        id=OrderId(number),
        bot=BotId("maker"),
        instrument=InstrumentId("polymarket:0xdd22"),
        leg=Leg.YES,
        side=Side.BUY,
        price=4_900,
        size=5_000_000,
        created_ns=AT_NS,
    )
    return PlaceOrder(order=order)


def accepted(number: int) -> OrderAccepted:
    return OrderAccepted(account=ACCOUNT, order=OrderId(number))


def fill(recorder: Recorder, count: int, start: int = 1) -> None:
    for number in range(start, start + count):
        recorder.append(ACCOUNT, accepted(number), AT_NS + number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[JournalWriter]:
    writer = JournalWriter(path, engine_id="e1", busy_ms=50, patience_s=20)
    yield writer
    writer.close()


# -- what is kept ----------------------------------------------------------------------------------


def test_records_come_back_as_they_were(journal: JournalWriter, path: Path) -> None:
    messages = [
        place(1),
        OrderNamed(account=ACCOUNT, order=OrderId(1), identity=Identity("0xab")),
        accepted(1),
        CancelAll(account=ACCOUNT),
        BalancesListed(account=ACCOUNT, cash_micro={"USD": 5}),
        Quotes(
            bot=BotId("maker"), instrument=InstrumentId("i"), bids=((1, 2),), valid_until_ns=AT_NS
        ),
        Decision(
            number=1,
            bot=BotId("maker"),
            instrument=InstrumentId("i"),
            at_ns=AT_NS,
            regime="calm",
            inputs=(("spread", 0.5),),
            build_up=(),
            gates=(),
            outcome="quote",
            intent=None,
        ),
    ]
    journal.tape = 77
    for number, message in enumerate(messages, start=1):
        assert journal.append(ACCOUNT, message, AT_NS + number) == number
    assert journal.commit().result(150) == len(messages)
    records = list(load(path))
    assert [decode(record) for record in records] == messages
    assert [record.kind for record in records] == [type(message).__name__ for message in messages]
    assert {record.tape for record in records} == {77}
    assert records[0].at_ns == AT_NS + 1
    assert [record.seq for record in load(path, after_seq=3)] == [4, 5, 6, 7]


def test_a_reopened_journal_counts_on(path: Path) -> None:
    first = JournalWriter(path, engine_id="e1")
    fill(first, 3)
    first.close()
    second = JournalWriter(path, engine_id="e1")
    assert second.append(ACCOUNT, accepted(4), AT_NS) == 4
    second.close()
    assert last_seq(path) == 4


def test_commit_without_news_is_done_at_once(journal: JournalWriter) -> None:
    assert journal.commit().done()
    fill(journal, 1)
    journal.commit().result(150)
    assert journal.commit().done()


def test_records_nobody_awaits_are_written_soon(journal: JournalWriter, path: Path) -> None:
    fill(journal, 5)
    deadline = time.monotonic() + 10
    while journal.durable_seq < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert last_seq(path) == 5


def test_many_commits_share_transactions(journal: JournalWriter) -> None:
    statements: list[str] = []
    journal._connection.set_trace_callback(statements.append)
    futures = []
    for number in range(1, 2_001):
        journal.append(ACCOUNT, accepted(number), AT_NS)
        futures.append(journal.commit())
    assert [future.result(150) for future in futures] == list(range(1, 2_001))
    journal._connection.set_trace_callback(None)
    assert 0 < statements.count("COMMIT") < 1_000


def test_both_recorders_give_the_same_digest(journal: JournalWriter, path: Path) -> None:
    digest = DigestRecorder()
    for recorder in (journal, digest):
        for number in range(1, 3_000):
            message = place(number) if number % 3 else accepted(number)
            recorder.append(ACCOUNT, message, AT_NS + number)
    assert journal.digest() == digest.digest() == digest_of(load(path))


def test_the_digest_sees_time_account_and_order() -> None:
    def digest(*rows: tuple[str, int, int]) -> str:
        recorder = DigestRecorder()
        for account, number, at_ns in rows:
            recorder.append(account, accepted(number), at_ns)
        return recorder.digest()

    plain = digest(("a", 1, 5), ("a", 2, 6))
    assert plain == digest(("a", 1, 5), ("a", 2, 6))
    assert len({plain, digest(("a", 2, 6), ("a", 1, 5)), digest(("b", 1, 5), ("a", 2, 6))}) == 3
    assert plain != digest(("a", 1, 5), ("a", 2, 7))


def test_the_digest_recorder_counts_and_never_waits() -> None:
    recorder = DigestRecorder()
    seqs = [recorder.append(ACCOUNT, accepted(number), AT_NS) for number in range(2_500)]
    assert seqs == list(range(1, 2_501))
    assert recorder.commit().result(0) == 2_500


def test_only_messages_of_the_domain_are_journaled(journal: JournalWriter) -> None:
    for recorder in (journal, DigestRecorder()):
        with pytest.raises(BrokenInvariant, match="cannot be journaled"):
            recorder.append(ACCOUNT, place(1).order, AT_NS)


# -- what must not be lost -------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from engine.domain.events import OrderAccepted
from storage.journal_writer import JournalWriter
journal = JournalWriter(Path(sys.argv[1]), engine_id="e1")
number = 0
while True:
    for _ in range(50):
        number += 1
        journal.append("paper", OrderAccepted(account="paper", order=number), number)
    print(journal.commit().result(), flush=True)
"""


def test_kill_9_in_the_middle_leaves_a_journal_that_loads(path: Path) -> None:
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    )
    assert child.stdout is not None
    proven = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    proven += [int(line) for line in child.stdout.read().splitlines()]
    child.stdout.close()
    assert child.wait(150) == -signal.SIGKILL
    records = list(load(path))
    assert len(records) >= proven[-1]
    assert [decode(record).order for record in records] == list(range(1, len(records) + 1))
    again = JournalWriter(path, engine_id="e1")
    assert again.seq == len(records)
    again.close()


def test_a_lock_of_another_process_delays_but_loses_nothing(
    journal: JournalWriter, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    fill(journal, 10)
    with pytest.raises(StorageError, match="locked by another process"):
        journal.commit().result(150)
    assert journal.failure is not None
    fill(journal, 10, start=11)
    other.execute("ROLLBACK")
    other.close()
    journal.flush()
    assert journal.failure is None
    assert [decode(record).order for record in load(path)] == list(range(1, 21))


def test_a_full_disk_is_told_and_writing_goes_on_when_there_is_space(
    journal: JournalWriter, path: Path
) -> None:
    fill(journal, 1)
    journal.flush()
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    fill(journal, 3_000, start=2)
    with pytest.raises(StorageError, match="disk is full; free some space"):
        journal.commit().result(150)
    assert last_seq(path) == 1
    fill(journal, 10, start=3_002)
    journal._connection.execute("PRAGMA max_page_count = 100000")
    journal.flush()
    assert [decode(record).order for record in load(path)] == list(range(1, 3_012))
    assert journal.failure is None


LIMITED = """
import resource, sys
from pathlib import Path
from engine.domain.events import OrderAccepted
from engine.errors import StorageError
from storage.journal_writer import JournalWriter
journal = JournalWriter(Path(sys.argv[1]), engine_id="e1", patience_s=20)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
for number in range(1, 20_001):
    journal.append("paper", OrderAccepted(account="paper", order=number), number)
try:
    journal.commit().result(150)
except StorageError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
journal.flush()
journal.close()
"""


@pytest.mark.parametrize("left", [False, True])
def test_a_journal_moved_away_takes_nothing_until_it_is_back(
    journal: JournalWriter, path: Path, left: bool
) -> None:
    fill(journal, 3)
    journal.flush()
    moved = path.rename(path.with_name("moved.db"))
    if left:
        path.touch()
    fill(journal, 2, start=4)
    with pytest.raises(StorageError, match="deleted, moved or replaced while it was open"):
        journal.commit().result(150)
    moved.replace(path)
    journal.flush()
    assert [record.seq for record in load(path)] == [1, 2, 3, 4, 5]


def test_a_file_size_limit_is_told_and_nothing_is_lost(path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    assert "check the disk, its free space and the limits" in done.stdout
    assert [decode(record).order for record in load(path)] == list(range(1, 20_001))


def test_closing_on_a_refusing_disk_says_how_many_are_missing(path: Path) -> None:
    journal = JournalWriter(path, engine_id="e1", busy_ms=10, patience_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    fill(journal, 7)
    with pytest.raises(StorageError, match="7 journal records could not be written"):
        journal.close()
    other.close()


def test_a_full_queue_raises_live(path: Path) -> None:
    journal = JournalWriter(path, engine_id="e1", queue_max=100, busy_ms=10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    fill(journal, 100)
    with pytest.raises(StorageError, match="queue is full: 100 records wait"):
        journal.append(ACCOUNT, accepted(101), AT_NS)
    other.execute("ROLLBACK")
    other.close()
    journal.flush()
    assert journal.append(ACCOUNT, accepted(101), AT_NS) == 101
    journal.close()
    assert last_seq(path) == 101


def test_a_full_queue_waits_in_replay(path: Path) -> None:
    journal = JournalWriter(path, engine_id="e1", queue_max=100, waits_when_full=True)
    fill(journal, 5_000)
    journal.close()
    assert last_seq(path) == 5_000


def test_a_closed_journal_refuses_to_commit(path: Path) -> None:
    journal = JournalWriter(path, engine_id="e1")
    journal.close()
    journal.append(ACCOUNT, accepted(1), AT_NS)
    with pytest.raises(StorageError, match="closed"):
        journal.commit().result(150)


def test_a_second_writer_is_told(journal: JournalWriter, path: Path) -> None:
    fill(journal, 1)
    journal.flush()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("INSERT INTO records VALUES (2, 0, '', '', x'', 0, 0)")
    fill(journal, 1, start=2)
    with pytest.raises(StorageError, match="two engines share one journal"):
        journal.commit().result(150)
    other.execute("DELETE FROM records WHERE seq = 2")
    other.close()
    journal.flush()


def test_a_start_that_lost_its_lease_keeps_nothing_any_more(path: Path) -> None:
    take_lease(path, "e1")
    older = JournalWriter(path, engine_id="e1", patience_s=0.1)
    fill(older, 1)
    older.flush()
    take_lease(path, "e1")
    younger = JournalWriter(path, engine_id="e1")
    fill(older, 1, start=2)
    with pytest.raises(LeaseLost, match="start 2 of this engine has taken the lease of start 1"):
        older.commit().result(150)
    fill(younger, 1, start=2)
    younger.flush()
    younger.close()
    with pytest.raises(StorageError, match="could not be written"):
        older.close()
    assert last_seq(path) == 2


def test_a_start_that_writes_nothing_receives_that_it_lost_its_lease(path: Path) -> None:
    take_lease(path, "e1")
    older = JournalWriter(path, engine_id="e1", patience_s=1e6)
    received, lost = threading.Event(), []
    older.on_lease_lost(lambda error: (lost.append(error), received.set()))
    take_lease(path, "e1")
    assert received.wait(150)
    assert "start 2 of this engine has taken the lease of start 1" in str(lost[0])
    older.close()  # nothing of it can be written: nobody waits for that, or this would not end
    assert len(lost) == 1


# -- what must be found ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "body = CAST(substr(body, 1, 5) || x'00' || substr(body, 7) AS BLOB)",
        "at_ns = at_ns + 1",
        "account = 'other'",
        "kind = 'OrderDelayed'",
        "tape = 1",
        "crc = crc + 1",
        "body = 'text'",
    ],
)
def test_a_changed_record_is_found_and_named(
    journal: JournalWriter, path: Path, damage: str
) -> None:
    fill(journal, 5)
    journal.flush()
    other = sqlite3.connect(path)
    with other:
        other.execute(f"UPDATE records SET {damage} WHERE seq = 3")
    other.close()
    with pytest.raises(JournalCorrupt, match="record 3 does not match its checksum"):
        list(load(path))
    assert len(list(load(path, after_seq=3))) == 2


def test_a_byte_flipped_in_the_file_is_found(path: Path) -> None:
    journal = JournalWriter(path, engine_id="e1")
    for number in range(1, 101):
        journal.append("needle-account", accepted(number), AT_NS)
    journal.close()
    raw = bytearray(path.read_bytes())
    where = raw.index(b"needle-account")
    raw[where] ^= 1
    path.write_bytes(raw)
    with pytest.raises(JournalCorrupt, match="does not match its checksum"):
        list(load(path))


def test_a_missing_record_is_told(journal: JournalWriter, path: Path) -> None:
    fill(journal, 5)
    journal.flush()
    other = sqlite3.connect(path)
    with other:
        other.execute("DELETE FROM records WHERE seq = 3")
    other.close()
    with pytest.raises(JournalCorrupt, match="lacks record 3: record 4 follows"):
        list(load(path))


def test_a_journal_shorter_than_what_was_used_is_told(journal: JournalWriter, path: Path) -> None:
    fill(journal, 5)
    journal.flush()
    assert list(load(path, after_seq=5)) == []
    with pytest.raises(JournalCorrupt, match="ends at record 5, but record 6 was already used"):
        list(load(path, after_seq=6))


def test_an_unknown_kind_is_told(journal: JournalWriter, path: Path) -> None:
    fill(journal, 1)
    journal.flush()
    from storage.journal_writer import names_sum, record_sum

    crc = record_sum(names_sum("a", "Teleported"), 2, 0, 0, b"")
    other = sqlite3.connect(path)
    with other:
        other.execute("INSERT INTO records VALUES (2, 0, 'a', 'Teleported', x'', ?, 0)", (crc,))
    other.close()
    with pytest.raises(JournalCorrupt, match="unknown kind 'Teleported'"):
        list(load(path))


def test_bytes_that_are_no_message_are_told(journal: JournalWriter, path: Path) -> None:
    from storage.journal import Record

    with pytest.raises(JournalCorrupt, match="record 9 is no readable OrderAccepted"):
        decode(Record(seq=9, at_ns=0, account="a", kind="OrderAccepted", body=b"\x80"))
    with pytest.raises(JournalCorrupt, match="unknown kind"):
        decode(Record(seq=9, at_ns=0, account="a", kind="Teleported", body=b"\x80"))


def test_files_of_others_are_refused(tmp_path: Path, path: Path) -> None:
    JournalWriter(path, engine_id="e1").close()
    with pytest.raises(StorageError, match="belongs to engine 'e1', not to 'e2'"):
        JournalWriter(path, engine_id="e2")
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(StorageError, match="is not a journal of Pitboss"):
        JournalWriter(foreign, engine_id="e1")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageError, match="journal version 99"):
        list(load(path))
    text = tmp_path / "text.db"
    text.write_text("not a database at all, just some text that is long enough" * 20)
    with pytest.raises(StorageError, match="is not a SQLite database"):
        JournalWriter(text, engine_id="e1")
    with pytest.raises(StorageError, match="does not exist"):
        list(load(tmp_path / "none.db"))


# -- snapshots -------------------------------------------------------------------------------------


def test_snapshot_and_tail_give_the_full_fold(journal: JournalWriter, path: Path) -> None:
    total = 0
    for number in range(1, 5_001):
        seq = journal.append(ACCOUNT, accepted(number), AT_NS + number)
        total += number
        if number % 1_000 == 0:
            journal.snapshot("sum", str(total).encode(), seq)
    journal.flush()
    snapshots = latest_snapshots(path)
    assert snapshots.problems == ()
    assert snapshots.seq == 5_000
    other = sqlite3.connect(path)
    with other:
        other.execute("UPDATE snapshots SET body = x'39' WHERE seq = 5000")
    assert other.execute("SELECT count(*) FROM snapshots").fetchone()[0] == 3
    other.close()
    damaged = latest_snapshots(path)
    assert damaged.problems == ("snapshot 'sum' at record 5000 does not match its checksum",)
    elder = damaged.by_name["sum"]
    assert elder.seq == damaged.seq == 4_000
    tail = sum(decode(record).order for record in load(path, after_seq=elder.seq))
    assert int(elder.body) + tail == total


def test_a_snapshot_is_durable_when_its_commit_is(journal: JournalWriter, path: Path) -> None:
    fill(journal, 1)
    journal.flush()
    journal.snapshot("late", b"x", 1)
    journal.commit().result(150)
    assert latest_snapshots(path).by_name["late"].body == b"x"


def test_a_snapshot_ahead_of_the_journal_is_refused_and_told(
    journal: JournalWriter, path: Path
) -> None:
    fill(journal, 3)
    with pytest.raises(BrokenInvariant, match="the last is 3"):
        journal.snapshot("sum", b"", 4)
    journal.snapshot("sum", b"", 3)
    journal.flush()
    other = sqlite3.connect(path)
    with other:
        other.execute("DELETE FROM records WHERE seq = 3")
    other.close()
    found = latest_snapshots(path)
    assert found.by_name == {}
    assert found.seq == 0
    assert "ahead of the journal (2)" in found.problems[0]
