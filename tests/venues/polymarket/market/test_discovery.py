"""Markets behind names and series: found, confirmed by the CLOB, asked for again, their ends."""

from __future__ import annotations

import time

import pytest

from engine.domain.instruments import InstrumentId
from engine.errors import BadInput, NotSent, OutcomeUnknown
from engine.feeds.counts import FeedCounts
from engine.feeds.references.strikes import strike_key
from engine.venues.polymarket.market import source as discovery_module
from engine.venues.polymarket.market.listing import rewards_of
from engine.venues.polymarket.market.rest import BOOKS_MAX, PublicRest
from tests.fakes.polymarket.series import Series
from tests.venues.polymarket.adapter import urls
from tests.venues.polymarket.market.received import receiving

NOTHING = InstrumentId("polymarket:0x" + "00" * 32)


async def test_the_running_window_and_the_next_are_found() -> None:
    async with receiving() as received:
        Series(received.served.venue, asset="btc", minutes=5).start()
        found = await received.discovery.look((), ["btc-updown-5m"])
        starts = sorted(one.instrument.starts_ns or 0 for one in found.listings)
        assert len(starts) == 2
        assert starts[1] - starts[0] == 300 * 10**9
        assert starts[0] <= time.time_ns() < starts[1]
        assert {one.instrument.series for one in found.listings} == {"btc-updown-5m"}
        assert all("data.chain.link" in one.resolution_source for one in found.listings)
        assert (await received.discovery.look((), ["btc-updown-5m"])).listings == []


async def test_the_running_hour_and_the_next_are_found_with_what_decides_them() -> None:
    async with receiving() as received:
        Series(received.served.venue, asset="btc", minutes=60).start()
        found = await received.discovery.look((), ["btc-updown-1h"])
        first, then = sorted(one.instrument.starts_ns or 0 for one in found.listings)
        assert then - first == 3_600 * 10**9
        assert first <= time.time_ns() < then
        keys = {strike_key(one.instrument, one.resolution_source) for one in found.listings}
        assert keys == {"binance-open1h:btcusdt"}


async def test_terms_are_the_clobs_where_gamma_is_stale() -> None:
    async with receiving() as received:
        received.served.venue.settings.gamma_stale_s = 1e6
        market = next(iter(received.served.venue.by_condition.values()))
        await received.rest.markets(1, {"slug": [market.slug]})  # now the cache holds it
        received.served.venue.change_tick(market, "0.001")
        (listing,) = (await received.discovery.look([market.instrument], ())).listings
        assert (listing.tick, listing.instrument.tick) == ("0.001", 10)


async def test_fees_delay_and_neg_risk_come_with_the_market() -> None:
    async with receiving() as received:
        by_slug = {one.slug: one for one in received.served.venue.by_condition.values()}
        names = [by_slug[slug].instrument for slug in ("who-wins-the-cup-spain", "lions-vs-bears")]
        names.append(by_slug["btc-delayed-takers"].instrument)
        found = await received.discovery.look(names, ())
        cup, lions, delayed = (received.discovery.known[name] for name in names)
        assert len(found.listings) == 3
        assert cup.neg_risk
        assert not lions.neg_risk
        assert cup.instrument.fees.taker_rate_ppm == 50_000
        assert cup.instrument.fees.rebate_rate_ppm == 200_000
        assert lions.instrument.taker_delay_ns == 3 * 10**9
        assert delayed.instrument.taker_delay_ns == 250_000_000


async def test_a_market_nobody_lists_is_a_problem_in_words_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_module, "PAUSE_NS", 0)
    async with receiving() as received:
        for _ in range(2):
            assert (await received.discovery.look([NOTHING], ["up-or-down"])).listings == []
        assert received.discovery.problems[NOTHING] == "Gamma lists no such market"
        assert "does not end with" in received.discovery.problems["up-or-down"]


