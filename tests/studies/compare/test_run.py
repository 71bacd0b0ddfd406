"""A whole comparison, kept as a run, printed, and asked for at the command line."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from engine.__main__ import BAD_ARGUMENTS
from engine.config import Config
from engine.venues.demo.profiles import THIN
from storage import views
from storage.database import connect_reader
from storage.runs import RunKind
from studies import main
from studies.compare import __main__ as command
from studies.compare.run import CompareRequest, compare, store


@pytest.mark.long
def test_a_comparison_is_kept_whole_and_told_in_words(tmp_path: Path) -> None:
    asked = CompareRequest(days=2, hours=0.03, seed=3)
    progress: list[float] = []
    found = compare(asked, lambda done, total, _: progress.append(done / total), THIN)
    assert progress == sorted(progress)
    assert progress[-1] <= 1.0
    config = Config(home=tmp_path)
    number = store(config, asked, found, (1, 2))
    with closing(connect_reader(config.state_path)) as connection:
        run = views.run(connection, "compare", number)
    assert run is not None
    assert run["kind"] == RunKind.COMPARE
    assert json.loads(run["result"])["lines"] == found["lines"]
    text = command.table(found | {"run": number})
    for word in ("fill ratio", "time to fill", "5 s markout", "PnL per day", "share of cancels"):
        assert word in text


@pytest.mark.parametrize("argument", [("--days", "1"), ("--hours", "0"), ("--hours", "25")])
def test_nonsense_is_refused_in_words(
    argument: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(command, argument)
    assert ended.value.code == BAD_ARGUMENTS
    assert not (tmp_path / "pitboss.db").exists()
