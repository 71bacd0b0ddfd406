from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.events import BookMarked, PairsConverted, TokensRedeemed
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.errors import BrokenInvariant, InvalidTransition
from engine.executor.ledger import Anomaly, Ledger, LedgerState

M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
USD = 1_000_000


@pytest.fixture
def ledger(build: Any) -> Ledger:
    ledger = Ledger(currency="USD")
    ledger.listed(build.binary())
    ledger.move_cash(1_000 * USD)
    return ledger


def buy(ledger: Ledger, build: Any, fill: str = "b1", **changes: Any) -> None:
    leg = changes.pop("leg", Leg.YES)
    order = changes.pop("order", 1)
    ledger.book(build.order(order, leg=leg), build.filled(order, fill, **changes))


def sell(ledger: Ledger, build: Any, fill: str = "s1", **changes: Any) -> Any:
    leg = changes.pop("leg", Leg.YES)
    order = changes.pop("order", 2)
    return ledger.book(
        build.order(order, leg=leg, side=Side.SELL), build.filled(order, fill, **changes)
    )


def test_a_matched_buy_takes_cash_at_once_and_brings_pending_tokens(
    ledger: Ledger, build: Any
) -> None:
    buy(ledger, build, fee_micro=17)

    held = ledger.holding(M1)
    assert ledger.state.cash_settled_micro == 952 * USD - 17
    assert (held.yes_settled, held.yes_pending) == (0, 100 * SHARE)
    assert held.fees_micro == 17
    assert held.average_price(build.binary()) == 4_800
    ledger.check()


def test_a_buy_is_rounded_up_and_a_sale_down(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, price=1, size=1, state=FillState.CONFIRMED)
    assert ledger.state.cash_settled_micro == 1_000 * USD - 1

    sell(ledger, build, price=9_999, size=1, state=FillState.CONFIRMED)
    assert ledger.state.cash_settled_micro == 1_000 * USD - 1
    ledger.check()


def test_a_confirmed_buy_may_be_sold_and_a_pending_one_may_not(ledger: Ledger, build: Any) -> None:
    buy(ledger, build)
    order = build.order(5, side=Side.SELL, size=100 * SHARE)
    with pytest.raises(BrokenInvariant, match="settled 0"):
        ledger.commit(order, 100 * SHARE)

    ledger.advance(FillId("b1"), FillState.CONFIRMED)
    ledger.commit(order, 100 * SHARE)

    assert ledger.holding(M1).yes.reserved == 100 * SHARE


def test_proceeds_are_pending_until_confirmed(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)
    sell(ledger, build, price=5_200, fee_micro=USD)

    assert ledger.state.cash_pending_micro == 51 * USD
    assert ledger.cash_free_micro == 952 * USD
    assert ledger.holding(M1).realised_micro == 4 * USD

    ledger.advance(FillId("s1"), FillState.CONFIRMED)
    assert (ledger.state.cash_pending_micro, ledger.cash_free_micro) == (0, 1_003 * USD)
    ledger.check()


def test_the_same_fill_twice_is_booked_once(ledger: Ledger, build: Any) -> None:
    for _ in range(2):
        buy(ledger, build)

    assert ledger.holding(M1).yes_pending == 100 * SHARE


def test_a_fill_told_again_as_confirmed_settles(ledger: Ledger, build: Any) -> None:
    buy(ledger, build)
    buy(ledger, build, state=FillState.CONFIRMED)
    buy(ledger, build, state=FillState.CONFIRMED)
    buy(ledger, build, state=FillState.MINED)

    held = ledger.holding(M1)
    assert (held.yes_settled, held.yes_pending) == (100 * SHARE, 0)


def test_news_that_overtakes_its_fill_waits_for_it(ledger: Ledger, build: Any) -> None:
    assert not ledger.advance(FillId("b1"), FillState.MINED).changed
    assert not ledger.advance(FillId("b1"), FillState.CONFIRMED).changed

    buy(ledger, build)

    assert ledger.holding(M1).yes_settled == 100 * SHARE
    assert not ledger.state.fills.early


