"""Retention: a journal that is archived and thinned is the same past; what may go goes in order."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bench.recovery import BEGIN_NS, BOTS, DEMO, MS, executor, messages
from engine.config import load as load_config
from engine.domain.effects import OrderChanged
from engine.domain.events import OrderFilled, OrderSent
from engine.domain.instruments import AccountId, Leg, Mode
from engine.domain.orders import OrderId, OrderState
from engine.errors import BadInput, JournalCorrupt
from engine.runtime.recovery import recover, remember
from storage import retention
from storage.database import connect_reader, reading, writing
from storage.incidents import journal_span, journaled_accounts, seq_before
from storage.journal import Record, blocks, last_seq, load, record_at, take_lease, thinned_to
from storage.journal_writer import JournalWriter, names_sum, record_sum
from storage.known_accounts import known_accounts
from storage.markouts import HORIZONS_MS, FillSeen, MarkoutState, answer, begin, dues_of
from storage.projection import project, register_account
from storage.retention import (
    archive_records,
    keep_bytes,
    prune_state,
    survey,
    thin_journal,
    truncate_logs,
)
from storage.tape_blocks import FILE_MAGIC, framed, segment_name
from storage.tick_log import END, MAGIC
from storage.views.journal import history_of, search_journal
from storage.views.markouts import by_bot

ENGINE = "pitboss"
RECORDS = 6_000
SNAPSHOTS = (4_000, 5_000)


class Crash(BaseException):
    """The program dies here."""


class Desk:
    """A journal with an executor's snapshots, and the state that was projected from it."""

    def __init__(self, journal: Path, state: Path) -> None:
        self.journal = journal
        self.state = state

    @classmethod
    def written(cls, folder: Path, empty_state: Path) -> Desk:
        """Return one that traded in a folder of its own."""
        desk = cls(folder / "journal.db", Path(shutil.copy(empty_state, folder / "pitboss.db")))
        with writing(desk.state) as connection:
            register_account(
                connection, engine_id=ENGINE, account=DEMO, mode=Mode.DEMO, venue="demo",
                currency="pUSD",
            )  # fmt: skip
        _write(desk.journal)
        project(desk.journal, desk.state)
        return desk

    def recovered(self) -> bytes:
        fresh = executor()
        recover(self.journal, {DEMO: fresh})
        return fresh.snapshot()

    def records(self, after: int = 0) -> list[Record]:
        return list(load(self.journal, after))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.state)) as connection:
            return connection.execute(query).fetchall()

    def money(self) -> list[list[tuple[object, ...]]]:
        """Return what must never go."""
        return [
            self.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
            for table in ("fills", "cash_moves", "positions", "listings")
        ]

    def thin(self, bytes_max: int = 0, **more: object) -> retention.Thinned:
        return thin_journal(self.journal, self.state, ENGINE, bytes_max=bytes_max, **more)  # type: ignore[arg-type]

    def seen(self) -> tuple[int, list[int]]:
        """Return how many records stand outside the archive, and the blocks' last ones."""
        with reading(self.journal) as connection:
            count = connection.execute("SELECT count(*) FROM records").fetchone()[0]
            return count, [one.last for one in blocks(connection, self.journal)]


def _write(path: Path) -> None:
    take_lease(path, ENGINE)
    writer = JournalWriter(path, engine_id=ENGINE, waits_when_full=True, synchronous="OFF")
    lived = executor()
    for account, message in _messages():
        now_ns = BEGIN_NS + writer.seq * MS
        seq = writer.append(account, message, now_ns)
        remember(lived, message, now_ns)
        if seq in SNAPSHOTS:
            writer.snapshot(f"executor:{DEMO}", lived.snapshot(), seq)
            writer.snapshot(BOTS, msgspec.msgpack.encode({}), seq)
        if seq == RECORDS:
            break
    writer.close()


def _messages() -> Iterator[tuple[str, msgspec.Struct]]:
    """Give a life, and where its executor says that each filled order stands."""
    for account, message in messages():
        yield account, message
        if isinstance(message, OrderFilled):
            yield account, OrderChanged(
                account=DEMO, order=message.order, state=OrderState.FILLED, filled=message.size,
                reason="",
            )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_state: Path) -> Desk:
    return Desk.written(tmp_path_factory.mktemp("retained"), empty_state)


@pytest.fixture
def desk(made: Desk, tmp_path: Path) -> Desk:
    return Desk(
        Path(shutil.copy(made.journal, tmp_path / "journal.db")),
        Path(shutil.copy(made.state, tmp_path / "pitboss.db")),
    )


