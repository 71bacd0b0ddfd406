"""Each condition over a state database made by the product's own writers, or its exact rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.domain.alerts import ALERT_KINDS
from engine.domain.instruments import AccountId, Mode
from engine.domain.telemetry import Capital
from engine.watch.conditions import Condition, conditions
from engine.watch.desk import SECOND_NS
from storage.database import insert, transaction, writing
from storage.live import put_account_report
from storage.users import ENGINE_ID
from tests.watch.desks import MINUTE, Watched

MARKET = "demo:will-it-rain"


class Stated:
    """A watched home whose engine reports, with rows a test puts."""

    def __init__(self, home: Path) -> None:
        self.desk = Watched(home, conditions=conditions())
        self.desk.add_channel("phone")
        self.detail: dict[str, Any] = {}
        self.put("accounts", account="demo", mode="demo", venue="demo", currency="pUSD")
        self.put(
            "instruments", id=MARKET, kind="binary", currency="pUSD", price_decimals=4,
            size_decimals=6, tick=100, lot=10_000, market=MARKET, series="", closes_ns=None,
            payout_yes_micro=None, body="{}", updated_ns=1,
        )  # fmt: skip

    def put(self, table: str, **cells: Any) -> None:
        with writing(self.desk.state) as connection, transaction(connection):
            insert(connection, table, verb="INSERT OR REPLACE", engine_id=ENGINE_ID, **cells)

    def run(self, query: str, *values: object) -> None:
        with writing(self.desk.state) as connection, transaction(connection):
            connection.execute(query, values)

    def turn(self, seconds: float = 60, every: float = 5) -> None:
        """Turn on while the engine reports each time."""
        left = seconds
        while left > 0:
            at_ns = self.desk.now_ns + int(min(every, left) * SECOND_NS)
            self.put(
                "engine_state", state="RUNNING", heartbeat_ns=at_ns, started_ns=1, pid=1,
                version="1", latched=False, detail=json.dumps(self.detail),
            )  # fmt: skip
            self.desk.turn(min(every, left), every=every)
            left -= every

    def told(self) -> list[tuple[str, str]]:
        rows = self.desk.rows(
            "SELECT kind, text FROM notices WHERE source = 'watch' ORDER BY first_ns"
        )
        return [(kind, text) for kind, text in rows]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told()]


@pytest.fixture
def stated(tmp_path: Path) -> Stated:
    return Stated(tmp_path / "home")


def fill(stated: Stated, number: int, value: int) -> None:
    stated.put(
        "fills", account="demo", id=f"f{number}", mode="demo", order_id=1, bot="b1",
        instrument=MARKET, leg="YES", side="BUY", price=5_000, size=10**9, value_micro=value,
        fee_micro=0, liquidity="maker", state="CONFIRMED", source="venue", realised_micro=0,
        transaction_id=None, at_ns=1, updated_ns=1, seq=number,
    )  # fmt: skip


def test_every_condition_is_found_and_raises_kinds_that_have_their_rows() -> None:
    found: dict[str, Condition] = conditions()
    assert set(found) == {
        "balances", "bots", "connections", "fills", "inventory", "jobs", "latency", "limits",
        "prices",
    }  # fmt: skip
    assert {"large_fill", "price_reached", "limit_near", "bot_idle"} <= ALERT_KINDS.keys()


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
    assert stated.kinds() == ["large_fill"] * 2


def limit(stated: Stated, name: str, used: int, subject: str = "") -> None:
    stated.put(
        "limit_use", account="demo", name=name, subject=subject, used=used,
        limit_value=100_000_000, unit="micro", mode="demo", currency="pUSD", updated_ns=1,
    )  # fmt: skip


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
    figures = {field.name: 0 for field in msgspec.structs.fields(Capital) if field.type is int}
    figures |= {"settled_micro": 99_990_000}
    seen = Capital(account=AccountId("demo"), mode=Mode.DEMO, currency="pUSD", **figures)  # type: ignore[arg-type]
    with writing(stated.desk.state) as connection, transaction(connection):
        put_account_report(connection, ENGINE_ID, seen)
    stated.turn(40)
    ((kind, text),) = stated.told()
    assert (kind, "99.99 pUSD" in text) == ("balance_low", True)


def holding(stated: Stated, payout: int | None = None) -> None:
    stated.put(
        "holdings", account="demo", instrument=MARKET, mode="demo", currency="pUSD", bot="b1",
        yes_settled=12_500_000, yes_pending=0, no_settled=0, no_pending=0, yes_cost_micro=1,
        no_cost_micro=0, value_micro=6_000_000, mid2=None, marked_ns=None, realised_micro=0,
        fees_micro=0, payout_yes_micro=payout, opened_ns=1, updated_ns=1,
    )  # fmt: skip


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
    watching = [{"instrument": MARKET, "left": ["below_min"], "denied": "daily_loss"}]
    stated.put(
        "bots", name="b1", mode="demo", account="demo", strategy="market_maker", state="running",
        error="", capital_micro=1, evaluations=1, watching=json.dumps(watching), updated_ns=1,
    )  # fmt: skip
    stated.turn(29 * MINUTE, every=120)
    assert stated.told() == []
    stated.turn(4 * MINUTE, every=30)
    ((kind, text),) = stated.told()
    assert kind == "bot_idle"
    assert "daily loss (1), below min (1)" in text


def test_a_failed_job_is_told_once(stated: Stated) -> None:
    stated.turn(10)
    stated.put(
        "jobs", kind="backup", arguments="{}", who="t", command="", state="failed", attempts=1,
        done=0, total=0, unit="", note="", created_ns=1, started_ns=1, heard_ns=1,
        finished_ns=stated.desk.now_ns + 1, cancel_by="", result="", error="no room",
    )  # fmt: skip
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


def book(stated: Stated, bid: int, ask: int, *, trusted: bool = True) -> None:
    body = {"trusted": trusted, "bids": [[bid, 5]], "asks": [[ask, 5]]}
    stated.put("books", account="demo", instrument=MARKET, body=json.dumps(body), updated_ns=1)


def asked(stated: Stated, **given: Any) -> None:
    stated.desk.settle({"prices": {"rain": {"instrument": MARKET, **given}}})


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
    assert "moved by 0.1 within 10 min" in text


def test_a_price_alert_without_a_book_says_so(stated: Stated) -> None:
    book(stated, 5_000, 5_002, trusted=False)
    asked(stated, above=0.6)
    stated.turn(9 * MINUTE, every=60)
    assert stated.told() == []
    stated.turn(2 * MINUTE, every=20)
    assert stated.kinds() == ["price_unseen"]
