"""Simulated lives told again: the faults are the simulation's, the judge is the telling."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.decision_log import DecisionLog
from engine.domain.effects import KeepStart, SetTimer
from engine.domain.settings import SettingsDocument
from engine.journal import Record
from engine.lab.explain_command import words
from engine.lab.retell import Retelling, Retold
from engine.lab.retell_accounts import ToldAccounts
from engine.lab.simulate.faults import Fault
from engine.lab.simulate.restless import Restless
from engine.lab.simulate.station import Station
from engine.lab.simulate.world import World
from storage.decision_history import every_plan

START = KeepStart.__name__
DEATHS = (Fault.CRASH, Fault.LOST_BEFORE, Fault.LOST_AFTER)


def lived(seed: int, folder: Path, patch: pytest.MonkeyPatch, snapshot_every: int = 200) -> Station:
    """An account whose engines die with orders nobody answered about, its decisions in a log."""
    for wish in ("_target", "_basket"):
        patch.setattr(Restless, wish, Restless._quotes)  # what others wish for stands in no plan
    world = World(seed, faults=DEATHS, accounts=1)
    (station,) = world.stations
    station._series = False
    del station._events[1:]
    station.snapshot_every = snapshot_every
    log = DecisionLog(folder / "decisions.db", engine_id="simulated", waits_when_full=True)
    station.decide = log.append
    outcome = world.run(3.0)
    log.close()
    assert outcome.verdicts == ()
    assert outcome.counts["starts"] > 2
    return station


def told_again(station: Station, folder: Path, records: list[Record]) -> Retold:
    document = SettingsDocument(accounts={station.account: station.settings})
    accounts = ToldAccounts([(0, document)], lambda after_seq: records[after_seq:], {})
    log = folder / "decisions.db"
    return Retelling(accounts, every_plan(log), log).run(records)


def without_starts(records: list[Record], upto: int) -> list[Record]:
    """The journal as an older version would have written it up to a record."""
    timer = msgspec.msgpack.encode(SetTimer(at_ns=0, name="none"))
    return [
        msgspec.structs.replace(one, kind=SetTimer.__name__, body=timer)
        if one.kind == START and one.seq < upto
        else one
        for one in records
    ]


@pytest.mark.parametrize("seed", [3, 9, 12, 24])
def test_plans_of_lives_that_crashed_are_proven_from_start_to_end(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = lived(seed, tmp_path, monkeypatch)

    found = told_again(station, tmp_path, station.disk.rows)

    assert (found.different, found.broken, found.starts_unkept) == ([], [], 0)
    assert (found.untold, found.beyond, found.unreached) == (0, 0, 0)
    assert found.same + found.cut == found.plans > 200
    assert found.cut < station.starts  # a power cut takes at most the turn it came into


def test_starts_that_an_older_version_did_not_keep_are_told_and_raise_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = lived(9, tmp_path, monkeypatch)
    rows = station.disk.rows

    found = told_again(station, tmp_path, without_starts(rows, len(rows)))

    assert (found.different, found.broken) == ([], [])
    assert found.same > 0
    assert found.beyond > 0
    assert found.starts_unkept > 0
    assert "an older version did not keep them" in words(found)


def test_after_older_lives_plans_are_proven_again_from_the_first_start_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = lived(9, tmp_path, monkeypatch, snapshot_every=50_000)
    rows = station.disk.rows
    fences = {msgspec.msgpack.decode(r.body)["fence"]: r for r in reversed(rows) if r.kind == START}
    last = fences[station.starts]
    later = sum(plan.at_ns > last.at_ns for plan, _ in every_plan(tmp_path / "decisions.db"))

    found = told_again(station, tmp_path, without_starts(rows, last.seq))

    assert (found.different, found.broken) == ([], [])
    assert found.beyond > 0
    assert found.same >= later - found.idle > 0
