"""`python -m studies.calibration`: the demo exchange beside the recordings it is modelled on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec

from engine.cli.arguments import WHOLE_MAX, whole
from engine.config import Config
from engine.errors import BadInput
from engine.lab.recordings.open import open_recording
from engine.venues.demo.profiles import FULL
from engine.venues.demo.world import open_world
from studies import main
from studies.calibration.curve import Curve, CurvePoint, demo_curve, recorded_curve
from studies.calibration.figures import WIDE_CENTS, MarketFigures, Sampler
from studies.calibration.maker import NaiveMaker, told

NAME = "calibration"
HELP = "lay the demo exchange beside recorded markets, figure by figure"

S = 1_000_000_000
BEGIN_NS = 1_800_000_000 * S
POINTS = 0.05
"""Tolerance of a share of the spread mix."""
SHARE = 0.20
"""Tolerance of everything else, of the recorded figure."""

RECORDED = MarketFigures(
    markets=85,
    frames=215_443,
    spread={1: 0.789, 2: 0.122, 3: 0.042, 4: 0.019, 5: 0.009, 6: 0.016},
    touch={5: 8.65, 25: 65.0, 50: 198.2, 75: 441.0, 95: 1173.9},
    depth={5: 352.6, 50: 1816.6, 95: 8309.1},
    per_second={50: 10.0, 95: 34.0, 99: 57.0},
    per_slot={50: 2.0, 95: 6.0, 99: 10.0},
    between_ms={25: 11.8, 50: 33.0, 75: 89.0, 95: 289.0, 99: 600.5},
    move_std=2.34,
    moves={50: 0.5, 75: 1.0, 90: 3.0, 99: 9.0},
)
"""BTC 5-minute markets of 2026-04-13 and 04-14, sampled by `Sampler` from recorded books."""

CURVE: Curve = {
    1: CurvePoint(-1.21, -1.36, -1.06, fills=5_853, markets=39),
    5: CurvePoint(-1.88, -2.16, -1.59, fills=5_853, markets=39),
    30: CurvePoint(-2.03, -2.66, -1.39, fills=5_692, markets=39),
}
"""Of both days together, by `recorded_curve`."""

CURVE_CENTS = 0.4
"""Tolerance of a markout, where `SHARE` of it is less: what two days and three demo hours leave
open at 30 s."""

LABELS = {
    "spread": "spread, share of frames at {} cents",
    "touch": "size at the bid, p{}, shares",
    "depth": "bid depth within 5 cents, p{}, shares",
    "per_second": "matches per active second, p{}",
    "per_slot": "matches per active 100 ms, p{}",
    "between_ms": "time between matches, p{}, ms",
    "move_std": "mid's change in 1 s, std, cents",
    "moves": "mid's change in 1 s, p{} of its size, cents",
}


class CalibrationLine(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both sides."""

    label: str
    demo: float
    recorded: float
    near: bool
    """Within the tolerance."""
    points: tuple[CurvePoint, CurvePoint] | None = None
    """Both sides with their intervals, where the figure has one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take how much of the exchange is measured, and beside what."""
    parser.add_argument("--minutes", type=whole(1, 100_000), default=60, help="simulated time")
    parser.add_argument(
        "--worlds", type=whole(1, 1_000), default=3, help="seeds pooled, from --seed on (default 3)"
    )
    parser.add_argument("--seed", type=whole(0, WHOLE_MAX), default=1, help="of the first world")
    parser.add_argument(
        "--figures-only", action="store_true", help="leave the maker's markout curve out"
    )
    parser.add_argument(
        "--recording", type=Path, action="append", default=[], metavar="PATH",
        help="measure this instead of the figures on record; repeatable, several are pooled",
    )  # fmt: skip


