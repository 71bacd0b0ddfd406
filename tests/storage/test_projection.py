from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    OrderChanged,
    PlaceOrder,
    QueryOpenOrders,
    SetTimer,
)
from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    CashMoved,
    FillAdvanced,
    FillSettled,
    FillsListed,
    FillVoided,
    InstrumentListed,
    InstrumentResolved,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderNamed,
    OrderNotFound,
    OrderSent,
    OrderUnanswered,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
    Side,
)
from engine.domain.orders import Identity, Order, OrderId, OrderState
from engine.errors import JournalCorrupt, StorageError
from storage.database import connect_writer, transaction, writing
from storage.journal_writer import names_sum, open_journal, record_sum, write_batch
from storage.projected import TABLES
from storage.projection import Projected, project, register_account

PAPER = AccountId("paper")
BINARY = InstrumentId("polymarket:0xdd")
AT_NS = 1_700_000_000_000_000_000


def order(number: int, side: Side = Side.BUY, size: int = 10_000_000, **more: Any) -> PlaceOrder:
    return PlaceOrder(
        order=Order(
            account=more.get("account", PAPER),
            id=OrderId(number),
            bot=BotId(more.get("bot", "maker")),
            instrument=more.get("instrument", BINARY),
            leg=more.get("leg", Leg.YES),
            side=side,
            price=4_900,
            size=size,
            created_ns=AT_NS,
        )
    )


def fill(number: int, name: str, size: int = 10_000_000, **more: Any) -> OrderFilled:
    return OrderFilled(
        account=more.get("account", PAPER),
        order=OrderId(number),
        fill=FillId(name),
        price=more.get("price", 4_900),
        size=size,
        fee_micro=more.get("fee", 7),
        liquidity=Liquidity.MAKER,
        state=more.get("state", FillState.MATCHED),
    )


def changed_to(number: int, state: OrderState, filled: int = 0, reason: str = "") -> OrderChanged:
    return OrderChanged(
        account=PAPER, order=OrderId(number), state=state, filled=filled, reason=reason
    )


LISTED = InstrumentListed(
    instrument=Instrument(
        id=BINARY,
        kind=Kind.BINARY,
        currency="USD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
    )
)


class Desk:
    """A journal and a state file in one folder."""

    def __init__(self, folder: Path, empty_state: Path) -> None:
        self.journal = folder / "journal.db"
        self.state = Path(shutil.copy(empty_state, folder / "pitboss.db"))
        self._connection, self.seq = open_journal(self.journal, "e1", synchronous="OFF")
        # The last connection to close moves the log into the file and waits for the disk.
        self._held = connect_writer(self.state)
        self._held.execute("SELECT count(*) FROM orders").fetchone()
        for account, mode in ((PAPER, Mode.PAPER), (AccountId("live"), Mode.LIVE)):
            self.register(account, mode)

    def register(self, account: AccountId, mode: Mode) -> None:
        with writing(self.state) as connection:
            register_account(
                connection,
                engine_id="e1",
                account=account,
                mode=mode,
                venue="polymarket",
                currency="USD",
            )

    def write(self, *messages: msgspec.Struct) -> None:
        rows = []
        for message in messages:
            self.seq += 1
            kind = type(message).__name__
            body = msgspec.msgpack.encode(message)
            at_ns = AT_NS + self.seq
            crc = record_sum(names_sum(PAPER, kind), self.seq, at_ns, 0, body)
            rows.append((self.seq, at_ns, PAPER, kind, body, crc, 0))
        write_batch(self._connection, rows, [])

    def project(self, *messages: msgspec.Struct) -> Projected:
        self.write(*messages)
        return project(self.journal, self.state)

    def rows(self, table: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.state)) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
        return sorted(found, key=str)

    def order(self, number: int = 1) -> dict[str, Any]:
        (found,) = (row for row in self.rows("orders") if row["id"] == number)
        return found

    def position(self) -> dict[str, Any]:
        (found,) = self.rows("positions")
        return found

    def close(self) -> None:
        self._connection.close()
        self._held.close()


@pytest.fixture
def desk(tmp_path: Path, empty_state: Path) -> Any:
    made = Desk(tmp_path, empty_state)
    yield made
    made.close()


# -- what rows tell --------------------------------------------------------------------------------


