import json

from hypothesis import given
from hypothesis import strategies as st

from engine.venues.polymarket.market.level_map import LevelMap
from engine.venues.polymarket.market.token_book import SideBook


def wire(levels, *, rising):
    ordered = sorted(levels.items(), reverse=not rising)
    told = [{"price": f"0.{price:02d}", "size": str(size)} for price, size in ordered]
    return json.dumps(told, separators=(",", ":")).encode()


@given(
    st.booleans(),
    st.dictionaries(st.integers(1, 99), st.integers(1, 9), max_size=10),
    st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), max_size=20),
)
def test_side_writes_itself_as_the_venue_would_after_any_changes(rising, levels, changes):
    side = SideBook(LevelMap(), rising=rising)
    side.load(wire(levels, rising=rising))
    for price, size in changes:
        part = f'"price":"0.{price:02d}","size":"{size}"'.encode()
        side.change(part, price * 100, gone=size == 0)
        levels[price] = size
        if size == 0:
            del levels[price]
    assert side.text() == wire(levels, rising=rising)
    ordered = sorted(levels.items(), reverse=not rising)
    assert side.levels() == tuple((price * 100, size * 10**6) for price, size in ordered)
    assert side.best == (ordered[-1][0] * 100 if ordered else None)


def test_full_frame_is_kept_verbatim():
    side = SideBook(LevelMap(), rising=True)
    side.load(b'[{"price":"0.4800","size":"5.0"}]')
    assert side.text() == b'[{"price":"0.4800","size":"5.0"}]'
    assert side.best == 4_800


def test_forgotten_side_is_empty():
    side = SideBook(LevelMap(), rising=True)
    side.load(wire({48: 1}, rising=True))
    side.forget()
    assert (side.text(), side.levels(), side.best) == (b"[]", (), None)
