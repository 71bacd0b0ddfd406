"""A new alert is a notification and a sound of the browsers that want it, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.domain.alerts import Severity, described
from engine.domain.effects import alarm
from pages.shared.browser_alerts import DESKTOP, SOUND, marks
from storage.alerts import raise_alert
from storage.database import transaction, writing
from storage.users import ENGINE_ID
from storage.views.frame import AlertSeen
from tests.pages.desks import CHROMIUM, WAIT_MS, Desk, heading, opened, sign_in, visit

BROWSER = """
window.told = JSON.parse(sessionStorage.told || "[]");
window.tell = (one) => { told.push(one); sessionStorage.told = JSON.stringify(told); };
window.Notification = class {
  static permission = "%s";
  static requestPermission() { return Promise.resolve("denied"); }
  constructor(title, given) { tell([title, given.body]); }
};
window.AudioContext = class {
  constructor() { this.currentTime = 0; this.destination = {}; }
  resume() { return Promise.resolve(); }
  createGain() { return { gain: {}, connect: (to) => to }; }
  createOscillator() {
    return { frequency: {}, connect: (to) => to, start: () => tell("tone"), stop: () => 0 };
  }
};
"""
"""What a headless browser lacks: it has no screen for notifications, and nothing to hear."""

NEEDS = pytest.mark.skipif(
    CHROMIUM is None, reason="these tests need Chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("browser"))
    yield made
    made.stop()


def raised(state: Path, kind: str, text: str) -> None:
    with writing(state) as connection, transaction(connection):
        raise_alert(connection, ENGINE_ID, alarm(kind, text), None, time.time_ns())


def choose(page: Page, name: str) -> None:
    page.locator(f"input[data-pb-choice={name}]").click()


@NEEDS
@pytest.mark.long
def test_a_new_alert_is_told_once_by_the_browsers_that_want_it(
    browser: Browser, desk: Desk
) -> None:
    state = desk.config.state_path
    raised(state, "kill", "this stood before the page was opened")
    with opened(browser) as page:
        page.context.add_init_script(BROWSER % "granted")
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        for name in (DESKTOP, SOUND):
            choose(page, name)
            expect(page.locator(f"input[data-pb-choice={name}]")).to_be_checked()
        tried = [["Pitboss", "So an alert is shown."], "tone", "tone"]
        page.wait_for_function("wanted => told.length === wanted", arg=len(tried), timeout=WAIT_MS)
        assert page.evaluate("told") == tried
        visit(page, "/reports")  # on any page
        raised(state, "stop_drawdown", 'the account fell by 12 % <b>"at once"</b>')
        page.wait_for_function("told.length > 3", timeout=WAIT_MS)
        page.wait_for_timeout(3_500)  # a redraw tells nothing twice
        assert page.evaluate("told.slice(3)") == [
            ["CRITICAL Stopped: drawdown limit", 'the account fell by 12 % <b>"at once"</b>'],
            "tone",
            "tone",
        ]


@NEEDS
@pytest.mark.long
def test_an_alert_that_comes_while_a_page_is_loaded_anew_is_told(
    browser: Browser, desk: Desk
) -> None:
    with opened(browser) as page:
        page.context.add_init_script(BROWSER % "granted")
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        choose(page, DESKTOP)
        page.wait_for_function("told.length === 1", timeout=WAIT_MS)
        page.wait_for_function("localStorage.pbNotifyLooked", timeout=WAIT_MS)
        page.goto("about:blank")
        raised(desk.config.state_path, "position_differs", "2 shares lack")
        page.goto(f"{desk.address}/reports")
        page.wait_for_function("told.length === 2", timeout=WAIT_MS)
        assert page.evaluate("told[1]") == [
            f"CRITICAL {described('position_differs').title}",
            "2 shares lack",
        ]


@NEEDS
@pytest.mark.long
def test_a_browser_that_refuses_says_so_and_one_that_was_not_asked_is_silent(
    browser: Browser, desk: Desk
) -> None:
    with opened(browser) as page:
        page.context.add_init_script(BROWSER % "default")
        sign_in(page, desk, "/alerts")
        heading(page, "Alerts")
        choose(page, DESKTOP)
        expect(page.get_by_text("This browser refuses notifications")).to_be_visible()
        expect(page.locator(f"input[data-pb-choice={DESKTOP}]")).not_to_be_checked()
        raised(desk.config.state_path, "fill_failed", "a fill did not settle")
        seen = page.locator(".pb-newest[data-kind=fill_failed]")
        expect(seen).to_have_count(1, timeout=WAIT_MS)
        page.wait_for_timeout(2_500)
        assert page.evaluate("told") == []


def test_what_the_script_reads_is_escaped() -> None:
    one = AlertSeen(severity=Severity.CRITICAL, kind="kill", text='"><script>x</script>', last_ns=1)
    assert "<script" not in marks([one])
    assert 'data-text="&quot;&gt;&lt;script' in marks([one])
