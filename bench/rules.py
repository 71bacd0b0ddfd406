"""Rules of bars through the whole engine, beside backtesting.py and vectorbt on the same bars.

`python -m bench.rules [FILE]...` plays `sma_cross`, `rsi_reversion` and `bollinger_reversion` over
files of bars without costs, and sets every closed trade beside the peers': its bar and its price at
entry and exit. The daily returns of the same runs give Sharpe, Sortino, Calmar, volatility and
drawdown, beside empyrical-reloaded and quantstats at 365 days a year. The peers live in
environments of the bench's own, made on first use.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.processes import REPO, environment, run
from engine.config import Config
from engine.lab.recordings.bar_files import BarFile
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.setup import ENGINE, ReplayOptions, prepare
from storage.database import connect_reader
from storage.journal import decode, load
from storage.runs import DAY_NS, calmar, drawdown, grid, returns_of, sharpe, sortino, volatility

Row = tuple[str, str, str, str, str]
Trade = tuple[int, float, int, float]
"""Bar and price of the entry, bar and price of the exit."""

SCRIPT = REPO / "bench" / "beside" / "rules.py"
FILES = (
    "crypto_klines/binance_perp_WLD-USDT_3m.csv.gz",
    "crypto_klines/btc-perp-20211231-20220201_1m.csv.gz",
)
RULES: dict[str, dict[str, float]] = {
    "sma_cross": {"fast": 10, "slow": 30},
    "rsi_reversion": {"period": 14, "oversold": 30, "recovered": 55},
    "bollinger_reversion": {
        "period": 20,
        "deviations": 2.0,
        "enter_below": 0.0,
        "leave_above": 0.5,
    },
}
PEERS: dict[str, tuple[str, ...]] = {
    "backtesting": ("backtesting==0.6.5",),
    "vectorbt": ("vectorbt==1.2.0",),
    "metrics": ("empyrical-reloaded==0.7.1", "quantstats==0.0.86"),
}
PRICE_TOLERANCE = 1e-9
METRIC_TOLERANCE = 1e-9
"""Relative; both sides sum the same numbers in another order."""
WIDE = dict.fromkeys(
    (
        "order_value_max",
        "exposure_instrument_max",
        "exposure_market_max",
        "exposure_bot_max",
        "exposure_account_max",
        "exposure_total_max",
        "daily_loss_max",
        "drawdown_max",
        "kill_drawdown_max",
    ),
    "100%",
)
S = 1_000_000_000


@dataclass(frozen=True)
class Played:
    """What the engine made of one rule over one file."""

    trades: list[Trade]
    returns: list[float]
    run_cpu_s: float
    digest: str


def ours(path: Path, rule: str, starts: Sequence[int], home: Path, step: str) -> Played:
    """Play one rule over a file without costs; `starts` = when each bar begins, seconds."""
    parameters = {name: str(value) for name, value in RULES[rule].items()}
    options = ReplayOptions(
        path=path,
        strategy=rule,
        limits=WIDE,
        cash_micro=100_000_000,
        model="realistic",
        parameters=parameters | {"bars": step, "slippage_bps_max": "1000", "share": "0.5"},
        latency_ms=1,
        decisions=False,
        journal_full=True,
        instrument="file:BASE/QUOTE",
        bar_market=BarMarket(taker_fee_bps=0, maker_fee_bps=0, volume_share=1.0),
    )
    with prepare(options, Config(home=home)) as prepared:
        began = time.process_time()
        result = prepared.run(lambda *_: None)
        taken = time.process_time() - began
        number = prepared.store(result)["run"]
        trades = _trades(prepared.folder / "journal.db", starts)
    with closing(connect_reader(Config(home=home).state_path)) as connection:
        returns = returns_of(grid(connection, ENGINE, number, DAY_NS))
    return Played(trades, returns, taken, result.digest)


def _trades(journal: Path, starts: Sequence[int]) -> list[Trade]:
    """Return the closed trades of a journal; fills of one side in a row are one, at their mean."""
    orders: dict[int, str] = {}
    sides: list[tuple[str, int, list[tuple[int, int]]]] = []
    unit = 1.0
    for record in load(journal):
        message: Any = decode(record)
        if record.kind == "InstrumentListed":
            unit = float(message.instrument.price_unit)
        elif record.kind == "PlaceOrder":
            orders[message.order.id] = message.order.side.value
        elif record.kind == "OrderFilled":
            side = orders[message.order]
            if not sides or sides[-1][0] != side:
                sides.append((side, bisect_right(starts, record.at_ns // S) - 1, []))
            sides[-1][2].append((message.price, message.size))
    made = [
        (bar, sum(p * size for p, size in parts) / sum(size for _, size in parts) / unit)
        for _, bar, parts in sides
    ]
    return [(*made[i], *made[i + 1]) for i in range(0, len(made) - 1, 2)]


def beside(library: str, given: Mapping[str, Any], folder: Path) -> dict[str, Any] | None:
    """Return what a peer answers; None (said on stderr) where it failed."""
    file = folder / f"{library}.json"
    file.write_text(json.dumps(given), encoding="ascii")
    python = environment(f"rules-{library}", *PEERS[library])
    found = run([str(python), str(SCRIPT), library, str(file)])
    return None if found is None else dict(found)


def different(
    mine: Sequence[Trade], theirs: Sequence[Sequence[float]], volumes: Sequence[float]
) -> tuple[list[str], int]:
    """Say in which trades two sides differ, and in how many because nothing could be traded.

    A peer also fills at the open of a bar without volume; ours waits for one that has some.
    """
    found, halted = [], 0
    if len(mine) != len(theirs):
        found.append(f"{len(mine)} trades against {len(theirs)}")
    for i, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a[0] == b[0] and a[2] == b[2] and _near(a[1], b[1]) and _near(a[3], b[3]):
            continue
        ends = [(a[at], int(b[at])) for at in (0, 2) if a[at] != b[at]]
        if ends and all(ours > bar and not volumes[bar] for ours, bar in ends):
            halted += 1
        else:
            found.append(f"trade {i + 1}: {a} against {tuple(b)}")
    return found, halted


def _near(a: float, b: float, tolerance: float = PRICE_TOLERANCE) -> bool:
    return abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-12)


def rows(*, quick: bool = False, files: Sequence[Path] = ()) -> list[Row]:
    """Return the rows of the table; none where the bars are not here (PITBOSS_DATA)."""
    data = Path(os.environ.get("PITBOSS_DATA", "../shared/data")).resolve()
    paths = list(files) or [data / name for name in FILES[: 1 if quick else 2]]
    made: list[Row] = []
    for path in paths:
        if not path.is_file():
            sys.stderr.write(f"{path} is not here (PITBOSS_DATA): left out\n")
            continue
        with tempfile.TemporaryDirectory() as folder:
            made += _of_file(path, Path(folder), peers=not quick)
    return made


def _of_file(path: Path, folder: Path, *, peers: bool) -> list[Row]:
    bars = [
        (bar.start_ns // S, *(part / 1e8 for part in bar[1:])) for _, bar in BarFile(path).rows()
    ]
    starts = [int(bar[0]) for bar in bars]
    volumes = [bar[-1] for bar in bars]
    step = min(b - a for a, b in pairwise(starts))
    mine = {rule: ours(path, rule, starts, folder / rule, f"{step // 60}m") for rule in RULES}
    short = path.name.split(".")[0][-12:]
    made = [
        (f"{rule}, {short} (bars/CPU s)", f"{len(bars) / one.run_cpu_s:,.0f}", "", "", "journal on")
        for rule, one in mine.items()
    ]
    if not peers:
        return made
    for library in ("backtesting", "vectorbt"):
        found = beside(library, {"bars": bars, "rules": RULES}, folder)
        for rule, one in mine.items() if found else ():
            told = found[rule]  # type: ignore[index]
            wrong, halted = different(one.trades, told["trades"], volumes)
            for line in wrong[:5]:
                sys.stderr.write(f"{short}, {rule}, {library}: {line}\n")
            made.append(
                (
                    f"{rule}, {short}, {library}",
                    f"{len(one.trades):,} trades",
                    f"{len(told['trades']):,} trades",
                    f"{len(wrong)} off",
                    f"0 off; {halted} at bars without volume, where ours waits",
                )
            )
    return made + _metrics(mine, short, folder)


def _metrics(mine: Mapping[str, Played], short: str, folder: Path) -> list[Row]:
    found = beside(
        "metrics", {"returns": {rule: one.returns for rule, one in mine.items()}}, folder
    )
    made: list[Row] = []
    for rule, one in mine.items() if found else ():
        returns = one.returns
        curve = [1.0]
        for change in returns:
            curve.append(curve[-1] * (1 + change))
        own = {
            "sharpe": sharpe(returns, 365),
            "sortino": sortino(returns, 365),
            "calmar": calmar(returns, 365),
            "volatility": volatility(returns, 365),
            "drawdown": drawdown(curve),
        }
        for library, told in found[rule].items():  # type: ignore[index]
            off = {
                name: f"{value!r} against {told[name]!r}"
                for name, value in own.items()
                if value is None or not _near(value, told[name], METRIC_TOLERANCE)
            }
            for name, words in off.items():
                sys.stderr.write(f"{short}, {rule}, {library}, {name}: {words}\n")
            made.append(
                (
                    f"{rule}, {short}, 5 metrics, {library}",
                    f"{len(returns)} days",
                    f"{len(own) - len(off)} equal",
                    f"{len(off)} off",
                    "within 1e-9",
                )
            )
    return made


if __name__ == "__main__":
    for row in rows(files=[Path(one) for one in sys.argv[1:]]):
        print(f"{row[0]:58}{row[1]:>16}{row[2]:>16}{row[3]:>8}  {row[4]}")
