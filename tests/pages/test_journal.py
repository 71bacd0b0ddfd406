"""The journal's page: what happened as a sentence, the record as it is stored behind it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.effects import PlaceOrder, QueryFills, SetTimer
from engine.domain.events import OrderFilled, OrderRejected
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import BotId, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType, RejectReason
from pages.journal import ENGINE, HOUSEKEEPING
from storage.database import writing
from storage.journal_writer import KINDS, names_sum, open_journal, record_sum, write_batch
from storage.live import put_instrument
from tests.pages.seen import bodies
from tests.storage.books import DEMO, M1, SHARE, TERMS

Opened = Callable[..., AppTest]


def test_a_record_is_told_as_a_sentence_with_the_raw_record_folded(
    opened: Opened, config: Config
) -> None:
    connection, _ = open_journal(config.journal_path, "pitboss")
    order = Order(
        account=DEMO, id=OrderId(51), bot=BotId("maker"), instrument=M1, leg=Leg.YES,
        side=Side.BUY, price=4_500, size=20 * SHARE, type=OrderType.GTC, created_ns=1,
    )  # fmt: skip
    filled = OrderFilled(
        account=DEMO, order=OrderId(51), fill=FillId("f1"), price=4_500, size=5 * SHARE,
        fee_micro=0, liquidity=Liquidity.MAKER,
    )  # fmt: skip
    refused = OrderRejected(account=DEMO, order=OrderId(51), reason=RejectReason.OFF_TICK)
    rows = []
    for seq, message in enumerate((PlaceOrder(order=order), filled, refused), start=1):
        body, kind = msgspec.msgpack.encode(message), type(message).__name__
        crc = record_sum(names_sum("demo", kind), seq, seq * 10**18, 0, body)
        rows.append((seq, seq * 10**18, "demo", kind, body, crc, 0))
    write_batch(connection, rows, [])
    connection.close()
    with writing(config.state_path) as state:
        put_instrument(state, "pitboss", TERMS, 1)
    page = opened("journal", state={f"chosen:journal_records_{ENGINE}": 1})
    assert page.dataframe[0].value["said"].tolist() == [
        "Order 51 is refused by the venue: its price is not on the venue's tick",
        "Order 51 is filled: 5 at 45¢ in m1, maker, matched, fill f1",
        "Bot maker places order 51: buy 20 yes at 45¢ in m1",
    ]
    (folded,) = page.expander
    assert folded.label == "The record as it is stored"
    assert '"type": "PlaceOrder"' in folded.code[0].value


def test_timers_and_queries_are_hidden_until_they_are_asked_for(
    opened: Opened, config: Config
) -> None:
    connection, _ = open_journal(config.journal_path, "pitboss")
    messages = (
        QueryFills(account=DEMO, since_ns=0),
        OrderRejected(account=DEMO, order=OrderId(51), reason=RejectReason.OFF_TICK),
        SetTimer(name="executor:demo", at_ns=1),
    )
    rows = []
    for seq, message in enumerate(messages, start=1):
        body, kind = msgspec.msgpack.encode(message), type(message).__name__
        crc = record_sum(names_sum("demo", kind), seq, seq * 10**18, 0, body)
        rows.append((seq, seq * 10**18, "demo", kind, body, crc, 0))
    write_batch(connection, rows, [])
    connection.close()
    page = opened("journal")
    assert page.toggle[0].label == "Orders and money only"
    assert page.dataframe[0].value["seq"].tolist() == [2]
    assert "timers, venue queries and listings hidden" in bodies(page)
    page.toggle[0].set_value(False).run()
    assert page.dataframe[0].value["seq"].tolist() == [3, 2, 1]
    assert page.query_params["all"] == "1"
    again = opened("journal", all="1")
    assert again.dataframe[0].value["seq"].tolist() == [3, 2, 1]
    again.toggle[0].set_value(True).run()
    assert again.dataframe[0].value["seq"].tolist() == [2]
    assert "all" not in again.query_params


def test_every_kind_that_is_hidden_may_stand_in_a_journal() -> None:
    assert set(KINDS) >= HOUSEKEEPING