def test_a_fill_that_failed_before_it_was_told_is_never_booked(ledger: Ledger, build: Any) -> None:
    ledger.advance(FillId("b1"), FillState.FAILED)
    buy(ledger, build)
    buy(ledger, build, fill="b2", state=FillState.FAILED)

    assert ledger.holding(M1).flat
    assert ledger.cash_free_micro == 1_000 * USD


def test_a_failed_fill_is_reversed_once_and_to_the_unit(ledger: Ledger, build: Any) -> None:
    before = msgspec.msgpack.encode(ledger.state)
    buy(ledger, build, price=4_801, size=333_333, fee_micro=7)
    for _ in range(2):
        ledger.advance(FillId("b1"), FillState.FAILED)

    after = msgspec.msgpack.decode(msgspec.msgpack.encode(ledger.state), type=LedgerState)
    start = msgspec.msgpack.decode(before, type=LedgerState)
    assert after.cash_settled_micro == start.cash_settled_micro
    assert after.realised_micro == after.fees_micro == 0
    assert ledger.holding(M1).flat
    ledger.check()


def test_a_ghost_fill_is_void_even_when_the_news_comes_after_a_restart(
    ledger: Ledger, build: Any
) -> None:
    buy(ledger, build)
    saved = msgspec.msgpack.encode(ledger.state)
    fresh = Ledger(currency="USD")
    fresh.restore(msgspec.msgpack.decode(saved, type=LedgerState))

    for _ in range(2):
        fresh.advance(FillId("b1"), FillState.FAILED)

    assert fresh.holding(M1).position == 0
    assert fresh.cash_free_micro == 1_000 * USD
    assert not fresh.held


def test_a_settled_fill_told_to_have_failed_is_a_contradiction(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)

    with pytest.raises(InvalidTransition):
        ledger.advance(FillId("b1"), FillState.FAILED)

    assert ledger.holding(M1).yes_settled == 100 * SHARE


def test_a_voided_sale_gives_tokens_and_their_cost_back(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, price=3_333, size=7 * SHARE + 1, state=FillState.CONFIRMED)
    cost = ledger.holding(M1).yes.cost_settled_micro
    sell(ledger, build, price=6_667, size=3 * SHARE, fee_micro=11)
    assert ledger.holding(M1).yes.leaving == 3 * SHARE
    ledger.advance(FillId("s1"), FillState.FAILED)

    held = ledger.holding(M1)
    assert held.yes_settled == 7 * SHARE + 1
    assert held.yes.cost_settled_micro == cost
    assert (held.realised_micro, held.fees_micro, ledger.state.cash_pending_micro) == (0, 0, 0)
    assert (held.yes.leaving, held.yes.cost_leaving_micro) == (0, 0)
    ledger.check()


def test_selling_all_takes_the_whole_cost(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, price=3_333, size=7 * SHARE + 1, state=FillState.CONFIRMED)
    for number, size in enumerate((SHARE, 2 * SHARE, 4 * SHARE + 1)):
        sell(ledger, build, f"s{number}", size=size, state=FillState.CONFIRMED)

    assert ledger.holding(M1).flat
    assert ledger.holding(M1).yes.cost_micro == 0
    ledger.check()


def test_a_fill_beyond_our_cash_is_booked_and_told(ledger: Ledger, build: Any) -> None:
    order = build.order(1)
    booked = ledger.book(order, build.filled(size=10_000 * SHARE))

    assert booked.anomalies == (Anomaly.CASH_NEGATIVE,)
    assert ledger.state.cash_settled_micro == 1_000 * USD - 4_800 * USD
    ledger.check()


def test_a_sale_beyond_settled_tokens_is_booked_and_told(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, size=10 * SHARE)
    booked = sell(ledger, build, size=4 * SHARE, state=FillState.CONFIRMED)
    assert booked.anomalies == (Anomaly.OVERSOLD,)

    ledger.advance(FillId("b1"), FillState.CONFIRMED)
    held = ledger.holding(M1)
    assert (held.yes_settled, held.yes_pending) == (6 * SHARE, 0)
    assert held.yes.cost_micro == 6 * 480_000
    ledger.check()


