"""Homes of users go on: what an older version left is whole under this one."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instruments import AccountId, Leg
from engine.domain.settings import SettingsDocument
from engine.runtime.recovery import executor_of, recover
from storage import projected, projection, schema
from storage.database import reading, writing
from storage.projected import PROJECTED
from storage.projected.positions import PositionRow
from storage.projection import accounts_known, bring_up_to_date, check_past, project
from storage.schema import check_schema
from storage.settings import Saved, applied, in_force, latest, save
from storage.tables import TABLES
from storage.users import ENGINE_ID
from tests.additions.plugins.toy.projected import fill_counts
from tests.storage.homes import lay, schemas

Tables = dict[str, list[dict[str, Any]]]


def tables(path: Path) -> Tables:
    """Return every row of every table of a state file, as dicts in order."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name != "alembic_version"
        ]
        return {
            name: sorted(
                (dict(row) for row in connection.execute(f"SELECT * FROM {name}")), key=str
            )
            for name in names
        }


def in_both(before: Tables, after: Tables) -> Tables:
    """Return the rows of `after` with the tables and columns alone that were there before."""
    return {
        name: [{column: row[column] for column in rows[0]} for row in after[name]] if rows else []
        for name, rows in before.items()
    }


def summed(positions: list[dict[str, Any]]) -> dict[tuple[str, ...], Counter[str]]:
    """Return what each leg's rows of all owners sum to."""
    found: dict[tuple[str, ...], Counter[str]] = {}
    for row in positions:
        total = found.setdefault((row["account"], row["instrument"], row["leg"]), Counter())
        total.update({name: row[name] for name in SUMMED})
    return found


SUMMED = (
    "settled", "pending", "bought", "sold", "spent_micro", "received_micro", "fee_micro",
    "unvalued",
)  # fmt: skip


@pytest.fixture(params=schemas())
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return lay(request.param, tmp_path)


def test_a_home_is_kept_of_each_schema_that_a_script_led_on_from() -> None:
    assert set(schema.scripts()[:-1]) | {schema.BASELINE} <= set(schemas()), (
        "a script was added: keep a home of the schema before it in tests/storage/homes"
    )


def test_a_kept_home_has_something_of_everything(home: Path) -> None:
    found = tables(home / "pitboss.db")
    named = ("alerts", "jobs", "commands", "settings", "equity", "pnl", "markouts", "recordings")
    for name in (*named, *(table.name for table in PROJECTED.values())):
        assert found.get(name, True), name


def test_an_old_home_is_brought_up_and_every_row_is_as_it_was(home: Path) -> None:
    state, journal = home / "pitboss.db", home / "journal.db"
    before = tables(state)
    backup = bring_up_to_date(state, journal)
    assert backup is not None
    assert tables(Path(backup)) == before
    check_schema(state)
    positions = before.pop("positions")
    after = tables(state)
    for name in ("settings", "audit"):  # the schedule's new entries: looked at on their own
        after[name] = [row for row in after[name] if row["who"] != "upgrade"]
    assert in_both(before, after) == before
    # Positions are by owner now: a table with another key is read from the journal again.
    project(journal, state)
    after = tables(state)["positions"]
    assert summed(after) == summed(positions)
    assert {row["bot"] for row in after} >= {row["bot"] for row in tables(state)["fills"]}


def test_rows_read_anew_from_the_journal_are_the_rows_that_were_migrated(home: Path) -> None:
    state, journal = home / "pitboss.db", home / "journal.db"
    bring_up_to_date(state, journal)
    before = tables(state)
    check_past(journal, state, ENGINE_ID)
    done = project(journal, state)
    assert (done.rebuilt, done.problems) == (True, ())
    after = tables(state)
    (read,) = after.pop("projection")
    # A noun of after that version: its rows come from the journal alone.
    started = {row["bot"] for row in after.pop("activations")}
    assert started == {row["name"] for row in after["bots"]}
    del before["projection"], before["positions"], before["activations"]
    assert after.pop("positions")
    assert after == before
    assert read["seq"] == done.seq
    assert not project(journal, state).rebuilt


def test_an_old_journal_is_the_positions_of_an_old_state(home: Path) -> None:
    state, journal = home / "pitboss.db", home / "journal.db"
    bring_up_to_date(state, journal)
    with reading(state) as connection:
        accounts = accounts_known(connection, ENGINE_ID)
        resolved = {
            name
            for (name,) in connection.execute(
                "SELECT instrument FROM listings WHERE payout_yes_micro IS NOT NULL"
            )
        }
    executors = {AccountId(name): executor_of(one, 0)[0] for name, one in accounts.items()}
    assert recover(journal, executors).seq == projection.project(journal, state).seq
    with reading(state) as connection:
        shown = PROJECTED[PositionRow].rows.all(connection, "engine_id = ?", (ENGINE_ID,))
    held = {
        (account, instrument, leg, one.owner): size
        for account, executor in executors.items()
        for one in executor.ledger.of_owners()
        for instrument in (one.instrument,)
        for leg, size in (
            (Leg.YES, one.yes_settled + one.yes_pending),
            (Leg.NO, one.no_settled + one.no_pending),
        )
        if size
    }
    assert held
    assert held == {
        (row.account, row.instrument, row.leg, row.bot): row.settled + row.pending
        for row in shown
        if row.settled + row.pending and row.instrument not in resolved
    }


