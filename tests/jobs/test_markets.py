"""Whose listing the job fetches where none is named, and what the demo exchange says it traded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.config import Config, load
from engine.domain.jobs.markets import MarketsJob
from engine.errors import NotSent
from engine.jobs.run import JobContext, works
from engine.runtime import discovery
from engine.venues.registry import url_keys
from storage.database import connect_reader, writing
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.jobs.test_kinds import context
from tests.live.homes import Exchange
from tests.ports import free_port


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    made = Exchange(tmp_path_factory.mktemp("exchange"))
    yield made
    made.end()


def job(home: Path, url: str, **accounts: str) -> JobContext:
    """The job of a home with these accounts: name → venue. No other venue answers."""
    gone = f"http://127.0.0.1:{free_port()}"
    addresses = {"PITBOSS_DEMO_EXCHANGE_URL": url, "PITBOSS_POLYMARKET_GAMMA_URL": gone}
    config = load({"PITBOSS_HOME": str(home), **addresses}, venues=url_keys)
    migrate(config.state_path)
    made = {
        name: {"name": name, "venue": venue, "mode": "paper"} for name, venue in accounts.items()
    }
    if made:
        with writing(config.state_path) as connection:
            saved = save(
                connection, engine_id=ENGINE_ID, who="t", diff={"accounts": made}, base_version=0,
                now_ns=1,
            )  # fmt: skip
            assert isinstance(saved, Saved)
            applied(connection, ENGINE_ID, saved.version, 1)
    return context(config, "markets")


def listed(config: Config) -> list[tuple[str, float, float]]:
    with closing(connect_reader(config.markets_path)) as connection:
        return connection.execute("SELECT venue, volume_24h, volume FROM markets").fetchall()


@pytest.mark.long
def test_where_all_accounts_are_at_the_demo_exchange_it_is_asked_and_tells_what_it_traded(
    tmp_path: Path, exchange: Exchange
) -> None:
    asked = job(tmp_path, exchange.url, play="demo")
    end = time.monotonic() + 60
    while True:
        told = works()["markets"](MarketsJob(), asked)["told"]
        rows = listed(asked.config)
        assert {venue for venue, _, _ in rows} == {"demo"}
        if any(day for _, day, _ in rows):
            break
        assert time.monotonic() < end, "the crowd trades within seconds"
    assert told.startswith("no account is at polymarket, so demo was asked: ")
    assert all(day <= total for _, day, total in rows)


@pytest.mark.parametrize(
    ("given", "accounts"),
    [
        (MarketsJob(venue="polymarket"), {"play": "demo"}),
        (MarketsJob(), {"play": "demo", "pm": "polymarket"}),
        (MarketsJob(), {}),
    ],
    ids=["it is named", "an account is there", "there is no account"],
)
def test_polymarket_is_asked_otherwise(
    tmp_path: Path,
    exchange: Exchange,
    given: MarketsJob,
    accounts: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "ATTEMPTS_MAX", 1)
    with pytest.raises(NotSent):
        works()["markets"](given, job(tmp_path, exchange.url, **accounts))