def test_tokens_from_nowhere_leave_no_cost_behind(ledger: Ledger, build: Any) -> None:
    sell(ledger, build, size=4 * SHARE, state=FillState.CONFIRMED)
    buy(ledger, build, size=4 * SHARE, state=FillState.CONFIRMED)

    assert ledger.holding(M1).flat
    assert ledger.holding(M1).yes.cost_micro == 0
    ledger.check()


def test_a_buy_reserves_its_cost_and_a_taking_one_its_worst_fee(ledger: Ledger, build: Any) -> None:
    ledger.commit(build.order(1), 100 * SHARE)
    assert ledger.cash_free_micro == 952 * USD

    ledger.commit(build.order(2, post_only=False), 100 * SHARE)
    fee = build.binary().taker_fee_micro(4_800, 100 * SHARE)
    assert ledger.cash_free_micro == 904 * USD - fee

    ledger.commit(build.order(1), 50 * SHARE)
    ledger.commit(build.order(2, post_only=False), 0)
    assert ledger.cash_free_micro == 976 * USD
    ledger.commit(build.order(1), 0)
    ledger.commit(build.order(1), 0)
    assert ledger.cash_free_micro == 1_000 * USD
    ledger.check()


def test_a_reservation_beyond_free_cash_is_refused_with_nothing_changed(
    ledger: Ledger, build: Any
) -> None:
    with pytest.raises(BrokenInvariant, match="are free"):
        ledger.commit(build.order(1, size=3_000 * SHARE), 3_000 * SHARE)

    assert ledger.cash_free_micro == 1_000 * USD
    assert not ledger.state.reservations


def test_an_order_found_again_is_reserved_whatever_is_free(ledger: Ledger, build: Any) -> None:
    ledger.commit(build.order(1, size=3_000 * SHARE), 3_000 * SHARE, forced=True)

    assert ledger.cash_free_micro == -440 * USD
    ledger.commit(build.order(1, size=3_000 * SHARE), 2_900 * SHARE)  # shrinking is always allowed
    ledger.check()


def converted(size: int, amount_micro: int) -> PairsConverted:
    return PairsConverted(
        account=AccountId("demo"), transaction="0x1", instrument=M1, size=size,
        amount_micro=amount_micro, at_ns=1,
    )  # fmt: skip


def test_pairs_merge_into_cash(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, size=10 * SHARE, state=FillState.CONFIRMED)
    buy(ledger, build, "b2", order=2, leg=Leg.NO, size=10 * SHARE, state=FillState.CONFIRMED)

    ledger.convert(converted(-6 * SHARE, 6 * USD))

    held = ledger.holding(M1)
    assert (held.yes_settled, held.no_settled) == (4 * SHARE, 4 * SHARE)
    assert held.realised_micro == 240_000
    ledger.check()


def test_a_split_shares_its_cost_and_realises_nothing(ledger: Ledger) -> None:
    ledger.convert(converted(7 * SHARE, 7 * USD))

    held = ledger.holding(M1)
    assert (held.yes_settled, held.no_settled) == (7 * SHARE, 7 * SHARE)
    assert (held.yes.cost_micro, held.no.cost_micro) == (3_500_000, 3_500_000)
    assert (ledger.cash_free_micro, ledger.state.realised_micro) == (993 * USD, 0)
    ledger.check()


def test_pairs_merged_before_their_result_was_received_are_redeemed(
    ledger: Ledger, build: Any
) -> None:
    buy(ledger, build, size=10 * SHARE, state=FillState.CONFIRMED)
    buy(ledger, build, "b2", order=2, leg=Leg.NO, size=10 * SHARE, state=FillState.CONFIRMED)
    cash = ledger.cash_free_micro
    ledger.resolve(M1, USD)

    ledger.convert(converted(-6 * SHARE, 6 * USD))

    assert ledger.cash_free_micro == cash + 6 * USD
    assert ledger.state.redeemable_micro == 4 * USD
    ledger.check()


