"""What a desk costs: `python -m bench --only desk`, or each page by `python -m bench.dashboard`.

Starts demo exchange, engine and dashboard in a home of its own, opens tabs in headless Chromium,
and tells how long a warm page switch and an update take, what share of a core the server uses, and
what memory and disk all of it takes. That is a desk of minutes; `--quarters 12` watches one for
three hours and tells each process and each file every quarter of an hour.
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
from collections.abc import Mapping, Sequence
from configparser import RawConfigParser
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from supervisor.datatypes import dict_of_key_value_pairs

from bench.processes import REPO
from pages import found_pages
from storage.database import reading
from storage.retention import size_of
from storage.schema import migrate
from storage.users import ensure_operator

PAGES = tuple(one.page.title for one in found_pages())
"""Every page of the navigation."""

LIVING = ("/", "/bots?bot=demo-events", "/orders", "/positions", "/risk")
"""What the tabs show: pages that refresh by themselves."""

START_S = 120
PAGE_MS_MAX = 180_000
TRADE_S = 600
"""How long the demo bots may take to their first fills."""

FILLS = 5
SWITCHES = 8
SECONDS = 60
"""How long the tabs are watched."""

QUARTER_S = 900

Row = tuple[str, str, str, str, str]

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


def program(home: Path, name: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a program of the desk, in the environment its supervisor gives it."""
    desk = RawConfigParser()
    desk.read(REPO / "supervisord.conf")
    given = dict_of_key_value_pairs(desk.get(f"program:{name}", "environment", fallback=""))
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=REPO,
        env={**os.environ, **given, "PITBOSS_HOME": str(home)},
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
    page.set_default_timeout(PAGE_MS_MAX)
    page.goto(address)
    page.fill("#password", password)
    page.click("button")
    page.wait_for_selector(".pb-tick")
    page.goto(address + path)
    page.wait_for_selector(".pb-tick")
    return page


def switches(page: Page) -> dict[str, list[tuple[float, float]]]:
    """Return ms from a click in the navigation to a page's heading and to its whole.

    The first of each is cold: it loads what the later ones use.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PAGES}
    for _ in range(SWITCHES + 1):
        for name in PAGES:
            head, whole = page.evaluate(SWITCH, name)
            found[name].append((head, whole))
    return found


def quantile_line(name: str, values: Sequence[float], unit: str) -> str:
    """Return median and 95th percentile of figures."""
    return f"{name:<44} median {statistics.median(values):8.1f}   p95 {p95(values):8.1f} {unit}"


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


class Taken(NamedTuple):
    """What a desk's processes and folder have taken so far. Bytes but for the processor's time."""

    at_s: float
    server_cpu_s: float
    rss: int
    written: int
    stored: int


def processes(programs: Mapping[str, subprocess.Popen[bytes]]) -> dict[str, list[psutil.Process]]:
    """Return each program of a desk with what it started."""
    roots = {name: psutil.Process(one.pid) for name, one in programs.items()}
    return {name: [root, *root.children(recursive=True)] for name, root in roots.items()}


def files(home: Path) -> dict[str, int]:
    """Return the bytes of each file and folder of a desk's home, logs of databases left out."""
    return {
        one.name: size_of(one) if one.is_dir() else one.stat().st_size
        for one in home.iterdir()
        if not one.name.endswith("-wal")
    }


def taken(programs: Mapping[str, subprocess.Popen[bytes]], home: Path) -> Taken:
    """Read what all programs of a desk, with what they started, have taken."""
    found = processes(programs)
    every = [one for many in found.values() for one in many]
    spent = found["dashboard"][0].cpu_times()
    return Taken(
        at_s=time.monotonic(),
        server_cpu_s=spent.user + spent.system,
        rss=sum(one.memory_info().rss for one in every),
        written=sum(one.io_counters().write_bytes for one in every),
        stored=sum(files(home).values()),
    )


