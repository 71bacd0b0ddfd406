from __future__ import annotations

import os

import msgspec
import pytest

from engine.domain.instruments import Mode
from engine.domain.telemetry import EngineStatus
from pages.frame.bar import StatusCell, cells, html, modes_of, toasts, unseen_words, with_watch
from pages.kit.data import EngineHealth, health_of
from pages.kit.words import NOTHING
from storage.latch import Latch
from storage.views.frame import (
    AccountSeen,
    EngineSeen,
    FrameSnapshot,
    OrdersSeen,
    UnseenAlerts,
)
from storage.watch import Notice, NoticeSource

NOW = 1_700_000_000_000_000_000
SECOND = 10**9


def engine(*, age_s: float = 0.4, pid: int | None = None) -> EngineSeen:
    return EngineSeen(
        engine_id="pitboss",
        state="running",
        heartbeat_ns=NOW - int(age_s * SECOND),
        started_ns=0,
        pid=os.getpid() if pid is None else pid,
        version="1",
        latched=False,
    )


ACCOUNT = AccountSeen(
    account="paper:a",
    mode=Mode.PAPER,
    venue="paper",
    currency="USD",
    equity_ns=NOW,
    equity_micro=1_002_130_000,
    loss_micro=40_000_000,
    loss_max_micro=50_000_000,
)
ORDERS = OrdersSeen(mode=Mode.PAPER, live=7, unknown=2, unknown_since_ns=NOW - 90 * SECOND)


def told(snapshot: FrameSnapshot, mode: Mode | None = Mode.PAPER) -> dict[str, StatusCell]:
    return {cell.name: cell for cell in cells(snapshot, None, mode, NOW)}


def test_a_running_engine_is_told_with_all_its_figures() -> None:
    shown = told(
        FrameSnapshot(
            engine=engine(), accounts=(ACCOUNT,), orders=(ORDERS,),
            status=EngineStatus(feed_age_ms_max=1_500),
        )
    )  # fmt: skip
    assert {name: cell.value for name, cell in shown.items()} == {
        "Engine": "RUNNING",
        "Mode": "PAPER",
        "Unseen alerts": "none",
        "Engine status": "0.4 s old",
        "Equity": "1,002.13 USD",
        "Loss budget today": "80 % used",
        "Open orders": "7",
        "Unknown orders": "2, oldest 90 s",
        "Oldest feed": "1.5 s old",
    }
    assert shown["Loss budget today"].tone == "warn"
    assert shown["Unknown orders"].tone == "bad"


@pytest.mark.parametrize(("to_release", "tone"), [({}, "warn"), ({ACCOUNT.account: ()}, "bad")])
def test_an_account_that_places_nothing_is_named_with_why(
    to_release: dict[str, tuple[str, ...]], tone: str
) -> None:
    why = {ACCOUNT.account: ("user_feed: not connected", "it fell"), "real": ("locked",)}
    status = EngineStatus(not_placing=why, to_release=to_release)
    seen = FrameSnapshot(engine=engine(), accounts=(ACCOUNT,), orders=(), status=status)
    cell = told(seen)["No new orders"]
    assert (cell.value, cell.tone) == ("paper:a", tone)
    assert cell.hint == "paper:a: user_feed: not connected; it fell"
    killed = cells(seen, Latch(who="ann", at_ns=NOW), Mode.PAPER, NOW)
    gone = told(msgspec.structs.replace(seen, engine=engine(age_s=60)))
    for cellless in ({one.name for one in killed}, set(gone)):
        assert "No new orders" not in cellless


def test_an_engine_that_is_gone_shows_no_number_as_present() -> None:
    shown = told(FrameSnapshot(engine=engine(age_s=60), accounts=(ACCOUNT,), orders=(ORDERS,)))
    assert shown["Engine"].value == "ENGINE NOT RUNNING"
    assert shown["Engine status"].value == "60 s old"
    assert [shown[name].value for name in ("Equity", "Loss budget today", "Oldest feed")] == [
        NOTHING
    ] * 3
    assert shown["Open orders"].value == "7 last known"
    assert "may still rest" in shown["Open orders"].hint


def test_where_nothing_ever_ran_there_is_no_number_at_all() -> None:
    shown = told(FrameSnapshot(engine=None, accounts=(), orders=()), None)
    assert not any(character.isdigit() for cell in shown.values() for character in cell.value)
    assert shown["Mode"].value == "NO ACCOUNT"


def test_equity_is_a_dash_while_one_account_is_silent() -> None:
    silent = AccountSeen(account="paper:b", mode=Mode.PAPER, venue="paper", currency="USD")
    shown = told(FrameSnapshot(engine=engine(), accounts=(ACCOUNT, silent), orders=()))
    assert shown["Equity"].value == NOTHING
    assert "paper:b" in shown["Equity"].hint


def test_a_mode_in_which_something_happens_is_shown_before_an_idle_one() -> None:
    idle = AccountSeen(
        account="paper", mode=Mode.PAPER, venue="demo", currency="pUSD",
        equity_micro=7, cash_micro=7, peak_micro=7,
    )  # fmt: skip
    busy = msgspec.structs.replace(idle, account="demo", mode=Mode.DEMO, cash_micro=3)
    both = FrameSnapshot(engine=engine(), accounts=(idle, busy), orders=())
    assert modes_of(both) == [Mode.DEMO, Mode.PAPER]
    live = msgspec.structs.replace(idle, account="live", mode=Mode.LIVE)
    assert modes_of(FrameSnapshot(engine=engine(), accounts=(idle, busy, live), orders=()))[0] is (
        Mode.LIVE
    )


