"""Rows of the venue with every quirk seen in the field (trading API, §3.2 and Appendix B)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.domain.events import (
    CashKind,
)
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import AccountId, BotId, Leg, Side
from engine.domain.orders import Identity, OrderId, OrderState
from engine.domain.unread import UnreadRow
from engine.errors import BadInput, NotSent
from engine.venues.polymarket.account.orders import AccountMemory, TradableMarket
from engine.venues.polymarket.account.rows import (
    Payments,
    RowReader,
    balance_micro,
    holding,
    holdings,
    incomes,
    listed_fills,
    number,
    order_report,
    order_reports,
    trade_fills,
    unnamed_orders,
)
from tests.fakes.polymarket.listing import Listed, identify, instrument_of

INSTRUMENT = instrument_of(identify(Listed(slug="rows"), 7, 1))
YES, NO = INSTRUMENT.tokens or ("", "")
OURS, THEIRS = "0x" + "aB" * 32, "0x" + "cd" * 32
KEY = "key-of-ours"


@pytest.fixture
def reader() -> RowReader:
    memory = AccountMemory()
    memory.add(TradableMarket(instrument=INSTRUMENT, separator=b""))
    memory.name(Identity(OURS.lower()), OrderId(7), BotId("b"))
    return RowReader(account=AccountId("a"), key=KEY, memory=memory)


def order_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": OURS,
        "status": "LIVE",
        "owner": KEY,
        "market": INSTRUMENT.id.partition(":")[2],
        "asset_id": NO,
        "side": "SELL",
        "original_size": "100",
        "size_matched": "25.5",
        "price": "0.505",
        "outcome": "No",
        "expiration": None,
    } | changes


def test_order_is_read_in_its_own_leg(reader: RowReader) -> None:
    report = order_report(order_row(), reader)
    assert (report.order, report.ours, report.leg, report.side) == (7, True, Leg.NO, Side.SELL)
    assert (report.price, report.size, report.filled) == (5_050, 100_000_000, 25_500_000)
    assert report.state is OrderState.PARTIAL


STATES = {
    "LIVE": OrderState.OPEN,
    "ORDER_STATUS_LIVE": OrderState.OPEN,
    "live": OrderState.OPEN,
    "UNMATCHED": OrderState.OPEN,
    "DELAYED": OrderState.DELAYED,
    "MATCHED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "ORDER_STATUS_CANCELED_MARKET_RESOLVED": OrderState.CANCELLED,
    "INVALID": OrderState.CANCELLED,
}


@pytest.mark.parametrize("status", STATES)
def test_status_of_an_order(reader: RowReader, status: str) -> None:
    row = order_row(status=status, size_matched="")
    assert order_report(row, reader).state is STATES[status]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "SLEEPING"},
        {"status": None},
        {"side": "HOLD"},
        {"price": "half"},
        {"price": "NaN"},
        {"id": ""},
        {"id": "0xlost", "owner": None},
    ],
)
def test_order_that_cannot_be_read_is_not_guessed(
    reader: RowReader, changes: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        order_report(order_row(**changes), reader)


def test_nobody_waits_for_the_rest_of_what_matched_as_far_as_it_went(reader: RowReader) -> None:
    cases = [
        ({"order_type": "FAK", "size_matched": "60"}, OrderState.CANCELLED),
        ({"order_type": "FAK", "size_matched": "100"}, OrderState.FILLED),
        ({"order_type": "GTC", "size_matched": "99.99"}, OrderState.CANCELLED),
        ({"order_type": "GTC", "size_matched": "60"}, OrderState.FILLED),
    ]
    for changes, state in cases:
        row = order_row(status="MATCHED", **changes)
        assert order_report(row, reader).state is state


def test_whose_an_order_is(reader: RowReader) -> None:
    cases = [(OURS, "other key", 7, True), (THEIRS, KEY, None, True), (THEIRS, "x", None, False)]
    for identity, owner, order, ours in cases:
        report = order_report(order_row(id=identity, owner=owner), reader)
        assert (report.order, report.ours) == (order, ours)


def test_order_in_a_market_nobody_listed_is_told_by_its_label(reader: RowReader) -> None:
    for outcome, leg in (("Up", Leg.YES), ("Down", Leg.NO), ("Lions", Leg.YES)):
        report = order_report(order_row(asset_id="77", market="0x1", outcome=outcome), reader)
        assert (report.instrument, report.leg) == ("polymarket:0x1", leg)


# -- trades ----------------------------------------------------------------------------------------


def trade_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "28c4d2eb",
        "taker_order_id": THEIRS,
        "asset_id": NO,
        "side": "BUY",
        "size": "40",
        "price": "0.45",
        "status": "TRADE_STATUS_CONFIRMED",
        "maker_orders": [
            {"order_id": THEIRS, "matched_amount": "15", "price": "0.55", "asset_id": YES},
            {
                "order_id": OURS,
                "matched_amount": "25",
                "price": "0.55",
                "asset_id": YES,
                "side": "BUY",
            },
        ],
    } | changes


def test_maker_fill_is_found_by_our_own_order_and_takes_nothing_of_the_taker(
    reader: RowReader,
) -> None:
    (fill,) = trade_fills(trade_row(), reader)
    assert (fill.order, fill.price, fill.size) == (7, 5_500, 25_000_000)
    assert (fill.liquidity, fill.fee_micro) == (Liquidity.MAKER, 0)
    assert (fill.fill, fill.state) == (f"28c4d2eb:{OURS.lower()}", FillState.CONFIRMED)


def test_taker_fill_pays_the_schedule_s_fee(reader: RowReader) -> None:
    (fill,) = trade_fills(trade_row(taker_order_id=OURS, maker_orders=None), reader)
    assert (fill.price, fill.size, fill.liquidity) == (4_500, 40_000_000, Liquidity.TAKER)
    assert fill.fee_micro == INSTRUMENT.taker_fee_micro(4_500, 40_000_000)


def test_trade_without_us_is_nobody_s_fill(reader: RowReader) -> None:
    assert list(trade_fills(trade_row(maker_orders=[]), reader)) == []


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("MATCHED", FillState.MATCHED),
        ("TRADE_STATUS_MATCHED_NOT_BROADCASTED", FillState.MATCHED),
        ("TRADE_STATUS_MINED", FillState.MINED),
        ("RETRYING", FillState.RETRYING),
        ("FAILED", FillState.FAILED),
    ],
)
def test_state_of_a_trade(reader: RowReader, status: str, state: FillState) -> None:
    (fill,) = trade_fills(trade_row(status=status), reader)
    assert fill.state is state


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "HALFWAY"},
        {"id": ""},
        {"maker_orders": {"order_id": OURS}},
        {"taker_order_id": OURS, "size": ""},
        {"taker_order_id": OURS, "maker_orders": [], "price": "0"},
        {"taker_order_id": OURS, "maker_orders": [], "price": "-0.4"},
        {"taker_order_id": OURS, "maker_orders": [], "price": "45"},
        {"taker_order_id": OURS, "asset_id": "77"},
    ],
)
def test_trade_that_cannot_be_read_is_no_empty_one(
    reader: RowReader, changes: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        list(trade_fills(trade_row(**changes), reader))


# -- a taker pays what its makers gave -------------------------------------------------------------


def took(side: str, price: str, *makers: tuple[str, str, str], token: str = NO) -> dict[str, Any]:
    """Return a trade we took: the row's price, and (token, amount, price) of each maker."""
    size = sum(Decimal(amount) for _, amount, _ in makers)
    return trade_row(
        taker_order_id=OURS, asset_id=token, side=side, price=price, size=str(size),
        maker_orders=[
            {"order_id": THEIRS, "matched_amount": amount, "price": at, "asset_id": of}
            for of, amount, at in makers
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "price", "spent"),
    [
        (took("BUY", "0.31", (YES, "12", "0.7")), 3_000, 3_600_000),
        (took("BUY", "0.31", (NO, "12", "0.29")), 2_900, 3_480_000),
        (took("BUY", "0.55", (NO, "4", "0.5"), (YES, "5", "0.46"), (NO, "2.9", "0.54")), 5_266,
            6_266_000,
        ),
        (took("SELL", "0.3", (NO, "5", "0.4"), (NO, "5", "0.35"), (NO, "5", "0.3")), 3_500,
         5_250_000),
        (took("BUY", "0.99", (YES, "5.051019", "0.98"), token=YES), 9_800, 4_949_999),
    ],
    ids=["minted", "transferred", "several levels", "sold to several", "more than asked"],
)  # fmt: skip
def test_what_a_taker_paid_is_told_by_its_makers(
    reader: RowReader, row: dict[str, Any], price: int, spent: int
) -> None:
    """The row's own price may be the order's limit (recorded: 0.49 beside a maker's 0.513)."""
    (fill,) = trade_fills(row, reader)
    side = Side(row["side"].lower())
    assert (fill.price, fill.moved_micro(INSTRUMENT, side)) == (price, spent)
    levels = [(float(one["price"]), float(one["matched_amount"])) for one in row["maker_orders"]]
    fee = sum(INSTRUMENT.taker_fee_micro(round(p * 10_000), round(n * 10**6)) for p, n in levels)
    assert fill.fee_micro == fee  # p and 1 − p pay the same


