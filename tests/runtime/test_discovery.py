"""A listing fetched page by page: resumed after a death, and never believed beyond what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import stamina

from engine.domain.listings import ListingPage, ListingState
from engine.errors import BadInput, NotSent, OutcomeUnknown
from engine.runtime.discovery import ATTEMPTS_MAX, fetch_listing
from storage.database import reading
from storage.markets import MarketFilter, MarketStore, search
from tests.storage.listed import VENUE, made

PAGE = 3


class Listing:
    """A venue that lists `markets` in pages of three; `fails` says what a question raises."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers
        self.asked: list[str] = []
        self.fails: Callable[[str], Exception | None] = lambda _: None
        self.closed = 0

    async def page(self, cursor: str) -> ListingPage:
        self.asked.append(cursor)
        if error := self.fails(cursor):
            raise error
        start = int(cursor or 0)
        part = self.numbers[start : start + PAGE]
        more = str(start + PAGE) if start + PAGE < len(self.numbers) else ""
        return ListingPage(tuple(made(n) for n in part), {"not a binary market": 1}, more)

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _no_pause() -> Iterator[None]:
    with stamina.set_testing(True, attempts=ATTEMPTS_MAX):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "markets.db"


def fetch(path: Path, listing: Listing, now_ns: int = 1) -> dict[str, Any]:
    with closing(MarketStore(path)) as store:
        return asyncio.run(
            fetch_listing(lambda: listing, store, VENUE, lambda: now_ns, lambda *_: None)
        )


def open_slugs(path: Path) -> set[str]:
    with reading(path) as connection:
        return {row["slug"] for row in search(connection, MarketFilter())}


def test_a_whole_listing_is_kept_and_what_was_left_out_is_counted(path: Path) -> None:
    listing = Listing(list(range(8)))
    result = fetch(path, listing)
    assert result["listed"] == result["new"] == 8
    assert result["skipped"] == {"not a binary market": 3}
    assert listing.asked == ["", "3", "6"]
    assert listing.closed == 1
    assert len(open_slugs(path)) == 8


def test_a_page_that_fails_is_asked_again_and_then_the_listing_goes_on_there(path: Path) -> None:
    listing = Listing(list(range(8)))
    listing.fails = lambda cursor: NotSent("no network") if cursor == "3" else None
    with pytest.raises(NotSent):
        fetch(path, listing)
    assert listing.asked == ["", *["3"] * ATTEMPTS_MAX]
    assert listing.closed == 1
    assert len(open_slugs(path)) == 3
    again = Listing(list(range(8)))
    result = fetch(path, again, 2)
    assert again.asked == ["3", "6"]
    assert result["resumed"] is True
    assert (result["listed"], result["new"], result["unlisted"]) == (8, 5, 0)


def test_a_cursor_the_venue_forgot_begins_the_listing_anew(path: Path) -> None:
    listing = Listing(list(range(8)))
    listing.fails = lambda cursor: OutcomeUnknown("500") if cursor == "6" else None
    with pytest.raises(OutcomeUnknown):
        fetch(path, listing)
    again = Listing(list(range(8)))
    again.fails = lambda cursor: (
        BadInput("422") if cursor == "6" and len(again.asked) == 1 else None
    )
    assert fetch(path, again, 2)["listed"] == 8
    assert again.asked == ["6", "", "3", "6"]


def test_what_is_not_listed_any_more_is_unlisted(path: Path) -> None:
    fetch(path, Listing(list(range(8))))
    result = fetch(path, Listing([0, 1, 2, 3, 4, 9]), 2)
    assert (result["unlisted"], result["new"]) == (3, 1)
    assert open_slugs(path) == {f"market-{n}" for n in (0, 1, 2, 3, 4, 9)}
    with reading(path) as connection:
        gone = search(connection, MarketFilter(states=(ListingState.UNLISTED,)))
    assert len(gone) == 3


def test_a_listing_that_ends_far_too_early_unlists_nothing(path: Path) -> None:
    fetch(path, Listing(list(range(8))))
    result = fetch(path, Listing([0, 1]), 2)
    assert result["unlisted"] == 0
    assert "ended early (8 were open before)" in result["told"]
    assert len(open_slugs(path)) == 8


def test_a_cursor_that_repeats_is_no_end(path: Path) -> None:
    listing = Listing(list(range(8)))

    async def round_and_round(cursor: str) -> ListingPage:
        return ListingPage((made(1),), {}, "3")

    listing.page = round_and_round  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown, match="its cursor repeats"):
        fetch(path, listing)
    assert listing.closed == 1
