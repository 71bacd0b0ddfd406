from __future__ import annotations

from typing import Any

import pytest

from engine.domain.effects import QueryRedemptions, RaiseAlert, RedeemTokens
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
    LossAccepted,
    OperationMoved,
    OperationState,
    OrderNotSent,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    TokensRedeemed,
)
from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.orders import OrderId
from engine.executor.settings import ExecutorSettings

M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
USD = 1_000_000
WON = InstrumentResolved(instrument=M1, payout_yes_micro=USD, source="venue")


def asked(told: list[Any]) -> list[int]:
    return [effect.operation for effect in told if isinstance(effect, RedeemTokens)]


def queried(told: list[Any]) -> bool:
    return any(isinstance(effect, QueryRedemptions) for effect in told)


def alerts(told: list[Any]) -> list[str]:
    return [effect.kind for effect in told if isinstance(effect, RaiseAlert)]


def payment(rig: Any, shares: int = 100, transaction: str = "0x1") -> TokensRedeemed:
    return TokensRedeemed(
        account=rig.build.account,
        transaction=transaction,
        instrument=M1,
        yes=shares * SHARE,
        no=0,
        amount_micro=shares * USD,
        at_ns=rig.now,
    )


def moved(rig: Any, state: OperationState, operation: int = 1) -> OperationMoved:
    return OperationMoved(account=rig.build.account, operation=operation, state=state)


def listed(rig: Any, *payments: TokensRedeemed) -> RedemptionsListed:
    return RedemptionsListed(account=rig.build.account, since_ns=0, redemptions=payments)


def hold(rig: Any, shares: int = 100) -> Any:
    """Hold shares bought at 0.48."""
    rig.rest([(4_800, 100)])
    rig.tell(rig.fill(1, shares, state=FillState.CONFIRMED))
    rig.executor.withdraw(rig.build.bot, M1, rig.now)
    rig.tell()
    for order in rig.executor.working(M1):
        rig.tell(rig.event(OrderNotSent, order.order.id, reason="withdrawn"))
    return rig


@pytest.fixture
def held(rig: Any) -> Any:
    return hold(rig)


@pytest.fixture
def waits(make_rig: Any) -> Any:
    """An account whose winners somebody else redeems."""
    return hold(
        make_rig(settings=ExecutorSettings(starts_reconciled=True, redeem_above_micro=None))
    )


def test_a_winner_is_redeemed_by_the_account_itself_and_only_then_cash(held: Any) -> None:
    ledger = held.executor.ledger
    assert asked(held.tell(WON)) == [1]
    assert ledger.state.cash_settled_micro == 952 * USD
    assert held.gate.exposure.account_micro() == 0
    assert asked(held.wait(5)) == []

    for state in (OperationState.SUBMITTED, OperationState.MINED):
        assert asked(held.tell(moved(held, state))) == []
    assert asked(held.tell(payment(held), moved(held, OperationState.CONFIRMED))) == []

    assert ledger.state.cash_settled_micro == 1_052 * USD
    assert not ledger.redeemable
    assert asked(held.wait(60)) == []


def test_a_loser_is_never_redeemed(held: Any) -> None:
    told = held.tell(InstrumentResolved(instrument=M1, payout_yes_micro=0, source="venue"))

    assert asked(told) == []
    assert not queried(held.wait(3_600))
    assert held.executor.equity_micro(held.now) == 952 * USD


def test_a_winner_can_not_be_sold(held: Any) -> None:
    held.tell(WON)

    assert held.quote([], [(9_900, 50)]) == []
    assert held.executor.ledger.holding(M1).yes.settled == 0


def test_a_winner_below_the_least_amount_waits_for_others(make_rig: Any) -> None:
    settings = ExecutorSettings(starts_reconciled=True, redeem_above_micro=101 * USD)
    rig = hold(make_rig(settings=settings))

    assert asked(rig.tell(WON)) == []
    assert queried(rig.effects)


def test_the_same_payment_is_booked_once_however_often_it_is_told(held: Any) -> None:
    held.tell(WON, payment(held, 40), payment(held, 40), listed(held, payment(held, 40)))

    assert held.executor.ledger.state.cash_settled_micro == 992 * USD
    assert held.executor.ledger.holding(M1).yes.redeemable == 60 * SHARE


def test_a_payment_before_the_result_waits_for_it(waits: Any) -> None:
    waits.tell(payment(waits), payment(waits))
    assert waits.executor.ledger.state.cash_settled_micro == 952 * USD
    assert not waits.executor._redemptions.quiet

    waits.tell(WON)

    assert waits.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert waits.executor._redemptions.quiet


def test_payments_of_markets_that_are_nobodys_here_are_left_alone(held: Any) -> None:
    foreign = TokensRedeemed(
        account=held.build.account,
        transaction="0x9",
        instrument=InstrumentId("venue:other"),
        amount_micro=7,
        at_ns=1,
    )
    held.tell(foreign)

    assert held.executor.ledger.state.cash_settled_micro == 952 * USD


def test_while_somebody_else_is_to_redeem_payments_are_asked_for(waits: Any) -> None:
    assert queried(waits.tell(WON))
    assert not queried(waits.tell(listed(waits)))
    assert not queried(waits.wait(5))
    assert queried(waits.wait(70))

    waits.tell(listed(waits, payment(waits)))

    assert waits.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert not queried(waits.wait(3_600))


