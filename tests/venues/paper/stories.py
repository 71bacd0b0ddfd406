"""Random stories, dense enough that prints meet queues and takers meet each other's leavings."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from engine.domain.events import BookChanged, BookReplaced, Event, TradePrinted
from engine.domain.fills import SizeSource
from engine.domain.instruments import Side
from engine.domain.orders import OrderType
from engine.gateway.door import VenueOutput
from engine.venues.paper.settings import FillModel
from tests.venues.paper.judges import Judge
from tests.venues.paper.world import BUY, MARKET, NO, SELL, SHARE, YES, World, settings

Step = tuple
FEED = ("level", "level", "trade", "trade", "trade", "book")
LIFE = (*FEED, "quote", "quote", "strike", "cancel", "wait")


def story_of(seed: int, steps: int, kinds: tuple[str, ...] = LIFE) -> list[Step]:
    """Return a story around 50 cents: five levels a side, small displayed sizes, odd volumes."""
    dice = Random(seed)
    return [STEPS[dice.choice(kinds)](dice) for _ in range(steps)]


def _level(dice: Random) -> Step:
    side = dice.choice((BUY, SELL))
    cents = dice.randint(47, 50) if side is BUY else dice.randint(51, 54)
    return ("level", side, cents, dice.choice((0, 5, 10, 20, 40)))


def _book(dice: Random) -> Step:
    return (
        "book",
        {cents: dice.choice((0, 10, 30)) for cents in range(47, 51)},
        {cents: dice.choice((0, 10, 30)) for cents in range(51, 55)},
    )


def _trade(dice: Random) -> Step:
    source = dice.choice([SizeSource.TAPED] * 5 + [SizeSource.INFERRED, SizeSource.UNKNOWN])
    # Finer than a lot, so that rounding shows.
    volume = dice.choice((1, 1_333_333, 7_777_777, 10 * SHARE, 35 * SHARE + 1))
    size = None if source is SizeSource.UNKNOWN and dice.random() < 0.5 else volume
    aggressor = dice.choice((BUY, BUY, SELL, SELL, None))
    return ("trade", dice.randint(47, 54), size, aggressor, source)


def _quote(dice: Random) -> Step:
    leg, side = dice.choice((YES, NO)), dice.choice((BUY, SELL))
    cents = dice.randint(47, 50) if (side is BUY) == (leg is YES) else dice.randint(51, 54)
    return ("quote", side, cents if leg is YES else 100 - cents, dice.randint(5, 25), leg)


def _strike(dice: Random) -> Step:
    leg, side = dice.choice((YES, NO)), dice.choice((BUY, SELL))
    cents = dice.randint(50, 54) if (side is BUY) == (leg is YES) else dice.randint(47, 51)
    kind = dice.choice((OrderType.FAK, *OrderType))
    return ("strike", side, cents if leg is YES else 100 - cents, dice.randint(5, 40), leg, kind)


STEPS: dict[str, Callable[[Random], Step]] = {
    "level": _level,
    "book": _book,
    "trade": _trade,
    "quote": _quote,
    "strike": _strike,
    "cancel": lambda dice: ("cancel", dice.randint(1, 40)),
    "wait": lambda dice: ("wait", dice.choice((0, 10, 160, 1_500))),
}


def feed_event(step: Step) -> Event | None:
    """Return the market event a step stands for, None where it is none."""
    if step[0] == "level":
        _, side, cents, shares = step
        return BookChanged(instrument=MARKET, changes=((side, cents * 100, shares * SHARE),))
    if step[0] == "book":
        bids, asks = (tuple((c * 100, s * SHARE) for c, s in side.items()) for side in step[1:])
        return BookReplaced(instrument=MARKET, bids=bids, asks=asks)
    if step[0] == "trade":
        _, cents, size, aggressor, source = step
        return TradePrinted(
            instrument=MARKET, price=cents * 100, size=size, aggressor=aggressor, source=source
        )
    return None


def play(
    world: World,
    story: list[Step],
    watch: Callable[[list[VenueOutput], Event | None], None],
    judge: Judge | None = None,
) -> None:
    """Run a story; `watch` sees what each step caused (None = a request, or time)."""
    for step in [("book", {50: 20, 49: 20}, {51: 20, 52: 20}), *story]:
        world.now += 1
        watch(world.until(world.now), None)
        event = feed_event(step)
        if event is not None:
            if judge is not None:
                judge.received(event)
            watch(world.receive(event), event)
        elif step[0] == "wait":
            watch(world.wait(step[1]), None)
        elif step[0] == "cancel":
            watch(world.cancel(step[1]), None)
        elif step[0] == "quote":
            watch(world.place(*step[1:4], leg=step[4]), None)
        else:
            expires = world.now + 10**9 if step[5] is OrderType.GTD else None
            watch(world.take(*step[1:4], leg=step[4], type=step[5], expires_ns=expires), None)


def drawn(model: FillModel, latency_ms: int, taker_ms: int, cash: float, tokens: int) -> World:
    """Return a world with cash and tokens of both legs."""
    world = World(settings(model=model, latency_ms=latency_ms, taker_ms=taker_ms, cash=cash))
    world.give(YES, tokens)
    world.give(NO, tokens)
    return world


def mirrored(step: Step) -> Step:
    """Return the same intent through the other token."""
    if step[0] not in ("quote", "strike"):
        return step
    kind, side, cents, shares, leg, *rest = step
    return (kind, Side(side).opposite, 100 - cents, shares, YES if leg is NO else NO, *rest)
