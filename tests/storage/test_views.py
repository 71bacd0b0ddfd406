from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec
import pytest

from engine.domain.commands import Kill
from engine.domain.instruments import Mode
from storage import commands, views
from storage.database import connect_reader, writing
from storage.runs import Run, RunKind, RunMarket, RunStatus, save_run
from storage.views.drill_down import fills_behind, orders_behind
from storage.views.markouts import of_bot, with_books

RUN = Run(
    engine_id="e1",
    account="paper",
    kind=RunKind.REPLAY,
    recording="day",
    bot="maker",
    strategy="market_maker",
    started_ns=1,
    status=RunStatus.DONE,
    pnl_micro=-1_250_000,
    fees_micro=10,
    result='{"x": 1}',
)


def insert(connection: Connection, table: str, **values: object) -> None:
    names = ", ".join(values)
    places = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(values.values()))


def insert_order(connection: Connection, number: int, **more: object) -> None:
    values: dict[str, object] = {
        "engine_id": "e1",
        "account": "paper",
        "id": number,
        "mode": "paper",
        "bot": "maker",
        "instrument": "known",
        "leg": "yes",
        "side": "buy",
        "price": 4_900,
        "size": 5_000_000,
        "type": "gtc",
        "post_only": True,
        "created_ns": number * 10,
        "state": "open",
        "filled": 1_500_000,
        "voided": 0,
        "decision": 0,
        "fee_micro": 12,
        "reason": "",
        "updated_ns": 0,
        "seq": number,
    }
    insert(connection, "orders", **{**values, **more})


def insert_fill(connection: Connection, name: str, at_ns: int, **more: object) -> None:
    values: dict[str, object] = {
        "engine_id": "e1",
        "account": "paper",
        "id": name,
        "mode": "paper",
        "order_id": 1,
        "bot": "maker",
        "instrument": "known",
        "leg": "yes",
        "side": "buy",
        "price": 4_900,
        "size": 1_500_000,
        "value_micro": 735_000,
        "fee_micro": 12,
        "liquidity": "maker",
        "state": "matched",
        "source": "taped",
        "at_ns": at_ns,
        "updated_ns": at_ns,
        "seq": 1,
    }
    insert(connection, "fills", **{**values, **more})


@pytest.fixture
def filled(state: Path) -> Path:
    with writing(state) as connection:
        insert(
            connection,
            "instruments",
            engine_id="e1",
            id="known",
            kind="binary",
            currency="USD",
            price_decimals=4,
            size_decimals=6,
            tick=100,
            lot=10_000,
            market="",
            series="",
            body="{}",
            updated_ns=0,
        )
        insert_order(connection, 1)
        insert_order(connection, 2, state="filled")
        insert_order(connection, 3, instrument="unknown")
        insert_order(connection, 4, mode="live", account="live")
        insert_fill(connection, "f1", 10)
        insert_fill(connection, "f2", 20, order_id=2)
    return state


@pytest.fixture
def reader(filled: Path) -> Iterator[Connection]:
    with closing(connect_reader(filled)) as connection:
        yield connection


def test_orders_of_one_mode_newest_first(reader: Connection) -> None:
    rows = orders_behind(reader, "e1", mode=Mode.PAPER)
    assert [row["id"] for row in rows] == [3, 2, 1]
    assert [row["id"] for row in orders_behind(reader, "e1", mode=Mode.LIVE)] == [4]
    assert [r["id"] for r in orders_behind(reader, "e1", mode=Mode.PAPER, open_only=True)] == [3, 1]
    turned = orders_behind(reader, "e1", mode=Mode.PAPER, until_ns=30)
    assert [row["id"] for row in turned] == [2, 1]
    known = orders_behind(reader, "e1", mode=Mode.PAPER, instrument="known")
    assert [row["id"] for row in known] == [2, 1]


def test_ints_are_shown_as_a_person_writes_them(reader: Connection) -> None:
    unknown, _, row = orders_behind(reader, "e1", mode=Mode.PAPER)
    assert (row["price"], row["size"]) == (Decimal("0.4900"), Decimal("5.000000"))
    assert (row["price_raw"], row["filled"]) == (4_900, Decimal("1.5"))
    assert row["fee"] == Decimal("0.000012")
    assert "fee_micro" not in row
    assert unknown["price"] is None
    assert unknown["price_raw"] == 4_900


def test_fills_of_an_order(reader: Connection) -> None:
    rows = fills_behind(reader, "e1", mode=Mode.PAPER)
    assert [row["id"] for row in rows] == ["f2", "f1"]
    assert rows[0]["value"] == Decimal("0.735")
    mine = fills_behind(reader, "e1", mode=Mode.PAPER, account="paper", order_id=1)
    assert [row["id"] for row in mine] == ["f1"]
    assert fills_behind(reader, "e1", mode=Mode.LIVE) == []


