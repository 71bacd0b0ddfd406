"""Fees in another asset: tables, rows of pages, exports and the second witness."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.assets import Asset, Money, asset
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    CashMoved,
    FillSettled,
    FillVoided,
    InstrumentListed,
    OrderFilled,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind, Leg, Mode, Side
from engine.domain.jobs import Exported, ExportFormat
from engine.domain.orders import Order, OrderId
from engine.executor.ledger import Ledger
from pages.orders.page import sentence
from storage.equity_identity import EquityCheck, LedgerSide, judge
from storage.export import export
from storage.live import put_instrument
from storage.loss import _fill_of
from storage.views.drill_down import fill_sums, fills_behind
from tests.storage.books import DEMO, Books

BTC, BNB, CURRENCY = asset("BTC"), asset("BNB"), asset("pUSD")
PAIR = Instrument(
    id=InstrumentId("demo:BTC/pUSD"), kind=Kind.SPOT, currency="pUSD", price_decimals=2,
    size_decimals=5, tick=1, lot=1, base=BTC,
)  # fmt: skip
CASH = 10_000 * 1_000_000


class Both:
    """A ledger and its journal's tables, which receive the same."""

    def __init__(self, connection: Connection, engine_id: str) -> None:
        self.books = Books(connection, engine_id)
        put_instrument(connection, engine_id, PAIR, 1)
        self.ledger = Ledger(currency="pUSD")
        self.ledger.listed(PAIR)
        self.ledger.move_cash(CASH)
        moved = CashMoved(account=DEMO, currency="pUSD", amount_micro=CASH)
        self.books.tell(moved, InstrumentListed(instrument=PAIR))

    def fill(self, number: int, fee: Money | None, **changes: Any) -> None:
        given = {"side": Side.BUY, "size": 254, "bot": "maker", "state": FillState.MATCHED}
        given |= changes
        order = Order(
            account=DEMO, id=OrderId(number), bot=BotId(str(given["bot"])), instrument=PAIR.id,
            leg=Leg.BASE, side=given["side"], price=1_000_000, size=given["size"], created_ns=1,
        )  # fmt: skip
        event = OrderFilled(
            account=DEMO, order=order.id, fill=FillId(f"f{number}"), price=1_000_000,
            size=given["size"], fee_micro=0, liquidity=Liquidity.TAKER, state=given["state"],
            fee=msgspec.UNSET if fee is None else fee,
        )  # fmt: skip
        self.books.tell(PlaceOrder(order=order), event)
        self.ledger.book(order, event)

    def end(self, number: int, *, void: bool) -> None:
        name, kind = FillId(f"f{number}"), FillVoided if void else FillSettled
        self.books.tell(kind(account=DEMO, fill=name))
        self.ledger.advance(name, FillState.FAILED if void else FillState.CONFIRMED)

    def check(self, **changes: Any) -> EquityCheck:
        state, held = self.ledger.state, self.ledger.holding(PAIR.id)
        fields: dict[str, Any] = {
            "account": DEMO, "mode": Mode.DEMO, "currency": "pUSD", "at_ns": 9,
            "seq": self.books.seq, "cash_micro": state.cash_settled_micro,
            "pending_micro": state.cash_pending_micro, "inventory_micro": 0,
            "equity_micro": state.cash_settled_micro + state.cash_pending_micro, "marks": {},
            "tokens": {(PAIR.id, Leg.BASE): held.position} if held.position else {},
            "assets": self.ledger.in_assets(),
        }  # fmt: skip
        return judge(self.books.connection, self.books.engine_id, LedgerSide(**fields | changes))


@pytest.fixture
def both(connection: Connection) -> Both:
    return Both(connection, "e1")


def test_twelve_satoshi_are_twelve_from_the_fill_to_page_and_export(
    both: Both, state: Path, tmp_path: Path
) -> None:
    both.fill(1, Money.paid(BTC, "0.00000012"), state=FillState.CONFIRMED)
    both.fill(2, Money.paid(BNB, "0.00003401"))
    both.books.connection.commit()

    shown = fills_behind(both.books.connection, "e1", mode=Mode.DEMO)
    assert {row["fee_paid"] for row in shown} == {"0.00000012 BTC", "0.00003401 BNB"}
    for form in ExportFormat:
        target = tmp_path / f"fills.{form}"
        export(
            state, target, what=Exported.FILLS, mode=Mode.DEMO, since_ns=0, until_ns=99,
            form=form, on_progress=lambda *_: None,
        )  # fmt: skip
        text = target.read_text(encoding="utf-8")
        rows = json.loads(text) if form is ExportFormat.JSON else csv.DictReader(text.splitlines())
        first = next(row for row in rows if row["id"] == "f1")
        assert (first["fee_amount"], first["fee_asset"]) == ("0.00000012", "BTC")
        assert str(first["fee_amount_raw"]) == "12"
    held = both.books.connection.execute("SELECT settled, pending, dust FROM positions").fetchone()
    assert tuple(held) == (253, 254, 988)


