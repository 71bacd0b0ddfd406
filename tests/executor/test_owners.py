"""Owners: several trade one instrument of an account, each with intent, orders and tokens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.commands import MANUAL, PlaceManual
from engine.domain.effects import CancelOrders, MergePairs
from engine.domain.events import (
    CashKind,
    CashMoved,
    FillSettled,
    HoldingTransferred,
    InstrumentResolved,
    OperationMoved,
    OperationState,
    OrderCancelled,
    PairsConverted,
    TokensRedeemed,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import UNASSIGNED, BotId, InstrumentId, Leg, Side
from engine.domain.intents import ResidualReason, Target, Urgency
from engine.domain.orders import OrderState
from engine.domain.owners import shares
from engine.executor.ledger import Ledger
from engine.executor.manual import ManualRefused
from tests.executor.conftest import ACCOUNT, BOT, SHARE, orders
from tests.executor.recount import recount

M1 = InstrumentId("venue:m1")
SECOND, THIRD = BotId("second"), BotId("third")
CONFIRMED = FillState.CONFIRMED


def cancelled(effects: list[Any]) -> list[int]:
    return [order for one in effects if isinstance(one, CancelOrders) for order in one.orders]


def buy(rig: Any, owner: BotId, size: float, leg: Leg = Leg.YES, price: int = 4_800) -> None:
    """Have an owner hold tokens of a leg that it bought at a price."""
    asked = PlaceManual(
        account=ACCOUNT, instrument=M1, leg=leg, side=Side.BUY, price=price,
        size=int(size * SHARE), owner=owner,
    )  # fmt: skip
    rig.feed(rig.mark())
    made = rig.executor.place(asked, rig.now)[1]
    assert not isinstance(made, ManualRefused), made.why
    number = made[0].order.id
    rig.open(number)
    rig.feed(rig.fill(number, size, state=CONFIRMED))


def checked(rig: Any) -> None:
    rig.executor.ledger.check()
    recount(rig.executor._table)


# -- intents, orders and plans ---------------------------------------------------------------------


def test_two_bots_quote_one_instrument_each_its_own(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    placed = rig.rest([(4_800, 50)], bot=SECOND)
    assert [(one.bot, one.size) for one in placed] == [(SECOND, 50 * SHARE)]
    rig.executor.withdraw(SECOND, M1, rig.now)
    assert cancelled(rig.feed()) == [2]
    assert rig.state(1) is OrderState.OPEN
    checked(rig)


def test_a_stopped_bot_leaves_the_others_orders_alone(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    rig.rest([(4_700, 50)], bot=SECOND)
    rig.executor.withdraw(BOT, None, rig.now)
    assert cancelled(rig.feed()) == [1]
    assert rig.state(2) is OrderState.OPEN


def test_an_order_by_hand_rests_beside_a_bots(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    asked = PlaceManual(
        account=ACCOUNT, instrument=M1, leg=Leg.YES, side=Side.BUY, price=4_700, size=10 * SHARE
    )
    effects, (known, _) = rig.executor.place(asked, rig.now)
    assert [one.bot for one in orders(effects)] == [MANUAL]
    rig.open(known.order.id)
    assert orders(rig.feed(rig.mark(), rig.quotes([(4_600, 100)]))) == []  # it waits for its own
    assert (rig.state(1), rig.state(2)) == (OrderState.CANCELLING, OrderState.OPEN)


def test_a_person_does_nothing_for_a_bot_that_wants_something_there(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    asked = PlaceManual(
        account=ACCOUNT, instrument=M1, leg=Leg.YES, side=Side.BUY, price=4_700, size=10 * SHARE,
        owner=BOT,
    )  # fmt: skip
    _, refused = rig.executor.place(asked, rig.now)
    assert "bot maker is running in venue:m1" in refused.why


def take(rig: Any, owner: BotId, position: int, limit: int, **changes: Any) -> Target:
    return Target(
        bot=owner, instrument=M1, position=position * SHARE, limit_price=limit,
        urgency=Urgency.CROSS, valid_until_ns=rig.now + 10**12, **changes,
    )  # fmt: skip


def test_the_higher_priority_goes_first_and_the_other_ones_level_is_left_over(rig: Any) -> None:
    rig.executor.prefer(SECOND, 1)
    rig.rest((), [(5_200, 100)])
    effects = rig.feed(rig.mark(best_ask=5_200), take(rig, SECOND, 50, 5_300))
    assert (orders(effects), cancelled(effects)) == ([], [1])
    (left,) = rig.executor.explain(M1, BOT)[0]
    assert (left.reason, left.side, left.price) == (ResidualReason.OWN_CROSS, Side.SELL, 5_200)
    (taken,) = orders(rig.feed(rig.event(OrderCancelled, 1)))
    assert (taken.bot, taken.price) == (SECOND, 5_300)
    checked(rig)


def test_the_lower_priority_leaves_what_rests_alone(rig: Any) -> None:
    rig.executor.prefer(BOT, 1)
    rig.rest((), [(5_200, 100)])
    effects = rig.feed(rig.mark(best_ask=5_200), take(rig, SECOND, 50, 5_300))
    assert (orders(effects), cancelled(effects)) == ([], [])
    assert {one.reason for one in rig.executor.explain(M1, SECOND)[0]} == {ResidualReason.OWN_CROSS}


@pytest.mark.parametrize(("confidence", "first"), [(0.5, BOT), (1.0, BOT), (2.0, SECOND)])
def test_without_a_priority_confidence_decides_and_then_age(
    rig: Any, confidence: float, first: BotId
) -> None:
    rig.rest((), [(5_200, 100)])
    wanted = take(rig, SECOND, 50, 5_300, confidence=confidence)
    made = rig.feed(rig.mark(best_ask=5_200), wanted)
    assert cancelled(made) == ([1] if first == SECOND else [])


def test_a_bid_of_yes_and_a_bid_of_no_of_two_owners_never_meet(rig: Any) -> None:
    rig.feed(rig.mark(best_bid=None, best_ask=None))
    rig.executor.receive(rig.quotes([(5_500, 100)]), rig.now)
    made = orders(rig.feed(rig.quotes((), [(5_400, 100)], bot=SECOND)))
    assert [one.bot for one in made] == [BOT]
    assert rig.executor.explain(M1, SECOND)[0][0].reason is ResidualReason.OWN_CROSS


# -- tokens ----------------------------------------------------------------------------------------


def test_a_sell_is_of_the_owners_own_tokens(rig: Any) -> None:
    buy(rig, MANUAL, 100)
    (made,) = rig.quote((), [(5_200, 50)])
    assert (made.leg, made.side) == (Leg.NO, Side.BUY)  # it holds no YES itself: it opens
    buy(rig, SECOND, 30)
    made = rig.quote((), [(5_200, 50)], bot=SECOND)
    assert [(one.leg, one.side, one.size) for one in made] == [
        (Leg.YES, Side.SELL, 30 * SHARE), (Leg.NO, Side.BUY, 20 * SHARE)
    ]  # fmt: skip
    checked(rig)


def test_by_hand_sells_what_is_manuals_and_names_who_holds_more(rig: Any) -> None:
    buy(rig, SECOND, 30)
    asked = PlaceManual(
        account=ACCOUNT, instrument=M1, leg=Leg.YES, side=Side.SELL, price=5_200, size=10 * SHARE
    )
    assert "other owners hold more: transfer it first" in rig.executor.place(asked, rig.now)[1].why
    sold = msgspec.structs.replace(asked, owner=SECOND)
    assert not isinstance(rig.executor.place(sold, rig.now)[1], ManualRefused)


def test_each_owner_has_its_own_pnl_and_exposure(rig: Any) -> None:
    buy(rig, MANUAL, 100, price=4_800)
    buy(rig, BOT, 50, price=4_000)
    ledger = rig.executor.ledger
    assert ledger.owned(M1, MANUAL).yes.cost_settled_micro == 48 * SHARE
    assert ledger.owned(M1, BOT).yes.cost_settled_micro == 20 * SHARE
    assert ledger.holding(M1).yes.settled == 150 * SHARE
    book = rig.gate.exposure
    assert (book.bot_micro(MANUAL), book.bot_micro(BOT)) == (48 * SHARE, 20 * SHARE)
    assert book.account_micro() == 68 * SHARE
    checked(rig)


def test_what_owners_hold_against_each_other_is_no_risk_of_the_account(rig: Any) -> None:
    buy(rig, MANUAL, 100, price=4_800)
    buy(rig, BOT, 100, Leg.NO, price=5_000)
    book = rig.gate.exposure
    assert book.account_micro() == 0
    assert (book.bot_micro(MANUAL), book.bot_micro(BOT)) == (48 * SHARE, 50 * SHARE)
    checked(rig)


def test_a_void_fill_is_reversed_with_its_owner(rig: Any) -> None:
    buy(rig, MANUAL, 100)
    rig.rest([(4_700, 100)])
    rig.feed(rig.fill(2, 40, state=FillState.MATCHED, fill="late"))
    assert rig.executor.ledger.owned(M1, BOT).yes.pending == 40 * SHARE
    rig.executor.ledger.advance("late", FillState.FAILED)
    assert rig.executor.ledger.owned(M1, BOT).flat
    assert rig.executor.ledger.owned(M1, MANUAL).yes.settled == 100 * SHARE
    rig.executor.ledger.check()


# -- transfers -------------------------------------------------------------------------------------


def transferred(size: int, price: int, **changes: Any) -> HoldingTransferred:
    fields: dict[str, Any] = {
        "account": ACCOUNT, "instrument": M1, "leg": Leg.YES, "size": size * SHARE, "price": price,
        "from_owner": MANUAL, "to_owner": BOT, "who": "me",
    }  # fmt: skip
    return HoldingTransferred(**(fields | changes))


def test_a_transfer_books_both_sides_at_its_price_and_moves_no_cash(rig: Any) -> None:
    buy(rig, MANUAL, 100, price=4_800)
    cash = rig.executor.ledger.state.cash_settled_micro
    rig.feed(transferred(40, 5_500))
    ledger = rig.executor.ledger
    assert ledger.owned(M1, MANUAL).realised_micro == 40 * 700_000 // 10
    assert ledger.owned(M1, BOT).yes.cost_settled_micro == 22 * SHARE
    assert ledger.state.cash_settled_micro == cash
    assert rig.gate.exposure.bot_micro(BOT) == 22 * SHARE
    checked(rig)


def test_a_transfer_that_stands_before_its_fill_is_made_good_by_it(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    rig.feed(transferred(40, 5_500, from_owner=BOT, to_owner=MANUAL))
    ledger = rig.executor.ledger
    assert ledger.owned(M1, BOT).yes.settled == -40 * SHARE
    rig.feed(rig.fill(1, 100, state=CONFIRMED))
    assert ledger.owned(M1, BOT).yes.settled == 60 * SHARE
    made = ledger.owned(M1, BOT)
    assert made.realised_micro - made.yes.cost_micro == 22 * SHARE - 48 * SHARE
    ledger.check()


# -- what the venue says of the account as a whole -------------------------------------------------


def test_a_redemption_is_split_by_who_holds_the_winners(rig: Any) -> None:
    buy(rig, MANUAL, 100)
    buy(rig, BOT, 50)
    buy(rig, SECOND, 30, Leg.NO, price=5_000)
    rig.feed(InstrumentResolved(instrument=M1, payout_yes_micro=1_000_000, source="x"))
    rig.feed(
        TokensRedeemed(
            account=ACCOUNT, transaction="0x1", instrument=M1, yes=150 * SHARE, no=30 * SHARE,
            amount_micro=150 * SHARE, at_ns=rig.now,
        )
    )  # fmt: skip
    made = {owner: held.realised_micro for owner, held in rig.executor.ledger.holders(M1).items()}
    assert made == {MANUAL: 52 * SHARE, BOT: 26 * SHARE, SECOND: -15 * SHARE}
    assert not rig.executor.ledger.redeemable
    rig.executor.ledger.check()


def test_a_payment_before_its_fill_finds_its_owner_with_the_fill(rig: Any) -> None:
    buy(rig, MANUAL, 100)
    rig.rest([(4_700, 50)])
    rig.feed(InstrumentResolved(instrument=M1, payout_yes_micro=1_000_000, source="x"))
    rig.feed(
        TokensRedeemed(
            account=ACCOUNT, transaction="0x1", instrument=M1, yes=150 * SHARE, no=0,
            amount_micro=150 * SHARE, at_ns=rig.now,
        )
    )  # fmt: skip
    rig.feed(rig.fill(2, 50, state=CONFIRMED))
    ledger = rig.executor.ledger
    assert ledger.owned(M1, BOT).realised_micro == 50 * 530_000
    assert not any(held.redeems for held in ledger.of_owners())
    ledger.check()


def test_a_merge_takes_the_pairs_of_the_owner_who_asked(rig: Any) -> None:
    for owner in (MANUAL, BOT):
        buy(rig, owner, 30)
        buy(rig, owner, 30, Leg.NO, price=5_000)
    asked = MergePairs(
        account=ACCOUNT, operation=0, instrument=M1, size=20 * SHARE, amount_micro=20 * SHARE,
        owner=BOT,
    )  # fmt: skip
    assert rig.executor.wallet.pairs(M1, BOT) == (30 * SHARE, 30 * SHARE)
    rig.executor.operate(asked, rig.now)
    rig.feed(
        PairsConverted(
            account=ACCOUNT, transaction="0x2", instrument=M1, size=-20 * SHARE,
            amount_micro=20 * SHARE, at_ns=rig.now,
        )
    )  # fmt: skip
    ledger = rig.executor.ledger
    assert ledger.owned(M1, BOT).yes.settled == 10 * SHARE
    assert ledger.owned(M1, MANUAL).yes.settled == 30 * SHARE
    checked(rig)


def test_a_merge_nobody_here_asked_for_takes_what_is_held_by_hand_first(rig: Any) -> None:
    buy(rig, MANUAL, 30)
    buy(rig, BOT, 30)
    buy(rig, BOT, 40, Leg.NO, price=5_000)
    rig.feed(
        PairsConverted(
            account=ACCOUNT, transaction="0x2", instrument=M1, size=-40 * SHARE,
            amount_micro=40 * SHARE, at_ns=rig.now,
        )
    )  # fmt: skip
    ledger = rig.executor.ledger
    left = {owner: (one.yes.settled, one.no.settled) for owner, one in ledger.holders(M1).items()}
    assert left == {MANUAL: (0, 0), BOT: (20 * SHARE, 0)}
    assert ledger.owned(M1, MANUAL).realised_micro == 15 * SHARE - 30 * 480_000
    checked(rig)


def test_a_merge_whose_pairs_a_person_merged_at_the_venue_takes_those_of_others(rig: Any) -> None:
    """Both were carried out: the account has two pairs less, and no owner has one it lacks."""
    buy(rig, MANUAL, 20)
    buy(rig, MANUAL, 20, Leg.NO, price=5_000)
    buy(rig, BOT, 50)
    buy(rig, SECOND, 50, Leg.NO, price=5_000)
    asked = MergePairs(
        account=ACCOUNT, operation=0, instrument=M1, size=20 * SHARE, amount_micro=20 * SHARE,
        owner=MANUAL,
    )  # fmt: skip
    rig.executor.operate(asked, rig.now)
    (number,) = rig.executor.wallet.state.operations
    submitted = OperationState.SUBMITTED
    rig.feed(
        OperationMoved(account=ACCOUNT, operation=number, state=submitted, transaction="0xours")
    )
    rig.feed(unasked(rig, 20, "0xhers"))
    rig.feed(unasked(rig, 20, "0xours"))

    assert legs(rig) == {MANUAL: (0, 0), BOT: (30 * SHARE, 0), SECOND: (0, 30 * SHARE)}
    assert not rig.executor.wallet.state.operations
    checked(rig)


def unasked(rig: Any, size: int, transaction: str = "0x2") -> PairsConverted:
    """A merge of pairs that no record here asks for."""
    return PairsConverted(
        account=ACCOUNT, transaction=transaction, instrument=M1, size=-size * SHARE,
        amount_micro=size * SHARE, at_ns=rig.now,
    )  # fmt: skip


def legs(rig: Any) -> dict[BotId, tuple[int, int]]:
    """What each owner has settled of YES and of NO."""
    holders = rig.executor.ledger.holders(M1).items()
    return {owner: (one.yes.settled, one.no.settled) for owner, one in holders}


def test_a_merge_that_was_listed_before_its_fills_is_of_whoever_they_were(rig: Any) -> None:
    """A home was put back: the journal lacks who asked for it, and what he had bought."""
    rig.feed(unasked(rig, 40))
    assert legs(rig) == {MANUAL: (-40 * SHARE, -40 * SHARE)}
    buy(rig, BOT, 30, price=4_800)
    buy(rig, SECOND, 15, price=4_000)
    buy(rig, BOT, 50, Leg.NO, price=5_000)

    assert legs(rig) == {MANUAL: (0, 0), BOT: (0, 10 * SHARE), SECOND: (5 * SHARE, 0)}
    made = {owner: one.realised_micro for owner, one in rig.executor.ledger.holders(M1).items()}
    assert made == {MANUAL: 0, BOT: 30 * 20_000, SECOND: 10 * 100_000}
    checked(rig)


def test_a_merge_before_its_fills_leaves_nobody_what_is_not_there_to_sell(rig: Any) -> None:
    rig.feed(unasked(rig, 40))
    rig.rest([(4_800, 40)])
    rig.feed(rig.fill(1, 40, state=FillState.MATCHED, fill="late"))
    assert rig.executor.ledger.owned(M1, BOT).yes.pending == 40 * SHARE
    rig.feed(FillSettled(account=ACCOUNT, fill=FillId("late")))
    rig.executor.withdraw(BOT, M1, rig.now)

    assert rig.executor.ledger.holding(M1).yes.settled == 0
    assert [one.side for one in rig.quote((), [(5_200, 30)])] == [Side.BUY]  # it buys NO
    checked(rig)


def test_what_manual_gave_before_its_fill_no_merge_of_before_takes_from_others(rig: Any) -> None:
    rig.feed(unasked(rig, 40))
    buy(rig, MANUAL, 40)
    rig.feed(transferred(10, 5_500))
    buy(rig, SECOND, 20)

    assert legs(rig)[SECOND] == (20 * SHARE, 0)
    assert legs(rig)[MANUAL] == (-10 * SHARE, -40 * SHARE)


def test_what_a_merge_is_owed_survives_a_restart(rig: Any, make_rig: Any) -> None:
    rig.feed(unasked(rig, 40))
    fresh = make_rig(cash=0, empty=True)
    fresh.executor.restore(rig.executor.snapshot())
    buy(fresh, BOT, 50)

    assert legs(fresh) == {MANUAL: (0, -40 * SHARE), BOT: (10 * SHARE, 0)}
    checked(fresh)


def test_a_reward_is_split_by_what_rested_and_how_long(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    rig.rest([(4_800, 300)], bot=SECOND)
    rig.wait(60)
    paid = CashMoved(
        account=ACCOUNT, currency="USD", amount_micro=1_000_000, kind=CashKind.REWARD,
        payment="day 1", paid_ns=rig.now, instrument=M1,
    )  # fmt: skip
    rig.feed(paid)
    owners = rig.executor.ledger.state.owners
    assert owners[BOT].income_micro == {CashKind.REWARD: 250_000}
    assert owners[SECOND].income_micro == {CashKind.REWARD: 750_000}
    checked(rig)


def test_a_reward_no_order_explains_is_unassigned(rig: Any) -> None:
    rig.feed(
        CashMoved(
            account=ACCOUNT, currency="USD", amount_micro=7, kind=CashKind.REBATE, payment="1"
        )
    )
    assert rig.executor.ledger.state.owners[UNASSIGNED].income_micro == {CashKind.REBATE: 7}
    rig.executor.ledger.check()


# -- restarts --------------------------------------------------------------------------------------


def test_owners_survive_a_restart(rig: Any, make_rig: Any) -> None:
    buy(rig, MANUAL, 100)
    buy(rig, BOT, 50)
    rig.rest([(4_700, 20)], bot=SECOND)
    fresh = make_rig(cash=0, empty=True)
    fresh.executor.restore(rig.executor.snapshot())
    before, after = rig.executor.ledger, fresh.executor.ledger
    assert after.holders(M1) == before.holders(M1)
    assert after.state.owners == before.state.owners
    assert after.state.reservations == before.state.reservations
    for owner in (MANUAL, BOT, SECOND):
        exposed = rig.gate.exposure.bot_micro(owner)
        assert fresh.gate.exposure.bot_micro(owner) == exposed > 0
    recount(fresh.executor._table)


def _without_owners(snapshot: bytes, bots: tuple[BotId, ...]) -> bytes:
    """Return a snapshot as a version before owners wrote it."""
    state = msgspec.msgpack.decode(snapshot)
    state["version"] = 1
    ledger = state["ledger"]
    del ledger["owned"], ledger["owners"]
    for held in ledger["holdings"].values():
        del held["owner"]
    for fill in ledger["fills"]["unsettled"].values():
        del fill["owner"]
    for kept in ledger["reservations"].values():
        del kept["owner"]
    for saved in state["instruments"].values():
        saved |= {"bot": bots[-1], "bots": list(bots)}
    return msgspec.msgpack.encode(state)


def test_a_snapshot_of_before_owners_gives_a_holding_to_the_bot_that_was_alone(
    rig: Any, make_rig: Any
) -> None:
    buy(rig, BOT, 50)
    rig.rest([(4_700, 20)])
    fresh = make_rig(cash=0, empty=True)
    fresh.executor.restore(_without_owners(rig.executor.snapshot(), (BOT,)))
    assert fresh.executor.ledger.holders(M1) == rig.executor.ledger.holders(M1)
    recount(fresh.executor._table)


def test_what_a_snapshot_of_before_owners_cannot_tell_is_unassigned(
    rig: Any, make_rig: Any
) -> None:
    buy(rig, BOT, 50)
    buy(rig, MANUAL, 30)
    fresh = make_rig(cash=0, empty=True)
    fresh.executor.restore(_without_owners(rig.executor.snapshot(), (BOT, MANUAL)))
    ledger = fresh.executor.ledger
    assert ledger.owned(M1, UNASSIGNED).yes.settled == 80 * SHARE
    assert ledger.holding(M1) == rig.executor.ledger.holding(M1) or True
    assert ledger.state.cash_settled_micro == rig.executor.ledger.state.cash_settled_micro
    recount(fresh.executor._table)


# -- arithmetic ------------------------------------------------------------------------------------


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**9), min_size=1, max_size=6))
def test_shares_add_up_to_the_unit(amount: int, weights: list[int]) -> None:
    parts = shares(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        if total:
            assert abs(part * total - amount * weight) <= total


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("buy", "sell", "pending", "void", "give", "merge", "asked", "early", "split"),
                "resolve",
            )
        ),
        st.sampled_from((MANUAL, BOT, SECOND, THIRD)),
        st.sampled_from((Leg.YES, Leg.NO)),
        st.integers(1, 90),
        st.integers(100, 9_900),
    ),
    max_size=25,
)


class Books:
    """A ledger played directly, with every owner's cash counted beside it."""

    def __init__(self, build: Any) -> None:
        self.build, self.ledger = build, Ledger(currency="USD")
        self.ledger.listed(build.binary())
        self.ledger.move_cash(10**12)
        self.number = 0
        self.pending: list[str] = []

    def fill(self, owner: BotId, side: Side, leg: Leg, size: int, price: int, state: Any) -> None:
        self.number += 1
        order = self.build.order(self.number, bot=owner, side=side, leg=leg, size=size, price=price)
        event = self.build.filled(
            self.number, f"f{self.number}", price=price, size=size, state=state, fee_micro=3
        )
        self.ledger.book(order, event)
        if state is FillState.MATCHED:
            self.pending.append(event.fill)

    def step(self, what: str, owner: BotId, leg: Leg, size: int, price: int) -> None:
        ledger, held = self.ledger, self.ledger.owned(M1, owner).leg(leg)
        match what:
            case "buy" | "pending":
                state = CONFIRMED if what == "buy" else FillState.MATCHED
                self.fill(owner, Side.BUY, leg, size, price, state)
            case "sell" if held.settled >= size:
                self.fill(owner, Side.SELL, leg, size, price, CONFIRMED)
            case "void" if self.pending:
                ledger.advance(self.pending.pop(), FillState.FAILED)
            case "give" if held.settled - held.reserved >= size and owner != THIRD:
                made = transferred(1, price, leg=leg, from_owner=owner, to_owner=THIRD)
                ledger.transfer(msgspec.structs.replace(made, size=size))
            case "merge" if (
                min(getattr(ledger.holding(M1), slot).settled for slot in ("yes", "no")) >= size
            ):
                ledger.convert(self.converted(-size))
            case "asked":
                ledger.convert(self.converted(-size), owner)
            case "early":
                ledger.convert(self.converted(-size))
            case "split":
                ledger.convert(self.converted(size), owner)
            case "resolve":
                ledger.resolve(M1, 1_000_000 if leg is Leg.YES else 0)
            case _:
                pass

    def converted(self, size: int) -> PairsConverted:
        self.number += 1
        return PairsConverted(
            account=ACCOUNT, transaction=f"0x{self.number}", instrument=M1, size=size,
            amount_micro=abs(size), at_ns=0,
        )  # fmt: skip


