"""What a page costs that rests: charts and tables travel when they changed, and only then."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from engine.domain.events import InstrumentListed
from engine.domain.instruments import BotId, Leg, Mode
from engine.domain.telemetry import BotStatus
from storage.database import writing
from storage.live import EquityPoint, HoldingSeen, add_equity, put_bots, put_holdings
from storage.users import ENGINE_ID
from tests.pages.desks import CHROMIUM, Desk, opened, sign_in
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books, bought

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        CHROMIUM is None, reason="these tests need Chromium: apt-get install chromium"
    ),
]

REFRESH_BYTES_MAX = 20_000
POINTS = 600
FILLS = 60
HELD_NS = 7_230 * 10**9
SETTLED, WATCHED = 3, 4
"""How often each page draws itself anew until all has settled, and while it is watched."""
PATIENCE_S = 400.0
HEAVY = ("plotly_chart", "dataframe")
PAGES = (
    "overview",
    "bots",
    "orders?show=fills",
    "positions",
    "recordings",
    "risk",
    "alerts",
    "jobs",
)
"""Every page that draws itself anew."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    started = Desk(tmp_path_factory.mktemp("traffic"))
    fill(started)
    try:
        yield started
    finally:
        started.stop()


def fill(desk: Desk) -> None:
    """Leave an account with a long curve, fills, a position and a bot, as an engine does."""
    now = time.time_ns()
    with writing(desk.config.state_path) as connection:
        books = Books(connection, ENGINE_ID)
        books.at_ns = now - HELD_NS  # an age of less than a minute would count on each second
        books.tell(InstrumentListed(instrument=TERMS))
        for number in range(1, FILLS, 2):
            books.tell(*bought(number, 4_000, 10 * SHARE))
            books.tell(*bought(number + 1, 4_900, 8 * SHARE, Leg.NO))
        held = HoldingSeen(
            account=DEMO, instrument=M1, mode=Mode.DEMO, currency="pUSD", bot="maker",
            yes_settled=10 * SHARE, yes_pending=0, no_settled=8 * SHARE, no_pending=0,
            yes_cost_micro=4_000_000, no_cost_micro=3_920_000, value_micro=9_000_000, mid2=10_000,
            marked_ns=now - HELD_NS, realised_micro=0, fees_micro=0, payout_yes_micro=None,
        )  # fmt: skip
        put_holdings(connection, books.engine_id, [held], now - HELD_NS)
        bot = BotStatus(
            name=BotId("maker"), mode=Mode.DEMO, account=DEMO, strategy="market_maker",
            state="running", error="", capital_micro=100 * SHARE, evaluations=5,
        )  # fmt: skip
        put_bots(connection, books.engine_id, (bot,), now)
        for ago in range(POINTS, -1, -1):
            equity = 100 * SHARE + ago * 7_919 % 200_003
            point = EquityPoint(
                account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=now - ago * 60 * 10**9,
                equity_micro=equity, equity_mid_micro=equity, cash_micro=92 * SHARE,
                day_start_micro=100 * SHARE, peak_micro=101 * SHARE,
            )  # fmt: skip
            add_equity(connection, books.engine_id, point)


def heard_by(page: Page) -> list[bytes]:
    """Return the list that fills with what the server tells a page."""
    frames: list[bytes] = []

    def receive(frame: str | bytes) -> None:
        frames.append(frame if isinstance(frame, bytes) else frame.encode())

    page.on("websocket", lambda socket: socket.on("framereceived", receive))
    return frames


def draws(frames: list[bytes]) -> int:
    """Return how often the page's own parts were drawn: the bar draws itself oftener than they.

    A first draw of the whole page is not one more draw of the bar alone; on a machine under load
    the bar was drawn three times before the page's own part came for the first time.
    """
    parts: Counter[str] = Counter()
    seen: set[str] = set()
    for frame in frames:
        message = ForwardMsg.FromString(frame)
        kind = message.WhichOneof("type")
        if kind == "delta":
            seen.add(message.delta.fragment_id)
        elif kind == "script_finished":
            parts.update(seen - {""})
            seen = set()
    return sorted(parts.values())[-2] if len(parts) > 1 else 0


def drawn(tab: Page, frames: list[bytes], times: int) -> None:
    """Wait until a tab has drawn its own part anew so often."""
    until = time.monotonic() + PATIENCE_S
    while (number := draws(frames)) < times:
        assert time.monotonic() < until, f"{tab.url} was drawn anew {number} times"
        tab.wait_for_timeout(500)


@pytest.fixture(scope="module")
def told(desk: Desk, browser: Browser) -> dict[str, Counter[str]]:
    """Open every page in a tab of its own, let it settle, and count what it is told.

    One after the other: beside the slowest the others would draw themselves ten times as often.
    """
    with opened(browser) as first:
        sign_in(first, desk)
        first.goto("about:blank")
        return {path: watched(first.context.new_page(), desk, path) for path in PAGES}


def watched(tab: Page, desk: Desk, path: str) -> Counter[str]:
    """Return what a page is told at rest: messages by kind, bytes, and minutes it was watched."""
    frames = heard_by(tab)
    tab.goto(f"{desk.address}/{path}")
    tab.wait_for_selector(".pb-tick")
    drawn(tab, frames, SETTLED)
    began = time.monotonic()
    frames.clear()
    drawn(tab, frames, WATCHED)
    counted = Counter(map(element, frames))
    counted.update(bytes=sum(map(len, frames)), minutes=math.ceil((time.monotonic() - began) / 60))
    counted.update(heavy(frames))
    tab.close()
    return counted


def heavy(frames: list[bytes]) -> dict[str, int]:
    """Return how many charts and tables were sent, and how often the same one at most."""
    sent = Counter(ForwardMsg.FromString(frame).hash for frame in frames if element(frame) in HEAVY)
    return {"different": len(sent), "same": max(sent.values(), default=0)}


def element(frame: bytes) -> str:
    """Return what kind of element a message of the server draws."""
    message = ForwardMsg.FromString(frame)
    if message.WhichOneof("type") != "delta":
        return str(message.WhichOneof("type"))
    drawn = message.delta.WhichOneof("type")
    return str(message.delta.new_element.WhichOneof("type") if drawn == "new_element" else drawn)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_at_rest_sends_no_chart_and_no_table_again(
    told: dict[str, Counter[str]], path: str
) -> None:
    kinds = told[path]
    # Two ages in it may count on from one minute to the next, each at a second of its own.
    assert kinds["different"] <= 2 * kinds["minutes"], kinds
    # Once more where a slow browser asked anew before it had read the first; and once for each time
    # it drew the whole page anew, as one that was cut off under load does when it is back.
    assert kinds["same"] <= 1 + max(1, kinds["navigation"]), kinds
    assert kinds["bytes"] / kinds["new_session"] <= REFRESH_BYTES_MAX, kinds