def test_a_taker_pays_the_row_s_price_only_where_no_maker_is_told(reader: RowReader) -> None:
    for nothing in (None, []):
        (fill,) = trade_fills(took("BUY", "0.31") | {"maker_orders": nothing, "size": "12"}, reader)
        assert (fill.price, fill.value_micro) == (3_100, msgspec.UNSET)


@pytest.mark.parametrize(
    "maker",
    [(YES, "11", "0.7"), (YES, "12", "1"), (YES, "12", "x"), ("77", "12", "0.7")],
    ids=["less than the trade", "a price of one", "no price", "another market"],
)
def test_a_detail_that_is_none_is_no_price(reader: RowReader, maker: tuple[str, str, str]) -> None:
    row = took("BUY", "0.31", maker) | {"size": "12"}
    fills, unread = listed_fills([row], reader)
    assert not fills
    assert [one.ours for one in unread] == [True]


# -- rows one by one -------------------------------------------------------------------------------


STRANGERS: list[Any] = [
    {"status": "TRADE_STATUS_QUEUED_FOR_SETTLEMENT"},
    {"status": None},
    {"maker_orders": "none"},
    {"maker_orders": [None, 7, {"order_id": THEIRS, "price": {}}], "status": 5},
]


@pytest.mark.parametrize("odd", STRANGERS)
def test_a_stranger_s_trade_has_no_power_over_ours(reader: RowReader, odd: dict[str, Any]) -> None:
    strange = trade_row(id="odd", maker_orders=[]) | odd
    fills, unread = listed_fills([strange, None, trade_row(), [], strange], reader)
    assert [fill.size for fill in fills] == [25_000_000]
    assert {(one.row, one.ours) for one in unread} == {("odd", False), ("one without an id", False)}


