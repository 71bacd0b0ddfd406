"""Desks for the browser tests: a dashboard alone, or with an engine and a demo exchange."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Dialog,
    FloatRect,
    Locator,
    Page,
    Position,
    expect,
)
from playwright.sync_api import (
    TimeoutError as Late,
)

from engine.config import Config
from engine.domain.catalog import VenueEntry
from engine.venues.registry import entries
from pages.frame.operator import ensure_operator
from storage.catalog import put_catalog
from storage.database import reading, writing
from storage.schema import migrate
from storage.settings import Saved, applied, latest, save
from storage.users import ENGINE_ID
from tests import forked
from tests.live.polymarket_programs import LivePrograms
from tests.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
"""The lightest that is here: without a window to draw, a page costs a fifth less."""
START_S = 180
WAIT_MS = 180_000
"""Long: on a machine under load a first page takes minutes; nothing waits in vain."""
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 800}
DARK, LIGHT = "rgb(11, 15, 20)", "rgb(246, 248, 250)"


def until_answered(address: str, server: subprocess.Popen[bytes]) -> None:
    """Wait for a server; one that ends, or does not answer in time, is an AssertionError."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the server ended by itself"
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the server did not answer within {START_S} s")


class Desk:
    """A running dashboard over a home of its own."""

    def __init__(self, home: Path) -> None:
        self.config = Config(home=home)
        migrate(self.config.state_path)
        with writing(self.config.state_path) as connection:
            put_catalog(connection, ENGINE_ID, VenueEntry, entries(), 1)
        self.password = ensure_operator(self.config) or ""
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start the server; return when it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port)],
            cwd=REPOSITORY,
            env={**os.environ, "PITBOSS_HOME": str(self.config.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until_answered(f"{self.address}/health", self.process)
        except AssertionError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, by its id alone."""
        self.process.kill()
        self.process.wait(150)


@contextmanager
def opened(browser: Browser, **options: object) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(viewport=options.pop("viewport", WIDE), **options)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, desk: Desk, path: str = "/") -> None:
    page.goto(desk.address + path)
    page.fill("#password", desk.password)
    page.click("button")
    page.wait_for_selector(".pb-tick")


def visit(page: Page, path: str) -> None:
    """Go to another page of the desk as a link of it does: without loading the browser's anew."""
    page.evaluate(
        "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')) }",
        path,
    )


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", name=text, exact=True)).to_be_visible(timeout=WAIT_MS)


MARKET = re.compile("comet-visible-this-month-1")
"""The one event of the demo exchange that no bot of a first desk trades."""


class LiveDesk(Desk):
    """A dashboard with an engine and a demo exchange; there is an account and no bot."""

    fork = True
    """False = its programs start as an operator's do."""

    def start(self) -> None:
        """Start all three at once."""
        self.prepare()
        port = free_port()
        self.programs = [
            self.program("demo", "--port", str(port)),
            self.program("run", "--demo", f"http://127.0.0.1:{port}"),
        ]
        super().start()

    def prepare(self) -> None:
        """Save an account, put in force: with settings of a person the engine adds no bots."""
        with writing(self.config.state_path) as connection:
            account = {"name": "demo", "venue": "demo", "mode": "demo", "starting_cash": 10_000.0}
            made = save(
                connection,
                engine_id=ENGINE_ID,
                who="test",
                diff={"accounts": {"demo": account}},
                base_version=0,
                now_ns=time.time_ns(),
            )
            assert isinstance(made, Saved)
            applied(connection, ENGINE_ID, made.version, time.time_ns())

    def program(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PITBOSS_HOME": str(self.config.home)}
        with (self.config.home / f"{words[0]}.log").open("ab") as log:
            return forked.start("engine", words, environment, log, fork=self.fork)

    def stop(self) -> None:
        """End the engine first, as a supervisor does."""
        for program in reversed(self.programs):
            program.terminate()
            program.wait(180)
        super().stop()

    @contextmanager
    def beside(self, *words: str) -> Iterator[None]:
        """Have one more program run, with the environment of the others."""
        program = self.program(*words)
        try:
            yield
        finally:
            program.terminate()
            program.wait(180)

    def version(self) -> int:
        """Return the newest saved version of the settings."""
        with reading(self.config.state_path) as connection:
            return latest(connection, ENGINE_ID).version

    def order(self, where: str, seconds: float = 180.0) -> int:
        """Return the latest order for which something is true, once there is one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with reading(self.config.state_path) as connection:
                row = connection.execute(
                    f"SELECT id FROM orders WHERE {where} ORDER BY id DESC LIMIT 1"
                ).fetchone()
            if row is not None:
                return int(row[0])
            time.sleep(0.05)
        logs = "\n".join(path.read_text()[-2_000:] for path in self.config.home.glob("*.log"))
        raise AssertionError(f"no order {where} within {seconds} s\n{logs}")


class FirstDesk(LiveDesk):
    """A desk at its very first start: what `make run` gives a newcomer."""

    fork = False

    def prepare(self) -> None:
        """Save nothing: the engine makes the demo accounts and bots itself."""


class VenueDesk(Desk):
    """A dashboard, a worker, and an engine with one live account at the fake of Polymarket."""

    def start(self) -> None:
        """Start the venue, then all three."""
        self.venue = LivePrograms(self.config.home, kind=3, relayer="relay-key")
        self.venue.fake(crowd=0.0)
        self.venue.prepare()
        self.venue.engine()
        self.venue.start("worker", **self.venue.environment(secret=False))
        super().start()

    def stop(self) -> None:
        """End all of them."""
        super().stop()
        self.venue.end()


def number(page: Page, label: str) -> Locator:
    return page.get_by_role("spinbutton", name=re.compile(f"^{label}"))


def panic_by_banner(page: Page) -> str:
    """Press the banner's KILL and return what it says in the end."""
    told: list[str] = []

    def accept(dialog: Dialog) -> None:
        told.append(dialog.message)
        dialog.accept()

    page.on("dialog", accept)
    page.locator("#pb-nodata").get_by_role("button", name="KILL without this page").click()
    until = time.monotonic() + 10
    while len(told) < 2 and time.monotonic() < until:
        page.wait_for_timeout(50)
    page.remove_listener("dialog", accept)
    assert told[0].startswith("KILL: set the latch")
    return told[-1]


def box(part: Locator) -> FloatRect:
    """Return where a part stands; asked again where a redraw took its place."""
    for _ in range(50):
        expect(part).to_be_visible()
        found = part.bounding_box()
        if found is not None:
            return found
    raise AssertionError(f"{part} is drawn anew whenever it is asked for its place")


def press_until(
    button: Locator, shown: Locator, position: Position | None = None, *, times: int = 5
) -> None:
    """Press a button again where a redraw of the page took its place under the pointer.

    One that is gone was pressed: what it leads to may be slow to come.
    """
    for _ in range(times):
        with suppress(Late):
            button.click(position=position, timeout=10_000)
        try:
            expect(shown).to_be_visible(timeout=10_000)
        except AssertionError:
            continue
        return
    expect(shown).to_be_visible()


def takes(page: Page) -> None:
    """Have the ticket take what is there; what is above it moves while the book does."""
    urgency = "Take what is there"
    chosen = page.get_by_role("radio", name=urgency, checked=True)
    press_until(page.get_by_text(urgency, exact=True), chosen)


def choose(page: Page, field: str, option: re.Pattern[str]) -> None:
    """Choose one of a list; a redraw of the page may close the list under the pointer."""
    chosen = page.get_by_test_id("stMultiSelect").get_by_text(option).first
    for _ in range(5):
        page.get_by_label(field, exact=True).fill(option.pattern)
        try:
            page.get_by_role("option", name=option).click(timeout=10_000)
            expect(chosen).to_be_visible(timeout=10_000)
        except (Late, AssertionError):
            page.keyboard.press("Tab")
            continue
        break
    page.keyboard.press("Tab")  # Escape empties the field where a redraw has closed the list
    expect(chosen).to_be_visible()
