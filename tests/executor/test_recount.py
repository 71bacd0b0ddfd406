from __future__ import annotations

from typing import Any

import pytest

from engine.domain.instruments import InstrumentId
from engine.errors import BrokenInvariant
from tests.executor.recount import recount

M1 = InstrumentId("venue:m1")


def test_sums_kept_step_by_step_are_those_counted_anew(rig: Any) -> None:
    rig.rest([(4_800, 100)], [(5_200, 100)])
    rig.feed(rig.fill(1, 40))
    recount(rig.executor._table)


def test_a_lost_reservation_is_found(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    rig.executor.ledger.release(rig.executor.order(1))
    with pytest.raises(BrokenInvariant, match="reserved cash"):
        recount(rig.executor._table)


def test_a_reservation_of_the_wrong_order_is_found(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    reservations = rig.executor.ledger.state.reservations
    reservations[7] = reservations.pop(1)
    with pytest.raises(BrokenInvariant, match="not those of the orders"):
        recount(rig.executor._table)


def test_exposure_that_was_not_counted_is_found(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    rig.gate.exposure.over(rig.executor.order(1))
    with pytest.raises(BrokenInvariant, match=f"exposure of {M1}"):
        recount(rig.executor._table)


def test_an_order_counted_twice_is_found(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    rig.executor._table.live_count += 1
    with pytest.raises(BrokenInvariant, match="live orders"):
        recount(rig.executor._table)
