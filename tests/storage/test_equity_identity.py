from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import msgspec
import pytest

from engine.domain.events import (
    CashKind,
    CashMoved,
    FillSettled,
    FillVoided,
    InstrumentListed,
    InstrumentResolved,
    RedemptionsListed,
    TokensRedeemed,
)
from engine.domain.fills import FillId
from engine.domain.instruments import AccountId, InstrumentId, Leg, Mode
from engine.domain.perpetual_events import FundingPaid
from engine.domain.products.funding import HOUR_NS, RateType
from engine.errors import StorageError
from storage.equity_identity import EquityCheck, LedgerSide, judge, put_check
from storage.views.money import sources
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books, bought


def check_of(books: Books, **changes: Any) -> EquityCheck:
    """Judge what a ledger says that differs from an empty one in `changes`."""
    fields: dict[str, Any] = {
        "account": DEMO,
        "mode": Mode.DEMO,
        "currency": "pUSD",
        "at_ns": 9,
        "seq": books.seq,
        "cash_micro": 0,
        "pending_micro": 0,
        "redeemable_micro": 0,
        "inventory_micro": 0,
        "tokens": {},
        "marks": {},
    }
    fields |= changes
    terms = ("cash_micro", "pending_micro", "redeemable_micro", "inventory_micro")
    fields.setdefault("equity_micro", sum(fields[name] for name in terms))
    return judge(books.connection, "e1", LedgerSide(**fields))


REDEEMED = TokensRedeemed(
    account=DEMO, transaction="0x1", instrument=M1, amount_micro=10 * SHARE, at_ns=7
)


@pytest.fixture
def books(connection: Connection) -> Books:
    """An account with 100 pUSD in a listed market."""
    made = Books(connection)
    made.tell(
        CashMoved(account=DEMO, currency="pUSD", amount_micro=100 * SHARE),
        InstrumentListed(instrument=TERMS),
    )
    return made


def test_cash_tokens_and_marks_of_both_sides_agree(books: Books) -> None:
    books.tell(
        CashMoved(account=DEMO, currency="EUR", amount_micro=5),
        *bought(1, 4_800, 10 * SHARE, fee=30),
        *bought(2, 5_000, 4 * SHARE, Leg.NO),
        FillSettled(account=DEMO, fill=FillId("f1")),
    )
    marks, tokens = {M1: 9_801}, {(M1, Leg.YES): 10 * SHARE, (M1, Leg.NO): 4 * SHARE}
    check = check_of(
        books,
        cash_micro=100 * SHARE - 4_800_000 - 30 - 2_000_000,
        inventory_micro=4_900_500 + 2_039_800,
        tokens=tokens,
        marks=marks,
    )
    assert (check.difference_micro, check.text, check.judged) == (0, "", True)


def test_rewards_and_rebates_stand_apart_and_both_sides_agree(books: Books) -> None:
    paid = [(CashKind.REWARD, 3), (CashKind.REBATE, 2), (CashKind.REWARD, 1)]
    for number, (kind, dollars) in enumerate(paid):
        books.tell(
            CashMoved(
                account=DEMO, currency="pUSD", amount_micro=dollars * SHARE, kind=kind,
                payment=f"{kind} {number}", paid_ns=5,
            )
        )  # fmt: skip
    check = check_of(books, cash_micro=106 * SHARE)
    assert (check.difference_micro, check.text, check.judged) == (0, "", True)
    made = sources(books.connection, "e1", DEMO)
    assert (made.deposited, made.moves) == (100, 1)
    assert (made.rewards, made.rebates, made.realised, made.equity) == (4, 2, 0, 106)