def test_what_an_operation_may_take_is_nobody_elses_until_its_end(
    ledger: Ledger, build: Any
) -> None:
    buy(ledger, build, size=10 * SHARE, state=FillState.CONFIRMED)
    cash = ledger.cash_free_micro
    ledger.set_aside(1, M1, pairs=6 * SHARE)
    ledger.set_aside(2, M1, cash_micro=9 * USD)
    ledger.check()
    assert ledger.cash_free_micro == cash - 9 * USD
    assert ledger.holding(M1).yes.reserved == 6 * SHARE

    for _ in range(2):
        ledger.give_back(1)
        ledger.give_back(2)
    assert ledger.cash_free_micro == cash
    assert ledger.holding(M1).yes.reserved == 0
    ledger.check()


@pytest.mark.parametrize(("payout", "worth"), [(USD, 100), (0, 0), (500_000, 50)])
def test_a_resolved_winner_is_worth_its_payout_and_is_not_cash(
    ledger: Ledger, build: Any, payout: int, worth: int
) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)
    for _ in range(2):
        ledger.resolve(M1, payout)

    assert ledger.cash_free_micro == 952 * USD
    assert ledger.state.redeemable_micro == worth * USD
    assert ledger.shown_equity_micro({}) == (952 + worth) * USD
    assert ledger.equity_micro({}, now_ns=1, mark_age_ns_max=1) == (952 + worth) * USD
    assert ledger.holding(M1).flat
    assert (M1 in ledger.redeemable) is (worth > 0)
    assert ledger.holding(M1).realised_micro == (worth - 48) * USD
    ledger.check()


def paid(amount_micro: int, **changes: Any) -> TokensRedeemed:
    fields: dict[str, Any] = {
        "account": AccountId("demo"),
        "transaction": "0x1",
        "instrument": M1,
        "amount_micro": amount_micro,
        "at_ns": 1,
    }
    return TokensRedeemed(**(fields | changes))


@pytest.mark.parametrize("told", [{}, {"yes": 100 * SHARE, "no": 7 * SHARE}])
def test_a_redemption_is_what_turns_winners_into_cash(
    ledger: Ledger, build: Any, told: dict[str, int]
) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)
    buy(ledger, build, "b2", order=2, leg=Leg.NO, size=7 * SHARE, state=FillState.CONFIRMED)
    ledger.resolve(M1, USD)
    free, equity = ledger.cash_free_micro, ledger.shown_equity_micro({})
    ledger.redeem(paid(100 * USD, **told))

    assert ledger.cash_free_micro == free + 100 * USD
    assert ledger.shown_equity_micro({}) == equity
    assert ledger.state.redeemable_micro == 0
    assert ledger.state.redeemed_micro == 100 * USD
    assert ledger.forget(M1)
    ledger.check()


def test_a_redemption_of_a_split_market_pays_both_legs(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)
    buy(ledger, build, "b2", order=2, leg=Leg.NO, size=40 * SHARE, state=FillState.CONFIRMED)
    ledger.resolve(M1, 500_000)
    ledger.redeem(paid(60 * USD, transaction="0x1"))
    held = ledger.holding(M1)
    assert (held.yes.redeemable, held.no.redeemable) == (0, 20 * SHARE)

    ledger.redeem(paid(10 * USD, transaction="0x2"))

    assert not held.redeems
    ledger.check()


def test_a_redemption_may_overtake_the_settlement_it_pays(ledger: Ledger, build: Any) -> None:
    buy(ledger, build)
    ledger.resolve(M1, USD)
    equity = ledger.shown_equity_micro({})
    ledger.redeem(paid(100 * USD, yes=100 * SHARE, no=0))
    assert ledger.holding(M1).yes.redeemable == -100 * SHARE
    assert ledger.shown_equity_micro({}) == equity
    assert not ledger.forget(M1)

    ledger.advance(FillId("b1"), FillState.CONFIRMED)

    assert not ledger.holding(M1).redeems
    assert ledger.cash_free_micro == ledger.shown_equity_micro({}) == equity
    ledger.check()


def test_what_rounding_left_is_realised_with_the_redemption(ledger: Ledger, build: Any) -> None:
    for number in range(3):
        buy(ledger, build, f"b{number}", size=SHARE + 1, state=FillState.CONFIRMED)
        ledger.resolve(M1, 500_000)
    expected = ledger.state.redeemable_micro
    assert expected < (3 * SHARE + 3) // 2

    ledger.redeem(paid(1_500_001))

    assert (ledger.state.redeemable_micro, ledger.holding(M1).redeems) == (0, False)
    ledger.check()


