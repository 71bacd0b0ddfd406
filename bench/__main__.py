"""`make bench`: one table, a row for each figure: ours, the peer or limit beside it, ratio, goal.

Options: `--rounds N` (default 5), `--quick` (one round, small inputs, no peers), `--only PART`.
`--only replay` (as `make bench-replay`) prints that part with both peers side by side instead.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence

from bench import (
    bars,
    dashboard,
    days,
    imports,
    memory,
    micro,
    order_path,
    processes,
    reaction,
    recovery,
    rules,
    sustained,
)
from bench.generator import write
from bench.processes import OUT, Result, alternate, median, ours, peer

WORKLOAD = OUT / "data" / "workload.npy"
TENTH = OUT / "data" / "tenth.npy"
"""A tenth of it, so that ten times the input takes a minute and not a quarter of an hour."""

NAUTILUS = "nautilus, order flow"
NAUTILUS_NEWEST = "nautilus newest, order flow"
HFT = "hftbacktest, compiled"
FULL = "ours, full"
DIGEST = "ours, digest only"

MODES = {FULL: "full", DIGEST: "digest"}
"""Ours by what is kept."""

GOALS = {FULL: ">= 2.8x, aim 4x", DIGEST: ">= 3.5x, aim 5x"}

Row = tuple[str, str, str, str, str]


def main(argv: Sequence[str]) -> int:
    """Measure everything, or one part, and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, small inputs, no peers")
    parser.add_argument("--only", choices=tuple(_parts(1, quick=True)), help="one part only")
    options = parser.parse_args(argv)
    rounds = 1 if options.quick else options.rounds
    if options.only == "replay":
        _side_by_side(_replayed(rounds, peers=not options.quick), rounds)
    else:
        print(f"{'':40}{'ours':>18}{'peer or limit':>18}{'ratio':>8}  goal")
        for name, (title, rows) in _parts(rounds, quick=options.quick).items():
            if options.only in {None, name}:
                print(f"\n{title}")
                for what, mine, other, ratio, goal in rows():
                    print(f"{what:40}{mine:>18}{other:>18}{ratio:>8}  {goal}", flush=True)
    print(f"\n{_machine()}")
    return 0


