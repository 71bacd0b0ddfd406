"""A desk whose journal lost its write-ahead log: refused, shown, accepted by a person, goes on."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine import __main__
from engine.config import Config
from engine.domain.commands import Kill, ReleaseLatch, ResumeBot, StartBot
from engine.domain.events import FillsListed, LossAccepted
from engine.domain.instruments import AccountId
from engine.live import lost_records
from engine.venues.demo.client import DemoVenue
from storage import loss as storage_loss
from storage.commands import KILL_PROOF, CommandState
from storage.database import connect_reader, connect_writer, insert, writing
from storage.journal import last_seq, take_lease
from storage.journal_writer import JournalWriter, RawRow
from storage.latch import read_latch
from storage.projection import VERSION, Loss, find_loss, project
from storage.schema import migrate
from storage.settings import applied, save
from storage.users import ENGINE_ID
from tests.live.programs import (
    BOT,
    Programs,
    check_books,
    ledger_of_the_exchange,
    prepare,
)
from tests.ports import free_port


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before_the_journal(patch: pytest.MonkeyPatch) -> None:
    """Die once audit, alert and latch are kept and the journal has nothing of it."""
    patch.setattr(lost_records, "accept", _die)


def _at(kind: type, *, after: bool) -> Callable[[pytest.MonkeyPatch], None]:
    """Die in the transaction, as the records up to the first of a kind have been written."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        write = storage_loss.RECORDS.write

        def torn(connection: Any, rows: list[RawRow]) -> None:
            at = next(i for i, row in enumerate(rows) if row[3] == kind.__name__)
            write(connection, rows[: at + after])
            _die()

        patch.setattr(storage_loss.RECORDS, "write", torn)

    return apply


DEATHS = {
    "before the journal is written": _before_the_journal,
    "while fetched fills are written": _at(FillsListed, after=True),
    "while the starting number is written": _at(LossAccepted, after=True),
}


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


