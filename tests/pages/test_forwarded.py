"""Behind the real server: what a request claims of itself is never taken for who sent it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pages.frame.server import PROXY
from storage.database import reading
from tests.pages.desks import START_S, Desk


@pytest.mark.long
def test_the_audit_tells_who_was_connected_apart_from_what_was_claimed(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "home")
    asked_for = "SELECT detail FROM audit WHERE what = 'wrong password'"
    rows: list[tuple[str]] = []
    try:
        asked = urllib.request.Request(
            f"{desk.address}/sign-in",
            data=b"name=operator&password=wrong",
            headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"},
        )
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(asked, timeout=60)
        until = time.monotonic() + START_S
        while not rows and time.monotonic() < until:  # it is kept when the answer is out
            time.sleep(0.05)
            with reading(desk.config.state_path) as connection:
                rows = [tuple(row) for row in connection.execute(asked_for)]
    finally:
        desk.stop()
    ((detail,),) = rows
    found = json.loads(detail)
    assert (found["from"], found["forwarded_for"]) == (PROXY, "203.0.113.7")