def archive(desk: Desk, **more: object) -> int:
    return archive_records(desk.journal, tail=1_000, size=500, **more)  # type: ignore[arg-type]


def test_an_archived_journal_is_the_same_journal_in_a_tenth(desk: Desk) -> None:
    before, state = desk.records(), desk.recovered()
    plain = sum(len(record.body) for record in before[:5_000])
    middle = before[2_750]
    assert archive(desk) == 5_000
    assert desk.seen() == (1_000, list(range(500, 5_001, 500)))
    assert desk.records() == before
    assert desk.records(4_711) == before[4_711:]
    assert desk.recovered() == state
    assert last_seq(desk.journal) == RECORDS
    assert record_at(desk.journal, middle.seq) == middle
    assert seq_before(desk.journal, middle.at_ns) == middle.seq - 1
    assert journaled_accounts(desk.journal) == [DEMO]
    assert DEMO in known_accounts(desk.journal, desk.state).places
    assert journal_span(desk.journal).last_seq == RECORDS
    assert len(search_journal(desk.journal, kind="PlaceOrder", limit=10_000).records) == len(
        [one for one in before if one.kind == "PlaceOrder"]
    )
    with reading(desk.journal) as connection:
        packed = connection.execute("SELECT sum(length(body)) FROM archive").fetchone()[0]
    assert packed < plain / 5


def test_an_orders_life_is_read_out_of_the_archive(desk: Desk) -> None:
    def read(number: int) -> tuple[list[str], bool]:
        ((created, last),) = desk.rows(f"SELECT created_ns, seq FROM orders WHERE id = {number}")
        found = history_of(
            desk.journal, account=DEMO, order=number, created_ns=int(str(created)),
            last_seq=int(str(last)),
        )  # fmt: skip
        return [one.kind for one in found.moments], found.gone

    before = read(7), read(400)
    archive(desk)
    assert (read(7), read(400)) == before
    assert before[0][0][0] == "PlaceOrder"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("step", ["insert", "delete", "commit"])
def test_whoever_dies_while_records_are_archived_has_lost_none(desk: Desk, step: str) -> None:
    before, left = desk.records(), 3

    def dies(at: str) -> None:
        nonlocal left
        left -= at == step
        if not left:
            raise Crash

    with pytest.raises(Crash):
        archive(desk, step=dies)
    assert desk.seen() == (5_000, [500, 1_000])
    assert desk.records() == before
    assert archive(desk) == 4_000
    assert desk.records() == before


def test_a_damaged_record_is_never_archived(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.journal)) as connection, connection:
        connection.execute("UPDATE records SET at_ns = at_ns + 1 WHERE seq = 700")
    with pytest.raises(JournalCorrupt, match="record 700"):
        archive(desk)
    assert desk.seen() == (5_500, [500])


def test_a_damaged_block_is_named(desk: Desk) -> None:
    archive(desk)
    with closing(sqlite3.connect(desk.journal)) as connection, connection:
        connection.execute("UPDATE archive SET last_ns = 0, accounts = '[]' WHERE first = 501")
    with pytest.raises(JournalCorrupt, match="records 501 to 1000 are damaged"):
        desk.records()


def test_a_thinned_journal_recovers_alike_and_keeps_all_that_money_did(
    desk: Desk, empty_state: Path
) -> None:
    archive(desk)
    state, money = desk.recovered(), desk.money()
    unfilled = len(desk.rows("SELECT id FROM orders WHERE state = 'cancelled'"))
    gone = desk.thin()
    # Up to the elder of the two snapshots, and no further.
    with reading(desk.journal) as connection:
        assert thinned_to(connection) == (4_000, BEGIN_NS + 3_999 * MS)
    assert gone.records > 2_500
    assert 0 < gone.orders < unfilled
    assert desk.recovered() == state
    assert desk.money() == money
    # A projection that is built anew from what is left has the same money, and no order less.
    orders = desk.rows("SELECT id, state, filled FROM orders ORDER BY id")
    with closing(sqlite3.connect(desk.state)) as connection, connection:
        connection.execute("UPDATE projection SET version = 0")
    found = project(desk.journal, desk.state)
    assert found.rebuilt
    assert found.problems == ()
    assert desk.money() == money
    assert desk.rows("SELECT id, state, filled FROM orders ORDER BY id") == orders


