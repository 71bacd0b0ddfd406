"""Gamma's rows as a trader looks for them: taken whole, or left out by name; against the fake."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.domain.jobs.markets import MarketsJob
from engine.domain.listings import ListingState
from engine.errors import BadInput
from engine.feeds.counts import BadFrame
from engine.jobs.run import JobContext, works
from engine.runtime.discovery import fetch_listing
from engine.venues.polymarket.market.listing import time_ns
from engine.venues.polymarket.market.rest import GammaListing, listed
from storage.database import connect_writer, reading
from storage.jobs import claim, queue
from storage.markets import MarketFilter, MarketStore, market, search
from storage.schema import migrate
from storage.users import ENGINE_ID
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import urls
from tests.venues.polymarket.market.test_listing import ROW

NOW = time_ns("2026-05-01T00:00:00Z") or 0


def row(**changes: Any) -> dict[str, Any]:
    return ROW | changes


def test_figures_come_as_numbers_or_text_and_nonsense_is_nothing() -> None:
    made = listed(
        row(volume24hr="1250.5", volumeNum=9_000, liquidityNum="oops", bestBid="0.41", bestAsk=1),
        NOW,
    )
    assert (made.volume_24h, made.volume, made.liquidity) == (1_250.5, 9_000.0, 0.0)
    assert (made.bid, made.ask, made.last) == (0.41, None, None)
    assert listed(row(volume24hr=float("nan"), volumeNum=-3, liquidityNum=True), NOW).volume == 0


def test_rewards_are_the_sum_of_the_programmes_that_run() -> None:
    def programme(rate: object, start: str, end: str | None) -> dict[str, object]:
        return {"rewardsDailyRate": rate, "startDate": start, "endDate": end}

    programmes = [
        programme(50, "2026-04-01", "2026-06-01"),
        programme("2.5", "2026-04-01", None),
        programme(100, "2026-01-01", "2026-02-01"),
        programme(100, "2026-05-02", "2026-06-01"),
        "nonsense",
    ]
    made = listed(row(clobRewards=programmes, rewardsMinSize=50, rewardsMaxSpread=3.5), NOW)
    assert made.rewards_daily == 52.5
    assert (made.rewards_size_min, made.rewards_spread_max) == (50.0, 3.5)
    assert listed(row(clobRewards=None), NOW).rewards_daily == 0


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, ListingState.ACTIVE),
        ({"acceptingOrders": False}, ListingState.ENDED),
        ({"acceptingOrders": False, "startDate": "2026-05-02T00:00:00Z"}, ListingState.ACTIVE),
        ({"closed": True}, ListingState.ENDED),
        ({"umaResolutionStatus": "requested"}, ListingState.ENDED),
        ({"umaResolutionStatus": "proposed"}, ListingState.PROPOSED),
        ({"umaResolutionStatus": "disputed", "acceptingOrders": True}, ListingState.DISPUTED),
        (
            {"umaResolutionStatus": "resolved", "closed": True, "outcomePrices": '["1", "0"]'},
            ListingState.RESOLVED,
        ),
        ({"resolutionStatus": "resolved", "umaResolutionStatus": None}, ListingState.RESOLVED),
        ({"resolutionStatus": "active"}, ListingState.ACTIVE),
        ({"lastTradePrice": 0.999, "bestBid": 0.999}, ListingState.ACTIVE),
    ],
)
def test_the_state_is_what_the_venue_says_and_no_price(
    changes: dict[str, Any], state: ListingState
) -> None:
    assert listed(row(**changes), NOW).state is state


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (None, "not a market"),
        (row(clobTokenIds=None), "without a list"),
        (row(outcomes='["A", "B", "C"]', clobTokenIds='["1", "2", "3"]'), "not a binary"),
        (row(orderPriceMinTickSize=None), "without orderPriceMinTickSize"),
    ],
)
def test_what_is_no_market_of_two_tokens_is_refused_by_name(bad: object, why: str) -> None:
    with pytest.raises(BadFrame, match=why):
        listed(bad, NOW)


def test_event_and_rules_are_told_whatever_shape_they_have() -> None:
    made = listed(row(events=[{"title": "Weather", "seriesSlug": "daily"}], description="R"), NOW)
    assert (made.event, made.series, made.description) == ("Weather", "daily", "R")
    for events in (None, [], ["x"], [None], "x"):
        assert listed(row(events=events, description=None, category=7), NOW).event == ""


async def test_every_page_of_the_venue_is_fetched(served: Served) -> None:
    listing = GammaListing(urls(served.url))
    try:
        page = await listing.page("")
        assert page.cursor == ""
        open_ = [m for m in served.venue.by_condition.values() if not m.resolved]
        assert {one.slug for one in page.markets} == {one.slug for one in open_}
        with pytest.raises(BadInput):
            await listing.page("no cursor of theirs")
    finally:
        await listing.close()


class Died(Exception):
    """Stands for the death of the program between two pages."""


async def fetched(
    served: Served, path: Path, *, dies_at: int = 0, now_ns: int = 1
) -> dict[str, Any]:
    """Fetch the fake's whole listing into a file, or die after so many markets."""

    def progress(done: int, _total: int, _note: str) -> None:
        if dies_at and done >= dies_at:
            raise Died

    with closing(MarketStore(path)) as store:
        return await fetch_listing(
            lambda: GammaListing(urls(served.url)),
            store,
            "polymarket",
            lambda: now_ns,
            progress,
        )