def test_a_redemption_before_the_result_is_our_bug(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)

    with pytest.raises(BrokenInvariant, match="never resolved"):
        ledger.redeem(paid(100 * USD))


@pytest.mark.parametrize("last", [0, USD // 2, USD])
@pytest.mark.parametrize("after", [FillState.CONFIRMED, FillState.FAILED])
def test_a_corrected_resolution_holds_for_what_was_not_paid_yet(
    ledger: Ledger, build: Any, last: int, after: FillState
) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)
    buy(ledger, build, order=2, fill="f2")
    spent = ledger.state.deposits_micro - ledger.state.cash_settled_micro
    for payout in (USD, last):
        ledger.resolve(M1, payout)
        ledger.check()
        assert ledger.equity_micro({}, now_ns=0, mark_age_ns_max=0) == (
            ledger.state.deposits_micro - spent + 200 * payout
        )
    ledger.advance(FillId("f2"), after)
    ledger.check()
    tokens = 200 if after is FillState.CONFIRMED else 100
    assert ledger.holding(M1).redeemable_micro == tokens * last
    assert bool(ledger.redeemable) is bool(last)


@pytest.mark.parametrize("first", [0, USD // 2])
@pytest.mark.parametrize("settles", ["before", "between", "after", "never"])
def test_a_loser_whose_result_is_corrected_is_worth_what_it_pays_then(
    ledger: Ledger, build: Any, first: int, settles: str
) -> None:
    buy(ledger, build, state=FillState.CONFIRMED if settles == "before" else FillState.MATCHED)
    ledger.resolve(M1, first)
    if settles == "between":
        ledger.advance(FillId("b1"), FillState.CONFIRMED)
    ledger.resolve(M1, USD)
    ledger.check()
    if settles in ("after", "never"):
        end = FillState.CONFIRMED if settles == "after" else FillState.FAILED
        ledger.advance(FillId("b1"), end)

    won = 0 if settles == "never" else 100
    assert ledger.state.redeemable_micro == won * USD
    spent = 0 if settles == "never" else 48
    assert ledger.equity_micro({}, now_ns=0, mark_age_ns_max=0) == (1_000 + won - spent) * USD
    if won:
        ledger.redeem(paid(100 * USD))
    assert not ledger.redeemable
    assert ledger.state.realised_micro == (won - spent) * USD
    ledger.check()


@pytest.mark.parametrize("told", [True, False])
def test_what_was_paid_before_a_correction_stays_cash_and_burned_losers_stay_gone(
    ledger: Ledger, build: Any, told: bool
) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)
    buy(ledger, build, "b2", order=2, leg=Leg.NO, price=5_000, state=FillState.CONFIRMED)
    ledger.resolve(M1, USD)
    tokens = {"yes": 100 * SHARE, "no": 100 * SHARE} if told else {"yes": None, "no": None}
    ledger.redeem(msgspec.structs.replace(paid(100 * USD), **tokens))
    ledger.resolve(M1, 0)

    assert ledger.state.cash_settled_micro == 1_002 * USD
    assert ledger.state.redeemable_micro == 0
    assert not ledger.redeemable
    ledger.check()


@pytest.mark.parametrize("end", [FillState.CONFIRMED, FillState.FAILED])
def test_a_fill_pending_over_the_resolution_is_settled_or_void_afterwards(
    ledger: Ledger, build: Any, end: FillState
) -> None:
    buy(ledger, build, leg=Leg.NO, price=4_000, fee_micro=5)
    ledger.resolve(M1, 0)
    assert ledger.state.cash_pending_micro == 100 * USD
    assert ledger.holding(M1).flat
    ledger.check()

    ledger.advance(FillId("b1"), end)

    won = end is FillState.CONFIRMED
    assert ledger.state.cash_pending_micro == 0
    assert ledger.state.redeemable_micro == (100 * USD if won else 0)
    assert ledger.cash_free_micro == (960 * USD - 5 if won else 1_000 * USD)
    assert ledger.state.realised_micro == (60 * USD if won else 0)
    ledger.check()


def test_a_sale_voided_after_the_resolution_is_redeemable(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, state=FillState.CONFIRMED)
    sell(ledger, build, price=5_000)
    ledger.resolve(M1, USD)
    ledger.advance(FillId("s1"), FillState.FAILED)

    assert ledger.cash_free_micro == 952 * USD
    assert ledger.state.redeemable_micro == 100 * USD
    assert ledger.holding(M1).flat
    ledger.check()


def test_a_late_fill_after_the_resolution_is_redeemable(ledger: Ledger, build: Any) -> None:
    ledger.resolve(M1, USD)
    buy(ledger, build)
    assert ledger.state.cash_pending_micro == 100 * USD
    ledger.advance(FillId("b1"), FillState.CONFIRMED)

    assert ledger.cash_free_micro == 952 * USD
    assert ledger.state.redeemable_micro == 100 * USD
    ledger.check()


def mark(**changes: Any) -> BookMarked:
    fields: dict[str, Any] = {
        "instrument": M1,
        "best_bid": 4_700,
        "best_ask": 4_900,
        "mid2": 9_600,
        "two_sided_ns": 100,
        "proof_ns": 100,
        "trusted": True,
    }
    return BookMarked(**(fields | changes))


def worth(ledger: Ledger, seen: BookMarked | None, now_ns: int = 100, age: int = 10) -> int:
    marks = {} if seen is None else {M1: seen}
    cash = ledger.state.cash_settled_micro + ledger.state.cash_pending_micro
    return ledger.equity_micro(marks, now_ns=now_ns, mark_age_ns_max=age) - cash


def test_equity_marks_both_legs_at_the_side_they_would_leave_by(ledger: Ledger, build: Any) -> None:
    buy(ledger, build, size=10 * SHARE, state=FillState.CONFIRMED)
    assert worth(ledger, mark()) == 4_700_000
    buy(ledger, build, "b2", leg=Leg.NO, size=10 * SHARE)
    assert worth(ledger, mark()) == 4_700_000 + 5_100_000
    assert ledger.shown_equity_micro({M1: mark()}) == 990_400_000 + 10_000_000


def test_equity_falls_back_to_the_last_two_sided_mid_and_then_to_nothing(
    ledger: Ledger, build: Any
) -> None:
    buy(ledger, build, size=10 * SHARE, state=FillState.CONFIRMED)

    assert worth(ledger, mark(best_bid=None)) == 4_800_000
    assert worth(ledger, mark(trusted=False)) == 4_800_000
    assert worth(ledger, mark(), now_ns=111) == 0
    assert worth(ledger, mark(best_bid=None, two_sided_ns=89)) == 0
    assert worth(ledger, mark(best_bid=None, mid2=None, two_sided_ns=None)) == 0
    assert worth(ledger, None) == 0
    assert ledger.shown_equity_micro({}) == ledger.state.cash_settled_micro


def test_spot_is_bought_and_sold_with_its_currency(build: Any) -> None:
    spot = build.spot()
    ledger = Ledger(currency="USD")
    ledger.listed(spot)
    ledger.move_cash(1_000 * USD)
    bought = build.order(1, instrument=spot.id, leg=Leg.BASE, price=5_000_000, size=10_000)
    ledger.book(
        bought, build.filled(price=5_000_000, size=10_000, fee_micro=3, state=FillState.CONFIRMED)
    )

    held = ledger.holding(spot.id)
    assert ledger.cash_free_micro == 500 * USD - 3
    assert (held.position, held.average_price(spot)) == (10_000, 5_000_000)
    with pytest.raises(BrokenInvariant):
        ledger.commit(
            build.order(2, instrument=spot.id, leg=Leg.BASE, side=Side.SELL, size=10_001), 10_001
        )


def test_a_fill_of_an_instrument_never_listed_is_our_bug(ledger: Ledger, build: Any) -> None:
    with pytest.raises(BrokenInvariant, match="never listed"):
        ledger.book(build.order(1, instrument=InstrumentId("venue:x")), build.filled())

    assert not ledger.state.fills.states


def test_an_instrument_is_forgotten_only_when_nothing_of_it_is_left(
    ledger: Ledger, build: Any
) -> None:
    assert ledger.forget(M1)
    buy(ledger, build)
    assert not ledger.forget(M1)
    ledger.resolve(M1, USD)
    assert not ledger.forget(M1)  # the fill may still become void
    ledger.advance(FillId("b1"), FillState.CONFIRMED)
    assert not ledger.forget(M1)  # it is worth its payout until that has come
    ledger.redeem(paid(100 * USD))
    assert ledger.forget(M1)
    assert ledger.state.realised_micro == 52 * USD
    ledger.check()


def test_books_that_do_not_balance_are_found(ledger: Ledger) -> None:
    ledger.state.cash_settled_micro += 1
    with pytest.raises(BrokenInvariant, match="accounts for"):
        ledger.check()
    ledger.state.cash_settled_micro -= 1
    ledger.state.cash_reserved_micro += 1
    with pytest.raises(BrokenInvariant, match="reserved cash"):
        ledger.check()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "confirm", "fail", "mine", "restore", "again"]),
        st.sampled_from([Leg.YES, Leg.NO]),
        st.integers(1, 9_999),
        st.integers(1, 50 * SHARE),
        st.integers(0, 9),
    ),
    max_size=40,
)