def run(args: argparse.Namespace, _config: Config) -> int:
    """Print both sides; exit code 1 where a figure is out of its tolerance. Raises BadInput."""
    recorded = measured(args.recording) if args.recording else RECORDED
    seeds = range(args.seed, args.seed + args.worlds)
    demo, maker = simulated(args.minutes, seeds)
    lines = list(compared(demo, recorded))
    if not args.figures_only:
        curve = recorded_curve(args.recording) if args.recording else CURVE
        lines += compared_curves(demo_curve(args.minutes, seeds, FULL), curve)
    told = _json(lines, maker) if args.json else _table(lines, maker)
    sys.stdout.write(told + "\n")
    _, markout, error = maker
    return 0 if markout + 2 * error < 0 and all(line.near for line in lines) else 1


def _json(lines: list[CalibrationLine], maker: tuple[int, float, float]) -> str:
    fills, markout, error = maker
    found = {
        "figures": [msgspec.to_builtins(line) for line in lines],
        "naive_maker": {"fills": fills, "markout_5s_cents": markout, "error_cents": error},
    }
    return json.dumps(found)


def _table(lines: list[CalibrationLine], maker: tuple[int, float, float]) -> str:
    fills, markout, error = maker
    rows = [f"{'':52}{'demo':>10}{'recorded':>10}"]
    for line in lines:
        mark = "" if line.near else "  out of tolerance"
        rows.append(f"{line.label:52}{line.demo:10.3g}{line.recorded:10.3g}{mark}")
        if line.points is not None:
            found = " ".join(
                f"{side} [{point.low:.2f}, {point.high:.2f}] of {point.fills:,} fills in "
                f"{point.markets} markets" + ("," if side == "demo" else "")
                for side, point in zip(("demo", "recorded"), line.points, strict=True)
            )
            rows.append(f"  95 %: {found}")
    rows.append(f"naive maker: {fills} fills, markout after 5 s {markout:.2f} ± {error:.2f} cents")
    return "\n".join(rows)


def measured(paths: Sequence[Path]) -> MarketFigures:
    """Return the figures of recordings. Raises BadInput where one cannot be read."""
    sampler = Sampler()
    for path in paths:
        sampler.take(open_recording(path).events())
        sampler.end()
    return sampler.figures()


def simulated(minutes: int, seeds: Sequence[int]) -> tuple[MarketFigures, tuple[int, float, float]]:
    """Return the demo exchange's figures, and a naive maker's (fills, markout, error).

    Worlds of several seeds are pooled: an hour has twelve markets, too few for what differs from
    market to market.
    """
    sampler = Sampler()
    markouts: list[float] = []
    for seed in seeds:
        world = open_world(FULL, rng=Random(seed), now_ns=BEGIN_NS)  # noqa: S311 - a model
        maker = NaiveMaker(world)
        for second in range(1, minutes * 60 + 1):
            now_ns = BEGIN_NS + second * S
            world.advance(now_ns)
            maker.second(now_ns, second)
            sampler.take(world.take_public())
        sampler.end()
        markouts += maker.markouts
    return sampler.figures(), told(markouts)


def compared(demo: MarketFigures, recorded: MarketFigures) -> Iterator[CalibrationLine]:
    """Yield every figure of both sides."""
    for field, label in LABELS.items():
        ours, theirs = getattr(demo, field), getattr(recorded, field)
        if not isinstance(ours, dict):
            ours, theirs = {"": ours}, {"": theirs}
        for key, value in ours.items():
            goal = theirs[key]
            slack = POINTS if field == "spread" else SHARE * goal
            name = f"{key} and more" if field == "spread" and key == WIDE_CENTS else str(key)
            near = abs(value - goal) <= slack
            yield CalibrationLine(label=label.format(name), demo=value, recorded=goal, near=near)


def compared_curves(demo: Curve, recorded: Curve) -> Iterator[CalibrationLine]:
    """Yield the markouts of both sides; they are near where the demo pays no more, nor less."""
    for seconds, goal in recorded.items():
        if seconds not in demo:
            raise BadInput(
                f"too few fills of the demo exchange were marked after {seconds} s: more --minutes"
            )
        found, slack = demo[seconds], max(SHARE * abs(goal.mean), CURVE_CENTS)
        yield CalibrationLine(
            label=f"the same maker's markout after {seconds} s, cents",
            demo=found.mean,
            recorded=goal.mean,
            near=abs(found.mean - goal.mean) <= slack,
            points=(found, goal),
        )


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
