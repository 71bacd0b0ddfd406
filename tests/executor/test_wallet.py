from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import (
    ApproveTrading,
    MergePairs,
    QueryOperation,
    QueryRedemptions,
    RaiseAlert,
    RedeemTokens,
    SplitCash,
    WalletEffect,
)
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    HealthChanged,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
    LossAccepted,
    OperationMoved,
    OperationNamed,
    OperationNotFound,
    OperationState,
    OperationUnanswered,
    OrderNotSent,
    PairsConverted,
    PositionsListed,
    RedemptionsListed,
    ScopeLatched,
    ScopeReleased,
    TokensRedeemed,
)
from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.orders import OperationName, OrderId
from engine.executor.settings import ExecutorSettings
from tests.executor.conftest import BOT

M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
USD = 1_000_000
WON = InstrumentResolved(instrument=M1, payout_yes_micro=USD, source="venue")


def asked(effects: list[Any]) -> list[int]:
    return [effect.operation for effect in effects if isinstance(effect, RedeemTokens)]


def about(effects: list[Any]) -> list[QueryOperation]:
    return [effect for effect in effects if isinstance(effect, QueryOperation)]


def last(rig: Any) -> int:
    """The number of the operation that was asked for last."""
    number: int = rig.executor.wallet.state.last
    return number


def not_found(rig: Any, question: QueryOperation) -> OperationNotFound:
    number = question.asked.operation
    return OperationNotFound(account=rig.build.account, operation=number, answers=question.number)


def queried(effects: list[Any]) -> bool:
    return any(isinstance(effect, QueryRedemptions) for effect in effects)


def alerts(effects: list[Any]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, RaiseAlert)]


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


def moved(rig: Any, state: OperationState, operation: int = 0) -> OperationMoved:
    """Tell how far an operation is: of a number, or the last one."""
    number = operation or last(rig)
    return OperationMoved(account=rig.build.account, operation=number, state=state)


def listed(rig: Any, *payments: TokensRedeemed) -> RedemptionsListed:
    return RedemptionsListed(account=rig.build.account, since_ns=0, redemptions=payments)


def hold(rig: Any, shares: int = 100) -> Any:
    """Hold shares bought at 0.48."""
    rig.rest([(4_800, 100)])
    rig.feed(rig.fill(1, shares, state=FillState.CONFIRMED))
    rig.executor.withdraw(rig.build.bot, M1, rig.now)
    rig.feed()
    for order in rig.executor.working(M1):
        rig.feed(rig.event(OrderNotSent, order.order.id, reason="withdrawn"))
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
    assert asked(held.feed(WON)) == [last(held)]
    assert ledger.state.cash_settled_micro == 952 * USD
    assert held.gate.exposure.account_micro() == 0
    assert asked(held.wait(5)) == []

    for state in (OperationState.SUBMITTED, OperationState.MINED):
        assert asked(held.feed(moved(held, state))) == []
    assert asked(held.feed(payment(held), moved(held, OperationState.CONFIRMED))) == []

    assert ledger.state.cash_settled_micro == 1_052 * USD
    assert not ledger.redeemable
    assert asked(held.wait(60)) == []


def test_a_loser_is_never_redeemed(held: Any) -> None:
    effects = held.feed(InstrumentResolved(instrument=M1, payout_yes_micro=0, source="venue"))

    assert asked(effects) == []
    assert not queried(held.wait(3_600))
    assert held.executor.equity_micro(held.now) == 952 * USD


def test_a_winner_can_not_be_sold(held: Any) -> None:
    held.feed(WON)

    assert held.quote([], [(9_900, 50)]) == []
    assert held.executor.ledger.holding(M1).yes.settled == 0


def test_a_winner_below_the_least_amount_waits_for_others(make_rig: Any) -> None:
    settings = ExecutorSettings(starts_reconciled=True, redeem_above_micro=101 * USD)
    rig = hold(make_rig(settings=settings))

    assert asked(rig.feed(WON)) == []
    assert queried(rig.effects)


def test_the_same_payment_is_booked_once_however_often_it_is_told(held: Any) -> None:
    held.feed(WON, payment(held, 40), payment(held, 40), listed(held, payment(held, 40)))

    assert held.executor.ledger.state.cash_settled_micro == 992 * USD
    assert held.executor.ledger.holding(M1).yes.redeemable == 60 * SHARE


