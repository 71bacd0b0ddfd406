"""The crowd: who it is, when it acts, and that it plays by the customers' rules."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from statistics import fmean

import msgspec
import pytest

from engine.domain.events import TradePrinted
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.errors import BadInput
from engine.venues.demo.calendar import Calendar
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import RestingOrder
from engine.venues.demo.profiles import THIN, CrowdSpec, MakerSpec, Profile
from engine.venues.demo.world import INFORMED, NOISE, Crowd, CrowdState, open_world
from tests.venues.demo.builders import SHARE, START, S, sound

MAKERS = [AccountId(spec.name) for spec in THIN.crowd.makers]


def world(**crowd: object) -> DemoExchange:
    spec = msgspec.structs.replace(THIN.crowd, **crowd)
    return open_world(msgspec.structs.replace(THIN, crowd=spec), rng=Random(4), now_ns=START)


def running(made: DemoExchange) -> InstrumentId:
    return next(
        name
        for name, market in made.order_entry.markets.items()
        if market.proof and market.accepting
    )


def quotes(made: DemoExchange, maker: AccountId, name: InstrumentId) -> list[RestingOrder]:
    return [order for order in made.open_orders(maker) if order.instrument == name]


def test_makers_keep_a_quote_per_rung_and_side_near_the_probability() -> None:
    made = world(noise_rate=0.0, informed_rate=0.0, maker_rate=4.0)
    made.advance(made.now_ns + 30 * S)
    name = running(made)
    calendar = made.actors["calendar"]
    assert isinstance(calendar, Calendar)
    chance = calendar.chance(name, 0)
    assert chance is not None
    for maker, spec in zip(MAKERS, THIN.crowd.makers, strict=True):
        resting = quotes(made, maker, name)
        assert all(order.post_only for order in resting)
        assert len(resting) == 2 * len(spec.rungs)
        best_bid = max(order.level for order in resting if order.bid)
        best_ask = min(order.level for order in resting if not order.bid)
        assert best_bid - 800 < chance * 10_000 < best_ask + 800
    assert made.clearing.trade_count == 0


def test_a_maker_that_averages_quotes_around_the_mean_and_not_the_newest() -> None:
    maker = MakerSpec(name="m", half_width=0.001, noise=0.0, lag_steps=0, shares=50.0, mean_steps=8)
    made = world(makers=(maker,), noise_rate=0.0, informed_rate=0.0, maker_rate=40.0)
    calendar = made.actors["calendar"]
    assert isinstance(calendar, Calendar)
    from_mean, from_newest = [], []
    for step in range(1, 200):
        made.advance(START + step * S // 2 - 1)
        name = running(made)
        levels = [order.level for order in quotes(made, AccountId("m"), name)]
        mean, newest = calendar.chance(name, 0, over=8), calendar.chance(name, 0)
        assert mean is not None
        assert newest is not None
        middle = fmean(levels) / 10_000
        from_mean.append(abs(middle - mean))
        from_newest.append(abs(middle - newest))
    assert fmean(from_mean) < 0.01 < fmean(from_newest)


def test_a_world_without_takers_never_trades_and_without_anybody_never_quotes() -> None:
    silent = CrowdSpec(makers=(), maker_rate=1.0, noise_rate=0.0, informed_rate=0.0)
    profile: Profile = msgspec.structs.replace(THIN, crowd=silent)
    made = open_world(profile, rng=Random(4), now_ns=START)
    made.advance(made.now_ns + 60 * S)
    assert made.order_entry.order_count == 0


def test_every_member_trades_and_nobody_is_remembered() -> None:
    made = world()
    made.advance(made.now_ns + 600 * S)
    for member in (*MAKERS, NOISE, INFORMED):
        assert made.wallet(member).cash != THIN.crowd.cash_micro
        account = made.account(member)
        assert not account.ended
        assert not account.fills
    assert made.clearing.self_trades == 0
    sound(made)


def test_noise_takers_sell_too_and_merge_their_pairs() -> None:
    made = world(noise_rate=4.0)
    made.advance(made.now_ns + 250 * S)
    name = running(made)
    pairs = min(made.wallet(NOISE).free_tokens(name, leg) for leg in (Leg.YES, Leg.NO))
    assert pairs < 2_000 * 10**6
    sound(made)


def test_informed_takers_take_only_what_is_worth_more_than_price_and_fee() -> None:
    made = world(informed_rate=2.0)
    calendar = made.actors["calendar"]
    assert isinstance(calendar, Calendar)
    seen: dict[str, float] = {}
    for step in range(1, 600):
        # Just before the world's next step, so that the probability is still the trade's.
        made.advance(START + step * S // 2 - 1)
        for transaction in made.settlement.pending.values():
            for fill in transaction.fills:
                if fill.customer != INFORMED or fill.id in seen:
                    continue
                chance = calendar.chance(fill.instrument, 0)
                assert chance is not None
                worth = chance if fill.leg is Leg.YES else 1 - chance
                paid = (fill.amount_micro + fill.fee_micro) / fill.size
                seen[fill.id] = worth - paid
    assert len(seen) > 20
    assert min(seen.values()) > THIN.crowd.informed_edge - 1e-4


@pytest.mark.parametrize(("early", "known"), [(1.0, True), (0.0, False)])
def test_early_takers_take_the_side_the_price_is_going_to(early: float, *, known: bool) -> None:
    price = msgspec.structs.replace(THIN.price, ahead_ns=5 * S)
    alone = {"informed_rate": 0.0, "noise_rate": 1.0, "maker_rate": 4.0}
    crowd = msgspec.structs.replace(THIN.crowd, early_share=early, **alone)
    profile = msgspec.structs.replace(THIN, crowd=crowd, price=price)
    made = open_world(profile, rng=Random(4), now_ns=START - START % (300 * S))
    calendar = made.actors["calendar"]
    assert isinstance(calendar, Calendar)
    gains, name, before = [], running(made), 0.5
    for _ in range(100):
        taken = [
            event for _, event in made.take_public()
            if isinstance(event, TradePrinted) and event.instrument == name
        ]  # fmt: skip
        chance = calendar.chance(name, 0) or 0.0
        made.advance(made.now_ns + 2 * S)
        after = calendar.chance(name, 0) or 0.0
        gains += [after - before if one.aggressor is Side.BUY else before - after for one in taken]
        before = chance
    assert len(gains) > 80
    assert (fmean(gains) > 0.01) is known


def test_a_swarm_comes_at_once_from_both_sides_with_small_orders() -> None:
    alone = {"echo_chance": 0.0, "rush_chance": 0.0, "informed_rate": 0.0, "maker_rate": 4.0}
    made = world(
        **alone, swarm_chance=1.0, swarm_echo_chance=0.9, swarm_s=0.002, swarm_part=0.1,
        noise_spread=0.0, noise_shares=50.0,
    )  # fmt: skip
    made.advance(made.now_ns + 120 * S)
    name = running(made)
    prints = [
        (at_ns, event)
        for at_ns, event in made.take_public()
        if isinstance(event, TradePrinted) and event.instrument == name
    ]
    stamps = [at_ns for at_ns, _ in prints]
    near = sum(after - before < 20_000_000 for before, after in pairwise(stamps))
    assert len(prints) > 50
    assert near > 0.7 * len(prints)
    assert {event.aggressor for _, event in prints} == {Side.BUY, Side.SELL}
    # The first of a swarm takes fifty shares, the others five.
    assert sorted(event.size or 0 for _, event in prints)[len(prints) // 2] < 10 * SHARE


def test_a_world_with_more_rungs_takes_an_earlier_ones_state() -> None:
    made = world()
    made.advance(made.now_ns + 60 * S)
    kept = made.actors["crowd"].state()
    more = tuple(
        msgspec.structs.replace(maker, rungs=(*maker.rungs, (20, 4))) for maker in THIN.crowd.makers
    )
    later = world(makers=more)
    later.actors["crowd"].restore(kept)
    fewer = world(makers=tuple(msgspec.structs.replace(one, rungs=((0, 0),)) for one in more))
    fewer.actors["crowd"].restore(kept)
    for crowd, rungs in ((later, [2, 4]), (fewer, [1, 1])):
        state = msgspec.msgpack.decode(crowd.actors["crowd"].state(), type=CrowdState)
        assert [len(quotes) for quotes in state.slots[0].quotes] == rungs


def test_an_unreadable_state_is_refused() -> None:
    made = world()
    crowd = made.actors["crowd"]
    assert isinstance(crowd, Crowd)
    with pytest.raises(BadInput):
        crowd.restore(b"\x00")
