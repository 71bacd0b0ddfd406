"""The demo exchange's listing: every open market as one page, pairs in their own prices."""

from __future__ import annotations

from random import Random

import msgspec

from engine.domain.listings import PAIRS, PERPETUALS, ListingState
from engine.venues.demo import wire
from engine.venues.demo.client import EVENT, ROLLING, page_of
from engine.venues.demo.profiles import PERPETUAL, SPOT, THIN
from engine.venues.demo.world import open_world
from pages.markets import shown
from pages.shared.listing import terms
from tests.venues.demo.builders import START, S


def test_every_open_market_is_on_the_page_and_a_pair_in_its_own_prices() -> None:
    world = msgspec.structs.replace(THIN, spots=(SPOT,), perpetuals=(PERPETUAL,))
    made = open_world(world, rng=Random(3), now_ns=START)
    made.advance(START + 20 * S)
    closed = next(key for key in made.order_entry.markets if "updown" in key)
    made.listing.close(closed)
    page = page_of(wire.MarketFrame(at_ns=START, events=tuple(made.opening())))  # type: ignore[arg-type]
    assert (page.cursor, page.skipped) == ("", {})
    by = {one.id: one for one in page.markets}
    assert by.keys() == made.order_entry.markets.keys() - {closed}
    assert {one.category for one in page.markets} == {PAIRS, PERPETUALS, ROLLING, EVENT}
    pair = by["demo:BTC-pUSD"]  # type: ignore[index]
    assert pair.state is ListingState.ACTIVE
    assert pair.bid is not None
    assert pair.ask is not None
    assert 60_000 < pair.bid < pair.ask < 70_000
    assert pair.ends_ns is None
    assert pair.liquidity > 10_000
    for name, kind in (("demo:BTC-pUSD", "spot"), ("demo:BTC-PERP", "perpetual")):
        row = msgspec.to_builtins(by[name])  # type: ignore[index]
        assert shown(row)["kind"] == kind
        found = terms(row)
        assert (found["Smallest order"], found["Tick"]) == ("0.0001 BTC", "0.1")
        assert found["Taker fee"] == "0.05 % of the order's value"
        assert ("short" in found.get("Held", "")) is (kind == "perpetual")
        assert not [one for one in found.values() if "\N{CENT SIGN}" in one or "share" in one]