def test_runs_are_listed_and_shown(filled: Path) -> None:
    market = RunMarket(
        instrument="known",
        orders=1,
        fills=1,
        fees_micro=0,
        realised_micro=1_000_000,
        unresolved_micro=0,
        position_left=2_000_000,
        resolved=True,
    )
    with writing(filled) as connection:
        ids = [save_run(connection, RUN, equity=[(1, 5)], markets=[market]) for _ in range(3)]
    with closing(connect_reader(filled)) as reader:
        rows = views.runs(reader, "e1")
        assert [row["id"] for row in rows] == ids[::-1]
        assert rows[0]["pnl"] == Decimal("-1.25")
        one = views.run(reader, "e1", ids[0])
        assert one is not None
        assert one["result"] == '{"x": 1}'
        assert views.run(reader, "e1", 99) is None
        (row,) = views.run_markets(reader, "e1", ids[0])
        assert (row["realised"], row["position_left"]) == (Decimal(1), Decimal(2))
        assert views.run_equity(reader, "e1", ids[0]) == [(1, Decimal("0.000005"))]


def test_a_market_of_a_replay_has_the_units_the_desk_knows_of_it(filled: Path) -> None:
    market = RunMarket(
        instrument="known", orders=1, fills=1, fees_micro=0, realised_micro=0,
        unresolved_micro=0, position_left=2_000_000, resolved=False,
    )  # fmt: skip
    with writing(filled) as connection:
        replayed = msgspec.structs.replace(RUN, engine_id="replay")
        number = save_run(connection, replayed, equity=[], markets=[market])
    with closing(connect_reader(filled)) as reader:
        (row,) = views.run_markets(reader, "replay", number)
    assert row["position_left"] == Decimal(2)


def test_a_long_curve_is_thinned_and_keeps_its_extremes(filled: Path) -> None:
    curve = {at_ns * 60: (at_ns * 7_919) % 100_003 for at_ns in range(50_000)}
    curve[31_337 * 60] = -5_000_000
    curve[41_337 * 60] = 9_000_000
    with writing(filled) as connection:
        run_id = save_run(connection, RUN, equity=curve.items())
    with closing(connect_reader(filled)) as reader:
        points = views.run_equity(reader, "e1", run_id)
    assert len(points) <= views.POINTS_MAX
    assert points == sorted(points)
    times = [at_ns for at_ns, _ in points]
    assert (times[0], times[-1]) == (0, 49_999 * 60)
    amounts = [amount for _, amount in points]
    assert (min(amounts), max(amounts)) == (Decimal(-5), Decimal(9))
    assert all(Decimal(curve[at_ns]).scaleb(-6) == amount for at_ns, amount in points)


def test_the_equity_of_an_account(filled: Path) -> None:
    with writing(filled) as connection:
        for at_ns in range(5):
            insert(
                connection,
                "equity",
                engine_id="e1",
                account="paper",
                at_ns=at_ns,
                mode="paper",
                currency="USD",
                equity_micro=at_ns * 1_000_000,
                equity_mid_micro=0,
                cash_micro=0,
                day_start_micro=0,
                peak_micro=0,
                redeemable_micro=0,
            )
    with closing(connect_reader(filled)) as reader:
        points = views.equity(reader, "e1", account="paper", since_ns=2, until_ns=3)
        assert points == [(2, Decimal(2)), (3, Decimal(3))]
        assert views.equity(reader, "e1", account="other") == []


def test_an_empty_file_gives_empty_tables(state: Path) -> None:
    with closing(connect_reader(state)) as reader:
        for view in (views.bots, views.alerts, views.commands, views.audit, views.jobs):
            assert view(reader, "e1") == []


