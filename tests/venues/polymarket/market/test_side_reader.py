import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market.level_map import LevelMap
from engine.venues.polymarket.market.side_reader import SideReader


def text(levels, **spaces) -> bytes:
    wire = [{"price": f"0.{price:02d}", "size": str(size)} for price, size in levels]
    return json.dumps(wire, **(spaces or {"separators": (",", ":")})).encode()


def units(levels):
    return tuple((price * 100, size * 10**6) for price, size in levels)


SIDES = st.dictionaries(st.integers(1, 99), st.integers(1, 500), max_size=30)


@pytest.mark.long
@given(st.lists(SIDES, max_size=8))
def test_incremental_reading_equals_reading_anew(frames):
    rising = SideReader(LevelMap(), rising=True)
    falling = SideReader(LevelMap(), rising=False)
    for frame in frames:
        up = sorted(frame.items())
        assert rising.read(text(up)) == units(up)
        assert falling.read(text(up[::-1])) == units(up[::-1])


def test_mirrored_side_is_told_in_yes_space():
    reader = SideReader(LevelMap(mirrored=True), rising=False)
    assert reader.read(text([(20, 7), (30, 9)])) == ((8_000, 7_000_000), (7_000, 9_000_000))


def test_best_first_is_turned_round_and_the_next_frame_still_fits():
    reader = SideReader(LevelMap(), rising=True)
    assert reader.read(text([(49, 1), (48, 2)])) == units([(48, 2), (49, 1)])
    assert reader.read(text([(48, 2), (49, 5)])) == units([(48, 2), (49, 5)])


def test_white_space_and_other_keys_are_read_slowly():
    reader = SideReader(LevelMap(), rising=True)
    assert reader.read(text([(48, 2), (49, 5)], indent=1)) == units([(48, 2), (49, 5)])
    odd = b'[{"size":"1","price":"0.48","orders":3}]'
    assert reader.read(odd) == units([(48, 1)])
    assert reader.read(b"[ ]") == ()


@pytest.mark.parametrize("raw", [b'[{"price":"0.48"}]', b"[1]", b'{"a":1}', b'[{"price":1}]'])
def test_what_is_no_list_of_levels_is_refused(raw):
    with pytest.raises(BadFrame, match="levels unreadable"):
        SideReader(LevelMap(), rising=True).read(raw)


def test_level_named_twice_is_refused_and_leaves_nothing_behind():
    reader = SideReader(LevelMap(), rising=True)
    reader.read(text([(48, 1), (49, 1)]))
    with pytest.raises(BadFrame, match="level twice"):
        reader.read(text([(49, 1), (49, 1)]))
    assert reader.read(text([(48, 3)])) == units([(48, 3)])


def test_bad_level_leaves_no_half_read_side_behind():
    reader = SideReader(LevelMap(), rising=True)
    reader.read(text([(47, 1), (48, 1), (49, 1)]))
    with pytest.raises(BadFrame, match="size zero"):
        reader.read(text([(47, 9), (48, 0), (49, 1)]))
    assert reader.read(text([(47, 2), (48, 1), (49, 1)])) == units([(47, 2), (48, 1), (49, 1)])


def test_parts_are_the_bytes_of_each_level():
    reader = SideReader(LevelMap(), rising=True)
    expected = {4_800: b'"price":"0.48","size":"2"', 4_900: b'"price":"0.49","size":"5"'}
    assert reader.parts(text([(48, 2), (49, 5)])) == expected
    assert reader.parts(text([(49, 5), (48, 2)])) == expected
    assert reader.parts(text([(48, 2), (49, 5)], indent=1)) == expected
