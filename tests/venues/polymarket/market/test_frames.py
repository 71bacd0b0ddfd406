import pytest

from engine.feeds.counts import BadFrame, FeedCounts
from engine.venues.polymarket.market.frames import FrameReader, NewMarketMessage, TickSizeMessage

TICK = b'{"market":"0x","asset_id":"1","new_tick_size":"0.001","timestamp":"1"%b}'


def test_new_field_is_news_and_no_hindrance():
    counts = FeedCounts()
    reader = FrameReader("tick_size_change", TickSizeMessage)
    assert reader.read(TICK % b"", counts).new_tick_size == "0.001"
    assert not counts.anomalies
    assert reader.read(TICK % b',"extra":1', counts).new_tick_size == "0.001"
    assert counts.anomalies == {"unknown field in tick_size_change": 1}


def test_kind_of_which_we_read_a_part_may_have_more_fields():
    counts = FeedCounts()
    frame = b'{"market":"0x","slug":"s","assets_ids":[],"outcomes":[],"timestamp":"1","x":1}'
    assert FrameReader("new_market", NewMarketMessage, whole=False).read(frame, counts).slug == "s"
    assert not counts.anomalies


@pytest.mark.parametrize(("frame", "kind"), [(b"{", "broken json"), (b"{}", "unexpected shape")])
def test_other_shapes_are_refused_by_name(frame, kind):
    with pytest.raises(BadFrame, match=kind):
        FrameReader("tick_size_change", TickSizeMessage).read(frame, FeedCounts())