def quarter(programs: Mapping[str, subprocess.Popen[bytes]], home: Path) -> str:
    """Return a line for each program, RSS, CPU and bytes written so far, and one for the files."""
    lines = []
    for name, many in processes(programs).items():
        rss = sum(one.memory_info().rss for one in many)
        written = sum(one.io_counters().write_bytes for one in many)
        spent = sum(sum(one.cpu_times()[:2]) for one in many)
        lines.append(f"{name:10}{rss / 2**20:8.1f} MB{spent:9.1f} s{written / 1e6:9.1f} MB written")
    sizes = sorted(files(home).items(), key=lambda one: -one[1])
    lines.append("  ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes if size >= 50_000))
    return "\n".join(lines)


class Measured(NamedTuple):
    """One desk, measured."""

    pages: dict[str, list[tuple[float, float]]]
    """Page → ms to its heading and to its whole, for each switch; the first is cold."""
    first_ms: float
    """From the sign-in's click to the first page with its bar."""
    updates_ms: list[float]
    before: Taken
    after: Taken


def measure(*, tabs: int, seconds: int, quarters: int = 0) -> Measured | None:
    """Start a desk, measure, end everything; None (said on stderr) without a browser."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        sys.stderr.write("Chromium is not here (apt-get install chromium): no desk is measured\n")
        return None
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        migrate(home / "pitboss.db")
        password = ensure_operator(home / "pitboss.db", time.time_ns()) or ""
        demo, web = port(), port()
        words = {
            "demo": ("engine", "demo", "--port", str(demo)),
            "engine": ("engine", "run", "--demo", f"http://127.0.0.1:{demo}"),
            "worker": ("engine", "worker"),
            "dashboard": ("streamlit", "run", "app.py", "--server.port", str(web)),
        }
        programs = {}
        for name, given in words.items():
            programs[name] = program(home, name, *given)
            stack.callback(end, programs[name])
        address = f"http://127.0.0.1:{web}"
        until_it_answers(address)
        until_it_trades(home / "pitboss.db")
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        stack.callback(browser.close)
        began = time.monotonic()
        first = tab(browser, address, password, "/")
        first_ms = 1e3 * (time.monotonic() - began)
        pages = switches(first)
        first.context.close()
        opened = [tab(browser, address, password, LIVING[n % len(LIVING)]) for n in range(tabs)]
        time.sleep(5)  # everything drawn once; what follows is the steady state
        before = taken(programs, home)
        updates_ms = opened[0].evaluate(WATCH, seconds)
        after = taken(programs, home)
        for done in range(quarters):
            print(f"\nafter {15 * done} min\n{quarter(programs, home)}", flush=True)
            time.sleep(QUARTER_S)
        if quarters:
            print(f"\nafter {15 * quarters} min\n{quarter(programs, home)}", flush=True)
        return Measured(pages, first_ms, updates_ms, before, after)


def rows(*, tabs: int = 5, seconds: int) -> list[Row]:
    """Return the rows of the table; none without a browser."""
    found = measure(tabs=tabs, seconds=seconds)
    if found is None:
        return []
    updates_ms, before, after = found.updates_ms, found.before, found.after
    took_s = after.at_s - before.at_s
    hours = took_s / 3_600
    wholes = [whole for pairs in found.pages.values() for _, whole in pairs[1:]]
    cold = [pairs[0][1] for pairs in found.pages.values()]
    return [
        (f"watched, with {tabs} tabs", f"{took_s:.0f} s", "-", "-", "shown"),
        ("the first page, sign-in among it", f"{found.first_ms:,.0f} ms", "-", "-", "shown"),
        (
            f"{len(cold)} pages, cold, to its whole, slowest",
            f"{max(cold):,.0f} ms",
            "-",
            "-",
            "shown",
        ),
        _row(f"{len(cold)} pages, warm, to its whole, p95", p95(wholes), P95_MS_MAX, "ms"),
        (
            "update of the bar, p95",
            f"{p95(updates_ms):,.0f} ms",
            "1,000 ms asked",
            f"{p95(updates_ms) / 1e3:.2f}",
            "shown",
        ),
        _row(
            f"CPU of the dashboard, {tabs} tabs",
            100 * (after.server_cpu_s - before.server_cpu_s) / took_s,
            30,
            "%",
        ),
        _row("RSS of all processes", after.rss / 2**20, 450, "MB"),
        _row("written in an hour", (after.written - before.written) / hours / 1e9, 0.3, "GB"),
        (
            "grown on disk in an hour",
            f"{(after.stored - before.stored) / hours / 1e6:,.1f} MB",
            "10 MB",
            "-",
            "of this minute; hours: --quarters",
        ),
    ]


def _row(name: str, mine: float, limit: float, unit: str) -> Row:
    goal = f"<= {limit:g} {unit}"
    return (name, f"{mine:,.2f} {unit}", f"{limit:g} {unit}", f"{mine / limit:.2f}", goal)


def main(argv: Sequence[str]) -> int:
    """Measure one desk and print each page's figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard")
    parser.add_argument("--tabs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--quarters", type=int, default=0, help="quarters of an hour to go on")
    options = parser.parse_args(argv)
    found = measure(tabs=options.tabs, seconds=options.seconds, quarters=options.quarters)
    if found is None:
        return 1
    for name, pairs in found.pages.items():
        heads, wholes = zip(*pairs[1:], strict=True)
        print(f"{quantile_line(name, wholes, 'ms')}   heading {statistics.median(heads):6.1f}")
    print(quantile_line("update of the bar, asked for each 1,000 ms", found.updates_ms, "ms apart"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
