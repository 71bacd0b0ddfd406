"""A recorded day: what its replay costs beside reading its bytes, and how many sets in a minute.

The bot quotes wherever it may and never pauses, so that the day has orders by the thousand: one
that sleeps after its first losses costs nothing. The day is imported first; then the whole run
(strategy, risk, planner, journal's digest) is set against a bare reader of the raw file, json of
the standard library, in CPU seconds and in turn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.processes import REPO, TIMEOUT_S, cpu_s
from engine.strategies.market_maker.parameters import EAGER

Row = tuple[str, str, str, str, str]

DAY = Path("polymarket_btc5m_l2/raw/2026-04-13.jsonl.gz")
SETS = 8
ORDERS_MIN = 8_000
"""Fewer are no day of trading: nothing is printed then."""

BARE = """
import gzip, json, sys
for line in gzip.open(sys.argv[1]):
    json.loads(line)
"""


def _orders(replay: Sequence[str], given: Mapping[str, str]) -> int:
    """Return how many orders the day's bot places. Raises RuntimeError where they are too few."""
    done = subprocess.run(
        replay,
        cwd=REPO,
        env=os.environ | given,
        check=True,
        timeout=TIMEOUT_S,
        text=True,
        capture_output=True,
    )
    orders = int(json.loads(done.stdout)["orders"])
    if orders < ORDERS_MIN:
        raise RuntimeError(f"the day's bot placed {orders:,} orders, {ORDERS_MIN:,} are needed")
    return orders


def rows(rounds: int) -> list[Row]:
    """Return the rows of the table; none where the recording is not here (PITBOSS_DATA)."""
    path = Path(os.environ.get("PITBOSS_DATA", "../shared/data")).resolve() / DAY
    if not path.is_file():
        sys.stderr.write(f"{path} is not here (PITBOSS_DATA): the recorded day is left out\n")
        return []
    with tempfile.TemporaryDirectory() as home:
        replay = [
            *(sys.executable, "-m", "engine", "replay", str(path), "--json"),
            *("--decisions", "off", "--journal", "digest", "--cash", "1000000"),
            *(word for name, value in EAGER.items() for word in ("--param", f"{name}={value}")),
        ]
        given = {"PITBOSS_HOME": home}
        orders = _orders(replay, given)  # imports it
        ours, bare = [], []
        for _ in range(rounds):
            ours.append(cpu_s(replay, given))
            bare.append(cpu_s([sys.executable, "-c", BARE, str(path)]))
        sets = [Path(home) / f"set{number}.json" for number in range(SETS)]
        for one in sets:
            one.write_text("{}", encoding="ascii")
        words = [word for one in sets for word in ("--set", str(one))]
        began = time.monotonic()
        cpu_s([*replay, "--jobs", "2", *words], given)
        minute = SETS * 60 / (time.monotonic() - began)
    mine, other = median(ours), median(bare)
    return [
        (
            f"imported day, {orders:,} orders ÷ bare reader, CPU",
            f"{mine:.1f} s",
            f"{other:.1f} s",
            f"{mine / other:.2f}",
            "<= 1.1, aim 0.8",
        ),
        (
            "sets a minute of that day, 2 cores",
            f"{minute:.0f}",
            "26",
            f"{minute / 26:.2f}",
            ">= 26, aim 45",
        ),
    ]
