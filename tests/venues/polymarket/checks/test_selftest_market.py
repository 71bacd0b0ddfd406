"""Where a self-test's order rests: far below the bid, in a market that will still be there."""

from __future__ import annotations

import msgspec
import pytest

from engine.domain.instruments import Instrument, InstrumentId, Kind, Side
from engine.domain.orders import OrderType
from engine.venues.polymarket.checks.selftest import (
    CLOSES_NS_MIN,
    EXPIRES_NS,
    FAR,
    Place,
    _unfit,
    far_order,
)
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.plugin import EXPIRY

NOW = 1_000 * CLOSES_NS_MIN
RAIN = Instrument(
    id=InstrumentId("polymarket:0xabc"),
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
    size_min=5_000_000,
    tokens=("1", "2"),
)
LISTED = Listing(
    instrument=RAIN, tick="0.01", min_order_size="5", neg_risk=False, slug="rain", title="Rain?",
    accepting=True,
)  # fmt: skip


def test_order_is_the_smallest_at_the_lowest_price_and_never_takes() -> None:
    place = Place(instrument=RAIN, title="Rain?", bid=4_000, ask=5_000)
    made = far_order(place, "mine", NOW)
    assert (made.side, made.price, made.size, made.post_only) == (Side.BUY, 100, 5_000_000, True)
    assert (made.type, made.expires_ns) == (OrderType.GTD, NOW + EXPIRES_NS)
    assert "40¢ / 50¢, tick 1¢" in place.described()


@pytest.mark.parametrize(
    ("bid", "ask", "text"),
    [
        (100 + FAR, 5_000, ""),
        (100 + FAR - 1, 5_000, "less than ten cents"),
        (0, 5_000, "no two-sided book"),
        (4_000, 0, "no two-sided book"),
        (5_000, 5_000, "no two-sided book"),
        (5_000, 10_000, "no two-sided book"),
    ],
)
def test_market_is_fit_by_its_book(bid: int, ask: int, text: str) -> None:
    why = _unfit(LISTED, bid, ask, NOW)
    assert text in why
    assert bool(why) is bool(text)


def test_market_that_is_closed_or_closes_within_the_hour_is_not_fit() -> None:
    shut = msgspec.structs.replace(LISTED, accepting=False)
    assert "takes no orders" in _unfit(shut, 4_000, 5_000, NOW)
    for closes_ns, fit in ((NOW + CLOSES_NS_MIN - 1, False), (NOW + CLOSES_NS_MIN, True)):
        soon = msgspec.structs.replace(RAIN, closes_ns=closes_ns)
        one = msgspec.structs.replace(LISTED, instrument=soon)
        assert (_unfit(one, 4_000, 5_000, NOW) == "") is fit


def test_expiry_of_the_order_is_one_the_venue_takes() -> None:
    assert EXPIRY.least_s * 1_000_000_000 <= EXPIRES_NS
