"""Long jobs by kind: what a person may ask of the worker, each with units, bounds and help.

A new one is a class in a file of this folder and a function in `engine.jobs`; or, of a plug-in, one
file of its `jobs` with both. Every program imports that file, so at its top it imports the domain.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError

from engine.domain.instruments import Mode
from engine.domain.plain import PlainDict
from engine.domain.settings import Settings
from engine.errors import BadInput
from engine.plugins import Found, found


class FillsBy(StrEnum):
    """How generous the paper venue of a replay is where the recording does not tell."""

    PESSIMISTIC = "pessimistic"
    REALISTIC = "realistic"
    OPTIMISTIC = "optimistic"


class Exported(StrEnum):
    """What can be exported."""

    ORDERS = "orders"
    FILLS = "fills"
    POSITIONS = "positions"
    BETS = "bets"
    """Those that were closed in the period, each with what it made."""
    ROUND_TRIPS = "round_trips"
    """Those of perpetuals that were closed in the period, each with what it made."""
    FUNDING = "funding_shares"
    """What each owner got or paid for a stamp of a perpetual."""
    REDEMPTIONS = "redemptions"
    CONVERSIONS = "conversions"
    """Cash that became pairs, and pairs that became cash."""
    CASH = "cash_moves"
    """Deposits, withdrawals, rewards and rebates."""
    EQUITY = "equity"
    ALERTS = "alerts"
    COMMANDS = "commands"
    AUDIT = "audit"
    RUNS = "runs"


class ExportFormat(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSON = "json"


class JobArguments(Settings):
    """Base of what a job takes. `ReplayJob` is what the job `replay` takes."""

    housekeeping: ClassVar[bool] = False
    """True = it runs in the worker's second lane: it never waits behind a long backtest."""

    @classmethod
    def kind(cls) -> str:
        return cls.__name__.removesuffix("Job").lower()


def asked(title: str, description: str, **more: Any) -> Any:
    """Return how a form and the command line ask for an argument, its default and its bounds."""
    return Field(title=title, description=description, **more)


def _days(title: str, description: str, default: int) -> Any:
    return asked(title, f"days: {description}", default=default, ge=1, le=3_650)


class ReplayJob(JobArguments):
    """Play a recording through the same executor, risk and planner that trade."""

    path: Annotated[
        str,
        asked(
            "Recording",
            "a recording: a name under recordings, or a path",
            min_length=1,
            max_length=1_000,
        ),
    ]
    strategy: str = asked(
        "Strategy", "which strategy trades", default="market_maker", min_length=1, max_length=64
    )
    parameters: PlainDict = asked(
        "Parameters", "the strategy's, where they differ from its defaults", default_factory=dict
    )
    bots: dict[str, PlainDict] = asked(
        "Bots",
        "several bots by name, as the settings have them, each with strategy, capital, markets or "
        "series, parameters and sizing; without them one of the strategy trades with all the cash",
        default_factory=dict,
    )
    limits: dict[str, str] = asked(
        "Risk limits",
        "risk limits, absolute or with %, e.g. exposure_instrument_max: 20%",
        default_factory=dict,
    )
    cash: float = asked(
        "Starting cash",
        "starting cash, in the account's currency",
        default=1_000.0,
        gt=0,
        le=1_000_000_000,
    )
    model: FillsBy = asked(
        "How paper orders fill", "how the paper venue fills", default=FillsBy.REALISTIC
    )
    band: bool = asked(
        "All three ways to fill, as a band",
        "play pessimistic, realistic and optimistic fills in one reading",
        default=False,
    )
    latency_ms: int = asked(
        "Order latency, ms", "order and cancel latency, ms", default=150, ge=0, le=60_000
    )
    since: str = asked(
        "Trade from, UTC",
        "e.g. 2026-03-01 or 2026-03-01T12:00; books, bars and indicators warm up before it; "
        "empty = from the first moment",
        default="",
        max_length=40,
    )
    until: str = asked(
        "Play until, UTC",
        "what comes before this time; empty = all of it",
        default="",
        max_length=40,
    )
    instrument: str = asked(
        "Name of the instrument",
        "of a file of bars: its name, e.g. binance:BTC/USDT; empty = the file's",
        default="",
        max_length=100,
    )
    funding: str = asked(
        "Funding rates",
        "of a perpetual's bars, trades or quotes: an imported data set of its rates; empty = they "
        "are not known and counted as none",
        default="",
        max_length=1_000,
    )
    outcomes: str = asked(
        "Outcomes",
        "of a recording without outcomes: a CSV of market and paid (1, 0 or 0.5 per YES); empty = "
        "as the recording tells",
        default="",
        max_length=1_000,
    )
    slippage_bps: float = asked(
        "Slippage, bps",
        "of bars: basis points a taker pays from the price on",
        default=0.0,
        ge=0,
        le=1_000,
    )
    impact_bps: float = asked(
        "Impact, bps",
        "of bars: basis points more for all that is displayed, growing with the root of the size",
        default=0.0,
        ge=0,
        le=1_000,
    )
    volume_share: float = asked(
        "Share of the volume",
        "of bars: which part of a bar's volume we can trade, 0 to 1",
        default=0.1,
        gt=0,
        le=1,
    )
    fee_bps: float = asked(
        "Fee, bps", "of bars: fee of maker and taker, basis points", default=10.0, ge=0, le=1_000
    )
    decisions: bool = asked(
        "Keep why it quoted or not", "keep a record per evaluation", default=True
    )
    journal: bool = asked(
        "Keep every record", "keep every record, not only their digest", default=True
    )


