"""Imports: what is read and how exactly, what is refused by line, what goes on after a break."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.imports import FILES, rows
from engine.domain.events import BookReplaced, FeedLost, TradePrinted
from engine.domain.instruments import Side
from engine.errors import BadInput
from engine.lab.formats import door, importing
from engine.lab.formats.door import CellReader
from engine.lab.formats.importing import ImportRequest, formats, import_files, preview
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.imported import open_dataset
from engine.lab.recordings.made_bars import BarMarket
from storage import datasets
from storage.datasets import Checked, DataKind, Dataset, DataTrust, columns, find, unfinished

QUOTES, RATES = "time,bid,ask,bid_size,ask_size", "time,rate"
DEPTH = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
T0 = 1_704_067_200
MARKET = "binance:BTC/USDT"


def quiet(done: int, total: int, note: str) -> None:
    del done, total, note


def written(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def kline(minute: int, price: str = "1.5") -> str:
    at = (T0 + 60 * minute) * 1_000
    return f"{at},{price},2,0.5,1.5,10,{at + 59_999},15,7,5,8,0"


def trade(number: int, *, at: int | None = None, price: str = "100.5") -> str:
    stamp = T0 * 1_000 + (number * 250 if at is None else at)
    return f"{number},{price},0.25,25.1,{stamp},{number % 2 == 0},True"


def level(
    update: int, side: str, price: str, sort: str = "snap", first: int = 0, before: int = -1,
    size: str = "5",
) -> str:  # fmt: skip
    """Return a line of Binance's order book; its time is its update's."""
    head = f"BTCUSDT,{T0 * 1_000 + update},{first or update},{update}"
    return f"{head},{side},{sort},{price},{size},{before}"


def imported(
    folder: Path, *files: Path, name: str = "x", mapping: Mapping[str, str] | None = None,
    kind: DataKind | None = None, tell: Callable[[int, int, str], None] = quiet,
) -> Dataset:  # fmt: skip
    request = ImportRequest(
        files=files, instrument=MARKET, name=name, mapping=mapping or {}, kind=kind
    )
    return import_files(request, folder / "data", 1, tell)


def rows_of(folder: Path, name: str = "x") -> list[tuple[int, ...]]:
    return [row for block in columns(folder / "data" / name) for row in zip(*block, strict=True)]


def parts(text: str) -> int:
    return int(Decimal(text) * 10**8)


# -- what is read ----------------------------------------------------------------------------------


def test_binance_zips_are_read_with_their_checksums(tmp_path: Path) -> None:
    plain = written(tmp_path, "BTCUSDT-trades-2024-01-01.csv", *map(trade, range(1, 5)))
    path = plain.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(plain, plain.name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    written(tmp_path, f"{path.name}.CHECKSUM", f"{digest}  {path.name}")
    made = imported(tmp_path, path)
    assert [(f.format, f.checksum) for f in made.files] == [("binance_trades", Checked.VERIFIED)]
    assert made.judged.trust is DataTrust.COMPLETE
    assert rows_of(tmp_path)[0] == (
        (T0 * 1_000 + 250) * 10**6, parts("100.5"), parts("0.25"), 1, 1,
    )  # fmt: skip
    written(tmp_path, f"{path.name}.CHECKSUM", f"{'0' * 64}  {path.name}")
    with pytest.raises(BadInput, match=r"its SHA-256 is .* fetch it again"):
        imported(tmp_path, path, name="y")
    assert not unfinished(tmp_path / "data")


def test_headers_of_futures_and_microseconds_of_2025_are_read(tmp_path: Path) -> None:
    header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    path = written(tmp_path, "agg.csv", header, f"7,1.5,2,1,1,{T0}000000,true")
    imported(tmp_path, path)
    assert rows_of(tmp_path) == [(T0 * 10**9, parts("1.5"), parts("2"), -1, 7)]


def test_a_missing_trade_and_a_missing_bar_are_gaps(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", trade(1), trade(2), trade(5), trade(6))
    made = imported(tmp_path, path)
    assert (made.gaps, made.judged.trust) == (1, DataTrust.GAPS)
    lost = [at for at, e in open_dataset(tmp_path / "data/x").events() if isinstance(e, FeedLost)]
    assert lost == [(T0 * 1_000 + 5 * 250) * 10**6]
    first = written(tmp_path, "k1.csv", kline(0), kline(1), kline(4))
    second = written(tmp_path, "k2.csv", kline(5), kline(9))
    bars = imported(tmp_path, first, second, name="bars")
    at = [((T0 + 60 * a) * 10**9, (T0 + 60 * b) * 10**9) for a, b in ((2, 4), (6, 9))]
    assert (bars.gaps, bars.gaps_kept) == (2, tuple(at))


def test_gaps_behind_those_that_are_kept_one_by_one_are_played_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = (1, 2, 5, 6, 9, 10, 14, 15, 19)
    path = written(tmp_path, "t.csv", *map(trade, ids))
    imported(tmp_path, path, name="all")
    monkeypatch.setattr(datasets, "GAPS_KEPT", 2)
    made = imported(tmp_path, path)
    assert (made.gaps, len(made.gaps_kept)) == (4, 2)
    few, every = (open_dataset(tmp_path / "data" / name) for name in ("x", "all"))
    assert list(few.events()) == list(every.events())
    assert (few.stats.gaps, few.stats.gap_ns) == (4, every.stats.gap_ns)


def test_rows_without_a_rising_number_have_no_gap_behind_those_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "GAPS_KEPT", 1)
    numbered = written(tmp_path, "t.csv", trade(1), trade(3), trade(5))
    other = written(
        tmp_path, "u.csv", "id,time,price,size", f"90,{T0 + 60},1,1", f"97,{T0 + 61},1,1"
    )
    made = imported(tmp_path, numbered, other)
    assert made.gaps == 2
    lost = [e for _, e in open_dataset(tmp_path / "data/x").events() if isinstance(e, FeedLost)]
    assert len(lost) == 1


def test_holding_through_trades_is_worth_the_first_and_the_last_of_each_minute(
    tmp_path: Path,
) -> None:
    prices = {0: "1.5", 1: "1.6", 59: "1.4", 60: "2", 200: "3"}
    rows = (f"{T0 + at},{price},1" for at, price in prices.items())
    imported(tmp_path, written(tmp_path, "t.csv", "time,price,size", *rows))
    held = open_dataset(tmp_path / "data/x").held
    assert held(None, None) == [1.5, 1.4, 2.0, 3.0]
    assert held((T0 + 1) * 10**9, (T0 + 60) * 10**9) == [1.6, 1.4]
    assert held((T0 + 201) * 10**9, None) == []


def test_columns_are_named_by_hand_by_name_or_by_number(tmp_path: Path) -> None:
    path = written(tmp_path, "odd.csv", "Px;x,When,Lots", "1.25,2024-01-01T00:00:00Z,3")
    mapping = {"price": "1", "time": "when", "size": "Lots"}
    made = imported(tmp_path, path, mapping=mapping, kind=DataKind.TRADES)
    assert rows_of(tmp_path) == [(T0 * 10**9, parts("1.25"), parts("3"), 0, 0)]
    assert made.judged.trust is DataTrust.UNKNOWN
    with pytest.raises(BadInput, match="has no column 'bid' for price; it has px;x, when, lots"):
        imported(tmp_path, path, name="y", mapping={**mapping, "price": "bid"}, kind=made.kind)
    with pytest.raises(BadInput, match="names no column for size"):
        imported(tmp_path, path, name="y", mapping={"price": "1", "time": "2"}, kind=made.kind)


def test_a_price_history_is_kept_and_never_played(tmp_path: Path) -> None:
    body = {"history": [{"t": T0, "p": 0.515}, {"t": T0 + 60, "p": 0.52}]}
    path = written(tmp_path, "history.json", json.dumps(body))
    assert imported(tmp_path, path).kind is DataKind.PRICES
    assert rows_of(tmp_path) == [
        (T0 * 10**9, parts("0.515")),
        ((T0 + 60) * 10**9, parts("0.52")),
    ]
    with pytest.raises(BadInput, match="prices without sizes"):
        open_dataset(tmp_path / "data/x")


def test_a_preview_shows_columns_and_the_row_that_would_be_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "time,price,size", f"{T0},1.5,2", f"{T0 + 1},none,2")
    found = preview(path, ImportRequest(files=(path,), instrument=MARKET))
    assert (found.format, found.kind) == ("plain_trades", DataKind.TRADES)
    assert found.columns == {"time": "time", "price": "price", "size": "size"}
    assert found.rows == [(T0 * 10**9, parts("1.5"), parts("2"), 0, 0)]
    assert found.refused.startswith("t.csv, line 3: price:")


# -- what is refused: one sentence with file and line, and nothing half stored ---------------------

BAD = [
    ("torn", ["time,price,size", f"{T0},1,1", f"{T0 + 1},1"], "line 3: has 2 columns, 3"),
    ("shuffled", ["time,price,size", f"{T0 + 1},1,1", f"{T0},1,1"], "line 3: is not later"),
    ("wrong columns", ["time,price,lots", f"{T0},1,1"], "line 1: has no column for size"),
    ("a book", ["time,side,update_type,price,qty", f"{T0},b,snap,1,1"], "line 1: has no column"),
    ("no time", ["time,price,size", "soon,1,1"], "line 2: has the time 'soon'"),
    ("no number", ["time,price,size", f"{T0},x,1"], "line 2: price: 'x' is no number"),
    ("no price", ["time,price,size", f"{T0},0,1"], "line 2: has the price 0"),
    ("a side", ["time,price,size,side", f"{T0},1,1,up"], "line 2: has the side 'up'"),
    ("ids back", [trade(2), trade(1, at=600)], "line 2: has the id 1, not above 2"),
    ("bars back", [kline(1), kline(0)], "line 2: is not later than the bar"),
    ("another bar", [kline(1), kline(1, "1.6")], "line 2: is not later than the bar"),
    ("odd step", ["time,open,high,low,close,volume", f"{T0},1,1,1,1,1", f"{T0 + 7},1,1,1,1,1"],
     "its bars are 7 s apart"),
    ("nothing", ["time,price,size"], "holds no row"),
    ("quotes torn", [QUOTES, f"{T0},1,2,5,5", f"{T0 + 1},1,2"], "line 3: has 3 columns, 5"),
    ("quotes shuffled", [QUOTES, f"{T0 + 1},1,2,5,5", f"{T0},1,2,5,5"], "line 3: is not later"),
    ("quotes without a size", ["time,bid,ask", f"{T0},1,2"], "line 1: has no column for bid_size"),
    ("quotes crossed", [QUOTES, f"{T0},2,2,5,5"], "line 2: is crossed: the bid 2 is not below"),
    ("a quote below zero", [QUOTES, f"{T0},-1,2,5,5"], "line 2: has the bid -1"),
    ("depth torn", [DEPTH, level(9, "b", "1"), level(9, "a", "2")[:-9]], "line 3: has "),
    ("depth shuffled", [DEPTH, level(9, "b", "1"), level(7, "b", "1", "snap")],
     "line 3: is not later"),
    ("depth twice", [DEPTH, level(9, "b", "1"), level(12, "b", "1", "set", 9, 9),
     level(15, "b", "1", "set", 13, 12), level(12, "b", "1", "set", 9, 9)],
     "line 5: follows update 9, the one before it is 15"),
    ("depth without a side", [DEPTH.replace("side", "way"), level(9, "b", "1")],
     "line 1: has no column"),
    ("depth without a snapshot", [DEPTH, level(9, "b", "1", "set")], "line 2: changes a book"),
    ("depth with a hole", [DEPTH, level(9, "b", "1"), level(12, "b", "1", "set", 11, 10)],
     "line 3: begins at update 11, the snapshot ends at 9"),
    ("depth crossed", [DEPTH, level(9, "b", "2"), level(9, "a", "2")], "line 3: is crossed"),
    ("depth of no side", [DEPTH, level(9, "c", "2")], "line 2: has the side 'c': a or b"),
    ("rates torn", [RATES, f"{T0},0.1", f"{T0 + 1}"], "line 3: has 1 columns, 2"),
    ("rates shuffled", [RATES, f"{T0 + 1},0.1", f"{T0},0.1"], "line 3: is not later than the rate"),
    ("another rate", [RATES, f"{T0},0.1", f"{T0},0.2"], "line 3: is not later than the rate"),
    ("no rate", [RATES, f"{T0},none"], "line 2: rate: 'none' is no number"),
    ("rates in percent", [RATES, f"{T0},12.5"], "line 2: has the rate 12.5, which is none"),
    ("rates without a time", ["when,rate", "1,0.1"], "line 1: has no column for time"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "said"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_a_bad_file_is_refused_and_leaves_nothing(
    lines: list[str], said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "bad.csv", *lines)
    with pytest.raises(BadInput) as refused:
        imported(tmp_path, path)
    assert said in str(refused.value)
    assert "bad.csv" in str(refused.value)
    assert not list((tmp_path / "data").glob("*"))


def test_a_repeated_row_is_read_once_and_a_repeated_file_is_refused(tmp_path: Path) -> None:
    bars = written(tmp_path, "k.csv", kline(0), kline(0), kline(1))
    assert imported(tmp_path, bars).duplicates == 1
    trades = written(tmp_path, "t.csv", trade(1), trade(1), trade(2))
    made = imported(tmp_path, trades, name="t")
    assert (made.rows, made.duplicates) == (2, 1)
    copy = tmp_path / "copy.csv"
    copy.write_bytes(bars.read_bytes())
    with pytest.raises(BadInput, match=r"copy.csv and k.csv are the same file"):
        imported(tmp_path, bars, copy, name="y")
    with pytest.raises(BadInput, match="there is 'x' already"):
        imported(tmp_path, bars)


@pytest.mark.parametrize("name", ["a.zip", "a.csv.gz", "a.parquet", "a.npz", "a.json", "a.exe"])
def test_a_damaged_or_foreign_file_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(BadInput, match=name):
        imported(tmp_path, path)


def test_a_torn_gzip_says_the_line_it_ends_at(tmp_path: Path) -> None:
    text = "\n".join(kline(n) for n in range(500)).encode()
    path = tmp_path / "k.csv.gz"
    path.write_bytes(gzip.compress(text)[:-40])
    with pytest.raises(BadInput, match=r"k.csv.gz, line \d+: (cannot be read on|has \d+ columns)"):
        imported(tmp_path, path)
    assert not list((tmp_path / "data").glob("*"))


def test_a_repeated_quote_or_rate_is_read_once(tmp_path: Path) -> None:
    quotes = written(tmp_path, "q.csv", QUOTES, *[f"{T0},1,2,5,5"] * 2, f"{T0},1,2,4,5")
    made = imported(tmp_path, quotes, name="q")
    assert (made.kind, made.rows, made.duplicates) == (DataKind.QUOTES, 2, 1)
    rates = written(tmp_path, "f.csv", RATES, *[f"{T0},0.0001"] * 2)
    found = imported(tmp_path, rates, name="f")
    assert (found.kind, found.rows, found.duplicates) == (DataKind.FUNDING, 1, 1)


def test_rates_are_kept_below_zero_and_finer_than_a_price_and_never_played(
    tmp_path: Path,
) -> None:
    lines = "BTC,2024-01-01 00:00:00,-0.0000058615", "BTC,2024-01-01 08:00:00,0.000658153991747989"
    path = written(tmp_path, "f.csv", "Symbol,Date,Funding Rate", *lines)
    imported(tmp_path, path)
    first, second = (T0 * 10**9, -5_861_500_000_000), ((T0 + 28_800) * 10**9, 658_153_991_747_989)
    assert rows_of(tmp_path) == [first, second]
    target = tmp_path / "out.csv"
    datasets.export_csv(tmp_path / "data/x", target)
    assert target.read_text("utf-8").splitlines()[1:] == [
        f"{T0 * 10**9},-0.0000058615",
        f"{(T0 + 28_800) * 10**9},0.000658153991747989",
    ]
    with pytest.raises(BadInput, match="rates of funding"):
        open_dataset(tmp_path / "data/x")


def test_quotes_play_as_the_books_they_are(tmp_path: Path) -> None:
    rows = f"{T0},1.5,1.6,10,20", f"{T0 + 1},1.5,,10,", f"{T0 + 70},1.7,1.9,1,2"
    imported(tmp_path, written(tmp_path, "q.csv", QUOTES, *rows))
    found = open_dataset(tmp_path / "data/x")
    books = [(e.bids, e.asks) for _, e in found.events() if isinstance(e, BookReplaced)]
    assert books == [
        (((15, 1_000_000),), ((16, 2_000_000),)),
        (((15, 1_000_000),), ()),
        (((17, 100_000),), ((19, 200_000),)),
    ]
    assert found.held(None, None) == pytest.approx([1.55, 1.55, 1.8])


ODD = ("", "x", "0", "-1", "1e-3", "1.123456789", " 2.5 ", "99999999999", "+1", "007")
"""Cells as files have them that are not plain."""


@pytest.mark.long
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(["trades", "bars", "binance"]),
    count=st.integers(1, 40),
    spoiled=st.lists(
        st.tuples(st.integers(0, 39), st.integers(0, 5), st.sampled_from(ODD)), max_size=1
    ),
    moved=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=1),
    repeated=st.lists(st.integers(0, 39), max_size=1),
    skipped=st.booleans(),
)
def test_a_file_read_in_blocks_is_the_one_read_cell_by_cell(
    kind: str,
    count: int,
    spoiled: list[tuple[int, int, str]],
    moved: list[tuple[int, int]],
    repeated: list[int],
    *,
    skipped: bool,
    tmp_path: Path,
) -> None:
    at = [n + (n > 20 and skipped) for n in range(count)]
    lines = {
        "trades": [f"{T0 + n},1.{n:02},{n}.5,{'buy' if n % 2 else 'Sell'}" for n in at],
        "bars": [kline(n) for n in at],
        "binance": [trade(n) for n in at],
    }[kind]
    rows = [line.split(",") for line in lines]
    for place, cell, text in spoiled:
        row = rows[place % count]
        row[cell % len(row)] = text
    for a, b in moved:
        rows.insert(a % count, rows.pop(b % count))
    for place in repeated:
        rows.insert(place % count, rows[place % count])
    header = ["time,price,size,side"] if kind == "trades" else []
    path = written(tmp_path, "f.csv", *header, *(",".join(row) for row in rows))

    def outcome(name: str) -> object:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        try:
            made = imported(tmp_path, path, name=name)
        except BadInput as error:
            return str(error)
        kept = [(f.written, f.duplicates, f.gaps, f.gap_ns, f.gaps_kept) for f in made.files]
        return rows_of(tmp_path, name), kept

    quick = outcome("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "_in_blocks", lambda *_: False)
        assert outcome("x") == quick


def test_plain_files_are_read_in_blocks_with_the_seams_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BLOCK_BYTES", 200)
    monkeypatch.setattr(CellReader, "rows", lambda *_: pytest.fail("read cell by cell"))
    first = written(tmp_path, "a.csv", *map(trade, [*range(1, 20), *range(25, 40)]))
    zipped = tmp_path / "b.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("b.csv", "\n".join(map(trade, range(45, 60))))
    made = imported(tmp_path, first, zipped)
    assert (made.rows, made.gaps) == (19 + 15 + 15, 2)
    assert [row[4] for row in rows_of(tmp_path)] == [
        *range(1, 20), *range(25, 40), *range(45, 60),
    ]  # fmt: skip


# -- what was interrupted --------------------------------------------------------------------------


def test_an_interrupted_import_goes_on_behind_its_finished_files(tmp_path: Path) -> None:
    files = [written(tmp_path, f"k{n}.csv", kline(2 * n), kline(2 * n + 1)) for n in range(3)]
    told: list[str] = []

    def stop(done: int, total: int, note: str) -> None:
        told.append(note)
        if note == "k1.csv is read":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(tmp_path, *files, tell=stop)
    assert unfinished(tmp_path / "data") == ["x"]
    told.clear()
    made = imported(tmp_path, *files, tell=lambda *far: told.append(far[2]))
    assert {note.partition(".")[0] for note in told} == {"k2"}
    assert made.files == imported(tmp_path, *files, name="whole").files
    assert not unfinished(tmp_path / "data")


# -- the exchange's own files, recomputed ----------------------------------------------------------


@pytest.mark.long
def test_bars_of_an_exchange_are_those_of_a_naive_reader(tmp_path: Path, recordings: Path) -> None:
    path = recordings / "crypto_klines" / "binance_perp_WLD-USDT_3m.csv.gz"
    made = imported(tmp_path, path)
    with gzip.open(path, "rt") as text:
        naive = [
            (int(Decimal(r["timestamp"])) * 10**6,
             *(parts(r[n]) for n in ("open", "high", "low", "close", "volume")))
            for r in csv.DictReader(text)
        ]  # fmt: skip
    assert rows_of(tmp_path) == naive
    assert (made.rows, made.gaps, made.step_ns) == (43_200, 0, 180 * 10**9)
    of_file = BarRecording(path, name=MARKET)
    of_set = open_dataset(tmp_path / "data/x")
    assert all(a == b for a, b in zip(of_file.events(), of_set.events(), strict=True))


def test_trades_of_an_exchange_are_those_of_a_naive_reader(
    tmp_path: Path, recordings: Path
) -> None:
    path = recordings / "crypto_klines" / "freqtrade_binance_XRP_ETH-trades.json.gz"
    imported(tmp_path, path)
    naive = [
        (at * 10**6, parts(str(price)), parts(str(size)), 1 if side == "buy" else -1, int(number))
        for at, number, _, side, price, size, _ in json.loads(gzip.decompress(path.read_bytes()))
    ]
    assert rows_of(tmp_path) == naive


# -- trades as a recording -------------------------------------------------------------------------


def test_a_trade_prints_as_it_was_and_the_book_behind_it_shows_what_was_seen(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "t.csv", trade(1), trade(2, price="101"))
    imported(tmp_path, path)
    market = BarMarket(slippage_bps=10, volume_share=0.5)
    told = list(open_dataset(tmp_path / "data/x", market=market).events())
    assert all(a <= b for (a, _), (b, _) in pairwise(told))
    prints = [e for _, e in told if isinstance(e, TradePrinted)]
    assert [(p.aggressor, p.price, p.size) for p in prints] == [
        (Side.BUY, 1005, 25_000), (Side.SELL, 1010, 25_000),
    ]  # fmt: skip
    books = [e for _, e in told if isinstance(e, BookReplaced)]
    assert [(b.bids, b.asks) for b in books] == [
        (((1004, 12_500),), ((1006, 12_500),)), (((1009, 25_000),), ((1011, 25_000),)),
    ]  # fmt: skip


def test_the_bench_of_imports_has_a_row_for_each_kind_of_file() -> None:
    found = rows(60)
    assert len(found) == len(FILES)
    assert all(float(mine.replace(",", "")) > 0 for _, mine, *_ in found)


def test_every_format_has_an_example_of_its_own() -> None:
    assert len({one.example for one in formats().values()}) == len(formats())


def test_a_data_set_is_found_by_its_name_alone(tmp_path: Path) -> None:
    imported(tmp_path, written(tmp_path, "k.csv", kline(0), kline(1)))
    assert find(tmp_path / "data", "x").instrument == MARKET
    with pytest.raises(BadInput, match=r"there is no data set '\.\./x'; there are: x"):
        find(tmp_path / "data", "../x")


def test_an_order_book_becomes_its_best_bid_and_ask_after_each_update(tmp_path: Path) -> None:
    lines = [
        *(level(9, side, price) for side, price in (("b", "1.1"), ("b", "1.2"), ("a", "1.4"))),
        level(12, "b", "1.2", "set", 8, 4, size="0"),
        level(12, "a", "1.3", "set", 8, 4, size="2"),
        level(15, "a", "1.3", "set", 13, 12, size="0"),
        level(15, "a", "1.4", "set", 13, 12, size="0.000"),
    ]
    made = imported(tmp_path, written(tmp_path, "depth.csv", DEPTH, *lines))
    assert (made.files[0].format, made.kind) == ("binance_depth", DataKind.QUOTES)
    assert made.judged.reason.endswith("levels behind the best bid and ask are left out")
    at, size = T0 * 10**9, parts("5")
    assert rows_of(tmp_path) == [
        (at + 9 * 10**6, parts("1.2"), parts("1.4"), size, size),
        (at + 12 * 10**6, parts("1.1"), parts("1.3"), size, parts("2")),
        (at + 15 * 10**6, parts("1.1"), 0, size, 0),
    ]


def test_a_change_that_a_snapshot_holds_already_is_passed_over(tmp_path: Path) -> None:
    late = level(8, "b", "1.3", "set", 5, 4).replace(f"{T0 * 1_000 + 8}", f"{T0 * 1_000 + 9}")
    lines = [level(9, "b", "1.1"), late, level(12, "b", "1.2", "set", 8, 4)]
    imported(tmp_path, written(tmp_path, "depth.csv", DEPTH, *lines))
    assert [row[1] for row in rows_of(tmp_path)] == [parts("1.1"), parts("1.2")]


def test_the_trades_of_hftbacktest_are_read_of_its_array(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    fields = [("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"),
              ("qty", "<f8"), ("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")]  # fmt: skip
    exchange, local, buy, sell = 1 << 31, 1 << 30, 1 << 29, 1 << 28
    t0 = T0 * 10**9
    rows = [
        (exchange | local | buy | 1, t0, t0 + 5, 100.5, 3.0, 0, 0, 0.0),
        (exchange | local | buy | 2, t0 + 10, t0 + 15, 100.5, 0.25, 0, 0, 0.0),
        (local | sell | 2, t0 + 5, t0 + 20, 99.0, 1.0, 0, 0, 0.0),
        (exchange | sell | 2, t0 + 20, t0 + 25, 100.4, 0.5, 0, 0, 0.0),
    ]
    path = tmp_path / "btcusdt_20240101.npz"
    numpy.savez_compressed(path, data=numpy.array(rows, fields))
    made = imported(tmp_path, path)
    assert made.judged.reason.endswith("changes of the book are left out")
    assert rows_of(tmp_path) == [
        (t0 + 10, parts("100.5"), parts("0.25"), 1, 0),
        (t0 + 20, parts("100.4"), parts("0.5"), -1, 0),
    ]
