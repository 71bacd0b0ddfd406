"""`python -m studies.compare`: paper against truth, on the screen and kept as a run."""

from __future__ import annotations

import argparse
import json
import sys

from engine.cli.arguments import WHOLE_MAX, amount, whole
from engine.clock import WallClock
from engine.config import Config
from engine.domain.plain import PlainDict
from engine.lab.progress import ProgressLine
from engine.venues.paper.settings import FillModel
from studies import main
from studies.compare.report import CompareVerdict
from studies.compare.run import CompareRequest, compare, store

NAME = "compare"
HELP = "lay paper trading beside the same maker in the demo exchange itself"

SIDES = ("truth", *map(str, FillModel))
SAID = {
    CompareVerdict.WITHIN: "within tolerance",
    CompareVerdict.OFF: "out of tolerance",
    CompareVerdict.OPEN: "too few days to tell",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many days, how long, from which seed on."""
    parser.add_argument("--days", type=whole(2, 1_000), default=20, help="demo days (default 20)")
    parser.add_argument(
        "--hours", type=amount(0.01, 24), default=0.5, help="simulated hours a day (default 0.5)"
    )
    parser.add_argument("--seed", type=whole(0, WHOLE_MAX), default=1, help="of the first day")


def run(args: argparse.Namespace, config: Config) -> int:
    """Compare, store, print. Exit code 1 where the realistic model is out of its tolerance."""
    asked = CompareRequest(days=args.days, hours=args.hours, seed=args.seed)
    progress = ProgressLine(shown=not args.json)
    clock = WallClock()
    started_ns = clock.now_ns()
    try:
        found = compare(asked, progress)
    finally:
        progress.end()
    found["run"] = store(config, asked, found, (started_ns, clock.now_ns()))
    sys.stdout.write((json.dumps(found) if args.json else table(found)) + "\n")
    realistic = [line["models"][FillModel.REALISTIC]["verdict"] for line in found["lines"]]
    return 1 if CompareVerdict.OFF in realistic else 0


def table(found: PlainDict) -> str:
    """Return the report in plain words and columns."""
    rows = [
        f"{found['days']} demo days of {found['hours']:g} h, seeds {found['seed']} to "
        f"{found['seed'] + found['days'] - 1}, {found['strategy']} on {found['series']}, "
        f"{found['latency_ms']} ms; 95 % intervals over days",
    ]
    for line in found["lines"]:
        rows.append(f"{line['label']}, {line['unit']} (tolerance ± {line['slack']:.3g})")
        rows.append(f"  {'truth':12} {_spread(line['truth'])}")
        for name, model in line["models"].items():
            rows.append(
                f"  {name:12} {_spread(model['value'])}  difference "
                f"{_spread(model['difference'])}  {SAID[CompareVerdict(model['verdict'])]}"
            )
    rows.append(answered(found))
    rows.append(fitted(found))
    rows.append(f"digest {found['digest']}, run {found['run']}, {found['elapsed_s']:.0f} s")
    return "\n".join(rows)


def answered(found: PlainDict) -> str:
    """Say how much of the fill ratio's difference is the world's answer to our quote."""
    rows = ["the world's answer to our quote, points of fill ratio (no tolerance: no fill model's)"]
    rows += [f"  {name:12} {_spread(points)}" for name, points in found["answers"].items()]
    return "\n".join(rows)


def fitted(found: PlainDict) -> str:
    """Say which share of cancels the realistic model takes from ahead, and which was fitted."""
    fit = found["fit"]
    share = {name: _number(fit["percent"][name]) for name in ("value", "low", "high")}
    return (
        f"share of cancels ahead of us: {share['value']} % [{share['low']}, {share['high']}], "
        f"fitted from {fit['cancels']:,} cancels in the exchange; "
        f"realistic uses {found['percent']} %"
    )


def _spread(estimate: PlainDict) -> str:
    value, low, high = (_number(estimate[name]) for name in ("value", "low", "high"))
    return f"{value:>8} [{low:>7}, {high:>7}]"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