def test_a_payment_before_the_result_waits_for_it(waits: Any) -> None:
    waits.feed(payment(waits), payment(waits))
    assert waits.executor.ledger.state.cash_settled_micro == 952 * USD
    assert not waits.executor.wallet.quiet

    waits.feed(WON)

    assert waits.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert waits.executor.wallet.quiet


def test_payments_of_markets_that_are_nobodys_here_are_left_alone(held: Any) -> None:
    foreign = TokensRedeemed(
        account=held.build.account,
        transaction="0x9",
        instrument=InstrumentId("venue:other"),
        amount_micro=7,
        at_ns=1,
    )
    held.feed(foreign)

    assert held.executor.ledger.state.cash_settled_micro == 952 * USD


def test_while_somebody_else_is_to_redeem_payments_are_asked_for(waits: Any) -> None:
    assert queried(waits.feed(WON))
    assert not queried(waits.feed(listed(waits)))
    assert not queried(waits.wait(5))
    assert queried(waits.wait(70))

    waits.feed(listed(waits, payment(waits)))

    assert waits.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert not queried(waits.wait(3_600))


def test_an_unanswered_redemption_is_looked_for_and_not_asked_for_again_blindly(held: Any) -> None:
    held.feed(WON)
    failed = OperationUnanswered(account=held.build.account, operation=last(held), reason="silence")
    assert asked(held.feed(failed)) == []
    (question,) = about(held.wait(6))
    assert question.asked.operation == last(held)
    assert asked(held.effects) == [last(held)]

    held.feed(moved(held, OperationState.CONFIRMED))
    assert asked(held.wait(5)) == []
    held.feed(listed(held, payment(held)))

    assert held.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert asked(held.wait(3_600)) == []


def test_an_unknown_redemption_that_is_nowhere_is_asked_for_anew(held: Any) -> None:
    held.feed(WON)
    (early,) = about(held.wait(6))
    assert asked(held.feed(not_found(held, early))) == []
    (late,) = about(held.wait(11))
    assert asked(held.feed(not_found(held, early))) == []
    assert asked(held.feed(not_found(held, late))) == [last(held)]


@pytest.mark.parametrize("silent", [False, True])
def test_an_operation_gets_its_grace_anew_after_a_leap_of_time(held: Any, *, silent: bool) -> None:
    account = held.build.account
    held.feed(WON)
    if silent:
        held.feed(OperationUnanswered(account=account, operation=last(held), reason="silence"))
    held.now += 20 * 1_000_000_000
    leap = HealthChanged(account=account, source="clock", healthy=False, reason="a leap")
    questions = about([*held.feed(leap), *held.wait(6)])
    assert questions
    assert asked(held.feed(not_found(held, questions[-1]))) == []
    held.feed(HealthChanged(account=account, source="clock", healthy=True, reason=""))
    (late,) = about(held.wait(11))
    assert asked(held.feed(not_found(held, late))) == [last(held)]


def test_a_failed_redemption_is_told_and_tried_again_after_a_pause(held: Any) -> None:
    held.feed(WON)
    failed = moved(held, OperationState.FAILED)
    assert "redeem_failed" in alerts(held.feed(failed))
    assert asked(held.wait(30)) == []
    assert asked(held.wait(31)) == [last(held)]
    assert held.feed(failed) == []  # the first one is over


def test_a_confirmed_redemption_whose_payment_was_lost_is_looked_for(held: Any) -> None:
    held.feed(WON)
    assert queried(held.feed(moved(held, OperationState.CONFIRMED)))
    held.feed(listed(held, payment(held)))

    assert held.executor.ledger.state.cash_settled_micro == 1_052 * USD


@pytest.mark.parametrize("place", [{}, {"instrument": M1}])
def test_a_kill_of_a_part_keeps_the_account_from_redeeming_and_merging_there_by_itself(
    make_rig: Any, place: dict[str, Any]
) -> None:
    settings = ExecutorSettings(starts_reconciled=True, merge_above_micro=25 * USD)
    rig = hold(make_rig(settings=settings))
    kill = {"account": rig.build.account, "who": "operator", "reason": "test", **place}
    rig.feed(ScopeLatched(**kill))
    by_hand(rig, SplitCash, 30)
    done = moved(rig, OperationState.CONFIRMED)
    assert wallet_effects(rig.feed(done, merged(rig, 30, "0xs"))) == []
    assert wallet_effects([*rig.feed(WON), *rig.wait(60)]) == []

    rig.feed(ScopeReleased(**kill))

    assert asked(rig.wait(1)) == [last(rig)]


