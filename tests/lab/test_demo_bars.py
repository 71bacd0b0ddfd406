"""Bars of the demo exchange: the same from the same seed, and what a new home finds of them."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from pathlib import Path

import pytest

from engine.cli.worker import SHIPPED, lay_first_data
from engine.lab.demo_bars import HEADER, DemoBar, demo_bars

T0_S = 1_793_577_600
"""2026-11-02 00:00 UTC, as the shipped file begins."""
SEED = 7
"""Of the shipped file."""


def shipped() -> list[str]:
    return gzip.decompress(SHIPPED.read_bytes()).decode().splitlines()


def test_the_same_seed_gives_the_same_bars_and_another_one_others() -> None:
    first = list(demo_bars(3, T0_S * 10**9, 3))
    assert first == list(demo_bars(3, T0_S * 10**9, 3))
    assert first != list(demo_bars(4, T0_S * 10**9, 3))
    assert [bar.start_s for bar in first] == [T0_S + 60 * minute for minute in range(3)]
    assert all(bar.low <= min(bar.open, bar.close) <= bar.high for bar in first)
    assert all(bar.volume > 0 for bar in first)


def test_a_line_of_a_bar_is_exact() -> None:
    bar = DemoBar(60, 6_500_010, 6_500_020, 6_499_990, 6_500_000, 1)
    assert bar.line() == "60,65000.10,65000.20,64999.90,65000.00,0.00000001"


def test_the_shipped_bars_are_three_days_that_the_exchange_makes() -> None:
    lines = shipped()
    assert lines[0] == HEADER
    times = [int(line.split(",")[0]) for line in lines[1:]]
    assert (times[0], len(times)) == (T0_S, 3 * 1_440)
    assert all(after - before == 60 for before, after in pairwise(times))
    made = [bar.line() for bar in demo_bars(SEED, T0_S * 10**9, 5)]
    assert lines[1:6] == made, "the exchange has changed: `engine data demo` writes them anew"


def test_a_home_without_data_finds_the_shipped_bars_once(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "data"
    lay_first_data(folder)
    (laid,) = folder.iterdir()
    assert laid.read_bytes() == SHIPPED.read_bytes()
    laid.unlink()
    lay_first_data(folder)
    assert not list(folder.iterdir()), "whoever deletes them does not find them again"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_made_ends_no_worker(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    lay_first_data(tmp_path / "data")
    assert not (tmp_path / "data").exists()
