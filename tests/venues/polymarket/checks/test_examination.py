"""A live account is examined: each trouble has its own sentence, silence is a failure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from engine.domain.catalog import Finding, Grade
from engine.venues.polymarket.account.sdk import Wire
from engine.venues.polymarket.checks import examination
from engine.venues.polymarket.checks.examination import examine
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter, credentials, order, urls_of

GEO = "/api/geoblock"


@contextlib.asynccontextmanager
async def wired(served: Served, kind: int = 3) -> AsyncIterator[Wire]:
    wire = await Wire.open(credentials(1, kind), now_ns=time.time_ns, urls=urls_of(served))
    try:
        yield wire
    finally:
        await wire.close()


async def found(
    served: Served,
    *,
    kind: int = 3,
    now_ns: Callable[[], int] = time.time_ns,
    known: frozenset[str] = frozenset(),
    geoblock_url: str = "",
) -> dict[str, Finding]:
    async with wired(served, kind) as wire:
        url = geoblock_url or served.url + GEO
        findings = await examine(wire, geoblock_url=url, now_ns=now_ns, orders_known=known)
    return {one.name: one for one in findings}


async def test_a_funded_account_with_nothing_wrong_is_green(served: Served) -> None:
    findings = await found(served)
    assert {name: one.grade for name, one in findings.items()} == dict.fromkeys(findings, Grade.OK)
    assert set(findings) == {
        *("sdk", "wallet", "geoblock", "clock", "key", "closed-only", "money", "tier", "relayer"),
        "alone",
    }


async def test_blocked_places_and_closed_accounts_are_two_things(served: Served) -> None:
    served.venue.geoblock = {"blocked": True, "ip": "127.0.0.1", "country": "US", "region": "NY"}
    findings = await found(served)
    assert (findings["geoblock"].grade, findings["closed-only"].grade) == (Grade.FAIL, Grade.OK)
    assert "US NY" in findings["geoblock"].said
    assert "does not work around it" in findings["geoblock"].fix


async def test_an_account_that_may_only_close_fails(served: Served) -> None:
    async with wired(served) as wire:
        served.venue.auth.closed_only.add(wire.signer)
    findings = await found(served)
    assert (findings["geoblock"].grade, findings["closed-only"].grade) == (Grade.OK, Grade.FAIL)


@pytest.mark.parametrize(
    ("off_s", "grade"), [(0, Grade.OK), (4, Grade.WARN), (-4, Grade.WARN), (20, Grade.FAIL)]
)
async def test_a_clock_that_is_off_is_told(served: Served, off_s: int, grade: Grade) -> None:
    findings = await found(served, now_ns=lambda: time.time_ns() + off_s * examination.S)
    assert findings["clock"].grade is grade


async def test_a_wallet_that_approved_nothing_fails(served: Served) -> None:
    async with wired(served) as wire:
        served.venue.ledger.allowances[wire.wallet] = 0
    findings = await found(served)
    assert findings["money"].grade is Grade.FAIL
    assert "not approved" in findings["money"].said


async def test_orders_of_somebody_else_under_our_key_fail(served: Served) -> None:
    async with adapter(served, kind=3) as (venue, instrument):
        prepared = venue.prepare(order(instrument))
        await venue.send(prepared)
    assert (await found(served))["alone"].grade is Grade.FAIL
    ours = frozenset({prepared.identity})
    assert (await found(served, known=ours))["alone"].grade is Grade.OK


async def test_a_question_without_an_answer_is_a_failure(served: Served) -> None:
    findings = await found(served, geoblock_url="http://127.0.0.1:9/api/geoblock")
    assert findings["geoblock"].grade is Grade.FAIL
    assert "could not be asked" in findings["geoblock"].said
    assert findings["closed-only"].grade is Grade.OK


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("money", "/balance-allowance", {"balance": "5000000", "allowances": None}),
        ("key", "/auth/api-keys", {"apiKeys": None}),
        ("closed-only", "/auth/ban-status/closed-only", []),
    ],
)
async def test_an_answer_of_another_form_is_a_failure(
    served: Served, name: str, path: str, body: object
) -> None:
    served.venue.faults.add(
        {"kind": "status", "path": path, "args": {"status": 200, "body": body}}, 0
    )
    findings = await found(served)
    assert [one.name for one in findings.values() if one.grade is Grade.FAIL] == [name]


async def test_a_banned_address_is_not_told_to_try_again(served: Served) -> None:
    async with wired(served) as wire:
        served.venue.auth.banned.add(wire.signer)
    findings = await found(served)
    assert "ask Polymarket's support" in findings["key"].fix


async def test_place_without_a_region_is_told_by_its_country(served: Served) -> None:
    served.venue.geoblock = {"blocked": True, "country": "US", "region": None}
    assert "(US)" in (await found(served))["geoblock"].said


async def test_an_eoa_is_told_that_it_pays_gas(served: Served) -> None:
    findings = await found(served, kind=0)
    assert findings["wallet"].grade is Grade.WARN
    assert "POL" in findings["wallet"].fix