def test_a_kill_of_one_bot_leaves_the_wallet_alone(held: Any) -> None:
    held.feed(
        ScopeLatched(account=held.build.account, bot=held.build.bot, who="operator", reason="test")
    )

    assert asked(held.feed(WON)) == [last(held)]


def test_nothing_is_redeemed_under_the_latch(held: Any) -> None:
    held.feed(LatchSet(who="operator", reason="test"))
    assert asked(held.feed(WON)) == []
    assert asked(held.wait(5)) == []
    held.feed(LatchReleased(who="operator", reason="test"))

    assert asked(held.wait(1)) == [last(held)]


def test_a_restart_looks_for_what_was_asked_before_it(held: Any, make_rig: Any) -> None:
    held.feed(WON)
    reborn = make_rig(settings=ExecutorSettings(), empty=True, cash=0)
    reborn.now = held.now
    reborn.executor.restore(held.executor.snapshot(), 1)
    effects = reborn.executor.recover((), reborn.now) + reborn.feed()
    (question,) = [one for one in effects if isinstance(one, QueryRedemptions)]
    reborn.asked[QueryRedemptions, None] = question.number
    reborn.feed(listed(reborn))
    for _ in range(2):
        reborn.feed(reborn.listing())
        reborn.wait(2)
    reborn.feed(FillsListed(account=reborn.build.account, since_ns=0, fills=()))
    assert asked(reborn.effects) == []

    assert about(reborn.wait(11))
    reborn.feed(moved(reborn, OperationState.CONFIRMED), listed(reborn, payment(reborn)))

    assert reborn.executor.ledger.state.cash_settled_micro == 1_052 * USD
    assert asked(reborn.effects) == []


def test_payments_are_asked_for_since_the_first_cash_where_none_were_ever_listed(
    held: Any, make_rig: Any
) -> None:
    """The venue may have redeemed while the engine was down for hours."""
    reborn = make_rig(settings=ExecutorSettings(), empty=True, cash=0)
    reborn.executor.restore(held.executor.snapshot(), 1)
    reborn.now = held.now + 7_200 * 1_000_000_000
    effects = reborn.executor.recover((), reborn.now) + reborn.feed()
    (question,) = [one for one in effects if isinstance(one, QueryRedemptions)]
    assert question.since_ns == held.executor.ledger.state.funded_ns


def test_a_journaled_request_of_an_earlier_life_keeps_its_number(held: Any) -> None:
    account = held.build.account
    for number in (3, 2):
        request = RedeemTokens(account=account, operation=number, instrument=M1)
        held.executor.restore_wallet(request, held.now)
    state = held.executor.wallet.state

    assert (state.last, list(state.operations)) == (3, [3])


def loss(rig: Any) -> LossAccepted:
    return LossAccepted(
        account=rig.build.account,
        orders_until=OrderId(100),
        since_ns=5,
        journal_seq=1,
        projected_seq=2,
        projected_crc=0,
        who="operator",
    )


def test_an_operation_after_a_loss_that_was_lost_itself_has_a_number_of_its_own(
    make_rig: Any,
) -> None:
    """Two losses tell the same orders where none was placed between them; what the journal kept
    of the first is nothing."""
    first, second = make_rig(), make_rig()
    for rig, after_s in ((first, 0), (second, 60)):
        rig.wait(after_s)
        rig.feed(loss(rig))
    numbers = [rig.executor.wallet.state.last for rig in (first, second)]
    assert numbers[0] + 1_000 < numbers[1]


def test_an_operation_that_a_home_put_back_lacks_has_its_number_alone(
    held: Any, make_rig: Any
) -> None:
    """No order was placed since the copy: nothing tells the engine that its home was put back."""
    pair(held)
    copy = held.executor.snapshot()
    held.wait(1)
    lost = by_hand(held, MergePairs, 10).operation
    reborn = make_rig(empty=True, cash=0)
    reborn.executor.restore(copy, 1)
    reborn.now = held.now
    reborn.wait(1)

    assert by_hand(reborn, MergePairs, 20).operation != lost


def test_operations_of_one_moment_have_numbers_of_their_own(held: Any) -> None:
    first = by_hand(held, ApproveTrading).operation
    held.feed(moved(held, OperationState.CONFIRMED))

    assert by_hand(held, ApproveTrading).operation > first


