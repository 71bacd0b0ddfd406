"""Candles of a run: what is shown of a moment had ended by then, and folding loses nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import StorageError
from storage import playback
from storage.playback import FILE, STEP, Playback, PlaybackFile, whole
from storage.ticks import NO_CANDLES, Candle

S = 1_000_000_000
START = 1_700_000_000 * S
MARKET = "demo:X"


def candle(at: int, price: int) -> Candle:
    return Candle(
        start_ns=START + at * S, open2=price, high2=price + 2, low2=price - 2, close2=price + 1,
        bid=price, ask=price + 1, last=price, volume=3, ticks=2, trades=1,
    )  # fmt: skip


def table(rows: list[Candle], name: str = MARKET) -> pa.Table:
    fields = [{"instrument": name, **{k: getattr(c, k) for k in c.__struct_fields__}} for c in rows]
    return whole([pa.Table.from_pylist(fields, schema=NO_CANDLES.schema)])


def held(rows: list[Candle], name: str = MARKET) -> Playback:
    return Playback.of(table(rows, name), S)


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
    made = Playback.of(whole([pa.Table.from_pylist(fields, schema=NO_CANDLES.schema)]), S)
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


def test_what_is_kept_in_many_parts_answers_as_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "GROUP_ROWS", 7)
    rows = {name: [candle(at * at, 500 + at) for at in range(40)] for name in ("a", "b")}
    with PlaybackFile(tmp_path, S) as file:
        for name, of in rows.items():
            for at in range(0, 40, 3):  # as they come, and not as they are kept
                file.add(table(of[at : at + 3], name))
    assert pq.read_metadata(tmp_path / FILE).num_row_groups > 10
    found, as_one = Playback.load(tmp_path), {name: held(of, name) for name, of in rows.items()}
    assert found is not None
    assert found.markets == ["a", "b"]
    for name, one in as_one.items():
        assert found.span(name) == one.span(name)
        for since, until, most in [(0, 1_600, 9), (0, 1_600, 9), (30, 900, 5), (90, 90, 1)]:
            asked = name, START + since * S, START + until * S, most
            assert found.candles(*asked) == one.candles(*asked)
            assert found.last(name, asked[2]) == one.last(name, asked[2])


def test_a_file_whose_parts_hold_several_markets_is_read_as_before(tmp_path: Path) -> None:
    rows = [candle(at, 10 + at) for at in range(5)]
    both = pa.concat_tables([table(rows, "a"), table(rows[:3], "b")]).unify_dictionaries()
    pq.write_table(both.replace_schema_metadata({STEP: str(S)}), tmp_path / FILE)
    found = Playback.load(tmp_path)
    assert found is not None
    assert found.markets == ["a", "b"]
    assert found.candles("a", START, START + 9 * S, 99)[1] == rows
    assert found.candles("b", START, START + 9 * S, 99)[1] == rows[:3]


def test_a_page_that_changed_on_the_disk_is_a_sentence(tmp_path: Path) -> None:
    held([candle(at, at) for at in range(200)]).save(tmp_path)
    column = pq.read_metadata(tmp_path / FILE).row_group(0).column(2)
    body = bytearray((tmp_path / FILE).read_bytes())
    at = column.data_page_offset + column.total_compressed_size - 4
    body[at] ^= 0xFF
    (tmp_path / FILE).write_bytes(body)
    found = Playback.load(tmp_path)
    assert found is not None
    with pytest.raises(StorageError, match="remove it and read the prices again"):
        found.candles(MARKET, 0, 2**62, 10**9)


def test_a_file_that_is_not_written_to_its_end_leaves_the_one_before(tmp_path: Path) -> None:
    held([candle(0, 10)]).save(tmp_path)
    before = (tmp_path / FILE).read_bytes()

    def torn() -> None:
        with PlaybackFile(tmp_path, S) as file:
            file.add(table([candle(0, 99)]))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        torn()
    assert [one.name for one in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == before
    with pytest.raises(StorageError, match="cannot be written"):
        held([candle(0, 10)]).save(tmp_path / "gone")
