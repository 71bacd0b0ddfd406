import pytest

from engine.feeds.counts import BadFrame, FeedCounts
from engine.venues.polymarket.market.core import TradePrints
from engine.venues.polymarket.market.frames import LastTradeMessage


def message(**changes):
    known = {"market": "0x", "asset_id": "1", "price": "0.52", "size": "5", "side": "BUY"}
    return LastTradeMessage(**(known | {"timestamp": "1777452300000"} | changes))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"size": "0"}, "size zero"),
        ({"size": "-1"}, "size negative"),
        ({"price": "1"}, "price out of range"),
        ({"side": "buy"}, "unknown side"),
        ({"size": "1000000001"}, "size out of range"),
        ({"timestamp": "soon"}, "timestamp not a number"),
        ({"timestamp": "1795575000456789"}, "timestamp not in milliseconds"),
        ({"timestamp": "1795575000"}, "timestamp not in milliseconds"),
    ],
)
def test_impossible_print_is_refused(changes, kind):
    with pytest.raises(BadFrame, match=kind):
        TradePrints(FeedCounts()).read(message(**changes), "polymarket:0x", 0, mirrored=False)


def test_last_price_is_written_as_hashes_write_it():
    assert TradePrints.last_price(message(price="0.5")) == "0.500"
    assert TradePrints.last_price(message(price="0.5025")) is None
