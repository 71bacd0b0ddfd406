"""Rows of Gamma and the CLOB, recorded and made: what is taken from them, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from engine.feeds.counts import BadFrame
from engine.feeds.references.strikes import strike_key
from engine.venues.polymarket.market.listing import confirmed, from_gamma, time_ns

CAPTURED = "polymarket_fixtures_captured"
DAY = 86_400 * 10**9
HOURLY = "bitcoin-up-or-down-may-8-3pm-et"
ROW: dict[str, Any] = {
    "conditionId": "0x1",
    "question": "Will it rain?",
    "slug": "rain",
    "outcomes": '["No", "Yes"]',
    "clobTokenIds": '["11", "22"]',
    "orderPriceMinTickSize": 0.001,
    "orderMinSize": 5,
    "negRisk": True,
    "active": True,
    "enableOrderBook": True,
    "acceptingOrders": True,
    "endDate": "2026-05-08T20:00:00Z",
}
TERMS: dict[str, Any] = {
    "c": "0x1", "t": [{"t": "11"}, {"t": "22"}], "mos": 15, "mts": 0.01, "ao": True, "nr": False,
    "v": "v1", "fd": {"r": 0.05, "e": 1, "to": True}, "itode": True,
}  # fmt: skip


def test_yes_is_found_by_its_label_not_by_its_place() -> None:
    listing = from_gamma(ROW, 0)
    assert listing.instrument.tokens == ("22", "11")
    assert (listing.tick, listing.min_order_size, listing.neg_risk) == ("0.001", "5", True)
    assert listing.accepting
    assert listing.instrument.fees.taker_rate_ppm == 0


@pytest.mark.parametrize(("said", "delay_ms"), [(3, 3_000), ("0.5", 500), (None, 0), ("soon", 0)])
def test_a_delay_comes_as_number_or_text(said: object, delay_ms: int) -> None:
    made = from_gamma({**ROW, "secondsDelay": said}, 0).instrument
    assert made.taker_delay_ns == delay_ms * 1_000_000


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(BadFrame, match="not a market"):
        from_gamma("nonsense", 0)
    with pytest.raises(BadFrame, match="tokens are not Gamma's"):
        confirmed(from_gamma(ROW, 0), {**TERMS, "t": ["11", "22"]})


def test_an_end_that_is_past_is_not_believed() -> None:
    ends_ns = time_ns(ROW["endDate"]) or 0
    assert from_gamma(ROW, ends_ns - DAY).instrument.closes_ns == ends_ns
    assert from_gamma(ROW, ends_ns + DAY).instrument.closes_ns is None


def test_a_reward_minimum_counts_only_while_a_programme_pays() -> None:
    row = {**ROW, "rewardsMinSize": 50, "clobRewards": [{"rewardsDailyRate": 10}]}
    assert from_gamma(row, 0).instrument.rewards_size_min == 50_000_000
    assert from_gamma({**row, "clobRewards": None}, 0).instrument.rewards_size_min == 0


def test_the_band_comes_from_gamma_and_the_age_from_the_clob() -> None:
    row = {**ROW, "rewardsMinSize": 20, "rewardsMaxSpread": 3.5}
    row["clobRewards"] = [{"rewardsDailyRate": 1.5}, {"rewardsDailyRate": 2}]
    listed = from_gamma(row, 0)
    made = listed.instrument
    assert (made.rewards_spread_max, made.rewards_daily_micro) == (350, 3_500_000)
    tokens = [{"t": token} for token in made.tokens or ()]
    body: dict[str, Any] = {"t": tokens, "mts": 0.01, "mos": 5, "ao": True, "oas": 3}
    body["r"] = {"mi": 20, "ma": 3.5, "e": True, "moas": 10}
    assert confirmed(listed, body).instrument.rewards_age_s == 10
    assert confirmed(listed, body | {"r": {"e": False}}).instrument.rewards_age_s == 0
    assert confirmed(from_gamma(ROW, 0), body).instrument.rewards_age_s == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"conditionId": ""}, "without conditionId"),
        ({"clobTokenIds": "[oops"}, "unreadable list"),
        ({"clobTokenIds": None}, "without a list"),
        ({"clobTokenIds": '["11", ""]'}, "without a list"),
        ({"outcomes": '["A"]'}, "not a binary"),
        ({"orderPriceMinTickSize": None}, "without orderPriceMinTickSize"),
        ({"orderMinSize": "NaN"}, "without orderMinSize"),
        ({"feesEnabled": True}, "without a taker schedule"),
    ],
)
def test_a_row_that_says_too_little_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadFrame, match=why):
        from_gamma({**ROW, **change}, 0)


@pytest.mark.parametrize(
    ("prices", "status", "payout"),
    [
        ('["0", "1"]', "resolved", 1_000_000),
        ('["1", "0"]', "resolved", 0),
        ('["0.5", "0.5"]', "settled", 500_000),
        ('["0", "0"]', "resolved", None),
        ('["0", "1"]', "proposed", None),
    ],
)
def test_an_outcome_is_taken_only_where_it_is_said(
    prices: str, status: str, payout: int | None
) -> None:
    row = {**ROW, "closed": True, "outcomePrices": prices, "umaResolutionStatus": status}
    assert from_gamma(row, 0).payout_yes_micro == payout


def test_the_clobs_terms_replace_gammas() -> None:
    sure = confirmed(from_gamma(ROW, 0), TERMS)
    assert (sure.tick, sure.min_order_size, sure.neg_risk) == ("0.01", "15", False)
    assert sure.instrument.size_min == 15_000_000
    assert sure.instrument.fees.taker_rate_ppm == 50_000
    assert sure.instrument.taker_delay_ns == 250_000_000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"c": "0x2"}, "another market"),
        ({"t": [{"t": "11"}, {"t": "33"}]}, "tokens are not Gamma's"),
        ({"fd": None, "tbf": 1000}, "without a taker schedule"),
        ({"fd": {"r": 0.05, "e": 1, "to": False}}, "without a taker schedule"),
        ({"mts": None}, "without mts"),
    ],
)
def test_terms_of_something_else_are_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadFrame, match=why):
        confirmed(from_gamma(ROW, 0), {**TERMS, **change})
    with pytest.raises(BadFrame, match="no market"):
        confirmed(from_gamma(ROW, 0), [])


def test_recorded_gamma_rows_are_read(recordings: Path) -> None:
    read = 0
    recorded = recordings / CAPTURED / "gamma_events_series_btc_hourly.json.gz"
    for event in json.loads(gzip.decompress(recorded.read_bytes())):
        for row in event["markets"]:
            made = from_gamma(row, 0)
            assert made.instrument.tokens
            read += 1
            assert made.instrument.series == "btc-updown-1h"
            assert made.instrument.starts_ns == time_ns("2025-11-25T23:00:00Z")
            assert made.instrument.closes_ns == time_ns("2025-11-26T00:00:00Z")
            assert strike_key(made.instrument, made.resolution_source) == "binance-open1h:btcusdt"
    assert read > 0


@pytest.mark.parametrize(
    ("starts", "ends", "known"),
    [
        ("2026-05-08T19:00:00Z", "2026-05-08T20:00:00Z", True),
        ("2026-05-08T18:00:00Z", "2026-05-08T20:00:00Z", False),
        ("2026-05-08T19:30:00Z", "2026-05-08T20:30:00Z", False),
        ("", "2026-05-08T20:00:00Z", False),
    ],
)
def test_an_hour_is_gammas_word_or_it_is_none(starts: str, ends: str, known: bool) -> None:
    row = ROW | {"slug": HOURLY, "eventStartTime": starts, "endDate": ends}
    made = from_gamma(row, 0).instrument
    assert (made.starts_ns == time_ns("2026-05-08T19:00:00Z")) is known
    source = "https://www.binance.com/en/trade/BTC_USDT"
    assert bool(strike_key(made, source)) is known


def test_exposure_is_summed_over_the_neg_risk_group_else_over_the_event() -> None:
    event = {"events": [{"id": "903", "slug": "cup"}], "negRiskMarketID": "0xgroup"}
    assert from_gamma({**ROW, **event}, 0).instrument.market == "polymarket:one-of:0xgroup"
    plain = confirmed(from_gamma({**ROW, **event, "negRisk": False}, 0), TERMS)
    assert plain.instrument.market == "polymarket:event:903"
    assert from_gamma(ROW, 0).instrument.exposure_key == "polymarket:0x1"
