"""What the dashboard costs: `python -m bench.dashboard [--tabs 5] [--seconds 30]`.

Starts demo exchange, engine and dashboard in a home of its own, opens tabs in headless Chromium,
and tells how long a warm page switch and an update take and what share of a core the server uses.
Not part of `make bench`: it takes five minutes and wants a quiet machine, whose load it prints.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from bench.processes import REPO
from storage.database import reading
from storage.schema import migrate
from storage.users import ensure_operator

PAGES = (
    "Overview",
    "Bots",
    "Orders",
    "Positions",
    "Runs",
    "Recordings",
    "Risk",
    "Alerts",
    "Journal",
    "Jobs",
    "Settings",
    "Help",
)
LIVING = ("/", "/bots?bot=demo-events", "/orders", "/positions", "/risk")
"""What the tabs show: pages that refresh by themselves."""

START_S = 120
TRADE_S = 240
"""How long the demo bots may take to their first fills."""

FILLS = 20
SWITCHES = 8
P95_MS_MAX = 300
"""The goal of a warm page."""

SWITCH = """async (name) => {
  const settled = () => document.querySelector('.stApp')
    ?.getAttribute('data-test-script-state') === 'notRunning';
  const until = (true_) => new Promise((done) => {
    const look = () => true_() ? done(performance.now()) : requestAnimationFrame(look);
    look();
  });
  await until(settled);
  const link = [...document.querySelectorAll('[data-testid="stSidebarNavLink"]')]
    .find((one) => one.innerText.trim().endsWith(name));
  const began = performance.now();
  link.click();
  const head = await until(() => [...document.querySelectorAll('h1')]
    .some((one) => one.innerText.trim() === name));
  const whole = await until(settled);
  return [head - began, whole - began];
}"""
WATCH = """(seconds) => new Promise((done) => {
  const found = []; let last = null;
  new MutationObserver(() => {
    const text = document.querySelector('.pb-tick')?.textContent;
    if (text && text !== window.pbSeen) {
      window.pbSeen = text;
      const now = performance.now();
      if (last !== null) { found.push(now - last); }
      last = now;
    }
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
  setTimeout(() => done(found), seconds * 1000);
})"""


def port() -> int:
    """Return a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def program(home: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a program of the desk."""
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=REPO,
        env={**os.environ, "PITBOSS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end(running: subprocess.Popen[bytes]) -> None:
    """End a program by its id."""
    running.terminate()
    running.wait(60)


def until_it_answers(address: str) -> None:
    """Wait for the server. Raises RuntimeError."""
    end_at = time.monotonic() + START_S
    while time.monotonic() < end_at:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the dashboard did not answer")


def until_it_trades(state: Path) -> None:
    """Wait for the first fills: a page without rows is no page to measure."""
    end_at = time.monotonic() + TRADE_S
    while time.monotonic() < end_at:
        with reading(state) as connection:
            (fills,) = connection.execute("SELECT count(*) FROM fills").fetchone()
        if fills >= FILLS:
            return
        time.sleep(0.5)
    raise RuntimeError(f"the demo bots had no {FILLS} fills within {TRADE_S} s")


def tab(browser: Browser, address: str, password: str, path: str) -> Page:
    """Open a signed-in tab on a page."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.fill("#password", password)
    page.click("button")
    page.wait_for_selector(".pb-tick")
    page.goto(address + path)
    page.wait_for_selector(".pb-tick")
    return page


def switches(page: Page) -> dict[str, list[tuple[float, float]]]:
    """Return ms from a click in the navigation to a page's heading and to its whole, warm alone."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PAGES}
    for turn in range(SWITCHES + 1):
        for name in PAGES:
            head, whole = page.evaluate(SWITCH, name)
            if turn:  # the first turn loads what the later ones use
                found[name].append((head, whole))
    return found


def show_switches(found: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Print how long each page takes to its heading, and to its whole."""
    for name, pairs in found.items():
        heads, wholes = zip(*pairs, strict=True)
        print(f"{told(name, wholes, 'ms')}   heading {statistics.median(heads):6.1f}")
    every = [whole for pairs in found.values() for _, whole in pairs]
    print(f"{told('all pages, to the whole', every, 'ms')}   goal p95 {P95_MS_MAX}")


def told(name: str, values: Sequence[float], unit: str) -> str:
    """Return median and 95th percentile of figures."""
    p95 = statistics.quantiles(values, n=20)[-1]
    return f"{name:<44} median {statistics.median(values):8.1f}   p95 {p95:8.1f} {unit}"


def measure(opened: Callable[[str], Page], server: psutil.Process, *, tabs: int, s: int) -> None:
    """Open the tabs and print the figures."""
    first = opened("/")
    show_switches(switches(first))
    first.context.close()
    pages = [opened(LIVING[n % len(LIVING)]) for n in range(tabs)]
    time.sleep(5)  # everything drawn once; what follows is the steady state
    before, began = server.cpu_times(), time.monotonic()
    intervals = pages[0].evaluate(WATCH, s)
    after, took = server.cpu_times(), time.monotonic() - began
    used = after.user + after.system - before.user - before.system
    print(told("update of the bar, asked for each 1,000 ms", intervals, "ms apart"))
    print(f"server with {tabs} tabs: {100 * used / took:.1f} % of a core, "
          f"{100 * used / took / tabs:.1f} % per tab, "
          f"{server.memory_info().rss / 2**20:.0f} MB")  # fmt: skip
    print(f"load of this machine meanwhile: {os.getloadavg()[0]:.1f} over {os.cpu_count()} cores")


def main(argv: Sequence[str]) -> int:
    """Start everything, measure, end everything."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard")
    parser.add_argument("--tabs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args(argv)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        print("Chromium is not here: apt-get install chromium", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        migrate(home / "pitboss.db")
        password = ensure_operator(home / "pitboss.db", time.time_ns()) or ""
        demo, web = port(), port()
        url = f"http://127.0.0.1:{demo}"
        for words in (("engine", "demo", "--port", str(demo)), ("engine", "run", "--demo", url)):
            stack.callback(end, program(home, *words))
        served = program(home, "streamlit", "run", "app.py", "--server.port", str(web))
        stack.callback(end, served)
        address = f"http://127.0.0.1:{web}"
        until_it_answers(address)
        until_it_trades(home / "pitboss.db")
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        stack.callback(browser.close)
        measure(
            lambda path: tab(browser, address, password, path),
            psutil.Process(served.pid),
            tabs=options.tabs,
            s=options.seconds,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
