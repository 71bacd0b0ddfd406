"""A whole comparison: some days of both worlds, what they say together, and where it is kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

import msgspec

from engine.config import Config
from engine.domain.instruments import Mode
from engine.domain.plain import PlainDict
from engine.runtime.first_settings import SERIES
from engine.venues.demo.profiles import FULL, Profile
from engine.venues.paper.settings import CANCELS_AHEAD_PERCENT, FillModel, PaperSettings
from storage.database import connect_writer
from storage.runs import Run, RunKind, RunStatus, save_run
from storage.schema import migrate
from studies.compare import report
from studies.compare.day import LATENCY_MS, paper_day, true_day
from studies.compare.engine_run import CASH_MICRO, CURRENCY, PARAMETERS, STRATEGY
from studies.compare.queues import Cancels
from studies.compare.report import TRUTH, Days
from studies.compare.watch import MICRO, MakerFigures

ACCOUNT = "truth and paper"
ENGINE = "compare"
Progress = Callable[[float, float, str], None]
"""Receives (hours of both worlds done, of how many, what comes next)."""


class CompareRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for. A day is `hours` of the exchange's time; day k has seed + k."""

    days: int = 20
    hours: float = 0.5
    seed: int = 1
    job: int | None = None
    """The worker's job it belongs to; None = asked for by hand."""


def papers() -> dict[str, PaperSettings]:
    """Return the paper venues of a day: one for each fill model, by its name."""
    cash = {CURRENCY: CASH_MICRO / MICRO}
    common = PaperSettings(
        order_latency_ms=LATENCY_MS, cancel_latency_ms=LATENCY_MS, starting_cash=cash
    )
    return {str(model): common.model_copy(update={"model": model}) for model in FillModel}


def compare(asked: CompareRequest, progress: Progress, profile: Profile = FULL) -> PlainDict:
    """Run it; give the report as a JSON-ready object. Takes minutes: `progress` gets how far."""
    started = time.perf_counter()
    total = 2 * asked.days * asked.hours
    days: dict[str, list[MakerFigures]] = {name: [] for name in (TRUTH, *map(str, FillModel))}
    twins: dict[str, list[MakerFigures]] = {str(name): [] for name in FillModel}
    cancels: list[list[Cancels]] = []
    for number in range(asked.days):
        seed, done = asked.seed + number, 2 * number * asked.hours
        note = f"day {number + 1} of {asked.days}"
        in_exchange = partial(_add_hours, progress, done, total, f"{note}, in the exchange")
        truth = true_day(seed, asked.hours, papers(), in_exchange, profile)
        as_paper = partial(_add_hours, progress, done + asked.hours, total, f"{note}, as paper")
        paper = paper_day(seed, asked.hours, papers(), as_paper, profile)
        for name, figures in ((TRUTH, truth.figures), *paper.items()):
            days[name].append(figures)
        for name, figures in truth.twins.items():
            twins[name].append(figures)
        cancels.append(truth.cancels)
    found = _report(asked, days, twins, report.fitted(cancels, seed=asked.seed))
    return found | {"elapsed_s": time.perf_counter() - started}


def _add_hours(progress: Progress, before: float, total: float, note: str, hours: float) -> None:
    progress(before + hours, total, note)


def _report(asked: CompareRequest, days: Days, twins: Days, fit: report.Fit) -> PlainDict:
    digests = "".join(figures.digest for side in days.values() for figures in side)
    found = {
        "days": asked.days,
        "hours": asked.hours,
        "seed": asked.seed,
        "series": SERIES,
        "strategy": STRATEGY,
        "parameters": PARAMETERS,
        "latency_ms": LATENCY_MS,
        "percent": CANCELS_AHEAD_PERCENT,
        "lines": report.lines(days, twins, seed=asked.seed),
        "answers": report.answers(days, twins, seed=asked.seed),
        "fit": fit,
        "daily": days,
        "twins": twins,
        "digest": hashlib.blake2b(digests.encode(), digest_size=16).hexdigest(),
    }
    # By way of JSON: what is not a number is null there, not a word of its own.
    plain: PlainDict = msgspec.json.decode(msgspec.json.encode(found))
    return plain


def store(config: Config, asked: CompareRequest, found: PlainDict, span: tuple[int, int]) -> int:
    """Keep the report as a run; give its number. `span` is when it began and ended, ns UTC."""
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    migrate(config.state_path)
    run = Run(
        engine_id=ENGINE,
        account=ACCOUNT,
        mode=Mode.PAPER,
        kind=RunKind.COMPARE,
        recording=f"demo exchange, seeds {asked.seed} to {asked.seed + asked.days - 1}",
        bot=STRATEGY,
        strategy=STRATEGY,
        parameters=json.dumps(found["parameters"]),
        job=asked.job,
        started_ns=span[0],
        finished_ns=span[1],
        status=RunStatus.DONE,
        digest=found["digest"],
        orders=sum(day["orders"] for day in found["daily"][TRUTH]),
        fills=sum(day["fills"] for day in found["daily"][TRUTH]),
        result=json.dumps(found),
    )
    with closing(connect_writer(config.state_path)) as connection:
        return save_run(connection, run)
