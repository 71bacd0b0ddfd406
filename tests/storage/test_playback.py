"""Candles of a run: what is shown of a moment had ended by then, and folding loses nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import StorageError
from storage.playback import FILE, Playback, whole
from storage.ticks import NO_CANDLES, Candle

S = 1_000_000_000
START = 1_700_000_000 * S
MARKET = "demo:X"


def candle(at: int, price: int) -> Candle:
    return Candle(
        start_ns=START + at * S, open2=price, high2=price + 2, low2=price - 2, close2=price + 1,
        bid=price, ask=price + 1, last=price, volume=3, ticks=2, trades=1,
    )  # fmt: skip


def held(rows: list[Candle], name: str = MARKET) -> Playback:
    fields = [{"instrument": name, **{k: getattr(c, k) for k in c.__struct_fields__}} for c in rows]
    return Playback(whole([pa.Table.from_pylist(fields, schema=NO_CANDLES.schema)]), S)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 4_000), min_size=1, max_size=60, unique=True),
    st.integers(0, 4_500),
    st.integers(1, 300),
)
def test_no_candle_tells_what_came_after_the_moment(
    seconds: list[int], until: int, most: int
) -> None:
    rows = [candle(at, 1_000 + at) for at in sorted(seconds)]
    step_ns, shown = held(rows).candles(MARKET, START, START + until * S, most)
    known = [one for one in rows if one.start_ns + S <= START + until * S]
    assert sum(one.volume for one in shown) == 3 * len(known)
    assert step_ns % S == 0
    assert len(shown) <= most + 1
    if known:
        assert shown[0].open2 == known[0].open2
        assert shown[-1].close2 == known[-1].close2
        assert max(one.high2 or 0 for one in shown) == max(one.high2 or 0 for one in known)
        assert held(rows).last(MARKET, START + until * S) == known[-1]
    else:
        assert shown == []
        assert held(rows).last(MARKET, START + until * S) is None


def test_each_of_several_markets_has_its_own_candles_without_a_copy() -> None:
    rows = {name: [candle(at, price) for at in (0, 1, 7)] for name, price in (("b", 9), ("a", 5))}
    fields = [
        {"instrument": name, **{k: getattr(c, k) for k in c.__struct_fields__}}
        for name, of in rows.items()
        for c in of
    ]
    made = Playback(whole([pa.Table.from_pylist(fields, schema=NO_CANDLES.schema)]), S)
    for name, of in rows.items():
        assert made.candles(name, START, START + 9 * S, 99)[1] == of
        assert made.span(name) == (START, START + 8 * S)
    assert made.span("c") is None


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    made = held([candle(0, 10), candle(7, 12)])
    made.save(tmp_path)
    found = Playback.load(tmp_path)
    assert found is not None
    assert (found.step_ns, found.markets) == (S, [MARKET])
    assert found.span(MARKET) == (START, START + 8 * S)
    assert found.span("demo:Y") is None
    assert found.candles(MARKET, 0, 2**62, 10**9) == made.candles(MARKET, 0, 2**62, 10**9)


def test_where_nothing_was_read_there_is_none_and_a_torn_file_is_a_sentence(tmp_path: Path) -> None:
    assert Playback.load(tmp_path) is None
    held([candle(0, 10)]).save(tmp_path)
    body = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(body[: len(body) // 2])
    with pytest.raises(StorageError, match="remove it and read the prices again"):
        Playback.load(tmp_path)
