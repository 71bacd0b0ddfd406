"""Exports: one mode, one period, decimals as pages show them; whole or not there."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instruments import Mode
from engine.domain.jobs import Exported, ExportFormat
from engine.errors import StorageError
from storage.database import connect_writer
from storage.export import export
from storage.schema import migrate

Export = Callable[..., list[dict[str, Any]]]


def insert(connection: sqlite3.Connection, table: str, **values: object) -> None:
    marks = ", ".join("?" * len(values))
    connection.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
    )


def fill(number: int, mode: str, at_ns: int, instrument: str = "polymarket:0xdd") -> dict[str, Any]:
    return {
        "engine_id": "e1", "account": mode, "id": f"f{number}", "mode": mode, "order_id": 1,
        "bot": "maker", "instrument": instrument, "leg": "YES", "side": "BUY", "price": 4_200,
        "size": 12_340_000, "value_micro": 5_182_800, "fee_micro": 1, "liquidity": "maker",
        "state": "confirmed", "source": "taped", "at_ns": at_ns, "updated_ns": at_ns, "seq": number,
    }  # fmt: skip


def order(at_ns: int) -> dict[str, Any]:
    return {
        "engine_id": "e1", "account": "live", "id": 1, "mode": "live", "bot": "maker",
        "instrument": "polymarket:0xdd", "leg": "YES", "side": "BUY", "price": 4_200,
        "size": 12_340_000, "type": "limit", "post_only": True, "created_ns": at_ns,
        "state": "open", "filled": 0, "voided": 0, "fee_micro": 0, "reason": "",
        "updated_ns": at_ns, "seq": 1, "decision": 0,
    }  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    migrate(path)
    with closing(connect_writer(path)) as connection:
        insert(
            connection, "instruments", engine_id="e1", id="polymarket:0xdd", kind="binary",
            currency="USD", price_decimals=4, size_decimals=6, tick=100, lot=1, market="m",
            series="", body="{}", updated_ns=1,
        )  # fmt: skip
        for number, (mode, at_ns) in enumerate([("demo", 10), ("paper", 20), ("paper", 30)]):
            insert(connection, "fills", **fill(number, mode, at_ns))
        insert(connection, "fills", **fill(9, "paper", 40, "ignored:of"))
    return path


@pytest.fixture
def exported(state: Path, tmp_path: Path) -> Export:
    def make(**changes: Any) -> list[dict[str, Any]]:
        asked = {
            "what": Exported.FILLS, "mode": Mode.PAPER, "since_ns": 0, "until_ns": 1_000,
            "form": ExportFormat.CSV,
        } | changes  # fmt: skip
        target = tmp_path / "exports" / f"x.{asked['form']}"
        count = export(state, target, on_progress=lambda *_: None, **asked)
        with target.open(encoding="utf-8") as file:
            rows = json.load(file) if asked["form"] == "json" else list(csv.DictReader(file))
        assert count == len(rows)
        return rows

    return make


def test_only_rows_of_the_mode_and_the_period_are_written(exported: Export) -> None:
    assert [row["id"] for row in exported()] == ["f1", "f2", "f9"]
    assert [row["id"] for row in exported(mode=Mode.DEMO)] == ["f0"]
    assert [row["id"] for row in exported(since_ns=20, until_ns=30)] == ["f1"]


def test_numbers_are_decimals_with_the_whole_number_beside(exported: Export) -> None:
    row = exported()[0]
    assert (row["price"], row["price_raw"]) == ("0.4200", "4200")
    assert (row["size"], row["size_raw"]) == ("12.340000", "12340000")
    assert (row["value"], row["fee"]) == ("5.182800", "0.000001")


def test_a_price_of_an_unlisted_instrument_is_not_guessed(exported: Export) -> None:
    row = exported(form=ExportFormat.JSON)[-1]
    assert (row["instrument"], row["price"], row["price_raw"]) == ("ignored:of", None, 4_200)


@pytest.mark.parametrize("form", ExportFormat)
def test_a_time_stands_as_a_person_reads_it_before_its_nanoseconds(
    state: Path, exported: Export, form: ExportFormat
) -> None:
    at_ns = 1_795_503_600_123_456_789
    with closing(connect_writer(state)) as connection:
        insert(connection, "fills", **fill(5, "live", at_ns))
        insert(connection, "orders", **order(at_ns))
    asked = {"mode": Mode.LIVE, "until_ns": 2 * at_ns, "form": form}
    (row,) = exported(**asked)
    assert (row["at"], int(row["at_ns"])) == ("2026-11-24T07:00:00.123456Z", at_ns)
    assert list(row).index("at") + 1 == list(row).index("at_ns")
    assert not exported(what=Exported.ORDERS, **asked)[0]["expires"]


def bet(bot: str, closed_ns: int | None, unvalued: int = 0) -> dict[str, Any]:
    return {
        "engine_id": "e1", "account": "live", "instrument": "polymarket:0xdd", "bot": bot,
        "mode": "live", "result": "won", "yes": 10_000_000, "no": 0, "bought": 10_000_000,
        "sold": 0, "spent_micro": 4_100_000, "received_micro": 0, "fee_micro": 20_000,
        "paid_micro": 10_000_000, "reward_micro": 0, "fills": 1, "merged": 0,
        "unvalued": unvalued, "opened_ns": 5, "closed_ns": closed_ns, "updated_ns": 50, "seq": 1,
    }  # fmt: skip


def test_a_closed_bet_says_its_market_in_words_and_what_it_made(
    state: Path, exported: Export
) -> None:
    with closing(connect_writer(state)) as connection:
        for made in (bet("maker", 30), bet("open", None), bet("unknown", 40, unvalued=1)):
            insert(connection, "bets", **made)
        insert(
            connection, "titles", engine_id="e1", instrument="polymarket:0xdd",
            title="Will it rain?", slug="rain", updated_ns=1,
        )  # fmt: skip
    one, other = exported(what=Exported.BETS, mode=Mode.LIVE)
    assert (one["bot"], one["title"], one["net"]) == ("maker", "Will it rain?", "5.880000")
    assert (one["bought"], one["paid"]) == ("10.000000", "10.000000")
    assert (other["bot"], other["net"]) == ("unknown", "")


def test_a_round_trip_says_its_sizes_and_what_it_made(state: Path, exported: Export) -> None:
    trip = {
        "engine_id": "e1", "account": "live", "instrument": "polymarket:0xdd", "bot": "maker",
        "number": 1, "mode": "live", "long": False, "result": "closed", "size": 0,
        "entered": 2_000_000, "entry_micro": 5_000_000, "exited": 2_000_000,
        "exit_micro": 4_000_000, "fee_micro": 20_000, "funding_micro": -3_000, "fills": 2,
        "liquidated": 0, "opened_ns": 5, "closed_ns": 30, "updated_ns": 30, "seq": 1,
    }  # fmt: skip
    with closing(connect_writer(state)) as connection:
        insert(connection, "round_trips", **trip)
    (row,) = exported(what=Exported.ROUND_TRIPS, mode=Mode.LIVE)
    assert (row["entered"], row["net"], row["funding"]) == ("2.000000", "0.977000", "-0.003000")


@pytest.mark.parametrize("text", ["=1+1", "+1", "@sum(a1)", "-2+3+cmd|' /c calc'!a0", "--1", "\tx"])
def test_no_cell_of_text_is_a_formula(state: Path, exported: Export, text: str) -> None:
    """A spreadsheet runs what begins like one; numbers stay numbers."""
    with closing(connect_writer(state)) as connection:
        named = fill(5, "live", 10, text) | {"value_micro": -1}
        insert(connection, "fills", **named)
    (row,) = exported(mode=Mode.LIVE)
    assert (row["instrument"], row["value"]) == (f"'{text}", "-0.000001")
    assert exported(mode=Mode.LIVE, form=ExportFormat.JSON)[0]["instrument"] == text


@pytest.mark.parametrize("what", Exported)
@pytest.mark.parametrize("form", ExportFormat)
def test_everything_can_be_exported_even_where_there_is_nothing(
    exported: Export, what: Exported, form: ExportFormat
) -> None:
    assert exported(what=what, form=form, mode=Mode.LIVE) == []


def test_a_missing_state_is_said_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        export(
            tmp_path / "no.db", tmp_path / "x.csv", what=Exported.RUNS, mode=Mode.PAPER,
            since_ns=0, until_ns=1, form=ExportFormat.CSV, on_progress=lambda *_: None,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
