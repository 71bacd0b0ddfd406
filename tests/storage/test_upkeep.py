"""Upkeep: equity thinned to minutes, statistics, space given back without holding others up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage import upkeep
from storage.database import connect_writer, transaction
from storage.schema import migrate
from storage.upkeep import HOUR_NS, MINUTE_NS, look_after, thin_equity

S = 1_000_000_000
_EQUITY = (
    "INSERT INTO equity (engine_id, account, at_ns, mode, currency, equity_micro, "
    "equity_mid_micro, cash_micro, day_start_micro, peak_micro, redeemable_micro) "
    "VALUES ('e1', ?, ?, 'demo', 'USD', 1, 1, 1, 1, 1, 0)"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "state.db")
    return tmp_path / "state.db"


def times(path: Path, account: str) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT at_ns FROM equity WHERE account = ? ORDER BY at_ns", (account,)
        )
        return [at_ns for (at_ns,) in found]


def test_older_equity_is_kept_once_a_minute_and_newer_whole(path: Path) -> None:
    every = [n * 2 * S for n in range(90 * 30)]  # one and a half hours, every two seconds
    with closing(connect_writer(path)) as connection, transaction(connection):
        connection.executemany(_EQUITY, [("a", at) for at in every])
        connection.execute(_EQUITY, ("b", 5 * S))
    cut = HOUR_NS + 30 * S
    progress: list[tuple[int, int]] = []
    gone = thin_equity(path, cut, lambda done, total: progress.append((done, total)))
    left = times(path, "a")
    assert gone == len(every) - len(left)
    older = [at for at in left if at < HOUR_NS]
    assert older == [minute * MINUTE_NS + 58 * S for minute in range(60)]
    assert [at for at in left if at >= cut] == [at for at in every if at >= cut]
    assert times(path, "b") == [5 * S]
    assert progress[-1][1] == 3
    assert thin_equity(path, cut, lambda *_: None) == 0


def emptied(path: Path) -> None:
    with closing(connect_writer(path)) as connection:
        connection.execute("CREATE TABLE filler (x BLOB)")
        with transaction(connection):
            connection.executemany(
                "INSERT INTO filler VALUES (zeroblob(4000))", [() for _ in range(2_000)]
            )
        connection.execute("DELETE FROM filler")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_database_mostly_empty_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    emptied(path)
    before = path.stat().st_size
    assert "MB given back" in look_after(path, vacuum=True)
    assert path.stat().st_size < before / 10


def test_a_rewrite_that_would_keep_others_waiting_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    emptied(path)
    monkeypatch.setattr(upkeep, "LOCK_S", -1.0)
    monkeypatch.setattr(upkeep, "STEPS", 1)
    assert "not done" in look_after(path, vacuum=True)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_full_database_is_left_as_it_is(path: Path) -> None:
    assert "not worth a rewrite" in look_after(path, vacuum=True)
    assert look_after(path, vacuum=False) == "statistics renewed"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_stat1").fetchone() is not None
