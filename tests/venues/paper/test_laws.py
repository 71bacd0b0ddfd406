"""The laws of the paper venue under random feeds and orders, judged from outside."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engine.domain.events import BalancesListed, Event, PositionsListed
from engine.domain.instruments import Side
from engine.gateway.door import VenueOutput
from engine.venues.paper.settings import FillModel
from tests.venues.paper.judges import Judge
from tests.venues.paper.stories import FEED, Step, drawn, mirrored, play, story_of
from tests.venues.paper.world import BINARY, BUY, NO, SHARE, YES, World, events

SEEDS = st.integers(0, 2**32)
MODELS = st.sampled_from(FillModel)
LATENCIES = st.sampled_from([0, 0, 150])
DELAYS = st.sampled_from([0, 250])
many = hypothesis_settings(max_examples=60, deadline=None, derandomize=True)


@given(SEEDS, MODELS, LATENCIES, DELAYS)
@many
def test_no_fill_breaks_a_volume_law(
    seed: int, model: FillModel, latency_ms: int, taker_ms: int
) -> None:
    world = drawn(model, latency_ms, taker_ms, 1_000, 300)
    judge = Judge(BINARY)
    play(
        world,
        story_of(seed, 120),
        lambda out, cause: judge.watch(events(out), world.orders, cause),
        judge,
    )
    judge.watch(events(world.wait(5_000)), world.orders, None)


@given(SEEDS, MODELS, LATENCIES, DELAYS)
@many
def test_cash_and_tokens_are_conserved_to_the_micro(
    seed: int, model: FillModel, latency_ms: int, taker_ms: int
) -> None:
    world = drawn(model, latency_ms, taker_ms, 40, 60)
    wallet, matching = world.wallet(), world.venue._matching

    def solvent(_: list[VenueOutput], __: Event | None) -> None:
        assert wallet.cash >= 0
        assert wallet.reserved == sum(order.cash_held for order in matching.open.values())
        for leg in (YES, NO):
            held = sum(o.tokens_held for o in matching.open.values() if o.order.leg is leg)
            assert held == world.holding(leg).reserved <= world.holding(leg).settled

    play(world, story_of(seed, 120), solvent)
    world.wait(5_000)
    world.cancel_all()
    world.wait(5_000)
    cash, tokens = 40_000_000, Counter({YES: 60 * SHARE, NO: 60 * SHARE})
    for fill in world.fills:
        order = world.orders[fill.order]
        if order.side is BUY:
            cash -= BINARY.cost_micro(fill.price, fill.size) + fill.fee_micro
            tokens[order.leg] += fill.size
        else:
            cash += BINARY.proceeds_micro(fill.price, fill.size) - fill.fee_micro
            tokens[order.leg] -= fill.size
    assert (wallet.cash, wallet.pending, wallet.reserved) == (cash, 0, 0)
    world.ask_balances()
    world.wait(200)
    balances, positions = world.events[-2:]
    assert isinstance(balances, BalancesListed)
    assert isinstance(positions, PositionsListed)
    assert balances.cash_micro["USD"] == cash
    assert Counter({leg: size for _, leg, size in positions.holdings}) == +tokens


@given(SEEDS, st.sampled_from(Side), st.integers(48, 52), st.integers(5, 60))
@many
def test_each_model_fills_at_least_what_the_one_before_does(
    seed: int, side: Side, cents: int, shares: int
) -> None:
    """One resting order, the same feed: at no moment does a later model lag behind."""
    stories = []
    story: list[Step] = [("quote", side, cents, shares, YES), *story_of(seed, 60, FEED)]
    for model in (FillModel.PESSIMISTIC, FillModel.REALISTIC, FillModel.OPTIMISTIC):
        world = drawn(model, 0, 0, 100, 100)
        sums: list[float] = []

        def note(_: list[VenueOutput], __: object, world: World = world, to: list = sums) -> None:
            to.append(world.filled(1))

        play(world, story, note)
        stories.append(sums)
    for less, more in pairwise(stories):
        assert all(a <= b for a, b in zip(less, more, strict=True))


@given(SEEDS, MODELS, LATENCIES)
@many
def test_an_order_and_its_mirror_fill_alike(seed: int, model: FillModel, latency_ms: int) -> None:
    def fills(steps: list[Step]) -> list[tuple]:
        world = drawn(model, latency_ms, 0, 1e6, 10_000)
        play(world, steps, lambda _, __: None)
        return [
            (
                fill.order,
                fill.size,
                fill.fee_micro,
                fill.liquidity,
                fill.price if world.orders[fill.order].leg is YES else 10_000 - fill.price,
            )
            for fill in world.fills
        ]

    story = story_of(seed, 120)
    assert fills(story) == fills([mirrored(step) for step in story])


def test_the_stories_reach_what_the_laws_are_about() -> None:
    reached: Counter[str] = Counter()
    for seed in range(20):
        world = drawn(FillModel.REALISTIC, 0, 0, 1_000, 300)
        play(world, story_of(seed, 120), lambda _, __: None)
        reached.update(type(event).__name__ for event in world.events)
        reached.update(f"{fill.liquidity}" for fill in world.fills)
    assert min(reached[kind] for kind in ("maker", "taker")) > 50
    assert min(reached[kind] for kind in ("OrderCancelled", "OrderRejected", "OrderExpired")) > 5
