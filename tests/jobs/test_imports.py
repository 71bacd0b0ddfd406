"""The job that imports: a preview keeps nothing, a bad line ends it in a sentence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.jobs.imports import ImportJob
from engine.errors import BadInput
from engine.jobs.imports import import_data
from engine.jobs.run import JobContext
from storage.datasets import datasets

T0 = 1_704_067_200


def context_at(folder: Path) -> JobContext:
    return cast(
        "JobContext",
        SimpleNamespace(
            config=SimpleNamespace(data_folder=folder), now_ns=lambda: 1, progress=lambda *_: None
        ),
    )


def asked(folder: Path, **given: Any) -> Any:
    return import_data(ImportJob(path="odd.csv", **given), context_at(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = ["when,what,lots", f"{T0},1.5,2", f"{T0 + 1},1.25,3"]
    (tmp_path / "odd.csv").write_text("\n".join([*lines, ""]))
    return tmp_path


COLUMNS = {"rows": "trades", "columns": "time=when,price=what,size=lots"}


def test_a_preview_shows_rows_and_keeps_nothing(folder: Path) -> None:
    found = asked(folder, look=True, **COLUMNS)
    assert found["columns"] == {"time": "when", "price": "what", "size": "lots"}
    assert found["preview"][1] == ["2024-01-01T00:00:01.000000Z", "1.25", "3", "0", "0"]
    assert found["same"]
    assert datasets(folder) == []


def test_an_import_says_what_it_made(folder: Path) -> None:
    found = asked(folder, instrument="x:A/USDT", name="odd", **COLUMNS)
    assert (found["dataset"], found["rows"]) == ("odd", 2)
    assert "unknown: rows without numbers" in found["told"]
    assert [one.name for one in datasets(folder)] == ["odd"]


def test_what_cannot_be_read_ends_the_job_in_a_sentence(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"odd.csv, line 1: has the columns of no market data"):
        asked(folder, instrument="x:A/USDT")
    with pytest.raises(BadInput, match=r"there is no 'gone\.csv'"):
        import_data(ImportJob(path="gone.csv", look=True), context_at(folder))
    with pytest.raises(BadInput, match="write role=column"):
        asked(folder, columns="time")
