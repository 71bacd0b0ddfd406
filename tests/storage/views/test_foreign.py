"""What others have in a wallet: by the latest listing, and only what the journal does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.domain.events import OpenOrdersListed, PositionsListed
from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.orders import Identity, OrderId, OrderReport, OrderState
from storage.commands import MarkKind, StandingMark, mark
from storage.database import reading, writing
from storage.live import put_instrument
from storage.views.foreign import ForeignSeen, foreign
from tests.storage.test_projection import AT_NS, BINARY, LISTED, PAPER, Desk, fill, order

OTHER = InstrumentId("polymarket:0xee")


@pytest.fixture
def desk(tmp_path: Path, empty_state: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, empty_state)
    yield made
    made.close()


def report(name: str, number: int | None, *, ours: bool = False) -> OrderReport:
    return OrderReport(
        identity=Identity(name), order=None if number is None else OrderId(number), ours=ours,
        instrument=BINARY, leg=Leg.YES, side=Side.BUY, price=4_900, size=5_000_000, filled=0,
        state=OrderState.OPEN,
    )  # fmt: skip


def listed(*reports: OrderReport) -> OpenOrdersListed:
    return OpenOrdersListed(account=PAPER, orders=reports)


def seen(desk: Desk) -> ForeignSeen:
    with writing(desk.state) as connection:
        put_instrument(connection, "e1", LISTED.instrument, AT_NS)
    with reading(desk.state) as connection:
        return foreign(connection, "e1", journal=desk.journal, account=PAPER)


def test_orders_the_journal_does_not_have_are_foreign_whoever_placed_them(desk: Desk) -> None:
    desk.project(
        LISTED,
        order(1),
        listed(report("old", None)),
        listed(report("mine", 1, ours=True), report("a", None), report("b", None, ours=True)),
    )
    found = seen(desk)
    assert [(row["identity"], row["whose"]) for row in found.orders] == [
        ("a", "another key: left alone"), ("b", "our key: being cancelled"),
    ]  # fmt: skip
    assert (str(found.orders[0]["price"]), str(found.orders[0]["size"])) == ("0.4900", "5.000000")
    assert found.orders_ns == AT_NS + 4


def test_tokens_of_a_market_in_which_nothing_was_filled_here_are_foreign(desk: Desk) -> None:
    holdings = ((BINARY, Leg.YES, 7_000_000), (OTHER, Leg.NO, 3_000_000))
    desk.project(LISTED, order(1), fill(1, "f1"), PositionsListed(account=PAPER, holdings=holdings))
    found = seen(desk)
    assert [(row["subject"], row["size"], row["increments"]) for row in found.tokens] == [
        (f"{OTHER} no", None, 3_000_000)
    ]
    assert found.tokens_ns is not None


def test_the_other_leg_of_a_market_that_is_traded_here_is_foreign(desk: Desk) -> None:
    holdings = ((BINARY, Leg.YES, 7_000_000), (BINARY, Leg.NO, 3_000_000))
    desk.project(LISTED, order(1), fill(1, "f1"), PositionsListed(account=PAPER, holdings=holdings))
    assert [row["subject"] for row in seen(desk).tokens] == [f"{BINARY} no"]


def test_what_a_person_ignores_is_listed_as_that(desk: Desk) -> None:
    desk.project(LISTED, listed(report("a", None), report("b", None)))
    with writing(desk.state) as connection:
        one = StandingMark(account=PAPER, kind=MarkKind.IGNORED, subject="b", who="ann", at_ns=1)
        mark(connection, "e1", one, on=True)
        mark(connection, "e1", msgspec.structs.replace(one, account="x", subject="a"), on=True)
    assert [(row["whose"], row["ignored"]) for row in seen(desk).orders] == [
        ("another key: left alone", False), ("ignored: left alone", True),
    ]  # fmt: skip


def test_without_a_listing_nothing_is_called_foreign_and_no_time_is_told(desk: Desk) -> None:
    desk.project(LISTED)
    found = seen(desk)
    assert (found.orders, found.orders_ns, found.tokens, found.tokens_ns) == ([], None, [], None)
