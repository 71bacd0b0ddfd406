"""Rows as a damaged disk or a foreign hand would leave them: every cell of what a dashboard writes.

After each of them the engine lives, the next command is answered, KILL has its receipt, and a start
finds the last valid settings. Deterministic: cells and values are a product, mixtures are seeded.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random

import pytest

from engine.domain.commands import AckAlert, Kill, StartBot
from engine.domain.settings import SettingsDocument
from engine.runtime.first_settings import first_settings
from storage.commands import KILL_PROOF, CommandState, latest_receipt
from storage.database import connect_writer
from storage.journal_writer import JournalWriter
from storage.schema import migrate
from storage.settings import last_in_force
from storage.users import ENGINE_ID
from tests.live.desk import LiveDesk
from tests.live.programs import BOT, DOCUMENT, LONG_S, Programs, prepare
from tests.ports import free_port

KILLED = CommandState.DONE
BODY = SettingsDocument.model_validate(DOCUMENT).model_dump_json()
FAR_NS = 2**62

ROWS: dict[str, dict[str, object]] = {
    "commands": {
        "id": "", "engine_id": ENGINE_ID, "kind": "AckAlert",
        "body": '{"type":"AckAlert","alert":1}', "who": "ann", "state": "pending",
        "created_ns": 1, "expires_ns": FAR_NS, "claimed_ns": None, "answered_ns": None,
        "answer": "",
    },
    "settings": {
        "engine_id": ENGINE_ID, "version": 0, "base_version": 1, "at_ns": 5, "who": "ann",
        "body": BODY, "applied_ns": FAR_NS // 2,
    },
    "users": {
        "engine_id": ENGINE_ID, "name": "", "password_hash": "x", "created_ns": 1,
        "disabled": 0,
    },
    "audit": {
        "engine_id": ENGINE_ID, "at_ns": 1, "who": "ann", "what": "kill receipt", "detail": "{}",
    },
    "alerts": {
        "engine_id": ENGINE_ID, "severity": "warning", "kind": "bad_row", "text": "x", "count": 1,
        "first_ns": 1, "last_ns": 1, "acked_by": None, "acked_ns": None,
    },
    "watch_lists": {
        "engine_id": ENGINE_ID, "who": "ann", "name": "", "instrument": "m-1", "at_ns": 1,
    },
}  # fmt: skip
"""A sound row of each table a dashboard writes, and of the one it acknowledges in."""

VALUES: dict[str, str] = {
    "nothing": "NULL",
    "a fraction": "1.5",
    "infinity": "9e999",
    "the largest number": str(2**63 - 1),
    "the smallest number": str(-(2**63)),
    "no letter": "''",
    "a word": "'banana'",
    "bytes": "x'ff00fe'",
    "text that is none": "CAST(x'7b22ff22' AS TEXT)",
    "text with a zero": "'a' || char(0) || 'b'",
    "a million letters": "printf('%.*c', 1000000, 'x')",
    "nested too deep": "printf('%.*c', 200000, '[')",
    "deep and sound": "printf('%.*c%.*c', 900, '[', 900, ']')",
    "another kind": '\'{"type":"Nothing","alert":1}\'',
    "a number too large": '\'{"type":"AckAlert","alert":99999999999999999999999}\'',
    "a list for an object": "'[1, 2, 3]'",
    "planted": "'<script>alert(1)</script>'",
    "a foreign state": "'claimed'",
}

_names = count(1)


def plant(connection: sqlite3.Connection, table: str, cells: dict[str, str]) -> bool:
    """Add a row in which these cells hold these SQL values; False = the file does not take it."""
    row = dict(ROWS[table])
    number = next(_names)
    for key in ("id", "name"):
        if key in row:
            row[key] = f"row-{number}"
    if "version" in row:
        row["version"] = number
    names = list(row)
    values = ", ".join(cells.get(name, "?") for name in names)
    given = [value for name, value in row.items() if name not in cells]
    try:
        connection.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})",
            given,
        )
    except sqlite3.IntegrityError:
        return False
    return True


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with settings of two versions in force, one after the other."""
    path = tmp_path_factory.mktemp("empty") / "pitboss.db"
    migrate(path)
    with closing(connect_writer(path)) as connection:
        assert first_settings(connection, ENGINE_ID, 1)
    return path


@pytest.fixture
def home(tmp_path: Path, empty: Path) -> Iterator[Path]:
    shutil.copy(empty, tmp_path / "pitboss.db")
    return tmp_path


async def check(desk: LiveDesk, what: str) -> None:
    """The next command is answered and the engine lives."""
    left = await desk.command(AckAlert(alert=2**40))
    assert left.answer == "no such alert", what
    assert desk.ended is None, what


def check_start(desk: LiveDesk, what: str) -> None:
    """A start would find settings that it can work by, and not the first ones once more."""
    assert not first_settings(desk.connection, ENGINE_ID, 1), what
    found, _ = last_in_force(desk.connection, ENGINE_ID)
    assert set(found.document.accounts) & {"demo"}, what


