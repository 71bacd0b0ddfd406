from __future__ import annotations

from typing import Any

from engine.domain.effects import PlaceOrder, QueryRedemptions, RaiseAlert
from engine.domain.events import (
    BalancesListed,
    CashMoved,
    FillsListed,
    LossAccepted,
    OpenOrdersListed,
    RedemptionsListed,
)
from engine.domain.fills import FillState
from engine.domain.orders import Identity, OrderId
from engine.executor.first_cash import due, first_micro, uncounted

USD = 1_000_000
SHARE = 1_000_000


def cash(rig: Any, usd: int) -> CashMoved:
    return CashMoved(account=rig.build.account, currency="USD", amount_micro=usd * USD)


def accepted(rig: Any) -> LossAccepted:
    return LossAccepted(
        account=rig.build.account, orders_until=OrderId(100), since_ns=5, journal_seq=1,
        projected_seq=1, projected_crc=0, who="ann", recount=True,
    )  # fmt: skip


def put_back(make_rig: Any) -> Any:
    """A home of before its first cash: it took what a buy of 48 left, and what `recover` wrote."""
    rig = make_rig(cash=52, settings=None)
    rig.executor.adopt(rig.build.order(1), rig.now, Identity("id1"))
    rig.executor.receive(accepted(rig), rig.now)
    rig.feed(*rig.executor.recover((), rig.now))
    return rig


def answer_all(rig: Any, state: FillState) -> None:
    """Have the venue say that nothing is open, that the order filled, and that nothing was paid."""
    account = rig.build.account
    fill = rig.build.filled(1, "f1", state=state)
    for _ in range(3):
        rig.wait(
            6,
            OpenOrdersListed(account=account, orders=()),
            FillsListed(account=account, since_ns=0, fills=(fill,)),
        )
    if (QueryRedemptions, None) in rig.asked:
        rig.feed(RedemptionsListed(account=account, since_ns=5, redemptions=()))


def test_a_new_account_s_first_cash_is_all_its_venue_has(make_rig: Any) -> None:
    rig = make_rig(cash=0)
    assert (due(rig.executor), uncounted(rig.executor)) == (True, "")
    assert first_micro(rig.executor, 400 * USD) == 400 * USD
    rig.feed(cash(rig, 400))
    assert not due(rig.executor)


def test_no_first_cash_is_counted_while_the_venue_knows_orders_that_the_journal_lacks(
    make_rig: Any,
) -> None:
    """A KILL hides what a person must release; the journal is behind under it as well."""
    rig = make_rig(cash=0)
    fills = (rig.build.filled(7, "f7"),)
    rig.feed(FillsListed(account=rig.build.account, since_ns=0, fills=fills))
    assert "behind" in uncounted(rig.executor)
    rig.breakers.set_latch("ann", "KILL")
    assert "behind" in uncounted(rig.executor)


def test_what_a_recovery_books_is_not_in_the_first_cash_as_well(make_rig: Any) -> None:
    rig = put_back(make_rig)
    assert due(rig.executor)
    assert "what is open" in uncounted(rig.executor)

    answer_all(rig, FillState.MATCHED)
    assert "not settled" in uncounted(rig.executor)

    answer_all(rig, FillState.CONFIRMED)
    assert uncounted(rig.executor) == ""
    assert rig.executor.ledger.state.cash_settled_micro == (52 - 48) * USD

    rig.feed(cash(rig, first_micro(rig.executor, 52 * USD) // USD))
    state = rig.executor.ledger.state
    assert (state.cash_settled_micro, state.deposits_micro) == (52 * USD, 100 * USD)
    assert not due(rig.executor)


def test_until_it_is_counted_anew_cash_is_compared_with_nothing_and_nothing_is_placed(
    make_rig: Any,
) -> None:
    rig = put_back(make_rig)
    answer_all(rig, FillState.CONFIRMED)
    made = rig.wait(60, BalancesListed(account=rig.build.account, cash_micro={"USD": 52 * USD}))
    assert not [one for one in made if isinstance(one, RaiseAlert | PlaceOrder)]


def test_payments_of_its_past_are_asked_for_before_it_is_counted(make_rig: Any) -> None:
    rig = put_back(make_rig)
    asked = [one for one in rig.effects if isinstance(one, QueryRedemptions)]
    assert asked
    assert asked[0].since_ns == 0  # with its overlap: not since a first cash of later


def test_a_snapshot_keeps_that_it_is_to_be_counted_anew(make_rig: Any) -> None:
    rig = put_back(make_rig)
    reborn = make_rig(cash=0, empty=True)
    reborn.executor.restore(rig.executor.snapshot(), 9)
    assert due(reborn.executor)
