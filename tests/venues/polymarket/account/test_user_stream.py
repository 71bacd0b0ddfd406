"""The user channel's frames: every recorded one and every quirk (trading API, §4.3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import (
    FillAdvanced,
    FillSettled,
    FillVoided,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderFilled,
    OrderReported,
)
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import AccountId, InstrumentId, Side
from engine.domain.orders import CancelReason, Identity, OrderId, OrderState
from engine.venues.polymarket.account.orders import AccountMemory, TradableMarket
from engine.venues.polymarket.account.rows import RowReader
from engine.venues.polymarket.account.user_stream import UserFrame, UserFrames
from tests.fakes.polymarket.listing import Listed, identify, instrument_of

INSTRUMENT = instrument_of(identify(Listed(slug="frames"), 7, 1))
YES, NO = INSTRUMENT.tokens or ("", "")
OURS = "0x" + "ab" * 32
THEIRS = "0x" + "cd" * 32
KEY = "key-of-ours"
ACCOUNT = AccountId("a")


def frames_of(*names: str, tokens: tuple[str, ...] = (YES, NO)) -> UserFrames:
    """A reader that knows these orders, and markets with these tokens."""
    memory = AccountMemory()
    memory.know_instrument(INSTRUMENT)
    foreign = [token for token in tokens if token not in {YES, NO}]
    for number in range(0, len(foreign), 2):
        both = (foreign[number], (*foreign[number + 1 :], f"other of {foreign[number]}")[0])
        other = msgspec.structs.replace(
            INSTRUMENT, id=InstrumentId(f"polymarket:{number}"), tokens=both
        )
        memory.add(TradableMarket(instrument=other, separator=b""))
    for number, name in enumerate(names or (OURS,)):
        memory.name(Identity(name.lower()), OrderId(7 + number))
    return UserFrames(RowReader(account=ACCOUNT, key=KEY, memory=memory))


def order_frame(**changes: Any) -> dict[str, Any]:
    return {
        "event_type": "order",
        "type": "PLACEMENT",
        "id": OURS,
        "status": "LIVE",
        "owner": KEY,
        "market": INSTRUMENT.id.partition(":")[2],
        "asset_id": YES,
        "side": "BUY",
        "original_size": "100",
        "size_matched": "0",
        "price": "0.5",
        "associate_trades": None,
        "outcome": "Yes",
        "created_at": "1795132800",
        "expiration": None,
        "order_type": "GTC",
        "timestamp": "1795132800257",
    } | changes


def trade_frame(**changes: Any) -> dict[str, Any]:
    """A match in which our order rested: the row's own side, price and token are the taker's."""
    return {
        "event_type": "trade",
        "type": "TRADE",
        "id": "t1",
        "taker_order_id": "0x" + "cd" * 32,
        "market": INSTRUMENT.id.partition(":")[2],
        "asset_id": YES,
        "side": "BUY",
        "size": "10",
        "price": "0.57",
        "status": "MATCHED",
        "matchtime": "2026-11-20T10:00:00Z",
        "maker_orders": [
            {
                "order_id": OURS.upper().replace("0X", "0x"),
                "matched_amount": "6",
                "price": "0.43",
                "asset_id": NO,
                "outcome": "NO",
                "side": "BUY",
            },
            {"order_id": "0xtheirs", "matched_amount": "4", "price": "0.43", "asset_id": NO},
        ],
    } | changes


def received(frames: UserFrames, *sent: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for frame in sent:
        one = frames.read(json.dumps(frame))
        assert one.unread == ""
        found += one.events
    return found


# -- orders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, OrderAccepted(account=ACCOUNT, order=OrderId(7))),
        ({"status": "ORDER_STATUS_LIVE"}, OrderAccepted(account=ACCOUNT, order=OrderId(7))),
        ({"status": "UNMATCHED"}, OrderAccepted(account=ACCOUNT, order=OrderId(7))),
        ({"status": "DELAYED"}, OrderDelayed(account=ACCOUNT, order=OrderId(7))),
        (
            {"type": "CANCELLATION", "status": "CANCELED"},
            OrderCancelled(account=ACCOUNT, order=OrderId(7)),
        ),
        (
            {"type": "UPDATE", "status": "CANCELED", "size_matched": ""},
            OrderCancelled(account=ACCOUNT, order=OrderId(7)),
        ),
        (
            {"type": "CANCELLATION", "status": "CANCELED_EXPIRED_ORDER"},
            OrderExpired(account=ACCOUNT, order=OrderId(7)),
        ),
    ],
)
def test_order_frame_is_the_event_it_means(changes: dict[str, Any], expected: object) -> None:
    assert received(frames_of(), order_frame(**changes)) == [expected]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("CANCELED", CancelReason.ASKED),
        ("INVALID", CancelReason.TICK_CHANGED),
        ("CANCELED_MARKET_RESOLVED", CancelReason.MARKET_RESOLVED),
        ("CANCELED_NOT_ENOUGH_BALANCE", CancelReason.NO_FUNDS),
        ("CANCELED_MARKET_NOT_FOUND", CancelReason.MARKET_CLOSED),
        (
            "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed.",
            CancelReason.KILLED_REST,
        ),
        (
            "CANCELED_no orders found to match with FAK order. FAK orders are partially filled "
            "or killed if no match is found.",
            CancelReason.KILLED_REST,
        ),
        ("CANCELED_something nobody has seen", CancelReason.VENUE),
    ],
)
def test_every_cancelled_status_has_its_reason(status: str, reason: CancelReason) -> None:
    (event,) = received(frames_of(), order_frame(type="CANCELLATION", status=status))
    assert (type(event), event.reason) == (OrderCancelled, reason)


def test_cancelled_order_that_filled_in_part_is_let_go_with_its_amount() -> None:
    frame = order_frame(type="CANCELLATION", status="CANCELED", size_matched="25.5")
    (event,) = received(frames_of(), frame)
    assert isinstance(event, OrderReported)
    assert (event.report.order, event.report.state) == (7, OrderState.CANCELLED)
    assert event.report.filled == 25_500_000


def test_update_of_a_match_tells_no_fill_and_no_acceptance() -> None:
    changes = {"type": "UPDATE", "size_matched": "25", "associate_trades": ["t1"]}
    assert received(frames_of(), order_frame(**changes)) == []
    whole = {"type": "UPDATE", "status": "MATCHED", "size_matched": "100"}
    assert received(frames_of(), order_frame(**whole)) == []


@pytest.mark.parametrize(("kind", "matched"), [("FAK", "40"), ("GTC", "99.995")])
def test_match_short_of_the_size_ends_the_order(kind: str, matched: str) -> None:
    changes = {"status": "MATCHED", "size_matched": matched, "order_type": kind, "type": "UPDATE"}
    (event,) = received(frames_of(), order_frame(**changes))
    assert event.report.state is OrderState.CANCELLED


def test_order_of_another_program_says_nothing() -> None:
    assert received(frames_of(), order_frame(id="0xforeign")) == []


# -- fills -----------------------------------------------------------------------------------------


def test_makers_fill_is_read_from_its_own_row_alone() -> None:
    (fill,) = received(frames_of(), trade_frame())
    assert isinstance(fill, OrderFilled)
    assert (fill.order, fill.price, fill.size) == (7, 4_300, 6_000_000)
    assert (fill.liquidity, fill.fee_micro) == (Liquidity.MAKER, 0)
    assert fill.fill == f"t1:{OURS}"


def test_takers_fill_is_the_rows() -> None:
    (fill,) = received(frames_of(), trade_frame(taker_order_id=OURS, maker_orders=None))
    assert (fill.price, fill.size, fill.liquidity) == (5_700, 10_000_000, Liquidity.TAKER)


def test_settlement_is_told_once_a_status() -> None:
    frames = frames_of()
    name = f"t1:{OURS}"
    updates = [trade_frame(status=s) for s in ("MATCHED", "MATCHED", "MINED", "RETRYING", "MINED")]
    first = received(frames, *updates)
    assert [type(event) for event in first] == [OrderFilled, *[FillAdvanced] * 3]
    assert [event.state for event in first[1:]] == ["mined", "retrying", "mined"]
    done = received(frames, trade_frame(status="CONFIRMED"), trade_frame(status="CONFIRMED"))
    assert done == [FillSettled(account=ACCOUNT, fill=name)]
    assert received(frames, trade_frame()) == []


def test_fill_first_heard_of_when_it_failed_is_booked_and_reversed() -> None:
    matched, void = received(frames_of(), trade_frame(status="TRADE_STATUS_FAILED"))
    assert (type(matched), matched.state) == (OrderFilled, FillState.MATCHED)
    assert type(void) is FillVoided


# -- what is torn ----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", "PONG", "INVALID OPERATION", "   "])
def test_bare_words_say_nothing(word: str) -> None:
    assert frames_of().read(word) == UserFrame()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        json.dumps(trade_frame(status="NEVER_SEEN")),
        json.dumps(order_frame(status="NEVER_SEEN")),
        json.dumps(trade_frame(maker_orders=[{"order_id": OURS, "asset_id": "?"}])),
    ],
)
def test_what_cannot_be_read_is_named(text: str) -> None:
    found = frames_of().read(text)
    assert found.events == ()
    assert found.unread


def test_torn_row_does_not_cost_its_neighbours() -> None:
    found = frames_of().read(json.dumps([7, trade_frame(), order_frame()]))
    assert [type(event) for event in found.events] == [OrderFilled, OrderAccepted]
    assert found.unread


@pytest.mark.long
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "status", "type", "event_type", "maker_orders", "size", "order_id"]
                ),
                x,
            )
        ),
    )
)
def test_no_frame_makes_the_reader_fall(text: object) -> None:
    frames_of().read(json.dumps(text))
    body = text if isinstance(text, dict) else {}
    frames_of().read(json.dumps(trade_frame() | body))
    frames_of().read(json.dumps(order_frame() | body))


def test_a_minted_match_is_told_by_its_maker_s_price() -> None:
    """A BUY NO at 0.31 met a BUY YES at 0.70: 0.30 a share, 3.60 of it."""
    maker = {
        "order_id": THEIRS, "matched_amount": "12", "price": "0.7", "asset_id": YES, "side": "BUY",
    }  # fmt: skip
    frame = trade_frame() | {
        "taker_order_id": OURS, "asset_id": NO, "side": "BUY", "size": "12", "price": "0.31",
        "outcome": "No", "trader_side": "TAKER", "maker_orders": [maker], "status": "CONFIRMED",
    }  # fmt: skip
    fill = frames_of().read(json.dumps(frame)).events[0]
    assert isinstance(fill, OrderFilled)
    assert fill.moved_micro(INSTRUMENT, Side.BUY) == 3_600_000


def test_a_stranger_s_frame_is_read_whatever_it_says() -> None:
    strange = trade_frame() | {"taker_order_id": THEIRS, "maker_orders": [], "status": "QUEUED"}
    assert frames_of().read(json.dumps(strange)) == UserFrame()


def test_a_frame_nested_without_end_is_named() -> None:
    assert frames_of().read("[" * 100_000).unread
    assert frames_of().read(b'{"id":"\xff"}').unread


# -- recorded frames -------------------------------------------------------------------------------


@pytest.mark.recordings
def test_every_recorded_user_frame_is_read(recordings: Path) -> None:
    folder = recordings / "polymarket_fixtures_messages"
    paths = sorted(
        [
            *folder.glob("*ws_user*"),
            *folder.glob("py__ws_messages__order_*"),
            *folder.glob("py__ws_messages__user_trade*"),
            *folder.glob("py__ws_messages__trades*"),
        ]
    )
    assert len(paths) == 16
    kinds: dict[str, list[str]] = {}
    for path in paths:
        frame = json.loads(path.read_text())
        makers = frame.get("maker_orders") or []
        names = [frame.get("taker_order_id") or frame["id"], *(m["order_id"] for m in makers)]
        tokens = [frame["asset_id"], *(m["asset_id"] for m in makers)]
        found = frames_of(*names, tokens=tuple(dict.fromkeys(tokens))).read(path.read_text())
        assert found.unread == "", path.name
        kinds[path.stem] = [type(event).__name__ for event in found.events]
    matches = [names for name, names in kinds.items() if "update" in name or "matched" in name]
    assert matches == [[], []]
    assert all(
        names
        for name, names in kinds.items()
        if "update" not in name and "order_matched" not in name
    )
    assert kinds["rs__ws_user_order_fok_killed"] == ["OrderCancelled"]
    assert kinds["py__ws_messages__order_cancel"] == ["OrderReported"]
    assert set(kinds["py__ws_messages__user_trade4"]) == {"OrderFilled", "FillSettled"}
