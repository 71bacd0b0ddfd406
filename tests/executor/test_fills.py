"""What is held is worth the same, asked by a mark or by the touch of its book alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, Kind
from engine.executor.fills import Holding, exit_value_micro, touch_value_micro
from tests.executor.conftest import Build

BUILD = Build()
BINARY, SPOT = BUILD.binary(), BUILD.spot("venue:BTC/USD")
PERPETUAL = BUILD.spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL)
SIZE = st.integers(0, 10**12)


@pytest.mark.parametrize("instrument", [BINARY, SPOT, PERPETUAL], ids=["binary", "spot", "perp"])
@given(yes=SIZE, pending=SIZE, no=SIZE, short=st.booleans(), bid=st.integers(1, 9_998), gap=SIZE)
def test_a_fresh_mark_and_its_touch_give_one_value(
    instrument: Instrument, yes: int, pending: int, no: int, short: bool, bid: int, gap: int
) -> None:
    holding = Holding(instrument=instrument.id)
    signed, two_legs = instrument.product.signed, instrument.product.second is not None
    holding.yes.settled = -yes if short and signed else yes
    holding.yes.pending = 0 if signed else pending
    holding.no.settled = no if two_legs else 0
    ask = bid + 1 + gap % (9_999 - bid)
    mark = BookMarked(
        instrument=instrument.id, best_bid=bid, best_ask=ask, mid2=bid + ask,
        two_sided_ns=9, proof_ns=9, trusted=True, closed=False,
    )  # fmt: skip
    worth = exit_value_micro(holding, instrument, mark, 10, 1)
    assert touch_value_micro(holding, instrument, bid, ask) == worth