def test_modes_never_mix() -> None:
    live = AccountSeen(
        account="live:a", mode=Mode.LIVE, venue="x", currency="USD", equity_ns=NOW, equity_micro=5
    )
    snapshot = FrameSnapshot(engine=engine(), accounts=(ACCOUNT, live), orders=(ORDERS,))
    assert modes_of(snapshot) == [Mode.LIVE, Mode.PAPER]
    shown = told(snapshot, Mode.LIVE)
    assert (shown["Mode"].value, shown["Open orders"].value) == ("LIVE", "0")
    assert shown["Equity"].value == "0.000005 USD"


def test_currencies_are_listed_and_never_added() -> None:
    euro = AccountSeen(
        account="p:e",
        mode=Mode.PAPER,
        venue="x",
        currency="EUR",
        equity_ns=NOW,
        equity_micro=3 * 10**6,
    )
    shown = told(FrameSnapshot(engine=engine(), accounts=(ACCOUNT, euro), orders=()))
    assert shown["Equity"].value == "3.00 EUR + 1,002.13 USD"


@pytest.mark.parametrize(
    ("seen", "health"),
    [
        (engine(age_s=0), EngineHealth.RUNNING),
        (engine(age_s=4), EngineHealth.LATE),
        (engine(age_s=11), EngineHealth.GONE),
        (engine(age_s=-5), EngineHealth.GONE),
        (engine(pid=0), EngineHealth.GONE),
        (engine(pid=2**22 + 1), EngineHealth.GONE),
        (None, EngineHealth.NEVER),
    ],
)
def test_health_needs_a_fresh_heartbeat_and_a_living_process(
    seen: EngineSeen | None, health: EngineHealth
) -> None:
    assert health_of(seen, NOW) is health


def test_the_latch_is_told_with_who_set_it() -> None:
    shown = cells(
        FrameSnapshot(engine=None, accounts=(), orders=()), Latch(who="ann", at_ns=NOW), None, NOW
    )
    assert shown[1].value == "KILL IS SET"
    assert "ann" in shown[1].hint


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("ann: KILL at 2026-11-25T10:00:00Z", ""),
        ("risk, account live: equity fell 21 % from its peak", "equity fell 21 % from its peak"),
    ],
)
def test_the_latch_is_told_with_why_where_that_is_more_than_who_and_when(
    reason: str, shown: str
) -> None:
    latch = Latch(who=reason.partition(":")[0], at_ns=NOW)
    seen = FrameSnapshot(
        engine=engine(), accounts=(ACCOUNT,), orders=(), status=EngineStatus(latch_reason=reason)
    )
    cell = next(one for one in cells(seen, latch, Mode.PAPER, NOW) if one.value == "KILL IS SET")
    assert cell.name.partition(": ")[2] == shown
    assert shown in cell.hint


def test_the_bar_is_escaped_and_carries_a_clock_that_changes() -> None:
    shown = [StatusCell(name="<b>", value='"&', hint='"><script>')]
    text = html(shown, NOW, alive=False)
    assert "<script>" not in text
    assert "pb-off" in text
    assert text != html(shown, NOW + SECOND, alive=False)


def notice(kind: str, source: NoticeSource = NoticeSource.WATCH) -> Notice:
    return Notice(
        key=kind, source=source, kind=kind, severity="warning", text="<b>it", first_ns=NOW,
        last_ns=NOW,
    )  # fmt: skip


def test_the_menu_counts_critical_alerts_apart() -> None:
    counts = [(2, 3), (1, 0), (0, 1_200), (0, 0)]
    said = [unseen_words(UnseenAlerts(critical=one, warning=other)) for one, other in counts]
    assert said == [" (2 critical, 3)", " (1 critical)", " (1,200)", ""]


def test_unseen_alerts_are_counted_with_those_of_the_watch_by_the_severity_of_their_kind() -> None:
    seen = UnseenAlerts(critical=1, warning=2)
    found = [
        notice("engine_hung"),
        notice("worker_down"),
        notice("state", NoticeSource.ENGINE),  # it is among the engine's own
    ]
    both = with_watch(seen, found)
    assert (both.critical, both.warning) == (2, 3)
    cell = told(FrameSnapshot(engine=engine(), accounts=(), orders=(), unseen=both))
    assert (cell["Unseen alerts"].value, cell["Unseen alerts"].tone) == (
        "2 critical, 3 warnings", "bad",
    )  # fmt: skip


def test_a_new_alert_stands_over_the_page_for_some_seconds_escaped() -> None:
    newest = with_watch(UnseenAlerts(), [notice("engine_hung")]).newest
    shown = toasts(newest, NOW + 14 * SECOND)
    assert "CRITICAL" in shown
    assert "&lt;b&gt;it" in shown
    assert 'href="/alerts"' in shown
    assert toasts(newest, NOW + 16 * SECOND) == ""
    (long,) = (msgspec.structs.replace(one, text="price went away " * 20) for one in newest)
    assert "away …</a>" in toasts([long], NOW + 14 * SECOND)