def test_an_accepted_loss_has_payments_asked_for_since_then(waits: Any) -> None:
    waits.feed(WON)
    waits.feed(listed(waits))
    waits.feed(loss(waits))
    effects = waits.wait(70)

    (question,) = [one for one in effects if isinstance(one, QueryRedemptions)]
    assert question.since_ns == waits.executor.ledger.state.funded_ns


def test_behind_an_accepted_loss_no_operation_has_the_number_of_a_lost_one(held: Any) -> None:
    pair(held)
    lost = held.executor.wallet.state.last + 1  # a merge that the venue has done, unknown here
    held.feed(loss(held))
    number = by_hand(held, MergePairs, 30).operation
    silent = OperationUnanswered(account=held.build.account, operation=number, reason="HTTP 500")
    held.feed(silent)  # it never arrived
    for _ in range(4):
        for question in about(held.wait(5)):
            done = moved(held, OperationState.CONFIRMED, lost)
            held.feed(done if question.operation == lost else not_found(held, question))

    assert not held.executor.ledger.state.reservations
    assert held.executor.wallet.pairs(M1, BOT)[0] == 30 * SHARE


def test_money_for_tokens_nobody_bought_here_is_told_once(waits: Any) -> None:
    waits.feed(WON, payment(waits, 130))
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
    waits.feed(WON)
    waits.feed(listed(waits))
    waits.wait(61)
    waits.feed(listed(waits))
    return waits


@pytest.mark.parametrize("units", [952, 1_052])
def test_cash_that_a_redemption_explains_does_not_differ(audited: Any, units: int) -> None:
    for _ in range(3):
        audited.feed(cash(audited, units), tokens(audited, (M1, Leg.YES, 100 * SHARE)))
        audited.wait(61)

    assert "cash_differs" not in alerts(audited.effects)
    assert "position_differs" not in alerts(audited.effects)


def test_tokens_that_are_gone_have_the_payment_asked_for(audited: Any) -> None:
    assert queried(audited.feed(tokens(audited)))


def test_losers_that_the_venue_still_lists_do_not_differ(audited: Any) -> None:
    for _ in range(3):
        audited.feed(tokens(audited, (M1, Leg.YES, 100 * SHARE), (M1, Leg.NO, 55 * SHARE)))
        audited.wait(61)

    assert "position_differs" not in alerts(audited.effects)


# -- merges, splits and approvals ------------------------------------------------------------------


def wallet_effects(effects: list[Any]) -> list[Any]:
    return [one for one in effects if isinstance(one, WalletEffect)]


def by_hand(rig: Any, kind: type, size: int = 0) -> Any:
    """Ask for an operation by hand; give its effect, or why it was refused."""
    given: dict[str, Any] = {"account": rig.build.account, "operation": 0}
    if kind is not ApproveTrading:
        given["instrument"] = M1
    if size:
        given |= {"size": size * SHARE, "amount_micro": size * USD, "owner": BOT}
    if refused := rig.executor.wallet.refusal(kind(**given), rig.now):
        assert wallet_effects(rig.executor.operate(kind(**given), rig.now)) == []
        return refused
    (effect,) = wallet_effects(rig.executor.operate(kind(**given), rig.now))
    return effect


def merged(rig: Any, size: int, transaction: str = "0xm") -> PairsConverted:
    return PairsConverted(
        account=rig.build.account, transaction=transaction, instrument=M1, size=size * SHARE,
        amount_micro=abs(size) * USD, at_ns=rig.now,
    )  # fmt: skip


def pair(rig: Any) -> Any:
    """Hold 100 YES at 0.48 and split 30 more pairs."""
    by_hand(rig, SplitCash, 30)
    rig.feed(moved(rig, OperationState.CONFIRMED), merged(rig, 30, "0xs"))
    return rig


def test_a_split_takes_its_cash_at_once_and_gives_its_pairs_with_the_fact(held: Any) -> None:
    ledger = held.executor.ledger
    free = ledger.cash_free_micro
    assert by_hand(held, SplitCash, 30).amount_micro == 30 * USD
    assert ledger.cash_free_micro == free - 30 * USD
    assert ledger.holding(M1).no.settled == 0

    held.feed(moved(held, OperationState.CONFIRMED), merged(held, 30, "0xs"))

    assert ledger.cash_free_micro == free - 30 * USD
    assert not ledger.state.reservations
    assert (ledger.holding(M1).yes.settled, ledger.holding(M1).no.settled) == (
        130 * SHARE, 30 * SHARE,
    )  # fmt: skip
    assert not held.executor.wallet.state.operations


