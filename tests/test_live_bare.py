"""KILL where no engine lives and the journal refuses: orders are cancelled, nothing is claimed."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from engine.__main__ import STORAGE_REFUSED
from engine.config import load
from engine.domain.commands import StartBot
from engine.live_bare import cancel_bare
from engine.live_venues import venues_of
from tests.live_programs import BOT, Programs, free_port, ledger_of_the_exchange, prepare


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


@contextmanager
def damaged(journal: Path) -> Iterator[None]:
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("UPDATE records SET crc = crc + 1 WHERE seq = 3")
        connection.commit()
    yield


@contextmanager
def locked(journal: Path) -> Iterator[None]:
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize(
    ("refusing", "why"),
    [(damaged, "record 3 does not match its checksum"), (locked, "is locked by another process")],
)
def test_a_kill_without_a_readable_journal_cancels_and_says_not_proven(
    programs: Programs, refusing: Callable[[Path], AbstractContextManager[None]], why: str
) -> None:
    programs.demo()
    engine = programs.engine()
    programs.command(StartBot(bot=BOT))
    programs.until(programs.live, "it quotes")
    engine.kill()
    engine.wait(10)
    with refusing(programs.home / "journal.db"):
        killer: subprocess.Popen[bytes] = programs.start(
            "kill", "--demo", f"http://127.0.0.1:{programs.port}"
        )
        assert killer.wait(60) == STORAGE_REFUSED
    said = (programs.home / "kill.log").read_text()
    assert "NOT PROVEN and not kept: demo: cancelled; its venue lists no open order" in said
    assert why in said.splitlines()[-1]
    assert (programs.home / "KILL").exists()
    assert asyncio.run(ledger_of_the_exchange(programs.port))[2] == 0


def test_a_venue_that_does_not_answer_is_named(programs: Programs) -> None:
    config = load({"PITBOSS_HOME": str(programs.home)})
    venues = venues_of(config, f"http://127.0.0.1:{free_port()}", fence=0, killed=True)
    (said,) = asyncio.run(cancel_bare(config, venues))
    assert said.startswith("demo: NOT cancelled, as far as is known: ")
