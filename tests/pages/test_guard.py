"""No page ends in a traceback, whatever stands in the rows of the state database."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st

from engine.config import Config
from tests.pages.seen import page_test, unfolded
from tests.pages.test_pages import run_engine, store_orders, store_run

DAMAGE: dict[str, Callable[[str], Any]] = {
    "nothing": lambda _: None,
    "an empty object": lambda kind: "{}" if kind == "TEXT" else 0,
    "a list": lambda kind: "[1]" if kind == "TEXT" else -1,
    "no JSON": lambda kind: "{no" if kind == "TEXT" else "many",
    "invalid UTF-8": lambda kind: b"\xff\xfe" if kind == "TEXT" else 1,
    "huge": lambda kind: "9" * 5_000 if kind == "TEXT" else 2**63 - 1,
    "deep": lambda kind: "[" * 5_000 if kind == "TEXT" else -(2**63),
}
"""What damage leaves in every column of a kind."""

KEPT = frozenset({"engine_id", "name", "account", "id"})
"""What a row is found by: a row nobody finds damages nothing."""

ASKED: dict[str, dict[str, str]] = {
    "overview": {},
    "bots": {"bot": "maker"},
    "orders": {"account": "paper:a", "order": "7"},
    "positions": {},
    "recordings": {},
    "risk": {},
    "runs": {"run": "1"},
    "alerts": {},
    "journal": {"text": ""},
    "jobs": {"job": "1"},
    "settings": {},
    "help": {},
}


@pytest.fixture
def filled(config: Config) -> Config:
    """A home in which every table has a row."""
    run_engine(config)
    store_orders(config)
    store_run(config)
    with sqlite3.connect(config.state_path) as connection:
        for table, columns in tables(connection).items():
            row = {
                name: {"TEXT": "x", "INTEGER": 1, "engine_id": "pitboss"}.get(
                    name if name == "engine_id" else kind, 1
                )
                for name, kind in columns.items()
            }
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})",
                tuple(row.values()),
            )
    return config


def tables(connection: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Return every table a page may read, with the kinds of its columns."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
        "AND name NOT LIKE 'alembic%' AND name != 'users'"
    )
    return {
        name: {
            row[1]: "TEXT" if "CHAR" in row[2] or row[2] in {"TEXT", "JSON"} else "INTEGER"
            for row in connection.execute(f"PRAGMA table_info({name})")
        }
        for (name,) in names.fetchall()
    }


def damage(config: Config, made: Callable[[str], Any]) -> None:
    """Write what cannot stand there into every column that takes it, as a broken disk would."""
    with sqlite3.connect(config.state_path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA foreign_keys = OFF")
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for table, columns in tables(connection).items():
            for name, kind in columns.items():
                if name in KEPT:
                    continue
                value = made(kind)
                where = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
                try:
                    connection.execute(f"UPDATE {table} SET {name} = {where}", (value,))
                except sqlite3.IntegrityError:
                    continue  # the file itself does not take it


@pytest.mark.sampled(2)
@pytest.mark.parametrize("left", DAMAGE)
def test_no_page_ends_in_a_traceback_on_any_row(filled: Config, left: str) -> None:
    damage(filled, DAMAGE[left])
    ended = []
    for name, query in ASKED.items():
        st.cache_data.clear()
        page = page_test(name)
        unfolded(page)
        page.session_state["who"] = "operator"
        for key, value in query.items():
            page.query_params[key] = value
        page.run()
        ended += [f"{name}: {one.value}" for one in page.exception]
        assert page.title or page.error, f"{name} shows nothing"
    assert not ended, "\n".join(ended)


def test_a_part_fails_in_a_sentence_and_the_traceback_is_in_the_log_alone(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    run_engine(config)
    with sqlite3.connect(config.state_path) as connection:
        connection.execute(
            """UPDATE engine_state SET detail = '{"feeds": {"polymarket": {"frames": 1}}}'"""
        )
    st.cache_data.clear()
    page = page_test("recordings")
    page.session_state["who"] = "operator"
    with caplog.at_level(logging.ERROR, "pages.kit.guard"):
        page.run()
    assert not page.exception
    said = [one.value for one in page.error]
    assert len(said) == 1
    assert "The list of feeds cannot be read now" in said[0]
    assert "written by another program" in said[0]
    assert "Feeds" in [one.value for one in page.subheader]
