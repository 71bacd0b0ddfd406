from __future__ import annotations

from typing import Any

import pytest

from engine.domain.events import BookMarked
from engine.domain.instruments import InstrumentId, Leg
from engine.risk.marks import risk_price

NOW = 10**18
MS = 1_000_000


def price(instrument, leg=Leg.YES, age_ms_max=600_000, **changes):
    fields: dict[str, Any] = {
        "instrument": InstrumentId("venue:m1"),
        "best_bid": 4_100,
        "best_ask": 4_500,
        "mid2": 8_601,
        "two_sided_ns": NOW - 1_000 * MS,
        "proof_ns": NOW,
        "trusted": True,
    }
    marked = BookMarked(**(fields | changes))
    return risk_price(instrument, leg, marked, now_ns=NOW, mark_age_ms_max=age_ms_max)


def test_longs_are_marked_where_they_can_be_sold(build):
    assert price(build.binary()) == 4_100
    assert price(build.binary(), Leg.NO) == 10_000 - 4_500
    assert price(build.spot(), Leg.BASE) == 4_100


@pytest.mark.parametrize(
    "gone", [{"best_bid": None, "best_ask": None}, {"trusted": False}, {"closed": True}]
)
def test_without_an_exit_the_last_two_sided_mid_counts_rounded_down(build, gone):
    assert price(build.binary(), **gone) == 4_300
    assert price(build.binary(), Leg.NO, **gone) == 5_699


def test_an_old_mid_counts_up_to_its_age_and_then_nothing(build):
    gone = {"best_bid": None, "best_ask": None}
    assert price(build.binary(), age_ms_max=1_000, **gone) == 4_300
    assert price(build.binary(), age_ms_max=1_000, two_sided_ns=NOW - 1_000 * MS - 1, **gone) == 0


@pytest.mark.parametrize("never", [{"mid2": None}, {"two_sided_ns": None}])
def test_a_book_that_was_never_two_sided_gives_nothing(build, never):
    assert price(build.binary(), best_bid=None, **never) == 0