def recovered(programs: Programs, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    url = f"http://127.0.0.1:{programs.port}"
    code = __main__.main(["recover", "--demo", url, "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def killed(programs: Programs, apply: Callable[[pytest.MonkeyPatch], None]) -> int | None:
    """Accept the loss in a process that is killed on its way; give how it ended."""

    def accepts() -> None:
        sys.stdout = sys.stderr = (programs.home / "recover.log").open("w")
        patch = pytest.MonkeyPatch()
        apply(patch)
        url = f"http://127.0.0.1:{programs.port}"
        os._exit(__main__.main(["recover", "--demo", url, "--accept-loss", "--who", "ann"]))

    process = multiprocessing.get_context("fork").Process(target=accepts)
    process.start()
    process.join(150)
    return process.exitcode


def ids(programs: Programs, table: str) -> set[object]:
    return {row[0] for row in programs.rows(f"SELECT id FROM {table}")}


async def _fills(port: int) -> set[str]:
    venue = DemoVenue(f"http://127.0.0.1:{port}", AccountId("demo"))
    try:
        return {str(fill.fill) for fill in (await venue.fills(0)).fills}
    finally:
        await venue.close()


def check_deaths(programs: Programs, found: Loss) -> None:
    """Kill the acceptance at each of its steps: nothing has changed and nothing is silent."""
    kept = "SELECT count(*) FROM audit WHERE what = 'journal loss accepted'"
    for count, (story, death) in enumerate(DEATHS.items(), 1):
        ended = killed(programs, death)
        assert ended == -signal.SIGKILL, f"{story}: {(programs.home / 'recover.log').read_text()}"
        journal = programs.home / "journal.db"
        assert find_loss(journal, programs.state, ENGINE_ID) == found, story
        assert programs.rows(kept) == [(count,)], story
        assert programs.rows("SELECT 1 FROM alerts WHERE kind = 'journal_loss'"), story
        assert programs.engine().wait(150) == __main__.STORAGE_REFUSED, story


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_lost_write_ahead_log_is_refused_shown_accepted_and_traded_on(
    programs: Programs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(programs.home))
    journal = programs.home / "journal.db"
    programs.demo()
    engine = programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")
    programs.filled(5)
    engine.kill()
    engine.wait(150)
    read = programs.rows("SELECT seq FROM projection")[0][0]
    orders, fills = ids(programs, "orders"), ids(programs, "fills")
    log = journal.with_name("journal.db-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 3])
    found = find_loss(journal, programs.state, ENGINE_ID)
    assert found is not None
    left = found.journal_seq

    engine = programs.engine()
    assert engine.wait(150) == __main__.STORAGE_REFUSED
    said = (programs.home / "run" / "last_error").read_text()
    assert f"record {left}" in said or not left
    assert f"up to record {read}" in said
    assert recovered(programs, capsys)[0] == __main__.PROBLEM

    check_deaths(programs, found)

    code, shown = recovered(programs, capsys, "--accept-loss", "--who", "ann")
    assert code == 0
    assert (shown["journal_seq"], shown["projected_seq"]) == (left, read)
    above = shown["accounts"]["demo"]["next_order_above"]
    assert above > max(int(str(number)) for number in orders)
    assert last_seq(journal) > left
    assert read_latch(programs.home / "KILL") is not None
    assert recovered(programs, capsys)[1] == {"lost": False}

    engine = programs.engine()
    programs.until(
        lambda: (receipt := programs.receipt(KILL_PROOF)) and receipt.proven, "zero is proven"
    )
    there = asyncio.run(_fills(programs.port))
    programs.until(lambda: there <= ids(programs, "fills"), "every fill of the venue is booked")
    assert fills <= ids(programs, "fills")
    assert orders <= ids(programs, "orders")
    assert programs.command(ReleaseLatch(reason="compared")).state is CommandState.DONE
    went_on = [programs.command(one(bot=BOT)).state for one in (ResumeBot, StartBot)]
    assert CommandState.DONE in went_on  # whichever its state, as the journal has it, allows
    programs.until(
        lambda: max(map(int, map(str, ids(programs, "orders"))), default=0) > above, "it trades"
    )
    engine.terminate()
    assert engine.wait(150) == 0
    with closing(connect_reader(programs.state)) as connection:
        odd = "SELECT kind, text FROM alerts WHERE kind IN ('contradiction', 'unknown_report')"
        assert connection.execute(odd).fetchall() == []
    check_books(programs)


def in_the_log_alone(programs: Programs) -> int:
    """Return how many projected records the journal's file lacks without its write-ahead log."""
    path = f"file:{programs.home / 'journal.db'}?immutable=1"
    try:
        with closing(sqlite3.connect(path, uri=True)) as alone:
            (last,) = alone.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()
    except sqlite3.DatabaseError:  # read while a checkpoint wrote it
        return 0
    return int(programs.rows("SELECT seq FROM projection")[0][0]) - int(last)


def stopped_ahead_of_its_file(
    programs: Programs, engine: subprocess.Popen[bytes], at_least: int
) -> bool:
    """Stop the engine for good where so many projected records are in its log alone."""
    engine.send_signal(signal.SIGSTOP)
    if in_the_log_alone(programs) >= at_least:
        return True
    engine.send_signal(signal.SIGCONT)
    return False


@pytest.mark.timeout(600)
def test_a_kill_beside_a_lost_journal_cancels_all_and_hides_no_loss(programs: Programs) -> None:
    programs.demo()
    engine = programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")
    programs.filled(2)
    programs.until(
        lambda: stopped_ahead_of_its_file(programs, engine, 20), "the log holds what is projected"
    )
    engine.kill()
    engine.wait(150)
    read = programs.rows("SELECT seq FROM projection")[0][0]
    orders, fills = ids(programs, "orders"), ids(programs, "fills")
    # All of it: after a checkpoint the log begins anew in the same file, and a part may be whole.
    (programs.home / "journal.db-wal").write_bytes(b"")

    kill = programs.start("kill", "--demo", f"http://127.0.0.1:{programs.port}")

    assert kill.wait(150) == __main__.STORAGE_REFUSED
    said = (programs.home / "kill.log").read_text()
    assert "NOT PROVEN" in said
    assert f"has read it up to record {read}" in said
    assert asyncio.run(ledger_of_the_exchange(programs.port))[2] == 0
    found = find_loss(programs.home / "journal.db", programs.state, ENGINE_ID)
    assert found is not None
    assert found.projected_seq == read
    assert (ids(programs, "orders"), ids(programs, "fills")) == (orders, fills)


def test_an_account_whose_venue_cannot_be_asked_is_shown_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    migrate(tmp_path / "pitboss.db")
    real = {"name": "real", "venue": "polymarket", "mode": "live"}
    with closing(connect_writer(tmp_path / "pitboss.db")) as state:
        diff = {"accounts": {"real": real}}
        save(state, engine_id=ENGINE_ID, who="ann", diff=diff, base_version=0, now_ns=1)
        applied(state, ENGINE_ID, 1, 1)
        insert(state, "projection", engine_id=ENGINE_ID, version=VERSION, seq=5, crc=1)
    assert __main__.main(["recover", "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)["accounts"]["real"]
    assert shown["open_at_the_venue"] is None
    assert "its key is missing" in shown["not_asked"]
    assert __main__.main(["recover"]) == 1
    told = capsys.readouterr().out
    assert "0 open there now" not in told
    assert "NOT ASKED" in told


def lost_without_account(home: Path) -> None:
    """Lose a record of a journal that no account has any in."""
    config = Config(home=home)
    take_lease(config.journal_path, ENGINE_ID)
    writer = JournalWriter(config.journal_path, engine_id=ENGINE_ID)
    for at_ns in (1, 2, 3):
        writer.append("", Kill(), at_ns)
        writer.flush()
    writer.close()
    project(config.journal_path, config.state_path)
    with closing(sqlite3.connect(config.journal_path)) as connection:
        connection.execute("DELETE FROM records WHERE seq = 3")
        connection.commit()


def test_a_loss_of_a_home_that_no_account_ever_traded_from_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    migrate(tmp_path / "pitboss.db")
    lost_without_account(tmp_path)
    code = __main__.main(["recover", "--accept-loss", "--who", "ann"])
    assert code == __main__.BAD_ARGUMENTS
    said = capsys.readouterr().err
    assert "no account was ever opened from this home" in said
    assert "bug" not in said
    assert read_latch(tmp_path / "KILL") is None


def test_accounts_of_the_settings_that_were_never_opened_go_on_after_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    state = tmp_path / "pitboss.db"
    migrate(state)
    paper = {"name": "paper", "venue": "demo", "mode": "paper"}
    with writing(state) as connection:
        saved = save(
            connection, engine_id=ENGINE_ID, who="ann", diff={"accounts": {"paper": paper}},
            base_version=0, now_ns=1,
        )  # fmt: skip
        applied(connection, ENGINE_ID, saved.version, 1)
    lost_without_account(tmp_path)
    code = __main__.main(["recover", "--accept-loss", "--who", "ann", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert code == 0, shown
    assert list(shown["accounts"]) == ["paper"]
    assert find_loss(tmp_path / "journal.db", state, ENGINE_ID) is None
    assert read_latch(tmp_path / "KILL")