def test_pairs_that_are_being_merged_can_not_be_sold(held: Any) -> None:
    pair(held)
    assert held.executor.wallet.pairs(M1, BOT) == (30 * SHARE, 30 * USD)
    by_hand(held, MergePairs, 30)

    assert held.executor.wallet.pairs(M1, BOT) == (0, 0)
    assert "not at its end" in by_hand(held, MergePairs, 30)
    free = held.executor.ledger.cash_free_micro
    held.feed(merged(held, -30))

    assert held.executor.ledger.cash_free_micro == free + 30 * USD
    assert held.executor.ledger.holding(M1).no.settled == 0
    held.feed(moved(held, OperationState.CONFIRMED), merged(held, -30))
    assert held.executor.ledger.cash_free_micro == free + 30 * USD


def test_a_failed_merge_gives_the_pairs_back(held: Any) -> None:
    pair(held)
    by_hand(held, MergePairs, 20)
    assert "redeem_failed" in alerts(held.feed(moved(held, OperationState.FAILED)))

    assert held.executor.wallet.pairs(M1, BOT)[0] == 30 * SHARE
    assert not held.executor.ledger.state.reservations


def test_pairs_above_the_amount_are_merged_by_the_account_itself(make_rig: Any) -> None:
    settings = ExecutorSettings(starts_reconciled=True, merge_above_micro=25 * USD)
    rig = hold(make_rig(settings=settings))
    by_hand(rig, SplitCash, 20)
    rig.feed(moved(rig, OperationState.CONFIRMED), merged(rig, 20, "0xs"))
    assert wallet_effects(rig.wait(5)) == []
    by_hand(rig, SplitCash, 10)

    effects = rig.feed(moved(rig, OperationState.CONFIRMED), merged(rig, 10, "0xt"))

    (merge,) = wallet_effects(effects)
    assert (type(merge), merge.size, merge.amount_micro) == (MergePairs, 30 * SHARE, 30 * USD)