def listed_in(path: Path) -> list[tuple[Any, ...]]:
    with reading(path) as connection:
        columns = "id, question, tick, volume_24h, state, description"
        return connection.execute(
            f"SELECT {columns} FROM markets JOIN market_texts USING (number) ORDER BY id"
        ).fetchall()


@pytest.mark.long
async def test_a_shelf_with_bad_rows_and_repeats_is_whole_after_a_death_and_a_resume(
    served: Served, tmp_path: Path
) -> None:
    served.venue.settings.shelf, served.venue.settings.shelf_bad = 1_450, True
    served.venue.settings.shelf_repeats = 4
    whole, torn = tmp_path / "whole.db", tmp_path / "torn.db"
    answer = await fetched(served, whole)
    bad = {
        "listing without a list of names": 2, "not a binary market": 2, "not a market": 2,
        "listing without orderPriceMinTickSize": 2, "listing without conditionId": 2,
    }  # fmt: skip
    assert sum(answer["skipped"].values()) >= sum(bad.values())
    assert set(answer["skipped"]) == set(bad)
    with pytest.raises(Died):
        await fetched(served, torn, dies_at=600)
    again = await fetched(served, torn)
    assert again["resumed"]
    rows = listed_in(whole)
    assert rows == listed_in(torn)
    repeated = {
        number for page in range(4, 15, 4) for number in range(page * 100, page * 100 + 100)
    }
    trading = sum(not m.resolved for m in served.venue.by_condition.values())
    missing = [number for number in range(trading + 1_450) if number in repeated]
    spoilt = [
        n for n in range(1_450) if n % 1_000 in {1, 2, 3, 4, 6} and n + trading not in missing
    ]
    assert len(rows) == trading + 1_450 - len(missing) - len(spoilt)


async def test_a_changed_tick_is_written_and_nothing_else(served: Served, tmp_path: Path) -> None:
    path, settings = tmp_path / "markets.db", served.venue.settings
    settings.shelf = 300
    first = await fetched(served, path)
    settings.shelf_tick = "0.001"
    second = await fetched(served, path, now_ns=2)
    assert (second["new"], second["changed"]) == (0, 300)
    assert {row[2] for row in listed_in(path) if row[1].startswith("Will ")} == {0.001}
    assert (await fetched(served, path, now_ns=3))["changed"] == 0
    settings.shelf = 20  # it shrinks: what is so much shorter proves nothing
    third = await fetched(served, path, now_ns=4)
    assert third["unlisted"] == 0
    assert "ended early" in third["told"]
    assert len(listed_in(path)) == first["listed"]


async def test_the_job_fetches_the_listing_without_a_key(served: Served, tmp_path: Path) -> None:
    urls = {f"PITBOSS_POLYMARKET_{name}_URL": served.url for name in ("CLOB", "GAMMA")}
    config = Config(home=tmp_path, venue_urls=urls)
    migrate(config.state_path)
    with closing(connect_writer(config.state_path)) as connection:
        queue(connection, engine_id=ENGINE_ID, kind="markets", arguments="{}", who="ann", now_ns=1)
        job = claim(connection, ENGINE_ID, 2)
    assert job is not None
    context = JobContext(config, job)
    answer = await asyncio.to_thread(works()["markets"], MarketsJob(), context)
    with reading(config.markets_path) as connection:
        rows = search(connection, MarketFilter())
        one = market(connection, rows[0]["id"])
    assert answer["listed"] == answer["new"] > 0
    assert len(rows) == sum(not m.resolved for m in served.venue.by_condition.values())
    assert one is not None
    assert one["description"]
    with pytest.raises(BadInput, match="'nowhere' lists no markets"):
        works()["markets"](MarketsJob(venue="nowhere"), context)
