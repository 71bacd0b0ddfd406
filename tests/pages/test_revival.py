"""A tab that cannot go on loads itself anew, and what was typed in it comes back."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from pages.frame.server import ENDED
from tests.pages.desks import CHROMIUM, REPOSITORY, Desk, heading, opened, sign_in

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        CHROMIUM is None, reason="these tests need Chromium: apt-get install chromium"
    ),
]

TABS, WATCHED_MS, SLOWER = 5, 15_000, 3
DRAFT = "half a sentence"
RUNS_IN_FLIGHT = 100
"""More draws than can end between a browser's question and its answer."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("revival"))
    yield made
    made.stop()


def typed(page: Page) -> None:
    page.get_by_label("Filter").press_sequentially(DRAFT)


def come_back(page: Page) -> None:
    expect(page.get_by_label("Filter")).to_have_value(DRAFT)


def test_a_sign_out_elsewhere_leads_to_the_sign_in_and_what_was_typed_comes_back(
    browser: Browser, desk: Desk
) -> None:
    with opened(browser) as page:
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        typed(page)
        other = page.context.new_page()
        other.goto(f"{desk.address}/sign-out")
        other.get_by_role("button", name="Sign out").click()
        expect(other.locator("#password")).to_be_visible()  # a tab that closes may not have asked
        other.close()
        expect(page.locator(".said")).to_have_text(ENDED)
        page.fill("#password", desk.password)
        page.click("button")
        page.wait_for_selector(".pb-tick")
        come_back(page)
        assert page.url == f"{desk.address}/alerts"


MISS = """() => {
    const said = document.createElement("div");
    said.setAttribute("role", "dialog");
    said.textContent = "Cached ForwardMsg MISS [hash=1]";
    document.body.append(said);
}"""


def test_a_session_that_ends_between_the_question_and_the_loading_is_said_to_have_ended(
    browser: Browser, desk: Desk
) -> None:
    with opened(browser) as page:
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")

        def end_it(route: Route) -> None:
            page.context.request.post(f"{desk.address}/sign-out")
            route.fulfill(status=303, headers={"location": "/"})  # what it was before that

        page.route("**/sign-in", end_it, times=1)
        page.evaluate(MISS)
        expect(page.locator(".said")).to_have_text(ENDED)


def test_a_tab_that_lost_what_the_server_names_loads_itself_anew(
    browser: Browser, desk: Desk
) -> None:
    with opened(browser) as page:
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        typed(page)
        page.evaluate(MISS)
        expect(page.get_by_text("ForwardMsg MISS")).to_have_count(0)
        page.wait_for_selector(".pb-tick")
        come_back(page)


def test_a_draft_that_was_sent_does_not_come_back(browser: Browser, desk: Desk) -> None:
    with opened(browser) as page:
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        typed(page)
        page.get_by_label("Filter").press("Enter")
        assert page.evaluate("sessionStorage.getItem('pbDrafts')") == "{}"


def test_the_shortcut_moves_the_focus_to_the_second_click(browser: Browser, desk: Desk) -> None:
    with opened(browser) as page:
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        page.keyboard.press("Control+Shift+K")
        confirm = page.get_by_role("button", name="CONFIRM KILL")
        expect(confirm).to_be_focused()
        page.get_by_role("button", name="Keep trading").click()
        expect(confirm).to_have_count(0)


def test_a_shortcut_that_was_lost_on_the_way_still_asks(browser: Browser, desk: Desk) -> None:
    with opened(browser) as page:
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        page.evaluate(  # to the window alone: what Streamlit listens to, the document, has nothing
            """() => window.dispatchEvent(new KeyboardEvent(
                "keydown", { key: "K", code: "KeyK", ctrlKey: true, shiftKey: true }))"""
        )
        expect(page.get_by_role("button", name="CONFIRM KILL")).to_be_focused()
        page.get_by_role("button", name="Keep trading").click()
        expect(page.get_by_role("button", name="CONFIRM KILL")).to_have_count(0)
        page.wait_for_timeout(2_500)
        expect(page.get_by_role("button", name="CONFIRM KILL")).to_have_count(0)


def test_no_toast_lies_over_the_bar(browser: Browser, desk: Desk) -> None:
    with opened(browser) as page:
        sign_in(page, desk, "/alerts")
        box = page.evaluate(
            """() => {
                const toasts = document.createElement("div");
                toasts.dataset.testid = "stToastContainer";
                toasts.style.cssText = "position:fixed;top:60px;right:8px;z-index:1000";
                toasts.innerHTML = "<div data-testid=stToast style='height:80px'>x</div>";
                document.querySelector(".stApp").append(toasts);
                const at = toasts.getBoundingClientRect();
                return [at.top, innerHeight - at.bottom];
            }"""
        )
        assert box[0] > 400
        assert box[1] < 40


def test_a_browser_keeps_what_is_named_to_it_while_draws_are_under_way() -> None:
    told = tomllib.loads((REPOSITORY / ".streamlit/config.toml").read_text(encoding="utf-8"))
    assert told["global"]["maxCachedMessageAge"] > RUNS_IN_FLIGHT


def watched(browser: Browser, desk: Desk, milliseconds: int) -> list[str]:
    """Return what slow tabs that draw themselves anew said of messages they did not have."""
    said: list[str] = []
    with opened(browser) as first:
        sign_in(first, desk)
        tabs = [first.context.new_page() for _ in range(TABS - 1)]
        for number, tab in enumerate([first, *tabs]):
            tab.on("console", lambda message: said.append(message.text))
            tab.on("pageerror", lambda error: said.append(str(error)))
            session = tab.context.new_cdp_session(tab)
            session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
            path = ("", "risk", "positions", "bots", "orders")[number]
            tab.goto(f"{desk.address}/{path}")
            tab.wait_for_selector(".pb-tick")
        first.wait_for_timeout(milliseconds)
        for tab in tabs:
            expect(tab.locator(".pb-tick")).to_be_visible()
    return [line for line in said if "MISS" in line]


@pytest.mark.soak
def test_slow_tabs_miss_no_message(browser: Browser, desk: Desk) -> None:
    assert watched(browser, desk, WATCHED_MS) == []


@pytest.mark.soak
def test_slow_tabs_miss_no_message_for_half_an_hour(browser: Browser, desk: Desk) -> None:
    assert watched(browser, desk, 30 * 60_000) == []
