"""A signed link of a message acknowledges one alert, without a sign-in, by a button alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from engine.config import Config
from engine.domain.commands import AckAlert
from pages.frame.server import SignIn, health
from pages.shared import acknowledge
from storage import watch
from storage.commands import claim
from storage.database import writing
from storage.users import ENGINE_ID
from tests.watch.desks import HOUR, Watched

HERE = "http://localhost:8501"
TEXT = "KILL by ann: no order is placed"


@pytest.fixture
def client(config: Config) -> Iterator[TestClient]:
    del config  # the home all of it lies in
    app = Starlette(routes=[health], middleware=[SignIn])
    with TestClient(app, base_url=HERE, follow_redirects=False) as opened:
        yield opened


@pytest.fixture
def desk(config: Config) -> Watched:
    made = Watched(config.home)
    made.add_channel("phone")
    made.settle({"ack_links": True})
    made.turn(3)  # the key is read
    made.raise_("kill", TEXT)
    made.turn(2)
    return made


def link_of(desk: Watched) -> str:
    ((_, message),) = desk.sends.sent
    (line,) = message.lines
    return line.acknowledge


def pressed(client: TestClient, desk: Watched, query: str) -> Any:
    """Press the button while the watch turns."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, acknowledge.PATH, data={"link": query})
        while not asked.done():
            desk.turn(1)
    return asked.result()


def acked(desk: Watched) -> list[str | None]:
    return [by for (by,) in desk.rows("SELECT acked_by FROM notices WHERE kind = 'kill'")]


def test_a_link_asks_first_and_its_button_acknowledges_for_everybody(
    client: TestClient, desk: Watched, config: Config
) -> None:
    address, _, query = link_of(desk).partition("?")
    assert address.endswith(acknowledge.PATH)
    shown = client.get(f"{acknowledge.PATH}?{query}")
    assert (shown.status_code, TEXT in shown.text) == (200, False)
    assert "Acknowledge this alert?" in shown.text
    desk.turn(2)
    assert acked(desk) == [None], "a mail program that opens the link acknowledges nothing"

    said = pressed(client, desk, query)
    assert "Acknowledged." in said.text
    assert TEXT in said.text
    assert acked(desk) == [acknowledge.WHO]
    with writing(config.state_path) as connection:
        (left,) = claim(connection, ENGINE_ID, 1)
    assert (left.command, left.who) == (AckAlert(alert=1), acknowledge.WHO)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "spoiled", ["another notice", "another time", "another signature", "ended", "no link", "off"]
)
def test_a_link_that_is_not_right_acknowledges_nothing(
    client: TestClient, desk: Watched, spoiled: str
) -> None:
    query = link_of(desk).partition("?")[2]
    notice, until, signature = query.split("&")
    given = {
        "another notice": f"notice=e2-1&{until}&{signature}",
        "another time": f"{notice}&{until}0&{signature}",
        "another signature": query[:-1] + ("0" if query[-1] != "0" else "1"),
        "no link": "x" * 3_000,
    }.get(spoiled, query)
    if spoiled == "ended":
        desk.turn(25 * HOUR, every=HOUR)
    if spoiled == "off":
        desk.settle({"ack_links": False})
    said = pressed(client, desk, given)
    assert acknowledge.OVER in said.text.replace("&#x27;", "'")
    assert acked(desk) == [None]


def test_links_that_no_watch_judges_are_few(
    client: TestClient, desk: Watched, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledge, "LOOKS", 1)
    query = link_of(desk).partition("?")[2]
    for _ in range(acknowledge.WAITING_MAX + 5):
        assert acknowledge.BUSY in client.post(acknowledge.PATH, data={"link": query}).text
    with watch.reading_watch(config.home) as connection:
        assert connection is not None
        assert watch.links_waiting(connection) == acknowledge.WAITING_MAX
