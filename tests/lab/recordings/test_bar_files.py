"""Files of bars: what is read, what is refused by line, and what is made of a bar."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from engine.domain.events import (
    BarClosed,
    BookReplaced,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import Side
from engine.errors import BadInput
from engine.lab.formats.numbers import stamp_ns
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.made_bars import BarMarket

S = 1_000_000_000
T0 = 1_700_000_040
HEADER = "timestamp,open,high,low,close,volume"
ROWS = [
    f"{T0},100.5,101,99.25,100.75,1000",
    f"{T0 + 60},100.75,102,100.5,101.5,800.5",
    f"{T0 + 120},101.5,101.5,90,91,4000",
]


def written(folder: Path, *rows: str, header: str = HEADER, name: str = "BTC-USDT.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([*([header] if header else []), *rows, ""]), encoding="utf-8")
    return path


def test_a_bar_becomes_a_book_two_prints_a_book_and_itself(tmp_path: Path) -> None:
    recording = BarRecording(written(tmp_path, *ROWS), name="binance:BTC/USDT")
    told = list(recording.events())
    assert [type(event) for _, event in told] == [
        InstrumentListed,
        *[BookReplaced, TradePrinted, TradePrinted, BookReplaced, BarClosed] * 3,
        InstrumentClosed,
    ]
    assert all(a <= b for (a, _), (b, _) in pairwise(told))
    assert recording.currency == "USDT"
    assert recording.spec.text == "1m"
    instrument = recording.instrument
    bars = [event.bar for _, event in told if isinstance(event, BarClosed)]
    assert [instrument.price_text(bar.close) for bar in bars] == ["100.75", "101.5", "91"]
    assert [instrument.size_text(bar.volume) for bar in bars] == [
        "1000",
        "800.5",
        "4000",
    ]
    assert recording.stats.frames == 3


def test_the_nearer_extreme_prints_first_and_every_print_is_inferred(tmp_path: Path) -> None:
    recording = BarRecording(written(tmp_path, *ROWS))
    prints = [event for _, event in recording.events() if isinstance(event, TradePrinted)]
    sides = [(one.aggressor, recording.instrument.price_text(one.price)) for one in prints]
    assert sides == [
        (Side.BUY, "101"),
        (Side.SELL, "99.25"),
        (Side.SELL, "100.5"),
        (Side.BUY, "102"),
        (Side.BUY, "101.5"),
        (Side.SELL, "90"),
    ]
    assert {one.source for one in prints} == {SizeSource.INFERRED}
    assert [recording.instrument.size_text(one.size or 0) for one in prints[:2]] == ["100"] * 2


def test_a_book_shows_a_share_of_the_bar_before_never_of_the_running_one(tmp_path: Path) -> None:
    recording = BarRecording(written(tmp_path, *ROWS), market=BarMarket(volume_share=0.5))
    opens = [event for _, event in recording.events() if isinstance(event, BookReplaced)][::2]
    sizes = [recording.instrument.size_text(book.asks[0][1]) for book in opens]
    assert sizes == ["500", "500", "400.25"]


def test_slippage_widens_the_book_and_impact_makes_its_depth_dearer(tmp_path: Path) -> None:
    market = BarMarket(slippage_bps=10, impact_bps=40)
    recording = BarRecording(written(tmp_path, *ROWS), market=market)
    book = next(event for _, event in recording.events() if isinstance(event, BookReplaced))
    asks = [price for price, _ in book.asks]
    opened = recording.instrument.price_of("100.5")
    assert len(asks) == 5
    assert asks == sorted(asks)
    assert asks[-1] - opened == round(opened * 0.0050)
    assert opened - book.bids[-1][0] == asks[-1] - opened


def test_missing_bars_are_a_lost_feed_and_a_row_that_is_there_twice_is_read_once(
    tmp_path: Path,
) -> None:
    rows = [ROWS[0], ROWS[0], ROWS[1], f"{T0 + 600},100,100,100,100,0"]
    recording = BarRecording(written(tmp_path, *rows))
    told = list(recording.events())
    lost = [(at, type(e)) for at, e in told if isinstance(e, FeedLost | FeedRestored)]
    assert lost == [((T0 + 120) * S, FeedLost), ((T0 + 600) * S, FeedRestored)]
    assert (recording.stats.gaps, recording.stats.gap_ns) == (1, 480 * S)
    assert recording.stats.duplicates == 1


def test_klines_of_binance_have_no_header_and_may_be_packed(tmp_path: Path) -> None:
    rows = [
        f"{T0 * 1_000},1.0,2.0,0.5,1.5,10,{T0 * 1_000 + 59_999},15,7,5,8,0",
        f"{(T0 + 60) * 1_000},1.5,1.5,1.5,1.5,0,{T0 * 1_000 + 119_999},0,0,0,0,0",
    ]
    plain = written(tmp_path, *rows, header="")
    packed = tmp_path / "klines.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    archive = tmp_path / "BTCUSDT-1m-2025-01.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(plain, "BTCUSDT-1m-2025-01.csv")
    found = [
        [event.bar for _, event in BarRecording(path).events() if isinstance(event, BarClosed)]
        for path in (plain, packed, archive)
    ]
    assert found[0] == found[1] == found[2]
    assert [bar.start_ns for bar in found[0]] == [T0 * S, (T0 + 60) * S]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (str(T0), T0),
        (f"{T0}000", T0),
        (f"{T0}000000", T0),
        (f"{T0}000000000", T0),
        (f"{T0}000.0", T0),
        ("2023-11-14T22:14:00Z", T0),
        ("2023-11-14 22:14:00", T0),
        ("2023-11-14T23:14:00+01:00", T0),
    ],
)
def test_a_time_is_read_in_whatever_unit_it_stands(text: str, seconds: int) -> None:
    assert stamp_ns(text) == seconds * S


@pytest.mark.parametrize("text", ["", "0", "-5", "1", "99999999999999999999", "yesterday", "nan"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert stamp_ns(text) is None


Bad = tuple[str, Callable[[Path], Path], str]

BAD: list[Bad] = [
    ("wrong columns", lambda f: written(f, *ROWS, header="timestamp,open,high,low,last,volume"),
     "line 1: has no column for close"),
    ("no time", lambda f: written(f, *ROWS, header="when,open,high,low,close,volume"),
     "line 1: has no column for a time"),
    ("torn", lambda f: written(f, *ROWS[:2], f"{T0 + 120},101.5,101"), "line 4: has 3 columns"),
    ("shuffled", lambda f: written(f, ROWS[0], ROWS[2], ROWS[1]), "line 4: is not later"),
    ("another bar of the same time", lambda f: written(f, ROWS[0], f"{T0},1,1,1,1,1"),
     "line 3: is not later"),
    ("high below low", lambda f: written(f, ROWS[0], f"{T0 + 60},100,99,101,100,5"),
     "line 3: is no bar"),
    ("price of zero", lambda f: written(f, ROWS[0], f"{T0 + 60},0,0,0,0,5"), "line 3: is no bar"),
    ("not a number", lambda f: written(f, ROWS[0], f"{T0 + 60},a,b,c,d,e"), "line 3: is no bar"),
    ("NaN", lambda f: written(f, ROWS[0], f"{T0 + 60},nan,2,1,1,1"), "line 3: has a number that"),
    ("no time in a row", lambda f: written(f, ROWS[0], "soon,1,1,1,1,1"), "line 3: has the time"),
    ("too fine", lambda f: written(f, ROWS[0], f"{T0 + 60},0.123456789,1,0.1,1,1"),
     "line 3: a price is finer"),
    ("one bar", lambda f: written(f, ROWS[0]), "holds 1 bars"),
    ("odd step", lambda f: written(f, ROWS[0], f"{T0 + 7},1,1,1,1,1"), "7 s apart"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_a_bad_file_is_refused_with_its_line(
    make: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(BadInput) as refused:
        list(BarRecording(path).events())
    assert said in str(refused.value)
    assert str(refused.value).startswith(path.name)


def test_a_damaged_archive_is_refused_in_a_sentence(tmp_path: Path) -> None:
    for name in ("x.zip", "x.csv.gz"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nonsense")
        with pytest.raises(BadInput, match="cannot be read"):
            BarRecording(tmp_path / name)


def test_holding_is_worth_the_closes_between_two_times(tmp_path: Path) -> None:
    recording = BarRecording(written(tmp_path, *ROWS))
    assert recording.held(None, None) == [100.5, 100.75, 101.5, 91.0]
    start, until = (T0 + 1) * S, (T0 + 179) * S
    assert recording.held(start, None) == [100.75, 101.5, 91.0]
    assert recording.held(start, until) == [100.75, 101.5]
    assert recording.held(None, (T0 + 59) * S) == []


@pytest.mark.parametrize("name", ["binance:BTC/USD:BTC", "deribit:BTC/USD:BTC-261225"])
def test_a_contract_that_settles_in_its_base_is_refused_and_never_played_as_linear(
    name: str, tmp_path: Path
) -> None:
    """1 contract of 10 USD at 4,522.14 is worth 0.0022 ETH, not 4,522 USD."""
    with pytest.raises(BadInput, match=r"settles in BTC \(an inverse or quanto contract\)"):
        BarRecording(written(tmp_path, *ROWS), name=name)


def test_a_future_that_settles_in_its_quote_is_played(tmp_path: Path) -> None:
    recording = BarRecording(written(tmp_path, *ROWS), name="binance:BTC/USDT:USDT-261225")
    assert recording.currency == "USDT"