def test_what_is_gone_is_said(desk: Desk) -> None:
    archive(desk)
    desk.thin()
    with pytest.raises(BadInput, match=r"records up to 4000 \(.* were pruned under the disk"):
        desk.records()
    assert len(desk.records(4_000)) == 2_000
    (words,) = (one.words for one in history(desk, desk.journal.parent) if one.kind == "journal")
    assert words == "up to record 4,000: only records about money are kept"
    assert journal_span(desk.journal).first_seq == 4_001


def test_nothing_goes_that_a_start_or_a_projection_still_needs(desk: Desk) -> None:
    archive(desk)
    with closing(sqlite3.connect(desk.journal)) as connection, connection:
        connection.execute("DELETE FROM snapshots WHERE seq = 5000")
    before = desk.records()
    assert desk.thin() == retention.Thinned()
    assert desk.records() == before


def test_an_account_without_snapshots_keeps_all_and_holds_up_nobody(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.journal)) as connection, connection:
        body = msgspec.msgpack.encode(OrderSent(account=AccountId("gone"), order=OrderId(1)))
        at_ns = BEGIN_NS + 2 * MS
        crc = record_sum(names_sum("gone", "OrderSent"), 3, at_ns, 0, body)
        values = ("gone", "OrderSent", body, crc, at_ns)
        connection.execute(
            "UPDATE records SET account = ?, kind = ?, body = ?, crc = ?, at_ns = ? WHERE seq = 3",
            values,
        )
    archive(desk)
    desk.thin()
    with reading(desk.journal) as connection:
        assert thinned_to(connection)[0] == 4_000
    left = list(load(desk.journal, thinned=True))
    assert [one.seq for one in left if one.account == "gone"] == [3]


def test_nothing_goes_beyond_what_the_state_or_a_backup_has_read(desk: Desk) -> None:
    archive(desk)
    desk.thin(never_past=1_700)
    with reading(desk.journal) as connection:
        assert thinned_to(connection)[0] == 1_500
    with closing(sqlite3.connect(desk.state)) as connection, connection:
        # Exactly at a block's end: that record is what the state knows its journal by.
        connection.execute("UPDATE projection SET seq = 2500")
    desk.thin()
    with reading(desk.journal) as connection:
        assert thinned_to(connection)[0] == 2_000


def test_no_more_goes_than_the_budget_asks(desk: Desk) -> None:
    archive(desk)
    with closing(connect_reader(desk.journal)) as connection:
        used = retention.used_bytes(connection)
    assert desk.thin(used) == retention.Thinned()
    desk.thin(used - 1)
    with reading(desk.journal) as connection:
        assert thinned_to(connection)[0] == 500


@pytest.mark.sampled(1)
@pytest.mark.parametrize("step", ["orders", "thin", "commit"])
def test_whoever_dies_while_a_block_is_thinned_goes_on_later(desk: Desk, step: str) -> None:
    archive(desk)
    state, money, left = desk.recovered(), desk.money(), 3

    def dies(at: str) -> None:
        nonlocal left
        left -= at == step
        if not left:
            raise Crash

    with pytest.raises(Crash):
        desk.thin(step=dies)
    with reading(desk.journal) as connection:
        assert thinned_to(connection)[0] == 1_000
    assert (desk.recovered(), desk.money()) == (state, money)
    desk.thin()
    assert (desk.recovered(), desk.money()) == (state, money)


def test_the_state_loses_its_oldest_orders_without_a_fill_first(desk: Desk) -> None:
    money = desk.money()
    with closing(connect_reader(desk.state)) as connection:
        used = retention.used_bytes(connection)
    assert prune_state(desk.state, ENGINE, bytes_max=used, least=0) == (0, 0)
    assert prune_state(desk.state, ENGINE, bytes_max=0, least=10_000) == (0, 0)
    orders, _ = prune_state(desk.state, ENGINE, bytes_max=used - 1, least=0)
    assert orders == min(retention.ORDERS_AT_ONCE, 923)
    assert desk.money() == money
    with closing(connect_reader(desk.state)) as connection:
        words = retention.orders_gone(connection)
    assert words.startswith(f"{orders:,} orders of all modes without a fill, placed before ")
    (state,) = (one for one in history(desk, desk.state.parent) if one.kind == "state")
    assert state.words == words