def test_an_unanswered_redemption_is_looked_for_and_not_asked_for_again_blindly(held: Any) -> None:
    held.tell(WON)
    failed = QueryFailed(
        account=held.build.account, question="RedeemTokens", order=None, reason="silence"
    )
    assert asked(held.tell(failed)) == []
    assert asked(held.wait(5)) == []
    assert queried(held.wait(6))

    held.tell(listed(held, payment(held)))

    assert held.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert asked(held.wait(3_600)) == []


def test_an_unknown_redemption_that_is_nowhere_is_asked_for_anew(held: Any) -> None:
    held.tell(WON)
    assert queried(held.wait(30)) is False
    assert queried(held.wait(11))
    assert asked(held.tell(listed(held))) == [2]


def test_a_failed_redemption_is_told_and_tried_again_after_a_pause(held: Any) -> None:
    held.tell(WON)
    assert "redeem_failed" in alerts(held.tell(moved(held, OperationState.FAILED)))
    assert asked(held.wait(30)) == []
    assert asked(held.wait(31)) == [2]
    assert held.tell(moved(held, OperationState.FAILED)) == []  # number 1 is over


def test_a_confirmed_redemption_whose_payment_was_lost_is_looked_for(held: Any) -> None:
    held.tell(WON)
    assert queried(held.tell(moved(held, OperationState.CONFIRMED)))
    held.tell(listed(held, payment(held)))

    assert held.executor.ledger.state.cash_settled_micro == 1_052 * USD


def test_nothing_is_redeemed_under_the_latch(held: Any) -> None:
    held.tell(LatchSet(who="operator", reason="test"))
    assert asked(held.tell(WON)) == []
    assert asked(held.wait(5)) == []
    held.tell(LatchReleased(who="operator", reason="test"))

    assert asked(held.wait(1)) == [1]


def test_a_restart_looks_for_what_was_asked_before_it(held: Any, make_rig: Any) -> None:
    held.tell(WON)
    reborn = make_rig(settings=ExecutorSettings(), empty=True, cash=0)
    reborn.now = held.now
    reborn.executor.restore(held.executor.snapshot(), 1)
    told = reborn.executor.recover((), reborn.now) + reborn.tell()
    (question,) = [one for one in told if isinstance(one, QueryRedemptions)]
    reborn.asked[QueryRedemptions, None] = question.number
    reborn.tell(listed(reborn))
    for _ in range(2):
        reborn.tell(reborn.listing())
        reborn.wait(2)
    reborn.tell(FillsListed(account=reborn.build.account, since_ns=0, fills=()))
    assert asked(reborn.effects) == []

    assert queried(reborn.wait(11))
    reborn.tell(listed(reborn, payment(reborn)))

    assert reborn.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert asked(reborn.effects) == []


def test_a_journaled_request_of_an_earlier_life_keeps_its_number(held: Any) -> None:
    account = held.build.account
    for number in (3, 2):
        request = RedeemTokens(account=account, operation=number, instrument=M1)
        held.executor.restore_redemption(request, held.now)
    state = held.executor._redemptions.state

    assert (state.last, state.under_way[M1].number) == (3, 3)


def test_an_accepted_loss_has_payments_asked_for_since_then(waits: Any) -> None:
    waits.tell(WON)
    waits.tell(listed(waits))
    waits.tell(
        LossAccepted(
            account=waits.build.account,
            orders_until=OrderId(100),
            since_ns=5,
            journal_seq=1,
            projected_seq=2,
            projected_crc=0,
            who="operator",
        )
    )
    told = waits.wait(70)

    (question,) = [one for one in told if isinstance(one, QueryRedemptions)]
    assert question.since_ns == 0


def test_money_for_tokens_nobody_bought_here_is_told_once(waits: Any) -> None:
    waits.tell(WON, payment(waits, 130))
    waits.wait(500)
    assert "redeemed_more" not in alerts(waits.effects)
    for _ in range(4):
        waits.wait(299)

    assert alerts(waits.effects).count("redeemed_more") == 1
    assert waits.executor.ledger.state.cash_settled_micro == (952 + 130) * USD


# -- the audit ------------------------------------------------------------------------------------


def cash(rig: Any, units: int) -> BalancesListed:
    return BalancesListed(account=rig.build.account, cash_micro={"USD": units * USD})


def tokens(rig: Any, *holdings: Any) -> PositionsListed:
    return PositionsListed(account=rig.build.account, holdings=holdings)


@pytest.fixture
def audited(waits: Any) -> Any:
    """An account that asks for balances, its winner unpaid, and nothing in motion."""
    waits.executor._reconciler.questions.start(waits.now)
    waits.tell(WON)
    waits.tell(listed(waits))
    waits.wait(61)
    waits.tell(listed(waits))
    return waits


@pytest.mark.parametrize("units", [952, 1_052])
def test_cash_that_a_redemption_explains_does_not_differ(audited: Any, units: int) -> None:
    for _ in range(3):
        audited.tell(cash(audited, units), tokens(audited, (M1, Leg.YES, 100 * SHARE)))
        audited.wait(61)

    assert "cash_differs" not in alerts(audited.effects)
    assert "position_differs" not in alerts(audited.effects)


def test_tokens_that_are_gone_have_the_payment_asked_for(audited: Any) -> None:
    assert queried(audited.tell(tokens(audited)))


def test_losers_that_the_venue_still_lists_do_not_differ(audited: Any) -> None:
    for _ in range(3):
        audited.tell(tokens(audited, (M1, Leg.YES, 100 * SHARE), (M1, Leg.NO, 55 * SHARE)))
        audited.wait(61)

    assert "position_differs" not in alerts(audited.effects)