def test_a_stranger_s_trade_is_not_looked_at_beyond_its_status(reader: RowReader) -> None:
    strange = trade_row(maker_orders=[], price="1", size="NaN", asset_id=None)
    assert listed_fills([strange], reader) == ((), ())


@pytest.mark.parametrize("odd", [{"status": "HALFWAY"}, {"maker_orders": f"[{OURS}]"}])
def test_a_trade_of_ours_that_cannot_be_read_is_named(
    reader: RowReader, odd: dict[str, Any]
) -> None:
    fills, (unread,) = listed_fills([trade_row(**odd)], reader)
    assert (fills, unread.row, unread.ours) == ((), "28c4d2eb", True)


@pytest.mark.parametrize(
    ("odd", "ours"),
    [({"owner": "x", "id": THEIRS}, False), ({"id": THEIRS}, True), ({"owner": "x"}, True),
     ({"owner": None, "id": THEIRS}, True)],
)  # fmt: skip
def test_an_open_order_that_cannot_be_read_is_ours_unless_it_is_shown_to_be_another_s(
    reader: RowReader, odd: dict[str, Any], ours: bool
) -> None:
    row = order_row(**odd) | {"price": "half"}
    reports, (unread,) = order_reports([row, order_row()], reader)
    assert [one.order for one in reports] == [7]
    assert (unread.ours, unread.row) == (ours, row["id"])
    assert unread.order == (7 if row["id"] == OURS else None)


def test_a_holding_that_cannot_be_read_hides_no_other(reader: RowReader) -> None:
    rows = [{"token_id": NO, "current_size": "x"}, {"token_id": YES, "current_size": 3}, None]
    held, unread = holdings([*rows, {"token_id": "77"}], reader)
    assert held == ((INSTRUMENT.id, Leg.YES, 3_000_000),)
    assert [(one.ours, one.instrument) for one in unread] == [
        (True, INSTRUMENT.id), (False, None), (False, None),
    ]  # fmt: skip


# -- money -----------------------------------------------------------------------------------------


def test_numbers_of_the_venue() -> None:
    cases = [("", 0), (None, 0), ("25", 25_000_000), (12.345678, 12_345_678), ("1e1", 10_000_000)]
    assert [number(value, 6, "x") for value, _ in cases] == [expected for _, expected in cases]
    for wrong in ("abc", "Infinity", "NaN", [], {}, "1e999999", "1e99999999", "9" * 14):
        with pytest.raises(BadInput):
            number(wrong, 6, "x")


def test_balance_that_is_not_there_is_not_zero() -> None:
    assert balance_micro({"balance": "1000000000"}) == 1_000_000_000
    for wrong in ({}, {"balance": None}, {"balance": ""}, [], None, {"balance": "lots"}):
        with pytest.raises(BadInput):
            balance_micro(wrong)


