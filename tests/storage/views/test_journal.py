from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.domain.effects import CancelAll, CancelOrders, CancelScope, PlaceOrder
from engine.domain.events import FillSettled, OrderAccepted, OrderFilled, OrderNamed, OrderReported
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.orders import Identity, Order, OrderId, OrderReport, OrderState
from storage.journal_writer import names_sum, open_journal, record_sum, write_batch
from storage.views import journal
from storage.views.journal import history_of, search_journal

ACCOUNT = AccountId("demo")


def order(number: int, bot: str = "maker") -> PlaceOrder:
    return PlaceOrder(
        order=Order(
            account=ACCOUNT,
            id=OrderId(number),
            bot=BotId(bot),
            instrument=InstrumentId("m1"),
            leg=Leg.YES,
            side=Side.BUY,
            price=4_800,
            size=10,
            created_ns=number * 100,
        )
    )


def filled(number: int, fill: str) -> OrderFilled:
    return OrderFilled(
        account=ACCOUNT,
        order=OrderId(number),
        fill=FillId(fill),
        price=4_800,
        size=5,
        fee_micro=0,
        liquidity=Liquidity.MAKER,
    )


def reported(number: int) -> OrderReported:
    report = OrderReport(
        identity=Identity("i"),
        order=OrderId(number),
        ours=True,
        instrument=InstrumentId("m1"),
        leg=Leg.YES,
        side=Side.BUY,
        price=4_800,
        size=10,
        filled=0,
        state=OrderState.OPEN,
    )
    return OrderReported(account=ACCOUNT, report=report)


def cancel_all(bot: str | None) -> CancelAll:
    return CancelAll(account=ACCOUNT, scope=CancelScope(bot=None if bot is None else BotId(bot)))


MESSAGES: list[tuple[int, msgspec.Struct]] = [
    (100, order(1)),
    (200, order(2)),
    (200, OrderNamed(account=ACCOUNT, order=OrderId(2), identity=Identity("i2"))),
    (210, OrderNamed(account=ACCOUNT, order=OrderId(1), identity=Identity("i1"))),
    (220, OrderAccepted(account=ACCOUNT, order=OrderId(2))),
    (230, filled(2, "f1")),
    (231, filled(1, "f2")),
    (240, FillSettled(account=ACCOUNT, fill=FillId("f1"))),
    (241, FillSettled(account=ACCOUNT, fill=FillId("f2"))),
    (250, CancelOrders(account=ACCOUNT, orders=(OrderId(1), OrderId(2)))),
    (251, CancelOrders(account=ACCOUNT, orders=(OrderId(1),))),
    (260, cancel_all("other")),
    (261, cancel_all(None)),
    (270, reported(2)),
    (271, reported(1)),
]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    journal = tmp_path / "journal.db"
    connection, _ = open_journal(journal, "e1")
    rows = []
    for seq, (at_ns, message) in enumerate(MESSAGES, start=1):
        kind, body = type(message).__name__, msgspec.msgpack.encode(message)
        crc = record_sum(names_sum(ACCOUNT, kind), seq, at_ns, 0, body)
        rows.append((seq, at_ns, str(ACCOUNT), kind, body, crc, 0))
    write_batch(connection, rows, [])
    connection.close()
    return journal


def test_a_life_holds_everything_that_tells_of_the_order_and_nothing_else(path: Path) -> None:
    history = history_of(path, account=ACCOUNT, order=2, created_ns=200, last_seq=99, fills=("f1",))
    assert history.whole
    assert [moment.at_ns for moment in history.moments] == [200, 200, 220, 230, 240, 250, 261, 270]
    assert history.moments[0].kind == "PlaceOrder"


def test_a_life_of_another_account_is_not_this_ones(path: Path) -> None:
    assert not history_of(path, account="other", order=2, created_ns=0, last_seq=99).moments


def test_a_search_that_ends_too_early_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "HISTORY_SCANNED_MAX", 3)
    history = history_of(path, account=ACCOUNT, order=2, created_ns=200, last_seq=99, fills=("f1",))
    assert not history.whole
    assert [moment.at_ns for moment in history.moments] == [200, 200, 220]


def test_a_search_that_found_enough_leaves_nothing_to_be_closed_too_late(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    assert len(search_journal(path, limit=2).records) == 2
    assert not raised
