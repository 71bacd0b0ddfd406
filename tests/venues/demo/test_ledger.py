"""The ledger alone: every form of a match, its reversal, its end, and what it refuses."""

from __future__ import annotations

import msgspec
import pytest

from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId, Leg, Side
from engine.domain.orders import Identity
from engine.errors import BrokenInvariant
from engine.venues.demo.ledger import ExchangeLedger
from engine.venues.demo.orders import Fill
from tests.venues.demo.builders import ANN, BOB, COIN, SHARE, USD


def ledger() -> ExchangeLedger:
    made = ExchangeLedger()
    for customer in (ANN, BOB):
        made.open(customer)
        made.move_cash(customer, 100 * USD)
    return made


def fill(
    customer: AccountId, leg: Leg, side: Side, cents: int, shares: int, fee_micro: int = 0
) -> Fill:
    return Fill(
        id=FillId("f"),
        trade=1,
        customer=customer,
        identity=Identity("o"),
        key="",
        instrument=COIN,
        leg=leg,
        side=side,
        price=cents * 100,
        size=shares * SHARE,
        amount_micro=cents * 10_000 * shares,
        fee_micro=fee_micro,
        liquidity=Liquidity.TAKER,
        at_ns=0,
    )


def mint(made: ExchangeLedger) -> tuple[Fill, Fill]:
    both = fill(ANN, Leg.YES, Side.BUY, 60, 10, fee_micro=70), fill(BOB, Leg.NO, Side.BUY, 40, 10)
    for side in both:
        made.book(side, released=0)
    return both


def test_a_mint_locks_one_unit_per_pair() -> None:
    made = ledger()
    mint(made)
    sums = made.sums()
    assert sums.collateral == 10 * USD
    assert sums.sets == {COIN: (10 * SHARE, 10 * SHARE)}
    assert sums.fees == 70
    assert sums.problems == ()


def test_what_a_purchase_brings_is_pending_until_confirmed() -> None:
    made = ledger()
    ours, _ = mint(made)
    assert made.wallets[ANN].free_tokens(COIN, Leg.YES) == 0
    made.confirm(ours)
    assert made.wallets[ANN].free_tokens(COIN, Leg.YES) == 10 * SHARE


def test_a_transfer_moves_no_collateral_and_a_merge_frees_it() -> None:
    made = ledger()
    for side in mint(made):
        made.confirm(side)
    moved = fill(ANN, Leg.YES, Side.SELL, 55, 4), fill(BOB, Leg.YES, Side.BUY, 55, 4)
    for side in moved:
        made.book(side, released=0)
        made.confirm(side)
    assert made.collateral[COIN] == 10 * USD
    merged = fill(ANN, Leg.YES, Side.SELL, 70, 6), fill(BOB, Leg.NO, Side.SELL, 30, 6)
    for side in merged:
        made.book(side, released=0)
        made.confirm(side)
    sums = made.sums()
    assert sums.collateral == 4 * USD
    assert sums.sets == {COIN: (4 * SHARE, 4 * SHARE)}
    assert sums.problems == ()


def test_a_void_puts_both_sides_back_to_the_micro() -> None:
    made = ledger()
    for side in mint(made):
        made.confirm(side)
    before = msgspec.msgpack.encode(made.wallets)
    fees = made.fees_micro
    sides = fill(ANN, Leg.YES, Side.SELL, 55, 4, fee_micro=30), fill(BOB, Leg.YES, Side.BUY, 55, 4)
    for side in sides:
        made.book(side, released=0)
    for side in sides:
        made.void(side)
    # The buyer keeps an empty entry for the leg it never owned.
    assert made.wallets[BOB].yes.pop(COIN).settled == 0
    assert msgspec.msgpack.encode(made.wallets) == before
    assert made.fees_micro == fees
    assert made.sums().problems == ()


def test_a_void_or_confirmation_happens_once() -> None:
    made = ledger()
    ours, theirs = mint(made)
    made.void(ours)
    with pytest.raises(BrokenInvariant):
        made.void(ours)
    made.confirm(theirs)
    with pytest.raises(BrokenInvariant):
        made.confirm(theirs)


def test_nobody_is_ever_short() -> None:
    made = ledger()
    with pytest.raises(BrokenInvariant):
        made.book(fill(ANN, Leg.YES, Side.SELL, 50, 1), released=0)
    with pytest.raises(BrokenInvariant):
        made.book(fill(BOB, Leg.YES, Side.BUY, 99, 200), released=0)


def test_reservations_stay_within_what_is_owned() -> None:
    made = ledger()
    made.reserve_cash(ANN, 100 * USD)
    with pytest.raises(BrokenInvariant):
        made.reserve_cash(ANN, 1)
    with pytest.raises(BrokenInvariant):
        made.move_cash(ANN, -1)
    with pytest.raises(BrokenInvariant):
        made.reserve_cash(BOB, -1)
    with pytest.raises(BrokenInvariant):
        made.reserve_tokens(BOB, COIN, Leg.NO, 1)


def test_a_wallet_is_opened_once() -> None:
    with pytest.raises(BrokenInvariant):
        ledger().open(ANN)


def test_split_and_merge_of_pairs_are_exact_and_refused_beyond_means() -> None:
    made = ledger()
    assert made.convert(ANN, COIN, 30 * SHARE, 30 * USD)
    assert made.collateral[COIN] == 30 * USD
    assert not made.convert(ANN, COIN, 71 * SHARE, 71 * USD)
    made.reserve_tokens(ANN, COIN, Leg.NO, 25 * SHARE)
    assert not made.convert(ANN, COIN, -6 * SHARE, -6 * USD)
    assert made.convert(ANN, COIN, -5 * SHARE, -5 * USD)
    assert made.wallets[ANN].cash == 75 * USD
    assert made.sums().problems == ()


@pytest.mark.parametrize(("payout", "ann", "bob"), [(10**6, 10, 0), (0, 0, 10), (500_000, 5, 5)])
def test_redemption_pays_each_leg_its_part(payout: int, ann: int, bob: int) -> None:
    made = ledger()
    for side in mint(made):
        made.confirm(side)
    assert made.redeem(ANN, COIN, payout, SHARE) == (10 * SHARE, 0, ann * USD)
    assert made.redeem(BOB, COIN, payout, SHARE) == (0, 10 * SHARE, bob * USD)
    assert made.redeem(BOB, COIN, payout, SHARE) == (0, 0, 0)
    assert made.collateral[COIN] == 0
    assert made.sums().sets == {}


def test_redemption_refuses_open_sales_and_fractions_of_a_micro() -> None:
    made = ledger()
    made.convert(ANN, COIN, 10 * SHARE, 10 * USD)
    made.reserve_tokens(ANN, COIN, Leg.YES, SHARE)
    with pytest.raises(BrokenInvariant, match="still sells"):
        made.redeem(ANN, COIN, 10**6, SHARE)
    with pytest.raises(BrokenInvariant, match="whole micros"):
        made.redeem(ANN, COIN, 500_000, 3 * SHARE)


def test_sums_name_what_is_out_of_bounds() -> None:
    made = ledger()
    made.convert(ANN, COIN, 10 * SHARE, 10 * USD)
    made.wallets[ANN].yes[COIN].reserved = 11 * SHARE
    made.wallets[BOB].cash = -1
    problems = " ".join(made.sums().problems)
    assert "ann: tokens" in problems
    assert "bob: cash" in problems
    assert "deposits are not" in problems
