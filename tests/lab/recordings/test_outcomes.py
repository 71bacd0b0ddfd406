from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.events import Event, InstrumentClosed, InstrumentListed, InstrumentResolved
from engine.domain.instruments import Instrument, InstrumentId, Kind
from engine.errors import BadInput
from engine.lab.recordings.door import OutcomeRecording, RecordingStats, read_outcomes

S = 1_000_000_000
MARKET = Instrument(
    id=InstrumentId("polymarket:0x1"), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
    size_decimals=6, tick=100, lot=1, series="btc-updown-5m", starts_ns=300 * S, closes_ns=600 * S,
)  # fmt: skip


class Given:
    def __init__(self, *events: Event) -> None:
        self.stats = RecordingStats()
        self._given = events

    def events(self) -> Iterator[tuple[int, Event]]:
        yield from enumerate(self._given)


LISTED, CLOSED = InstrumentListed(instrument=MARKET), InstrumentClosed(instrument=MARKET.id)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "outcomes.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["polymarket:0x1", "0x1", "btc-updown-5m-300"])
def test_a_market_pays_what_the_file_says_when_it_closes(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, "market,paid", f"{name},1", "other,0.5")
    recording = OutcomeRecording(Given(LISTED, CLOSED), path)
    last = list(recording.events())[-1]
    assert last == (
        1,
        InstrumentResolved(
            instrument=MARKET.id, payout_yes_micro=1_000_000, source="outcomes file outcomes.csv"
        ),
    )
    assert recording.labelled == 1


def test_a_market_the_file_does_not_name_stays_unresolved(tmp_path: Path) -> None:
    path = written(tmp_path, "market,paid", "0x2,1")
    events = [event for _, event in OutcomeRecording(Given(LISTED, CLOSED), path).events()]
    assert events == [LISTED, CLOSED]


def test_what_the_recording_says_itself_stands(tmp_path: Path) -> None:
    own = InstrumentResolved(instrument=MARKET.id, payout_yes_micro=0, source="venue")
    path = written(tmp_path, "market,paid", "0x1,1")
    events = [event for _, event in OutcomeRecording(Given(LISTED, own, CLOSED), path).events()]
    assert events == [LISTED, own, CLOSED]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["slug,won", "a,1"], "has the columns market and paid"),
        (["market,paid", "a,0.7"], "line 2: 'a' paid '0.7' is no outcome"),
        (["market,paid", "a,up"], "line 2: 'a' paid 'up' is no outcome"),
        (["market,paid", "a,1", "a,0"], "line 3: 'a' paid '0' is no outcome, or another one"),
    ],
)
def test_a_file_that_is_no_list_of_outcomes_is_refused(
    tmp_path: Path, lines: list[str], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_outcomes(written(tmp_path, *lines))


def test_a_missing_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.csv cannot be read"):
        read_outcomes(tmp_path / "none.csv")


def test_a_byte_order_mark_of_a_spreadsheet_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbfmarket,paid\r\nbtc-updown-5m-1776153600,1\r\n")
    assert read_outcomes(path) == {"btc-updown-5m-1776153600": 1_000_000}


@pytest.mark.parametrize("mangled", ["7.132104567925221E+76", "7,13E+76", "7e76"])
def test_an_id_that_a_spreadsheet_rounded_is_named_with_its_line(
    tmp_path: Path, mangled: str
) -> None:
    with pytest.raises(BadInput, match=r"line 3: .* spreadsheet rounded"):
        read_outcomes(written(tmp_path, "market,paid", "0x1,0", f'"{mangled}",1'))


def test_lines_that_match_no_market_of_the_recording_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "market,paid", "0x1,1", *(f"other-{n},0" for n in range(7)))
    recording = OutcomeRecording(Given(LISTED, CLOSED), path)
    list(recording.events())
    ((text, count),) = recording.stats.anomalies.items()
    assert count == 7
    assert "other-0, other-1" in text
    assert text.endswith("and 2 more")