async def test_a_market_the_clob_does_not_know_yet_is_found_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_module, "PAUSE_NS", 0)
    async with receiving() as received:
        market = next(iter(received.served.venue.by_condition.values()))
        market.hydrates_ns = time.time_ns() + 3_600 * 10**9
        assert (await received.discovery.look([market.instrument], ())).listings == []
        assert "404" in received.discovery.problems[market.instrument]
        market.hydrates_ns = 0
        assert len((await received.discovery.look([market.instrument], ())).listings) == 1
        assert market.instrument not in received.discovery.problems


async def test_the_outcome_of_what_is_over_is_gammas_word() -> None:
    async with receiving() as received:
        market = next(iter(received.served.venue.by_condition.values()))
        received.served.venue.resolve(market, 0)
        found = await received.discovery.look([market.instrument], ())
        assert [one.payout_yes_micro for one in found.outcomes] == [0]
        assert "gamma" in found.outcomes[0].source


async def test_a_market_that_ended_early_and_unheard_is_asked_about() -> None:
    async with receiving() as received:
        market = next(iter(received.served.venue.by_condition.values()))
        (listing,) = (await received.discovery.look([market.instrument], ())).listings
        closes_ns = listing.instrument.closes_ns
        later_ns = time.time_ns() + 600 * 10**9
        assert closes_ns is None or closes_ns > later_ns
        received.served.venue.resolve(market, 1_000_000)
        received.discovery._now_ns = lambda: later_ns
        found = await received.discovery.look([market.instrument], ())
        assert [one.payout_yes_micro for one in found.outcomes] == [1_000_000]
        assert (await received.discovery.look([market.instrument], ())).outcomes == []


async def test_an_open_market_is_rarely_asked_whether_it_ended() -> None:
    async with receiving() as received:
        market = next(iter(received.served.venue.by_condition.values()))
        await received.discovery.look([market.instrument], ())
        later_ns = time.time_ns() + 600 * 10**9
        received.discovery._now_ns = lambda: later_ns
        asked = len(received.served.venue.journal)
        for _ in range(5):
            assert (await received.discovery.look([market.instrument], ())).outcomes == []
        assert len(received.served.venue.journal) == asked + 2  # and once what it pays
        assert received.discovery.problems == {}


async def test_a_failed_question_is_no_empty_list() -> None:
    async with receiving() as received:
        await received.served.control(
            "faults", kind="status", path=".*keyset", args={"status": 502}
        )
        with pytest.raises(OutcomeUnknown, match="502"):
            await received.rest.markets(1, {})
        received.served.venue.faults.clear()
        await received.served.control("faults", kind="garble", args={"body": "<html>"})
        with pytest.raises(OutcomeUnknown):
            await received.rest.markets(1, {})
        with pytest.raises(OutcomeUnknown):
            await received.rest.books(["1"])


async def test_an_address_where_nobody_is_was_never_asked() -> None:
    address = "http://127.0.0.1:9"
    rest = PublicRest(urls(address), FeedCounts())
    try:
        with pytest.raises(NotSent, match="cannot be reached"):
            await rest.markets(1, {})
        with pytest.raises(BadInput, match="501 books"):
            await rest.books(["1"] * (BOOKS_MAX + 1))
    finally:
        await rest.close()


async def test_rewards_that_move_are_found_with_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_module, "RARELY_NS", 0)
    async with receiving() as received:
        market = next(iter(received.served.venue.by_condition.values()))
        market.rewards, market.rewards_daily = (50, 4.5), 25.0
        (listing,) = (await received.discovery.look([market.instrument], ())).listings
        terms = rewards_of(listing.instrument)
        assert terms == {
            "rewards_size_min": 50_000_000, "rewards_spread_max": 450,
            "rewards_daily_micro": 25_000_000,
        }  # fmt: skip
        assert (await received.discovery.look([market.instrument], ())).rewards == {}
        market.rewards = (100, 3.5)
        moved = (await received.discovery.look([market.instrument], ())).rewards
        assert moved[market.instrument] == terms | {
            "rewards_size_min": 100_000_000, "rewards_spread_max": 350
        }  # fmt: skip
        known = received.discovery.known[market.instrument]
        assert rewards_of(known.instrument) == moved[market.instrument]
        assert (await received.discovery.look([market.instrument], ())).rewards == {}
