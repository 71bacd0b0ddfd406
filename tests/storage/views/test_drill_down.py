from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection

import msgspec
import pytest

from engine.domain.assets import Asset, Money, asset
from engine.domain.events import FillSettled, FillVoided, InstrumentListed
from engine.domain.fills import FillId
from engine.domain.instruments import Kind, Leg, Mode, Side
from pages.runs.filled import sentence
from storage import runs
from storage.journal_writer import names_sum, open_journal, record_sum, write_batch
from storage.views import drill_down
from storage.views.drill_down import FillSums, fill_sums, fills_behind, orders_behind
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books, bought


@pytest.fixture
def books(connection: Connection) -> Books:
    """Three fills an hour apart; the last one failed to settle."""
    made = Books(connection)
    made.tell(InstrumentListed(instrument=TERMS))
    made.at_ns = 1_000
    made.tell(*bought(1, 4_000, 10 * SHARE, fee=7))
    made.at_ns = 2_000
    made.tell(*bought(2, 6_000, 5 * SHARE, side=Side.SELL))
    made.at_ns = 3_000
    made.tell(*bought(3, 5_000, SHARE, Leg.NO), FillVoided(account=DEMO, fill=FillId("f3")))
    return made


def test_fills_are_those_of_the_period_the_state_and_the_place(books: Books) -> None:
    def found(**only: object) -> list[str]:
        rows = fills_behind(books.connection, "e1", mode=Mode.DEMO, **only)  # type: ignore[arg-type]
        return [row["id"] for row in rows]

    assert found() == ["f3", "f2", "f1"]
    assert found(since_ns=2_000) == ["f3", "f2"]
    assert found(until_ns=2_000) == ["f1"]
    assert found(state="failed") == ["f3"]
    assert found(account=DEMO, bot="maker", instrument=M1, liquidity="maker") == ["f3", "f2", "f1"]
    for nobody in ("account", "bot", "instrument", "liquidity"):
        assert found(**{nobody: "another"}) == []
    assert fills_behind(books.connection, "e1", mode=Mode.LIVE) == []


def test_sums_leave_out_what_is_void_and_say_how_much(books: Books) -> None:
    (sums,) = fill_sums(books.connection, "e1", mode=Mode.DEMO)
    assert sums == FillSums(
        currency="pUSD",
        count=3,
        failed=1,
        unvalued=0,
        bought=Decimal(4),
        sold=Decimal(3),
        fees=Decimal("0.000007"),
        cash=Decimal("-1.000007"),
    )
    (late,) = fill_sums(books.connection, "e1", mode=Mode.DEMO, since_ns=2_000, bot="maker")
    assert (late.count, late.bought, late.sold) == (2, 0, 3)
    assert fill_sums(books.connection, "e1", mode=Mode.DEMO, instrument="another") == []


def test_orders_are_told_apart_by_what_is_left_of_them(books: Books) -> None:
    def found(**only: object) -> list[int]:
        rows = orders_behind(books.connection, "e1", mode=Mode.DEMO, **only)  # type: ignore[arg-type]
        return [row["id"] for row in rows]

    assert found() == [3, 2, 1]
    assert found(open_only=True) == []
    assert found(bot="another") == []


def test_a_column_nobody_knows_is_refused(books: Books) -> None:
    with pytest.raises(ValueError, match="no column to filter by: size"):
        fill_sums(books.connection, "e1", mode=Mode.DEMO, size="1")


def test_a_period_is_found_by_the_index_of_time(books: Books) -> None:
    plan = books.connection.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM fills t WHERE engine_id = 'e1' AND mode = 'demo' "
        "AND at_ns >= 1 AND at_ns < 2 ORDER BY at_ns DESC LIMIT 5"
    ).fetchall()
    assert "ix_fills_engine_id_mode_at_ns" in str(plan)
    assert drill_down.FOREVER_NS == 2**63 - 1


# -- of a run --------------------------------------------------------------------------------------


