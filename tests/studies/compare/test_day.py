"""One day of both worlds, small: the thin world for a few minutes."""

from __future__ import annotations

import pytest

from engine.venues.demo.profiles import THIN
from studies.compare.day import Public, paper_day, true_day
from studies.compare.run import papers
from tests.venues.demo.builders import exchange

HOURS = 0.08


@pytest.mark.long
def test_the_same_seed_gives_the_same_day() -> None:
    progress: list[float] = []
    day, again = (true_day(3, HOURS, papers(), progress.append, THIN) for _ in range(2))
    assert day == again
    first = day.figures
    assert first.orders > 10
    assert first.filled <= first.placed
    assert max(progress) == pytest.approx(HOURS, abs=0.02)
    other = true_day(4, HOURS, {}, progress.append, THIN)
    assert other.figures.digest != first.digest


@pytest.mark.long
def test_whoever_looks_on_changes_nothing() -> None:
    watched = true_day(3, HOURS, papers(), lambda _: None, THIN)
    alone = true_day(3, HOURS, {}, lambda _: None, THIN)
    assert watched.figures == alone.figures
    assert watched.twins["realistic"].placed == watched.figures.placed
    assert watched.twins["realistic"].filled > 0


@pytest.mark.long
def test_paper_venues_do_not_know_of_each_other() -> None:
    venues = papers()
    together = paper_day(3, HOURS, venues, lambda _: None, THIN)
    assert set(together) == set(venues)
    alone = paper_day(3, HOURS, {"realistic": venues["realistic"]}, lambda _: None, THIN)
    assert alone["realistic"] == together["realistic"]
    assert alone["realistic"].orders > 10


def test_other_markets_than_the_series_are_not_received() -> None:
    assert Public(exchange()).opening() == []
