"""A journal whose write-ahead log was deleted, cut or has a bit flipped, beside its projections."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from engine.domain.commands.trading import TransferHolding
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    CashKind,
    CashMoved,
    FillsListed,
    HoldingTransferred,
    InstrumentListed,
    LossAccepted,
    OrderFilled,
    OrderNamed,
    RedemptionsListed,
)
from engine.domain.instruments import MANUAL, AccountId, BotId, InstrumentId, Kind, Leg, Mode
from engine.domain.orders import Identity, OrderId
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.funding import HOUR_NS, RateType
from engine.domain.settings import AccountSettings
from engine.errors import JournalCorrupt
from engine.executor.executor import Executor
from engine.runtime.recovery import executor_of, recover
from storage.commands import CommandState, answer, claim, leave
from storage.database import Table, connect_reader, transaction, writing
from storage.journal import last_seq, load, take_lease
from storage.journal_writer import JournalWriter
from storage.live import put_instrument
from storage.loss import UNSEEN_MAX, accept, known_of
from storage.projected.cash_moves import CashRow, FundingRow
from storage.projected.positions import LiquidationRow
from storage.projection import check_past, find_loss, project, register_account
from storage.schema import migrate
from tests.storage.books import DEMO, SHARE, TERMS, bought

ENGINE = "pitboss"
BOT = BotId("maker")
ORDERS = 21
FRAME, HEADER = 4_096 + 24, 32
Damage = Callable[[Path], None]


def _delete(log: Path) -> None:
    log.unlink()


def _cut(share: float) -> Damage:
    def damage(log: Path) -> None:
        whole = log.read_bytes()
        log.write_bytes(whole[: HEADER + int((len(whole) - HEADER) * share)])

    return damage


def _flip(share: float) -> Damage:
    """Flip one bit in the content of the frame that far into the log; above 1 = of the header."""

    def damage(log: Path) -> None:
        whole = bytearray(log.read_bytes())
        frames = (len(whole) - HEADER) // FRAME
        at = 17 if share > 1 else HEADER + int((frames - 1) * share) * FRAME + 24 + 40
        whole[at] ^= 0x10
        log.write_bytes(bytes(whole))

    return damage


DAMAGES: dict[str, Damage] = {
    "deleted": _delete,
    "cut to nothing": lambda log: log.write_bytes(b""),
    **{f"cut at {share}": _cut(share) for share in (0.0, 0.25, 0.5, 0.75, 0.99)},
    **{f"bit at {share}": _flip(share) for share in (2.0, 0.01, 0.5, 0.75, 1.0)},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A desk that died: 21 orders, each filled, all projected, all in the write-ahead log."""
    journal, state = tmp_path / "journal.db", tmp_path / "pitboss.db"
    live = tmp_path / "live.db"
    migrate(state)
    with writing(state) as connection:
        register_account(
            connection, engine_id=ENGINE, account=DEMO, mode=Mode.DEMO, venue="demo",
            currency="pUSD",
        )  # fmt: skip
        with transaction(connection):
            put_instrument(connection, ENGINE, TERMS, 1)
    take_lease(live, ENGINE)
    writer = JournalWriter(live, engine_id=ENGINE)
    writer.append("", InstrumentListed(instrument=TERMS), 1)
    writer.append(DEMO, CashMoved(account=DEMO, currency="pUSD", amount_micro=1_000 * 1_000_000), 2)
    for number in range(1, ORDERS + 1):
        place, fill = bought(number, 5_000, SHARE)
        name = OrderNamed(account=DEMO, order=OrderId(number), identity=Identity(f"n-{number}"))
        for message in (place, name, fill):
            writer.append(DEMO, message, 10 * number)
        writer.flush()
    project(live, state)
    for suffix in ("", "-wal"):
        shutil.copy(f"{live}{suffix}", f"{journal}{suffix}")
    writer.close()
    return tmp_path


def executor(journal: Path) -> Executor:
    made = executor_of(AccountSettings(name="demo", venue="demo", mode=Mode.DEMO), 1)[0]
    recover(journal, {AccountId(DEMO): made})
    return made


