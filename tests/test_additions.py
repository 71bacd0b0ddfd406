"""Proof by adding: what `tests/additions` holds is laid beside the product, and works there.

No file of the product is edited: the copy that runs is the product as it is, with more files; once
as the plug-in it is, and once with each of its files in the room of its kind. A limit alone is rows
in four files, in the rooms only.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.domain.commands import ApplySettings, PauseBot, PlaceManual, ResumeBot, StartBot
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from storage.commands import CommandState
from storage.database import writing
from storage.settings import Saved, latest, save
from storage.users import ENGINE_ID
from tests.kit.additions import LAWS, PRODUCT, ROOMS, copy, lay
from tests.kit.plugins import write
from tests.lab.conftest import write_recording
from tests.live.programs import BOT, Programs, prepare
from tests.ports import free_port
from tests.storage.homes import lay as lay_home
from tests.test_plugins import BROKEN


@pytest.fixture(scope="module", params=["plugins", pytest.param("rooms", marks=pytest.mark.long)])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the product with the additions laid beside it."""
    folder = tmp_path_factory.mktemp("source")
    copy(folder, *PRODUCT)
    lay(folder, as_plugin=request.param == "plugins")
    if request.param == "plugins":
        write(folder / "plugins", BROKEN)
    return folder


@pytest.fixture
def with_a_broken_one(source: Path) -> None:
    """Go on where the additions are a plug-in, beside which a broken one lies."""
    if not (source / "plugins").is_dir():
        pytest.skip("these additions lie in the rooms: nothing can be switched off")


