"""A window across `kill -9` and the start after it: both lives are the same again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engine.config import Config
from engine.domain.commands import StartBot
from engine.domain.effects import PlaceOrder
from engine.lab.incident.past import position_at, recorded_runs
from engine.lab.incident.run import Incident, incident
from storage.commands import CommandState
from storage.incidents import journal_span
from tests.lab.incident.conftest import Journal
from tests.live.programs import BOT, LONG_S, Programs, prepare
from tests.ports import free_port

AROUND_NS = 600 * 1_000_000_000
PLACED = 5
"""Orders each life must have placed: enough to have something to compare."""


def trade(programs: Programs, since_ns: int) -> None:
    """Wait until orders made since then reached the exchange, and the first is on the tape.

    What a crash takes from the tape's end is not compared.
    """
    sql = (
        "SELECT count(*), min(created_ns) FROM orders "
        f"WHERE created_ns > {since_ns} AND state != 'pending'"
    )

    def traded() -> bool:
        count, first_ns = programs.rows(sql)[0]
        if int(str(count)) < PLACED:
            return False
        folder = Config(home=programs.home).tape_folder
        return position_at(folder, int(str(first_ns)) + 1, lambda _: None) is not None

    programs.until(traded, "it trades")


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A home in which an engine was killed, started again and ended in order; when it died."""
    home = tmp_path_factory.mktemp("crashed")
    programs = Programs(home, free_port())
    prepare(programs.state)
    try:
        programs.demo()
        engine = programs.engine()
        assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
        trade(programs, 0)
        engine.kill()
        engine.wait(150)
        died_ns = time.time_ns()
        engine = programs.engine()
        trade(programs, died_ns)
        engine.terminate()
        assert engine.wait(LONG_S) == 0
    finally:
        programs.end()
    return home, died_ns


@pytest.fixture
def copied(crashed: tuple[Path, int], tmp_path: Path) -> Config:
    """A copy of that home, to do with as one likes."""
    shutil.copytree(crashed[0], tmp_path / "home")
    return Config(home=tmp_path / "home")


def look(config: Config, died_ns: int) -> Incident:
    return incident(config, at_ns=died_ns, around_ns=AROUND_NS, show=lambda *_: None)


@pytest.mark.long
def test_a_window_across_a_crash_is_the_same_on_both_sides(crashed: tuple[Path, int]) -> None:
    home, died_ns = crashed
    config = Config(home=home)
    found = look(config, died_ns)
    compared = found.compared
    assert compared.difference is None, compared.sentence()
    assert compared.again
    assert compared.lives == 2
    # Of what a crash takes with it the page tells; nothing else may be missing.
    assert all("before a crash" in note for note in compared.notes), compared.notes
    (first, end_ns), (second, _) = recorded_runs(config.tape_folder)
    assert first.at_ns < died_ns < second.at_ns == end_ns
    began_us = (second.at_ns - found.window.begin_ns) // 1_000
    kinds = [
        {s["k"] for s in found.steps if (s["t"] < began_us) is before} for before in (True, False)
    ]
    for side in kinds:
        assert {"decision", "effect", "venue"} <= side
    alone = incident(
        config, at_ns=first.at_ns + 1, around_ns=died_ns - first.at_ns - 2, show=lambda *_: None
    ).compared
    assert (alone.lives, alone.difference) == (1, None)
    assert 0 < alone.effects < compared.effects
    assert 0 < alone.evaluations < compared.evaluations
    assert compared.until_ns > died_ns
    # The last turns of a life may have nothing to say to the journal.
    assert compared.until_ns < journal_span(config.journal_path).last_ns + 1_000_000_000


@pytest.mark.parametrize("which", [min, max])
def test_an_order_changed_in_either_life_is_named(
    crashed: tuple[Path, int], copied: Config, which: Callable[[list[int]], int]
) -> None:
    """Proof that each life is compared: the first order of the past, then the last one."""
    journal = Journal(copied.journal_path)
    found = journal.rows("SELECT seq FROM records WHERE kind = 'PlaceOrder'")
    seq = which([int(str(one)) for (one,) in found])

    def cheaper(body: bytes) -> bytes:
        placed = msgspec.msgpack.decode(body, type=PlaceOrder)
        changed = msgspec.structs.replace(placed.order, price=placed.order.price - 100)
        return msgspec.msgpack.encode(PlaceOrder(order=changed, identity=placed.identity))

    journal.change(seq, cheaper)
    assert (journal.at_ns(seq) < crashed[1]) is (which is min)
    difference = look(copied, crashed[1]).compared.difference
    assert difference is not None
    assert difference.what.startswith(f"record {seq} of ")