def rows(state: Path, table: str) -> list[tuple[object, ...]]:
    with closing(connect_reader(state)) as connection:
        return connection.execute(f"SELECT id, price, size FROM {table} ORDER BY id").fetchall()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_journal_behind_its_projections_stops_with_both_numbers_and_one_way_goes_on(
    home: Path, damage: Damage
) -> None:
    journal, state = home / "journal.db", home / "pitboss.db"
    read = 2 + 3 * ORDERS
    before = {table: rows(state, table) for table in ("orders", "fills")}
    damage(journal.with_name("journal.db-wal"))

    with pytest.raises(JournalCorrupt, match=rf"has read it up to record {read}\b") as refused:
        check_past(journal, state, ENGINE)
    loss = find_loss(journal, state, ENGINE)
    assert loss is not None
    left = loss.journal_seq
    assert left < loss.projected_seq == read
    assert (f"ends at record {left}," if left else "missing or empty") in str(refused.value)

    known = known_of(journal, state, ENGINE)
    above = known.last[DEMO] + UNSEEN_MAX
    accepted = LossAccepted(
        account=DEMO, orders_until=OrderId(above), since_ns=known.since_ns, journal_seq=left,
        projected_seq=read, projected_crc=loss.crc, who="ann",
    )  # fmt: skip
    last = accept(
        journal, ENGINE, loss, [*known.messages(), (DEMO, accepted, 999)], fence=known.fence
    )

    assert last == last_seq(journal)
    check_past(journal, state, ENGINE)
    project(journal, state)
    assert {table: rows(state, table) for table in before} == before
    placed = [record for record in load(journal) if record.kind == PlaceOrder.__name__]
    assert len(placed) == ORDERS
    ours = executor(journal)
    assert ours.ledger.held[TERMS.id].yes_settled + ours.ledger.held[TERMS.id].yes_pending == (
        ORDERS * SHARE
    )
    assert ours._table.numbers.floor == ORDERS + UNSEEN_MAX
    assert ours._table.numbers.last == ORDERS
    assert take_lease(journal, ENGINE) > UNSEEN_MAX


def test_tokens_that_came_without_a_trade_are_given_back_behind_their_terms(home: Path) -> None:
    other = msgspec.structs.replace(TERMS, id=InstrumentId("demo:other"))
    came = CashRow(
        account=DEMO, seq=999, mode=Mode.DEMO, currency="pUSD", amount_micro=7,
        kind=CashKind.DEPOSIT, payment="", paid_ns=4, at_ns=5, instrument=other.id, leg=Leg.NO,
        tokens=SHARE,
    )  # fmt: skip
    with writing(home / "pitboss.db") as connection, transaction(connection):
        put_instrument(connection, ENGINE, other, 1)
        Table(CashRow, "cash_moves").put(connection, ENGINE, [came])
    known = known_of(home / "journal.db", home / "pitboss.db", ENGINE)
    made = [one for _, one, _ in known.messages()]
    moved = CashMoved(
        account=AccountId(DEMO), currency="pUSD", amount_micro=7, paid_ns=4, instrument=other.id,
        leg=Leg.NO, tokens=SHARE,
    )  # fmt: skip
    assert made.index(InstrumentListed(instrument=other)) < made.index(moved)


def test_funding_that_is_lost_is_given_back_as_funding(home: Path) -> None:
    row = FundingRow(
        account=DEMO, instrument=TERMS.id, stamp_ns=HOUR_NS, rate_type=RateType.SPECIAL, seq=999,
        mode=Mode.DEMO, currency="pUSD", amount_micro=-7, rate_e18=10**14, mark_e8=10**8,
        payment="tran 1", at_ns=HOUR_NS + 5,
    )  # fmt: skip
    moved = CashRow(
        account=DEMO, seq=999, mode=Mode.DEMO, currency="pUSD", amount_micro=-7,
        kind=CashKind.FUNDING, payment="funding:x", paid_ns=HOUR_NS, at_ns=HOUR_NS + 5,
        instrument=TERMS.id,
    )  # fmt: skip
    with writing(home / "pitboss.db") as connection, transaction(connection):
        Table(FundingRow, "funding").put(connection, ENGINE, [row])
        Table(CashRow, "cash_moves").put(connection, ENGINE, [moved])
    known = known_of(home / "journal.db", home / "pitboss.db", ENGINE)
    paid = FundingPaid(
        account=AccountId(DEMO), instrument=TERMS.id, currency="pUSD", amount_micro=-7,
        stamp_ns=HOUR_NS, rate_type=RateType.SPECIAL, rate_e18=10**14, mark_e8=10**8,
        payment="tran 1",
    )  # fmt: skip
    assert (DEMO, paid, HOUR_NS + 5) in known.messages()


def test_a_liquidation_that_is_lost_is_given_back_once_behind_its_terms(home: Path) -> None:
    perpetual = msgspec.structs.replace(
        TERMS, id=InstrumentId("demo:perp"), kind=Kind.PERPETUAL, price_decimals=2, size_decimals=4
    )
    taken = PositionLiquidated(
        account=AccountId(DEMO), instrument=perpetual.id, currency="pUSD", liquidation="3",
        size=-700, value_micro=-140, fee_micro=10, mark_e8=10**8, at_ns=5,
    )  # fmt: skip
    row = LiquidationRow(
        account=DEMO, name=taken.name, mode=Mode.DEMO, instrument=perpetual.id, size=-700,
        value_micro=-140, fee_micro=10, mark_e8=10**8, at_ns=5, seq=999,
    )  # fmt: skip
    with writing(home / "pitboss.db") as connection, transaction(connection):
        put_instrument(connection, ENGINE, perpetual, 1)
        Table(LiquidationRow, "liquidations").put(connection, ENGINE, [row])
    known = known_of(home / "journal.db", home / "pitboss.db", ENGINE)
    made = [one for _, one, _ in known.messages()]
    assert made.index(InstrumentListed(instrument=perpetual)) < made.index(taken)
    told = RedemptionsListed(
        account=AccountId(DEMO), since_ns=0, redemptions=(), liquidations=(taken,)
    )
    _write(home / "journal.db", told)
    known = known_of(home / "journal.db", home / "pitboss.db", ENGINE)
    assert taken not in [one for _, one, _ in known.messages()]


