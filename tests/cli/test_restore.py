"""A desk put back to an earlier moment, by `restore` and by a copy of the home: one way goes on."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import __main__
from engine.domain.commands import ReleaseLatch, ResumeBot, StartBot
from engine.domain.instruments import AccountId
from engine.venues.demo.client import DemoVenue
from storage.backup import back_up
from storage.commands import KILL_PROOF, CommandState
from storage.latch import read_latch
from tests.live.programs import ACCOUNT, BOT, Programs, check_books, prepare
from tests.ports import free_port


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path / "home", free_port())
    made.home.mkdir()
    made.venue_home = tmp_path / "venue"
    made.venue_home.mkdir()
    prepare(made.state)
    yield made
    made.end()


def ids(programs: Programs, table: str) -> set[int | str]:
    return {row[0] for row in programs.rows(f"SELECT id FROM {table}")}  # type: ignore[misc]


def said(programs: Programs, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    url = f"http://127.0.0.1:{programs.port}"
    code = __main__.main([*words, "--demo", url, "--json"])
    return code, json.loads(capsys.readouterr().out)


async def fills_there(port: int) -> set[str]:
    venue = DemoVenue(f"http://127.0.0.1:{port}", AccountId("demo"))
    try:
        return {str(fill.fill) for fill in (await venue.fills(0)).fills}
    finally:
        await venue.close()


def traded(programs: Programs) -> None:
    """Trade, make a backup and a copy of the home, trade on, and die."""
    engine = programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(programs.live, "an order rests")
    programs.filled(2)
    files = {path.name: path for path in (programs.state, programs.home / "journal.db")}
    back_up(files, programs.home / "backups", name="then", on_progress=lambda *_: None)
    engine.kill()
    engine.wait(150)
    shutil.copytree(programs.home, programs.home.with_name("copy"))
    engine, orders = programs.engine(), programs.count("orders")
    programs.until(lambda: programs.count("orders") > orders, "it trades on")
    programs.filled(3)
    programs.until(programs.live, "an order rests")
    engine.kill()
    engine.wait(150)


def check_goes_on(programs: Programs, above: int) -> None:
    """See that the desk trades on above every number, with the books of the exchange."""
    assert read_latch(programs.home / "KILL") is not None
    engine = programs.engine()
    programs.until(
        lambda: (receipt := programs.receipt(KILL_PROOF)) and receipt.proven, "zero is proven"
    )
    there = asyncio.run(fills_there(programs.port))
    programs.until(lambda: there <= ids(programs, "fills"), "every fill of the venue is booked")
    assert programs.command(ReleaseLatch(reason="compared")).state is CommandState.DONE
    went_on = [programs.command(one(bot=BOT)).state for one in (ResumeBot, StartBot)]
    assert CommandState.DONE in went_on
    programs.until(
        lambda: max(map(int, ids(programs, "orders")), default=0) > above, "it trades on above"
    )
    engine.terminate()
    assert engine.wait(150) == 0
    refused = "SELECT count(*) FROM orders WHERE reason LIKE '%uplicate%'"
    assert programs.rows(refused) == [(0,)]
    check_books(programs)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_restored_backup_books_what_the_venue_knows_and_trades_on_above_it(
    programs: Programs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(programs.home))
    programs.demo()
    traded(programs)
    orders, fills = ids(programs, "orders"), ids(programs, "fills")
    code, shown = said(programs, capsys, "restore", "then", "--show")
    assert (code, shown["restored"]) == (0, "")
    assert ids(programs, "orders") == orders

    code, shown = said(programs, capsys, "restore", "then", "--who", "ann")
    assert (code, shown["restored"]) == (0, "then")
    assert {path.name for path in Path(shown["aside"]).iterdir()} >= {"pitboss.db", "journal.db"}
    above = shown["accounts"][ACCOUNT]["next_order_above"]
    assert above > max(map(int, orders))
    check_goes_on(programs, above)
    assert fills <= ids(programs, "fills")
    assert orders <= ids(programs, "orders")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_copy_of_the_home_put_back_places_nothing_and_is_led_to_recover(
    programs: Programs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(programs.home))
    programs.demo()
    traded(programs)
    last, fills = max(map(int, ids(programs, "orders"))), ids(programs, "fills")
    shutil.rmtree(programs.home)
    programs.home.with_name("copy").rename(programs.home)
    before, copied_ns = ids(programs, "orders"), time.time_ns()

    engine = programs.engine()
    halted = "SELECT text FROM alerts WHERE kind = 'contradiction'"
    programs.until(lambda: programs.rows(halted), "it says that the journal is behind")
    assert "python -m engine recover" in str(programs.rows(halted)[0][0])
    assert before <= ids(programs, "orders"), "the journal may know more than the rows did"
    assert programs.rows(f"SELECT id FROM orders WHERE created_ns > {copied_ns}") == []
    engine.terminate()
    engine.wait(150)

    code, shown = said(programs, capsys, "recover", "--accept-loss", "--who", "ann")
    assert code == 0
    above = shown["accounts"][ACCOUNT]["next_order_above"]
    assert above > last
    check_goes_on(programs, above)
    assert fills <= ids(programs, "fills")
    assert said(programs, capsys, "recover") == (0, {"lost": False})
