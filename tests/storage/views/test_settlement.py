from __future__ import annotations

import sqlite3
from decimal import Decimal
from sqlite3 import Connection

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.domain.events import (
    CashMoved,
    FillAdvanced,
    FillSettled,
    FillVoided,
    InstrumentListed,
    InstrumentResolved,
    RedemptionsListed,
    TokensRedeemed,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import InstrumentId, Leg, Mode, Side
from storage import live
from storage.database import scaled
from storage.live import OWNED, EquityPoint, HoldingSeen, add_equity, put_holdings
from storage.views.frame import accounts
from storage.views.money import DAY_NS, Phase, SettlementStep, equity_check, pipeline, sources
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books, bought


@pytest.fixture
def books(connection: Connection) -> Books:
    """An account with 100 pUSD in a listed market."""
    made = Books(connection)
    made.tell(
        CashMoved(account=DEMO, currency="pUSD", amount_micro=100 * SHARE),
        InstrumentListed(instrument=TERMS),
    )
    return made


def phases(books: Books, now_ns: int = 100) -> dict[Phase, SettlementStep]:
    steps = pipeline(books.connection, "e1", account=DEMO, now_ns=now_ns)
    assert [step.phase for step in steps] == list(Phase)
    return {step.phase: step for step in steps}


def test_money_climbs_from_an_order_to_cash_with_the_age_of_the_oldest(books: Books) -> None:
    order, fill = bought(1, 4_800, 10 * SHARE)
    books.tell(order)
    reserved = phases(books)[Phase.RESERVED]
    assert (reserved.count, reserved.amount, reserved.oldest_ns) == (1, Decimal("4.8"), 1)
    books.at_ns = 7
    books.tell(fill, *bought(2, 5_000, SHARE))
    steps = phases(books)
    assert steps[Phase.RESERVED].count == 0
    matched = steps[Phase.MATCHED]
    assert (matched.count, matched.amount, matched.oldest_ns) == (2, Decimal("5.3"), 7)
    books.tell(
        FillAdvanced(account=DEMO, fill=FillId("f1"), state=FillState.RETRYING),
        FillAdvanced(account=DEMO, fill=FillId("f2"), state=FillState.MINED),
    )
    steps = phases(books)
    assert [steps[rung].count for rung in (Phase.MATCHED, Phase.MINED, Phase.RETRYING)] == [0, 1, 1]
    books.tell(
        FillSettled(account=DEMO, fill=FillId("f1")), FillVoided(account=DEMO, fill=FillId("f2"))
    )
    steps = phases(books)
    assert [steps[rung].count for rung in (Phase.CONFIRMED, Phase.FAILED)] == [1, 1]


def test_a_working_sell_commits_tokens_and_no_cash(books: Books) -> None:
    order, _ = bought(1, 4_800, 10 * SHARE, side=Side.SELL)
    books.tell(order)
    reserved = phases(books)[Phase.RESERVED]
    assert (reserved.count, reserved.tokens) == (1, 1)


def test_a_product_beyond_an_int64_is_exact_to_the_last_digit(books: Books) -> None:
    many = 18_300_000_000_003
    books.tell(
        *bought(1, 4_800, many),
        FillSettled(account=DEMO, fill=FillId("f1")),
        InstrumentResolved(instrument=M1, payout_yes_micro=SHARE, source="test"),
    )
    assert phases(books)[Phase.REDEEMABLE].amount == Decimal(many) / SHARE
    made = books.connection.execute(f"{OWNED} SELECT realised_micro FROM made", ("e1",))
    ((realised,),) = map(tuple, made)
    assert isinstance(realised, int)
    assert realised == many + (-many * 4_800 // 10_000)


@example(10**15 - 1, 10**6 - 1, 10**4)
@given(st.integers(-(10**15), 10**15), st.integers(0, 10**6), st.sampled_from([1, 10**4, 10**6]))
def test_scaled_is_division_towards_zero_of_the_whole_product(
    amount: int, factor: int, divisor: int
) -> None:
    exact = abs(amount) * factor // divisor
    assume(exact < 2**63)  # what it is worth is an amount itself
    memory = sqlite3.connect(":memory:")
    sql = scaled(":amount", ":factor", ":divisor")
    names = {"amount": amount, "factor": factor, "divisor": divisor}
    found = memory.execute(f"SELECT {sql}", names).fetchone()[0]
    memory.close()
    assert isinstance(found, int)
    assert found == (exact if amount >= 0 else -exact)


def test_what_has_ended_long_ago_is_counted_no_more(books: Books) -> None:
    books.tell(*bought(1, 4_800, SHARE), FillSettled(account=DEMO, fill=FillId("f1")))
    assert phases(books)[Phase.CONFIRMED].count == 1
    assert phases(books, DAY_NS + 6)[Phase.CONFIRMED].count == 0


def test_a_winner_is_redeemable_until_its_redemption_is_told_and_losers_pay_nothing(
    books: Books,
) -> None:
    books.tell(
        *bought(1, 4_800, 10 * SHARE),
        *bought(2, 5_000, 4 * SHARE, Leg.NO),
        *bought(3, 4_700, 3 * SHARE),
        FillSettled(account=DEMO, fill=FillId("f3")),
    )
    assert phases(books)[Phase.REDEEMABLE].count == 0
    books.tell(InstrumentResolved(instrument=M1, payout_yes_micro=SHARE, source="test"))
    steps = phases(books)
    redeemable, paid = steps[Phase.REDEEMABLE], steps[Phase.PAID]
    assert (redeemable.count, redeemable.amount) == (1, Decimal(13))
    assert (paid.count, paid.amount) == (0, Decimal(0))

    part = TokensRedeemed(
        account=DEMO, transaction="0x1", instrument=M1, amount_micro=3 * SHARE, at_ns=7
    )
    foreign = msgspec.structs.replace(part, instrument=InstrumentId("venue:other"))
    books.tell(part, RedemptionsListed(account=DEMO, since_ns=0, redemptions=(part, foreign)))
    steps = phases(books)
    assert steps[Phase.REDEEMABLE].amount == Decimal(10)
    assert (steps[Phase.PAID].count, steps[Phase.PAID].amount) == (1, Decimal(3))


def test_an_amount_without_a_listing_is_not_known(books: Books, connection: Connection) -> None:
    connection.execute("DELETE FROM listings")
    books.tell(*bought(1, 4_800, 10 * SHARE), bought(2, 4_800, SHARE)[0])
    steps = phases(books)
    assert (steps[Phase.MATCHED].count, steps[Phase.MATCHED].amount) == (1, None)
    assert steps[Phase.RESERVED].amount is None


def test_cash_is_what_the_engine_told_last(books: Books, connection: Connection) -> None:
    assert phases(books)[Phase.CASH].amount is None
    point = EquityPoint(
        account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=9, equity_micro=1, equity_mid_micro=1,
        cash_micro=95 * SHARE, day_start_micro=1, peak_micro=1,
    )  # fmt: skip
    add_equity(connection, "e1", point)
    assert phases(books)[Phase.CASH].amount == 95


def test_the_newest_equity_is_the_one_written_last_after_the_clock_ran_ahead(
    books: Books, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_ns = 3_600 * 10**9
    for at_ns, cash in ((1, 100), (hour_ns, 90), (hour_ns + 2, 80), (5, 70), (7, 60)):
        point = EquityPoint(
            account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=at_ns, equity_micro=cash * SHARE,
            equity_mid_micro=1, cash_micro=cash * SHARE, day_start_micro=1, peak_micro=1,
        )  # fmt: skip
        add_equity(connection, "e1", point)
    assert phases(books)[Phase.CASH].amount == 60
    (seen,) = accounts(connection, "e1")
    assert (seen.equity_ns, seen.equity_micro) == (7, 60 * SHARE)
    # An account that has been silent for long is not looked for by number: its latest is by time.
    monkeypatch.setattr(live, "EQUITY_LOOK", 0)
    assert phases(books)[Phase.CASH].amount == 80


def test_equity_is_made_of_deposits_and_of_what_was_made(
    books: Books, connection: Connection
) -> None:
    books.tell(
        CashMoved(account=DEMO, currency="pUSD", amount_micro=-20 * SHARE),
        *bought(1, 4_800, 10 * SHARE),
    )
    held = HoldingSeen(
        account=DEMO, instrument=M1, mode=Mode.DEMO, currency="pUSD", bot="maker",
        yes_settled=0, yes_pending=10 * SHARE, no_settled=0, no_pending=0,
        yes_cost_micro=4_800_000, no_cost_micro=0, value_micro=5_000_000, mid2=10_000, marked_ns=1,
        realised_micro=300_000, fees_micro=100_000, payout_yes_micro=None,
    )  # fmt: skip
    put_holdings(connection, "e1", [held], 5)
    made = sources(connection, "e1", DEMO)
    assert (made.deposited, made.moves, made.fills) == (Decimal(80), 2, 1)
    assert made.equity == Decimal("80.4")
    assert equity_check(connection, "e1", DEMO) is None