def test_the_house_is_shown(filled: Path) -> None:
    with writing(filled) as connection:
        commands.leave(connection, engine_id="e1", id="c1", command=Kill(), who="ann", now_ns=5)
        for number, acked in ((1, None), (2, 9)):
            insert(
                connection,
                "alerts",
                engine_id="e1",
                severity="warning",
                kind=f"k{number}",
                text="t",
                count=1,
                first_ns=number,
                last_ns=number,
                acked_ns=acked,
            )
    with closing(connect_reader(filled)) as reader:
        assert [row["kind"] for row in views.commands(reader, "e1")] == ["Kill"]
        assert [row["who"] for row in views.audit(reader, "e1")] == ["ann"]
        assert [row["kind"] for row in views.alerts(reader, "e1")] == ["k2", "k1"]
        assert [row["kind"] for row in views.alerts(reader, "e1", unseen_only=True)] == ["k1"]


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (
            "SELECT * FROM orders WHERE engine_id = 'e' AND mode = 'paper' AND created_ns < 9 "
            "ORDER BY created_ns DESC LIMIT 5",
            "ix_orders_engine_id_mode_created_ns",
        ),
        (
            "SELECT * FROM fills WHERE engine_id = 'e' AND mode = 'paper' AND at_ns < 9 "
            "ORDER BY at_ns DESC LIMIT 5",
            "ix_fills_engine_id_mode_at_ns",
        ),
        (
            "SELECT 1 FROM commands WHERE engine_id = 'e' AND state = 'pending' LIMIT 1",
            "ix_commands_engine_id_state_created_ns",
        ),
    ],
)
def test_frequent_questions_use_their_index(state: Path, sql: str, index: str) -> None:
    with closing(connect_reader(state)) as reader:
        plan = " ".join(row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_one_order_is_found_by_account_and_number(connection: Connection) -> None:
    insert_order(connection, 7, decision=99)
    found = views.order(connection, "e1", "paper", 7)
    assert found is not None
    assert (found["id"], found["decision"]) == (7, 99)
    assert views.order(connection, "e1", "paper", 8) is None
    assert views.order(connection, "e2", "paper", 7) is None


def test_a_curve_has_no_more_points_than_were_asked_for(filled: Path) -> None:
    with writing(filled) as connection:
        connection.executemany(
            "INSERT INTO equity VALUES ('e1', 'paper', ?, 'paper', 'USD', ?, 0, 0, 0, 0, 0)",
            [(at_ns, 9 if at_ns == 777 else at_ns % 5) for at_ns in range(1, 1_001)],
        )
    with closing(connect_reader(filled)) as connection:
        points = views.equity(connection, "e1", account="paper", points_max=100)
    assert len(points) <= 100
    assert (points[0][0], points[-1][0]) == (1, 1_000)
    assert (777, Decimal("0.000009")) in points


def test_fills_of_resolved_markets_stand_in_yes_space_with_their_orders(
    filled: Path, tmp_path: Path
) -> None:
    with writing(filled) as connection:
        connection.execute("UPDATE instruments SET payout_yes_micro = 1000000, closes_ns = 60e9")
        insert_fill(connection, "f3", 30, leg="no", price=5_200, order_id=2)
        insert_fill(connection, "f4", 40, state="failed")
    with closing(connect_reader(filled)) as reader:
        found = of_bot(reader, "e1", mode=Mode.PAPER, bot="maker")
        assert of_bot(reader, "e1", mode=Mode.LIVE, bot="maker") == []
    assert [fill.at_ns for fill in found] == [30, 20, 10]
    no, *_, yes = with_books(found, tmp_path / "decisions.db")
    assert (no.bought, no.price, no.paid) == (False, 0.48, 1.0)
    assert (yes.bought, yes.price, yes.shares) == (True, 0.49, 1.5)
    assert yes.to_close_s == pytest.approx(60.0)
    assert (yes.spread_ticks, yes.ahead_ticks) == (None, None)


@pytest.mark.parametrize(
    ("table", "view", "by"),
    [
        ("alerts", views.alerts, ("last_ns", "id")),
        ("audit", views.audit, ("at_ns", "id")),
        ("commands", views.commands, ("created_ns", "id")),
        ("jobs", views.jobs, ("id",)),
    ],
)
def test_pages_show_every_row_once_though_all_are_of_one_time(
    empty_state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    view: Callable[..., list[dict[str, Any]]],
    by: tuple[str, ...],
) -> None:
    monkeypatch.setattr(views, "ROWS_MAX", 2)
    path = Path(shutil.copy(empty_state, tmp_path / "state.db"))
    with writing(path) as connection:
        columns = {
            name: "x" if kind == "VARCHAR" else 7
            for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
            if name != "id"
        }
        for number in range(5):
            row = {**columns, "id": number if by != ("created_ns", "id") else f"c{number}"}
            row |= {name: f"{number}" for name in ("command",) if name in columns}
            row |= {"engine_id": "e", "acked_ns": None} if "acked_ns" in row else {"engine_id": "e"}
            connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                tuple(row.values()),
            )
        seen: list[Any] = []
        before = None
        while rows := view(connection, "e", before=before):
            assert len(rows) <= 2
            seen += [row["id"] for row in rows]
            before = tuple(rows[-1][name] for name in by)
    assert len(seen) == len(set(seen)) == 5