def test_holdings_are_tokens_we_know_or_outcomes_the_venue_numbers(reader: RowReader) -> None:
    rows = [
        {"token_id": NO, "current_size": 10.5},
        {"token_id": "77", "condition_id": "0x1", "outcome_index": 1, "current_size": "2"},
        {"token_id": "77", "condition_id": "0x1", "outcome_index": 999, "current_size": "2"},
        {"token_id": "77", "condition_id": "0x1", "outcome_index": [], "current_size": "2"},
        {"token_id": YES, "current_size": 0},
    ]
    assert [holding(row, reader.memory) for row in rows] == [
        (INSTRUMENT.id, Leg.NO, 10_500_000),
        ("polymarket:0x1", Leg.NO, 2_000_000),
        None,
        None,
        None,
    ]


AT_S = 1_795_575_000


def paid(rows: list[Any]) -> tuple[list[Any], list[UnreadRow]]:
    """Return all payments of rows of the wallet's activity, and the unread rows."""
    read = Payments(AccountId("a"), 0)
    read.read(rows)
    return [*read.redemptions, *read.conversions], read.unread


@pytest.mark.parametrize("kind", ["REDEEM", "SPLIT", "MERGE"])
@pytest.mark.parametrize("missing", ["timestamp", "transaction_hash", "condition_id", "usdc_size"])
def test_a_payment_that_lacks_something_is_not_taken_for_none(kind: str, missing: str) -> None:
    row = {
        "type": kind,
        "transaction_hash": "0x1",
        "condition_id": "0x2",
        "usdc_size": 10,
        "timestamp": AT_S,
    }
    assert paid([row])[0]
    for nothing in ({missing: None}, {missing: ""}):
        found, unread = paid([row | nothing])
        assert not found
        assert [(one.ours, missing in one.reason) for one in unread] == [(True, True)]


def test_a_payment_is_booked_whole_or_not_at_all() -> None:
    """It is booked once under its name: the rest of a part would never be."""
    row = {"type": "REDEEM", "transaction_hash": "0x1", "condition_id": "0x2", "usdc_size": 10}
    rows = [row | {"timestamp": AT_S}, row | {"timestamp": "soon"}]
    other = row | {"timestamp": AT_S, "condition_id": "0x3"}
    found, unread = paid([*rows, other])
    assert [one.instrument for one in found] == ["polymarket:0x3"]
    assert [(one.row, one.instrument) for one in unread] == [("0x1 0x2 REDEEM", "polymarket:0x2")]
    found, _ = paid([*rows, other, {"type": "REDEEM", "transaction_hash": "0x1"}])
    assert not found


def test_pairs_are_counted_by_their_money_where_the_row_names_no_size() -> None:
    """A pair costs one and brings one."""
    row = {"transaction_hash": "0x1", "condition_id": "0x2", "usdc_size": 10, "timestamp": AT_S}
    for kind, size in (("SPLIT", 10_000_000), ("MERGE", -10_000_000)):
        (pairs,), _ = paid([row | {"type": kind}])
        assert (pairs.size, pairs.amount_micro) == (size, 10_000_000)


def test_a_holding_without_its_size_is_not_nothing(reader: RowReader) -> None:
    with pytest.raises(BadInput):
        holding({"token_id": NO}, reader.memory)


# -- memory ----------------------------------------------------------------------------------------


def test_oldest_names_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.venues.polymarket.account.orders.NAMES_MAX", 3)
    memory = AccountMemory()
    for number_ in (1, 2, 3, 1, 4):
        memory.name(Identity(f"0x{number_}"), OrderId(number_))
    assert [memory.known(f"0x{n}") is None for n in (1, 2, 3, 4)] == [False, True, False, False]


def test_name_told_again_without_its_bot_keeps_it() -> None:
    memory = AccountMemory()
    memory.name(Identity("0xab"), OrderId(1), BotId("b"))
    memory.name(Identity("0xab"), OrderId(1))
    known = memory.known("0xAB")
    assert known is not None
    assert known.bot == "b"


def test_markets_are_bounded_and_must_name_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.venues.polymarket.account.orders.MARKETS_MAX", 1)
    memory = AccountMemory()
    memory.add(TradableMarket(instrument=INSTRUMENT, separator=b""))
    memory.add(TradableMarket(instrument=INSTRUMENT, separator=b"new terms"))
    other = instrument_of(identify(Listed(slug="other"), 7, 2))
    with pytest.raises(BadInput, match="more than"):
        memory.add(TradableMarket(instrument=other, separator=b""))
    bare = msgspec.structs.replace(INSTRUMENT, tokens=None)
    with pytest.raises(BadInput, match="no tokens"):
        memory.add(TradableMarket(instrument=bare, separator=b""))
    with pytest.raises(NotSent):
        memory.market(other.id)


