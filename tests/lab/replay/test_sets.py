"""Sets that share one reading of a recording: each is what a replay of it alone would be."""

from __future__ import annotations

import fcntl
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.domain.money import MICRO
from engine.errors import ConfigError
from engine.lab.recordings.door import Recording
from engine.lab.replay.sets import band_of, play_sets, read_sets
from engine.lab.replay.setup import ReplayOptions, prepare
from storage import views
from storage.database import connect_reader
from storage.runs import sweep_of
from storage.schema import migrate
from storage.significance import significance_of


def quiet(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def base(tape: Path, quoting: dict[str, str]) -> ReplayOptions:
    return ReplayOptions(
        path=tape, strategy="market_maker", parameters=quoting, limits={},
        cash_micro=1_000 * MICRO, model="realistic", latency_ms=150, decisions=False,
        journal_full=False,
    )  # fmt: skip


def written(folder: Path, **sets: object) -> list[Path]:
    files = []
    for name, content in sets.items():
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(content), encoding="utf-8")
    return files


CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "slow": {"latency_ms": 900},
    "hopeful": {"model": "optimistic"},
    "small": {"parameters": {"size_shares": 10}, "limits": {"exposure_instrument_max": "2%"}},
}


@pytest.fixture(scope="module")
def alone(base: ReplayOptions, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The digest of each set, replayed for itself from the raw file."""
    folder = tmp_path_factory.mktemp("alone")
    sets = read_sets(written(folder, **CHANGES), base, 1)
    config = Config(home=folder / "home")
    return [prepare(one, config).run(quiet).digest for one in sets.values()]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("processes", [1, 2])
def test_each_set_has_the_digest_it_has_alone_and_a_run_of_its_own(
    processes: int, base: ReplayOptions, alone: list[str], tmp_path: Path
) -> None:
    sets = list(read_sets(written(tmp_path, **CHANGES), base, 1).values())
    config = Config(home=tmp_path / "home")
    found = play_sets(sets, config, processes=processes, progress=quiet)
    assert [one["digest"] for one in found] == alone
    assert len(set(alone)) == len(alone)
    with closing(connect_reader(config.state_path)) as connection:
        runs = dict(connection.execute("SELECT id, digest FROM runs").fetchall())
    assert [runs[one["run"]] for one in found] == alone


@pytest.mark.long
def test_every_run_of_a_sweep_says_which_set_it_is_and_of_how_many(
    base: ReplayOptions, tmp_path: Path
) -> None:
    config = Config(home=tmp_path / "home")
    sets = list(read_sets(written(tmp_path, a={}, b={"latency_ms": 900}), base, 1).values())
    play_sets(sets, config, processes=2, progress=quiet)
    prepared = prepare(base, config)
    with prepared:
        prepared.store(prepared.run(quiet))
    with closing(connect_reader(config.state_path)) as connection:
        kept = [sweep_of(row["parameters"]) for row in views.runs(connection, "replay")]
        sweeps = [sweep for sweep in kept if sweep is not None]
        assert kept.count(None) == 1
        assert {(one.set, one.of) for one in sweeps} == {("a", 2), ("b", 2)}
        assert len({one.id for one in sweeps}) == 1
        assert len(views.runs(connection, "replay", sweep=sweeps[0].id)) == 2
        assert views.runs(connection, "replay", sweep=7) == []


@pytest.mark.long
def test_sets_read_the_raw_file_once_and_tell_how_far_they_are(
    base: ReplayOptions, tmp_path: Path
) -> None:
    sets = list(read_sets(written(tmp_path, a={}, b={}), base, 1).values())
    config = Config(home=tmp_path / "home")
    received: list[Recording] = []
    for expected in (None, int):
        received.clear()
        play_sets(sets, config, processes=1, progress=lambda one, *_: received.append(one))
        assert len({id(one) for one in received}) <= 1
        first = prepare(sets[0], config).recording
        assert first.stats.imported_ns is not None
        for one in received:
            assert type(one.stats.imported_ns) is (expected or type(None))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "truncated"),
        ('{"paremeters": {}}', "paremeters"),
        ('{"latency_ms": -1}', ">= 0"),
        ('{"model": "perfect"}', "perfect"),
    ],
)
def test_a_set_that_cannot_be_read_is_refused_with_its_file(
    content: str, said: str, base: ReplayOptions, tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as refused:
        read_sets([file], base, 1)
    assert str(file) in str(refused.value)


def test_two_sets_of_one_name_and_a_missing_file_are_refused(
    base: ReplayOptions, tmp_path: Path
) -> None:
    (one,) = written(tmp_path, a={})
    with pytest.raises(ConfigError, match="another set is called 'a'"):
        read_sets([one, one], base, 1)
    with pytest.raises(ConfigError, match="No such file"):
        read_sets([tmp_path / "gone.json"], base, 1)


def test_an_unknown_parameter_of_a_set_leaves_nothing_behind(
    base: ReplayOptions, tmp_path: Path
) -> None:
    sets = read_sets(written(tmp_path, good={}, bad={"parameters": {"wdth": 1}}), base, 1)
    config = Config(home=tmp_path / "home")
    with pytest.raises(ConfigError, match="wdth"):
        play_sets(list(sets.values()), config, processes=1, progress=quiet)
    assert not list((config.home / "runs").glob("*"))


@pytest.mark.long
def test_a_run_is_stored_while_another_program_holds_the_lock_of_migrations(
    base: ReplayOptions, tmp_path: Path
) -> None:
    config = Config(home=tmp_path / "home")
    migrate(config.state_path)
    lock = config.state_path.with_name("pitboss.db.migrate.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = play_sets([base, base], config, processes=2, progress=quiet)
    assert [one["run"] for one in found] in ([1, 2], [2, 1])


@pytest.mark.long
def test_a_band_is_every_way_to_fill_in_one_reading(base: ReplayOptions, tmp_path: Path) -> None:
    config = Config(home=tmp_path / "home")
    band = band_of(base, 7)
    assert list(band) == ["pessimistic", "optimistic", "realistic"]
    found = play_sets(list(band.values()), config, processes=1, progress=quiet)
    single = replace(base, model="optimistic")
    assert found[1]["digest"] == prepare(single, Config(home=tmp_path / "b")).run(quiet).digest
    fills = {name: one["fills"] for name, one in zip(band, found, strict=True)}
    assert fills["pessimistic"] <= fills["realistic"] <= fills["optimistic"]
    with closing(connect_reader(config.state_path)) as connection:
        rows = views.runs(connection, "replay", sweep=7)
        sweeps = [sweep_of(row["parameters"]) for row in rows]
        significance = significance_of(connection, "replay", found[2]["run"])
    assert [one is not None and one.band for one in sweeps] == [True] * 3
    assert significance.trials == 1