def test_funding_is_kept_once_a_stamp_and_both_sides_agree(books: Books) -> None:
    paid = FundingPaid(
        account=DEMO, instrument=M1, currency="pUSD", amount_micro=-3 * SHARE,
        stamp_ns=8 * HOUR_NS + 6_000_000, rate_e18=10**14, mark_e8=40_000 * 10**8, payment="tran 1",
    )  # fmt: skip
    special = msgspec.structs.replace(paid, rate_type=RateType.SPECIAL, amount_micro=SHARE)
    books.tell(paid, msgspec.structs.replace(paid, stamp_ns=8 * HOUR_NS), special)
    check = check_of(books, cash_micro=98 * SHARE)
    assert (check.difference_micro, check.text, check.judged) == (0, "", True)
    made = sources(books.connection, "e1", DEMO)
    assert (made.funding, made.fundings, made.equity, made.moves) == (-2, 2, 98, 1)
    rows = books.connection.execute(
        "SELECT instrument, stamp_ns, rate_type, amount_micro, rate_e18, mark_e8, payment "
        "FROM funding ORDER BY rate_type"
    ).fetchall()
    what = 10**14, 40_000 * 10**8, "tran 1"
    assert [tuple(row) for row in rows] == [
        (M1, 8 * HOUR_NS, "regular", -3 * SHARE, *what),
        (M1, 8 * HOUR_NS, "special", SHARE, *what),
    ]


def test_stamps_that_were_missed_and_come_in_one_listing_are_all_counted(books: Books) -> None:
    paid = FundingPaid(
        account=DEMO, instrument=M1, currency="pUSD", amount_micro=-3 * SHARE, stamp_ns=8 * HOUR_NS,
    )  # fmt: skip
    other = InstrumentId("demo:other")
    missed = (
        paid,
        msgspec.structs.replace(paid, stamp_ns=9 * HOUR_NS, amount_micro=SHARE),
        msgspec.structs.replace(paid, stamp_ns=9 * HOUR_NS, instrument=other),
    )
    listed = RedemptionsListed(account=DEMO, since_ns=0, redemptions=(), fundings=missed)
    books.tell(paid, listed, listed)
    check = check_of(books, cash_micro=95 * SHARE)
    assert (check.difference_micro, check.text, check.judged) == (0, "", True)
    made = sources(books.connection, "e1", DEMO)
    assert (made.funding, made.fundings, made.equity) == (-5, 3, 95)


def test_tokens_that_came_without_a_trade_are_a_deposit_on_both_sides(books: Books) -> None:
    books.tell(
        CashMoved(
            account=DEMO, currency="pUSD", amount_micro=6 * SHARE, instrument=M1, leg=Leg.YES,
            tokens=10 * SHARE,
        )
    )  # fmt: skip
    check = check_of(
        books, cash_micro=100 * SHARE, inventory_micro=4_900_500,
        tokens={(M1, Leg.YES): 10 * SHARE}, marks={M1: 9_801},
    )  # fmt: skip
    assert (check.difference_micro, check.text, check.judged) == (0, "", True)
    assert (sources(books.connection, "e1", DEMO).deposited, check.journal.cash_micro) == (
        106,
        100 * SHARE,
    )


def test_a_missing_micro_unit_is_told_with_both_sides(books: Books) -> None:
    check = check_of(books, cash_micro=100 * SHARE - 1)
    assert check.differs
    assert check.difference_micro == -1
    assert "the ledger has equity 99.999999 = cash 99.999999 + pending 0" in check.text
    assert "sum to 100 = cash 100 + inventory 0; difference -0.000001 pUSD" in check.text


def test_terms_that_do_not_add_up_to_the_equity_shown_are_told(books: Books) -> None:
    check = check_of(books, cash_micro=99 * SHARE, equity_micro=100 * SHARE)
    assert (check.difference_micro, check.differs) == (0, True)


def test_tokens_apart_are_told_even_where_nobody_can_mark_them(books: Books) -> None:
    books.tell(*bought(1, 4_800, 10 * SHARE))
    check = check_of(books, cash_micro=100 * SHARE - 4_800_000)
    assert (check.difference_micro, check.differs) == (0, True)
    assert check.text == f"{M1} yes: ledger 0, journal {10 * SHARE}"


