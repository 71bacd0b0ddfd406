from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import BotId, FeeSchedule, InstrumentId, Kind, Leg, Side
from engine.errors import BrokenInvariant
from engine.risk import exposure as module
from engine.risk.exposure import ExposureBook, share_total
from tests.risk.conftest import Held

M1 = InstrumentId("venue:m1")


def book_of(*instruments):
    book = ExposureBook()
    for instrument in instruments:
        book.listed(instrument)
    return book


def worst_by_enumeration(instrument, settled, unsettled, orders):
    """Slow truth: over outcomes, every subset of unsettled fills, and every subset of orders."""
    one, worst = 10**instrument.price_decimals, Fraction(0)
    unit = Fraction(1, instrument.value_divisor)
    both = (False, True)
    for payout_yes in (0, one // 2, one):
        pays = {Leg.YES: payout_yes, Leg.NO: one - payout_yes}
        for kept, fills in product(
            product(both, repeat=len(unsettled)), product(both, repeat=len(orders))
        ):
            gain = Fraction(0)
            for leg, size, cost in settled:
                gain += size * pays[leg] * unit - cost
            for (leg, size, cost), ours in zip(unsettled, kept, strict=True):
                if ours:
                    gain += size * pays[leg] * unit - cost
            for (leg, side, price, size), filled in zip(orders, fills, strict=True):
                if filled:
                    change = (pays[leg] - price) * size * unit
                    gain += change if side is Side.BUY else -change
            worst = max(worst, -gain)
    return worst


sizes = st.integers(0, 50).map(lambda lots: lots * 333_333)
orders = st.lists(
    st.tuples(
        st.sampled_from([Leg.YES, Leg.NO]),
        st.sampled_from(list(Side)),
        st.integers(1, 9_999),
        st.integers(1, 50 * 1_000_000),
    ),
    max_size=4,
)
parts = st.tuples(sizes, st.integers(1, 9_999))


@given(orders, parts, parts, parts, parts, parts, parts)
@settings(max_examples=150, deadline=None)
def test_exposure_of_a_binary_is_the_worst_of_all_outcomes_fills_and_settlements(
    build, orders, yes, yes_pending, yes_leaving, no, no_pending, no_leaving
):
    binary = build.binary()
    book = book_of(binary)

    def held(settled, pending, leaving):
        costs = [
            size * price // binary.value_divisor for size, price in (settled, pending, leaving)
        ]
        names = ("cost_settled_micro", "cost_pending_micro", "cost_leaving_micro")
        return Held(settled[0], pending[0], leaving[0], **dict(zip(names, costs, strict=True)))

    legs = {Leg.YES: held(yes, yes_pending, yes_leaving), Leg.NO: held(no, no_pending, no_leaving)}
    book.holding(M1, *legs.values())
    for number, (leg, side, price, size) in enumerate(orders):
        book.live(build.order(number, leg=leg, side=side, price=price, size=size), size)
    settled = [(leg, one.settled, one.cost_settled_micro) for leg, one in legs.items()]
    unsettled = [(leg, one.pending, one.cost_pending_micro) for leg, one in legs.items()]
    unsettled += [(leg, one.leaving, one.cost_leaving_micro) for leg, one in legs.items()]
    truth = worst_by_enumeration(binary, settled, unsettled, orders)
    # Each part is rounded against us.
    assert truth <= book.instrument_micro(M1) <= truth + len(orders) + 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**8), st.booleans()), max_size=40))