def kept(path: Path, *messages: msgspec.Struct) -> Path:
    """Write a journal of these messages, a nanosecond apart."""
    connection, _ = open_journal(path, "replay")
    rows = []
    for seq, message in enumerate(messages, start=1):
        kind, body = type(message).__name__, msgspec.msgpack.encode(message)
        crc = record_sum(names_sum(DEMO, kind), seq, seq, 0, body)
        rows.append((seq, seq, DEMO, kind, body, crc, 0))
    write_batch(connection, rows, [])
    connection.close()
    return path


def test_a_runs_fills_come_from_its_journal_each_once(tmp_path: Path) -> None:
    order, fill = bought(1, 4_000, 10 * SHARE, fee=7)
    path = kept(
        tmp_path / "journal.db",
        InstrumentListed(instrument=TERMS),
        order,
        fill,
        fill,
        FillSettled(account=DEMO, fill=FillId("f1")),
        *bought(2, 6_000, 5 * SHARE, side=Side.SELL),
        FillVoided(account=DEMO, fill=FillId("f2")),
    )
    found = runs.run_fills(path)
    assert [(row["id"], row["state"]) for row in found.rows] == [
        ("f2", "failed"),
        ("f1", "confirmed"),
    ]
    first = found.rows[1]
    assert (first["price"], first["size"], first["value"]) == (Decimal("0.4"), 10, 4)
    assert (first["side"], first["leg"], first["bot"], first["at_ns"]) == ("buy", "yes", "maker", 3)
    assert (found.count, found.failed, found.whole) == (2, 1, True)
    assert (found.bought_micro, found.sold_micro, found.fees_micro) == (4 * SHARE, 0, 7)
    assert runs.run_fills(path, instrument="another").count == 0
    assert [row["id"] for row in runs.run_fills(path, most=1).rows] == ["f2"]
    behind = runs.run_fills(path, after=1)
    assert ([row["id"] for row in behind.rows], behind.count) == (["f1"], 2)


def test_a_runs_sum_names_fees_of_every_asset_and_adds_those_in_its_currency(
    tmp_path: Path,
) -> None:
    large = Money(Asset("ETH", 18), 9 * 10**18 + 7)
    paid = [Money(asset("BTC"), 12), large, large, Money(asset("pUSD"), 9), Money(asset("BNB"), 5)]
    said: list[msgspec.Struct] = [InstrumentListed(instrument=TERMS)]
    for number, fee in enumerate(paid, start=1):
        order, fill = bought(number, 4_000, SHARE, fee=2)
        said += [order, msgspec.structs.replace(fill, fee=fee)]
    path = kept(tmp_path / "journal.db", *said, FillVoided(account=DEMO, fill=FillId("f5")))

    found = runs.run_fills(path, most=0)
    assert found.fees_in_assets == ("0.00000012 BTC", "18.000000000000000014 ETH")
    assert found.fees_micro == 4 * 2 + 1, "9 hundredths of a micro-unit round up to one"
    fees = " pUSD and 0.00000012 BTC and 18.000000000000000014 ETH · net cash"
    assert fees in sentence(found, "pUSD")


def test_a_runs_sum_says_no_net_cash_of_what_was_held_against_margin(tmp_path: Path) -> None:
    terms = msgspec.structs.replace(TERMS, kind=Kind.PERPETUAL)
    order, fill = bought(1, 4_000, SHARE)
    order = msgspec.structs.replace(order, order=msgspec.structs.replace(order.order, leg=Leg.BASE))
    path = kept(tmp_path / "journal.db", InstrumentListed(instrument=terms), order, fill)
    assert "net cash" not in sentence(runs.run_fills(path), "pUSD")


def test_a_run_of_more_records_than_are_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(tmp_path / "journal.db", *bought(1, 4_000, SHARE))
    monkeypatch.setattr(runs, "RECORDS_MAX", 1)
    found = runs.run_fills(path)
    assert (found.rows, found.whole) == ([], False)