def test_a_void_fill_leaves_nothing(books: Books) -> None:
    books.tell(*bought(1, 4_800, 10 * SHARE, fee=9), FillVoided(account=DEMO, fill=FillId("f1")))
    assert check_of(books, cash_micro=100 * SHARE).text == ""


def test_what_has_resolved_is_cash_whatever_the_marks_say(books: Books) -> None:
    books.tell(
        *bought(1, 4_800, 10 * SHARE),
        *bought(2, 5_000, 4 * SHARE, Leg.NO),
        InstrumentResolved(instrument=M1, payout_yes_micro=SHARE, source="test"),
    )
    check = check_of(
        books,
        cash_micro=100 * SHARE - 4_800_000 - 2_000_000,
        pending_micro=10 * SHARE,
        marks={M1: 100},
    )
    assert check.text == ""


def test_a_payout_of_broken_micro_units_may_round_apart_by_one_per_fill(books: Books) -> None:
    books.tell(
        *bought(1, 5_000, 1),
        *bought(2, 5_000, 2),
        InstrumentResolved(instrument=M1, payout_yes_micro=SHARE // 2, source="test"),
    )
    paid = 100 * SHARE - 1 - 1
    assert check_of(books, cash_micro=paid + 1).text == ""
    assert check_of(books, cash_micro=paid - 1).text == ""
    assert check_of(books, cash_micro=paid - 2).differs


def test_what_was_never_listed_is_not_judged(books: Books, connection: Connection) -> None:
    books.tell(*bought(1, 4_800, 10 * SHARE))
    connection.execute("DELETE FROM instruments")
    check = check_of(books, cash_micro=7)
    assert (check.judged, check.differs) == (False, False)
    assert "listing" in check.text
    put_check(connection, "e1", check)
    assert connection.execute("SELECT checks, differed FROM equity_checks").fetchone() == (0, 0)


def test_the_last_check_is_kept_and_all_are_counted(books: Books, connection: Connection) -> None:
    for cash in (100 * SHARE, 5, 100 * SHARE):
        put_check(connection, "e1", check_of(books, cash_micro=cash))
    row = connection.execute(
        "SELECT difference_micro, text, judged, checks, differed, differed_ns FROM equity_checks"
    ).fetchone()
    assert row == (0, "", 1, 3, 1, 9)


def test_a_cash_move_of_an_unregistered_account_is_refused(books: Books) -> None:
    with pytest.raises(StorageError, match="start the engine once"):
        books.tell(CashMoved(account=AccountId("nobody"), currency="pUSD", amount_micro=1))


def test_a_winner_is_equity_before_it_is_paid_and_after(books: Books) -> None:
    books.tell(
        *bought(1, 4_800, 10 * SHARE),
        FillSettled(account=DEMO, fill=FillId("f1")),
        InstrumentResolved(instrument=M1, payout_yes_micro=SHARE, source="test"),
    )
    cash = 100 * SHARE - 4_800_000
    assert not check_of(books, cash_micro=cash, redeemable_micro=10 * SHARE).text

    books.tell(REDEEMED, REDEEMED)

    paid = {"cash_micro": cash + 10 * SHARE, "redeemed_micro": 10 * SHARE}
    assert not check_of(books, **paid).text


def test_a_redemption_that_is_booked_twice_is_told(books: Books) -> None:
    books.tell(
        *bought(1, 4_800, 10 * SHARE),
        FillSettled(account=DEMO, fill=FillId("f1")),
        InstrumentResolved(instrument=M1, payout_yes_micro=SHARE, source="test"),
        REDEEMED,
    )
    twice = {"redeemed_micro": 20 * SHARE, "redeemable_micro": -10 * SHARE}

    check = check_of(books, cash_micro=100 * SHARE - 4_800_000 + 20 * SHARE, **twice)

    assert check.differs
    assert "redemptions of 20 pUSD, the journal has 10" in check.text
