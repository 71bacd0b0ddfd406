"""The job of kind `incident`, run as the worker runs it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from engine.config import Config
from engine.domain.jobs import IncidentJob
from engine.jobs import kinds as module
from engine.jobs.run import JobContext, works
from engine.log import iso
from storage.database import connect_writer
from storage.incidents import journal_span
from storage.jobs import claim, queue
from storage.users import ENGINE_ID


def context(past: Config) -> JobContext:
    with closing(connect_writer(past.state_path)) as connection:
        queue(connection, engine_id=ENGINE_ID, kind="incident", arguments="{}", who="ann", now_ns=1)
        job = claim(connection, ENGINE_ID, 2)
    assert job is not None
    return JobContext(past, job)


def test_the_job_keeps_a_page_and_says_whether_it_is_the_same(
    past: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = past.home / "incidents"
    folder.mkdir()
    (folder / "incident-old.html").touch()
    monkeypatch.setattr(module, "PAGES_MAX", 1)
    at = iso(journal_span(past.journal_path).last_ns - 60_000_000_000)
    result = works()["incident"](IncidentJob(at=at, around_s=30), context(past))
    assert result["same"] is True
    page = Path(result["file"])
    assert page.stat().st_size == result["bytes"] > 10_000
    assert list(folder.iterdir()) == [page]