def test_an_order_is_told_from_its_placing_to_its_fill(desk: Desk) -> None:
    desk.project(
        LISTED,
        order(1),
        OrderNamed(account=PAPER, order=OrderId(1), identity=Identity("0xab")),
        OrderSent(account=PAPER, order=OrderId(1)),
        OrderAccepted(account=PAPER, order=OrderId(1)),
        changed_to(1, OrderState.OPEN),
        fill(1, "f1", 4_000_000),
        changed_to(1, OrderState.PARTIAL, 4_000_000),
    )
    row = desk.order()
    assert (row["engine_id"], row["mode"], row["bot"]) == ("e1", "paper", "maker")
    assert (row["state"], row["filled"], row["identity"]) == ("partial", 4_000_000, "0xab")
    desk.project(fill(1, "f2", 6_000_000), changed_to(1, OrderState.FILLED, 10_000_000))
    assert desk.order()["state"] == "filled"
    assert desk.order()["fee_micro"] == 14
    assert [row["value_micro"] for row in desk.rows("fills")] == [1_960_000, 2_940_000]
    position = desk.position()
    assert (position["pending"], position["settled"]) == (10_000_000, 0)
    assert (position["spent_micro"], position["unvalued"]) == (4_900_000, 0)


def test_a_fill_settles_or_is_reversed_once(desk: Desk) -> None:
    desk.project(
        order(1),
        fill(1, "f1", 4_000_000),
        fill(1, "f2", 6_000_000),
        FillAdvanced(account=PAPER, fill=FillId("f1"), state=FillState.MINED),
        FillSettled(account=PAPER, fill=FillId("f1")),
        FillSettled(account=PAPER, fill=FillId("f1")),
        FillVoided(account=PAPER, fill=FillId("f2")),
        FillVoided(account=PAPER, fill=FillId("f2")),
    )
    position = desk.position()
    assert (position["settled"], position["pending"]) == (4_000_000, 0)
    assert (position["bought"], position["fee_micro"], position["unvalued"]) == (4_000_000, 7, 1)
    assert desk.order()["voided"] == 6_000_000
    assert [row["state"] for row in desk.rows("fills")] == ["confirmed", "failed"]


def test_a_fill_told_twice_is_booked_once(desk: Desk) -> None:
    again = FillsListed(
        account=PAPER, since_ns=0, fills=(fill(1, "f1", state=FillState.CONFIRMED),)
    )
    desk.project(order(1), fill(1, "f1"), fill(1, "f1"), again, fill(1, "f1"))
    assert desk.position()["settled"] == 10_000_000
    assert len(desk.rows("fills")) == 1


def test_news_that_overtakes_its_fill_waits_for_it(desk: Desk) -> None:
    desk.project(order(1), FillVoided(account=PAPER, fill=FillId("f1")))
    assert len(desk.rows("early_news")) == 1
    desk.project(fill(1, "f1"))
    assert desk.rows("early_news") == []
    assert desk.position()["pending"] == 0
    assert desk.rows("fills")[0]["state"] == "failed"


def test_a_contradiction_about_a_fill_is_told_and_changes_nothing(desk: Desk) -> None:
    done = desk.project(
        order(1),
        fill(1, "f1"),
        FillSettled(account=PAPER, fill=FillId("f1")),
        FillVoided(account=PAPER, fill=FillId("f1")),
    )
    assert done.problems == ("record 4: fill f1 is confirmed, told failed",)
    assert desk.position()["settled"] == 10_000_000


def test_a_late_fill_after_the_cancel_is_booked(desk: Desk) -> None:
    desk.project(
        order(1),
        OrderSent(account=PAPER, order=OrderId(1)),
        changed_to(1, OrderState.CANCELLED, reason="asked"),
        fill(1, "f1", 1_000_000),
        changed_to(1, OrderState.CANCELLED, 1_000_000),
    )
    row = desk.order()
    assert (row["state"], row["filled"], row["reason"]) == ("cancelled", 1_000_000, "asked")
    assert [row["size"] for row in desk.rows("fills")] == [1_000_000]


def test_a_row_stands_where_the_engine_says_whatever_the_venue_answers(desk: Desk) -> None:
    number = OrderId(1)
    lost = OrderUnanswered(account=PAPER, order=number, reason="timeout")
    desk.project(
        order(1),
        OrderSent(account=PAPER, order=number),
        lost,
        changed_to(1, OrderState.UNKNOWN, reason="timeout"),
        OrderNotFound(account=PAPER, order=number),
        OrderNotFound(account=PAPER, order=number),
        OrderNotFound(account=PAPER, order=number),
    )
    assert (desk.order()["state"], desk.order()["reason"]) == ("unknown", "timeout")
    asked, empty = QueryOpenOrders(account=PAPER), OpenOrdersListed(account=PAPER, orders=())
    desk.project(asked, empty, asked, empty, CancelAll(account=PAPER))
    assert desk.order()["state"] == "unknown"
    desk.project(changed_to(1, OrderState.CANCELLED, reason="the venue does not know it"))
    assert (desk.order()["state"], desk.order()["reason"]) == (
        "cancelled",
        "the venue does not know it",
    )


