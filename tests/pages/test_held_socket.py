from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from pages.frame.kill import ways_without
from storage.latch import read_latch
from tests.pages.desks import CHROMIUM, Desk, heading, opened, panic_by_banner, sign_in

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="these tests need Chromium: apt-get install chromium"
)


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    started = Desk(tmp_path_factory.mktemp("desk"))
    try:
        yield started
    finally:
        started.stop()


def test_a_tab_signed_out_elsewhere_shows_nothing_of_now_and_says_why_it_kills_nothing(
    desk: Desk, browser: Browser
) -> None:
    with opened(browser) as page:
        sign_in(page, desk)
        page.clock.install()  # the watchdog's six seconds need not be waited for
        page.goto(desk.address)
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

        banner.get_by_role("button", name="Load again").click()
        expect(page.get_by_label("Password")).to_be_visible()