@settings(deadline=None)
def test_sums_kept_step_by_step_equal_sums_made_anew(build, steps):
    instruments = [build.binary(f"venue:m{n}", market=f"event{n % 2}") for n in range(4)]
    bots = [BotId("a"), BotId("b")]
    book = book_of(*instruments)
    for number, (which, amount, is_order) in enumerate(steps):
        instrument, bot = instruments[which].id, bots[which // 2]
        if is_order:
            order = build.order(number % 7, instrument=instrument, price=3_000, bot=bot)
            book.live(order, amount)
            book.live(build.order(number % 5, instrument=instrument, price=3_000, bot=bot), 0)
        else:
            held = build.holding(yes_settled=amount, cost_settled_micro=amount // 3)
            book.holding(instrument, **held)
            book.owned(instrument, bot, **held)
    each = [book.instrument_micro(instrument.id) for instrument in instruments]
    assert [book.market_micro("event0"), book.market_micro("event1")] == [
        each[0] + each[2],
        each[1] + each[3],
    ]
    assert [book.bot_micro(bot) for bot in bots] == [each[0] + each[1], each[2] + each[3]]
    assert book.account_micro() == sum(each)
    book.others_micro = 5
    assert book.total_micro() == sum(each) + 5


def test_live_buy_of_either_leg_risks_its_cost(build):
    book = book_of(build.binary())
    book.live(build.order(1, price=4_000), 100 * build.share)
    assert book.instrument_micro(M1) == 40_000_000
    book.live(build.order(2, leg=Leg.NO, price=5_000), 100 * build.share)
    assert book.instrument_micro(M1) == 50_000_000  # only one of the two can lose


def test_selling_a_held_winner_adds_nothing_to_what_the_holding_can_lose(build):
    book = book_of(build.binary())
    held = build.holding(yes_settled=100 * build.share, cost_settled_micro=40_000_000)
    book.holding(M1, **held)
    book.live(build.order(1, side=Side.SELL, price=6_000), 100 * build.share)
    assert book.instrument_micro(M1) == 40_000_000


def test_selling_one_leg_of_a_pair_opens_the_risk_of_the_other(build):
    book = book_of(build.binary())
    size = 100 * build.share
    book.holding(
        M1, **build.holding(yes_settled=size, no_settled=size, cost_settled_micro=100_000_000)
    )
    assert book.instrument_micro(M1) == 0
    book.live(build.order(1, side=Side.SELL, price=6_000), size)
    assert book.instrument_micro(M1) == 40_000_000


def test_pending_hedge_may_turn_out_void(build):
    book = book_of(build.binary())
    size = 100 * build.share
    book.holding(
        M1,
        **build.holding(
            yes_settled=size,
            no_pending=size,
            cost_settled_micro=40_000_000,
            no_cost_pending_micro=55_000_000,
        ),
    )
    assert book.instrument_micro(M1) == 40_000_000


def test_a_pending_sale_that_turns_out_void_brings_the_risk_back(build):
    book = book_of(build.binary())
    held = build.holding(yes_leaving=100 * build.share, yes_cost_leaving_micro=40_000_000)
    book.holding(M1, **held)
    assert book.instrument_micro(M1) == 40_000_000


def test_of_two_pending_sales_one_may_settle_and_the_other_turn_out_void(build):
    book = book_of(build.binary())
    size = 100 * build.share
    legs = build.holding(
        yes_leaving=size,
        yes_cost_leaving_micro=60_000_000,
        no_leaving=size,
        no_cost_leaving_micro=55_000_000,
    )
    book.holding(M1, **legs)  # both void: a pair that loses 15; NO alone settles: YES's 60 at risk
    assert book.instrument_micro(M1) == 60_000_000


def test_linear_holding_and_live_buys_can_lose_what_they_cost(build):
    spot = build.spot()
    book = book_of(spot)
    book.holding(spot.id, **build.holding(yes_settled=1_000_000, cost_settled_micro=70_000_000))
    order = build.order(1, instrument=spot.id, leg=Leg.BASE, price=6_900_000, size=1_000)
    book.live(order, 1_000)
    assert book.instrument_micro(spot.id) == 70_000_000 + 69_000_000
    sale = build.order(2, instrument=spot.id, leg=Leg.BASE, side=Side.SELL, price=1, size=10)
    book.live(sale, 10)
    assert book.instrument_micro(spot.id) == 139_000_000


def test_short_spot_holding_is_refused(build):
    spot = build.spot()
    book = book_of(spot)
    for wrong in ({"yes_settled": -1}, {"yes_settled": -1, "yes_leaving": 6}):
        with pytest.raises(BrokenInvariant, match="no worst case"):
            book.holding(spot.id, **build.holding(**wrong))


def test_a_short_of_a_perpetual_counts_as_a_long_of_its_size_does_and_closing_it_adds_nothing(
    build,
):
    perpetual = build.spot(kind=Kind.PERPETUAL)
    for size, closes, opens in ((1_000, Side.SELL, Side.BUY), (-1_000, Side.BUY, Side.SELL)):
        book = book_of(perpetual)
        cost = 69_000_000 if size > 0 else -69_000_000
        book.holding(perpetual.id, **build.holding(yes_settled=size, cost_settled_micro=cost))
        assert book.instrument_micro(perpetual.id) == 69_000_000
        of = {"instrument": perpetual.id, "leg": Leg.BASE, "price": 7_000_000, "size": 1_000}
        book.live(build.order(1, side=closes, **of), 1_000)
        assert book.instrument_micro(perpetual.id) == 69_000_000
        book.live(build.order(2, side=opens, **of), 1_000)
        assert book.instrument_micro(perpetual.id) == 139_000_000


def test_fees_of_an_order_that_may_take_are_part_of_the_loss(build):
    fees = FeeSchedule(taker_rate_ppm=70_000, exponent=1)
    book = book_of(build.binary(fees=fees))
    book.live(build.order(1, price=5_000, post_only=False), 100 * build.share)
    assert book.instrument_micro(M1) == 50_000_000 + 1_750_000
    book.live(build.order(1, price=5_000), 100 * build.share)
    assert book.instrument_micro(M1) == 50_000_000


def test_a_makers_fee_counts_where_there_is_one(build):
    spot = build.spot(fees=FeeSchedule(maker_rate_ppm=1_000, taker_rate_ppm=2_000))
    book = book_of(spot)
    book.live(build.order(1, instrument=spot.id, leg=Leg.BASE, price=10_000), 1_000_000)
    assert book.instrument_micro(spot.id) == 100_000_000 + 100_000


def test_telling_the_same_twice_changes_nothing(build):
    book = book_of(build.binary())
    for _ in range(2):
        book.live(build.order(1), 50 * build.share)
    assert book.instrument_micro(M1) == 20_000_000
    for _ in range(2):
        book.live(build.order(1), 0)
    assert book.account_micro() == 0


def test_changed_market_takes_the_exposure_along_and_each_owner_keeps_its_own(build):
    book = book_of(build.binary(market="old"))
    book.live(build.order(1, bot=BotId("a")), 60 * build.share)
    book.live(build.order(2, bot=BotId("b")), 40 * build.share)
    book.listed(build.binary(market="new", tick=10))
    assert (book.market_micro("old"), book.market_micro("new")) == (0, 40_000_000)
    assert (book.bot_micro(BotId("a")), book.bot_micro(BotId("b"))) == (24_000_000, 16_000_000)


def test_what_owners_hold_offsets_for_the_account_and_not_for_each(build):
    book = book_of(build.binary())
    yes = build.holding(yes_settled=100 * build.share, cost_settled_micro=60_000_000)
    no = build.holding(no_settled=100 * build.share, no_cost_settled_micro=30_000_000)
    book.owned(M1, BotId("a"), **yes)
    book.owned(M1, BotId("b"), **no)
    both = {"yes_settled": 100 * build.share, "no_settled": 100 * build.share}
    book.holding(
        M1, **build.holding(**both, cost_settled_micro=60_000_000, no_cost_settled_micro=30_000_000)
    )
    assert (book.bot_micro(BotId("a")), book.bot_micro(BotId("b"))) == (60_000_000, 30_000_000)
    assert book.account_micro() == 0


def test_the_same_metadata_again_keeps_the_market(build):
    book = book_of(build.binary())
    book.live(build.order(1), 100 * build.share)
    book.listed(build.binary(tick=10))
    assert book.market_micro(M1) == 40_000_000


def test_units_cannot_change_under_a_live_instrument(build):
    book = book_of(build.binary())
    with pytest.raises(BrokenInvariant, match="units changed"):
        book.listed(build.binary(price_decimals=3))


def test_forgetting_leaves_no_trace_in_the_sums(build):
    book = book_of(build.binary(market="event"), build.binary("venue:m2", market="event"))
    book.holding(M1, **build.holding(yes_settled=5, cost_settled_micro=7))
    book.forget(M1)
    book.forget(M1)
    assert book.account_micro() == book.bot_micro(build.bot) == book.market_micro("event") == 0
    book.forget(InstrumentId("venue:m2"))
    assert book._markets == {}


def test_an_instrument_with_a_live_order_is_not_forgotten(build):
    book = book_of(build.binary())
    book.live(build.order(1), 1)
    with pytest.raises(BrokenInvariant, match="1 live orders"):
        book.forget(M1)


def test_an_order_that_ends_after_its_instrument_was_forgotten_is_harmless(build):
    book = ExposureBook()
    book.live(build.order(1), 0)
    assert book.account_micro() == 0


def test_what_cannot_be_counted_is_refused(build):
    book = ExposureBook()
    with pytest.raises(BrokenInvariant, match="never listed"):
        book.live(build.order(1), 1)
    with pytest.raises(BrokenInvariant, match="never listed"):
        book.instrument_micro(M1)
    book.listed(build.binary())
    with pytest.raises(BrokenInvariant, match="negative"):
        book.live(build.order(1), -1)
    assert book.market_micro("nobody") == book.bot_micro(BotId("nobody")) == 0


def test_instruments_and_orders_are_bounded(build, monkeypatch):
    monkeypatch.setattr(module, "INSTRUMENTS_MAX", 1)
    monkeypatch.setattr(module, "ORDERS_PER_INSTRUMENT_MAX", 1)
    book = book_of(build.binary())
    with pytest.raises(BrokenInvariant, match="forget old ones"):
        book.listed(build.binary("venue:m2"))
    book.live(build.order(1), 1)
    with pytest.raises(BrokenInvariant, match="too many live orders"):
        book.live(build.order(2), 1)


def test_accounts_of_one_mode_count_together_at_once(build):
    first, second, third = (book_of(build.binary()) for _ in range(3))
    share_total((first, second))
    first.live(build.order(1, price=4_000), 100 * build.share)
    assert second.total_micro() == first.account_micro() == 40_000_000
    assert first.total_micro() == 40_000_000
    assert third.total_micro() == 0
    first.live(build.order(1, price=4_000), 0)
    assert second.total_micro() == 0


# -- outcomes of one question share one worst case -------------------------------------------------

outcome = st.tuples(sizes, st.integers(1, 9_999), sizes, st.integers(1, 9_999), orders)


def loss_if(instrument, yes_wins, held, working):
    """Slow truth of one outcome: whatever of its orders hurts fills."""
    one = 10**instrument.price_decimals
    unit = Fraction(1, instrument.value_divisor)
    pays = {Leg.YES: one if yes_wins else 0, Leg.NO: 0 if yes_wins else one}
    loss = sum(cost - size * pays[leg] * unit for leg, size, cost in held)
    for leg, side, price, size in working:
        change = (pays[leg] - price) * size * unit
        loss += max(0, -change if side is Side.BUY else change)
    return loss


@pytest.mark.long
@given(st.lists(outcome, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_of_outcomes_of_one_question_at_most_one_wins(build, outcomes):
    named = [build.binary(f"venue:o{n}", market="venue:one-of:q") for n in range(len(outcomes))]
    book = book_of(*named)
    truths, number = [], 0
    for instrument, (yes, yes_price, no, no_price, working) in zip(named, outcomes, strict=True):
        costs = [size * price // instrument.value_divisor for size, price in
                 ((yes, yes_price), (no, no_price))]  # fmt: skip
        legs = [Held(size, 0, 0, cost, 0, 0) for size, cost in zip((yes, no), costs, strict=True)]
        book.holding(instrument.id, *legs)
        for leg, side, price, size in working:
            number += 1
            order = build.order(
                number, instrument=instrument.id, leg=leg, side=side, price=price, size=size
            )
            book.live(order, size)
        held = [(Leg.YES, yes, costs[0]), (Leg.NO, no, costs[1])]
        truths.append({wins: loss_if(instrument, wins, held, working) for wins in (True, False)})
    worst = max(
        sum(truth[n == winner] for n, truth in enumerate(truths))
        for winner in range(-1, len(truths))
    )
    found = book.market_micro("venue:one-of:q")
    assert max(0, worst) <= found <= max(0, worst) + number + 3 * len(outcomes)
    assert found <= sum(book.instrument_micro(instrument.id) for instrument in named)


def test_two_no_of_one_question_cannot_both_lose(build):
    named = [build.binary(f"venue:o{n}", market="venue:one-of:q") for n in range(2)]
    book = book_of(*named)
    for instrument in named:
        no = Held(100 * build.share, 0, 0, 60_000_000, 0, 0)
        book.holding(instrument.id, Held(0, 0, 0, 0, 0, 0), no)
    # Whoever wins, one NO loses its 60 and the other one gains 40.
    assert book.market_micro("venue:one-of:q") == 20_000_000
    assert book.account_micro() == 120_000_000


def test_an_outcome_that_is_over_leaves_its_question(build):
    named = [build.binary(f"venue:o{n}", market="venue:one-of:q") for n in range(2)]
    book = book_of(*named)
    for number, instrument in enumerate(named):
        book.live(build.order(number, instrument=instrument.id, price=5_000), 10 * build.share)
    assert book.market_micro("venue:one-of:q") == 10_000_000
    book.over(build.order(0, instrument=named[0].id, price=5_000))
    book.forget(named[0].id)
    assert book.market_micro("venue:one-of:q") == 5_000_000
    moved = build.binary("venue:o1", market="venue:other")
    book.listed(moved)
    assert (book.market_micro("venue:one-of:q"), book.market_micro("venue:other")) == (0, 5_000_000)


def test_no_short_is_so_small_that_it_is_no_risk(build):
    terms = build.spot(kind=Kind.PERPETUAL)
    book = book_of(terms)
    book.holding(terms.id, **build.holding(yes_settled=-1))
    assert book.instrument_micro(terms.id) == 1