def test_an_order_filled_but_for_a_rest_too_small_stays_filled(desk: Desk) -> None:
    desk.project(
        order(1),
        OrderSent(account=PAPER, order=OrderId(1)),
        fill(1, "f1", 9_995_000),
        changed_to(1, OrderState.FILLED, 9_995_000),
        OrderCancelled(account=PAPER, order=OrderId(1)),
    )
    assert (desk.order()["state"], desk.order()["filled"]) == ("filled", 9_995_000)


def test_what_happened_tells_by_itself_where_an_order_went_unless_it_moved_since(
    desk: Desk,
) -> None:
    """The plain moves of a quote are told once each: an `OrderChanged` tells the others."""
    number = OrderId(1)
    steps = (
        (OrderNamed(account=PAPER, order=number, identity=Identity("0xab")), "sent", ""),
        (OrderAccepted(account=PAPER, order=number), "open", ""),
        (CancelOrders(account=PAPER, orders=(number,)), "cancelling", ""),
        (OrderAccepted(account=PAPER, order=number), "cancelling", ""),
        (OrderCancelled(account=PAPER, order=number), "cancelled", "asked"),
        (CancelOrders(account=PAPER, orders=(number,)), "cancelled", "asked"),
    )
    desk.project(order(1))
    for event, state, reason in steps:
        desk.project(event)
        assert (desk.order()["state"], desk.order()["reason"]) == (state, reason)
    desk.project(changed_to(1, OrderState.UNKNOWN), *(event for event, *_ in steps))
    assert desk.order()["state"] == "unknown", "only the executor's word leads out"


def test_an_order_on_its_way_is_told_by_what_was_sent_unless_it_moved_since(desk: Desk) -> None:
    sent = OrderSent(account=PAPER, order=OrderId(1))
    desk.project(order(1))
    assert desk.order()["state"] == "pending"
    desk.project(sent)
    assert desk.order()["state"] == "sent"
    desk.project(changed_to(1, OrderState.CANCELLING), sent)
    assert desk.order()["state"] == "cancelling"


def test_orders_the_journal_never_placed_are_told(desk: Desk) -> None:
    done = desk.project(
        changed_to(9, OrderState.OPEN),
        fill(9, "f1"),
        SetTimer(at_ns=1, name="x"),
    )
    assert done.records == 3
    assert len(done.problems) == 2
    assert "order 9 at paper, which the journal never placed" in done.problems[0]
    assert desk.rows("fills") == []


def test_what_an_instrument_pays_is_noted(desk: Desk) -> None:
    resolved = InstrumentResolved(instrument=BINARY, payout_yes_micro=1_000_000, source="uma")
    desk.project(LISTED, resolved)
    (row,) = desk.rows("listings")
    assert (row["value_divisor"], row["payout_yes_micro"]) == (10_000, 1_000_000)


def test_an_unregistered_account_is_told_and_nothing_is_half_done(desk: Desk) -> None:
    with pytest.raises(StorageError, match="it registers its accounts"):
        desk.project(order(1), order(2, account=AccountId("new")))
    assert desk.rows("orders") == []
    desk.register(AccountId("new"), Mode.DEMO)
    desk.project()
    assert [row["mode"] for row in desk.rows("orders")] == ["demo", "paper"]
    with pytest.raises(StorageError, match="is demo and cannot become live"):
        desk.register(AccountId("new"), Mode.LIVE)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ("seq = 99", "journal.db ends at record 2, but .*pitboss.db has read it up to record 99"),
        ("crc = crc + 1", "goes on to record 2 with another past: .* read it up to record 2"),
    ],
)
def test_rows_of_records_the_journal_lacks_are_never_thrown_away(
    desk: Desk, damage: str, text: str
) -> None:
    desk.project(order(1), fill(1, "f1"))
    whole = desk.rows("orders"), desk.rows("fills"), desk.rows("positions")
    with writing(desk.state) as connection, transaction(connection):
        connection.execute(f"UPDATE projection SET {damage}")
    with pytest.raises(JournalCorrupt, match=text):
        desk.project()
    assert (desk.rows("orders"), desk.rows("fills"), desk.rows("positions")) == whole


# -- rebuilt equals kept ---------------------------------------------------------------------------


def test_a_projection_that_disagrees_is_rebuilt(desk: Desk) -> None:
    desk.project(order(1), fill(1, "f1"))
    whole = desk.rows("orders"), desk.rows("fills"), desk.rows("positions")
    with writing(desk.state) as connection, transaction(connection):
        connection.execute("UPDATE projection SET version = 0")
        connection.execute("UPDATE positions SET pending = 1")
        connection.execute("INSERT INTO early_news VALUES ('e1', 'paper', 'z', 'mined', 1)")
    done = desk.project()
    assert (done.rebuilt, done.records) == (True, 2)
    assert (desk.rows("orders"), desk.rows("fills"), desk.rows("positions")) == whole
    assert desk.project() == Projected(seq=2, records=0, rebuilt=False, problems=())