async def check_kill(desk: LiveDesk) -> None:
    name = desk.leave(Kill())
    killed = await desk.answered(name)
    assert killed.state is KILLED
    assert killed.answer.startswith("PROVEN")
    await desk.until(
        lambda: (found := latest_receipt(desk.connection, ENGINE_ID)) and found.proven,
        "the receipt is kept",
    )


@pytest.mark.long
@pytest.mark.parametrize("table", ROWS)
def test_no_cell_of_a_row_silences_or_stops_the_desk(home: Path, table: str) -> None:
    async def run() -> None:
        journal = JournalWriter(home / "journal.db", engine_id=ENGINE_ID, synchronous="OFF")
        async with LiveDesk(home, journal) as desk:
            taken = 0
            for column in ROWS[table]:
                for sql in VALUES.values():
                    taken += plant(desk.connection, table, {column: sql})
                await check(desk, f"{table}.{column}")
                check_start(desk, f"{table}.{column}")
            assert taken > len(ROWS[table]) * len(VALUES) // 2
            await check_kill(desk)
            if table == "commands":
                await desk.until(
                    lambda: desk.rows(
                        f"SELECT count(*) FROM commands WHERE engine_id = '{ENGINE_ID}' "
                        "AND state = 'pending'"
                    ) == [(0,)],
                    "each is refused",
                )  # fmt: skip
                refused = desk.rows("SELECT count(*) FROM commands WHERE answer LIKE 'it cannot%'")
                told = desk.rows("SELECT sum(count) FROM alerts WHERE kind = 'bad_row'")
                assert refused == told

    asyncio.run(run())


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 20261122])
def test_no_mixture_of_damaged_rows_silences_or_stops_the_desk(home: Path, seed: int) -> None:
    chance = Random(seed)

    async def run() -> None:
        async with LiveDesk(home) as desk:
            for _ in range(20):
                for _ in range(10):
                    table = chance.choice(list(ROWS))
                    columns = chance.sample(list(ROWS[table]), chance.randint(1, 4))
                    cells = {name: chance.choice(list(VALUES.values())) for name in columns}
                    plant(desk.connection, table, cells)
                await check(desk, f"seed {seed}")
                check_start(desk, f"seed {seed}")
            await check_kill(desk)

    asyncio.run(run())


def test_thousands_of_rows_delay_no_command_beyond_seconds(home: Path) -> None:
    async def run() -> None:
        async with LiveDesk(home) as desk:
            desk.execute("BEGIN")
            for number in range(5_000):
                bad = {"body": "'garbage'"} if number % 2 else {}
                assert plant(desk.connection, "commands", bad)
            for table in ("settings", "audit", "alerts", "users"):
                for _ in range(1_000):
                    other = {"kind": "'other'"} if table == "alerts" else {}
                    assert plant(desk.connection, table, other)
            desk.execute("COMMIT")
            began = time.monotonic()
            await check_kill(desk)
            print(f"\nKILL behind 5,000 commands: {time.monotonic() - began:.2f} s")
            await check(desk, "thousands")
            alerts = desk.rows("SELECT count(*), sum(count) FROM alerts WHERE text LIKE 'a comm%'")
            assert alerts[0][0] <= 25
            assert 0 < alerts[0][1] <= 2_500  # what the KILL overtook was refused unread

    asyncio.run(run())


@pytest.mark.long
def test_a_whole_engine_starts_on_the_last_valid_settings_beside_damaged_rows_and_kills(
    tmp_path: Path,
) -> None:
    programs = Programs(tmp_path, free_port())
    prepare(programs.state)
    chance = Random(20261122)
    with closing(connect_writer(programs.state)) as connection:
        connection.execute("BEGIN")
        for table, columns in ROWS.items():
            for _ in range(200):
                column = chance.choice(list(columns))
                plant(connection, table, {column: chance.choice(list(VALUES.values()))})
        for state in ("claimed", "pending"):
            for body in ("'garbage'", VALUES["nested too deep"], VALUES["text that is none"]):
                plant(connection, "commands", {"state": f"'{state}'", "body": body})
        # Whatever was in force by then, this is the last that can be worked by, and one after it.
        connection.execute("UPDATE settings SET applied_ns = 2 WHERE version = 1")
        connection.execute("UPDATE settings SET applied_ns = 1 WHERE version <> 1")
        broken = {"body": "'{'", "applied_ns": "3", "version": "7000"}
        assert plant(connection, "settings", broken)
        connection.execute("COMMIT")
    try:
        programs.demo()
        engine = programs.engine()
        started = programs.command(StartBot(bot=BOT))
        assert started.state is CommandState.DONE, started.answer
        programs.until(lambda: programs.live() > 0, "an order rests")
        (told,) = programs.rows("SELECT text FROM alerts WHERE kind = 'settings'")
        assert "version 7000" in str(told)
        assert "the desk runs on version 1" in str(told)
        killed = programs.command(Kill())
        assert killed.answer.startswith("PROVEN: nothing of ours is open at 1 account")
        receipt = programs.receipt(KILL_PROOF)
        assert receipt is not None
        assert receipt.proven
        assert engine.poll() is None
        engine.terminate()
        assert engine.wait(LONG_S) == 0
    finally:
        programs.end()
