"""A moment of the past: asked for from an alert, its page offered where its job is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import RunJob
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.instruments import AccountId, Mode
from engine.domain.jobs import IncidentJob, arguments_of
from engine.lab.incident.moment import read_at
from pages.kit.data import forget
from pages.shared import job, moments
from storage.alerts import raise_alert
from storage.database import reading, writing
from storage.jobs import JobState, claim, finish, queue
from storage.users import ENGINE_ID
from tests.pages.seen import page_test

AT_NS = 1_776_081_409_871_942_000
Opened = Callable[..., AppTest]


@pytest.fixture
def opened(config: Config) -> Opened:
    def open_page(name: str, **query: str) -> AppTest:
        page = page_test(name)
        for key, value in query.items():
            page.query_params[key] = value
        page.session_state["who"] = "operator"
        page.run()
        assert not page.exception, page.exception
        return page

    return open_page


def run_engine(config: Config) -> None:
    with writing(config.state_path) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO engine_state VALUES (?, 'RUNNING', ?, 1, ?, '1', 0, '{}')",
            (ENGINE_ID, time.time_ns() + 10**9, os.getpid()),
        )


def alert(config: Config) -> None:
    told = RaiseAlert(
        severity=Severity.WARNING, kind="mode", text="look", account=AccountId("demo")
    )
    with writing(config.state_path) as connection:
        raise_alert(connection, ENGINE_ID, told, Mode.DEMO, AT_NS)


def done(config: Config, result: dict[str, Any]) -> None:
    with writing(config.state_path) as connection:
        queue(
            connection, engine_id=ENGINE_ID, kind="incident", arguments='{"at": "x"}', who="ann",
            now_ns=1,
        )  # fmt: skip
        job = claim(connection, ENGINE_ID, 2)
        assert job is not None
        finish(connection, ENGINE_ID, job, state=JobState.DONE, now_ns=3, result=json.dumps(result))


def chosen(opened: Opened) -> AppTest:
    page = opened("jobs")
    page.session_state["chosen:jobs"] = 1
    page.run()
    assert not page.exception, page.exception
    return page


def kept(config: Config) -> Path:
    path = config.home / "incidents" / "incident-one.html"
    path.parent.mkdir()
    path.write_text("<p>a page</p>")
    return path


def test_an_alerts_moment_is_asked_of_the_worker(opened: Opened, config: Config) -> None:
    alert(config)
    run_engine(config)
    page = opened("alerts")
    page.button(key="moment_alert_1").click().run()
    assert not page.exception, page.exception
    with reading(config.state_path) as connection:
        [(body,)] = connection.execute("SELECT body FROM commands").fetchall()
    command = msgspec.json.decode(body, type=RunJob)
    job = arguments_of(command.job, command.arguments)
    assert isinstance(job, IncidentJob)
    assert (read_at(job.at), job.account) == (AT_NS, "demo")


def test_without_an_engine_no_moment_is_offered(opened: Opened, config: Config) -> None:
    alert(config)
    assert not [b for b in opened("alerts").button if b.label == moments.LABEL]


def test_a_moment_that_is_the_same_again_is_offered_for_download(
    opened: Opened, config: Config
) -> None:
    done(config, {"same": True, "told": "Replayed", "file": str(kept(config))})
    page = chosen(opened)
    assert page.success[0].value == "Replayed"
    assert [one.label for one in page.get("download_button")] == ["Download the page"]


def test_a_moment_that_differs_says_so_loudly(opened: Opened, config: Config) -> None:
    done(config, {"same": False, "told": "IT DIFFERS: record 7", "file": str(kept(config))})
    assert "IT DIFFERS: record 7" in chosen(opened).error[0].value


def test_a_page_that_is_gone_is_said(opened: Opened, config: Config) -> None:
    done(config, {"same": None, "told": "not lived again", "file": str(config.home / "x.html")})
    page = chosen(opened)
    assert page.warning[-1].value == "not lived again"
    assert not page.get("download_button")


def test_a_file_elsewhere_is_never_offered(config: Config) -> None:
    secret = config.home / "secret.html"
    secret.write_text("x")
    outside = config.home / "incidents" / ".." / "secret.html"
    for path in (secret, outside, config.home / "incidents" / "none.html"):
        assert moments.page_of({"file": str(path)}) is None


def row(state: str, **what: Any) -> dict[str, Any]:
    bare = {"id": 4, "state": state, "done": 0, "total": 0, "unit": "", "result": "", "error": ""}
    return bare | what


def test_a_moment_is_followed_until_its_page_is_there() -> None:
    waits = job.outcome(row(JobState.QUEUED))[1]
    assert waits == "Job 4 is waiting until the worker is free."
    runs = row(JobState.RUNNING, done=40, total=95, unit="s of the past")
    assert job.outcome(runs)[1] == "Job 4 is running: 40 of 95 s of the past."
    for same, tone in ((True, st.success), (False, st.error), (None, st.warning)):
        ended = row(JobState.DONE, result=json.dumps({"same": same, "told": "words"}))
        assert job.outcome(ended) == (tone, "Job 4 is done: words")
    failed = row(JobState.FAILED, error="the tape lacks the entries 7 to 9")
    assert job.outcome(failed)[1] == "Job 4 ended as FAILED: the tape lacks the entries 7 to 9"


def test_where_a_moment_was_asked_for_the_way_to_its_job_appears(
    opened: Opened, config: Config
) -> None:
    alert(config)
    run_engine(config)
    page = opened("alerts")
    page.button(key="moment_alert_1").click().run()
    with reading(config.state_path) as connection:
        [(body,)] = connection.execute("SELECT body FROM commands").fetchall()
    command = msgspec.json.decode(body, type=RunJob)
    with writing(config.state_path) as connection:
        for now_ns in (1, time.time_ns()):  # the first was asked for on another day
            queue(
                connection, engine_id=ENGINE_ID, kind=command.job, arguments=command.arguments,
                who="ann", now_ns=now_ns,
            )  # fmt: skip
    forget()
    page.run()
    assert not page.exception, page.exception
    assert page.info[0].value == "Job 2 is waiting until the worker is free."
    assert "/jobs?job=2" in str([one.proto for one in page.get("html")])


def test_a_job_the_address_names_is_opened(opened: Opened, config: Config) -> None:
    done(config, {"same": True, "told": "Replayed", "file": str(kept(config))})
    page = opened("jobs", job="1")
    assert page.success[0].value == "Replayed"
