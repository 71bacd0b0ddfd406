"""Rates beside prices: at which mark, in which order, and what cannot go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.events import BookReplaced
from engine.domain.instruments import InstrumentId
from engine.domain.perpetual_events import FundingSettled
from engine.domain.products.funding import RateType, rate_e18
from engine.errors import BadInput
from engine.lab.formats.importing import ImportRequest, import_files
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.door import MadeRecording, RecordingUntil
from engine.lab.recordings.funding import (
    UNFUNDED,
    FundedBars,
    lacks_funding,
    read_rates,
    with_rates,
)
from engine.lab.recordings.imported import open_dataset
from engine.lab.recordings.made_bars import Stretch
from storage.datasets import read

NAME = "binance:BTC/USDT:USDT"
T0 = 1_704_067_200
H = 3_600
E8 = 10**8
S = 10**9


def imported(folder: Path, name: str, *lines: str, instrument: str = NAME) -> Path:
    path = folder / f"{name}.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    request = ImportRequest(files=(path,), instrument=instrument, name=name)
    import_files(request, folder / "data", 1, lambda *_: None)
    return folder / "data" / name


def rates(folder: Path, *rows: tuple[float, str], instrument: str = NAME) -> Path:
    lines = [f"{round((T0 + at) * 1_000)},{rate}" for at, rate in rows]
    return imported(folder, "rates", "time,rate", *lines, instrument=instrument)


def bars(folder: Path, *hours: int) -> BarRecording:
    """Return bars of an hour that open at 100 + n and close at 100.5 + n."""
    rows = [f"{T0 + H * n},{100 + n},{102 + n},{99 + n},{100 + n}.5,500" for n in hours]
    path = folder / "bars.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]), encoding="utf-8")
    return BarRecording(path, name=NAME)


def settled(recording: MadeRecording) -> list[tuple[float, float, str]]:
    """Return the second, the mark and the rate's sign of each stamp."""
    return [
        ((at - T0 * S) / S, one.mark_e8 / E8, "+" if one.rate_e18 > 0 else "-")
        for at, one in recording.events()
        if isinstance(one, FundingSettled)
    ]


def test_the_mark_of_a_stamp_is_the_open_of_its_bar_and_in_a_gap_the_last_close(
    tmp_path: Path,
) -> None:
    stamps = (-H, "0.1"), (0, "0.0001"), (H + 0.006, "-0.0002"), (3 * H, "0.0003"), (5 * H, "0.1")
    found = with_rates(bars(tmp_path, 0, 1, 4), rates(tmp_path, *stamps))
    # The last one is the end of the last bar: what is held then is not played any more.
    assert settled(found) == [(0, 100, "+"), (H + 0.006, 101, "-"), (3 * H, 101.5, "+")]
    assert found.stats.anomalies == {}


def test_a_stamp_comes_before_what_the_market_does_at_its_moment(tmp_path: Path) -> None:
    events = list(with_rates(bars(tmp_path, 0, 1), rates(tmp_path, (H, "0.1"))).events())
    at = next(n for n, (_, one) in enumerate(events) if isinstance(one, FundingSettled))
    assert isinstance(events[at + 1][1], BookReplaced)
    assert [now for now, _ in events] == sorted(now for now, _ in events)
    assert events[at][1] == FundingSettled(
        instrument=InstrumentId(NAME), stamp_ns=(T0 + H) * S, rate_e18=10**17,
        mark_e8=101 * E8, source="rates; mark: the open of its bar",
    )  # fmt: skip


def test_bars_without_a_stamp_within_stay_in_one_piece_and_tell_the_same(tmp_path: Path) -> None:
    path = rates(tmp_path, (H, "0.0001"), (2 * H + 0.001, "0.0001"))
    made = with_rates(bars(tmp_path, *range(5)), path)
    assert isinstance(made, FundedBars)
    pieces = list(made.pieces())
    lengths = [len(one) for one in pieces if isinstance(one, Stretch)]
    assert lengths == [1, 1, 2], "a stamp parts them; the bar it lies in is played"
    told = []
    for one in pieces:
        told += one.events() if isinstance(one, Stretch) else [one]
    again = with_rates(bars(tmp_path, *range(5)), path)
    assert told == list(again.events())
    until = RecordingUntil(with_rates(bars(tmp_path, *range(5)), path), (T0 + H + 1) * S)
    assert sum(isinstance(one, FundingSettled) for _, one in until.events()) == 1


def test_trades_and_quotes_are_marked_by_their_last_price(tmp_path: Path) -> None:
    path = rates(tmp_path, (0, "0.1"), (5 * H, "0.0001"), (9 * H, "-0.0001"))
    header = "id,price,qty,quote_qty,time,is_buyer_maker"
    rows = [f"{n},{100 + n},1,1,{(T0 + 4 * H * n) * 1_000},true" for n in (1, 2, 3)]
    trades = open_dataset(imported(tmp_path, "trades", header, *rows))
    assert settled(with_rates(trades, path)) == [(5 * H, 101, "+"), (9 * H, 102, "-")]
    rows = [f"{T0 + 4 * H * n},{100 + n},{101 + n},5,5" for n in (1, 2, 3)]
    quotes = open_dataset(imported(tmp_path, "quotes", "time,bid,ask,bid_size,ask_size", *rows))
    assert settled(with_rates(quotes, path)) == [(5 * H, 101.5, "+"), (9 * H, 102.5, "-")]


def test_a_second_rate_at_a_stamp_is_the_special_one(tmp_path: Path) -> None:
    found = read_rates(rates(tmp_path, (0.002, "0.0001"), (1.005, "-0.002"), (3_600, "0")))
    assert [kind for *_, kind in found.rows] == [
        RateType.REGULAR, RateType.SPECIAL, RateType.REGULAR,
    ]  # fmt: skip
    assert found.rows[1][:2] == ((T0 * 1_000 + 1_005) * 10**6, rate_e18("-0.002"))
    (tmp_path / "third").mkdir()
    path = rates(tmp_path / "third", (0, "1e-5"), (1, "1e-5"), (2, "1e-5"))
    with pytest.raises(BadInput, match="rates: more than two rates"):
        read_rates(path)


def test_rates_of_another_instrument_of_a_pair_or_no_rates_are_refused(tmp_path: Path) -> None:
    other = rates(tmp_path, (0, "0.1"), instrument="binance:ETH/USDT:USDT")
    with pytest.raises(BadInput, match="holds the rates of binance:ETH/USDT:USDT"):
        with_rates(bars(tmp_path, 0, 1), other)
    spot = BarRecording(tmp_path / "bars.csv", name="binance:BTC/USDT")
    with pytest.raises(BadInput, match="is no perpetual"):
        with_rates(spot, other)
    quotes = imported(tmp_path, "quotes", "time,bid,ask,bid_size,ask_size", f"{T0},1,2,5,5")
    with pytest.raises(BadInput, match="holds quotes, and no rates of funding"):
        with_rates(bars(tmp_path, 0, 1), quotes)
    assert lacks_funding(read(quotes)) == [UNFUNDED]
    assert lacks_funding(read(other)) == []
    pair = imported(tmp_path, "pair", "time,bid,ask,bid_size,ask_size", f"{T0},1,2,5,5",
                    instrument="binance:BTC/USDT")  # fmt: skip
    assert lacks_funding(read(pair)) == []
