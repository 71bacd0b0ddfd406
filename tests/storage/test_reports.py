"""The flight report: spans over changes of the clock, figures by hand, kept and given back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from engine.domain.alerts import described
from engine.domain.instruments import Leg, Mode
from engine.domain.jobs.report import ReportPeriod
from engine.domain.products.funding import RateType
from engine.errors import BadInput
from storage import watch
from storage.database import connect_writer, insert, transaction
from storage.phases import EnginePhase, put_phase
from storage.pnl_days import last_day, pnl_days, put_days
from storage.projected import PROJECTED
from storage.projected.positions import PositionRow
from storage.report_figures import made_report
from storage.reports import FlightReport, put_report, report, reports, span_of
from storage.schema import migrate
from storage.settings import latest, save
from storage.signed_trades import FundingShareRow
from storage.users import ENGINE_ID
from tests.storage.books import add_account, save_demo_account

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


NOON_BEFORE, DAY, NOW = at("2026-03-09T12:00:00"), at("2026-03-10T12:00:00"), at("2026-03-11T08:00")
"""A moment before the day that is reported, one within it, and the next morning."""


@pytest.mark.parametrize(
    ("period", "zone", "now", "since", "until"),
    [
        ("daily", "UTC", "2026-03-11T08:00", "2026-03-10T00:00", "2026-03-11T00:00"),
        ("daily", "Europe/Berlin", "2026-03-30T06:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("daily", "Europe/Berlin", "2026-10-26T07:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("weekly", "UTC", "2026-03-11T08:00", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("weekly", "UTC", "2026-03-09T00:00", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("monthly", "UTC", "2026-01-01T08:10", "2025-12-01T00:00", "2026-01-01T00:00"),
        ("today", "UTC", "2026-03-11T08:00", "2026-03-11T00:00", "2026-03-11T08:00"),
        ("today", "Europe/Berlin", "2026-03-29T06:00", "2026-03-28T23:00", "2026-03-29T06:00"),
    ],
)
def test_a_span_is_the_last_whole_one_of_the_zone_or_its_day_so_far(
    period: str, zone: str, now: str, since: str, until: str
) -> None:
    found = span_of(ReportPeriod(period), zone, at(now))
    assert (found.since_ns, found.until_ns) == (at(since), at(until))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "pitboss.db"
    migrate(path)
    connection = connect_writer(path)
    yield connection
    connection.close()


def put(connection: sqlite3.Connection, table: str, **cells: Any) -> None:
    insert(connection, table, engine_id=ENGINE_ID, **cells)


def point(connection: sqlite3.Connection, at_ns: int, equity: int, redeemable: int = 0) -> None:
    put(
        connection, "equity", account="demo", mode="demo", currency="pUSD", at_ns=at_ns,
        equity_micro=equity, equity_mid_micro=equity, cash_micro=0, day_start_micro=0,
        peak_micro=0, redeemable_micro=redeemable,
    )  # fmt: skip


def pnl(
    connection: sqlite3.Connection, at_ns: int, realised: int, fees: int, unrealised: int
) -> None:
    put(
        connection, "pnl", account="demo", bot="maker", mode="demo", currency="pUSD", at_ns=at_ns,
        realised_micro=realised, fees_micro=fees, unrealised_micro=unrealised,
    )  # fmt: skip


def funding(at_ns: int, amount: int) -> FundingShareRow:
    return FundingShareRow(
        account="demo", instrument="demo:p", stamp_ns=at_ns, rate_type=RateType.REGULAR,
        bot="maker", mode=Mode.DEMO, amount_micro=amount * 1_000_000, at_ns=at_ns, seq=1,
    )  # fmt: skip


@pytest.fixture
def desk(state: sqlite3.Connection) -> sqlite3.Connection:
    """A demo account whose day of 2026-03-10 is known in every figure."""
    save_demo_account(state)
    with transaction(state):
        for at_ns, equity in ((NOON_BEFORE, 100), (DAY, 130), (DAY + 1, 90), (DAY + HOUR_NS, 121)):
            point(state, at_ns, equity * 1_000_000)
        pnl(state, NOON_BEFORE, 1_000_000, 0, 0)
        pnl(state, DAY, 9_000_000, 2_000_000, 6_000_000)
        row = PositionRow(
            account="demo", instrument="demo:a", leg=Leg.YES, bot="maker", mode=Mode.DEMO,
            updated_ns=1, seq=1,
        )  # fmt: skip
        PROJECTED[PositionRow].rows.put(state, ENGINE_ID, [row], "INSERT OR REPLACE")
        shares = [funding(at_ns, amount) for at_ns, amount in ((NOON_BEFORE, 9), (DAY, 2))]
        PROJECTED[FundingShareRow].rows.put(state, ENGINE_ID, shares, "INSERT")
        for seq, kind, amount in ((1, "deposit", 5), (2, "reward", 3), (3, "funding", 2)):
            put(
                state, "cash_moves", account="demo", seq=seq, mode="demo", currency="pUSD",
                amount_micro=amount * 1_000_000, kind=kind, payment=kind, paid_ns=DAY, at_ns=DAY,
                tokens=0,
            )  # fmt: skip
        for number, severity, seen in ((1, "critical", None), (2, "warning", DAY)):
            put(
                state, "alerts", id=number, severity=severity, kind="state", text="x", count=4,
                first_ns=DAY, last_ns=DAY, acked_ns=seen,
            )  # fmt: skip
        for since, until in ((NOON_BEFORE, at("2026-03-10T00:00:30")), (DAY, DAY + SECOND_NS)):
            put(
                state, "feed_gaps", feed="demo", instrument="", since_ns=since, until_ns=until,
                reason="cut",
            )  # fmt: skip
        for phase in ("INIT", "RECOVERY"):
            one = EnginePhase(at_ns=DAY, phase=phase, reason="", pid=1)
            put_phase(state, ENGINE_ID, one)
    return state


def home_of(connection: sqlite3.Connection) -> Path:
    return Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent


def made(connection: sqlite3.Connection, period: ReportPeriod, now_ns: int) -> FlightReport:
    return made_report(connection, ENGINE_ID, period, now_ns, home_of(connection))


def rows(found: FlightReport, title: str) -> tuple[tuple[str, ...], ...]:
    return next(one.rows for one in found.sections if one.title.startswith(title))


def test_figures_are_those_of_the_span_alone_and_sum_up(desk: sqlite3.Connection) -> None:
    found = made(desk, ReportPeriod.DAILY, NOW)
    assert found.name == "daily-2026-03-10"
    # Made: (9 - 1) realised + 6 unrealised - 2 fees + 2 funding. 21 = 14 made + 5 + 3 - 1 of rest.
    assert rows(found, "PnL") == (
        ("DEMO", "demo", "maker", "pUSD", "+8.00", "+6.00", "2.00", "+2.00", "+14.00"),
    )
    less = "\N{MINUS SIGN}1.00"
    assert rows(found, "Equity") == (
        ("DEMO", "demo", "pUSD", "100.00", "121.00", "+21.00", "+14.00", "+5.00", "+3.00", less),
    )
    assert rows(found, "Deepest") == (("DEMO", "demo", "pUSD", "40.00", "30.77 %"),)
    assert rows(found, "Rewards") == (
        ("DEMO", "demo", "funding", "pUSD", "1", "+2.00"),
        ("DEMO", "demo", "reward", "pUSD", "1", "+3.00"),
    )
    assert rows(found, "Gaps") == (("demo", "2", "31.0 s", "30.0 s"),)
    assert [row[:1] + row[2:] for row in rows(found, "The engine")] == [
        ("Starts", "1"), ("Ends by an error", "1"),
    ]  # fmt: skip
    assert [row[0] + row[2] + row[4] for row in rows(found, "Alerts")] == [
        "critical11",
        "warning10",
    ]
    assert found.headline == (
        "DEMO: bots and manual orders made +14.00 pUSD.",
        "0 fills. 1 critical alert, 1 alert unseen. What the watch found is not known.",
    )


def test_what_the_watch_found_is_counted_in_each_span_in_which_it_lasted(
    desk: sqlite3.Connection,
) -> None:
    def found(kind: str, severity: str, first: int, last: int, **more: Any) -> watch.Notice:
        return watch.Notice(
            key=f"{kind}:{first}", source=more.pop("source", watch.NoticeSource.WATCH), kind=kind,
            severity=severity, text="x", first_ns=first, last_ns=last, **more,
        )  # fmt: skip

    notices = (
        found("engine_dead", "critical", NOON_BEFORE, NOON_BEFORE, ended_ns=DAY),
        found("limit_near", "warning", DAY, NOW, count=3),
        found("large_fill", "warning", DAY, DAY, acked_ns=NOW, acked_by="ann"),
        found("large_fill", "warning", NOON_BEFORE, NOON_BEFORE),
        found("job_failed", "warning", NOW, NOW),
        found("kill", "critical", DAY, DAY, source=watch.NoticeSource.ENGINE),
    )
    with closing(watch.open_watch(home_of(desk) / watch.NAME)) as connection:
        for one in notices:
            watch.put_notice(connection, one)
    report = made(desk, ReportPeriod.DAILY, NOW)
    assert [(row[1], *row[2:]) for row in rows(report, "Alerts")] == [
        (described("state").title, "1", "4", "1"),
        ("The engine is not running", "1", "1", "0"),
        (described("state").title, "1", "4", "0"),
        ("A large fill", "1", "1", "0"),
        ("A limit is nearly used up", "1", "3", "1"),
    ]
    assert report.headline[-1] == "0 fills. 2 critical alerts, 2 alerts unseen."
    assert not [one for one in report.lacks if "watch" in one]


def test_what_of_the_watch_cannot_be_read_is_said(desk: sqlite3.Connection) -> None:
    assert "no watch.db, so none has run" in made(desk, ReportPeriod.DAILY, NOW).lacks[-1]
    (home_of(desk) / watch.NAME).write_bytes(b"garbage" * 999)
    report = made(desk, ReportPeriod.DAILY, NOW)
    assert report.lacks[-1].startswith("What the watch found, which cannot be read: ")
    assert "What the watch found is not known" in report.headline[-1]
    assert len(rows(report, "Alerts")) == 2, "those of the engine stand"


def test_markouts_of_what_has_no_shares_are_basis_points_beside_cents(
    desk: sqlite3.Connection,
) -> None:
    with transaction(desk):
        for number, leg, price, moved in ((1, "base", 65_000, 65), (2, "yes", 1, -0.0123)):
            put(
                desk, "fills", account="demo", id=str(number), mode="demo", order_id=1,
                bot="maker", instrument="demo:p", leg=leg, side="buy", price=1, size=1,
                value_micro=1, fee_micro=0, liquidity="maker", state="confirmed", source="taped",
                fee_size=0, fee_worth_micro=0, at_ns=DAY, updated_ns=DAY, seq=1,
            )  # fmt: skip
            put(
                desk, "markouts", account="demo", fill=str(number), horizon_ms=300, mode="demo",
                bot="maker", instrument="demo:p", liquidity="maker", leg=leg, sign=1,
                price_micro=price * 1_000_000, due_ns=None, state="known",
                markout_micro=round(moved * 1_000_000),
            )  # fmt: skip
    found = made(desk, ReportPeriod.DAILY, NOW)
    assert [row[3:] for row in rows(found, "Markouts")] == [
        ("0.3 s", "\N{MINUS SIGN}1.23¢", "1", "0"),
        ("0.3 s", "+10.00 bp", "1", "0"),
    ]


def test_what_the_next_day_brings_and_what_changed_in_the_settings(
    desk: sqlite3.Connection,
) -> None:
    with transaction(desk):
        point(desk, NOW - 1, 121_000_000, redeemable=7_000_000)
    diff = {"accounts": {"demo": {"starting_cash": 77.0}}}
    base = latest(desk, ENGINE_ID).version
    save(desk, engine_id=ENGINE_ID, who="bob", diff=diff, base_version=base, now_ns=DAY)
    found = made(desk, ReportPeriod.DAILY, NOW)
    assert rows(found, "What comes") == (("DEMO", "demo", "redeemable", "now", "pUSD", "7.00"),)
    (change,) = rows(found, "What changed")
    assert (change[2], change[3], change[5]) == ("bob", "Account demo: Starting cash", "77.0")
    diff = {"accounts": {"demo": {"starting_cash": 78.0}}}
    save(desk, engine_id=ENGINE_ID, who="ann", diff=diff, base_version=base + 1, now_ns=DAY + 1)
    changed = rows(made(desk, ReportPeriod.DAILY, NOW), "What changed")
    assert [(row[2], row[5]) for row in changed] == [("ann", "78.0"), ("bob", "77.0")]


def test_modes_stay_apart(desk: sqlite3.Connection) -> None:
    add_account(desk, "other", Mode.PAPER)
    found = made(desk, ReportPeriod.DAILY, NOW)
    assert [row[0] for row in rows(found, "Equity")] == ["DEMO", "PAPER"]
    assert found.headline[1] == (
        "PAPER: no account was valued in this time: what was made is not known."
    )


def test_a_day_on_which_no_engine_ran_is_not_said_to_have_made_nothing(
    desk: sqlite3.Connection,
) -> None:
    found = made(desk, ReportPeriod.DAILY, NOW + 24 * HOUR_NS)
    assert found.headline == (
        "No engine ran in this time: there is nothing to report of it.",
        "0 fills. 0 critical alerts, 0 alerts unseen. What the watch found is not known.",
    )
    assert rows(found, "PnL") == ()
    assert rows(found, "Equity") == (("DEMO", "demo", "pUSD", *["\N{EN DASH}"] * 7),)


def test_a_home_without_anything_has_a_report_that_says_so(state: sqlite3.Connection) -> None:
    found = made(state, ReportPeriod.MONTHLY, NOW)
    assert found.headline[0] == "No account traded yet."
    assert [one.title for one in found.sections if one.rows] == []
    assert "Nothing." in found.html()


class Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_page_loads_nothing_and_escapes_names(desk: sqlite3.Connection) -> None:
    with transaction(desk):
        put(
            desk, "feed_gaps", feed="<script>x", instrument="", since_ns=DAY, until_ns=DAY + 1,
            reason="",
        )  # fmt: skip
    page = Loaded()
    page.feed(made(desk, ReportPeriod.DAILY, NOW).html())
    assert not page.tags & {"script", "img", "link", "iframe"}
    assert not page.attributes & {"src", "href", "onload"}


def test_it_is_kept_once_under_its_name_and_given_back_as_it_was(desk: sqlite3.Connection) -> None:
    for now_ns in (NOW, NOW + HOUR_NS):
        found = made(desk, ReportPeriod.DAILY, now_ns)
        with transaction(desk):
            put_report(desk, ENGINE_ID, found)
    (row,) = reports(desk, ENGINE_ID)
    assert (row.name, row.made_ns) == (found.name, NOW + HOUR_NS)
    assert report(desk, ENGINE_ID, found.name) == found
    with pytest.raises(BadInput, match="report list"):
        report(desk, ENGINE_ID, "daily-1999-01-01")


def test_each_owners_day_is_kept_and_made_again_stands_in_its_place(
    desk: sqlite3.Connection,
) -> None:
    days = last_day(desk, ENGINE_ID, NOW)
    for made in (days, last_day(desk, ENGINE_ID, NOW + HOUR_NS)):
        with transaction(desk):
            put_days(desk, ENGINE_ID, made)
    (kept,) = pnl_days(desk, ENGINE_ID)
    assert (kept.day, kept.bot, kept.mode, kept.currency) == (
        "2026-03-10", "maker", Mode.DEMO, "pUSD",
    )  # fmt: skip
    amounts = (kept.realised_micro, kept.unrealised_micro, kept.fees_micro, kept.funding_micro)
    assert amounts == (8_000_000, 6_000_000, 2_000_000, 2_000_000)
    assert kept.pnl_micro == 14_000_000
    assert kept.made_ns == NOW + HOUR_NS