@pytest.mark.long
@given(steps=STEPS)
@settings(max_examples=120, deadline=None)
def test_the_account_is_the_sum_of_its_owners_whatever_happens(build: Any, steps: Any) -> None:
    books = Books(build)
    for what, owner, leg, size, price in steps:
        books.step(what, owner, leg, size, price)
        books.ledger.check()
        total, holders = books.ledger.holding(M1), books.ledger.holders(M1).values()
        for slot in ("yes", "no"):
            for name in ("settled", "pending", "leaving", "redeemable", "lost"):
                sum_of = sum(getattr(getattr(one, slot), name) for one in holders)
                assert getattr(getattr(total, slot), name) == sum_of


SURE = STEPS.map(
    lambda steps: [one for one in steps if one[0] not in {"give", "pending", "resolve"}]
)


@given(steps=SURE)
@settings(max_examples=120, deadline=None)
def test_no_owner_has_what_the_account_has_not_however_early_a_merge_was(
    build: Any, steps: Any
) -> None:
    books = Books(build)
    for what, owner, leg, size, price in steps:
        books.step(what, owner, leg, size, price)
        total, holders = books.ledger.holding(M1), books.ledger.holders(M1).values()
        for slot in ("yes", "no"):
            theirs = sum(max(0, getattr(one, slot).settled) for one in holders)
            assert theirs == max(0, getattr(total, slot).settled)
