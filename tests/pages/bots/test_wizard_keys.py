"""The wizard by keyboard alone: from its first field to a bot that runs, no click."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from engine.domain.bots import BotState
from storage.database import reading
from storage.settings import latest
from storage.users import ENGINE_ID
from tests.pages.desks import CHROMIUM, WAIT_MS, LiveDesk, heading, opened

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(CHROMIUM is None, reason="this needs Chromium: apt-get install chromium"),
]

KEYS_MAX = 20
"""Keys beside typed text: six steps left by one each, a market chosen, the last button reached."""
AT = "name => Boolean(document.activeElement.closest(`[class*='st-key-${name}']`))"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    started = LiveDesk(tmp_path_factory.mktemp("live"))
    try:
        yield started
    finally:
        started.stop()


class Keyboard:
    """A person without a mouse; counts the keys beside typed text."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.pressed = 0

    def press(self, key: str) -> None:
        self._page.keyboard.press(key)
        self.pressed += 1

    def types(self, text: str) -> None:
        self._page.keyboard.type(text)

    def stands_in(self, name: str) -> None:
        """Wait until the keyboard is in the field whose key begins so."""
        self._page.wait_for_function(AT, arg=name, timeout=WAIT_MS)

    def tabs_to(self, name: str, most: int) -> None:
        """Press Tab until a button has the keyboard."""
        for _ in range(most):
            self.press("Tab")
            if self._page.evaluate(AT, name):
                return
        raise AssertionError(f"{most} times Tab do not lead to {name}")


def until_listed(live: LiveDesk) -> None:
    for _ in range(600):
        with reading(live.config.state_path) as connection:
            if connection.execute("SELECT 1 FROM instruments WHERE id LIKE '%comet%'").fetchone():
                return
        time.sleep(0.1)
    raise AssertionError("the demo exchange lists nothing")


def test_a_bot_is_made_and_started_by_keyboard_alone(live: LiveDesk, browser: object) -> None:
    until_listed(live)  # fields drawn before the engine received the listing do not offer it
    with opened(browser) as page:  # type: ignore[arg-type]
        keys = Keyboard(page)
        page.goto(f"{live.address}/bots?create=1")
        expect(page.locator("#password")).to_be_focused()
        keys.types(live.password)
        page.keyboard.press("Enter")
        heading(page, "New bot")

        keys.stands_in("wizard_account_")
        keys.press("Alt+n")
        keys.stands_in("wizard_markets_")
        keys.types("comet")
        option = page.get_by_role("option").first
        expect(option).to_contain_text("comet", timeout=WAIT_MS)
        keys.press("Enter")
        expect(page.get_by_test_id("stMultiSelect").first).to_contain_text("comet-visible")
        keys.press("Alt+n")
        keys.stands_in("wizard_strategy_")
        keys.press("Alt+n")
        keys.stands_in("wizard_preset_")
        keys.press("Alt+n")
        keys.stands_in("wizard_capital_")
        keys.press("Control+a")
        keys.types("250")
        keys.press("Alt+n")  # left from the field: what was typed in it is kept
        expect(page.get_by_text("There is no recording to play.")).to_be_visible()
        keys.press("Alt+n")
        keys.stands_in("wizard_name_")
        keys.tabs_to("wizard_start", 8)
        keys.press("Enter")

        heading(page, "market_maker-1")
        running = page.get_by_text(BotState.RUNNING.upper(), exact=True).first
        expect(running).to_be_visible(timeout=WAIT_MS)
        with reading(live.config.state_path) as connection:
            made = latest(connection, ENGINE_ID).document.bots["market_maker-1"]
        assert made.capital == 250
        assert [one.startswith("demo:comet-visible") for one in made.instruments] == [True]
        assert keys.pressed <= KEYS_MAX, keys.pressed