class BackupJob(JobArguments):
    """Copy the databases, each consistent in itself, to the folder backups."""

    housekeeping = True

    keep: int = asked(
        "Backups kept",
        "backups kept, fewer where they exceed their part of the disk budget; "
        "older ones are deleted",
        default=3,
        ge=1,
        le=1_000,
    )
    vault: bool = asked(
        "With the vault",
        "copy vault.json, too: its keys stay encrypted by the passphrase, which is in no backup",
        default=False,
    )


class CompactJob(JobArguments):
    """Delete old data, let SQLite analyse its tables, free space. The journal stays complete.

    Orders, fills, positions, the audit and the journal are never pruned.
    """

    housekeeping = True

    decisions_days: int = _days(
        "Keep decisions, days", "full decision files older than this are deleted", 30
    )
    tape_days: int = _days("Keep the tape, days", "tape segments older than this are deleted", 2)
    equity_days: int = _days(
        "Keep every equity point, days", "older equity is kept once a minute", 7
    )
    run_folders: int = asked(
        "Backtests that keep their journal",
        "newest runs that keep their journal and decisions",
        default=50,
        ge=0,
        le=100_000,
    )
    jobs_days: int = _days("Keep ended jobs, days", "jobs that ended longer ago are deleted", 90)
    vacuum: bool = asked(
        "Give free space back to the disk",
        "rewrite databases that are more than a quarter empty",
        default=True,
    )


class RetainJob(JobArguments):
    """Keep history under the disk budget: old records move to the journal's archive, oldest first.

    What exceeds its part of PITBOSS_DISK_BUDGET is pruned, the oldest first; records about money
    never are. The worker starts this automatically.
    """

    housekeeping = True


class ExportJob(JobArguments):
    """Write rows of one mode and period as CSV or JSON to the folder exports."""

    housekeeping = True

    what: Exported = asked(
        "Rows",
        "which rows; bets and round trips: those closed in the period",
        default=Exported.FILLS,
    )
    mode: Mode = asked(
        "Money of the mode", "rows about money: only of this mode", default=Mode.PAPER
    )
    since: dt.date | None = asked(
        "First day, UTC", "first day, UTC, e.g. 2026-03-01; empty = all", default=None
    )
    until: dt.date | None = asked(
        "Last day, UTC", "last day, UTC, included; empty = today", default=None
    )
    format: ExportFormat = asked("File format", "csv or json", default=ExportFormat.CSV)


class IncidentJob(JobArguments):
    """Replay a moment of the past, compare it with the journal, and write it as one page."""

    at: Annotated[
        str, asked("Moment, UTC", "e.g. 2026-03-01T12:30:05Z", min_length=1, max_length=40)
    ]
    around_s: int = asked(
        "Seconds before and after", "seconds shown on either side", default=120, ge=1, le=3_600
    )
    account: str = asked("Only the account", "empty = all", default="", max_length=64)


class CompareJob(JobArguments):
    """Run the same maker in the demo exchange and as paper over its public feed, day by day.

    It takes about half a minute for each simulated hour of a day.
    """

    days: int = asked("Demo days", "demo days; each has its own seed", default=20, ge=2, le=1_000)
    hours: float = asked("Hours per day", "simulated hours per demo day", default=0.5, gt=0, le=24)
    seed: int = asked("Seed of the first day", "seed of the first day", default=1, ge=0, le=2**31)


def _found() -> dict[str, type[JobArguments]]:
    own = [one for one in JobArguments.__subclasses__() if one.__module__ == __name__]
    made = {model.kind(): model for model in own}
    for one in found("jobs", __name__):
        models = one.defined(JobArguments)
        if not models and one.plugin:
            one.refuse("it defines no subclass of JobArguments")
        for model in models:
            if why := _refusal(one, model, made):
                one.refuse(why, model)
            else:
                made[model.kind()] = model
    return made


def _refusal(one: Found, model: type[JobArguments], made: dict[str, type[JobArguments]]) -> str:
    """Return why a class is no kind of job; empty = it is one."""
    if model.kind() in made:
        return f"there is a job {model.kind()!r} already, {made[model.kind()].__module__}"
    if one.plugin and not callable(getattr(one.module, "run", None)):
        return "its file has no function run(arguments, context), which does the job"
    wrong = one.tried(model.model_json_schema)
    return f"no form can be drawn of it: {wrong}" if wrong else ""


JOB_KINDS = _found()
"""Every kind of job with the model of its arguments, those of every file in this folder and of the
plug-ins among them; the worker has a function for each."""

WRONG = {
    "string_too_short": "it must not be empty",
    "missing": "it must be given",
    "extra_forbidden": "there is no such argument",
}
"""Results of the validation whose own wording does not help a person."""


def arguments_of(kind: str, text: str) -> JobArguments:
    """Return a job's arguments from their JSON. Raises BadInput naming kind or argument."""
    model = JOB_KINDS.get(kind)
    if model is None:
        known = ", ".join(sorted(JOB_KINDS))
        raise BadInput(f"there is no job {kind!r}; known: {known}")
    try:
        return model.model_validate_json(text or "{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = WRONG.get(first["type"], first["msg"])
        field = model.model_fields.get(place)
        title = f"{field.title}, " if field is not None and field.title else ""
        raise BadInput(f"job {kind}: {title}{place}{': ' if place else ''}{said}") from None
