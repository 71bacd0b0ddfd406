"""Where a message leads: the page that shows it, with what that page reads of its address."""

from __future__ import annotations

from typing import Any

import pytest

from engine.watch.messages import link_to
from storage.watch import Notice, NoticeSource

HERE = "http://127.0.0.1:8501/"
PLACE = {"mode": "paper", "account": "a", "bot": "maker", "instrument": "demo:1"}


@pytest.mark.parametrize(
    ("kind", "place", "link"),
    [
        (
            "rejected_other",
            PLACE,
            "orders?show=all&mode=paper&account=a&instrument=demo%3A1",
        ),
        ("bot_idle", PLACE, "bots?mode=paper&bot=maker"),
        ("price_reached", PLACE, "market?mode=paper&instrument=demo%3A1"),
        ("cash_differs", PLACE, "capital?mode=paper"),
        ("job_failed", {"subject": "event:7"}, "jobs?job=7"),
        ("engine_dead", {}, "overview"),
    ],
)
def test_a_link_names_what_the_page_reads(kind: str, place: dict[str, Any], link: str) -> None:
    one = Notice(
        key="x", source=NoticeSource.WATCH, kind=kind, severity="warning", text="x", first_ns=1,
        last_ns=1, **place,
    )  # fmt: skip
    assert link_to(one, HERE) == HERE + link