def test_answered_markouts_of_a_final_fill_go_though_its_market_never_resolves(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.state)) as connection, connection:
        for number, (fill, at_ns) in enumerate(desk.rows("SELECT id, at_ns FROM fills LIMIT 3")):
            seen = FillSeen(
                account=DEMO, fill=str(fill), mode=Mode.DEMO, bot="maker", instrument="demo:event",
                liquidity="maker", leg=Leg.YES, sign=1, price_micro=480_000, at_ns=int(str(at_ns)),
            )  # fmt: skip
            begin(connection, ENGINE, seen)
            for due in dues_of(seen):
                answer(connection, ENGINE, due, MarkoutState.KNOWN, 10_000)
            final = "confirmed" if number else "matched"
            connection.execute("UPDATE fills SET state = ? WHERE id = ?", (final, fill))
        before = by_bot(connection, ENGINE, mode=Mode.DEMO)
    _, gone = prune_state(desk.state, ENGINE, bytes_max=0, least=0)
    assert gone == 2 * len(HORIZONS_MS), "one fill may still fail"
    left = desk.rows("SELECT state, count(*) FROM markouts GROUP BY state ORDER BY state")
    assert left == [("due", 3), ("known", len(HORIZONS_MS))]
    with reading(desk.state) as connection:
        assert by_bot(connection, ENGINE, mode=Mode.DEMO) == before


def test_files_go_oldest_first_and_the_last_ones_never(tmp_path: Path) -> None:
    made = []
    for number in range(5):
        folder = tmp_path / f"2026-01-0{number + 1}"
        folder.mkdir()
        (folder / "pitboss.db").write_bytes(b"x" * 100)
        made.append(folder)
    assert keep_bytes(made, 250, least=1) == made[:3]
    assert keep_bytes(made[3:], 0, least=1) == [made[3]]
    assert retention.folders_of(tmp_path) == [made[4]]


def test_half_a_deleted_folder_is_no_folder_and_is_finished_later(tmp_path: Path) -> None:
    half, whole = tmp_path / f"{retention.GONE}2026-01-01", tmp_path / "2026-01-02"
    for folder in (half, whole):
        folder.mkdir()
        (folder / "pitboss.db").write_bytes(b"x")
    assert retention.folders_of(tmp_path) == [whole]
    assert keep_bytes([whole], 0, least=1) == []
    assert not half.exists()


def history(
    desk: Desk, home: Path, now_ns: int = BEGIN_NS + RECORDS * MS
) -> list[retention.HistoryKept]:
    places = load_config({"PITBOSS_HOME": str(home), "PITBOSS_DISK_BUDGET": "1 GB"})
    assert places.journal_path == desk.journal
    return survey(places.history, places.share, now_ns)


def test_bytes_a_day_and_days_left_come_of_what_is_kept(desk: Desk, tmp_path: Path) -> None:
    half_a_day = BEGIN_NS + retention.DAY_NS // 2
    journal = history(desk, tmp_path, half_a_day)[0]
    assert journal.per_day == pytest.approx(2 * journal.bytes, rel=0.01)
    assert journal.days_left == pytest.approx(
        (150_000_000 - journal.bytes) / (2 * journal.bytes), rel=0.01
    )
    young = history(desk, tmp_path)
    assert [one.days_left for one in young] == [None] * 7


def test_what_is_still_written_is_complete_since_it_was_begun(desk: Desk, tmp_path: Path) -> None:
    tape, log = tmp_path / "tape" / segment_name(1), tmp_path / "ticks" / "log"
    tape.parent.mkdir()
    log.mkdir(parents=True)
    two = [framed(b"x", number, 1, BEGIN_NS + number, BEGIN_NS + number) for number in (1, 2)]
    tape.write_bytes(FILE_MAGIC + b"".join(two))  # appended to just now
    (log / f"{BEGIN_NS // MS:015d}{END}").write_bytes(MAGIC)
    found = {one.kind: one.since_ns for one in history(desk, tmp_path)}
    assert found["tape"] == BEGIN_NS + 1
    assert found["ticks"] == BEGIN_NS // MS * MS
    tape.write_bytes(b"torn")
    assert {one.kind: one.since_ns for one in history(desk, tmp_path)}["tape"] is None


def test_a_log_is_ended_where_nobody_reads_and_left_where_somebody_does(desk: Desk) -> None:
    log = desk.state.with_name(desk.state.name + "-wal")
    with writing(desk.state) as held:
        held.execute("CREATE TABLE more AS SELECT * FROM orders")
        with reading(desk.state) as reader:
            rows = reader.execute("SELECT count(*) FROM orders").fetchone()
            held.execute("DELETE FROM more")
            truncate_logs((desk.state, desk.journal.with_name("not there.db")))
            assert log.stat().st_size > 0
            assert reader.execute("SELECT count(*) FROM orders").fetchone() == rows
        truncate_logs((desk.state,))
        assert log.stat().st_size == 0
        assert held.execute("SELECT count(*) FROM more").fetchone() == (0,)