def test_a_damaged_journal_is_not_projected(desk: Desk) -> None:
    desk.project(order(1))
    desk.write(order(2))
    desk._connection.execute("UPDATE records SET at_ns = 1 WHERE seq = 2")
    with pytest.raises(JournalCorrupt, match="record 2"):
        desk.project()
    assert len(desk.rows("orders")) == 1


NUMBERS = st.integers(1, 4)
FILLS = st.sampled_from(["f1", "f2", "f3", "f4", "f5", "f6"])
SIZES = st.sampled_from([1_000_000, 5_000_000, 10_000_000])
OF_ORDER = st.sampled_from(
    [OrderSent, OrderAccepted, OrderCancelled, OrderExpired, OrderNotFound, CancelRefused]
)
STREAMS = st.lists(
    st.one_of(
        st.builds(order, NUMBERS, st.sampled_from(Side)),
        st.builds(fill, NUMBERS, FILLS, SIZES, state=st.sampled_from(FillState)),
        st.builds(fill, NUMBERS, FILLS, SIZES),
        st.builds(lambda kind, n: kind(account=PAPER, order=OrderId(n)), OF_ORDER, NUMBERS),
        st.builds(
            lambda n: OrderUnanswered(account=PAPER, order=OrderId(n), reason="lost"), NUMBERS
        ),
        st.builds(lambda n: CancelUnanswered(account=PAPER, order=OrderId(n)), NUMBERS),
        st.builds(changed_to, NUMBERS, st.sampled_from(OrderState), SIZES),
        st.builds(
            lambda kind, name: kind(account=PAPER, fill=FillId(name)),
            st.sampled_from([FillSettled, FillVoided]),
            FILLS,
        ),
        st.just(CancelAll(account=PAPER)),
        st.just(LISTED),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=40)
@given(stream=STREAMS, cuts=st.lists(st.integers(0, 40), max_size=4))
def test_the_projection_kept_equals_the_projection_rebuilt(
    stream: Sequence[msgspec.Struct], cuts: list[int], empty_state: Path
) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        kept, rebuilt = Desk(Path(one), empty_state), Desk(Path(two), empty_state)
        edges = [0, *sorted(cuts), len(stream)]
        for start, end in pairwise(edges):
            kept.project(*stream[start:end])
        rebuilt.project(*stream)
        for table in (*TABLES, "projection"):
            assert kept.rows(table) == rebuilt.rows(table), table
        check_sums(rebuilt)
        kept.close()
        rebuilt.close()


def check_sums(desk: Desk) -> None:
    """Positions are the sum of the fills that are not void, and nothing else."""
    alive = [row for row in desk.rows("fills") if row["state"] != "failed"]
    for row in desk.rows("positions"):
        mine = [f for f in alive if f["leg"] == row["leg"]]
        signed = [(f["size"] if f["side"] == "buy" else -f["size"], f["state"]) for f in mine]
        assert row["settled"] == sum(size for size, state in signed if state == "confirmed")
        assert row["pending"] == sum(size for size, state in signed if state != "confirmed")
        assert row["fee_micro"] == sum(f["fee_micro"] for f in mine)
        assert row["unvalued"] == sum(f["value_micro"] is None for f in mine)
        assert row["bought"] - row["sold"] == row["settled"] + row["pending"]
    for row in desk.rows("orders"):
        fees = [f["fee_micro"] for f in alive if f["order_id"] == row["id"]]
        assert row["fee_micro"] == sum(fees)


def test_a_projection_stops_where_it_is_told_and_goes_on_from_there(desk: Desk) -> None:
    desk.write(LISTED, order(1), fill(1, "f1"), fill(1, "f1", state=FillState.CONFIRMED))
    stopped = project(desk.journal, desk.state, until_seq=3)
    assert (stopped.seq, desk.rows("fills")[0]["state"]) == (3, "matched")
    assert project(desk.journal, desk.state, until_seq=2).seq == 3
    assert project(desk.journal, desk.state).seq == 4
    assert desk.rows("fills")[0]["state"] == "confirmed"


def test_cash_that_moves_is_kept_with_its_record(desk: Desk) -> None:
    desk.project(CashMoved(account=PAPER, currency="USD", amount_micro=-5))
    (row,) = desk.rows("cash_moves")
    assert (row["seq"], row["mode"], row["amount_micro"]) == (1, "paper", -5)
