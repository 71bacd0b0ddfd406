"""The demo exchange's listing: every open market as one page, pairs in their own prices."""

from __future__ import annotations

from random import Random

import msgspec

from engine.domain.events import TradePrinted
from engine.domain.listings import PAIRS, PERPETUALS, ListingState
from engine.domain.money import MICRO
from engine.venues.demo import wire
from engine.venues.demo.accounts import DAY_SPANS, SPAN_NS, TradedVolume
from engine.venues.demo.client import EVENT, ROLLING, page_of
from engine.venues.demo.profiles import PERPETUAL, SPOT, THIN
from engine.venues.demo.snapshot import encode_state, restore_state
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


def test_a_market_has_what_it_traded_in_a_day_and_ever() -> None:
    made = open_world(THIN, rng=Random(3), now_ns=START)
    traded = dict.fromkeys(made.order_entry.markets, 0)
    for second in range(0, 600, 20):
        made.advance(START + second * S)
        for _, event in made.take_public():
            if isinstance(event, TradePrinted) and event.instrument in traded:
                terms_of = made.order_entry.markets[event.instrument].instrument
                traded[event.instrument] += terms_of.proceeds_micro(event.price, event.size)
    assert sum(map(bool, traded.values())) > 1
    restored = open_world(THIN, rng=Random(3), now_ns=START)
    restore_state(restored, encode_state(made))
    seen = {
        name: wire.Traded(one.traded.day_micro(made.now_ns), one.traded.total_micro)
        for name, one in restored.order_entry.markets.items()
        if name in traded
    }
    assert {name: one.day_micro for name, one in seen.items()} == traded
    frame = wire.MarketFrame(at_ns=START, events=tuple(made.opening()), traded=seen)  # type: ignore[arg-type]
    again = wire.unpack_market(wire.pack(frame))
    volumes = {one.id: (one.volume_24h, one.volume) for one in page_of(again).markets}
    for name, micro in traded.items():
        if name in volumes:
            assert volumes[name] == (micro / MICRO, micro / MICRO)


def test_what_was_traded_a_day_ago_is_of_no_day_and_of_the_total() -> None:
    traded, day_ns = TradedVolume(), DAY_SPANS * SPAN_NS
    assert day_ns == 86_400 * S
    traded.add(5, 0)
    traded.add(7, SPAN_NS)
    assert traded.day_micro(day_ns - 1) == 12
    assert traded.day_micro(day_ns) == 7
    for span in range(2, 3 * DAY_SPANS):
        traded.add(1, span * SPAN_NS)
    assert len(traded.spans) <= DAY_SPANS
    assert traded.day_micro(3 * day_ns - 1) == DAY_SPANS
    assert traded.total_micro == 12 + 3 * DAY_SPANS - 2
