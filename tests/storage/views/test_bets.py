"""Bets against the ledger: two folds of the same facts, one of which knows no average cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.commands import MANUAL
from engine.domain.events import (
    CashKind,
    CashMoved,
    FillAdvanced,
    FillSettled,
    FillVoided,
    InstrumentListed,
    InstrumentResolved,
    PairsConverted,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import Leg, Mode, Side
from engine.executor.ledger import Ledger
from storage.database import reading
from storage.views.bets import BOTS, BY_HAND, KEY, bet_sums, bettors, closed_bets
from storage.views.drill_down import fills_behind
from tests.storage.test_projection import AT_NS, BINARY, LISTED, PAPER, Desk, fill, order

SHARE = 1_000_000
E = "e1"


@pytest.fixture
def desk(tmp_path: Path, empty_state: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, empty_state)
    yield made
    made.close()


def resolved(payout: int) -> InstrumentResolved:
    return InstrumentResolved(instrument=BINARY, payout_yes_micro=payout, source="uma")


def closed(desk: Desk, **more: Any) -> list[dict[str, Any]]:
    with reading(desk.state) as connection:
        return closed_bets(connection, E, mode=Mode.PAPER, **more)


def trade(number: int, side: Side, shares: int, price: int, **more: Any) -> list[msgspec.Struct]:
    size, fee = shares * SHARE, more.pop("fee", 0)
    placed = order(number, side, size, **more)
    done = FillState.CONFIRMED
    return [placed, fill(number, f"f{number}", size, price=price, fee=fee, state=done)]


@pytest.mark.parametrize(
    ("payout", "result", "net"),
    [(SHARE, "won", "6.0000"), (0, "lost", "-4.0000"), (SHARE // 2, "even", "1.0000")],
)
def test_a_bet_held_to_the_outcome_brings_what_its_tokens_pay(
    desk: Desk, payout: int, result: str, net: str
) -> None:
    desk.project(LISTED, *trade(1, Side.BUY, 10, 4_000))
    assert closed(desk) == []
    desk.project(resolved(payout))
    (bet,) = closed(desk)
    assert (bet["result"], f"{bet['net']:.4f}", f"{bet['entry']:.2f}") == (result, net, "0.40")
    assert bet["exit"] * 10 == bet["paid"]
    assert bet["held_ns"] == bet["closed_ns"] - bet["opened_ns"] > 0


def test_a_bet_that_was_sold_is_over_and_begins_again_with_the_next_fill(desk: Desk) -> None:
    desk.project(
        LISTED, *trade(1, Side.BUY, 10, 4_000, fee=7), *trade(2, Side.SELL, 10, 4_500, fee=5)
    )
    (bet,) = closed(desk)
    assert (bet["result"], bet["net"], bet["fee"], bet["exit"]) == (
        "sold", bet["received"] - bet["spent"] - bet["fee"], bet["fee"], bet["received"] / 10,
    )  # fmt: skip
    desk.project(*trade(3, Side.BUY, 1, 4_000))
    assert closed(desk) == []


def test_a_bet_whose_every_fill_was_reversed_is_void(desk: Desk) -> None:
    desk.project(LISTED, order(1), fill(1, "f1"), FillVoided(account=PAPER, fill=FillId("f1")))
    (bet,) = closed(desk)
    assert (bet["result"], bet["net"], bet["entry"], bet["exit"]) == ("voided", 0, None, None)


def test_a_reversed_sale_of_everything_gives_back_what_it_had_taken(desk: Desk) -> None:
    sale = [order(2, Side.SELL, 10 * SHARE), fill(2, "f2", 10 * SHARE, price=4_500, fee=0)]
    desk.project(LISTED, *trade(1, Side.BUY, 10, 4_000), *sale)
    assert [row["realised_micro"] for row in desk.rows("fills")] == [0, 500_000]
    desk.project(FillVoided(account=PAPER, fill=FillId("f2")))
    assert [row["realised_micro"] for row in desk.rows("fills")] == [0, 0]
    assert desk.position()["cost_micro"] == 4_000_000
    assert closed(desk) == []


def test_bets_of_bots_and_by_hand_are_told_apart(desk: Desk) -> None:
    desk.project(
        LISTED,
        *trade(1, Side.BUY, 3, 4_000),
        *trade(2, Side.BUY, 5, 4_000, bot=MANUAL),
        resolved(SHARE),
    )
    assert [bet["bot"] for bet in closed(desk)] == ["manual", "maker"]
    assert [bet["bot"] for bet in closed(desk, whose=BY_HAND)] == ["manual"]
    assert [bet["bot"] for bet in closed(desk, whose=BOTS)] == ["maker"]
    with reading(desk.state) as connection:
        assert bettors(connection, E, Mode.PAPER) == ["maker"]
        (sums,) = bet_sums(connection, E, mode=Mode.PAPER, whose="maker")
        assert (sums.closed, sums.gained, sums.open, f"{sums.net}") == (1, 1, 0, "1.800000")


def test_every_bet_stands_on_one_page_though_all_ended_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.views.ROWS_MAX", 2)
    bots = [f"b{number}" for number in range(5)]
    trades = [trade(n + 1, Side.BUY, 1, 4_000, bot=bot) for n, bot in enumerate(bots)]
    desk.project(LISTED, *(one for pair in trades for one in pair), resolved(0))
    seen: list[str] = []
    before: tuple[Any, ...] | None = None
    while rows := closed(desk, before=before):
        assert len(rows) <= 2
        seen += [row["bot"] for row in rows]
        before = tuple(rows[-1][name] for name in KEY)
    assert sorted(seen) == bots


def test_the_hash_of_a_fill_is_kept_whenever_it_is_told(desk: Desk) -> None:
    named = msgspec.structs.replace(fill(1, "f2", SHARE), transaction="0xbb")
    first = FillAdvanced(
        account=PAPER, fill=FillId("f1"), state=FillState.MINED, transaction="0xaa"
    )
    done = FillSettled(account=PAPER, fill=FillId("f2"), transaction="0xbb")
    desk.project(LISTED, order(1), fill(1, "f1", SHARE), named, first, done, fill(1, "f3", SHARE))
    with reading(desk.state) as connection:
        rows = fills_behind(connection, E, mode=Mode.PAPER)
    assert {row["id"]: row["transaction_id"] for row in rows} == {
        "f1": "0xaa", "f2": "0xbb", "f3": None,
    }  # fmt: skip


# -- against the ledger ----------------------------------------------------------------------------

FACTS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "buy", "sell", "sell all", "settle", "void"]),
        st.sampled_from(["maker", "taker", MANUAL]),
        st.sampled_from(list(Leg)[:2]),
        st.integers(1, 300),
        st.integers(1, 9_999),
        st.booleans(),
    ),
    max_size=25,
)


class BothBooks:
    """The same facts to a ledger and to a journal."""

    def __init__(self) -> None:
        self.ledger = Ledger(currency="USD")
        self.ledger.listed(LISTED.instrument)
        self.ledger.move_cash(10**12)
        self.journal: list[msgspec.Struct] = [InstrumentListed(instrument=LISTED.instrument)]
        self._number = 0

    def take(self, what: str, bot: str, leg: Leg, lots: int, price: int, sure: bool) -> None:
        ledger = self.ledger
        if what in {"settle", "void"}:
            waiting = list(ledger.state.fills.unsettled)
            if waiting:
                name = waiting[lots % len(waiting)]
                settles = what == "settle"
                ledger.advance(name, FillState.CONFIRMED if settles else FillState.FAILED)
                kind = FillSettled if settles else FillVoided
                self.journal.append(kind(account=PAPER, fill=name))
            return
        size = lots * 10_000
        held = ledger.holding(BINARY)
        there = held.yes_settled if leg is Leg.YES else held.no_settled
        side = Side.BUY if what == "buy" else Side.SELL
        if what == "sell all":
            size = there
        if side is Side.SELL and (there < size or not size):
            return
        self._number += 1
        placed = order(self._number, side, size, leg=leg, bot=bot)
        state = FillState.CONFIRMED if sure else FillState.MATCHED
        filled = fill(self._number, f"f{self._number}", size, price=price, fee=lots, state=state)
        ledger.book(placed.order, filled)
        self.journal += [placed, filled]

    def resolve(self, payout: int) -> None:
        self.ledger.resolve(BINARY, payout)
        self.journal.append(resolved(payout))


@pytest.mark.long
@given(before=FACTS, payout=st.sampled_from([None, 0, SHARE // 2, SHARE]), after=FACTS)
@settings(max_examples=60, deadline=None)
def test_closed_and_open_bets_together_are_the_pnl_of_the_ledger(
    before: Any, payout: int | None, after: Any, tmp_path_factory: Any, empty_state: Path
) -> None:
    both = BothBooks()
    for fact in before:
        both.take(*fact)
    if payout is not None:
        both.resolve(payout)
        # After an outcome nothing trades; what was matched before still settles or fails.
        after = [fact for fact in after if fact[0] in {"settle", "void"}]
    for fact in after:
        both.take(*fact)
    with closing(Desk(tmp_path_factory.mktemp("bets"), empty_state)) as desk:
        desk.project(*both.journal)
        bets, fills, legs = desk.rows("bets"), desk.rows("fills"), desk.rows("positions")
    books = both.ledger.state
    cost = sum(
        leg.cost_settled_micro + leg.cost_pending_micro
        for held in books.holdings.values()
        for leg in (held.yes, held.no)
    )
    # What is held is worth the same on both sides, so it cancels: what is left is the cost.
    nets = [
        bet["received_micro"] + bet["paid_micro"] - bet["spent_micro"] - bet["fee_micro"]
        for bet in bets
    ]
    assert sum(nets) == books.realised_micro - books.fees_micro - cost
    # The same by fills: what sales brought, and what the outcome pays over the cost of its tokens.
    paid = sum(bet["paid_micro"] for bet in bets)
    left = sum(leg["cost_micro"] for leg in legs)
    realised = sum(one["realised_micro"] for one in fills)
    assert realised + paid - left == books.realised_micro - cost
    assert all(bet["closed_ns"] is not None for bet in bets if payout is not None)
    assert all(bet["opened_ns"] > AT_NS for bet in bets)


def converted(name: str, size: int, amount: int) -> PairsConverted:
    return PairsConverted(
        account=PAPER, transaction=name, instrument=BINARY, size=size, amount_micro=amount, at_ns=1
    )


def test_a_merge_is_of_the_bets_that_hold_pairs_and_ends_those_it_empties(desk: Desk) -> None:
    no = trade(2, Side.BUY, 10, 5_000, leg=Leg.NO)
    desk.project(LISTED, *trade(1, Side.BUY, 10, 4_000), *no)
    merge = converted("0x1", -10 * SHARE, 10 * SHARE)
    desk.project(merge, merge)
    (bet,) = closed(desk)
    assert (bet["result"], f"{bet['net']:.2f}", bet["bot"]) == ("merged", "1.00", "maker")


def test_pairs_of_two_bots_merged_by_hand_leave_every_sum_as_it_was(desk: Desk) -> None:
    no = trade(2, Side.BUY, 10, 5_000, leg=Leg.NO, bot="taker")
    merge = converted("0x1", -10 * SHARE, 10 * SHARE)
    desk.project(LISTED, *trade(1, Side.BUY, 10, 4_000), *no, merge, resolved(SHARE))
    nets = {bet["bot"]: f"{bet['net']:.2f}" for bet in closed(desk)}
    assert nets == {"maker": "6.00", "taker": "-5.00", "manual": "0.00"}


def test_a_split_is_a_bet_by_hand(desk: Desk) -> None:
    desk.project(LISTED, converted("0x1", 3 * SHARE, 3 * SHARE), resolved(0))
    (bet,) = closed(desk)
    assert (bet["bot"], f"{bet['net']:.2f}", bet["result"]) == ("manual", "0.00", "even")


def cash(amount: int, **of: Any) -> CashMoved:
    return CashMoved(account=PAPER, currency="pUSD", amount_micro=amount, **of)


def test_tokens_that_were_taken_in_are_a_bet_by_hand_at_what_they_cost(desk: Desk) -> None:
    taken = cash(4 * SHARE, instrument=BINARY, leg=Leg.YES, tokens=10 * SHARE)
    desk.project(LISTED, taken, resolved(SHARE))
    (bet,) = closed(desk)
    assert (bet["bot"], bet["result"], f"{bet['net']:.2f}") == ("manual", "won", "6.00")
    (leg,) = desk.rows("positions")
    assert (leg["leg"], leg["settled"], leg["cost_micro"]) == ("yes", 10 * SHARE, 4 * SHARE)


def test_a_reward_for_a_market_stands_beside_the_net_of_its_only_bet(desk: Desk) -> None:
    reward = {"kind": CashKind.REWARD, "instrument": BINARY}
    early = cash(7, payment="too early", **reward)
    desk.project(LISTED, early, *trade(1, Side.BUY, 10, 4_000))
    desk.project(cash(5 * SHARE, payment="a", **reward), cash(9, payment="b", kind=CashKind.REBATE))
    desk.project(resolved(SHARE), cash(2 * SHARE, payment="late", **reward))
    (bet,) = closed(desk)
    assert (f"{bet['reward']:.2f}", f"{bet['net']:.2f}") == ("7.00", "6.00")


def test_a_reward_for_a_market_of_two_bots_is_of_neither(desk: Desk) -> None:
    no = trade(2, Side.BUY, 10, 5_000, leg=Leg.NO, bot="taker")
    paid = cash(SHARE, payment="a", kind=CashKind.REWARD, instrument=BINARY)
    desk.project(LISTED, *trade(1, Side.BUY, 10, 4_000), *no, paid, resolved(SHARE))
    assert [bet["reward"] for bet in closed(desk)] == [0, 0]
