"""What changed at the venue is named: a field, a tick, a fee, a hash, the SDK; against the fake."""

from __future__ import annotations

import asyncio
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.domain.alerts.canary import BROKEN, UNASKED
from engine.domain.catalog import Finding, Grade
from engine.domain.jobs.canary import CanaryJob
from engine.jobs.canary import _kind_of
from engine.jobs.run import JobContext, works
from engine.runtime.venue_plugin import VenueSetup
from engine.venues.polymarket.checks import canary
from engine.venues.polymarket.checks.canary import watched
from engine.venues.polymarket.market.rest import PublicRest
from storage.database import connect_writer, reading
from storage.jobs import claim, queue
from storage.schema import migrate
from storage.users import ENGINE_ID
from tests.fakes.polymarket.server import Served

ADDRESSES = ("clob", "gamma", "data")


def found(served: Served) -> Any:
    setup = VenueSetup(config=Config(), urls=dict.fromkeys(ADDRESSES, served.url))
    return watched(setup)


def odd(findings: list[Finding]) -> dict[str, str]:
    assert all(bool(one.fix) is (one.grade is not Grade.OK) for one in findings)
    return {one.name: one.said for one in findings if one.grade is not Grade.OK}


def changed_rows(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Have Gamma's first row differ; None leaves the field out."""
    real = PublicRest.rows

    async def changed(self: PublicRest, cursor: str, filters: Any) -> tuple[list[Any], str]:
        rows, following = await real(self, cursor, filters)
        rows[0] = {k: v for k, v in (rows[0] | changes).items() if v is not None}
        return rows, following

    monkeypatch.setattr(PublicRest, "rows", changed)


async def test_a_venue_as_recorded_has_no_difference(served: Served) -> None:
    findings = await found(served)
    assert odd(findings) == {}
    assert {one.name for one in findings} == {
        "sdk", "listing", "listing ticks", "listing fees", "terms", "ticks", "fees", "books",
        "hashes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"conditionId": None}, "conditionId is missing in 1 of"),
        ({"outcomes": ["Yes", "No"]}, "outcomes is a list, not text in 1 of"),
        ({"orderMinSize": "5"}, "orderMinSize is text, not a number in 1 of"),
        ({"active": 1}, "active is a number, not true or false in 1 of"),
    ],
)
async def test_a_changed_field_is_named(
    changes: dict[str, Any], text: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_rows(monkeypatch, **changes)
    assert text in odd(await found(served))["listing"]


async def test_an_unknown_tick_and_an_unknown_fee_are_named(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_rows(monkeypatch, orderPriceMinTickSize=0.02, feeSchedule={"rate": 0.09, "exponent": 1})
    findings = odd(await found(served))
    assert findings["listing ticks"] == "unknown tick sizes: 0.02"
    assert findings["listing fees"] == "new fee schedules: rate 0.09, exponent 1"
    assert "terms" not in findings


async def test_terms_that_differ_are_named(served: Served) -> None:
    market = next(iter(served.venue.by_condition.values()))
    market.fee_rate = "0.11"
    assert "rate 0.11" in odd(await found(served))["fees"]


async def test_books_whose_hash_is_made_otherwise_are_counted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "end_of", lambda *_, **__: b"}")
    assert "hashes do not match" in odd(await found(served))["hashes"]


async def test_another_sdk_is_named(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "0.15.0")
    assert odd(await found(served)) == {"sdk": "polymarket-client is 0.15.0, 0.14.0 was proven"}


async def test_a_venue_that_cannot_be_asked_is_no_venue_as_recorded() -> None:
    setup = VenueSetup(config=Config(), urls=dict.fromkeys(ADDRESSES, "http://127.0.0.1:1"))
    checks = await watched(setup)
    assert [one.name for one in checks] == ["sdk", "listing"]  # of no market nothing is as recorded
    assert odd(checks)["listing"].startswith("could not be asked: ")
    differ = [one for one in checks if one.grade is not Grade.OK]
    assert _kind_of(differ) is UNASKED, "a network that is down is no change of the venue"


@pytest.mark.parametrize("question", ["rows", "books"])
async def test_a_venue_that_answers_nothing_after_an_outage_could_not_be_asked(
    question: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> Any:
        return ([], "") if question == "rows" else []

    monkeypatch.setattr(PublicRest, question, nothing)
    checks = await found(served)
    differ = [one for one in checks if one.grade is not Grade.OK]
    assert [one.said.startswith("could not be asked: ") for one in differ] == [True]
    assert _kind_of(differ) is UNASKED, "a venue that comes back is no venue that changed"


async def test_the_job_raises_an_alert_that_names_what_changed(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {f"PITBOSS_POLYMARKET_{name}_URL": served.url for name in ("CLOB", "GAMMA")}
    config = Config(home=tmp_path, venue_urls=urls)
    migrate(config.state_path)
    with closing(connect_writer(config.state_path)) as connection:
        queue(connection, engine_id=ENGINE_ID, kind="canary", arguments="{}", who="ann", now_ns=1)
        job = claim(connection, ENGINE_ID, 2)
    assert job is not None
    context = JobContext(config, job)

    async def run() -> str:
        result = await asyncio.to_thread(works()["canary"], CanaryJob(), context)
        return str(result["polymarket"])

    def alerts() -> list[tuple[str, str, str]]:
        with reading(config.state_path) as connection:
            rows = connection.execute("SELECT kind, severity, text FROM alerts")
            return [tuple(row) for row in rows]

    assert await run() == "9 checks, as recorded"
    assert alerts() == []
    changed_rows(monkeypatch, orderPriceMinTickSize=0.02)
    assert await run() == "unknown tick sizes: 0.02"
    assert alerts() == [(BROKEN.name, "critical", "polymarket: unknown tick sizes: 0.02")]