def test_a_noun_that_is_added_is_filled_from_the_whole_past_and_changes_no_other_row(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, journal = home / "pitboss.db", home / "journal.db"
    bring_up_to_date(state, journal)
    project(journal, state)
    before = tables(state)
    noun, (table,) = fill_counts.NOUN, fill_counts.NOUN.tables
    handled = projected.HANDLERS["FillBooked"]
    monkeypatch.setitem(projected.HANDLERS, "FillBooked", [*handled, fill_counts.on_fill_booked])
    monkeypatch.setitem(PROJECTED, table.kind, table)
    monkeypatch.setattr(projection, "MARKS", projection.MARKS | {f"fill_counts:{noun.mark}"})
    monkeypatch.setattr(projection, "TABLES", (*projection.TABLES, table.name))
    monkeypatch.setitem(TABLES, table.name, table.declared)
    assert bring_up_to_date(state, journal) is not None
    done = project(journal, state)
    assert (done.rebuilt, done.problems) == (True, ())
    after = tables(state)
    counts = after.pop(table.name)
    del after["projection"], before["projection"]
    assert after == before
    fills = [row for row in before["fills"] if row["state"] != "failed"]
    assert sum(row["fills"] for row in counts) == len(fills)
    assert sum(row["size"] for row in counts) == sum(row["size"] for row in fills)


def test_a_noun_that_is_gone_costs_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, journal = home / "pitboss.db", home / "journal.db"
    bring_up_to_date(state, journal)
    with monkeypatch.context() as patch:
        patch.setattr(projection, "MARKS", projection.MARKS | {"marbles:1.00000000"})
        assert project(journal, state).rebuilt
    assert not project(journal, state).rebuilt


def test_an_old_home_gets_the_schedules_new_entries_once_and_in_force(tmp_path: Path) -> None:
    home = lay("0021", tmp_path)
    state = home / "pitboss.db"
    with reading(state) as connection:
        before = latest(connection, ENGINE_ID)
    bring_up_to_date(state, home / "journal.db")
    with reading(state) as connection:
        found = in_force(connection, ENGINE_ID)
        assert latest(connection, ENGINE_ID).version == found.version == before.version + 1
    schedule = found.document.schedule
    assert found.who == "upgrade"
    assert schedule.keys() - before.document.schedule.keys() == {
        "report", "report-weekly", "report-monthly", "pnl",
    }  # fmt: skip
    fresh = SettingsDocument().schedule
    # Its list of markets was fetched long ago: what is first at once is so in a new home.
    fresh["markets"] = fresh["markets"].model_copy(update={"at_once": False})
    assert {name: schedule[name] for name in fresh if name != "compact"} == {
        name: entry for name, entry in fresh.items() if name != "compact"
    }
    assert schedule["compact"].cron == "40 2 * * sun", "what a person may have chosen stays"
    changed = found.document.model_copy(update={"schedule": before.document.schedule})
    assert changed == before.document


def test_an_entry_that_a_person_took_out_stays_out(tmp_path: Path) -> None:
    state = lay("0021", tmp_path) / "pitboss.db"
    with writing(state) as connection:
        for diff in ({"report": REPORT}, {"report": None}):
            base = latest(connection, ENGINE_ID).version
            made = save(
                connection, engine_id=ENGINE_ID, who="ann", diff={"schedule": diff},
                base_version=base, now_ns=base + 1,
            )  # fmt: skip
            assert isinstance(made, Saved)
            applied(connection, ENGINE_ID, made.version, made.version)
    schema.migrate(state)
    with reading(state) as connection:
        schedule = in_force(connection, ENGINE_ID).document.schedule
    assert "report" not in schedule
    assert "pnl" in schedule


REPORT = {"cron": "0 9 * * *", "job": "report"}


def test_a_version_that_is_saved_and_not_applied_is_left_to_its_person(tmp_path: Path) -> None:
    state = lay("0021", tmp_path) / "pitboss.db"
    with writing(state) as connection:
        base = latest(connection, ENGINE_ID).version
        save(
            connection, engine_id=ENGINE_ID, who="ann", diff={"schedule": {"report": REPORT}},
            base_version=base, now_ns=base + 1,
        )  # fmt: skip
    schema.migrate(state)
    with reading(state) as connection:
        assert latest(connection, ENGINE_ID).who == "ann"
        assert in_force(connection, ENGINE_ID).version == base