def test_a_fill_behind_a_lost_journal_keeps_its_fee(both: Both) -> None:
    both.fill(1, Money(BTC, 12))
    both.fill(2, None)
    both.books.connection.row_factory = Row
    rows = both.books.connection.execute(
        'SELECT *, order_id AS "order", id AS fill FROM fills ORDER BY id'
    ).fetchall()
    again = [_fill_of(row) for row in rows]
    assert [one.fee for one in again] == [Money(BTC, 12), msgspec.UNSET]


def test_both_witnesses_count_every_asset_and_a_satoshi_apart_is_named(both: Both) -> None:
    both.fill(1, Money(BTC, 12))
    both.fill(2, Money(BNB, 7))
    assert both.check().text == ""

    ours = both.ledger.in_assets()
    assert ours == {"BTC": 507_988 * 10**10, "BNB": -7 * 10**10}
    text = both.check(assets=ours | {"BTC": ours["BTC"] + 10**10}).text
    assert text == "BTC: the ledger has 0.00507989, the journal's fills sum to 0.00507988"
    text = both.check(assets={"BTC": ours["BTC"]}).text
    assert text == "BNB: the ledger has 0, the journal's fills sum to -0.00000007"


def test_the_sum_of_fills_names_fees_of_every_asset_and_no_void_ones(both: Both) -> None:
    both.fill(1, Money(BTC, 12))
    both.fill(2, Money(BTC, 1))
    both.fill(3, Money(Asset("ETH", 18), 9 * 10**18 + 7))
    both.fill(4, Money(Asset("ETH", 18), 9 * 10**18))
    both.fill(5, Money(BNB, 500))
    both.end(5, void=True)

    (sums,) = fill_sums(both.books.connection, "e1", mode=Mode.DEMO)
    assert sums.fees_in_assets == ("0.00000013 BTC", "18.000000000000000007 ETH")
    assert " · fees 0.00 pUSD and 0.00000013 BTC and 18.000000000000000007 ETH · " in sentence(sums)


@pytest.mark.parametrize("sign", [1, -1])
def test_fees_of_eighteen_decimals_sum_beyond_an_int64(both: Both, sign: int) -> None:
    large = Money(Asset("ETH", 18), sign * (9 * 10**18 + 7))
    both.fill(1, large)
    both.fill(2, large)

    assert both.ledger.in_assets()["ETH"] == -2 * large.amount
    assert both.check().text == ""


def test_holdings_of_eighteen_decimals_sum_beyond_an_int64(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = msgspec.structs.replace(PAIR, size_decimals=18, base=Asset("ETH", 18))
    monkeypatch.setitem(globals(), "PAIR", fine)
    both, large = Both(connection, "fine"), 6 * 10**18 + 7
    both.fill(1, None, size=large, bot="a")
    both.fill(2, None, size=large, bot="b")

    assert both.ledger.in_assets()["ETH"] == 2 * large
    assert both.check().text == ""


FEES = st.one_of(
    st.none(),
    st.builds(Money, st.sampled_from([BTC, BNB, CURRENCY]), st.integers(-2_000, 4_000)),
)
FILLS = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(10, 900), FEES, st.sampled_from("ab"),
              st.sampled_from([None, True, False])),
    max_size=10,
)  # fmt: skip
RUNS = iter(range(1, 10_000))


@given(FILLS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_ledger_and_journal_agree_in_every_asset_whatever_fills_become(
    connection: Connection, fills: list[Any]
) -> None:
    both = Both(connection, f"run{next(RUNS)}")
    for number, (wanted, size, fee, bot, void) in enumerate(fills, 1):
        free = both.ledger.owned(PAIR.id, BotId(bot)).yes.settled
        side = wanted if size <= free - 5 and void is None else Side.BUY
        both.fill(number, fee, side=side, size=size, bot=bot)
        if void is not None or side is Side.SELL:
            both.end(number, void=bool(void))
        both.ledger.check()
        assert both.check().text == ""
