"""A flight report leaves whole by mail and as its short text elsewhere, where a rule names it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest

from engine.config import load
from engine.domain.jobs.report import ReportJob, ReportPeriod
from engine.jobs.report import report
from engine.jobs.run import JobContext
from storage.database import reading, writing
from storage.jobs import Job, JobState
from storage.reports import reports
from storage.users import ENGINE_ID
from tests.watch.desks import Inline, Receiver, Watched
from tests.watch.mails import Mails, mail_fields, mailing


class JobOfDesk(JobContext):
    """What a job of a watched home may use, at the home's moment."""

    def __init__(self, desk: Watched) -> None:
        job = Job(id=1, kind="report", arguments="{}", who="schedule", state=JobState.RUNNING,
                  attempts=1, cancel_by="", result="", error="")  # fmt: skip
        super().__init__(load({"PITBOSS_HOME": str(desk.home)}), job)
        self._desk = desk

    def now_ns(self) -> int:
        return self._desk.now_ns


@pytest.fixture
def mailbox() -> Iterator[tuple[Mails, int]]:
    with mailing() as made:
        yield made


@pytest.fixture
def sent(tmp_path: Path, mailbox: tuple[Mails, int], receiver: Receiver) -> Iterator[Watched]:
    """A home with a mail channel and a webhook whose rule names reports."""
    made = Watched(tmp_path / "home", Inline())
    made.add_channel("mail", "email", **mail_fields(mailbox[1], recipients="me@example.org"))
    made.add_channel("hook", url=f"{receiver.url}/hook")
    made.settle({"rules": {"reports": {"kinds": ["report"], "severity_min": "info"}}})
    made.turn(2)
    yield made
    made.watch.stop(made.now_ns)


def test_a_report_is_a_page_in_the_mail_and_short_elsewhere(
    sent: Watched, mailbox: tuple[Mails, int], receiver: Receiver
) -> None:
    report(ReportJob(period=ReportPeriod.DAILY), JobOfDesk(sent))
    sent.turn(3)
    ((_, mail),) = mailbox[0].got
    page = mail.get_body(("html",)).get_content()
    with reading(sent.state) as connection:
        (kept,) = reports(connection, ENGINE_ID)
    assert mail["Subject"] == "[INFO] Flight report"
    assert kept.body.body() in page.replace("\r\n", "\n")
    assert page.count("<html") == 1
    assert "Open it on the desk" in page
    for section in kept.body.sections:
        assert f"<h2>{escape(section.title)}</h2>" in page
    (body,) = receiver.bodies()
    assert body["lines"][0]["text"] == kept.body.text()
    assert body["lines"][0]["link"].endswith(f"/reports?report={kept.name}")
    assert body["page"] == ""


def test_a_report_that_is_not_kept_any_more_leaves_its_short_text_and_the_reason(
    sent: Watched, mailbox: tuple[Mails, int]
) -> None:
    report(ReportJob(period=ReportPeriod.WEEKLY), JobOfDesk(sent))
    with writing(sent.state) as connection:
        connection.execute("DELETE FROM reports")
    sent.turn(3)
    ((_, mail),) = mailbox[0].got
    page = mail.get_body(("html",)).get_content()
    assert "could not be read" in page
    assert "Flight report, weekly" in page
