"""The dashboard as a person meets it: a fresh server, a real browser, both ended by their id."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import websockets.sync.client
from playwright.sync_api import Browser, Locator, Page, expect
from websockets.exceptions import InvalidStatus

from engine.domain.alerts import described
from engine.domain.events import InstrumentListed
from engine.domain.instruments import Leg, Mode
from engine.watch.sealed import make_key, seal
from pages.frame.kill import ways_without
from storage.channels import put_channel
from storage.database import reading, writing
from storage.latch import read_latch
from storage.live import EquityPoint, HoldingSeen, add_equity, put_holdings
from storage.runs import Run, RunKind, RunMarket, RunStatus, save_run
from storage.users import ENGINE_ID
from tests.pages.desks import (
    CHROMIUM,
    DARK,
    LIGHT,
    MARKET,
    PHONE,
    WAIT_MS,
    Desk,
    Late,
    LiveDesk,
    box,
    choose,
    heading,
    number,
    opened,
    panic_by_banner,
    press_until,
    sign_in,
    visit,
)
from tests.storage.books import DEMO, M1, SHARE, TERMS, Books, bought
from tests.watch.desks import Receiver, receiving
from tests.watch.mails import Mails, mail_fields, mailing

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        CHROMIUM is None, reason="these tests need Chromium: apt-get install chromium"
    ),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    started = Desk(tmp_path_factory.mktemp("desk"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def session(desk: Desk, browser: Browser) -> object:
    """Return the cookies of a signed-in browser: signing in is tested once, not each time."""
    with opened(browser) as page:
        sign_in(page, desk)
        return page.context.storage_state()


def ground(page: Page) -> str:
    script = "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    return str(page.evaluate(script))


def test_a_fresh_server_asked_for_risk_shows_the_sign_in(desk: Desk) -> None:
    request = urllib.request.Request(f"{desk.address}/risk", headers={"Accept": "text/html"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 401
    assert "Sign in to this desk" in refused.value.read().decode()
    refused.value.close()


@pytest.mark.parametrize(
    "path",
    [
        "/_stcore/health",
        "/_stcore/host-config",
        "/app/static/inter-latin-wght-normal.woff2",
        "/risk",
    ],
)
def test_nothing_of_streamlit_answers_without_a_cookie(desk: Desk, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(desk.address + path, timeout=60)
    assert refused.value.code == 401
    refused.value.close()


def test_the_websocket_without_a_cookie_is_closed(desk: Desk) -> None:
    address = f"ws://127.0.0.1:{desk.port}/_stcore/stream"
    with (
        pytest.raises(InvalidStatus) as refused,
        websockets.sync.client.connect(address, subprotocols=["streamlit"], proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_wrong_password_lock_out_then_the_page_that_was_asked_for(
    desk: Desk, browser: Browser
) -> None:
    with opened(browser) as page:
        page.goto(f"{desk.address}/risk")
        for _ in range(4):
            page.fill("#password", "wrong")
            page.click("button")
            expect(page.get_by_role("alert")).to_have_text("Wrong password.")
        page.fill("#password", desk.password)
        page.click("button")
        expect(page.get_by_role("alert")).to_contain_text("Too many wrong passwords")
        page.wait_for_timeout(2_100)
        page.fill("#password", desk.password)
        page.click("button")
        heading(page, "Risk")
        assert page.url == f"{desk.address}/risk"


def test_every_page_opens_in_both_themes_dark_by_default_and_asks_nobody_outside(
    desk: Desk, browser: Browser, session: object
) -> None:
    with opened(browser, storage_state=session, color_scheme="light") as page:
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        page.goto(f"{desk.address}/settings")
        heading(page, "Settings")
        expect(page.locator(".pb-bar")).to_contain_text("ENGINE NOT RUNNING")
        assert ground(page) == DARK
        page.get_by_role("radio", name="Light").click()
        page.wait_for_function(
            # The page loads anew: for a moment there is none.
            "[...document.querySelectorAll('.stApp')]"
            f".some(it => getComputedStyle(it).backgroundColor == '{LIGHT}')"
        )
        for title in (
            "Bots",
            "Orders",
            "Positions",
            "Alerts",
            "Backtests",
            "Journal",
            "Help",
            "Overview",
        ):
            page.get_by_test_id("stSidebarNav").get_by_text(title, exact=True).click()
            heading(page, title)
            assert page.get_by_test_id("stException").count() == 0
        page.goto(f"{desk.address}/risk")
        heading(page, "Risk")
        assert ground(page) == LIGHT
        outside = [url for url in asked if not url.startswith((desk.address, "data:", "blob:"))]
        assert outside == []


def test_a_stored_run_is_found_and_opened_at_phone_width(
    desk: Desk, browser: Browser, session: object
) -> None:
    run = Run(
        engine_id="replay",
        account="paper:replay",
        kind=RunKind.REPLAY,
        recording="recordings/day.jsonl",
        bot="replay-market_maker",
        strategy="market_maker",
        started_ns=10**18,
        finished_ns=10**18 + 5 * 10**9,
        status=RunStatus.DONE,
        digest="cafe" * 16,
        orders=12,
        pnl_micro=1_250_000,
    )
    market = RunMarket(
        instrument="polymarket:0xdd",
        orders=12,
        fills=2,
        fees_micro=0,
        realised_micro=1_250_000,
        unresolved_micro=0,
        position_left=0,
        resolved=True,
    )
    with writing(desk.config.state_path) as connection:
        number = save_run(connection, run, equity=[(1, 10**9), (2, 10**9 + 5)], markets=[market])
    with opened(browser, storage_state=session, viewport=PHONE) as page:
        page.goto(f"{desk.address}/runs")
        expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=WAIT_MS)
        visit(page, f"/runs?run={number}")
        heading(page, f"Backtest {number}: market_maker on day.jsonl")
        expect(page.locator(".pb-tile b").first).to_have_text("+1.25")
        expect(page.locator(".js-plotly-plot")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_text("cafe" * 16)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        bar = box(page.locator(".pb-bar"))
        assert bar["height"] < 60  # one row: a phone is for the page, not for the bar
        button = box(page.locator(".st-key-killbutton"))
        assert button["x"] + button["width"] <= PHONE["width"]
        expect(page.get_by_role("button", name="KILL")).to_be_in_viewport()


def test_kill_takes_two_clicks_and_says_what_was_not_done(
    desk: Desk, browser: Browser, session: object
) -> None:
    desk.config.kill_path.unlink(missing_ok=True)
    with opened(browser, storage_state=session) as page:
        page.goto(desk.address)
        page.locator(".st-key-killbutton button").click()
        expect(page.get_by_text("KILL everything?")).to_be_visible()
        expect(page.get_by_text("no engine is running").first).to_be_visible()
        assert read_latch(desk.config.kill_path) is None
        page.get_by_role("button", name="Keep trading").click()
        expect(page.get_by_text("KILL everything?")).to_be_hidden()
        assert read_latch(desk.config.kill_path) is None
        # Streamlit may lose a key that is pressed within milliseconds of an answer, faster than a
        # person is: the next second is waited for.
        tick = page.locator(".pb-tick")
        expect(tick).not_to_have_text(tick.inner_text())
        page.keyboard.press("Control+Shift+K")
        page.get_by_role("button", name="CONFIRM KILL").click()
        expect(page.get_by_text("KILL by operator")).to_be_visible()
        expect(page.get_by_text("nothing was cancelled and nothing is proven")).to_be_visible()
        expect(page.get_by_text("no supervisor runs here")).to_be_visible()
        expect(page.locator(".pb-bar")).to_contain_text("KILL IS SET")
    latch = read_latch(desk.config.kill_path)
    assert latch is not None
    assert latch.who == "operator"
    with reading(desk.config.state_path) as connection:
        rows = connection.execute("SELECT kind, state, who FROM commands").fetchall()
    assert rows[-1] == ("Kill", "pending", "operator")


def test_a_page_whose_server_hung_or_died_says_no_data_until_it_is_back(
    desk: Desk, browser: Browser, session: object
) -> None:
    with opened(browser, storage_state=session, viewport=PHONE) as page:
        page.clock.install()  # the watchdog's six seconds need not be waited for
        page.goto(desk.address)
        heading(page, "Overview")
        banner = page.locator("#pb-nodata")
        expect(banner).to_be_attached()  # its watchdog runs
        expect(banner).to_be_hidden()
        os.kill(desk.process.pid, signal.SIGSTOP)
        try:
            page.clock.fast_forward(7_000)
            expect(banner).to_be_visible()
            expect(banner).to_contain_text("NO DATA for")
            grey = "getComputedStyle(document.querySelector('.stMain')).filter"
            assert page.evaluate(grey) == "grayscale(1)"
        finally:
            os.kill(desk.process.pid, signal.SIGCONT)
        expect(banner).to_be_hidden()
        desk.stop()
        try:
            page.clock.fast_forward(7_000)
            expect(banner).to_be_visible()
            said = panic_by_banner(page)
            assert said.startswith("NO ANSWER")
            assert said.endswith(ways_without(desk.config.home))
        finally:
            desk.start()
        expect(banner).to_be_hidden(timeout=WAIT_MS)


def test_a_tab_signed_out_elsewhere_shows_nothing_of_now_and_says_why_it_kills_nothing(
    desk: Desk, browser: Browser
) -> None:
    desk.config.kill_path.unlink(missing_ok=True)
    with opened(browser) as page:
        page.clock.install()  # the watchdog's six seconds need not be waited for
        sign_in(page, desk)
        heading(page, "Overview")
        other = page.context.new_page()
        other.goto(f"{desk.address}/sign-out")
        other.get_by_role("button", name="Sign out").click()
        expect(other.get_by_label("Password")).to_be_visible()

        expect(page.get_by_text("Connection failed")).to_be_visible()
        page.clock.fast_forward(7_000)
        banner = page.locator("#pb-nodata")
        expect(banner).to_contain_text("NO DATA for")
        said = panic_by_banner(page)
        assert said.startswith("SIGNED OUT: nothing was killed")
        assert said.endswith(ways_without(desk.config.home))
        assert read_latch(desk.config.kill_path) is None
        banner.get_by_role("button", name="Reload").click()
        expect(page.get_by_label("Password")).to_be_visible()


def test_panic_answers_without_a_script_thread(
    desk: Desk, browser: Browser, session: object
) -> None:
    with opened(browser, storage_state=session) as page:
        page.goto(f"{desk.address}/health")
        answer = page.request.post(f"{desk.address}/panic")
        assert [step["name"] for step in answer.json()["steps"]] == ["latch", "signal", "command"]
    assert read_latch(desk.config.kill_path) is not None


def filled(desk: Desk) -> None:
    """Leave an account with equity, a position and the two fills behind it, as an engine does."""
    now = time.time_ns()
    with writing(desk.config.state_path) as connection:
        books = Books(connection, ENGINE_ID)
        books.at_ns = now
        books.tell(
            InstrumentListed(instrument=TERMS),
            *bought(1, 4_000, 10 * SHARE),
            *bought(2, 4_900, 8 * SHARE, Leg.NO),
        )
        held = HoldingSeen(
            account=DEMO, instrument=M1, mode=Mode.DEMO, currency="pUSD", bot="maker",
            yes_settled=10 * SHARE, yes_pending=0, no_settled=8 * SHARE, no_pending=0,
            yes_cost_micro=4_000_000, no_cost_micro=3_920_000, value_micro=9_000_000, mid2=10_000,
            marked_ns=now, realised_micro=0, fees_micro=0, payout_yes_micro=None,
        )  # fmt: skip
        put_holdings(connection, books.engine_id, [held], now)
        point = EquityPoint(
            account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=now, equity_micro=100 * SHARE,
            equity_mid_micro=100 * SHARE, cash_micro=92 * SHARE, day_start_micro=100 * SHARE,
            peak_micro=100 * SHARE,
        )  # fmt: skip
        add_equity(connection, books.engine_id, point)


def open_and_close(page: Page, row: Locator) -> None:
    """Open a row's drawer and close it, where the bar's lines wrap above it.

    A page that answers late gets the row pressed twice, which takes the drawer away again.
    """
    close = page.get_by_role("button", name="Close")
    for _ in range(3):
        press_until(row, close, position={"x": 16, "y": 42})
        page.add_style_tag(content=".pb-bar{padding-bottom:5rem}")
        with suppress(Late):
            close.click(timeout=20_000)
            return
    close.click(timeout=20_000)


def test_a_figure_leads_to_its_fills_without_loading_the_page_again_and_back(
    desk: Desk, browser: Browser, session: object
) -> None:
    filled(desk)
    with opened(browser, storage_state=session) as page:
        failed: list[str] = []
        page.on("response", lambda one: failed.append(one.url) if one.status >= 400 else None)
        page.goto(f"{desk.address}/overview")
        page.evaluate("window.loadedOnce = true")
        page.locator("a.pb-tile", has_text="PnL today").click()
        heading(page, "Orders")
        assert re.search(r"show=fills&mode=demo&account=demo&since_ns=\d+$", page.url)
        expect(page.get_by_text("2 fills · bought 7.92 pUSD")).to_be_visible()
        row, drawer = page.get_by_test_id("stDataFrame").first, page.locator(".st-key-drawer")
        for _ in range(2):  # closed by its button, the same row opens again
            open_and_close(page, row)
            expect(drawer).to_be_hidden()
        chip = page.locator("a.pb-chip", has_text="since")
        chip.click()
        expect(chip).to_be_hidden()
        expect(page.get_by_text("2 fills · bought 7.92 pUSD")).to_be_visible()
        page.go_back()
        expect(chip).to_be_visible()
        page.go_back()
        heading(page, "Overview")
        page.get_by_role("link", name="m1").first.click()
        expect(page.locator("a.pb-chip", has_text="instrument m1")).to_be_visible()
        assert page.evaluate("window.loadedOnce"), "the browser loaded a page anew"
        assert failed == []


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    started = LiveDesk(tmp_path_factory.mktemp("live"))
    try:
        yield started
    finally:
        started.stop()


def make_bot(page: Page, live: LiveDesk) -> None:
    """Create a bot by the wizard alone; saving it has the engine apply it."""
    version = live.version() + 1
    listed = page.get_by_role("option", name=MARKET)
    for _ in range(20):  # fields drawn before the engine received the listing do not offer it
        page.goto(f"{live.address}/bots?create=1")
        page.get_by_text("2 Markets").click()
        try:
            page.get_by_label("Markets", exact=True).fill("comet", timeout=10_000)
            expect(listed).to_be_visible(timeout=4_000)
        except (Late, AssertionError):
            continue
        break
    choose(page, "Markets", MARKET)
    sigma = page.get_by_role("tab", name="Fair value")
    press_until(page.get_by_text("4 Parameters"), sigma)
    sigma.click()
    number(page, "Samples before the first quote, s").fill("0.5")
    number(page, "Samples before the first quote, s").press("Enter")
    name = page.get_by_label("Name", exact=True)
    press_until(page.get_by_text("7 Review"), name)
    name.fill("mine")
    name.press("Enter")
    expect(page.get_by_text("Bot mine is new")).to_be_visible()
    head = page.get_by_role("heading", name="Bots", exact=True)
    press_until(page.get_by_role("button", name="Create, leave it stopped"), head)
    expect(page.get_by_text(f"version {version} saved by").first).to_contain_text("in force")


def apply(page: Page, version: int) -> None:
    """Save what is shown as that version, and put it in force."""
    applied = page.get_by_role("button", name=f"Apply version {version}")
    press_until(page.get_by_role("button", name="Save these changes"), applied)
    applied.click()
    expect(page.get_by_text(f"version {version} is in force").first).to_be_visible()


def start_bot(page: Page, live: LiveDesk) -> None:
    """Start the bot and see in the bar that it works."""
    visit(page, "/bots?bot=mine")
    answer = page.get_by_text("bot mine starts as soon as").first
    press_until(page.get_by_role("button", name="Start", exact=True), answer)
    cell = page.locator(".pb-cell", has_text="Open orders").locator("b")
    expect(cell).to_have_text(re.compile("^[1-9]"), timeout=WAIT_MS)


def cancel_by_hand(page: Page, live: LiveDesk) -> int:
    """Cancel one order of the bot on its page; return its number."""
    order = 0
    # The bot may replace the one that was chosen: then the next.
    said = page.get_by_text(re.compile("its cancel is sent|is already")).first
    for _ in range(5):
        order = live.order("bot = 'mine' AND state = 'open'")
        visit(page, f"/orders?account=demo&order={order}")
        sure = page.get_by_role("button", name="Cancel the order")
        try:
            press_until(page.get_by_role("button", name="Cancel this order"), sure, times=1)
            sure.click(timeout=10_000)
            # Or it ended under the click, and its page offers no cancel any more.
            expect(said).to_be_visible(timeout=20_000)
        except (Late, AssertionError):
            continue
        break
    expect(said).to_be_visible()
    return order


def test_a_bots_whole_life_by_the_screen_alone(live: LiveDesk, browser: Browser) -> None:
    with opened(browser) as page:
        sign_in(page, live)
        expect(page.locator(".pb-bar")).to_contain_text("RUNNING")
        make_bot(page, live)
        start_bot(page, live)

        # The why of one of its orders, and its life.
        order = live.order("bot = 'mine' AND identity IS NOT NULL")
        visit(page, f"/orders?account=demo&order={order}")
        expect(page.get_by_text(re.compile("mine wants bid")).first).to_be_visible()
        for words in ("Inputs", "Fair value", "Strategy gates", "Risk rules"):
            expect(page.get_by_role("heading", name=words).first).to_be_visible()
        expect(page.get_by_text("◂ this order")).to_be_visible()
        page.get_by_text("Life", exact=True).click()
        expect(page.get_by_text("accepted by the venue")).to_be_visible()

        # A limit: the diff, saved, applied, and its use against the new value.
        visit(page, "/risk")
        press_until(page.get_by_text("Edit the limits of demo"), number(page, "Open orders"))
        number(page, "Open orders").fill("150")
        number(page, "Open orders").press("Enter")
        shown = page.get_by_text(re.compile(r"200\s+→\s+150"))
        press_until(page.get_by_role("button", name="Show what changes"), shown)
        apply(page, live.version() + 1)
        used = page.locator(".pb-limits").filter(has_text=re.compile(r"\d of 150"))
        expect(used.first).to_be_visible()  # while it is drawn anew the old one stands beside it

        order = cancel_by_hand(page, live)
        live.order(f"id = {order} AND state IN ('cancelled', 'filled')")

        # Stopped with its proof; started again; KILL and its receipt.
        visit(page, "/bots?bot=mine")
        stop = page.get_by_role("button", name="Stop the bot")
        press_until(page.get_by_role("button", name="Stop…"), stop)
        stop.click()
        expect(page.get_by_text("stopped; proven").first).to_be_visible()
        start_bot(page, live)
        confirm = page.get_by_role("button", name="CONFIRM KILL")
        press_until(page.locator(".st-key-killbutton button"), confirm)
        confirm.click()
        expect(page.get_by_text("PROVEN: nothing of ours is open").first).to_be_visible()
        visit(page, "/risk")
        expect(page.get_by_text("KILL IS SET").nth(1)).to_be_visible()
        expect(page.locator(".pb-receipt")).to_contain_text("PROVEN")
        expect(page.locator(".pb-receipt")).to_contain_text("Remaining inventory")
    with reading(live.config.state_path) as connection:
        left = connection.execute(
            "SELECT count(*) FROM orders WHERE state NOT IN "
            "('filled', 'cancelled', 'expired', 'rejected')"
        ).fetchone()
    assert left == (0,)


def add_channels(live: LiveDesk, hook: Receiver, port: int) -> None:
    """Seal two channels for this machine; sealing them in the browser is proven elsewhere."""
    home = live.config.home
    webhook = {"url": f"{hook.url}/hook", "secret": "an-example-of-a-secret"}
    for kind, fields in (("webhook", webhook), ("email", mail_fields(port))):
        entry = seal(make_key(home), kind, fields, kind=kind, label=kind, now_ns=time.time_ns())
        put_channel(home, kind, entry)


def until_told(page: Page, hook: Receiver, mails: Mails, kind: str) -> dict[str, Any]:
    """Wait until webhook and mailbox hold an alert; give the webhook's line of it."""
    title = described(kind).title
    for _ in range(600):
        lines = [line for body in hook.bodies() for line in body["lines"] if line["kind"] == kind]
        if lines and any(title in mail["Subject"] for _, mail in mails.got):
            return lines[0]
        page.wait_for_timeout(100)
    raise AssertionError(f"{kind} did not arrive at both within 60 s")


