"""Long jobs by kind: what a person may ask of the worker, each with units, bounds and help."""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationError

from engine.domain.instruments import Mode
from engine.domain.settings import Settings
from engine.errors import BadInput


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

    @classmethod
    def kind(cls) -> str:
        return cls.__name__.removesuffix("Job").lower()


class ReplayJob(JobArguments):
    """Play a recording through the same executor, risk and planner that trade."""

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1_000,
            title="Recording",
            description="a recording: a name under recordings, or a path",
        ),
    ]
    strategy: Annotated[
        str,
        Field(min_length=1, max_length=64, title="Strategy", description="which strategy trades"),
    ] = "market_maker"
    parameters: Annotated[
        dict[str, Any],
        Field(
            title="Parameters", description="the strategy's, where they differ from its defaults"
        ),
    ] = Field(default_factory=dict)
    limits: Annotated[
        dict[str, str],
        Field(
            title="Risk limits",
            description="risk limits, absolute or with %, e.g. exposure_instrument_max: 20%",
        ),
    ] = Field(default_factory=dict)
    cash: Annotated[
        float,
        Field(
            gt=0,
            le=1_000_000_000,
            title="Starting cash",
            description="starting cash, in the account's currency",
        ),
    ] = 1_000.0
    model: Annotated[
        FillsBy, Field(title="How paper orders fill", description="how the paper venue fills")
    ] = FillsBy.REALISTIC
    latency_ms: Annotated[
        int,
        Field(
            ge=0, le=60_000, title="Order latency, ms", description="order and cancel latency, ms"
        ),
    ] = 150
    decisions: Annotated[
        bool, Field(title="Keep why it quoted or not", description="keep a record per evaluation")
    ] = True
    journal: Annotated[
        bool,
        Field(title="Keep every record", description="keep every record, not only their digest"),
    ] = True


class BackupJob(JobArguments):
    """Copy the databases, each consistent in itself, to the folder backups."""

    keep: Annotated[
        int,
        Field(
            ge=1,
            le=1_000,
            title="Backups kept",
            description="backups kept, fewer where they exceed their part of the disk budget; "
            "older ones are deleted",
        ),
    ] = 3
    vault: Annotated[
        bool,
        Field(
            title="With the vault",
            description="copy vault.json, too: its keys stay encrypted by the passphrase, which is "
            "in no backup",
        ),
    ] = False


class CompactJob(JobArguments):
    """Delete old data, let SQLite analyse its tables, free space. The journal stays complete.

    Orders, fills, positions, the audit and the journal are never pruned.
    """

    decisions_days: Annotated[
        int,
        Field(
            ge=1,
            le=3_650,
            title="Keep decisions, days",
            description="days: full decision files older than this are deleted",
        ),
    ] = 30
    tape_days: Annotated[
        int,
        Field(
            ge=1,
            le=3_650,
            title="Keep the tape, days",
            description="days: tape segments older than this are deleted",
        ),
    ] = 2
    equity_days: Annotated[
        int,
        Field(
            ge=1,
            le=3_650,
            title="Keep every equity point, days",
            description="days: older equity is kept once a minute",
        ),
    ] = 7
    run_folders: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            title="Backtests that keep their journal",
            description="newest runs that keep their journal and decisions",
        ),
    ] = 50
    jobs_days: Annotated[
        int,
        Field(
            ge=1,
            le=3_650,
            title="Keep ended jobs, days",
            description="days: jobs that ended longer ago are deleted",
        ),
    ] = 90
    vacuum: Annotated[
        bool,
        Field(
            title="Give free space back to the disk",
            description="rewrite databases that are more than a quarter empty",
        ),
    ] = True


class RetainJob(JobArguments):
    """Keep history under the disk budget: old records move to the journal's archive, oldest first.

    What exceeds its part of PITBOSS_DISK_BUDGET is pruned, the oldest first; records about money
    never are. The worker starts this automatically.
    """


class ExportJob(JobArguments):
    """Write rows of one mode and period as CSV or JSON to the folder exports."""

    what: Annotated[
        Exported, Field(title="Rows", description="which rows; bets: those closed in the period")
    ] = Exported.FILLS
    mode: Annotated[
        Mode, Field(title="Money of the mode", description="rows about money: only of this mode")
    ] = Mode.PAPER
    since: Annotated[
        dt.date | None,
        Field(title="First day, UTC", description="first day, UTC, e.g. 2026-03-01; empty = all"),
    ] = None
    until: Annotated[
        dt.date | None,
        Field(title="Last day, UTC", description="last day, UTC, included; empty = today"),
    ] = None
    format: Annotated[ExportFormat, Field(title="File format", description="csv or json")] = (
        ExportFormat.CSV
    )


class IncidentJob(JobArguments):
    """Replay a moment of the past, compare it with the journal, and write it as one page."""

    at: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            title="Moment, UTC",
            description="e.g. 2026-03-01T12:30:05Z",
        ),
    ]
    around_s: Annotated[
        int,
        Field(
            ge=1,
            le=3_600,
            title="Seconds before and after",
            description="seconds shown on either side",
        ),
    ] = 120
    account: Annotated[
        str, Field(max_length=64, title="Only the account", description="empty = all")
    ] = ""


class CompareJob(JobArguments):
    """Run the same maker in the demo exchange and as paper over its public feed, day by day.

    It takes about half a minute for each simulated hour of a day.
    """

    days: Annotated[
        int,
        Field(ge=2, le=1_000, title="Demo days", description="demo days; each has its own seed"),
    ] = 20
    hours: Annotated[
        float, Field(gt=0, le=24, title="Hours per day", description="simulated hours per demo day")
    ] = 0.5
    seed: Annotated[
        int,
        Field(ge=0, le=2**31, title="Seed of the first day", description="seed of the first day"),
    ] = 1


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

JOB_KINDS: dict[str, type[JobArguments]] = {
    model.kind(): model for model in JobArguments.__subclasses__()
}
"""Every kind of job with the model of its arguments, those of every file in this folder among
them; the worker has a function for each."""

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
