from __future__ import annotations

from random import Random

import pytest

from engine.domain.effects import QueryRedemptions, RedeemTokens
from engine.domain.events import (
    OperationMoved,
    OperationState,
    RedemptionsListed,
    TokensRedeemed,
    VenueMode,
)
from engine.domain.instruments import Leg
from engine.errors import VenueClosed
from engine.venues.demo.accounts import Rules
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import KEY
from engine.venues.demo.snapshot import encode_state, restore_state
from tests.venues.demo.builders import (
    ANN,
    BOB,
    COIN,
    SHARE,
    USD,
    buy_no,
    buy_yes,
    exchange,
    put,
    run,
    sound,
)

REDEEM = RedeemTokens(account=ANN, operation=3, instrument=COIN)


def won(payout: int = USD, *, auto: bool = False) -> DemoExchange:
    """Ann holds ten YES, Bob ten NO, settled; the market is resolved."""
    made = exchange(rules=Rules(auto_redeem=auto))
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    run(made, 10)
    made.take(ANN)
    made.listing.resolve(COIN, payout, "referee")
    return made


def reports_of(made: DemoExchange) -> list[object]:
    answers = Answers(made, ANN, key=KEY, currency="pUSD")
    return [answers.received(report) for _, report in made.take(ANN)]


@pytest.mark.parametrize(("payout", "amount"), [(USD, 10), (USD // 2, 5)])
def test_a_redemption_is_submitted_mined_and_confirmed_and_then_pays(
    payout: int, amount: int
) -> None:
    made = won(payout)
    answers = Answers(made, ANN, key=KEY, currency="pUSD")
    before = made.wallet(ANN).cash
    (submitted,) = answers.do(REDEEM, made.now_ns)
    assert isinstance(submitted, OperationMoved)
    assert (submitted.operation, submitted.state) == (3, OperationState.SUBMITTED)
    run(made, 3)
    assert made.wallet(ANN).cash == before
    run(made, 3)
    assert made.wallet(ANN).cash == before + amount * USD
    assert made.positions(ANN) == []

    mined, paid, confirmed = reports_of(made)
    assert isinstance(mined, OperationMoved)
    assert isinstance(confirmed, OperationMoved)
    assert (mined.state, confirmed.state) == (OperationState.MINED, OperationState.CONFIRMED)
    assert isinstance(paid, TokensRedeemed)
    assert (paid.transaction, paid.yes, paid.no) == (submitted.transaction, 10 * SHARE, 0)
    assert paid.amount_micro == amount * USD
    (listed,) = answers.do(QueryRedemptions(account=ANN, since_ns=0), made.now_ns)
    assert isinstance(listed, RedemptionsListed)
    assert listed.redemptions == (paid,)
    sound(made)


def test_a_second_redemption_of_the_same_tokens_pays_nothing() -> None:
    made = won()
    before = made.wallet(ANN).cash
    for operation in (1, 2):
        made.operate(ANN, operation, COIN, 0, made.now_ns)
    run(made, 10)
    assert made.wallet(ANN).cash == before + 10 * USD
    assert len(made.redemptions(ANN, 0)) == 1
    sound(made)


def test_an_exchange_may_redeem_by_itself() -> None:
    made = won(auto=True)
    before = made.wallet(ANN).cash
    run(made, 10)
    assert made.wallet(ANN).cash == before + 10 * USD
    (paid,) = reports_of(made)
    assert isinstance(paid, TokensRedeemed)
    sound(made)


def test_what_is_not_resolved_or_unknown_is_refused() -> None:
    made = exchange()
    answers = Answers(made, ANN, key=KEY, currency="pUSD")
    (refused,) = answers.do(REDEEM, made.now_ns)
    assert isinstance(refused, OperationMoved)
    assert (refused.state, refused.transaction) == (OperationState.FAILED, "")
    made.guard.switch(VenueMode.RESTARTING)
    with pytest.raises(VenueClosed):
        answers.do(REDEEM, made.now_ns)


def test_a_redemption_under_way_outlives_its_host() -> None:
    made = won()
    made.operate(ANN, 7, COIN, 0, made.now_ns)
    run(made, 3)
    again = DemoExchange(rng=Random(5), now_ns=0, rules=Rules())
    restore_state(again, encode_state(made))
    run(again, 3)
    assert [one.amount_micro for one in again.redemptions(ANN, 0)] == [10 * USD]
    assert again.positions(ANN) == []
    assert (COIN, Leg.NO, 10 * SHARE) in again.positions(BOB)
    restore_state(made, encode_state(again))
    assert made.redemptions(ANN, 0) == again.redemptions(ANN, 0)
