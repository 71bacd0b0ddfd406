import msgspec
import pytest

from engine.domain.events import TradePrinted
from engine.domain.instruments import AccountId
from engine.errors import BadInput
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import FillModel
from tests.venues.paper.stories import drawn, play, tell
from tests.venues.paper.world import ACCOUNT, BUY, MARKET, SELL, World, settings


@pytest.mark.parametrize("seed", range(8))
def test_any_state_comes_back_as_it_was(seed: int) -> None:
    world = drawn(FillModel.REALISTIC, 50, 250, 1_000, 300)
    play(world, tell(seed, 150), lambda _, __: None)
    twin = PaperVenue(ACCOUNT, settings())
    twin.restore(world.venue.state())
    assert twin.state() == world.venue.state()


@pytest.mark.parametrize("seed", range(8))
def test_a_restored_account_ends_with_the_same_money(seed: int) -> None:
    world = drawn(FillModel.REALISTIC, 0, 0, 1_000, 300)
    play(world, tell(seed, 150), lambda _, __: None)
    twin = World()
    twin.venue = PaperVenue(ACCOUNT, settings())
    twin.venue.restore(world.venue.state())
    for each in (world, twin):
        each.venue.session_lost(world.now)
        each.until(world.now + 10**10)
    for field in ("cash", "pending", "reserved"):
        assert getattr(twin.purse(), field) == getattr(world.purse(), field)


@pytest.mark.parametrize("state", [b"", b"\x00", b"\xff" * 40])
def test_bytes_that_are_no_state_are_refused(state: bytes) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        PaperVenue(ACCOUNT, settings()).restore(state)


def test_another_accounts_state_is_refused() -> None:
    with pytest.raises(BadInput, match="is of account"):
        PaperVenue(AccountId("other"), settings()).restore(World().venue.state())


def test_a_state_that_contradicts_itself_is_refused() -> None:
    world = World()
    state = msgspec.msgpack.decode(world.venue.state())
    del state["cash"]["USD"]
    with pytest.raises(BadInput, match="USD"):
        PaperVenue(ACCOUNT, settings()).restore(msgspec.msgpack.encode(state))


def test_an_order_keeps_what_was_held_for_it() -> None:
    world = World(settings(cash=5.1))
    world.book({50: 1}, {52: 1})
    world.place(BUY, 51, 10)
    for size in (3_333_333, 3_333_333):  # rounding used up a micro the rest would need
        world.hear(TradePrinted(instrument=MARKET, price=5_100, size=size, aggressor=SELL))
    twin = PaperVenue(ACCOUNT, settings())
    twin.restore(world.venue.state())
    assert twin._floor.purses["USD"].reserved == world.purse().reserved > world.purse().cash - 3
