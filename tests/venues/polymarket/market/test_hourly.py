from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.venues.polymarket.market.hourly import hourly_series, hourly_slug
from engine.venues.polymarket.market.metadata import rolling

RECORDED = "bitcoin-up-or-down-november-25-6pm-et"


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_the_recorded_slug_is_that_of_its_hour() -> None:
    assert hourly_slug("btc-updown-1h", seconds("2025-11-25T23:00:00")) == RECORDED
    assert hourly_series(RECORDED) == "btc-updown-1h"
    assert rolling(RECORDED) == ("btc-updown-1h", None)


@pytest.mark.parametrize(
    ("at", "slug"),
    [
        ("2026-07-04T16:00:00", "ethereum-up-or-down-july-4-12pm-et"),
        ("2026-07-04T04:00:00", "ethereum-up-or-down-july-4-12am-et"),
        ("2026-12-31T05:00:00", "ethereum-up-or-down-december-31-12am-et"),
    ],
)
def test_an_hour_is_told_by_new_yorks_clock(at: str, slug: str) -> None:
    assert hourly_slug("eth-updown-1h", seconds(at)) == slug


def test_what_is_no_hourly_series_has_no_such_slug() -> None:
    assert hourly_slug("btc-updown-4h", 0) == ""
    assert hourly_slug("doge-updown-1h", 0) == ""
    assert hourly_series("doge-up-or-down-november-25-6pm-et") == ""
    assert hourly_series("bitcoin-up-or-down-on-november-25") == ""
