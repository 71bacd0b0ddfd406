"""The file of listed markets: written by difference, found by literal words, turned by key."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from engine.domain.listings import ListingPage, ListingState, MarketListing
from engine.errors import BadInput
from storage.database import reading, writing
from storage.markets import (
    KEPT_NS,
    WATCHED_MAX,
    MarketFilter,
    MarketStore,
    SortedBy,
    categories,
    followed,
    listings,
    market,
    matching,
    search,
    unwatch,
    watch,
    watch_lists,
)
from storage.schema import migrate
from tests.storage.listed import VENUE, made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "markets.db"


@pytest.fixture
def store(path: Path) -> Iterator[MarketStore]:
    with closing(MarketStore(path)) as opened:
        yield opened


def put(store: MarketStore, *markets: MarketListing, now_ns: int = 1, cursor: str = "") -> None:
    store.put(VENUE, ListingPage(markets, {}, cursor), now_ns)


def found(path: Path, **wanted: object) -> list[str]:
    with reading(path) as connection:
        asked = MarketFilter(**wanted)  # type: ignore[arg-type]
        rows = search(connection, asked)
        assert matching(connection, asked) == len(rows)
    return [row["slug"] for row in rows]


def test_only_what_changed_is_written(store: MarketStore) -> None:
    page = ListingPage((made(1), made(2)), {}, "")
    assert store.put(VENUE, page, 1) == {"new": 2, "changed": 0}
    assert store.put(VENUE, page, 2) == {"new": 0, "changed": 0}
    moved = ListingPage((made(1, bid=0.41), made(2, description="other rules")), {}, "")
    assert store.put(VENUE, moved, 3) == {"new": 0, "changed": 2}


def test_a_market_is_read_as_it_was_listed(store: MarketStore, path: Path) -> None:
    written = made(7, bid=None, ends_ns=None, neg_risk=True)
    put(store, written)
    with reading(path) as connection:
        row = market(connection, written.id)
        assert market(connection, "polymarket:nobody") is None
    assert row is not None
    kept = {name: row[name] for name in msgspec.structs.asdict(written)}
    assert msgspec.convert(kept | {"neg_risk": bool(kept["neg_risk"])}, MarketListing) == written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rain", ["rain"]),
        ("RAIN london", ["rain"]),
        ("lond", ["rain"]),
        ("rain paris", []),
        ("zürich", ["snow"]),
        ("zurich", ["snow"]),
        ('"rain" OR snow', []),
        ("rain*", ["rain"]),
        ("NOT rain", []),
        ('say "yes"', ["quoted"]),
        ("question:rain", []),
        ("(", []),
        ("-", []),
        ("weather", ["rain", "snow"]),
    ],
)
def test_words_are_found_literally_in_question_event_and_category(
    text: str, expected: list[str], store: MarketStore, path: Path
) -> None:
    put(
        store,
        made(1, slug="rain", question="Will it rain in London?", event="Weather", volume_24h=3.0),
        made(2, slug="snow", question="Snow in Zürich", category="weather", volume_24h=2.0),
        made(3, slug="quoted", question='Will she say "yes" to it?', volume_24h=1.0),
    )
    assert found(path, text=text) == expected


def test_a_renamed_market_is_found_by_its_new_words_alone(store: MarketStore, path: Path) -> None:
    put(store, made(1, slug="a", question="first words"))
    put(store, made(1, slug="a", question="second words"), now_ns=2)
    assert found(path, text="first") == []
    assert found(path, text="second") == ["a"]


def test_filters_narrow_and_sorting_orders(store: MarketStore, path: Path) -> None:
    put(
        store,
        made(1, slug="big", volume_24h=900.0, category="Crypto", ends_ns=30),
        made(2, slug="paid", volume_24h=20.0, rewards_daily=50.0, ends_ns=10),
        made(3, slug="over", volume_24h=5_000.0, state=ListingState.PROPOSED, ends_ns=20),
        made(4, slug="endless", volume_24h=30.0, liquidity=77.0, ends_ns=None),
    )
    assert found(path) == ["big", "endless", "paid"]
    assert found(path, states=tuple(ListingState)) == ["over", "big", "endless", "paid"]
    assert found(path, category="Crypto") == ["big"]
    assert found(path, pays_rewards=True) == ["paid"]
    assert found(path, volume_24h_min=25.0) == ["big", "endless"]
    assert found(path, sorted_by=SortedBy.ENDS) == ["paid", "big"]
    assert found(path, sorted_by=SortedBy.LIQUIDITY)[0] == "endless"
    with reading(path) as connection:
        assert categories(connection) == ["Crypto"]


@pytest.mark.parametrize("by", SortedBy)
def test_pages_by_key_show_every_market_once_in_order(
    by: SortedBy, store: MarketStore, path: Path
) -> None:
    chance = random.Random(5)
    put(
        store,
        *(
            made(n, **{by.value: float(chance.randrange(4)) if by != "ends_ns" else n % 4})
            for n in range(50)
        ),
    )
    seen: list[tuple[float, int]] = []
    with reading(path) as connection:
        wanted, after = MarketFilter(sorted_by=by), None
        while rows := search(connection, wanted, after, 7):
            seen += [(row[by.value], row["number"]) for row in rows]
            after = seen[-1]
    assert len(set(seen)) == len(seen) == 50
    falling = -1 if by is not SortedBy.ENDS else 1
    assert seen == sorted(seen, key=lambda one: (falling * one[0], one[1]))


def test_what_a_complete_listing_leaves_out_is_unlisted_and_forgotten_after_a_week(
    store: MarketStore, path: Path
) -> None:
    store.begin(VENUE)
    put(store, made(1, slug="stays"), made(2, slug="goes"))
    assert store.finish(VENUE, 5, complete=True) == 0
    store.begin(VENUE)
    put(store, made(1, slug="stays"))
    assert store.finish(VENUE, 10, complete=False) == 0
    assert found(path) == ["stays", "goes"]
    store.begin(VENUE)
    put(store, made(1, slug="stays"))
    assert store.finish(VENUE, 10, complete=True) == 1
    assert found(path) == ["stays"]
    assert found(path, states=(ListingState.UNLISTED,)) == ["goes"]
    store.begin(VENUE)
    put(store, made(1, slug="stays"))
    store.finish(VENUE, 11 + KEPT_NS, complete=True)
    assert found(path, states=tuple(ListingState)) == ["stays"]
    assert found(path, states=tuple(ListingState), text="market") == ["stays"]


def test_a_listing_goes_on_where_it_was_killed(path: Path) -> None:
    with closing(MarketStore(path)) as first:
        assert first.begin(VENUE) == ""
        put(first, made(1), made(2), cursor="page 2")
        first._connection.execute("BEGIN IMMEDIATE")  # killed inside the next page
        first._connection.execute("DELETE FROM markets")
    with closing(MarketStore(path)) as second:
        assert second.begin(VENUE) == "page 2"
        assert second.listed(VENUE) == 2
        put(second, made(3), now_ns=2)
        assert second.listed(VENUE) == 3
        second.finish(VENUE, 3, complete=True)
    with reading(path) as connection:
        (one,) = listings(connection)
    assert one == {"venue": VENUE, "finished_ns": 3, "under_way": 0, "markets": 3}


def plans(path: Path, ask: Callable[[sqlite3.Connection], object]) -> str:
    """Return how SQLite looks for what is asked."""
    asked: list[str] = []
    with reading(path) as connection:
        connection.set_trace_callback(asked.append)
        ask(connection)
        connection.set_trace_callback(None)
        return "\n".join(
            row[3] for query in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")
        )


@pytest.mark.parametrize("by", SortedBy)
def test_the_first_page_is_read_from_an_index_and_nothing_is_sorted(
    by: SortedBy, store: MarketStore, path: Path
) -> None:
    put(store, made(1))
    everywhere = MarketFilter(sorted_by=by, states=tuple(ListingState))
    assert "TEMP B-TREE" not in plans(path, lambda c: search(c, everywhere))
    plan = plans(path, lambda c: search(c, MarketFilter(sorted_by=by)))
    assert "USING INDEX markets_" in plan
    assert "TEMP B-TREE" not in plan


def test_a_filter_leads_to_a_venue_s_markets_first_to_those_that_were_followed(
    store: MarketStore, path: Path
) -> None:
    put(store, *(made(n, volume_24h=100.0 - n) for n in range(6)))
    put(store, made(9, volume_24h=500.0, venue="other"), made(8, state=ListingState.ENDED))
    ids = [made(n).id for n in range(10)]

    def leads(before: list[int], without: set[int], **wanted: object) -> list[int]:
        with reading(path) as connection:
            found = followed(
                connection,
                MarketFilter(**wanted),  # type: ignore[arg-type]
                [ids[n] for n in before],
                venue=VENUE,
                without={ids[n] for n in without},
                most=3,
            )
        return [ids.index(one) for one in found]

    assert leads([], set()) == [0, 1, 2]
    assert leads([5], set()) == [5, 0, 1]
    assert leads([5, 8, 9], {0}) == [5, 1, 2]
    assert leads([5], set(), volume_24h_min=97.0) == [0, 1, 2]
    assert leads([4, 5], set(), sorted_by=SortedBy.ENDS, text="market 4") == [4]


def test_a_watch_list_is_one_person_s_and_gone_without_markets(tmp_path: Path) -> None:
    state = tmp_path / "pitboss.db"
    migrate(state)
    with writing(state) as connection:
        for n, name in enumerate(("mine", "mine", "other")):
            watch(connection, "e", "ann", name, instrument=f"demo:{n}", now_ns=n)
        watch(connection, "e", "ann", "mine", instrument="demo:0", now_ns=9)
        assert watch_lists(connection, "e", "ann") == {
            "mine": ("demo:0", "demo:1"), "other": ("demo:2",),
        }  # fmt: skip
        assert watch_lists(connection, "e", "bob") == {}
        unwatch(connection, "e", "ann", "other", "demo:2")
        assert list(watch_lists(connection, "e", "ann")) == ["mine"]
        with pytest.raises(BadInput, match="1 to 64 signs"):
            watch(connection, "e", "ann", " ", instrument="demo:0", now_ns=1)
        for n in range(2, WATCHED_MAX):
            watch(connection, "e", "ann", "mine", instrument=f"demo:{n}", now_ns=n)
        with pytest.raises(BadInput, match="take one off first"):
            watch(connection, "e", "ann", "mine", instrument="demo:x", now_ns=1)


def test_a_search_among_a_list_finds_only_what_is_on_it(store: MarketStore, path: Path) -> None:
    put(store, *(made(n) for n in range(3)))
    with reading(path) as connection:
        among = (made(1).id, "demo:elsewhere")
        assert matching(connection, MarketFilter(), among) == 1
        (row,) = search(connection, MarketFilter(), among=among)
        assert row["slug"] == "market-1"
        assert search(connection, MarketFilter(), among=()) == []


def garbled(path: Path) -> None:
    path.write_bytes(b"garbage" * 999)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE markets (title TEXT)")


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("damage", [garbled, foreign, a_folder])
def test_a_damaged_list_of_markets_is_set_aside_and_fetched_anew(
    path: Path, damage: Callable[[Path], None]
) -> None:
    path.parent.mkdir()
    damage(path)
    store, damaged = MarketStore.opened(path)
    with closing(store):
        assert "was damaged and is fetched anew" in damaged
        assert store.begin("polymarket") == ""
    assert (path.parent / "aside" / path.name).exists()
    again, damaged = MarketStore.opened(path)
    again.close()
    assert damaged == ""
