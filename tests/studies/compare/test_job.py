"""The comparison as a job: asked for with its arguments, stored once."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.config import Config
from engine.domain.jobs import CompareJob, arguments_of
from engine.errors import BadInput
from engine.jobs.run import JobContext
from storage.database import connect_reader, connect_writer
from storage.jobs import claim, queue
from storage.runs import run_of_job
from storage.schema import migrate
from storage.users import ENGINE_ID
from studies.compare.job import work


@pytest.mark.long
def test_a_job_stores_its_report_once_however_often_it_is_attempted(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    migrate(config.state_path)
    with closing(connect_writer(config.state_path)) as connection:
        queue(
            connection, engine_id=ENGINE_ID, kind="compare", arguments="{}", who="ann",
            now_ns=time.time_ns(),
        )  # fmt: skip
        job = claim(connection, ENGINE_ID, time.time_ns())
    assert job is not None
    context = JobContext(config, job)
    asked = CompareJob(days=2, hours=0.005, seed=3)
    first = work(asked, context)
    again = work(asked, context)
    assert first["run"] == again["run"]
    assert "digest" not in again
    with closing(connect_reader(config.state_path)) as connection:
        assert run_of_job(connection, job.id) == first["run"]


def test_one_day_makes_no_interval() -> None:
    with pytest.raises(BadInput, match="days"):
        arguments_of("compare", '{"days": 1}')