@pytest.mark.parametrize(
    ("kind", "size", "why"),
    [
        (RedeemTokens, 0, "redeemable"),
        (MergePairs, 1, "0 pairs"),
        (SplitCash, 100_000, "are free"),
        (SplitCash, -1, "are free"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_is_asked(
    held: Any, kind: type, size: int, why: str
) -> None:
    assert why in by_hand(held, kind, size)
    assert not held.executor.wallet.state.operations


def test_an_approval_moves_nothing(held: Any) -> None:
    before = msgspec.msgpack.encode(held.executor.ledger.state)
    by_hand(held, ApproveTrading)
    held.feed(moved(held, OperationState.CONFIRMED))

    assert not held.executor.wallet.state.operations
    assert msgspec.msgpack.encode(held.executor.ledger.state) == before


def test_a_wallet_does_one_thing_at_a_time(held: Any) -> None:
    by_hand(held, ApproveTrading)
    assert wallet_effects(held.feed(WON)) == []

    effects = held.feed(moved(held, OperationState.CONFIRMED))

    assert asked(effects) == [last(held)]


def test_a_split_that_a_person_made_at_the_venue_is_booked(held: Any) -> None:
    held.feed(listed(held), merged(held, 5, "0xforeign"), merged(held, 5, "0xforeign"))

    assert held.executor.ledger.holding(M1).no.settled == 5 * SHARE
    assert held.executor.ledger.state.cash_settled_micro == 947 * USD


def test_an_operation_that_is_unknown_for_long_holds_up_nothing_else(held: Any) -> None:
    by_hand(held, ApproveTrading)
    name = OperationName(identity="0xabc", nonce=4)
    approval = last(held)
    held.feed(OperationNamed(account=held.build.account, operation=approval, name=name))
    silent = OperationUnanswered(account=held.build.account, operation=last(held), reason="silence")
    assert "operation_unknown" in alerts(held.feed(silent))
    assert asked(held.feed(WON)) == []
    for _ in range(3):
        held.wait(610)

    assert asked(held.effects + held.wait(1)) == [last(held)]
    assert held.executor.wallet.state.operations[approval].name == name


def test_a_restart_sets_aside_again_what_is_under_way(held: Any, make_rig: Any) -> None:
    pair(held)
    by_hand(held, MergePairs, 20)
    reborn = make_rig(settings=ExecutorSettings(), empty=True, cash=0)
    reborn.executor.restore(held.executor.snapshot(), 1)

    assert reborn.executor.wallet.pairs(M1, BOT)[0] == 10 * SHARE
    replayed = make_rig(settings=ExecutorSettings(), empty=True, cash=0)
    asked_for = MergePairs(
        account=held.build.account, operation=1, instrument=M1, size=SHARE, amount_micro=USD
    )
    replayed.executor.restore_wallet(asked_for, held.now)
    assert replayed.executor.ledger.state.reservations.keys() == {-1}


# -- every conversion × what was heard of it × a death × a person's own of the same size -----------

HEARD = ("nothing", "its name", "no answer", "submitted", "mined")
OWN, THEIRS = "0xours", "0xtheirs"


def convert(rig: Any, heard: str, kind: Any) -> int:
    """Ask for a conversion of 10 pairs, and have something heard of it; return its size."""
    pair(rig)
    asked_for = by_hand(rig, kind, 10)
    number = asked_for.operation
    account = rig.build.account
    if heard != "nothing":
        rig.feed(
            OperationNamed(
                account=account, operation=number, name=OperationName(identity="0xn", nonce=1)
            )
        )
    if heard == "no answer":
        rig.feed(OperationUnanswered(account=account, operation=number, reason="timeout"))
    if heard in {"submitted", "mined"}:
        state = OperationState.SUBMITTED if heard == "submitted" else OperationState.MINED
        rig.feed(msgspec.structs.replace(moved(rig, state, number), transaction=OWN))
    return 10 if kind is SplitCash else -10


@pytest.mark.parametrize("died", [False, True], ids=["lives", "died"])
@pytest.mark.parametrize("heard", HEARD)
@pytest.mark.parametrize("kind", [SplitCash, MergePairs])
def test_a_conversion_of_somebody_else_s_does_not_end_ours_of_the_same_size(
    held: Any, make_rig: Any, kind: Any, heard: str, *, died: bool
) -> None:
    size = convert(held, heard, kind)
    rig = held
    if died:
        rig = make_rig(settings=ExecutorSettings(), empty=True, cash=0)
        rig.executor.restore(held.executor.snapshot(), 1)
        rig.now = held.now
        rig.feed()
    ledger, number = rig.executor.ledger, rig.executor.wallet.state.last
    rig.feed(merged(rig, size, THEIRS))
    assert ledger.state.reservations.keys() == {-number}  # ours may still take as much
    done = moved(rig, OperationState.CONFIRMED, number)
    rig.feed(msgspec.structs.replace(done, transaction=OWN))
    assert ledger.state.reservations.keys() == {-number}
    rig.feed(merged(rig, size, OWN))
    assert not ledger.state.reservations
    assert not rig.executor.wallet.state.operations
    assert ledger.holding(M1).no.settled == (30 + 2 * size) * SHARE
    ledger.check()


@pytest.mark.parametrize("kind", [SplitCash, MergePairs])
def test_a_fact_that_overtakes_the_name_of_its_transaction_ends_it_when_that_is_told(
    held: Any, kind: Any
) -> None:
    size = convert(held, "no answer", kind)
    number = held.executor.wallet.state.last
    held.feed(merged(held, size, OWN))
    assert held.executor.ledger.state.reservations.keys() == {-number}
    done = moved(held, OperationState.MINED, number)
    held.feed(msgspec.structs.replace(done, transaction="relayed", on_chain=OWN))
    assert not held.executor.wallet.state.operations
    assert not held.executor.ledger.state.reservations


@pytest.mark.parametrize("kind", [SplitCash, MergePairs])
def test_a_conversion_that_is_nowhere_gives_back_what_was_set_aside(held: Any, kind: Any) -> None:
    convert(held, "nothing", kind)
    ledger, number = held.executor.ledger, held.executor.wallet.state.last
    found: list[Any] = []
    for _ in range(30):
        asked_about = about(held.wait(5))
        found += asked_about
        for question in asked_about:
            answer = OperationNotFound(
                account=held.build.account, operation=number, answers=question.number
            )
            held.feed(answer)
    assert found
    assert not ledger.state.reservations
    ledger.check()
