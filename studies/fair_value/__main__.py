"""`python -m studies.fair_value`: how good the fair value is, on the screen and kept as a run."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from engine.cli.arguments import WHOLE_MAX, pairs, whole
from engine.clock import WallClock
from engine.config import Config
from engine.domain.instruments import Mode
from engine.errors import ConfigError
from storage.database import connect_writer
from storage.runs import Run, RunKind, RunStatus, save_run
from storage.schema import migrate
from studies import main
from studies.fair_value.recorded import read_spans
from studies.fair_value.scores import HorizonScore, ScoreEstimate
from studies.fair_value.study import BlockScore, StudyResult, study

NAME = "fair_value"
HELP = "Brier score, log loss and calibration of the fair value on recorded up/down markets"

RESAMPLES = 2_000
RESAMPLES_MAX = 1_000_000
SEED = 20_260_608
HOUR_S = 3_600
CHOICES_MAX = 200
SLUGS_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="folders with BTCUSD-prices-* and BTC-5m-markets-* of days, or btc-updown-*.parquet",
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="K=V", help="strategy parameter, repeatable"
    )
    parser.add_argument(
        "--fit",
        action="append",
        default=[],
        metavar="K=V1,V2",
        help="values to choose from, repeatable: each block is scored by what was best elsewhere",
    )
    parser.add_argument(
        "--block-hours", type=whole(1, 24 * 365), default=6, help="length of a block (6)"
    )
    parser.add_argument(
        "--purge-minutes",
        type=whole(0, 60 * 24),
        default=60,
        help="nothing nearer than this to a block is used to choose what it is scored with (60)",
    )
    parser.add_argument(
        "--resamples",
        type=whole(1, RESAMPLES_MAX),
        default=RESAMPLES,
        help=f"bootstrap draws ({RESAMPLES})",
    )
    parser.add_argument(
        "--seed", type=whole(0, WHOLE_MAX), default=SEED, help=f"of the bootstrap ({SEED})"
    )
    parser.add_argument("--store", action="store_true", help="keep the report for Backtests")


def run(args: argparse.Namespace, config: Config) -> int:
    """Study and print. Gives the exit code; raises BadInput and ConfigError."""
    started_ns = WallClock().now_ns()
    parameters = pairs(args.param, "--param")
    fit = {name: text.split(",") for name, text in pairs(args.fit, "--fit").items()}
    count = 1
    for values in fit.values():
        count *= len(values)
    if count > CHOICES_MAX:
        raise ConfigError(f"--fit: {count} choices are more than {CHOICES_MAX}")
    result = study(
        read_spans(args.paths),
        parameters=parameters,
        fit=fit,
        block_s=args.block_hours * HOUR_S,
        purge_s=args.purge_minutes * 60,
        resamples=args.resamples,
        seed=args.seed,
    )
    text = msgspec.json.encode(result).decode() if args.json else describe(result)
    sys.stdout.write(text + "\n")
    if args.store:
        named = ", ".join(map(str, args.paths))
        number = store(config, result, named, (started_ns, WallClock().now_ns()))
        sys.stderr.write(f"stored as run {number}\n")
    return 0


def store(config: Config, result: StudyResult, recording: str, span: tuple[int, int]) -> int:
    """Keep the report as a run; give its number. `span` is when it began and ended, ns UTC."""
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    migrate(config.state_path)
    run = Run(
        engine_id="study",
        account="study",
        mode=Mode.PAPER,
        kind=RunKind.STUDY,
        recording=recording,
        bot="market_maker",
        strategy="market_maker",
        parameters=json.dumps({"parameters": result.parameters, "fit": result.fit}),
        started_ns=span[0],
        finished_ns=span[1],
        status=RunStatus.DONE,
        result=msgspec.json.encode(result).decode(),
    )
    with closing(connect_writer(config.state_path)) as connection:
        return save_run(connection, run)


# -- in words --------------------------------------------------------------------------------------


def describe(result: StudyResult) -> str:
    left_out = ", ".join(f"{count} {gate}" for gate, count in result.left_out.items()) or "none"
    lines = [
        f"{', '.join(result.spans)}: {result.markets:,} markets, {result.ticks:,} ticks",
        f"moments without a forecast: {left_out}",
        *_undecided(result.undecided),
        f"bootstrap 95 % over hours of markets, {result.resamples} draws, seed {result.seed}",
        f"blocks of {result.block_s // HOUR_S} h, told by choices made on the others, "
        f"{result.purge_s // 60} min at their seams left out:",
        *(f"  {_block(score, result.block_s)}" for score in result.told),
        "",
        f"{'before':>7} {'':6}{'moments':>8}{'markets':>8}  {'Brier, lower is better':27}"
        f"{'less ours':29}{'log loss':27}{'less ours, + = ours is better':29} slope",
        *(line for row in result.horizons for line in _horizon(row)),
        "",
        "forecasts of ours by tenths: mean forecast, and how often Up happened",
    ]
    lines += [
        f"  {row.low:.1f} to {row.low + 0.1:.1f}  {row.moments:6,} moments {row.markets:5,} "
        f"markets  {row.forecast:.3f}  {_text(row.happened)}"
        for row in result.deciles
    ]
    return "\n".join(lines)


def _block(score: BlockScore, block_s: int) -> str:
    begins = dt.datetime.fromtimestamp(score.block * block_s, dt.UTC).strftime("%Y-%m-%d %H:%M")
    chosen = ", ".join(f"{name}={value}" for name, value in score.chosen.items())
    how = f"{chosen}, fitted on {score.fitted_on:,} moments" if chosen else "nothing to choose"
    return f"{begins}  {score.moments:5,} moments  log loss {score.log_loss:.4f}  {how}"


def _horizon(row: HorizonScore) -> Iterator[str]:
    before = f"{row.horizon_s} s" if row.horizon_s else "all"
    for one in row.columns:
        yield (
            f"{before:>7} {one.column:6}{one.moments:8,}{one.markets:8,}  {_text(one.brier):27}"
            f"{_text(one.brier_less_ours, sign='+'):29}{_text(one.log_loss):27}"
            f"{_text(one.log_loss_less_ours, sign='+'):29}"
            f"{'' if one.slope is None else f'{one.slope:.2f}'}"
        )


def _undecided(slugs: tuple[str, ...]) -> list[str]:
    if not slugs:
        return []
    more = f" and {len(slugs) - SLUGS_SHOWN} more" if len(slugs) > SLUGS_SHOWN else ""
    return [f"left out, no winner: {len(slugs)} ({', '.join(slugs[:SLUGS_SHOWN])}{more})"]


def _text(estimate: ScoreEstimate, *, sign: str = "") -> str:
    return f"{estimate.mean:{sign}.4f} [{estimate.low:{sign}.4f}, {estimate.high:{sign}.4f}]"


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
