"""Rows told as events, and rows that are none."""

from __future__ import annotations

import numpy as np
import pytest

from engine.domain.events import BookChanged, BookProven, TradePrinted
from engine.domain.instruments import InstrumentId, Side
from engine.errors import BadInput
from engine.lab.recordings.columns import ColumnStretch, told
from engine.venues.paper.columns import ASK, BID, BOUGHT, NOTHING, OTHER, SOLD

ID = InstrumentId("x:y")


def stretch(*rows: tuple[int, int, int, int, int]) -> ColumnStretch:
    table = np.array(rows, np.int64).reshape(-1, 5)
    return ColumnStretch(instrument=ID, rows=table, others={0: BookProven(instrument=ID)})


def test_each_kind_of_row_is_told() -> None:
    rows = stretch(
        (1, OTHER, 0, 0, 1),
        (2, BID, 5, 7, 0),
        (2, ASK, 6, 0, 1),
        (3, NOTHING, 0, 0, 1),
        (4, SOLD, 5, 1, 1),
        (5, BOUGHT, 6, 2, 1),
    )
    changes = ((Side.BUY, 5, 7), (Side.SELL, 6, 0))
    assert list(told(rows)) == [
        (1, BookProven(instrument=ID)),
        (2, BookChanged(instrument=ID, changes=changes)),
        (3, BookChanged(instrument=ID, changes=())),
        (4, TradePrinted(instrument=ID, price=5, size=1, aggressor=Side.SELL)),
        (5, TradePrinted(instrument=ID, price=6, size=2, aggressor=Side.BUY)),
    ]


def test_an_empty_stretch_tells_nothing() -> None:
    assert list(told(stretch())) == []


@pytest.mark.parametrize(
    "rows",
    [
        ((1, 9, 0, 0, 1),),
        ((1, -1, 0, 0, 1),),
        ((1, BID, 5, 7, 1), (1, OTHER, 0, 0, 1)),
        ((1, BID, 5, 7, 0), (1, SOLD, 5, 7, 1)),
        ((1, SOLD, 5, 7, 0), (1, BID, 5, 7, 1)),
    ],
)
def test_rows_that_are_no_event_are_refused(rows: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(BadInput, match="holds no event"):
        list(told(stretch(*rows)))  # type: ignore[arg-type]


def test_an_event_without_its_last_row_is_refused() -> None:
    with pytest.raises(BadInput, match="ends within an event"):
        list(told(stretch((1, BID, 5, 7, 0))))
