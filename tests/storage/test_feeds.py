"""Names of markets in words, and the times in which a feed was not received."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage import feeds, views
from storage.database import connect_writer
from storage.schema import migrate

E = "e1"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    migrate(tmp_path / "pitboss.db")
    with closing(connect_writer(tmp_path / "pitboss.db")) as opened:
        yield opened


def test_the_latest_title_counts(connection: sqlite3.Connection) -> None:
    for title in ("Will it rain?", "Will it rain in Lisbon?"):
        feeds.put_title(connection, E, "polymarket:0x1", title=title, slug="rain", now_ns=1)
    assert feeds.titles(connection, E) == {"polymarket:0x1": "Will it rain in Lisbon?"}


def test_gap_lasts_until_it_ends(connection: sqlite3.Connection) -> None:
    feeds.begin_gap(connection, E, "polymarket", instrument="", since_ns=5, reason="closed")
    assert [(g["since_ns"], g["until_ns"]) for g in feeds.gaps(connection, E)] == [(5, None)]
    feeds.end_gap(connection, E, "polymarket", instrument="", since_ns=5, until_ns=9)
    assert [(g["reason"], g["until_ns"]) for g in feeds.gaps(connection, E)] == [("closed", 9)]


def test_only_the_newest_gaps_are_kept(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "GAPS_KEPT", 3)
    for at_ns in range(10):
        feeds.begin_gap(connection, E, "f", instrument="", since_ns=at_ns, reason="r")
    assert [gap["since_ns"] for gap in feeds.gaps(connection, E)] == [9, 8, 7]


def test_gaps_that_began_together_are_on_one_page_each(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "ROWS_MAX", 2)
    for name in "abcde":
        feeds.begin_gap(connection, E, "f", instrument=name, since_ns=1, reason="r")
    found, before = [], None
    while page := feeds.gaps(connection, E, before):
        found += [gap["instrument"] for gap in page]
        before = tuple(page[-1][name] for name in feeds.GAP_KEY)
    assert found == ["e", "d", "c", "b", "a"]
