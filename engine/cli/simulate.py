"""`python -m engine simulate`: seeds through the simulator; exit 1 when a judge spoke."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from engine.cli.arguments import WHOLE_MAX, amount, whole
from engine.config import Config
from engine.domain.plain import PlainDict
from engine.lab.progress import ProgressLine
from engine.lab.simulate.commit import commit
from engine.lab.simulate.faults import Fault, faults_named
from engine.lab.simulate.world import SimulationOutcome, simulate

HELP = "run the whole engine over the demo exchange with faults and judges, by seed"
SEEDS_MAX = 1_000_000
MINUTES_MIN, MINUTES_MAX = 0.001, 44_640.0
"""A month: longer than any market lives."""
ACCOUNTS_MAX = 64
JOBS_MAX = 1_024
SOURCE = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=whole(0, WHOLE_MAX), default=1, help="the first seed (default 1)"
    )
    parser.add_argument(
        "--seeds", type=whole(1, SEEDS_MAX), default=1, help="how many seeds from there on"
    )
    parser.add_argument(
        "--minutes",
        type=amount(MINUTES_MIN, MINUTES_MAX),
        default=10.0,
        help="simulated minutes with faults, each",
    )
    parser.add_argument(
        "--faults", default="", help="`none`, `all`, or a list like `crash,kill`; default: by seed"
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="faults strike at any time alike, and do not gather around midnight and the like",
    )
    parser.add_argument(
        "--spot", action="store_true", help="every world has a spot pair, not every eleventh only"
    )
    parser.add_argument("--perp", action="store_true", help="every world has a perpetual")
    parser.add_argument(
        "--accounts", type=whole(1, ACCOUNTS_MAX), default=2, help="accounts with an engine each"
    )
    parser.add_argument(
        "--crowd",
        type=whole(0, ACCOUNTS_MAX),
        default=0,
        help="so many more accounts in each engine",
    )
    parser.add_argument(
        "--jobs", type=whole(0, JOBS_MAX), default=0, help="processes; 0 = one per core"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    del config
    faults = faults_named(args.faults) if args.faults else None
    started = time.perf_counter()
    total, progress = Total(), ProgressLine(shown=not args.json)
    for outcome in outcomes(
        range(args.seed, args.seed + args.seeds),
        minutes=args.minutes,
        faults=faults,
        accounts=args.accounts,
        jobs=args.jobs,
        gathers=not args.plain,
        spot=args.spot,
        perp=args.perp,
        crowd=args.crowd,
    ):
        total.add(outcome)
        if outcome.verdicts and not args.json:
            progress.end()
            _print_failure(outcome, args)
        progress(total.seeds, args.seeds, f"{total.seeds:,} seeds, {len(total.failed)} failed")
    progress.end()
    found = total.summary(time.perf_counter() - started)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        _print_summary(found)
    return 1 if total.failed else 0


def outcomes(
    seeds: Sequence[int],
    *,
    minutes: float,
    faults: tuple[Fault, ...] | None = None,
    accounts: int = 2,
    jobs: int = 0,
    gathers: bool = True,
    spot: bool = False,
    perp: bool = False,
    crowd: int = 0,
) -> Iterator[SimulationOutcome]:
    """Give the outcome of each seed, in order, using as many processes as asked."""
    one = partial(
        simulate,
        minutes=minutes,
        faults=faults,
        accounts=accounts,
        gathers=gathers,
        spot=spot,
        perp=perp,
        crowd=crowd,
    )
    processes = min(jobs or os.cpu_count() or 1, len(seeds))
    if processes == 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(one, seeds)


class Total:
    """What all seeds gave together."""

    def __init__(self) -> None:
        self.seeds = 0
        self.simulated_s = 0.0
        self.counts: Counter[str] = Counter()
        self.failed: list[SimulationOutcome] = []
        self.last = ""

    def add(self, outcome: SimulationOutcome) -> None:
        self.seeds += 1
        self.simulated_s += outcome.simulated_s
        self.counts.update(outcome.counts)
        self.last = outcome.digest
        if outcome.verdicts:
            self.failed.append(outcome)

    def summary(self, wall_s: float) -> PlainDict:
        return {
            "commit": commit(SOURCE),
            "seeds": self.seeds,
            "simulated_hours": round(self.simulated_s / 3600, 3),
            "simulated_s_per_s": round(self.simulated_s / max(wall_s, 1e-9), 1),
            "wall_s": round(wall_s, 2),
            "digest": self.last if self.seeds == 1 else None,
            "counts": dict(sorted(self.counts.items())),
            "failed": [msgspec.to_builtins(outcome) for outcome in self.failed],
        }


def _print_failure(outcome: SimulationOutcome, args: argparse.Namespace) -> None:
    print(f"seed {outcome.seed}: the last journal lines")
    for line in outcome.lines:
        print(f"  {line}")
    for verdict in outcome.verdicts:
        print(f"seed {outcome.seed}: judge {verdict.judge}, {verdict.account}: {verdict.text}")
    options = f"--minutes {args.minutes:g} --accounts {args.accounts}"
    if args.faults:
        options += f" --faults {args.faults}"
    if args.plain:
        options += " --plain"
    if args.spot:
        options += " --spot"
    if args.perp:
        options += " --perp"
    print(f"commit {commit(SOURCE)}")
    print(f"again: python -m engine simulate --seed {outcome.seed} {options}\n")


def _print_summary(found: PlainDict) -> None:
    for name, count in found["counts"].items():
        print(f"{name:24}{count:12,}")
    if found["digest"]:
        print(f"digest {found['digest']}")
    print(
        f"{found['seeds']} seeds, {found['simulated_hours']:.2f} simulated hours, "
        f"{found['simulated_s_per_s']:.0f} simulated s per s, {len(found['failed'])} failed, "
        f"commit {found['commit']}"
    )
