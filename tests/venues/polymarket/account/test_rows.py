"""Rows of the venue with every quirk seen in the field (trading API, §3.2 and Appendix B)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.events import CashKind
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import AccountId, BotId, Leg, Side
from engine.domain.orders import Identity, OrderId, OrderState
from engine.errors import BadInput, NotSent
from engine.venues.polymarket.account.orders import AccountMemory, TradableMarket
from engine.venues.polymarket.account.rows import (
    RowReader,
    balance_micro,
    holding,
    incomes,
    number,
    order_report,
    payments,
    trade_fills,
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
        {"taker_order_id": OURS, "price": "0"},
        {"taker_order_id": OURS, "price": "-0.4"},
        {"taker_order_id": OURS, "price": "45"},
        {"taker_order_id": OURS, "asset_id": "77"},
    ],
)
def test_trade_that_cannot_be_read_is_no_empty_one(
    reader: RowReader, changes: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        list(trade_fills(trade_row(**changes), reader))


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


@pytest.mark.parametrize("kind", ["REDEEM", "SPLIT", "MERGE"])
@pytest.mark.parametrize("missing", ["timestamp", "transaction_hash", "condition_id", "usdc_size"])
def test_a_payment_that_lacks_something_is_not_taken_for_none(kind: str, missing: str) -> None:
    row = {
        "type": kind,
        "transaction_hash": "0x1",
        "condition_id": "0x2",
        "usdc_size": 10,
        "timestamp": 5,
    }
    assert sum(map(len, payments([row], AccountId("a"), 0))) == 1
    for nothing in ({missing: None}, {missing: ""}):
        with pytest.raises(BadInput):
            payments([row | nothing], AccountId("a"), 0)


def test_pairs_are_counted_by_their_money_where_the_row_names_no_size() -> None:
    """A pair costs one and brings one."""
    row = {"transaction_hash": "0x1", "condition_id": "0x2", "usdc_size": 10, "timestamp": 5}
    for kind, size in (("SPLIT", 10_000_000), ("MERGE", -10_000_000)):
        _, (pairs,) = payments([row | {"type": kind}], AccountId("a"), 0)
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


PAID = {"type": "REWARD", "transaction_hash": "0xa", "usdc_size": 1.25, "timestamp": 7}


def test_income_is_read_by_kind_and_payment_oldest_first() -> None:
    rows = [
        PAID | {"type": "MAKER_REBATE", "timestamp": 9, "usdc_size": "0.000001"},
        PAID,
        PAID | {"usdc_size": 0.75},  # a second row of the same transaction
        PAID,
        PAID | {"condition_id": "0xc"},
        PAID | {"type": "YIELD", "transaction_hash": "0xb", "usdc_size": 0},
    ]
    found = incomes(rows, AccountId("real"), "pUSD")
    assert [(one.kind, one.payment, one.amount_micro, one.paid_ns) for one in found] == [
        (CashKind.REWARD, "REWARD 0xa 0xc 1250000", 1_250_000, 7 * 10**9),
        (CashKind.REWARD, "REWARD 0xa 1250000", 1_250_000, 7 * 10**9),
        (CashKind.REWARD, "REWARD 0xa 1250000 #2", 1_250_000, 7 * 10**9),
        (CashKind.REWARD, "REWARD 0xa 750000", 750_000, 7 * 10**9),
        (CashKind.REBATE, "MAKER_REBATE 0xa 1", 1, 9 * 10**9),
    ]
    assert [one.instrument for one in found] == ["polymarket:0xc", None, None, None, None]


def test_a_row_that_is_listed_late_is_another_payment_and_renames_none() -> None:
    early = incomes([PAID], AccountId("real"), "pUSD")
    late = incomes([PAID | {"usdc_size": 0.75}, PAID], AccountId("real"), "pUSD")
    assert {one.payment for one in late} > {one.payment for one in early}
    assert sum(one.amount_micro for one in late) == 2_000_000


@pytest.mark.parametrize(
    "row", [None, {}, PAID | {"type": "TRADE"}, PAID | {"transaction_hash": None},
            PAID | {"usdc_size": "x"}],
)  # fmt: skip
def test_income_that_cannot_be_read_is_no_income(row: Any) -> None:
    with pytest.raises(BadInput):
        incomes([PAID, row], AccountId("real"), "pUSD")