def _parts(rounds: int, *, quick: bool) -> dict[str, tuple[str, Callable[[], Sequence[Row]]]]:
    """Return each part's title, and what measures it."""
    frames_s = 10 if quick else sustained.SECONDS
    records = recovery.RECORDS // 10 if quick else recovery.RECORDS
    samples = 30 if quick else reaction.SAMPLES
    return {
        "replay": (
            "Replay of the common workload, CPU seconds: of the run alone, and of whole processes; "
            "x = the peer's by ours",
            lambda: _rows(_replayed(rounds, peers=not quick)),
        ),
        "order": ("The way of an order, counted", order_path.rows),
        "imports": (
            "Imports, CPU seconds of a whole import",
            lambda: imports.rows(20_000 if quick else imports.ROWS),
        ),
        "bars": (
            "A bar of a backtest, counted, and a year of them by the clock",
            lambda: bars.rows(bars.YEAR // 10 if quick else bars.YEAR),
        ),
        "days": ("A recorded day", lambda: days.rows(rounds)),
        "rules": (
            "Rules of bars: closed trades and metrics beside the libraries'",
            lambda: rules.rows(quick=quick),
        ),
        "memory": ("Peak memory on ten times the input, and on the input once", _memory),
        "age": (
            "What an engine and its exchange hold in a day's life, and after an hour",
            lambda: memory.day(2.0 if quick else 24.0),
        ),
        "micro": ("Parts", lambda: micro.rows(rounds)),
        "recovery": ("A start after a long life", lambda: recovery.rows(records)),
        "feed": (
            "The market channel at 20,000 frames/s, whole engine, paper account",
            lambda: sustained.rows(frames_s),
        ),
        "reaction": (
            "Frame to order, live account at the fake venue",
            lambda: reaction.rows(samples),
        ),
        "desk": (
            "A demo desk with five tabs: pages, memory, disk",
            lambda: dashboard.rows(seconds=30 if quick else dashboard.SECONDS),
        ),
    }


def _machine() -> str:
    """Say on what it was measured."""
    cores, load = os.cpu_count(), os.getloadavg()[2]
    return (
        f"machine: {cores} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"load {load:.1f} over the last quarter of an hour"
    )


def _memory() -> list[Row]:
    write(TENTH, updates=100_000, trades=5_000)
    return memory.rows(TENTH)


def _replayed(rounds: int, *, peers: bool) -> dict[str, list[Result]]:
    write(WORKLOAD)
    sides = {name: ours(mode, WORKLOAD) for name, mode in MODES.items()}
    if peers:
        sides[NAUTILUS] = peer("nautilus", "nautilus_trader==1.221.0", "bt_nautilus.py", "deltas")
        if sys.version_info >= (3, 12):
            newest = "nautilus_trader>=1.231"
            sides[NAUTILUS_NEWEST] = peer("nautilus-newest", newest, "bt_nautilus.py", "deltas")
        else:
            sys.stderr.write("nautilus_trader 1.231 needs Python 3.12: left out, 1.221 is beside\n")
        sides[HFT] = peer("hft", "hftbacktest==2.4.4", "bt_hft.py", "feed_hashmap")
    return alternate(sides, rounds)


def _rows(results: Mapping[str, Sequence[Result]]) -> list[Row]:
    """Return two rows for each of our modes beside each peer: run alone, and whole process.

    What a peer says of its run is the wall clock of one thread that never waits; of ours it is CPU.
    A whole process has starting and, of hftbacktest, compiling in it.
    """
    found = []
    for name in filter(results.get, MODES):
        for peer_name, goal in (
            (NAUTILUS, GOALS[name]),
            (NAUTILUS_NEWEST, "shown"),
            (HFT, "shown"),
        ):
            base = results.get(peer_name)
            for what, ours_key, theirs_key in (
                ("run", "run_cpu_s", "run_s"),
                ("process", "cpu_s", "cpu_s"),
            ):
                mine = median(results[name], ours_key)
                other = median(base, theirs_key) if base else None
                found.append(
                    (
                        f"{name} | {peer_name.partition(',')[0]}, {what}",
                        f"{mine:.1f} s",
                        "-" if other is None else f"{other:.1f} s",
                        "-" if other is None else f"{other / mine:.1f}x",
                        goal if what == "process" else "shown",
                    )
                )
    return found


def _side_by_side(results: Mapping[str, Sequence[Result]], rounds: int) -> None:
    """Print the replays alone, both peers beside each of ours."""
    print(
        "\nReplay of the common workload: 1 M top-of-book updates, 50 k trades, some 63 k orders.\n"
        "Ours keeps planner, ledger, risk, gateway and queue positions on; full adds journal and\n"
        "decision records on disk. Nautilus runs without its risk engine, hftbacktest keeps no\n"
        "ledger, no journal and no risk. CPU seconds of whole processes, start and compiling\n"
        f"among them, median of {rounds}; 12.3x = that peer took 12.3 times as long.\n"
    )
    heads = ("CPU s", "low - high", "x Nautilus", "x hftbt", "orders", "peak MB")
    print(f"{'':22}{''.join(f'{head:>13}' for head in heads)}  goal")
    for name, runs in results.items():
        if runs:
            print(_line(name, runs, results) + GOALS.get(name, ""))
    _differences(results)


def _line(name: str, runs: Sequence[Result], results: Mapping[str, Sequence[Result]]) -> str:
    mine, taken = median(runs, "cpu_s"), sorted(float(run["cpu_s"]) for run in runs)
    found = [f"{mine:.1f}", f"{taken[0]:.1f} - {taken[-1]:.1f}"]
    for peer_name in (NAUTILUS, HFT):
        base = results.get(peer_name)
        # All sides take the same events, so speed is the inverse of what they cost.
        found.append(f"{median(base, 'cpu_s') / mine:.1f}x" if base else "-")
    found += [f"{median(runs, 'orders'):,.0f}", f"{median(runs, 'rss_peak'):,.0f}"]
    return f"{name:22}{''.join(f'{one:>13}' for one in found)}  "


def _differences(results: Mapping[str, Sequence[Result]]) -> None:
    digests = {result["digest"] for name in MODES for result in results.get(name, ())}
    if len(digests) > 1:
        print(f"NOT EQUAL: {len(digests)} different digests of the same workload")
    elif digests:
        print(f"one digest over all of our runs: {digests.pop()}")


if __name__ == "__main__":
    processes.OUT.mkdir(parents=True, exist_ok=True)
    sys.exit(main(sys.argv[1:]))
