from __future__ import annotations

from sqlite3 import Connection

import pytest

from engine.domain.instruments import Mode
from storage.runs import (
    Run,
    RunKind,
    RunMarket,
    RunStatus,
    save_run,
)

RUN = Run(
    engine_id="e1",
    account="paper",
    kind=RunKind.REPLAY,
    recording="recordings/day",
    bot="maker",
    strategy="market_maker",
    parameters='{"edge": 0.01}',
    started_ns=1_000,
    status=RunStatus.RUNNING,
)
MARKET = RunMarket(
    instrument="polymarket:0xdd",
    orders=3,
    fills=2,
    fees_micro=10,
    realised_micro=-5,
    unresolved_micro=7,
    position_left=1_000_000,
    resolved=False,
)


def counts(connection: Connection) -> tuple[int, int, int]:
    def count(table: str) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    return count("runs"), count("run_equity"), count("run_markets")


def test_a_run_is_saved_with_its_parts(connection: Connection) -> None:
    equity = [(number * 60, 1_000_000 + number) for number in range(25_000)]
    run_id = save_run(connection, RUN, equity=equity, markets=[MARKET])
    assert counts(connection) == (1, 25_000, 1)
    row = connection.execute("SELECT mode, account, equity_micro FROM run_equity").fetchone()
    assert row == (Mode.PAPER, "paper", 1_000_000)
    row = connection.execute("SELECT position_left, resolved FROM run_markets").fetchone()
    assert row == (1_000_000, 0)
    assert run_id == 1


def test_a_failed_save_leaves_no_trace(connection: Connection) -> None:
    with pytest.raises(OverflowError):
        save_run(connection, RUN, equity=[(1, 2**70)])
    assert counts(connection) == (0, 0, 0)


def test_two_points_of_one_moment_keep_the_later(connection: Connection) -> None:
    save_run(connection, RUN, equity=[(1, 1), (1, 2)])
    assert connection.execute("SELECT equity_micro FROM run_equity").fetchall() == [(2,)]