def edit_rule(page: Page) -> None:
    """Have warnings and news leave at once; both channels then take a test."""
    rules = page.get_by_label("Edit", exact=True)
    press_until(page.get_by_text(re.compile("^Rules: ")), rules)
    rules.click()
    page.get_by_role("option", name="warning", exact=True).click()
    digest = number(page, "Digest, minutes")
    expect(digest).to_have_value("15")
    digest.fill("0")
    page.get_by_label("Minimum severity").click()
    page.get_by_role("option", name="info", exact=True).click()
    page.get_by_role("button", name="Save this rule").click()
    expect(page.get_by_text("every kind from info on → every channel · at once")).to_be_visible()

    tests = page.get_by_role("button", name="Send a test")
    press_until(page.get_by_text("Channels: 2"), tests.first)
    for number_of in range(2):
        tests.nth(number_of).click()
        took = page.get_by_text("the channel took the test")
        expect(took).to_have_count(number_of + 1, timeout=WAIT_MS)


@pytest.mark.soak
def test_a_person_is_reached_and_answers_by_the_screen_alone(
    live: LiveDesk, browser: Browser
) -> None:
    with (
        mailing() as (mails, port),
        receiving() as hook,
        live.beside("watch", "--port", str(live.port)),
        live.beside("worker"),
        opened(browser) as page,
    ):
        add_channels(live, hook, port)
        sign_in(page, live, "/alerts")
        expect(page.get_by_text("The watch was active")).to_be_visible()
        edit_rule(page)

        # A price that stands already: the alert comes true as soon as the book is received.
        visit(page, f"/market?instrument=demo%3A{MARKET.pattern}")
        heading(page, MARKET.pattern)
        price = number(page, "Price, ¢")
        press_until(page.get_by_text(re.compile("^Price alerts: ")), price)
        price.fill("1")
        price.press("Enter")
        expect(page.get_by_text("at or above 1¢, once")).to_be_visible()  # the panel stays open

        line = until_told(page, hook, mails, "price_reached")
        assert line["link"] == f"{live.address}/market?instrument=demo%3A{MARKET.pattern}"
        visit(page, line["link"].removeprefix(live.address))
        heading(page, MARKET.pattern)

        visit(page, "/alerts")
        said = page.locator("div.pb-alert", has_text=line["text"])
        expect(said).to_be_visible()
        row = page.get_by_test_id("stHorizontalBlock").filter(has=said)
        row.get_by_role("button", name="Seen").click()
        expect(said).to_be_hidden()

        visit(page, "/reports")
        page.get_by_role("button", name="Make it now").click()
        expect(
            page.get_by_role("heading", name=re.compile("^Flight report, daily"))
        ).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download to print").click()
        printed = download.value.path().read_text()  # before the page that gives it goes
        page.goto("about:blank")
        page.set_content(printed)
        expect(
            page.get_by_role("heading", name=re.compile("^Flight report, daily"))
        ).to_be_visible()
        assert page.pdf(format="A4").startswith(b"%PDF")
        until_told(page, hook, mails, "report")
        whole, *_ = (mail for _, mail in mails.got if described("report").title in mail["Subject"])
        assert "Limits used" in whole.get_body(("html",)).get_content()
