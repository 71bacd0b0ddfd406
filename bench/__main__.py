"""`make bench`: ours beside the peers, alternately in one run, as a table of ratios.

Options: `--rounds N` (default 5), `--quick` (one round, ours only where peers are not installed).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from bench import days, memory, micro, order_path, processes, reaction, recovery, sustained
from bench.generator import write
from bench.processes import OUT, Result, alternate, median, ours, peer

WORKLOAD = OUT / "data" / "workload.npy"
TENTH = OUT / "data" / "tenth.npy"
"""A tenth of it, so that ten times the input takes a minute and not a quarter of an hour."""

NAUTILUS = "nautilus, order flow"
HFT = "hftbacktest, compiled"
FULL = "ours, full"
DIGEST = "ours, digest only"
PEERS = ("ours", "peer", "ratio")
LIMITS = ("ours", "limit", "ratio")
PAIRS = ("", "", "")
"""Heads of a table that has no peer: two figures to a row."""

MODES = {FULL: "full", DIGEST: "digest"}
"""Ours by what is kept."""


def main(argv: Sequence[str]) -> int:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, small inputs, no peers")
    parser.add_argument(
        "--only",
        choices=("replay", "order", "days", "memory", "micro", "recovery", "feed", "reaction"),
        default=None,
        help="one table only",
    )
    options = parser.parse_args(argv)
    rounds = 1 if options.quick else options.rounds
    if options.only in {None, "replay", "memory", "micro"}:
        write(WORKLOAD)
    if options.only in {None, "replay"}:
        _replay(rounds, peers=not options.quick)
    if options.only in {None, "order"}:
        _table("The way of an order, counted", order_path.rows(), LIMITS)
    if options.only in {None, "days"}:
        _table("A recorded day", days.rows(rounds), LIMITS)
    if options.only in {None, "memory"}:
        write(TENTH, updates=100_000, trades=5_000)
        _table("Peak memory, 1 x and 10 x the input", memory.rows(TENTH))
    if options.only in {None, "micro"}:
        _table("Parts", micro.rows(rounds))
    if options.only in {None, "recovery"}:
        records = recovery.RECORDS // 10 if options.quick else recovery.RECORDS
        _table("A start after a long life", recovery.rows(records))
    if options.only in {None, "feed"}:
        title = "The market channel at 20,000 frames/s, whole engine, paper account"
        _table(title, sustained.rows(10 if options.quick else sustained.SECONDS), PAIRS)
    if options.only in {None, "reaction"}:
        title = "Frame to order, live account at the fake venue (p50, p99, longest)"
        _table(title, reaction.rows(30 if options.quick else reaction.SAMPLES), PAIRS)
    return 0


def _replay(rounds: int, *, peers: bool) -> None:
    sides = {name: ours(mode, WORKLOAD) for name, mode in MODES.items()}
    if peers:
        sides[NAUTILUS] = peer("nautilus", "nautilus_trader==1.221.0", "bt_nautilus.py", "deltas")
        sides[HFT] = peer("hft", "hftbacktest==2.4.4", "bt_hft.py", "feed_hashmap")
    results = alternate(sides, rounds)
    print(
        "\nReplay of the common workload: 1 M top-of-book updates, 50 k trades, some 63 k orders.\n"
        "Ours keeps planner, ledger, risk, gateway and queue positions on; full adds journal and\n"
        "decision records on disk. Nautilus runs without its risk engine, hftbacktest keeps no\n"
        "ledger, no journal and no risk. CPU seconds of whole processes, start and compiling\n"
        f"among them, median of {rounds}; 12.3x = that peer took 12.3 times as long.\n"
    )
    goals = {FULL: ">= 2.8x, aim 4x", DIGEST: ">= 3.5x, aim 5x"}
    heads = ("CPU s", "low - high", "x Nautilus", "x hftbt", "orders", "peak MB")
    print(f"{'':22}{''.join(f'{head:>13}' for head in heads)}  goal")
    for name, runs in results.items():
        if runs:
            print(_line(name, runs, results) + goals.get(name, ""))
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


def _table(
    title: str, rows: Sequence[tuple[str, str, str, str, str]], heads: Sequence[str] = PEERS
) -> None:
    print(f"\n{title}\n{'':34}{heads[0]:>16}{heads[1]:>16}{heads[2]:>9}  goal")
    for name, mine, other, ratio, goal in rows:
        print(f"{name:34}{mine:>16}{other:>16}{ratio:>9}  {goal}")


if __name__ == "__main__":
    processes.OUT.mkdir(parents=True, exist_ok=True)
    sys.exit(main(sys.argv[1:]))