def give(state: Path, command: TransferHolding, name: str, at_ns: int) -> None:
    """Let a person give what an owner holds, as the engine answers it."""
    with writing(state) as connection:
        leave(connection, engine_id=ENGINE, id=name, command=command, who="ann", now_ns=at_ns)
        claim(connection, ENGINE, at_ns)
        with transaction(connection):
            answer(
                connection, ENGINE, name, state=CommandState.DONE, text="given", now_ns=at_ns + 1
            )


def test_a_transfer_that_is_lost_is_given_back_once_behind_its_fills(home: Path) -> None:
    journal, state = home / "journal.db", home / "pitboss.db"
    asked = TransferHolding(
        account=DEMO, instrument=TERMS.id, leg=Leg.YES, size=SHARE, price=6_000,
        from_owner=BOT, to_owner=MANUAL,
    )  # fmt: skip
    kept = HoldingTransferred(**msgspec.structs.asdict(asked), who="ann")
    give(state, asked, "kept", 10_000)
    _write(journal, kept)
    give(state, asked, "lost", 10_005)
    give(state, msgspec.structs.replace(asked, size=2 * SHARE), "too", 10_006)
    found = known_of(journal, state, ENGINE)
    assert [(one.size, at_ns) for _, one, at_ns in found.transfers] == [
        (SHARE, 10_006), (2 * SHARE, 10_007),
    ]  # fmt: skip
    assert [one for _, one, _ in found.messages() if one == kept]


def test_a_funding_that_the_journal_has_in_a_listing_is_not_lost(home: Path) -> None:
    paid = FundingPaid(
        account=AccountId(DEMO), instrument=TERMS.id, currency="pUSD", amount_micro=-7,
        stamp_ns=HOUR_NS,
    )  # fmt: skip
    later = msgspec.structs.replace(paid, stamp_ns=2 * HOUR_NS)
    listed = RedemptionsListed(
        account=AccountId(DEMO), since_ns=0, redemptions=(), fundings=(paid, later)
    )
    _write(home / "journal.db", listed)
    project(home / "journal.db", home / "pitboss.db")
    known = known_of(home / "journal.db", home / "pitboss.db", ENGINE)
    assert [one for _, one, _ in known.messages() if isinstance(one, FundingPaid)] == []


def _write(journal: Path, message: msgspec.Struct) -> None:
    take_lease(journal, ENGINE)
    writer = JournalWriter(journal, engine_id=ENGINE)
    writer.append(DEMO, message, 10_000)
    writer.close()


def test_a_whole_journal_has_lost_nothing(home: Path) -> None:
    journal, state = home / "journal.db", home / "pitboss.db"
    check_past(journal, state, ENGINE)
    assert find_loss(journal, state, ENGINE) is None


def test_records_written_behind_a_loss_do_not_hide_it(home: Path) -> None:
    journal, state = home / "journal.db", home / "pitboss.db"
    _cut(0.5)(journal.with_name("journal.db-wal"))
    take_lease(journal, ENGINE)
    writer = JournalWriter(journal, engine_id=ENGINE)
    for number in range(200):
        writer.append(
            DEMO, CashMoved(account=DEMO, currency="pUSD", amount_micro=1), 1_000 + number
        )
    writer.close()
    with pytest.raises(JournalCorrupt, match="with another past"):
        check_past(journal, state, ENGINE)
    with pytest.raises(JournalCorrupt, match="with another past"):
        project(journal, state)
    assert len(rows(state, "fills")) == ORDERS


def test_fills_that_a_kill_met_behind_the_loss_are_booked_with_their_orders(home: Path) -> None:
    journal, state = home / "journal.db", home / "pitboss.db"
    _cut(0.5)(journal.with_name("journal.db-wal"))
    take_lease(journal, ENGINE)
    met = FillsListed(
        account=DEMO, since_ns=0,
        fills=tuple(bought(number, 5_000, SHARE)[1] for number in range(1, ORDERS + 1)),
    )  # fmt: skip
    writer = JournalWriter(journal, engine_id=ENGINE)
    writer.append(DEMO, met, 10_000)
    writer.close()

    known = known_of(journal, state, ENGINE)

    lost = {order.id for order in known.orders}
    assert lost
    fills = {message.order for _, message, _ in known.fills if isinstance(message, OrderFilled)}
    assert lost == fills
    assert known.since_ns <= min(order.created_ns for order in known.orders)