@given(actions=ACTIONS, payout=st.sampled_from([0, 333_333, 500_000, USD]))
@settings(max_examples=120)
def test_whatever_happens_the_books_balance_and_voids_restore(
    build: Any, actions: list[tuple[str, Leg, int, int, int]], payout: int
) -> None:
    ledger = Ledger(currency="USD")
    ledger.listed(build.binary())
    ledger.move_cash(1_000_000 * USD)
    told: list[tuple[Any, Any]] = []
    for what, leg, price, size, pick in actions:
        if what in {"buy", "sell"}:
            side = Side.BUY if what == "buy" else Side.SELL
            order = build.order(len(told) + 1, leg=leg, side=side, price=price, size=size)
            event = build.filled(
                order.id, f"f{len(told)}", price=price, size=size, fee_micro=size % 7
            )
            told.append((order, event))
            ledger.book(order, event)
        elif what == "restore":
            saved = msgspec.msgpack.encode(ledger.state)
            ledger = Ledger(currency="USD")
            ledger.restore(msgspec.msgpack.decode(saved, type=LedgerState))
        elif told:
            order, event = told[pick % len(told)]
            if what == "again":
                ledger.book(order, event)
                continue
            state = {
                "confirm": FillState.CONFIRMED,
                "fail": FillState.FAILED,
                "mine": FillState.MINED,
            }[what]
            try:
                ledger.advance(event.fill, state)
            except InvalidTransition:
                continue
        ledger.check()
    ledger.resolve(M1, payout)
    for _, event in told:
        if ledger.state.fills.states[event.fill] not in {FillState.CONFIRMED, FillState.FAILED}:
            ledger.advance(event.fill, FillState.CONFIRMED)
    ledger.check()
    assert ledger.holding(M1).flat
    assert ledger.state.cash_pending_micro == 0
    assert not ledger.held


@given(
    price=st.integers(1, 9_999),
    size=st.integers(1, 10**9),
    part=st.integers(1, 100),
    fee=st.integers(0, 1_000),
)
def test_a_voided_buy_and_a_voided_sale_restore_every_number(
    build: Any, price: int, size: int, part: int, fee: int
) -> None:
    ledger = Ledger(currency="USD")
    ledger.listed(build.binary())
    buy(ledger, build, "b0", price=price, size=size, state=FillState.CONFIRMED)
    before = msgspec.to_builtins(ledger.holding(M1)), ledger.state.cash_settled_micro
    sell(ledger, build, price=10_000 - price, size=max(1, size * part // 100), fee_micro=fee)
    buy(ledger, build, "b1", price=price, size=size, fee_micro=fee)
    ledger.advance(FillId("s1"), FillState.FAILED)
    ledger.advance(FillId("b1"), FillState.FAILED)

    assert (msgspec.to_builtins(ledger.holding(M1)), ledger.state.cash_settled_micro) == before
    assert ledger.state.cash_pending_micro == 0
