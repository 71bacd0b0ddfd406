"""The collector's settings are lent to a replay, never kept."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from engine.lab.replay.result import YOUNG_OBJECTS_MAX, collecting_rarely


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    gc.set_threshold(*thresholds)
    if frozen:
        gc.freeze()
    else:
        gc.unfreeze()


def test_the_young_may_grow_inside_and_all_is_restored_after() -> None:
    gc.unfreeze()
    before = gc.get_threshold()
    with collecting_rarely():
        assert gc.get_threshold() == (YOUNG_OBJECTS_MAX, *before[1:])
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_an_error_inside_restores_too() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="inside"), collecting_rarely():
        raise ValueError("inside")
    assert gc.get_threshold() == before


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    with collecting_rarely():
        pass
    assert gc.get_freeze_count() > 0


def test_a_collector_that_is_switched_off_stays_off() -> None:
    gc.set_threshold(0, 10, 10)
    with collecting_rarely():
        assert gc.get_threshold()[0] == 0
