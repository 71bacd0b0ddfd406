"""Each condition over a state database made by the product's own writers, or its exact rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.domain.alerts import ALERT_KINDS
from engine.domain.alerts import conditions as alert_rows
from engine.watch.conditions import Condition, conditions
from engine.watch.desk import SECOND_NS
from storage.database import reading
from storage.settings import latest
from storage.users import ENGINE_ID
from storage.watch import PriceReached, prices_reached, reading_watch
from tests.watch.desks import MINUTE
from tests.watch.stated import (
    MARKET,
    Stated,
    asked,
    balance,
    book,
    failed_job,
    fill,
    holding,
    idle_bot,
    limit,
    order,
)


@pytest.fixture
def stated(tmp_path: Path) -> Stated:
    return Stated(tmp_path / "home")


def test_every_condition_is_found_and_raises_kinds_that_have_their_rows() -> None:
    found: dict[str, Condition] = conditions()
    assert set(found) == {
        "balances", "bots", "connections", "fills", "inventory", "jobs", "latency", "limits",
        "prices",
    }  # fmt: skip
    made = [kind for one in found.values() for kind in one.kinds]
    assert sorted(made) == sorted(row.name for row in alert_rows.ROWS)
    assert set(made) <= ALERT_KINDS.keys()


def test_a_fill_above_500_is_told_once_and_those_of_before_are_not(stated: Stated) -> None:
    fill(stated, 1, 900_000_000)
    stated.turn(10)
    assert stated.told() == []
    fill(stated, 2, 500_000_000)
    fill(stated, 3, 500_000_001)
    stated.turn(10)
    ((kind, text),) = stated.told()
    assert kind == "large_fill"
    assert "500.00 pUSD" in text
    stated.desk.again(10)
    stated.turn(60)
    assert len(stated.told()) == 1, "a restart tells nothing twice"
    stated.run("DELETE FROM fills")
    for number, value in ((1, 900_000_000), (2, 500_000_000), (3, 500_000_001)):
        fill(stated, number, value)
    stated.turn(10)
    assert len(stated.told()) == 1, "a rebuilt table tells nothing twice"
    fill(stated, 5, 700_000_000)
    stated.turn(10)
    assert stated.desk.rows(
        "SELECT count, text LIKE '%700.00%' FROM notices WHERE kind = 'large_fill'"
    ) == [(2, 1)]


@pytest.mark.parametrize(("again_min", "messages"), [(60, 1), (1, 2)])
def test_a_second_large_fill_is_counted_until_its_rule_tells_what_repeats(
    stated: Stated, again_min: int, messages: int
) -> None:
    rule = {"kinds": ["large_fill"], "channels": ["phone"], "again_min": again_min}
    stated.desk.settle({"rules": {"fills": rule}})
    stated.turn(10)
    for number in (1, 2):
        fill(stated, number, 600_000_000)
        stated.turn(90)
    assert len(stated.desk.sends.sent) == messages
    assert stated.desk.rows("SELECT count FROM notices WHERE kind = 'large_fill'") == [(2,)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("exposure_market_max", "limit_near"),
        ("daily_loss_max", "daily_loss"),
        ("drawdown_max", "drawdown"),
        ("kill_drawdown_max", "drawdown"),
    ],
)
def test_a_limit_used_to_80_percent_for_half_a_minute_is_told(
    stated: Stated, name: str, kind: str
) -> None:
    limit(stated, name, 79_999_999)
    stated.turn(60)
    assert stated.told() == []
    limit(stated, name, 80_000_000)
    stated.turn(25)
    assert stated.told() == []
    stated.turn(15)
    ((told, text),) = stated.told()
    assert told == kind
    assert "80.00 pUSD of 100.00 pUSD (80 %)" in text
    limit(stated, name, 10)
    stated.turn(10)
    assert stated.desk.rows("SELECT ended_ns IS NOT NULL FROM notices") == [(1,)]


def test_a_balance_below_100_is_told(stated: Stated) -> None:
    balance(stated, 99_990_000)
    stated.turn(40)
    ((kind, text),) = stated.told()
    assert (kind, "99.99 pUSD" in text) == ("balance_low", True)


def test_a_market_that_closes_within_the_hour_with_inventory_is_told(stated: Stated) -> None:
    holding(stated)
    closes_ns = stated.desk.now_ns + 70 * MINUTE * SECOND_NS
    stated.run("UPDATE instruments SET closes_ns = ?", closes_ns)
    stated.turn(9 * MINUTE, every=60)
    assert stated.told() == []
    stated.turn(2 * MINUTE, every=10)
    ((kind, text),) = stated.told()
    assert kind == "market_closing"
    assert "12.50 YES" in text
    assert "6.00 pUSD" in text


@pytest.mark.long
def test_a_bot_in_each_market_of_a_series_is_one_message(stated: Stated) -> None:
    """Also over a restart between two of its markets; an hour without any ends it."""
    for number in range(4):
        holding(stated)
        closes_ns = stated.desk.now_ns + 5 * MINUTE * SECOND_NS
        stated.run("UPDATE instruments SET closes_ns = ?, series = 'btc-5m'", closes_ns)
        stated.turn(4 * MINUTE, every=10)
        assert "closes within 1 min; held: 12.50 YES" in stated.told()[0][1]
        stated.run("DELETE FROM holdings")
        stated.turn(30, every=10)
        if number == 1:
            stated.desk.again(10)
        stated.turn(30, every=10)
    ((kind, text),) = stated.told()
    assert kind == "market_closing"
    assert text == "markets of btc-5m are held until shortly before they close; just now none is"
    ended = "SELECT ended_ns IS NOT NULL FROM notices WHERE kind = 'market_closing'"
    assert stated.desk.rows(ended) == [(0,)]
    stated.turn(58 * MINUTE, every=60)
    assert stated.desk.rows(ended) == [(0,)]
    stated.turn(2 * MINUTE, every=60)
    assert stated.desk.rows(ended) == [(1,)]


def test_a_market_alone_that_is_sold_before_it_closes_is_over_at_once(stated: Stated) -> None:
    holding(stated)
    closes_ns = stated.desk.now_ns + 30 * MINUTE * SECOND_NS
    stated.run("UPDATE instruments SET closes_ns = ?", closes_ns)
    stated.turn(20)
    stated.run("DELETE FROM holdings")
    stated.turn(20)
    assert stated.desk.rows("SELECT ended_ns IS NOT NULL FROM notices") == [(1,)]


def test_a_winner_that_nobody_redeems_for_ten_minutes_is_told(stated: Stated) -> None:
    holding(stated, payout=1_000_000)
    stated.turn(9 * MINUTE, every=60)
    assert stated.told() == []
    stated.turn(2 * MINUTE, every=10)
    assert stated.kinds() == ["redeemable"]


@pytest.mark.parametrize(
    "feed",
    [
        {"trouble": "no socket", "markets": 2, "last_word_ms": 10.0},
        {"trouble": "", "markets": 2, "last_word_ms": 61_000.0},
    ],
)
def test_a_feed_without_a_word_for_a_minute_is_a_lost_connection(
    stated: Stated, feed: dict[str, Any]
) -> None:
    stated.detail = {"feeds": {"polymarket": feed | {"markets": 0, "trouble": ""}}}
    stated.turn(100)
    assert stated.told() == [], "a feed of which nothing is asked may be silent"
    stated.detail = {"feeds": {"polymarket": feed}}
    stated.turn(100)
    assert stated.kinds() == ["connection_lost"]


def test_a_bot_without_an_order_for_half_an_hour_is_told_with_its_reasons(stated: Stated) -> None:
    idle_bot(stated)
    stated.turn(29 * MINUTE, every=120)
    assert stated.told() == []
    stated.turn(4 * MINUTE, every=30)
    ((kind, text),) = stated.told()
    assert kind == "bot_idle"
    assert "daily loss (1), below min (1)" in text


def test_a_bot_that_holds_the_position_it_wants_is_not_idle(stated: Stated) -> None:
    idle_bot(stated)
    for reached in (True, False):
        watching = json.dumps([{"instrument": MARKET, "left": [], "reached": reached}])
        stated.run("UPDATE bots SET watching = ? WHERE name = 'b1'", watching)
        stated.turn(33 * MINUTE, every=120)
        assert stated.kinds() == ["bot_idle"] * (not reached)


def test_a_bot_that_names_no_market_of_its_venue_is_told_with_that(stated: Stated) -> None:
    idle_bot(stated)
    why = "no such market listed by demo so far: demo:typo"
    stated.run(f"UPDATE bots SET watching = '[]', unlisted = '{why}' WHERE name = 'b1'")
    stated.turn(33 * MINUTE, every=120)
    ((_, text),) = stated.told()
    assert text.endswith(why)


@pytest.mark.long
def test_a_bot_whose_orders_live_shorter_than_a_look_is_not_idle(stated: Stated) -> None:
    idle_bot(stated)
    for number in range(3):
        stated.turn(20 * MINUTE, every=60)
        order(stated, number)
        assert stated.told() == []
    stated.turn(29 * MINUTE, every=60)
    assert stated.told() == []
    stated.turn(2 * MINUTE, every=30)
    assert stated.kinds() == ["bot_idle"]


def test_a_failed_job_is_told_once(stated: Stated) -> None:
    stated.turn(10)
    failed_job(stated)
    stated.turn(30)
    stated.desk.again(5)
    stated.turn(30)
    assert stated.told() == [("job_failed", "job 1 (backup) failed: no room")]


def test_turns_that_are_slow_for_a_minute_are_told(stated: Stated) -> None:
    stated.detail = {"turn_p99_us": 80_000.0}
    stated.turn(55)
    assert stated.told() == []
    stated.turn(15)
    assert stated.kinds() == ["latency"]


def test_figures_of_an_engine_that_is_silent_are_not_judged(stated: Stated) -> None:
    limit(stated, "exposure_market_max", 10)
    stated.turn(5)
    limit(stated, "exposure_market_max", 99_000_000)
    stated.desk.turn(50, every=50)
    stated.desk.turn(10 * MINUTE, every=60)
    assert stated.told() == []


# -- Prices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [({"above": 0.6}, 5_980, 5_990), ({"below": 0.4}, 4_010, 3_990)],
)
def test_a_price_that_is_reached_is_told_once(
    stated: Stated, rule: dict[str, float], before: int, after: int
) -> None:
    book(stated, before, before + 10)
    asked(stated, **rule, note="sell half")
    stated.turn(10)
    assert stated.told() == []
    book(stated, after, after + 20)
    stated.turn(10)
    ((kind, text),) = stated.told()
    assert kind == "price_reached"
    assert "sell half" in text
    way, level = ("above", "60¢") if "above" in rule else ("below", "40¢")
    assert f"the price is at or {way} {level}: it is at {(after + 10) / 100:g}¢" in text
    book(stated, before, before + 10)
    stated.turn(10)
    stated.desk.again(5)
    book(stated, after, after + 20)
    stated.turn(10)
    assert len(stated.told()) == 1


def test_a_repeating_price_alert_is_told_each_time_also_after_a_restart(stated: Stated) -> None:
    asked(stated, above=0.6, repeats=True)
    for price in (5_000, 6_000, 6_100, 5_000, 6_000):
        book(stated, price, price + 2)
        stated.turn(10)
        stated.desk.again(2)
    assert stated.kinds() == ["price_reached"] * 2


def test_an_edited_price_alert_begins_anew(stated: Stated) -> None:
    book(stated, 6_000, 6_002)
    asked(stated, above=0.6)
    stated.turn(5)
    asked(stated, above=0.59)
    stated.turn(5)
    assert stated.kinds() == ["price_reached"] * 2


def test_a_price_alert_that_is_removed_and_set_again_waits_again(stated: Stated) -> None:
    book(stated, 6_000, 6_002)
    asked(stated, above=0.6)
    stated.turn(5)
    stated.desk.settle({"prices": {"rain": None}})
    stated.turn(5)
    asked(stated, above=0.6)
    stated.turn(5)
    assert stated.kinds() == ["price_reached"] * 2


def test_what_came_of_a_price_alert_is_kept_for_the_pages(stated: Stated) -> None:
    def kept() -> PriceReached:
        with reading_watch(stated.desk.home) as log:
            assert log is not None
            return prices_reached(log)["rain"]

    book(stated, 5_000, 5_002)
    asked(stated, above=0.6)
    stated.turn(5)
    assert (kept().fired, kept().fired_ns) == (0, 0)
    book(stated, 6_000, 6_002)
    before_ns = stated.desk.now_ns
    stated.turn(5)
    assert kept().fired == 1
    assert before_ns < kept().fired_ns <= stated.desk.now_ns
    with reading(stated.desk.state) as connection:
        alerts = latest(connection, ENGINE_ID).document.alerts
    assert kept().asked == alerts.prices["rain"].model_dump(mode="json")
    stated.run("DELETE FROM books")
    asked(stated, above=0.7)
    stated.turn(5)
    assert kept().fired == 0, "an edited one begins anew, also where no price is seen"


@pytest.mark.long
def test_a_move_is_measured_within_its_time_and_over_a_restart(stated: Stated) -> None:
    asked(stated, moves=0.1, within_min=10)
    book(stated, 5_000, 5_002)
    stated.turn(11 * MINUTE, every=30)
    book(stated, 5_500, 5_502)
    stated.turn(11 * MINUTE, every=30)
    book(stated, 5_950, 5_952)
    stated.turn(MINUTE)
    assert stated.told() == [], "it took longer than ten minutes"
    stated.desk.again(5)
    book(stated, 4_950, 4_952)
    stated.turn(10)
    ((kind, text),) = stated.told()
    assert kind == "price_reached"
    assert "moved by 10¢ within 10 min" in text


def test_a_clock_that_goes_back_holds_back_no_condition(stated: Stated) -> None:
    asked(stated, moves=0.1, within_min=10)
    book(stated, 5_000, 5_002)
    idle_bot(stated)
    balance(stated, 99_990_000)
    order(stated, 1)
    stated.turn(20)
    stated.desk.now_ns -= 5 * 3_600 * SECOND_NS
    stated.turn(10)
    failed_job(stated)
    book(stated, 6_100, 6_102)
    stated.turn(40)
    assert stated.kinds() == ["job_failed", "price_reached", "balance_low"]
    stated.turn(31 * MINUTE, every=30)
    assert "bot_idle" in stated.kinds()


def test_a_price_alert_without_a_book_says_so(stated: Stated) -> None:
    book(stated, 5_000, 5_002, trusted=False)
    asked(stated, above=0.6)
    stated.turn(9 * MINUTE, every=60)
    assert stated.told() == []
    stated.turn(2 * MINUTE, every=20)
    assert stated.kinds() == ["price_unseen"]


def test_orders_answered_late_for_a_minute_are_told(stated: Stated) -> None:
    stated.detail = {"answers": 2, "answer_ms_median": 5_000.0, "answer_ms_max": 9_000.0}
    stated.turn(2 * MINUTE)
    stated.detail = {"answers": 30, "answer_ms_median": 999.0, "answer_ms_max": 9_000.0}
    stated.turn(2 * MINUTE)
    assert stated.told() == [], "too few to judge, then half of them quicker than a second"
    stated.detail = {"answers": 30, "answer_ms_median": 1_001.0, "answer_ms_max": 9_000.0}
    stated.turn(MINUTE - 5)
    assert stated.told() == []
    stated.turn(10)
    ((kind, text),) = stated.told()
    assert kind == "latency"
    assert "30 new orders were answered after 1,001 ms or later, the slowest after 9,000" in text


def test_a_private_stream_lost_for_a_minute_is_told_with_its_account(stated: Stated) -> None:
    stated.detail = {"private_lost": {"demo": {"mode": "demo", "why": "the socket is cut"}}}
    stated.turn(MINUTE - 5)
    assert stated.told() == []
    stated.turn(10)
    ((kind, text),) = stated.told()
    assert kind == "connection_lost"
    assert text == (
        "the private stream of demo, which brings its orders and fills: the socket is cut"
    )
    assert stated.desk.rows("SELECT account, mode FROM notices") == [("demo", "demo")]
    stated.detail = {}
    stated.turn(10)
    assert stated.desk.rows("SELECT ended_ns IS NOT NULL FROM notices") == [(1,)]