PAID = {"type": "REWARD", "transaction_hash": "0xa", "usdc_size": 1.25, "timestamp": AT_S}


def test_income_is_read_by_kind_and_payment_oldest_first() -> None:
    rows = [
        PAID | {"type": "MAKER_REBATE", "timestamp": AT_S + 2, "usdc_size": "0.000001"},
        PAID,
        PAID | {"usdc_size": 0.75},  # a second row of the same transaction
        PAID,
        PAID | {"condition_id": "0xc"},
        PAID | {"type": "YIELD", "transaction_hash": "0xb", "usdc_size": 0},
    ]
    found, unread = incomes(rows, AccountId("real"), "pUSD")
    assert not unread
    assert [(one.kind, one.payment, one.amount_micro, one.paid_ns) for one in found] == [
        (CashKind.REWARD, "REWARD 0xa 0xc 1250000", 1_250_000, AT_S * 10**9),
        (CashKind.REWARD, "REWARD 0xa 1250000", 1_250_000, AT_S * 10**9),
        (CashKind.REWARD, "REWARD 0xa 1250000 #2", 1_250_000, AT_S * 10**9),
        (CashKind.REWARD, "REWARD 0xa 750000", 750_000, AT_S * 10**9),
        (CashKind.REBATE, "MAKER_REBATE 0xa 1", 1, (AT_S + 2) * 10**9),
    ]
    assert [one.instrument for one in found] == ["polymarket:0xc", None, None, None, None]


def test_a_row_that_is_listed_late_is_another_payment_and_renames_none() -> None:
    early, _ = incomes([PAID], AccountId("real"), "pUSD")
    late, _ = incomes([PAID | {"usdc_size": 0.75}, PAID], AccountId("real"), "pUSD")
    assert {one.payment for one in late} > {one.payment for one in early}
    assert sum(one.amount_micro for one in late) == 2_000_000


@pytest.mark.parametrize(
    "row", [None, {}, PAID | {"type": "TRADE"}, PAID | {"transaction_hash": None},
            PAID | {"usdc_size": "x"}],
)  # fmt: skip
def test_income_that_cannot_be_read_is_no_income_and_hides_no_other(row: Any) -> None:
    found, unread = incomes([row, PAID], AccountId("real"), "pUSD")
    assert [one.amount_micro for one in found] == [1_250_000]
    assert [one.reason != "" for one in unread] == [True]


# -- orders that only their fills tell of ----------------------------------------------------------


def ended_row(**changes: Any) -> dict[str, Any]:
    """A trade with three makers: one named here, one of our key without a name, a stranger's."""
    nameless = {
        "order_id": "0x" + "ef" * 32, "owner": KEY, "matched_amount": "5", "price": "0.55",
        "asset_id": YES, "side": "BUY",
    }  # fmt: skip
    row = trade_row(owner=KEY, trader_side="MAKER")
    row["maker_orders"] = [*row["maker_orders"], nameless, nameless | {"owner": "another"}]
    return row | changes


def test_an_order_of_our_key_that_is_not_named_is_told_by_its_fills(reader: RowReader) -> None:
    found, unread = unnamed_orders([ended_row(), ended_row(id="second")], reader)
    assert not unread
    (one,) = found
    assert (one.identity, one.order, one.ours) == ("0x" + "ef" * 32, None, True)
    assert (one.leg, one.side, one.price) == (Leg.YES, Side.BUY, 5_500)
    assert one.size == one.filled == 10_000_000
    assert one.state is OrderState.FILLED


def test_a_taker_is_ours_only_where_the_row_says_that_we_took(reader: RowReader) -> None:
    assert unnamed_orders([trade_row(owner=KEY, trader_side="MAKER")], reader) == ((), ())
    rows = [trade_row(owner=KEY, trader_side="TAKER", market="0xc"), trade_row(owner="another")]
    ((one,), _) = unnamed_orders(rows, reader)
    assert (one.identity, one.size, one.price) == (THEIRS, 40_000_000, 4_500)


def test_a_nameless_order_that_cannot_be_read_is_named_and_a_stranger_s_is_not(
    reader: RowReader,
) -> None:
    torn = {"owner": KEY, "trader_side": "TAKER", "price": "NaN"}
    found, (unread,) = unnamed_orders([trade_row(**torn), trade_row(price="NaN")], reader)
    assert (found, unread.ours, unread.row) == ((), True, "28c4d2eb")
