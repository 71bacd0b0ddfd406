"""Tables as they are in the field: of several markets, newest first, written again, with noise."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.errors import BadInput
from engine.lab.formats.importing import ImportRequest, import_files
from storage.datasets import DataKind, Dataset, DataTrust, columns

T0 = 1_704_067_200
NS = 10**9
PART = 10**8


def quiet(done: int, total: int, note: str) -> None:
    del done, total, note


def written(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def imported(
    folder: Path, path: Path, *, kind: DataKind | None = None, sort: bool = False,
    mapping: Mapping[str, str] | None = None, only: Mapping[str, str] | None = None,
) -> Dataset:  # fmt: skip
    request = ImportRequest(
        files=(path,), instrument="toy:A/B", name="x", kind=kind, sort=sort,
        mapping=mapping or {}, only=only or {},
    )  # fmt: skip
    return import_files(request, folder / "data", 1, quiet)


def rows_of(folder: Path) -> list[tuple[int, ...]]:
    return [row for block in columns(folder / "data" / "x") for row in zip(*block, strict=True)]


TWO = ("time,symbol,price,size", f"{T0},BTC,10,1", f"{T0 + 1},ETH,2,1", f"{T0 + 2},BTC,11,1")


def test_two_markets_of_one_file_are_never_mixed(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"line 3: is of another symbol, 'ETH' and .*--only"):
        imported(tmp_path, written(tmp_path, "t.csv", *TWO))
    assert not list((tmp_path / "data").glob("*"))


def test_the_rows_that_are_meant_are_read_and_kept_in_mind(tmp_path: Path) -> None:
    made = imported(tmp_path, written(tmp_path, "t.csv", *TWO), only={"symbol": "BTC"})
    assert [row[1] for row in rows_of(tmp_path)] == [10 * PART, 11 * PART]
    assert made.files[0].format == "plain_trades where symbol=BTC"


def test_a_value_or_column_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", *TWO)
    with pytest.raises(BadInput, match="no row has symbol=SOL; symbol is there as BTC, ETH"):
        imported(tmp_path, path, only={"symbol": "SOL"})
    with pytest.raises(BadInput, match="has no column 'slug'; it has time, symbol, price, size"):
        imported(tmp_path, path, only={"slug": "SOL"})
    assert not list((tmp_path / "data").glob("*"))


def test_a_listing_newest_first_is_sorted_where_a_person_asks(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "time,price,size", f"{T0 + 1},2,1", f"{T0},1,1")
    with pytest.raises(BadInput, match=r"line 3: is not later .* let --sort do it"):
        imported(tmp_path, path)
    imported(tmp_path, path, sort=True)
    assert [row[1] for row in rows_of(tmp_path)] == [PART, 2 * PART]


def test_quotes_written_again_at_a_flush_are_read_once(tmp_path: Path) -> None:
    first, second, third = f"{T0},1,2,5,5", f"{T0 + 1},1,3,5,5", f"{T0 + 2},1,4,5,5"
    head = "time,bid,ask,bid_size,ask_size"
    made = imported(tmp_path, written(tmp_path, "q.csv", head, first, second, first, second, third))
    assert (made.rows, made.duplicates) == (3, 2)
    other = written(tmp_path, "other.csv", head, first, second, f"{T0},1,9,5,5")
    with pytest.raises(BadInput, match="line 4: is not later"):
        import_files(
            ImportRequest(files=(other,), instrument="toy:A/B", name="y"),
            tmp_path / "data", 1, quiet,
        )  # fmt: skip


def test_a_missing_price_is_a_gap_and_no_row(tmp_path: Path) -> None:
    lines = ["time,price", f"{T0},", f"{T0 + 1},1", f"{T0 + 2},", f"{T0 + 3},", f"{T0 + 4},2"]
    names = {"time": "time", "price": "price"}
    path = written(tmp_path, "p.csv", *lines)
    made = imported(tmp_path, path, kind=DataKind.PRICES, mapping=names)
    assert [row[0] for row in rows_of(tmp_path)] == [(T0 + 1) * NS, (T0 + 4) * NS]
    assert (made.judged.trust, made.gaps, made.gap_ns) == (DataTrust.GAPS, 1, 3 * NS)
    assert made.judged.reason == "1 times of missing prices"


@pytest.mark.parametrize(
    ("text", "parts"),
    [("0.30000000000000004", 30_000_000), ("12345.670000000001", 1_234_567_000_000)],
)
def test_the_noise_of_a_double_is_rounded_away(text: str, parts: int, tmp_path: Path) -> None:
    imported(tmp_path, written(tmp_path, "t.csv", "time,price,size", f"{T0},{text},1"))
    assert rows_of(tmp_path)[0][1] == parts


def test_a_price_of_a_trade_that_is_finer_is_refused_and_one_that_is_charted_cut(
    tmp_path: Path,
) -> None:
    trades = written(tmp_path, "t.csv", "time,price,size", f"{T0},0.4199998235998977,1")
    with pytest.raises(BadInput, match="line 2: price: a price is finer"):
        imported(tmp_path, trades)
    imported(tmp_path, trades, kind=DataKind.PRICES, mapping={"time": "time", "price": "price"})
    assert rows_of(tmp_path)[0][1] == 41_999_982


def test_a_table_of_no_market_data_is_called_so(tmp_path: Path) -> None:
    path = written(tmp_path, "pump.csv", "symbol,group,date,hour,exchange", "ABC,g,2017-07-05,1,x")
    with pytest.raises(BadInput, match=r"columns of no market data that is known .* it has symbol"):
        imported(tmp_path, path)


# -- books -----------------------------------------------------------------------------------------


def update(number: int, sort: str, bids: object, asks: object, symbol: str = "XRPUSDT") -> str:
    data = {"s": symbol, "b": bids, "a": asks, "u": number, "seq": number}
    return json.dumps(
        {"topic": f"orderbook.500.{symbol}", "type": sort, "ts": T0 * 1_000 + number, "data": data}
    )


def test_a_zip_of_updates_of_bybit_is_played_as_a_book(tmp_path: Path) -> None:
    lines = [
        update(7, "snapshot", [["1.5", "2"], ["1.4", "3"]], [["1.6", "4"]]),
        update(8, "delta", [["1.5", "0"]], [["1.55", "1"]]),
        update(1, "snapshot", [["1.3", "9"]], []),
    ]
    path = tmp_path / "2024-12-01_XRPUSDT_ob500.data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("2024-12-01_XRPUSDT_ob500.data", "\n".join([*lines[:2], ""]))
    made = imported(tmp_path, path)
    assert made.files[0].format == "bybit_book"
    at = T0 * NS
    assert rows_of(tmp_path) == [
        (at + 7_000_000, 150_000_000, 160_000_000, 2 * PART, 4 * PART),
        (at + 8_000_000, 140_000_000, 155_000_000, 3 * PART, 1 * PART),
    ]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (update(9, "delta", [], []), "line 2: is update 9, the one before it is 7"),
        (update(8, "delta", [], [], "BTCUSDT"), "line 2: is of BTCUSDT"),
        (update(8, "gone", [], []), "line 2: has the type 'gone'"),
        (update(8, "delta", [["1.7", "1"]], []), "line 2: is crossed"),
        (update(8, "delta", "x", []), "line 2: has an update that cannot be read"),
    ],
)
def test_an_update_that_does_not_follow_is_refused(second: str, said: str, tmp_path: Path) -> None:
    first = update(7, "snapshot", [["1.5", "2"]], [["1.6", "4"]])
    with pytest.raises(BadInput, match=said):
        imported(tmp_path, written(tmp_path, "book.jsonl", first, second))


def frame(ms: int, stream: str, **data: object) -> str:
    return f"{(T0 * 1_000 + ms) * 10**6} " + json.dumps({"stream": stream, "data": data})


STREAM = [
    frame(0, "a@depth@100ms", e="depthUpdate", U=1, u=2, b=[["1", "2"]], a=[]),
    frame(1, "a@trade", e="trade", t=5, p="1.5", q="2", m=True),
    f"{(T0 * 1_000 + 2) * 10**6} " + json.dumps({"lastUpdateId": 2, "bids": [], "asks": []}),
    frame(3, "a@bookTicker", u=3, b="1.4", B="3", a="1.6", A="4"),
    frame(4, "a@trade", e="trade", t=7, p="1.6", q="1", m=False),
]


def test_a_recorded_stream_is_trades_or_quotes_by_the_time_of_receipt(tmp_path: Path) -> None:
    path = written(tmp_path, "usdm_20240718", *STREAM)
    made = imported(tmp_path, path, kind=DataKind.TRADES)
    assert rows_of(tmp_path) == [
        (T0 * NS + 1_000_000, 150_000_000, 2 * PART, -1, 5),
        (T0 * NS + 4_000_000, 160_000_000, 1 * PART, 1, 7),
    ]
    assert (made.gaps, made.judged.reason) == (1, "1 times of missing trade ids")


def test_the_quotes_of_a_recorded_stream_say_what_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, "usdm_20240718", *STREAM)
    made = imported(tmp_path, path, kind=DataKind.QUOTES)
    assert rows_of(tmp_path) == [
        (T0 * NS + 3_000_000, 140_000_000, 160_000_000, 3 * PART, 4 * PART)
    ]
    assert made.judged.reason.endswith("--kind trades reads the trades")


def test_a_torn_line_of_a_recorded_stream_is_refused_by_its_number(tmp_path: Path) -> None:
    for name, line, said in (
        ("a.txt", STREAM[4][5:] , "line 6: "),
        ("b.txt", STREAM[4][:-9], "line 6: has a frame that cannot be read"),
        ("c.txt", "what", "line 6: is no time and frame"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            imported(tmp_path, written(tmp_path, name, *STREAM, line), kind=DataKind.TRADES)
        assert not list((tmp_path / "data").glob("*"))


def test_the_book_of_hftbacktest_is_what_stands_behind_each_time(tmp_path: Path) -> None:
    exchange, buy, sell = 1 << 31, 1 << 29, 1 << 28
    rows = [
        (exchange | buy | 4, 0, "100.5", 3), (exchange | buy | 4, 0, "100.4", 1),
        (exchange | sell | 4, 0, "100.6", 2),
        (exchange | buy | 2, 1, "100.6", 1),
        (exchange | buy | 1, 2, "100.5", 0), (buy | 1, 3, "100.9", 7),
        (exchange | sell | 3, 4, "100.6", 0), (exchange | sell | 1, 4, "100.7", 5),
    ]  # fmt: skip
    lines = [f"{ev},{T0 * NS + at},{T0 * NS + at},{px},{qty},0,0,0" for ev, at, px, qty in rows]
    head = "ev,exch_ts,local_ts,px,qty,order_id,ival,fval"
    imported(tmp_path, written(tmp_path, "events.csv", head, *lines), kind=DataKind.QUOTES)
    ten = 10_000_000
    assert rows_of(tmp_path) == [
        (T0 * NS, 1005 * ten, 1006 * ten, 3 * PART, 2 * PART),
        (T0 * NS + 2, 1004 * ten, 1006 * ten, PART, 2 * PART),
        (T0 * NS + 4, 1004 * ten, 1007 * ten, PART, 5 * PART),
    ]


# -- the recordings themselves ---------------------------------------------------------------------


def test_a_recorded_stream_equals_a_naive_reader(tmp_path: Path, recordings: Path) -> None:
    import gzip

    path = recordings / "binance_raw" / "usdm_btcusdt_20240718.gz"
    if not path.exists():
        pytest.skip("the recording is not there")
    made = imported(tmp_path, path, kind=DataKind.TRADES)
    naive = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            stamp, _, text = line.partition(" ")
            found = json.loads(text)
            if found.get("stream", "").endswith("@trade"):
                data = found["data"]
                naive.append((int(stamp), data["t"], -1 if data["m"] else 1))
    assert [(row[0], row[4], row[3]) for row in rows_of(tmp_path)] == naive
    assert made.judged.trust is DataTrust.COMPLETE


def test_a_recording_that_repeats_itself_has_a_row_a_second(
    tmp_path: Path, recordings: Path
) -> None:
    path = recordings / "polymarket_btc15m_1hz" / "btc-updown-15m-1771634700.parquet"
    if not path.exists():
        pytest.skip("the recording is not there")
    names = {"time": "ts_ms", "bid": "best_bid_up", "ask": "best_ask_up"}
    sizes = {"bid_size": "size_bid_up", "ask_size": "size_ask_up"}
    made = imported(tmp_path, path, kind=DataKind.QUOTES, mapping=names | sizes)
    assert (made.rows, made.duplicates) == (894, 6_256)
