"""The settlement worker: paths, latencies, and failures that reverse both sides once."""

from __future__ import annotations

from random import Random

import pytest

from engine.domain.fills import FillState
from engine.domain.instruments import AccountId
from engine.errors import BrokenInvariant
from engine.venues.demo.clearing import Settlement, SettlementRules
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import FillMoved
from engine.venues.demo.timeline import Timeline, TimelineEntry
from tests.venues.demo.builders import (
    ANN,
    BOB,
    COIN,
    SHARE,
    USD,
    S,
    buy_no,
    buy_yes,
    exchange,
    put,
    run,
    sell_yes,
    sound,
)

SLOW = SettlementRules(mined_ns=(S, S), confirmed_ns=(2 * S, 2 * S))


def traded(end: FillState) -> DemoExchange:
    made = exchange(settlement=SLOW)
    made.settlement.forced.append(end)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    return made


def states(made: DemoExchange, customer: AccountId) -> list[tuple[float, FillState]]:
    start_ns = made.fills(customer, 0)[0].at_ns
    return [
        ((at_ns - start_ns) / S, report.state)
        for at_ns, report in made.take(customer)
        if isinstance(report, FillMoved)
    ]


@pytest.mark.parametrize(
    ("end", "path"),
    [
        (FillState.CONFIRMED, [(1.0, FillState.MINED), (3.0, FillState.CONFIRMED)]),
        (
            FillState.RETRYING,
            [(1.0, FillState.RETRYING), (2.0, FillState.MINED), (4.0, FillState.CONFIRMED)],
        ),
        (FillState.FAILED, [(1.0, FillState.RETRYING), (3.0, FillState.FAILED)]),
    ],
)
def test_both_sides_receive_the_same_path(
    end: FillState, path: list[tuple[float, FillState]]
) -> None:
    made = traded(end)
    run(made, 10)
    assert states(made, ANN) == path
    assert states(made, BOB) == path
    sound(made)


def test_a_failure_reverses_both_sides_and_the_order_stays_filled() -> None:
    made = traded(FillState.FAILED)
    assert made.wallet(ANN).cash < 1_000 * USD
    run(made, 10)
    for customer in (ANN, BOB):
        assert made.wallet(customer).cash == 1_000 * USD
        assert made.positions(customer) == []
        assert made.open_orders(customer) == []
    sums = made.invariants()
    assert (sums.collateral, sums.fees) == (0, 0)


def test_a_failed_sale_gives_the_tokens_back() -> None:
    made = traded(FillState.CONFIRMED)
    run(made, 10)
    made.settlement.forced.append(FillState.FAILED)
    put(made, ANN, sell_yes("s", 70, 10))
    put(made, BOB, buy_yes("t", 70, 10))
    assert made.wallet(ANN).pending == 7 * USD
    run(made, 10)
    assert made.wallet(ANN).pending == 0
    assert made.wallet(ANN).free_tokens(COIN, made.fills(ANN, 0)[0].leg) == 10 * SHARE
    sound(made)


def test_what_settles_or_comes_back_after_the_resolution_is_redeemed_likewise() -> None:
    for end, ann in ((FillState.CONFIRMED, 10 * USD - 6_168_000), (FillState.FAILED, 0)):
        made = traded(end)
        made.listing.resolve(COIN, USD, "test")
        run(made, 10)
        assert made.wallet(ANN).cash == 1_000 * USD + ann - (ann and 10 * USD)
        for customer in (ANN, BOB):
            made.operate(customer, 1, COIN, 0, made.now_ns)
        run(made, 10)
        assert made.wallet(ANN).cash == 1_000 * USD + ann
        assert made.invariants().collateral == 0
        sound(made)


def test_one_taker_order_is_one_transaction() -> None:
    made = exchange(settlement=SLOW)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, BOB, buy_no("c", 39, 10))
    made.settlement.forced.append(FillState.FAILED)
    put(made, ANN, buy_yes("a", 61, 20))
    run(made, 10)
    assert {fill.state for fill in made.fills(BOB, 0)} == {FillState.FAILED}
    sound(made)


def test_unwatched_transactions_end_at_the_same_moment_in_one_step() -> None:
    ends = []
    for watched in (True, False):
        timeline = Timeline(0)
        worker = Settlement(SettlementRules(fail_ppm=300_000), Random(3), timeline)
        moments = []
        for number in range(50):
            worker.open(number, [], watched=watched)
        while (timer := timeline.pop(10**12)) is not None:
            assert timer[2] == TimelineEntry.SETTLE
            transaction, state = worker.step(timer[4])
            if not transaction.path:
                moments.append((timeline.now_ns, transaction.number, state))
        ends.append(moments)
        assert worker.pending == {}
    assert ends[0] == ends[1]
    assert {state for _, _, state in ends[0]} == {FillState.CONFIRMED, FillState.FAILED}


def test_latencies_stay_within_their_spans() -> None:
    timeline = Timeline(0)
    rules = SettlementRules(mined_ns=(5, 9), confirmed_ns=(100, 300), retry_ppm=500_000)
    worker = Settlement(rules, Random(4), timeline)
    for number in range(200):
        worker.open(number, [], watched=True)
        path = worker.pending[number].path
        assert 5 <= path[0][0] <= 9
        assert 100 <= path[-1][0] <= 300
    lengths = {len(transaction.path) for transaction in worker.pending.values()}
    assert lengths == {2, 3}


def test_a_fill_ends_once() -> None:
    made = traded(FillState.CONFIRMED)
    transaction = made.settlement.pending[1]
    run(made, 10)
    transaction.path.append((0, FillState.FAILED))
    made.settlement.pending[1] = transaction
    with pytest.raises(BrokenInvariant, match="ended twice"):
        made.settlement.step(1)
