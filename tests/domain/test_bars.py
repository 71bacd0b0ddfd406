"""Names of bars: read and written back, refused with the names there are."""

from __future__ import annotations

import pytest

from engine.domain.bars import HELP, BarBasis, BarUnit, S, bar_spec, closes_ns
from engine.errors import BadInput


@pytest.mark.parametrize(
    "name", ["1s", "5s", "1m", "15m", "1h", "4h", "1d", "1m/mids", "ticks:500", "volume:0.5"]
)
def test_a_name_is_read_and_written_back(name: str) -> None:
    assert bar_spec(name).text == name


def test_a_day_of_hours_has_one_name() -> None:
    assert bar_spec("24h") == bar_spec("1d")
    assert bar_spec("60s").text == "1m"


def test_mids_count_half_increments() -> None:
    assert bar_spec("1m/mids").basis is BarBasis.MIDS
    assert bar_spec("1m/mids").per_increment == 2
    assert bar_spec("ticks:5").unit is BarUnit.TICKS


@pytest.mark.parametrize(
    "name",
    ["", "0s", "7s", "2d", "1w", "m", "1m/last", "ticks:0", "ticks:-1", "ticks:x", "volume:0",
     "volume:nan", "volume:1e5", "volume:5/mids", "1m/", "٣m"],
)  # fmt: skip
def test_what_is_no_bar_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        bar_spec(name)
    assert HELP in str(refused.value)


@pytest.mark.parametrize(
    ("after_ns", "count", "closes_at_ns"),
    [(0, 1, 60 * S), (59 * S, 1, 60 * S), (60 * S, 1, 120 * S), (61 * S, 20, 1_260 * S)],
)
def test_when_the_last_of_bars_to_come_closes_is_known_of_bars_of_time(
    after_ns: int, count: int, closes_at_ns: int
) -> None:
    assert closes_ns(bar_spec("1m"), count, after_ns) == closes_at_ns
    assert closes_ns(bar_spec("1m/mids"), count, after_ns) == closes_at_ns
    assert closes_ns(bar_spec("ticks:500"), count, after_ns) is None
    assert closes_ns(bar_spec("volume:1000"), count, after_ns) is None