@pytest.fixture(scope="module")
def desk(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A running desk of that product: demo exchange, engine, worker."""
    programs = Programs(tmp_path_factory.mktemp("home"), free_port(), source)
    prepare(programs.state)
    # The home was laid by the product without the additions: their tables are laid into it.
    migrated = ran(source, programs.home, "-m", "engine", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    try:
        programs.demo()
        programs.engine()
        programs.start("worker")
        assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
        yield programs
    finally:
        programs.end()


def said(programs: Programs, *words: str) -> str:
    """Return what the command line of that product says."""
    return ran(programs.source, programs.home, "-m", "engine", *words).stdout


def ran(
    source: Path, home: Path, *words: str, timeout_s: float = 150
) -> subprocess.CompletedProcess[str]:
    """Run Python over that product."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=source,
        env={**os.environ, "PITBOSS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


CHECKED = """
import json
from engine.contracts.things import things

before = set(map(tuple, json.loads({before!r})))
new = [one for one in things() if (one.kind, one.name) not in before]
print(json.dumps([(one.kind, one.name, list(one.check())) for one in new]))
"""


@pytest.fixture(scope="module")
def before() -> str:
    """Return what the product has without them, as JSON of (kind, name)."""
    from engine.contracts.things import things

    return json.dumps([(one.kind, one.name) for one in things()])


@pytest.mark.long
def test_every_addition_is_found_and_keeps_its_contract(
    source: Path, before: str, tmp_path: Path
) -> None:
    done = ran(source, tmp_path / "home", "-c", CHECKED.format(before=before))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    kinds = {*ROOMS, "jobs", "commands"} | (
        {"limits"} if not (source / "plugins").is_dir() else set()
    )
    assert {kind for kind, _, _ in found} == kinds
    assert [one for one in found if one[2]] == []


LAWS_READ = (
    "tests/contracts",
    "tests/test_docs.py",
    "tests/test_architecture.py",
    "tests/test_sizes.py",
    "tests/test_distance.py",
    "tests/test_plugins.py",
    "tests/test_banned_words.py",
    "tests/domain",
    "tests/venues/test_contract.py",
    "tests/pages/test_help_texts.py",
    "tests/watch/test_channels.py",
)
"""What reads everything that is found, or the whole source."""


@pytest.mark.soak
def test_laws_and_contracts_stay_green_with_every_addition_in_its_room(tmp_path: Path) -> None:
    copy(tmp_path, *PRODUCT, *LAWS)
    lay(tmp_path, as_plugin=False)
    home = tmp_path / "home"
    assert ran(tmp_path, home, "-m", "tests.write_docs").returncode == 0
    done = ran(
        tmp_path,
        home,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        *LAWS_READ,
        timeout_s=900,
    )
    assert done.returncode == 0, done.stdout[-8_000:]


@pytest.mark.long
def test_an_added_command_is_taken_and_answered(desk: Programs) -> None:
    output = said(desk, "command", "count-open-orders", "account=demo")
    assert "done" in output
    assert "unknown at demo" in output


def test_an_added_job_is_run_by_the_worker(desk: Programs) -> None:
    assert "done" in said(desk, "command", "run-job", "job=fillcount")
    ended = "SELECT result FROM jobs WHERE kind = 'fillcount' AND state = 'done'"
    desk.until(lambda: desk.rows(ended), "the worker has done it")
    assert json.loads(str(desk.rows(ended)[0][0]))["fills"] >= 0


@pytest.fixture(scope="module")
def table(desk: Programs) -> AccountId:
    """An account at the added venue, in force."""
    account, now_ns = AccountId("table"), time.time_ns()
    diff = {"accounts": {account: {"name": account, "venue": "toy", "mode": "demo"}}}
    with writing(desk.state) as connection:
        base = latest(connection, ENGINE_ID).version
        saved = save(
            connection, engine_id=ENGINE_ID, who="t", diff=diff, base_version=base, now_ns=now_ns
        )
    assert isinstance(saved, Saved)
    applied = desk.command(ApplySettings(version=saved.version))
    assert applied.state is CommandState.DONE, applied.answer
    return account


def test_an_added_venue_is_listed_and_takes_an_order(desk: Programs, table: AccountId) -> None:
    assert "1 market is open: 0 new" in said(desk, "command", "sync-markets", "venue=toy")
    order = PlaceManual(
        account=table, instrument=InstrumentId("toy:marble"), leg=Leg.YES, side=Side.BUY,
        price=1_000, size=10_000_000,
    )  # fmt: skip
    desk.until(lambda: desk.command(order).state is CommandState.DONE, "it takes an order")
    resting = "SELECT 1 FROM orders WHERE account = 'table' AND state = 'open'"
    desk.until(lambda: desk.rows(resting), "the order rests at the added venue")


OPENED = """
from streamlit.testing.v1 import AppTest

drawn = '''
from pages import found_pages
next(one for one in found_pages() if one.name == "marbles").draw()
'''
page = AppTest.from_string(drawn).run(timeout=150)
assert not page.exception, page.exception
print(page.header[0].value, *(one.proto.body for one in page.get("html")))
"""


@pytest.mark.long
@pytest.mark.usefixtures("table")
def test_an_added_page_shows_an_added_kind_of_alert(desk: Programs) -> None:
    stored = "SELECT 1 FROM alerts WHERE kind = 'few_marbles'"
    desk.until(lambda: desk.rows(stored), "the added venue has raised it")
    done = ran(desk.source, desk.home, "-c", OPENED)
    output = done.stdout
    assert "Marbles" in output, done.stderr
    assert "the toy venue has one marble" in output
    assert "Few marbles are left. Buy some." in output


@pytest.mark.long
def test_an_added_command_of_the_command_line_is_run(desk: Programs) -> None:
    assert said(desk, "marbles", "--colour", "red") == "1 red marble\n"
    assert "how many marbles" in said(desk, "--help")


@pytest.mark.usefixtures("with_a_broken_one")
def test_a_broken_plugin_is_told_by_the_engine(desk: Programs) -> None:
    told = [str(text) for (text,) in desk.rows("SELECT text FROM alerts WHERE kind = 'plugin'")]
    for words in ("raises.py:1: ValueError: half a strategy", "PLUGIN of type VenuePlugin"):
        assert any(words in one for one in told), told
    assert not any("toy" in one for one in told)


@pytest.mark.long
@pytest.mark.usefixtures("table", "with_a_broken_one")
def test_an_engine_starts_without_the_plugin_whose_commands_it_has_journaled(
    desk: Programs,
) -> None:
    assert "unknown at demo" in said(desk, "command", "count-open-orders", "account=demo")
    assert "switched off" in said(desk, "plugins", "off", "toy")
    try:
        start_again(desk)
        assert desk.command(PauseBot(bot=BOT)).state is CommandState.DONE
        why = "SELECT text FROM alerts WHERE text LIKE '%account ''table'' stays closed%'"
        assert "engine plugins on toy" in str(desk.rows(why)[0][0])
    finally:
        said(desk, "plugins", "on", "toy")
        start_again(desk)
    assert desk.command(ResumeBot(bot=BOT)).state is CommandState.DONE


def start_again(desk: Programs) -> None:
    """Kill the engine, whose last records are then recovered one by one, and start another."""
    engine = next(one for one in desk.running if "run" in one.args)  # type: ignore[operator]
    engine.send_signal(signal.SIGKILL)
    engine.wait(60)
    desk.running.remove(engine)
    desk.engine()


@pytest.mark.long
def test_an_added_strategy_trades_by_an_added_indicator(source: Path, tmp_path: Path) -> None:
    tape = write_recording(tmp_path / "2026-04-13.jsonl", markets=1, frames=60)
    asked = ("-m", "engine", "replay", str(tape), "--bot", "pinger", "--json")
    done = ran(source, tmp_path / "home", *asked)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["orders"] > 0


FOLDED = """
from pathlib import Path
from storage.projection import project

home = Path({home!r})
print(project(home / "journal.db", home / "pitboss.db"))
"""


@pytest.mark.long
def test_an_added_noun_is_filled_from_an_old_homes_journal(source: Path, tmp_path: Path) -> None:
    home = lay_home("0021", tmp_path)
    for words in (("-m", "engine", "migrate"), ("-c", FOLDED.format(home=str(home)))):
        done = ran(source, home, *words)
        assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(home / "pitboss.db")) as connection:
        counted = connection.execute("SELECT sum(fills) FROM toy__fill_counts").fetchone()
        stand = connection.execute("SELECT count(*) FROM fills WHERE state <> 'failed'").fetchone()
    assert counted == stand != (0,)
