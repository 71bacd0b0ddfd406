"""Which venue a recording listens to, and who receives a market nobody else wants."""

from __future__ import annotations

import pytest

from engine.errors import BadInput
from engine.live.commands.recordings import venue_of
from engine.venues.polymarket.market.source import NAMED

MARKET = "polymarket:0x" + "a1" * 32


@pytest.mark.parametrize(
    ("instruments", "venue"),
    [
        (("btc-updown-5m",), "demo"),
        (("demo:a", "btc-updown-5m"), "demo"),
        (("btc-updown-5m", MARKET), "polymarket"),
    ],
)
def test_the_venue_is_that_of_the_named_markets(instruments: tuple[str, ...], venue: str) -> None:
    assert venue_of(instruments) == venue


def test_two_venues_in_one_recording_are_refused_with_what_to_do() -> None:
    with pytest.raises(BadInput, match="of demo and polymarket: start one each"):
        venue_of(("demo:a", MARKET))


def test_a_market_is_named_by_its_whole_condition() -> None:
    assert NAMED.fullmatch(MARKET)
    assert not NAMED.fullmatch(MARKET[:-1])
    assert not NAMED.fullmatch("demo:a")
