from engine.domain.fills import SizeSource
from engine.venues.paper.settings import FillModel
from tests.venues.paper.world import BUY, SELL, SHARE, World, settings


def test_the_audit_adds_up_what_was_heard_and_filled() -> None:
    world = World(settings(model=FillModel.OPTIMISTIC))
    world.book({50: 100}, {52: 100})
    world.place(BUY, 51, 10)
    world.trade(51, 4, SELL)
    world.trade(51, None, SELL, SizeSource.UNKNOWN)
    world.trade(40, 1, None)
    world.take(BUY, 52, 7)
    audit = world.venue.audit
    assert (audit.prints, audit.prints_unknown, audit.prints_ambiguous) == (3, 1, 1)
    assert (audit.maker_size, audit.unknown_size) == (10 * SHARE, 6 * SHARE)
    assert audit.taker_size == 7 * SHARE
